//! Clients that have nothing more to say, and clients that are gone.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::super::Address;
use super::{Served, open, rest, served};

const HELD: &str = "GET /held HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn who_has_nothing_more_to_say_gets_the_answer() {
    let (served, address) = Served::tcp(|_| ()).await;
    let mut stream = open(address, HELD).await;
    served.holds(1).await;
    stream.shutdown().await.unwrap();
    // Long enough for the end to arrive and to be looked at.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    served.holds(1).await;
    served.go.notify_waiters();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("held"), "{answer}");
}

#[tokio::test]
async fn a_reset_ends_the_wait() {
    let (served, address) = Served::tcp(|_| ()).await;
    for more in ["", HELD] {
        let mut stream = open(address, HELD).await;
        served.holds(1).await;
        // Something to read tells nothing of the connection's end.
        stream.write_all(more.as_bytes()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        stream.set_zero_linger().unwrap();
        drop(stream);
        served.holds(0).await;
    }
}

#[tokio::test]
async fn on_a_unix_socket_the_two_ends_differ() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.sock");
    let served = served(Address::Unix(path.clone()), |_| ()).await;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(HELD.as_bytes()).await.unwrap();
    served.holds(1).await;
    stream.shutdown().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    served.holds(1).await;
    served.go.notify_waiters();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("held"), "{answer}");
    for halves in [false, true] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(HELD.as_bytes()).await.unwrap();
        served.holds(1).await;
        if halves {
            stream.shutdown().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        drop(stream);
        served.holds(0).await;
    }
}
