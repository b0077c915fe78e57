//! Between the signal and the stop: requests are still taken, and nobody is left with a connection that is about to go.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Serving, stage, tokend};
use crate::support::{GRAPH, configuration, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_an_answer_and_not_between_two() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config).env("TOKEND_SHUTDOWN__DELAY", "60s");
    let mut serving = Serving::start(command).await;
    let mut kept = TcpStream::connect(serving.client.base.trim_start_matches("http://")).expect("a connection");
    kept.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    assert!(!ask(&mut kept).contains("connection: close"), "it is kept while nobody wants to stop");
    serving.signal("TERM");
    eventually(Duration::from_secs(20), async || serving.admin.get("/readyz").await.status != 200).await;
    let answer = ask(&mut kept);
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(kept.read(&mut [0; 1]).expect("an end"), 0, "the connection is over, and no request was lost with it");
    // One that comes now is served as well, once.
    let mut late = TcpStream::connect(serving.client.base.trim_start_matches("http://")).expect("a connection");
    late.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    assert!(ask(&mut late).contains("connection: close"));
    serving.signal("TERM");
    // Long before the delay of 60 s is over.
    assert_eq!(serving.end_within(Duration::from_secs(20)).await.code(), Some(0));
}

/// One request, and the whole answer in lower case.
fn ask(stream: &mut TcpStream) -> String {
    let body = format!("{{\"app\":\"daemon\",\"scopes\":[\"{GRAPH}\"]}}");
    let head = "POST /client-credentials HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).expect("a request");
    let (mut text, mut buffer) = (String::new(), [0; 8192]);
    while !text.trim_end().ends_with('}') {
        let read = stream.read(&mut buffer).expect("an answer");
        assert_ne!(read, 0, "cut short: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]).to_lowercase());
    }
    text
}
