//! HTTP/2: what one connection may do.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;

use super::{Served, open, until};

const LONG: Duration = Duration::from_secs(600);

async fn connect(served: &Served, address: SocketAddr) -> SendRequest<Body> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    served.tasks.awaited("client", async move { drop(connection.await) });
    client
}

fn get(address: SocketAddr, path: &str) -> http::Request<Body> {
    http::Request::builder().uri(format!("http://{address}{path}")).body(Body::empty()).unwrap()
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = u8::from(kind != 4);
    [&[length[1], length[2], length[3], kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// A connection that has agreed on HTTP/2 and says this.
async fn says(address: SocketAddr, more: &[u8]) -> tokio::net::TcpStream {
    let mut stream = open(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    stream.write_all(&[frame(4, 0, &[]), more.to_vec()].concat()).await.unwrap();
    stream
}

#[tokio::test]
async fn it_is_spoken_and_ends_when_idle() {
    let (served, address) = Served::tcp(|settings| settings.keep_alive = Some(Duration::from_millis(100))).await;
    let mut client = connect(&served, address).await;
    let answer = client.send_request(get(address, "/")).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (http::StatusCode::OK, http::Version::HTTP_2));
    assert!(!answer.headers().contains_key("keep-alive"));
    drop(answer);
    until(|| client.is_closed()).await;
}

#[tokio::test]
async fn idle_is_longer_than_a_head() {
    let (served, address) = Served::tcp(|settings| {
        settings.keep_alive = Some(LONG);
        settings.header_timeout = Duration::from_millis(300);
    })
    .await;
    let mut client = connect(&served, address).await;
    client.send_request(get(address, "/")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(client.send_request(get(address, "/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn one_that_asks_nothing_is_closed_in_the_time_of_a_head() {
    let (served, address) = Served::tcp(|settings| settings.keep_alive = Some(LONG)).await;
    for more in [vec![], frame(1, 0, &[0x82]), frame(0, 0, &[0; 9])[..5].to_vec()] {
        rest_of(&mut says(address, &more).await).await;
    }
    assert_eq!(served.closed("head_timeout"), 3.0);
}

async fn rest_of(stream: &mut tokio::net::TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    let _end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("an end");
}

#[tokio::test]
async fn header_blocks_without_end_stay_within_the_budget() {
    const BUDGET: usize = 512 * 1024;
    let (served, address) = Served::tcp(|settings| {
        settings.connections = 100;
        settings.header = 16 * 1024;
        settings.heads = BUDGET;
        settings.header_timeout = LONG;
    })
    .await;
    let bytes = || served.metric("tokend_http_unfinished_head_bytes{listener=\"token\"}");
    // `:method: GET` over and over: one byte is one field.
    let block = frame(1, 0, &[0x82; 2000]);
    let mut open_ones = Vec::new();
    for _ in 0..20 {
        open_ones.push(says(address, &block).await);
        assert!(bytes() <= BUDGET as f64, "{}", bytes());
    }
    until(|| served.closed("heads") >= 10.0).await;
    let mut client = connect(&served, address).await;
    assert_eq!(client.send_request(get(address, "/")).await.unwrap().status(), 200);
    assert!(bytes() <= BUDGET as f64 && bytes() > 0.0, "{}", bytes());
}

#[tokio::test]
async fn a_block_without_end_on_a_connection_in_use_has_the_time_of_a_head() {
    let (served, address) = Served::tcp(|settings| settings.keep_alive = Some(LONG)).await;
    // A whole request: GET, http, "/", authority "a"; then a block that does not end.
    let whole = frame(1, 5, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
    let mut half = frame(1, 0, &[0x82]);
    half[8] = 3;
    let mut stream = says(address, &[whole, half].concat()).await;
    rest_of(&mut stream).await;
    assert_eq!(served.closed("head_timeout"), 1.0);
}

#[tokio::test]
async fn a_client_that_resets_what_it_asks_is_closed() {
    let (served, address) = Served::tcp(|settings| settings.keep_alive = Some(LONG)).await;
    let mut client = connect(&served, address).await;
    let mut resets = 0;
    while !client.is_closed() && resets < 2000 {
        if client.ready().await.is_err() {
            break;
        }
        let asked = client.send_request(get(address, "/held"));
        // The request is sent, and given up.
        let _given_up = tokio::time::timeout(Duration::from_millis(2), asked).await;
        resets += 1;
    }
    assert!((250..2000).contains(&resets), "{resets}");
    until(|| served.closed("resets") == 1.0).await;
    served.holds(0).await;
}

/// What it sends of a body makes no difference: the answer to a body that broke off makes up for nothing.
#[tokio::test]
async fn a_client_that_resets_half_a_body_is_closed() {
    let (served, address) = Served::tcp(|settings| settings.keep_alive = Some(LONG)).await;
    let mut client = connect(&served, address).await;
    let mut resets = 0;
    while !client.is_closed() && resets < 2000 {
        if client.ready().await.is_err() {
            break;
        }
        let half = futures_util::stream::once(std::future::ready(Ok::<_, std::io::Error>("{")));
        let half = futures_util::StreamExt::chain(half, futures_util::stream::pending());
        let request = http::Request::post(format!("http://{address}/read")).body(Body::from_stream(half)).unwrap();
        let _given_up = tokio::time::timeout(Duration::from_millis(2), client.send_request(request)).await;
        resets += 1;
    }
    assert!((250..2000).contains(&resets), "{resets}");
    until(|| served.closed("resets") == 1.0).await;
}

#[tokio::test]
async fn a_client_that_gives_up_now_and_then_is_not() {
    let (served, address) = Served::tcp(|settings| settings.keep_alive = Some(LONG)).await;
    let mut client = connect(&served, address).await;
    for _ in 0..300 {
        client.ready().await.unwrap();
        let _given_up = tokio::time::timeout(Duration::from_millis(1), client.send_request(get(address, "/held"))).await;
        for _ in 0..2 {
            assert_eq!(client.send_request(get(address, "/")).await.unwrap().status(), 200);
        }
    }
    assert_eq!(served.closed("resets"), 0.0);
}
