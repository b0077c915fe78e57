//! `tokend serve`: how it starts, with what, and while its authority is away.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Serving, free_port, stage, tokend};
use crate::support::{Emulator, GRAPH, configuration, soon};

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_of_the_azure_sdks_are_enough() {
    let (emulator, files) = stage().await;
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, &emulator.ca_pem).expect("a file");
    let app = emulator.app("daemon");
    let mut command = tokend(&["serve"]);
    command
        .env("AZURE_TENANT_ID", emulator.directory["tenants"][0]["id"].as_str().expect("an id"))
        .env("AZURE_CLIENT_ID", app["client_id"].as_str().expect("a client id"))
        .env("AZURE_CLIENT_SECRET", Emulator::secret(emulator.app("daemon")))
        .env("AZURE_AUTHORITY_HOST", &emulator.origin)
        // The system's roots, as OpenSSL and its like take them.
        .env("SSL_CERT_FILE", &ca);
    let serving = Serving::start(command).await;
    let answer = serving.client.post("/client-credentials", &json!({"scopes": [GRAPH]})).await;
    assert_eq!(answer.status, 200, "{} {}", answer.text, serving.output());
    let status = serving.admin.get("/status").await;
    assert_eq!(status.json["apps"][0]["name"], "default");
    for text in [serving.output(), status.text] {
        assert!(!text.contains(Emulator::secret(emulator.app("daemon"))), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_while_its_authority_is_down_and_recovers() {
    let (emulator, files) = stage().await;
    // The authority's address is a port where nobody listens yet; a plain relay to the emulator opens it later.
    let port = free_port();
    let address = format!("https://127.0.0.1:{port}");
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files).replace(&emulator.origin, &address)).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let serving = Serving::start(command).await;
    assert_eq!(serving.admin.get("/livez").await.status, 200);
    let ask = async || serving.client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await;
    let down = ask().await;
    down.refused(503, "authority_unavailable", "cannot be reached");
    assert_eq!(serving.admin.get("/readyz").await.status, 200, "an outage elsewhere takes no pod out of service");
    relay(port, emulator.origin.trim_start_matches("https://").to_owned()).await;
    let mut last = down;
    for _ in 0..1000 {
        last = ask().await;
        if last.status == 200 {
            break;
        }
        assert_eq!(last.status, 503, "{}", last.text);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    last.token();
    assert!(!serving.output().contains("panicked"), "{}", serving.output());
}

/// Opens a port and passes everything on to an address.
#[expect(clippy::disallowed_methods, reason = "the test's own network, no part of the sidecar")]
async fn relay(port: u16, to: String) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port");
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut there = tokio::net::TcpStream::connect(to).await.expect("the emulator");
                // A connection that breaks off is the caller's to notice.
                let _copied = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_has_its_mode_and_serves() {
    let (emulator, files) = stage().await;
    let socket = files.path().join("tokend.sock");
    let config = files.path().join("tokend.yaml");
    let yaml = configuration(&emulator, &files);
    let text = format!("{yaml}\nlisten: [\"unix:{}\"]\nlisten_mode: \"0660\"\n", socket.display());
    std::fs::write(&config, text).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let serving = Serving::start_as_configured(command).await;
    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
    let body = json!({"app": "daemon", "scopes": [GRAPH]}).to_string();
    let mut stream = tokio::net::UnixStream::connect(&socket).await.expect("a connection");
    let request = format!(
        "POST /client-credentials HTTP/1.1\r\nhost: any.name.at.all\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("access_token"), "{answer}");
    drop(serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_1() {
    let (emulator, files) = stage().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let config = files.path().join("tokend.yaml");
    let address = taken.local_addr().expect("an address");
    let yaml =
        format!("{}\nlisten: \"{address}\"\nadmin_listen: \"127.0.0.1:{}\"\n", configuration(&emulator, &files), free_port());
    std::fs::write(&config, yaml).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let (code, text) = super::said(&super::run(command).await);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&address.to_string()), "{text}");
}
