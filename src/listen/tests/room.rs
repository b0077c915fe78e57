//! Who gets a place where there are too many, and what unfinished heads may take.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::{GET, Served, answered, exchange, open, rest, until};

const LONG: Duration = Duration::from_secs(600);
const HALF: &str = "GET / HTTP/1.1\r\nhost: loc";

#[tokio::test]
async fn the_connection_longest_without_a_head_gives_way() {
    let (served, address) = Served::tcp(|settings| {
        settings.connections = 3;
        settings.header_timeout = LONG;
    })
    .await;
    let mut silent = Vec::new();
    for text in ["", "G", HALF] {
        silent.push(open(address, text).await);
        until(|| served.metric("tokend_http_connections{listener=\"token\"}") == silent.len() as f64).await;
    }
    for count in 1..=2 {
        let mut fresh = open(address, GET).await;
        answered(&mut fresh, "}").await;
        assert_eq!(served.closed("places"), f64::from(count));
        assert_eq!(rest(&mut silent.remove(0)).await, "");
        // It goes by itself, so that the next one has to find a victim again only if it stays.
        silent.push(fresh);
    }
    // The third of them may still say what it wants.
    silent[0].write_all(b"alhost\r\n\r\n").await.unwrap();
    answered(&mut silent[0], "}").await;
}

#[tokio::test]
async fn then_the_one_that_is_idle_for_longest() {
    let (served, address) = Served::tcp(|settings| {
        settings.connections = 2;
        settings.keep_alive = Some(LONG);
    })
    .await;
    let mut first = open(address, GET).await;
    answered(&mut first, "}").await;
    let mut second = open(address, GET).await;
    answered(&mut second, "}").await;
    // The first is used once more, so that the second is idle for longer; the clock counts milliseconds.
    tokio::time::sleep(Duration::from_millis(20)).await;
    first.write_all(GET.as_bytes()).await.unwrap();
    answered(&mut first, "}").await;
    let mut third = open(address, GET).await;
    answered(&mut third, "}").await;
    assert_eq!(rest(&mut second).await, "");
    first.write_all(GET.as_bytes()).await.unwrap();
    answered(&mut first, "}").await;
    assert_eq!(served.closed("places"), 1.0);
}

#[tokio::test]
async fn a_connection_with_a_request_running_keeps_its_place() {
    let (served, address) = Served::tcp(|settings| {
        settings.connections = 2;
        settings.keep_alive = Some(LONG);
    })
    .await;
    let mut running = Vec::new();
    for count in 1..=2 {
        running.push(open(address, "GET /held HTTP/1.1\r\nhost: localhost\r\n\r\n").await);
        served.holds(count).await;
    }
    let mut waits = open(address, GET).await;
    let early = tokio::time::timeout(Duration::from_millis(200), answered(&mut waits, "}")).await;
    assert!(early.is_err() && served.closed("places") == 0.0);
    served.go.notify_waiters();
    for stream in &mut running {
        answered(stream, "held").await;
    }
    // One of the two is idle now, and gives way at once.
    answered(&mut waits, "}").await;
    assert_eq!(served.closed("places"), 1.0);
}

#[tokio::test]
async fn one_address_has_no_more_than_its_share_of_unfinished_heads() {
    let (served, address) = Served::tcp(|settings| {
        settings.per_address = Some(2);
        settings.header_timeout = LONG;
        settings.keep_alive = Some(LONG);
    })
    .await;
    // Whoever has asked something is not counted.
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = open(address, GET).await;
        answered(&mut stream, "}").await;
        idle.push(stream);
    }
    let mut first = open(address, "").await;
    until(|| served.unfinished() == 1.0).await;
    let mut second = open(address, HALF).await;
    until(|| served.unfinished() == 2.0).await;
    let mut third = open(address, GET).await;
    answered(&mut third, "}").await;
    assert_eq!(rest(&mut first).await, "");
    assert_eq!((served.closed("address"), served.closed("places"), served.unfinished()), (1.0, 0.0, 1.0));
    // A head on a connection that has asked before counts from its second piece on.
    for stream in &mut idle {
        stream.write_all(HALF.as_bytes()).await.unwrap();
    }
    assert_eq!(rest(&mut second).await, "");
    until(|| served.closed("address") == 4.0).await;
    assert_eq!(served.unfinished(), 2.0);
}

#[tokio::test]
async fn unfinished_heads_stay_within_their_budget() {
    const BUDGET: usize = 256 * 1024;
    let (served, address) = Served::tcp(|settings| {
        settings.connections = 100;
        settings.header = 64 * 1024;
        settings.heads = BUDGET;
        settings.header_timeout = LONG;
    })
    .await;
    let bytes = || served.metric("tokend_http_unfinished_head_bytes{listener=\"token\"}");
    let mut open_ones = Vec::new();
    for size in [10, 10, 9_000, 40_000, 10, 40_000, 10, 40_000, 10, 10, 40_000, 10] {
        open_ones.push(open(address, &format!("{HALF}\r\nx-long: {}", "x".repeat(size))).await);
        assert!(bytes() <= BUDGET as f64, "{}", bytes());
    }
    until(|| served.closed("heads") >= 3.0).await;
    assert!(bytes() <= BUDGET as f64 && bytes() > 64.0 * 1024.0, "{}", bytes());
    // A head that is complete at once finds room.
    let (answer, _) = exchange(address, GET.to_owned()).await;
    assert!(answer.contains("200 OK"), "{answer}");
    drop(open_ones);
    until(|| bytes() == 0.0 && served.unfinished() == 0.0).await;
}

#[tokio::test]
async fn the_largest_head_that_is_kept_fits_alone() {
    let (served, address) = Served::tcp(|settings| {
        settings.header = 64 * 1024;
        settings.heads = 7 * 64 * 1024;
    })
    .await;
    let long = "x".repeat(120 * 1024);
    let (answer, _) =
        exchange(address, format!("GET / HTTP/1.1\r\nconnection: close\r\nhost: localhost\r\nx: {long}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..100.min(answer.len())]);
    assert_eq!(served.closed("heads"), 0.0);
}
