//! Whom the process trusts: the roots that the environment names,
//! for authorities and for Redis, and what is said of names that lead nowhere.

use super::{Serving, run, said, stage, tokend};
use crate::support::redis::{Certificates, RedisServer};
use crate::support::{GRAPH, configuration};
use serde_json::json;

/// A configuration whose apps name no CA.
fn without_ca(yaml: &str, ca: &std::path::Path) -> String {
    yaml.replace(&format!("ca_file: {}, ", ca.display()), "")
}

#[tokio::test(flavor = "multi_thread")]
async fn ssl_cert_file_is_for_authorities_and_for_redis() {
    let (emulator, files) = stage().await;
    let certificates = Certificates::new();
    let redis = RedisServer::options().tls(&certificates).config("tls-auth-clients", "no").start().await;
    let yaml = without_ca(&configuration(&emulator, &files), &files.path().join("ca.pem"));
    assert!(!yaml.contains("ca_file"));
    let cache = format!("cache: {{redis: {{url: \"{}\", timeout: 1s, encryption: {{plaintext: true}}}}}}\n", redis.url());
    assert!(cache.contains("rediss://"));
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, yaml + &cache).expect("a file");
    let both = files.path().join("both.pem");
    let theirs = std::fs::read_to_string(certificates.ca()).expect("a file");
    let check = async |roots: &str| {
        std::fs::write(&both, roots).expect("a file");
        let mut command = tokend(&["check", "--online", "--config"]);
        command.arg(&config).env("SSL_CERT_FILE", &both);
        said(&run(command).await)
    };
    let (code, text) = check(&format!("{}{theirs}", emulator.ca_pem)).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("cache.redis: it can be read") && text.contains("daemon: the authority gives it tokens"), "{text}");
    let (code, text) = check(&emulator.ca_pem).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("error: cache.redis: ") && text.contains("daemon: the authority gives it tokens"), "{text}");
    let (code, text) = check(&theirs).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("cache.redis: it can be read") && text.contains("daemon: authority_unavailable"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_of_roots_is_a_warning_and_the_apps_own_ca_counts() {
    let (emulator, files) = stage().await;
    let (config, empty) = (files.path().join("tokend.yaml"), files.path().join("certs"));
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    std::fs::create_dir(&empty).expect("a folder");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config).env("SSL_CERT_DIR", &empty);
    let serving = Serving::start(command).await;
    serving.client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await.token();
    assert!(serving.output().contains("warning: environment: SSL_CERT_DIR: "), "{}", serving.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_roots_that_is_not_there_ends_the_start() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let mut command = tokend(&["check", "--config"]);
    command.arg(&config).env("SSL_CERT_FILE", "/nowhere/ca.pem");
    let (code, text) = said(&run(command).await);
    assert_eq!(code, 64, "{text}");
    assert!(text.contains("error: environment: SSL_CERT_FILE: ") && text.contains("remedy: "), "{text}");
}
