//! `tokend check`: everything that is wrong, at once, with file, key and remedy, and never a value.

use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, date_time_ymd};

use super::{root, run, said, stage, tokend};
use crate::support::configuration;

fn check(config: &Path) -> Command {
    let mut command = tokend(&["check", "--config"]);
    command.arg(config);
    command
}

#[tokio::test]
async fn every_finding_of_a_bad_file_is_listed_at_once() {
    let config = root().join("tests/fixtures/config/bad.yaml");
    let (code, text) = said(&run(check(&config)).await);
    assert_eq!(code, 64, "{text}");
    let keys = [
        "listen[1]",
        "admin_listen[0]",
        "hosts[0]",
        "tls.cert",
        "tls.client_ca.env",
        "tls.key",
        "apps.orders.authority",
        "apps.orders.clientid",
        "apps.orders.client_id",
        "apps.orders.credential.managed_identity",
        "apps.both.issuer",
        "apps.both.client_id",
        "apps.both.credential.secret",
        "apps.multi.client_id",
        "apps.multi.credential.certificate.env",
        "apps.multi.inbound.tenants",
        "apps.multi.tenants[0]",
        "apps.multi.tenants[1]",
        "apps.shop.tenants",
        "apps.shop.credential",
        "apps.shop.inbound.audiences",
        "apps.shop.inbound.tenants",
        "apps.shop.assertion_audience",
        "apps.none.authority",
        "apps.none.client_id",
        "apps.none.credential",
        "apis.graph.app",
        "apis.graph.scopes",
        "apis.graph.base_url",
        "apis.empty.scopes",
        "cache.memory.max_bytes",
        "authority.timeout",
        "authority.concurrency",
        "outbound.proxy",
        "limits.header",
        "limits.request_timeout",
        "limits.inflght",
        "shutdown",
        "log.level",
        "log.format",
        "otlp.sample_ratio",
        "otlp.headers",
    ];
    let file = config.display().to_string();
    for key in keys {
        assert!(text.contains(&format!("error: {file}: {key}: ")), "{key} is not in {text}");
    }
    let (findings, remedies) = (text.matches(&file).count(), text.matches("\n  remedy: ").count());
    assert!(findings >= keys.len() && findings == remedies, "{findings} findings, {remedies} remedies");
    assert!(!text.contains("canary"), "no value is shown: {text}");
    assert!(text.trim_end().lines().last().is_some_and(|line| line.contains(" errors, ")), "{text}");
}

#[tokio::test]
async fn serve_stops_with_the_same_findings() {
    let config = root().join("tests/fixtures/config/bad.yaml");
    let mut command = tokend(&["serve", "--config"]);
    command.arg(&config);
    let served = said(&run(command).await);
    assert_eq!(served, said(&run(check(&config)).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_is_0_and_says_so() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let (code, text) = said(&run(check(&config)).await);
    assert_eq!((code, text.trim()), (0, "the configuration is good"));
    assert!(emulator.requests().await.iter().all(|request| request["endpoint"] != "token"), "nothing is asked offline");
}

/// A key and its certificate in PEM.
fn pair(algorithm: &'static rcgen::SignatureAlgorithm, last_year: i32) -> (String, String) {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    (key.serialize_pem(), params.self_signed(&key).expect("a certificate").pem())
}

#[tokio::test]
async fn every_kind_of_bad_file_is_found_at_once() {
    let files = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).expect("a file");
    let ((key, certificate), (_, other)) = (pair(&PKCS_RSA_SHA256, 2099), pair(&PKCS_RSA_SHA256, 2099));
    let (ec_key, ec_certificate) = pair(&PKCS_ECDSA_P256_SHA256, 2099);
    let (old_key, old_certificate) = pair(&PKCS_RSA_SHA256, 2021);
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let legacy = key.replace(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n",
    );
    let legacy = legacy.replace("-----END PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----");
    write("garbage.pem", "canary");
    write("mismatched.pem", &format!("{key}{other}"));
    write("ec.pem", &format!("{ec_key}{ec_certificate}"));
    write("encrypted.pem", &format!("{encrypted}{certificate}"));
    write("legacy.pem", &format!("{legacy}{certificate}"));
    write("keyless.pem", &certificate);
    write("bare.pem", &key);
    write("expired.pem", &format!("{old_key}{old_certificate}"));
    write("empty.secret", "\n");
    write("lines.secret", "canary-a\ncanary-b\n");
    write("good.secret", "canary-good\n");
    write("bad-ca.pem", "canary");
    let cases = [
        ("garbage", "certificate", "garbage.pem", "certificate"),
        ("mismatched", "certificate", "mismatched.pem", "belongs to its private key"),
        ("ec", "certificate", "ec.pem", "RSA"),
        ("encrypted", "certificate", "encrypted.pem", "encrypted"),
        ("legacy", "certificate", "legacy.pem", ""),
        ("keyless", "certificate", "keyless.pem", "no private key"),
        ("bare", "certificate", "bare.pem", "no certificate"),
        ("missing", "certificate", "nowhere.pem", "cannot be read"),
        ("folder", "secret", "", ""),
        ("lost", "secret", "nowhere.secret", "cannot be read"),
        ("empty", "secret", "empty.secret", "empty"),
        ("lines", "secret", "lines.secret", "one line"),
    ];
    let mut yaml = "apps:\n".to_owned();
    let app = |name: &str, kind: &str, file: &str, more: &str| {
        let file = files.path().join(file).display().to_string();
        format!(
            "  {name}: {{authority: https://login.microsoftonline.com/contoso.example, client_id: a, \
             credential: {{{kind}: {{file: \"{file}\"}}}}{more}}}\n"
        )
    };
    for (name, kind, file, _) in cases {
        yaml += &app(name, kind, file, "");
    }
    yaml += &app("expired", "certificate", "expired.pem", "");
    for ca in ["bad-ca.pem", "no-ca.pem"] {
        let name = ca.trim_end_matches(".pem");
        yaml += &app(name, "secret", "good.secret", &format!(", ca_file: \"{}\"", files.path().join(ca).display()));
    }
    write("tokend.yaml", &yaml);
    let (code, text) = said(&run(check(&files.path().join("tokend.yaml"))).await);
    assert_eq!(code, 64, "{text}");
    let finding = |severity: &str, key: &str| {
        let start = text.find(&format!("{key}: ")).unwrap_or_else(|| panic!("{key} is not in {text}"));
        let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
        assert!(text[line..].starts_with(severity), "{}", &text[line..start]);
        text[line..].split("\nerror: ").next().unwrap_or_default().to_owned()
    };
    for (name, kind, _, word) in cases {
        let found = finding("error", &format!("apps.{name}.credential.{kind}.file"));
        assert!(found.contains(word) && found.contains("remedy: "), "{name}: {found}");
    }
    assert!(finding("warning", "apps.expired.credential.certificate.file").contains("has expired"));
    for name in ["bad-ca", "no-ca"] {
        finding("error", &format!("apps.{name}.ca_file"));
    }
    assert!(!text.contains("canary") && !text.contains("BEGIN RSA") && !text.contains(&key[40..80]), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_configuration_is_64() {
    let files = tempfile::tempdir().expect("a folder");
    let config = files.path().join("tokend.yaml");
    let (code, text) = said(&run(check(&config)).await);
    assert!(code == 64 && text.contains("tokend.yaml"), "{text}");
    for body in ["apps: [", "canary", "", "- canary\n", "apps: {a: {}}\napps: {b: {}}\n\u{0}"] {
        std::fs::write(&config, body).expect("a file");
        let (code, text) = said(&run(check(&config)).await);
        assert!(code == 64 && text.contains("remedy: ") && !text.contains("canary"), "{body:?}: {code} {text}");
    }
}

#[tokio::test]
async fn serve_refuses_a_listener_beyond_loopback() {
    let files = tempfile::tempdir().expect("a folder");
    let config = files.path().join("tokend.yaml");
    std::fs::write(files.path().join("s"), "a-secret").expect("a file");
    for listen in ["0.0.0.0:0", "\"*:8650\"", "192.0.2.1:8650", "\"[::]:8650\"", "[127.0.0.1:8650, 0.0.0.0:8650]"] {
        let secret = files.path().join("s").display().to_string();
        let app = format!(
            "{{authority: https://login.microsoftonline.com/contoso.example, client_id: a, credential: {{secret: {{file: {secret}}}}}}}"
        );
        std::fs::write(&config, format!("listen: {listen}\napps:\n  a: {app}\n")).expect("a file");
        let mut command = tokend(&["serve", "--config"]);
        command.arg(&config);
        let (code, text) = said(&run(command).await);
        assert_eq!(code, 64, "{listen}: {text}");
        assert!(text.contains("listen") && text.contains("loopback"), "{text}");
    }
}

#[tokio::test]
async fn headers_for_the_collector_are_checked_before_anything_starts() {
    let files = tempfile::tempdir().expect("a folder");
    let config = files.path().join("tokend.yaml");
    let bad = files.path().join("headers");
    std::fs::write(&bad, "canary-secret-without-a-name").expect("a file");
    for headers in [files.path().join("missing"), bad] {
        let app = "apps:\n  a: {issuer: \"https://id.example\", client_id: a, credential: {secret: {env: A_SECRET}}}";
        let otlp = format!("otlp: {{endpoint: \"http://127.0.0.1:9\", headers: {{file: {}}}}}", headers.display());
        std::fs::write(&config, format!("{app}\n{otlp}\n")).expect("a file");
        let mut command = check(&config);
        command.env("A_SECRET", "a-secret-of-the-environment");
        let (code, text) = said(&run(command).await);
        assert_eq!(code, 64, "{text}");
        assert!(text.contains("otlp.headers") && !text.contains("canary"), "{text}");
    }
}
