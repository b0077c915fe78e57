//! The process is stopped and goes on: what came meanwhile is read before anything is given up for want of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tokend::clock::Clock;

use super::serving_with;
use crate::support::{GRAPH, eventually};

const SOON: Duration = Duration::from_secs(30);
/// How many connections there are, and how far apart they begin: the time of some is long over when the process goes on, and that
/// of others since a moment ago.
const CONNECTIONS: u32 = 32;
const APART: Duration = Duration::from_millis(50);
/// How long an idle connection stays: a second more than its client is told.
const STAYS: Duration = Duration::from_secs(2);

/// An idle connection's time passes while the process is stopped. A client that sends a request on it before the process goes on is
/// within its rights, and is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_came_meanwhile_is_answered_on_a_connection_whose_time_was_over() {
    let (_emulator, _files, serving) = serving_with("limits: {keep_alive: 1s}\n").await;
    let address = serving.client.base.trim_start_matches("http://").to_owned();
    let body = format!("{{\"app\":\"daemon\",\"scopes\":[\"{GRAPH}\"]}}");
    let request = format!(
        "POST /client-credentials HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (clock, mut connections) = (Clock::system(), Vec::new());
    for number in 0..CONNECTIONS {
        eventually(SOON, async || clock.precise() >= APART * number).await;
        let mut connection = TcpStream::connect(&address).expect("a connection");
        ask(&mut connection, &request);
        answered(&mut connection);
        connections.push(connection);
    }
    serving.signal("STOP");
    eventually(SOON, async || clock.precise() >= STAYS + APART * (CONNECTIONS / 2)).await;
    for connection in &mut connections {
        ask(connection, &request);
    }
    serving.signal("CONT");
    for connection in &mut connections {
        answered(connection);
    }
}

fn ask(connection: &mut TcpStream, request: &str) {
    connection.write_all(request.as_bytes()).expect("a request");
}

/// Reads an answer, which must be a token.
fn answered(connection: &mut TcpStream) {
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let (mut text, mut buffer) = (String::new(), [0; 8192]);
    while !text.ends_with('}') {
        let read = connection.read(&mut buffer).expect("an answer");
        assert!(read > 0, "the connection was closed: {text}");
        text += &String::from_utf8_lossy(&buffer[..read]);
    }
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}
