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

/// The lines of findings at a key, each with its remedy.
fn findings<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let place = format!(": {key}: ");
    text.split("\nerror: ").flat_map(|part| part.split("\nwarning: ")).filter(|finding| finding.contains(&place)).collect()
}

#[tokio::test]
async fn misspelt_keys_and_unreadable_files_are_told_at_once() {
    let files = tempfile::tempdir().expect("a folder");
    let path = |name: &str| files.path().join(name).display().to_string();
    for (name, text) in [("empty", "\n"), ("garbage", "canary"), ("token", "canary")] {
        std::fs::write(files.path().join(name), text).expect("a file");
    }
    let (nowhere, empty, garbage, token) = (path("nowhere"), path("empty"), path("garbage"), path("token"));
    let yaml = [
        "apps:".to_owned(),
        format!("  misspelt: {{authority: https://login.example/t, clientid: c, credential: {{secret: {{file: '{nowhere}'}}}}}}"),
        format!("  homeless: {{client_id: c, ca_file: '{garbage}', credential: {{certificate: {{file: '{garbage}'}}}}}}"),
        format!("  bare: {{issuer: https://id.example, client_id: c, ca_file: '{nowhere}'}}"),
        format!("callers: [{{nam: web, token: {{file: '{token}'}}}}]"),
        format!("tls: {{certt: {{file: '{garbage}'}}, key: {{file: '{garbage}'}}}}"),
        format!("otlp: {{endpoint: 'http://127.0.0.1:4318', headers: {{file: '{garbage}'}}, ratio: 1}}"),
        format!("cache: {{redis: {{ur: 'rediss://a', password: {{file: '{empty}'}}, ca_file: '{garbage}', "),
        format!("  encryption: {{key_ring: {{file: '{nowhere}'}}}}}}}}"),
        "log: {levl: info}".to_owned(),
    ]
    .join("\n");
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, yaml).expect("a file");
    let (code, text) = said(&run(check(&config)).await);
    assert_eq!(code, 64, "{text}");
    for (key, words) in [
        // The keys.
        ("apps.misspelt.clientid", "not known"),
        ("apps.homeless.authority", "no authority"),
        ("apps.bare.credential", "no credential"),
        ("callers[0].nam", "not known"),
        ("tls.certt", "not known"),
        ("otlp.ratio", "not known"),
        ("cache.redis.ur", "not known"),
        ("log.levl", "not known"),
        // The files.
        ("apps.misspelt.credential.secret.file", "cannot be read"),
        ("apps.homeless.credential.certificate.file", "no certificate"),
        ("apps.homeless.ca_file", "no certificate"),
        ("apps.bare.ca_file", "cannot be read"),
        ("callers[0].token.file", "under 22"),
        ("tls.key.file", "no private key"),
        ("otlp.headers.file", "not `name=value`"),
        ("cache.redis.password", "empty"),
        ("cache.redis.ca_file", "no certificate"),
        ("cache.redis.encryption.key_ring.file", "cannot be read"),
    ] {
        let found = findings(&text, key);
        assert!(found.len() == 1 && found[0].contains(words) && found[0].contains("remedy: "), "{key}: {found:?} in {text}");
    }
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn byte_order_marks_are_passed_over_and_other_marks_are_told() {
    let files = tempfile::tempdir().expect("a folder");
    let (key, certificate) = pair(&PKCS_RSA_SHA256, 2099);
    let token = "canary-token-of-22-characters";
    let cases: [(&str, String, &str); 12] = [
        ("bom.secret", "\u{feff}canary".to_owned(), ""),
        ("quotes.secret", "\"canary\"\n".to_owned(), "stands in quotes"),
        ("zero.secret", "can\u{200b}ary".to_owned(), "zero-width space (U+200B)"),
        ("nbsp.secret", "canary\u{a0}".to_owned(), "no-break space (U+00A0)"),
        ("blank.secret", " canary\n".to_owned(), "begins or ends with a blank"),
        ("end.secret", "canary  \r\n".to_owned(), "begins or ends with a blank"),
        ("plain.secret", "ca'na\"ry\r\n".to_owned(), ""),
        ("bom.pem", format!("\u{feff}{key}\u{feff}{certificate}"), ""),
        ("bom.token", format!("\u{feff}{token}-1\n\u{feff}{token}-2\n"), ""),
        ("comment.token", format!("# \"old\"\n#{token}-0\n{token}-3\n"), ""),
        ("quotes.token", format!("{token}-4\n'{token}-5'\n"), "line 2 stands in quotes"),
        ("bom.ca", format!("{certificate}\u{feff}{certificate}"), ""),
    ];
    let mut yaml = "apps:\n".to_owned();
    let mut callers = "callers:\n".to_owned();
    for (name, text, _) in &cases {
        std::fs::write(files.path().join(name), text).expect("a file");
        let file = files.path().join(name).display().to_string();
        let (app, kind) = name.split_once('.').expect("a kind");
        let place = |kind: &str, file: &str| format!("credential: {{{kind}: {{file: '{file}'}}}}");
        let good = files.path().join("plain.secret").display().to_string();
        match kind {
            "secret" => yaml += &format!("  {app}-s: {{issuer: https://id.example, client_id: c, {}}}\n", place(kind, &file)),
            "pem" => yaml += &format!("  {app}-p: {{issuer: https://id.example, client_id: c, {}}}\n", place("certificate", &file)),
            "ca" => {
                yaml += &format!(
                    "  {app}-c: {{issuer: https://id.example, client_id: c, ca_file: '{file}', {}}}\n",
                    place("secret", &good)
                )
            }
            _ => callers += &format!("  - {{name: {app}, token: {{file: '{file}'}}}}\n"),
        }
    }
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, format!("{yaml}{callers}")).expect("a file");
    let (code, text) = said(&run(check(&config)).await);
    assert!(code == 0 && !text.contains("error: ") && !text.contains("canary"), "{text}");
    for (name, _, words) in cases {
        let (app, kind) = name.split_once('.').expect("a kind");
        let key = match kind {
            "secret" => format!("apps.{app}-s.credential.secret.file"),
            "pem" => format!("apps.{app}-p.credential.certificate.file"),
            "ca" => format!("apps.{app}-c.ca_file"),
            _ => format!("callers[{}].token.file", ["bom", "comment", "quotes"].iter().position(|name| *name == app).expect("one")),
        };
        let found = findings(&text, &key);
        if words.is_empty() {
            assert!(found.is_empty(), "{name}: {found:?}");
        } else {
            assert!(found.len() == 1 && found[0].contains(words) && found[0].contains("remedy: "), "{name}: {found:?} in {text}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_pem_is_called_what_it_is() {
    let files = tempfile::tempdir().expect("a folder");
    let (key, certificate) = pair(&PKCS_RSA_SHA256, 2099);
    let good = format!("{key}{certificate}");
    let der = certificate.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der).expect("base64");
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("der", der, "a certificate in DER"),
        ("escaped", good.replace('\n', "\\n").into_bytes(), "line breaks are written as"),
        ("lost", good.replace(['\r', '\n'], " ").into_bytes(), "lost its line breaks"),
        ("glued", format!("{}{certificate}", key.trim_end()).into_bytes(), "glued together"),
        ("indented", good.replace('\n', "\n  ").into_bytes(), "is indented"),
        ("locked", key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n").into_bytes(), "PKCS#1 under a password"),
        ("encrypted", good.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").into_bytes(), "PKCS#8 under a password"),
        ("utf-16", [b"\xff\xfe".to_vec(), good.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat(), "UTF-16"),
        ("invisible", format!("\u{200b}{good}").into_bytes(), "U+200B"),
    ];
    let app = |name: &str, kind: &str, more: &str| {
        let file = files.path().join(name).display().to_string();
        format!("  {name}: {{issuer: https://id.example, client_id: c, credential: {{{kind}: {{file: '{file}'}}}}{more}}}\n")
    };
    let mut yaml = "apps:\n".to_owned();
    for (name, bytes, _) in &cases {
        std::fs::write(files.path().join(name), bytes).expect("a file");
        yaml += &app(name, "certificate", "");
    }
    // Elsewhere it is told by the same words.
    let (glued, locked) = (files.path().join("glued").display().to_string(), files.path().join("locked").display().to_string());
    yaml += &format!("tls: {{cert: {{file: '{glued}'}}, key: {{file: '{locked}'}}, client_ca: {{file: '{glued}'}}}}\n");
    yaml += &format!(
        "cache: {{redis: {{url: 'rediss://a', ca_file: '{glued}', client_cert: '{glued}', client_key: '{locked}', \
         encryption: {{plaintext: true}}}}}}\n"
    );
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, yaml).expect("a file");
    let (code, text) = said(&run(check(&config)).await);
    assert_eq!(code, 64, "{text}");
    let places = cases.iter().map(|(name, _, words)| (format!("apps.{name}.credential.certificate.file"), *words));
    let elsewhere = [
        ("tls.cert.file", "glued together"),
        ("tls.key.file", "PKCS#1 under a password"),
        ("tls.client_ca.file", "glued together"),
        ("cache.redis.ca_file", "glued together"),
        ("cache.redis.client_cert", "glued together"),
        ("cache.redis.client_key", "PKCS#1 under a password"),
    ];
    for (key, words) in places.chain(elsewhere.map(|(key, words)| (key.to_owned(), words))) {
        let found = findings(&text, &key);
        assert!(found.len() == 1 && found[0].contains(words) && found[0].contains("remedy: "), "{key}: {found:?} in {text}");
    }
    assert!(!text.contains(&key[40..80]), "{text}");
}

/// A certificate of this key for these years, in PEM.
fn of_years(key: &KeyPair, first: i32, last: i32) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
    params.self_signed(key).expect("a certificate").pem()
}

#[tokio::test]
async fn of_two_certificates_of_one_key_the_valid_one_counts() {
    let files = tempfile::tempdir().expect("a folder");
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
    let (old, valid, future) = (of_years(&key, 2019, 2020), of_years(&key, 2021, 2099), of_years(&key, 2098, 2120));
    let cases = [
        ("both", format!("{old}{valid}"), ""),
        ("turned", format!("{valid}{old}"), ""),
        ("next", format!("{valid}{future}"), ""),
        ("old", old.clone(), "has expired"),
        ("future", future.clone(), "is not valid yet"),
        ("neither", format!("{old}{future}"), "is not valid yet"),
    ];
    let mut yaml = "apps:\n".to_owned();
    for (name, certificates, _) in &cases {
        let file = files.path().join(name);
        std::fs::write(&file, format!("{}{certificates}", key.serialize_pem())).expect("a file");
        yaml += &format!(
            "  {name}: {{issuer: https://id.example, client_id: c, credential: {{certificate: {{file: '{}'}}}}}}\n",
            file.display()
        );
    }
    let config = files.path().join("tokend.yaml");
    for (name, _, words) in &cases {
        let file = files.path().join(name).display().to_string();
        std::fs::write(&config, format!("{yaml}tls: {{cert: {{file: '{file}'}}, key: {{file: '{file}'}}}}\n")).expect("a file");
        let (code, text) = said(&run(check(&config)).await);
        assert_eq!(code, 0, "{text}");
        for key in [format!("apps.{name}.credential.certificate.file"), "tls.cert.file".to_owned()] {
            // Where none holds, the listener shows the one that stands first.
            let words = if (*name, key.as_str()) == ("neither", "tls.cert.file") { "has expired" } else { words };
            let found = findings(&text, &key);
            let told = found.iter().any(|finding| !words.is_empty() && finding.contains(words));
            assert_eq!((found.len(), told), (usize::from(!words.is_empty()), !words.is_empty()), "{key}: {found:?} in {text}");
        }
    }
}
