"""Writes keys as Python programs do: with pyca/cryptography, and with a JOSE library (joserfc).

    python write_keys.py '<json>'

In:  {"key_pem": "…",      a private key, PKCS#8 in clear
      "chain_pem": "…",    its certificate, then the others
      "password": "…"}     for what is encrypted
Out: {"pfx": "<base64>",   key and chain as PKCS#12
      "pem": "…",          the key as PKCS#8 under the password
      "jwk": {"RS256": {…}, "ES256": {…}, "ES384": {…}, "ES512": {…}, "EdDSA": {…}}}   new private keys as JWK
"""

import base64
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12
from joserfc.jwk import ECKey, OKPKey, RSAKey


def main():
    asked = json.loads(sys.argv[1])
    key = serialization.load_pem_private_key(asked["key_pem"].encode(), password=None)
    leaf, *others = x509.load_pem_x509_certificates(asked["chain_pem"].encode())
    best = BestAvailableEncryption(asked["password"].encode())
    made = {
        "RS256": RSAKey.generate_key(2048, private=True),
        "ES256": ECKey.generate_key("P-256", private=True),
        "ES384": ECKey.generate_key("P-384", private=True),
        "ES512": ECKey.generate_key("P-521", private=True),
        "EdDSA": OKPKey.generate_key("Ed25519", private=True),
    }
    answer = {
        "pfx": base64.b64encode(pkcs12.serialize_key_and_certificates(b"app", key, leaf, others, best)).decode(),
        "pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, best).decode(),
        "jwk": {algorithm: key.as_dict(private=True) for algorithm, key in made.items()},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
