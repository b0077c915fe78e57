//! Signing in at OIDC issuers: the address is one of 127.0.0.1, and who says so is passed on (RFC 9207).

use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{SHARED, Serving, Waiting, tokend, word};
use crate::support::{Emulator, OidcProvider, configuration, free_port, parameter};

const SECRET: &str = "desk secret/with+more";

/// A tokend with this configuration.
async fn serving(yaml: &str, files: &TempDir) -> Serving {
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, yaml).expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    Serving::start(command).await
}

fn login(serving: &Serving, args: &[&str]) -> Waiting {
    let mut command = tokend(&["login", "--no-browser", SHARED, "--url", &serving.client.base]);
    command.args(args);
    Waiting::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_client_of_the_oidc_provider_signs_in_at_any_port() {
    let server = OidcProvider::start(&json!({"defaultResource": "https://orders.example", "clients": [{
        "client_id": "desk", "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_post",
        "application_type": "native", "grant_types": ["authorization_code"], "redirect_uris": ["http://127.0.0.1/"],
    }]}))
    .await;
    let files = tempfile::tempdir().expect("a folder");
    let secret = files.path().join("desk.secret");
    std::fs::write(&secret, SECRET).expect("a file");
    let credential = format!("{{secret: {{file: {}}}}}", secret.display());
    let app = format!("{{issuer: \"{}\", insecure_http: true, client_id: desk, credential: {credential}}}", server.issuer);
    let serving = serving(&format!("apps:\n  desk: {app}\n"), &files).await;
    let mut waiting = login(&serving, &["--scope", "api.read"]);
    let address = waiting.address().await;
    let redirect = parameter(&address.parse().expect("an address"), "redirect_uri");
    assert!(redirect.starts_with("http://127.0.0.1:") && redirect.ends_with('/'), "{redirect}");
    let back = server.sign_in(&address).await;
    assert_eq!(parameter(&back, "iss"), server.issuer, "RFC 9207");
    waiting.is_shown_out(&back).await;
    let told = waiting.told().await;
    told.is(0, &[]);
    assert!(told.out.contains("signed in as ana"), "{}", told.out);
    told.keeps(&word(&back));
    // Somebody else's word for it is refused, and nobody is signed in by it.
    let mut waiting = login(&serving, &["--scope", "api.read"]);
    let mut back = server.sign_in(&waiting.address().await).await;
    let word = ["code", "state"].map(|name| (name, parameter(&back, name)));
    back.query_pairs_mut().clear().extend_pairs(word).append_pair("iss", "https://other.example");
    let page = waiting.is_shown_out(&back).await;
    assert!(page.text.contains("failed"), "{}", page.text);
    waiting.told().await.is(1, &["iss"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_registered_with_its_port_is_taken_as_it_is() {
    let port = free_port();
    let redirect = format!("http://localhost:{port}/signed/in?by=desk");
    let mut directory = Emulator::built_in();
    let clients = directory["realms"][0]["clients"].as_array_mut().expect("clients");
    let web = clients.iter_mut().find(|client| client["client_id"] == "shop-web").expect("a client");
    web["redirect_uris"] = json!([redirect]);
    let emulator = Emulator::start_with(&Clock::system(), Some(&directory)).await;
    let files = tempfile::tempdir().expect("a folder");
    let serving = serving(&configuration(&emulator, &files), &files).await;
    let args = ["--app", "shop-web", "--scope", "orders.read", "--redirect-uri", &redirect, "--prompt", "none"];
    let mut waiting = login(&serving, &[&args[..], &["--login-hint", "eva"]].concat());
    let back = emulator.sign_in(&waiting.address().await).await;
    assert!(back.as_str().starts_with(&redirect), "{back}");
    waiting.is_shown_out(&back).await;
    let told = waiting.told().await;
    told.is(0, &[]);
    assert!(told.out.contains("signed in as "), "{}", told.out);
    // Somebody is there already.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let waiting = login(&serving, &[&args[..], &["--login-hint", "eva"]].concat());
    waiting.told().await.is(1, &["cannot be listened on", "--redirect-uri"]);
}
