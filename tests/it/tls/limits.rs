//! What a client may take before and after the handshake, and how all of it ends.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{Authority, LATER, PATIENCE, Stage};
use crate::support::{Client, GRAPH, World, eventually};

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_and_holds_nobody_up() {
    let stage = Stage::with("", |settings| settings.listen.header_timeout = Duration::from_millis(400)).await;
    let mut silent = TcpStream::connect(stage.address()).await.expect("a connection");
    let mut halfway = TcpStream::connect(stage.address()).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut halfway, &[22, 3, 1]).await.expect("sent");
    assert_eq!(stage.connect().await.expect("a connection").ask().await.expect("an answer"), 404);
    for stream in [&mut silent, &mut halfway] {
        let mut rest = Vec::new();
        // Closed, or reset where there was something unread.
        let _end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("an end in time");
        assert!(rest.is_empty(), "{rest:?}");
    }
    assert_eq!(stage.failed("timeout").await, 2.0);
}

#[tokio::test]
async fn a_handshake_counts_as_a_connection_and_gives_way() {
    let stage = Stage::with("", |settings| {
        settings.listen.header_timeout = Duration::from_secs(600);
        settings.listen.connections = 1;
    })
    .await;
    let mut silent = TcpStream::connect(stage.address()).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut silent, &[22, 3, 1]).await.expect("sent");
    eventually(PATIENCE, async || stage.sidecar.metric("tokend_http_connections{listener=\"token\"}").await >= 1.0).await;
    // There is a place for this one only when the other has lost its own.
    assert_eq!(stage.connect().await.expect("a connection").ask().await.expect("an answer"), 404);
    let closed = "tokend_http_connections_closed_total{listener=\"token\",reason=\"places\"}";
    assert_eq!(stage.sidecar.metric(closed).await, 1.0);
    drop(silent);
}

#[tokio::test]
async fn requests_in_progress_are_answered_before_the_end() {
    let authority = Authority::new();
    let world = World::changed(|yaml, files| {
        let pair = authority.listener(&[], LATER);
        let file = files.join("both.pem").display().to_string();
        std::fs::write(&file, format!("{}{}", pair.key, pair.cert)).expect("a file");
        format!("{yaml}\ntls: {{cert: {{file: {file}}}, key: {{file: {file}}}}}\n")
    })
    .await;
    let base = world.sidecar.client.base.replace("http://", "https://");
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).expect("a CA");
    let client = || reqwest::Client::builder().no_proxy().timeout(PATIENCE * 3).tls_certs_only([root.clone()]);
    let [h1, h2] =
        [client().http1_only(), client()].map(|http| Client { http: http.build().expect("a client"), base: base.clone() });
    let idle = Client::new(&base, Some(&authority.pem));
    assert_eq!(idle.get("/nothing").await.status, 404);
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    let (emulator, sidecar) = (world.emulator, world.sidecar);
    let stop = async {
        sidecar.answering(2).await;
        emulator.asked_times("token", 1).await;
        let end = sidecar.stop();
        let release = async {
            let address = base.trim_start_matches("https://").to_owned();
            eventually(PATIENCE, async || TcpStream::connect(&address).await.is_err()).await;
            emulator.release().await;
        };
        tokio::join!(end, release).0
    };
    let (first, second, in_time) = tokio::join!(h1.post("/client-credentials", &body), h2.post("/client-credentials", &body), stop);
    first.token();
    second.token();
    assert!(in_time);
}
