//! What is wrong with the files is found before anything listens, all of it at once.

use std::path::Path;

use tokend::clock::Clock;
use tokend::finding::Severity;
use tokend::sidecar::{Prepared, prepare};

use super::{Authority, LATER};
use crate::support::{NOW, Sidecar};

/// Severity, key and reason of each finding on `tls: {…}`.
fn found(files: &Path, tls: &str) -> (Option<Prepared>, Vec<(Severity, String, String)>) {
    let path = files.display().to_string();
    let tls = tls.replace("FILES", &path);
    let yaml = format!(
        "apps: {{a: {{issuer: \"https://id.example\", client_id: a, credential: {{secret: {{file: {path}/secret}}}}}}}}\ntls: {tls}\n"
    );
    let (prepared, findings) = prepare(Sidecar::settings(&yaml), &Clock::manual(NOW));
    let all: Vec<_> = findings.iter().map(|it| (it.severity, it.key.clone(), it.reason.clone())).collect();
    for finding in findings.iter() {
        assert!(!finding.remedy.is_empty() && finding.file.as_deref() == Some("test.yaml"), "{finding}");
        assert!(!finding.to_string().contains("canary"), "{finding}");
    }
    assert_eq!(prepared.is_none(), findings.has_errors());
    (prepared, all)
}

#[test]
fn each_bad_file_is_a_finding_at_its_key() {
    let files = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).expect("a file");
    let authority = Authority::new();
    let (pair, other) = (authority.listener(&[], LATER), authority.listener(&[], LATER));
    write("secret", "a-secret");
    write("good.crt", &format!("{}{}", pair.cert, authority.pem));
    write("reversed.crt", &format!("{}{}", authority.pem, pair.cert));
    write("good.key", &pair.key);
    write("other.key", &other.key);
    write("ca.pem", &authority.pem);
    write("garbage", "canary");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n");
    write("broken.key", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n");
    write("encrypted.key", &pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    for (tls, key, word) in [
        ("{cert: {file: FILES/nowhere}, key: {file: FILES/good.key}}", "tls.cert.file", "cannot be read"),
        ("{cert: {file: FILES/garbage}, key: {file: FILES/good.key}}", "tls.cert.file", "no certificate"),
        ("{cert: {file: FILES/broken.pem}, key: {file: FILES/good.key}}", "tls.cert.file", "cannot be read"),
        ("{cert: {file: FILES/good.crt}, key: {file: FILES/nowhere}}", "tls.key.file", "cannot be read"),
        ("{cert: {file: FILES/good.crt}, key: {file: FILES/garbage}}", "tls.key.file", "no private key"),
        ("{cert: {file: FILES/good.crt}, key: {file: FILES/broken.key}}", "tls.key.file", "no kind that TLS uses"),
        ("{cert: {file: FILES/good.crt}, key: {file: FILES/encrypted.key}}", "tls.key.file", "encrypted"),
        ("{cert: {file: FILES/good.crt}, key: {file: FILES/other.key}}", "tls.key.file", "not the key of the first certificate"),
        ("{cert: {file: FILES/reversed.crt}, key: {file: FILES/good.key}}", "tls.key.file", "not the key of the first certificate"),
    ] {
        let (_, findings) = found(files.path(), tls);
        assert!(matches!(&*findings, [(Severity::Error, at, why)] if at == key && why.contains(word)), "{tls}: {findings:?}");
    }
    let pair_and =
        |ca: &str| format!("{{cert: {{file: FILES/good.crt}}, key: {{file: FILES/good.key}}, client_ca: {{file: FILES/{ca}}}}}");
    for (ca, word) in [
        ("nowhere", "cannot be read"),
        ("garbage", "no certificate"),
        ("broken.pem", "cannot be read"),
        ("good.key", "no certificate"),
    ] {
        let (_, findings) = found(files.path(), &pair_and(ca));
        let at = "tls.client_ca.file";
        assert!(matches!(&*findings, [(Severity::Error, key, why)] if key == at && why.contains(word)), "{ca}: {findings:?}");
    }
    let all = "{cert: {file: FILES/garbage}, key: {file: FILES/garbage}, client_ca: {file: FILES/garbage}}";
    let (_, findings) = found(files.path(), all);
    let keys: Vec<_> = findings.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(keys, ["tls.cert.file", "tls.key.file", "tls.client_ca.file"], "all at once");
    assert_eq!(found(files.path(), &pair_and("ca.pem")).1, []);
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let files = tempfile::tempdir().expect("a folder");
    std::fs::write(files.path().join("secret"), "a-secret").expect("a file");
    let authority = Authority::new();
    // The clock stands on 22 November 2026.
    for (name, until, word) in
        [("ended", (2026, 11, 1), "has expired"), ("soon", (2026, 12, 12), "ends in 2"), ("later", (2027, 6, 1), "")]
    {
        let pair = authority.listener_until(until);
        std::fs::write(files.path().join(name), format!("{}{}", pair.cert, pair.key)).expect("a file");
        let (prepared, findings) = found(files.path(), &format!("{{cert: {{file: FILES/{name}}}, key: {{file: FILES/{name}}}}}"));
        assert!(prepared.is_some());
        let warned = matches!(&*findings, [(Severity::Warning, key, why)] if key == "tls.cert.file" && why.contains(word));
        assert_eq!((warned, findings.is_empty()), (!word.is_empty(), word.is_empty()), "{findings:?}");
    }
}

#[test]
fn nothing_of_the_key_is_shown() {
    let files = tempfile::tempdir().expect("a folder");
    std::fs::write(files.path().join("secret"), "a-secret").expect("a file");
    let pair = Authority::new().listener(&[], LATER);
    std::fs::write(files.path().join("both.pem"), format!("{}{}", pair.cert, pair.key)).expect("a file");
    let (prepared, _) = found(files.path(), "{cert: {file: FILES/both.pem}, key: {file: FILES/both.pem}}");
    let text = format!("{:#?}", prepared.expect("a sidecar"));
    let line = pair.key.lines().nth(1).expect("a line of the key");
    assert!(text.contains("tls") && !text.contains(line) && !text.contains("PRIVATE"), "{text}");
}
