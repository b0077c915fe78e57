//! The address that a browser comes back to, and all others who come there: none of them finishes a sign-in, or spoils it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Stage, Waiting, is_clean, signal, visit, word};
use crate::support::{Client, parameter, soon};
use serde_json::json;

const ANA: [&str; 4] = ["--prompt", "none", "--login-hint", "ana@contoso.example"];

/// A sign-in that waits, and the authority's answer that would end it.
async fn waiting(stage: &Stage, more: &[&str]) -> (Waiting, url::Url) {
    let mut waiting = stage.begin(&[&ANA[..], more].concat());
    let back = stage.emulator.sign_in(&waiting.address().await).await;
    (waiting, back)
}

/// Sends bytes to the address and reads the answer until it ends.
fn raw(back: &url::Url, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", back.port().expect("a port"))).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    // It may be closed before all is written.
    let _written = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(target: &str, host: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_the_state_ends_the_wait() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &[]).await;
    let (code, state) = (parameter(&back, "code"), parameter(&back, "state"));
    let (host, target) = (format!("localhost:{}", back.port().expect("a port")), format!("/?code={code}&state={state}"));
    let wrong = format!("{}x", &state[..state.len() - 1]);
    for (status, request) in [
        (400, get(&format!("/?code={code}&state={wrong}"), &host, "")),
        (400, get(&format!("/?code={code}"), &host, "")),
        (400, get("/", &host, "")),
        (400, get(&format!("/?state={state}"), &host, "")),
        (400, get(&format!("/?error=access_denied&state={wrong}"), &host, "")),
        (400, get(&format!("{target}&state={state}"), &host, "")),
        (404, get("/favicon.ico", &host, "")),
        (404, get(&format!("/callback?code={code}&state={state}"), &host, "")),
        (404, get("/done", &host, "")),
        (403, get(&target, "evil.example", "")),
        (403, get(&target, &host.replace("localhost", "evil.example"), "")),
        (403, get(&target, &host, "origin: https://evil.example\r\n")),
        (403, get(&target, &host, "sec-fetch-mode: no-cors\r\nsec-fetch-site: cross-site\r\n")),
        (403, get(&target, &host, "sec-fetch-mode: navigate\r\nsec-fetch-dest: iframe\r\n")),
        (405, get(&target, &host, "content-length: 0\r\n").replace("GET ", "POST ")),
        (405, get(&target, &host, "").replace("GET ", "HEAD ")),
    ] {
        let answer = raw(&back, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("default-src 'none'") && answer.contains("no-store"), "{answer}");
        assert!(!answer.contains(&state) && !answer.contains(&code), "{answer}");
    }
    // The right one still counts.
    waiting.is_shown_out(&back).await;
    let told = waiting.told().await;
    told.is(0, &[]);
    told.keeps(&word(&back));
}

/// Another page that fetches or frames the last one must not be what the desk closes for.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_page_is_for_the_browser_that_signed_in() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &[]).await;
    let host = format!("localhost:{}", back.port().expect("a port"));
    assert_eq!(visit(&back).await.status, 303);
    for more in ["sec-fetch-mode: no-cors\r\n", "origin: https://evil.example\r\n", "sec-fetch-dest: iframe\r\n"] {
        let answer = raw(&back, &get("/done", &host, more));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{more}: {answer}");
    }
    let shown = raw(&back, &get("/done", &host, ""));
    assert!(shown.starts_with("HTTP/1.1 200 "), "{shown}");
    waiting.told().await.is(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_http_is_cut_off() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &[]).await;
    let long = "a".repeat(200 * 1024);
    for request in [
        get(&format!("/?code={long}"), "localhost", ""),
        get("/", "localhost", &format!("x: {long}\r\n")),
        get("/", "localhost", &"x: y\r\n".repeat(2000)),
        format!("{long}\r\n\r\n"),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(),
    ] {
        let answer = raw(&back, &request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    waiting.is_shown_out(&back).await;
    waiting.told().await.is(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_the_browser_out_by_no_number() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &[]).await;
    let port = back.port().expect("a port");
    let mut idle = Vec::new();
    for host in ["127.0.0.1", "::1"] {
        for begun in 0..80 {
            let Ok(mut stream) = TcpStream::connect((host, port)) else { continue };
            if begun % 2 == 0 {
                // One of the first may be gone already.
                let _written = stream.write_all(b"GET /?code=");
            }
            idle.push(stream);
        }
    }
    assert!(idle.len() >= 80, "{}", idle.len());
    waiting.is_shown_out(&back).await;
    waiting.told().await.is(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_changes_nothing() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &[]).await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let first = async { waiting.is_shown_out(&back).await };
    let second = async {
        stage.emulator.asked_times("token", 1).await;
        let again = visit(&back).await;
        let mut other = back.clone();
        other.query_pairs_mut().clear().append_pair("state", &parameter(&back, "state")).append_pair("code", "another");
        let other = visit(&other).await;
        stage.emulator.release().await;
        [again, other]
    };
    let (page, late) = soon(async { tokio::join!(first, second) }).await;
    assert!(page.text.contains("You are signed in"), "{}", page.text);
    for answer in late {
        assert_eq!(answer.status, 400, "{}", answer.text);
        is_clean(&answer);
    }
    waiting.told().await.is(0, &[]);
    assert_eq!(stage.emulator.asked("token").await.len(), 1, "one code was redeemed, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_loopbacks_are_bound_and_gone_afterwards() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &[]).await;
    let port = back.port().expect("a port");
    let has_six = std::net::TcpListener::bind("[::1]:0").is_ok();
    for host in if has_six { &["127.0.0.1", "::1"][..] } else { &["127.0.0.1"] } {
        assert!(std::net::TcpListener::bind((*host, port)).is_err(), "{host} is for others to take");
        assert!(TcpStream::connect((*host, port)).is_ok(), "{host}");
    }
    waiting.is_shown_out(&back).await;
    waiting.told().await.is(0, &[]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_has_an_end() {
    let stage = Stage::over_tcp("").await;
    let (waiting, back) = waiting(&stage, &["--timeout", "1s"]).await;
    let told = waiting.told().await;
    told.is(1, &["nobody signed in within 1 s", "--timeout"]);
    told.keeps(&word(&back));
    let late = Client::new("", None).http.get(back).build().expect("a request");
    assert!(Client::new("", None).http.execute(late).await.is_err(), "nobody is there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_wait() {
    let stage = Stage::over_tcp("").await;
    for name in ["INT", "TERM"] {
        let (waiting, back) = waiting(&stage, &[]).await;
        signal(&waiting.child, name);
        let told = waiting.told().await;
        told.is(130, &["tokend: interrupted"]);
        told.keeps(&word(&back));
        assert_eq!(told.out.lines().count(), 1, "the address alone: {}", told.out);
        assert!(TcpStream::connect(("127.0.0.1", back.port().expect("a port"))).is_err());
    }
}
