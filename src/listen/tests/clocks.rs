//! How long a connection may be at what it is at, and what its client is told of it.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::{GET, Served, answered, exchange, open, rest, until};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn an_idle_connection_has_longer_than_a_head() {
    let (served, address) = Served::tcp(|settings| {
        settings.keep_alive = Some(LONG);
        settings.header_timeout = Duration::from_millis(100);
    })
    .await;
    let mut stream = open(address, GET).await;
    answered(&mut stream, "}").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    answered(&mut stream, "}").await;
    // Half a head on it has no longer than any other.
    stream.write_all(&GET.as_bytes()[..20]).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(served.closed("head_timeout"), 1.0);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_no_head() {
    let (served, address) = Served::tcp(|settings| {
        settings.keep_alive = Some(LONG);
        settings.header_timeout = Duration::from_millis(200);
    })
    .await;
    let mut stream = open(address, "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n").await;
    answered(&mut stream, "posted").await;
    stream.write_all(b"12345").await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((served.closed("head_timeout"), served.unfinished()), (0.0, 0.0));
}

#[tokio::test]
async fn a_head_in_pieces_is_taken() {
    let (served, address) = Served::tcp(|settings| {
        settings.keep_alive = Some(LONG);
        settings.header_timeout = LONG;
    })
    .await;
    let mut stream = open(address, "").await;
    for _ in 0..2 {
        for piece in [&GET[..1], &GET[1..15], &GET[15..]] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answered(&mut stream, "}").await;
        assert_eq!(served.unfinished(), 0.0);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let (served, address) = Served::tcp(|settings| {
        settings.keep_alive = Some(LONG);
        settings.header_timeout = Duration::from_millis(300);
    })
    .await;
    // Requests in one piece, until the answers fill every buffer on the way.
    let mut stream = open(address, "").await;
    let requests = GET.repeat(200);
    let flood = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), flood).await.expect("an end");
    until(|| served.closed("stalled") == 1.0).await;
}

#[tokio::test]
async fn an_answer_tells_how_long_its_connection_stays() {
    let (_served, address) = Served::tcp(|settings| settings.keep_alive = Some(Duration::from_secs(75))).await;
    let mut stream = open(address, GET).await;
    let answer = answered(&mut stream, "}").await;
    assert!(answer.contains("\r\nkeep-alive: timeout=75\r\n"), "{answer}");
    for head in ["1.1\r\nconnection: close", "1.1\r\nconnection: te, Close", "1.0"] {
        let (answer, _) = exchange(address, format!("GET / HTTP/{head}\r\nhost: localhost\r\n\r\n")).await;
        assert!(answer.contains("200 OK") && !answer.contains("keep-alive"), "{head}: {answer}");
    }
    let (_served, address) = Served::tcp(|settings| settings.keep_alive = None).await;
    let (answer, _) = exchange(address, GET.to_owned()).await;
    assert!(answer.contains("connection: close") && !answer.contains("keep-alive"), "{answer}");
}
