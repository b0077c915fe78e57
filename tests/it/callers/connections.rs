//! Callers that are known by their process at a Unix socket, or by the address that they reach.

use std::path::Path;

use serde_json::json;
use tokend::config::{Format, parse};
use tokend::listen::Address;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{Stage, token};
use crate::support::{GRAPH, NOW, Sidecar, soon};

/// The answer to a request for an app's token, as text.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, more: &str) -> String {
    let body = json!({"app": "daemon", "scopes": [GRAPH]}).to_string();
    let head = format!(
        "POST /client-credentials HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n{more}\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("an answer");
    answer
}

async fn at(address: &Address, more: &str) -> String {
    match address {
        Address::Tcp(address) => ask(TcpStream::connect(address).await.expect("a connection"), more).await,
        Address::Unix(path) => ask(UnixStream::connect(path).await.expect("a connection"), more).await,
        Address::Any(_) => panic!("no address of a test"),
    }
}

#[track_caller]
fn is_refused(answer: &str, word: &str) {
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("caller_not_authenticated"), "{answer}");
    assert!(answer.contains(word) && !answer.contains("canary"), "{answer}");
}

#[track_caller]
fn is_served(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("access_token"), "{answer}");
}

fn own_ids() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// A sidecar with these callers, in YAML, that listens at a port and at a socket.
async fn started(stage: &Stage, socket: &Path, callers: &str) -> Sidecar {
    let yaml = format!("{}listen: [\"127.0.0.1:0\", \"unix:{}\"]\ncallers:\n{callers}", stage.base, socket.display());
    Sidecar::start(&yaml, &stage.clock).await
}

#[tokio::test]
async fn a_process_is_known_by_what_the_kernel_says_of_it() {
    let stage = Stage::empty(None).await;
    let socket = stage.files.path().join("tokend.sock");
    stage.write_tokens("alpha", &[&token("alpha")]);
    let ((uid, gid), alpha) = (own_ids(), stage.token_file("alpha"));
    let alpha = format!("  - {{name: alpha, token: {{file: {}}}}}\n", alpha.display());
    for (peer, is_it) in [
        (format!("uid: {uid}"), true),
        (format!("gid: {gid}"), true),
        (format!("uid: {uid}, gid: {gid}"), true),
        (format!("uid: {}", uid + 1), false),
        (format!("gid: {}", gid + 1), false),
        (format!("uid: {uid}, gid: {}", gid + 1), false),
        (format!("uid: {}, gid: {gid}", uid + 1), false),
    ] {
        let sidecar = started(&stage, &socket, &format!("  - {{name: local, peer: {{{peer}}}}}\n{alpha}")).await;
        let [tcp, unix] = &sidecar.addresses[..] else { panic!("two addresses: {:?}", sidecar.addresses) };
        let answer = at(unix, "").await;
        if is_it {
            is_served(&answer)
        } else {
            is_refused(&answer, "missing")
        }
        // A port says nothing of who is there.
        is_refused(&at(tcp, "").await, "missing");
        let shown = format!("x-tokend-token: {}\r\n", token("alpha"));
        is_served(&at(tcp, &shown).await);
        // Another process than the entry's is nobody, and may be somebody else.
        let both = at(unix, &shown).await;
        if is_it {
            is_refused(&both, "several callers")
        } else {
            is_served(&both)
        }
        is_refused(&at(unix, "x-tokend-token: canary-of-nobody-0123456789\r\n").await, "no caller");
        assert!(sidecar.stop().await);
    }
}

#[tokio::test]
async fn ids_that_stand_for_everybody_are_no_proof() {
    let stage = Stage::empty(None).await;
    for (peer, key) in [("uid: 65534", "callers[0].peer.uid"), ("uid: 7, gid: 65534", "callers[0].peer.gid")] {
        let yaml = format!("{}listen: 'unix:/run/t.sock'\ncallers: [{{name: a, peer: {{{peer}}}}}]\n", stage.base);
        let (settings, findings) = parse(&yaml, Format::Yaml, "test.yaml", &std::collections::BTreeMap::new());
        let settings = settings.unwrap_or_else(|| panic!("{findings:#?}"));
        let (prepared, findings) = tokend::sidecar::prepare(settings, &tokend::clock::Clock::manual(NOW));
        let found: Vec<_> = findings.iter().collect();
        assert!(
            prepared.is_none() && matches!(found.as_slice(), [one] if one.key == key && one.reason.contains("nobody")),
            "{findings:#?}"
        );
    }
}

#[tokio::test]
async fn whoever_reaches_a_callers_own_address_is_that_caller() {
    let stage = Stage::empty(None).await;
    let own = stage.files.path().join("own.sock");
    stage.write_tokens("alpha", &[&token("alpha")]);
    let callers = format!(
        "callers:\n  - {{name: alpha, token: {{file: {}}}}}\n  - {{name: sdk, listener: '127.0.0.1:0', flows: [client_credentials]}}\n  \
         - {{name: shell, listener: 'unix:{}', flows: [silent]}}\n",
        stage.token_file("alpha").display(),
        own.display()
    );
    let sidecar = Sidecar::start(&format!("{}{callers}", stage.base), &stage.clock).await;
    let [shared, sdk, shell] = &sidecar.addresses[..] else { panic!("three addresses: {:?}", sidecar.addresses) };
    is_refused(&at(shared, "").await, "missing");
    is_served(&at(sdk, "").await);
    // Its rights are its entry's.
    let answer = at(shell, "").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("caller_not_allowed"), "{answer}");
    for (caller, outcome) in [("sdk", "authenticated"), ("shell", "authenticated"), ("shell", "not_allowed")] {
        let count = sidecar.metric(&format!("tokend_caller_requests_total{{caller=\"{caller}\",outcome=\"{outcome}\"}}")).await;
        assert!((count - 1.0).abs() < f64::EPSILON, "{caller} {outcome}: {count}");
    }
    // What else is shown there is looked at.
    is_refused(&at(sdk, &format!("x-tokend-token: {}\r\n", token("alpha"))).await, "several callers");
    is_refused(&at(sdk, "x-tokend-token: canary-of-nobody-0123456789\r\n").await, "no caller");
    // A page is no caller, and another host is not ours.
    assert!(at(sdk, "origin: https://evil.example\r\n").await.contains("origin_not_allowed"));
    assert!(at(sdk, "x-forwarded-for: 10.0.0.1\r\n").await.contains("forwarded_header"));
    assert!(sidecar.stop().await && !own.exists());
}

#[tokio::test]
async fn an_address_of_a_callers_own_speaks_no_tls() {
    let more = "callers:\n  - {name: sdk, listener: '127.0.0.1:0'}\n  - {name: alpha, token: {file: FILES/token}}\n";
    let stage = crate::tls::Stage::calling("", more).await;
    let [_, sdk] = &stage.sidecar.addresses[..] else { panic!("two addresses") };
    let answer = at(sdk, "").await;
    // The app of that stage is none that could have a token.
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("unknown_app"), "{answer}");
}
