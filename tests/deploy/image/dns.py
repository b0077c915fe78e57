# A name server that knows one name: localhost is 127.0.0.1. It prints what it is asked.
import socket
import struct

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("ready")
while True:
    query, client = server.recvfrom(512)
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12 : at + 5]
    ipv4 = labels == ["localhost"] and question[-4:] == b"\0\1\0\1"
    print(".".join(labels))
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if ipv4 else b""
    server.sendto(query[:2] + struct.pack("!5H", 0x8180, 1, int(ipv4), 0, 0) + question + answer, client)
