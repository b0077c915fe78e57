//! Every configuration of `docs/credentials.md` is complete: it is loaded, with files of the kinds that it names, and no finding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokend::clock::Clock;
use tokend::config::{Format, parse};
use tokend::sidecar::prepare;

use super::encoded;
use crate::support::{Issuer, Keys, NOW, PASSWORD, python};

const DOCUMENT: &str = include_str!("../../../docs/credentials.md");

/// The files that the document names, as real programs write them.
async fn files() -> Keys {
    let keys = Keys::new();
    let pass = format!("pass:{PASSWORD}");
    keys.write("client-secret", "for-tests-only\n");
    keys.write("client.pem", [keys.key.as_str(), &keys.chain.concat()].concat());
    keys.write("tls.crt", keys.chain.concat());
    keys.write("tls.key", &keys.key);
    keys.openssl(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "key.pem", "-out", "locked.key", "-passout", &pass]);
    keys.pfx("client.pfx", PASSWORD, &[]);
    keys.pfx("empty.pfx", "", &[]);
    keys.write("vault.pfx", encoded(&std::fs::read(keys.path("empty.pfx")).expect("a file")));
    keys.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.pem"]);
    let asked = json!({"key_pem": keys.key, "chain_pem": keys.chain.concat(), "password": PASSWORD});
    let written = python("write_keys.py", &asked).await;
    keys.write("key.jwk", written["jwk"]["ES256"].to_string());
    let mut named = written["jwk"]["RS256"].clone();
    named["kid"] = json!("orders-2027");
    keys.write("keys.jwks", json!({"keys": [written["jwk"]["EdDSA"], named]}).to_string());
    std::fs::create_dir(keys.path("tokens")).expect("a folder");
    keys.write("tokens/tokend", Issuer::new().token(NOW + 3600, json!({})));
    keys
}

#[tokio::test]
async fn each_configuration_of_the_document_is_loaded() {
    let keys = files().await;
    let folder = keys.folder.path().display().to_string();
    let mut kinds = BTreeSet::new();
    let texts: Vec<&str> = DOCUMENT.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    for text in &texts {
        let yaml = text.replace("/var/run/secrets", "/run/secrets").replace("/run/secrets", &folder);
        let (settings, findings) = parse(&yaml, Format::Yaml, "credentials.md", &BTreeMap::new());
        let settings = settings.unwrap_or_else(|| panic!("{text}{findings:#?}"));
        assert!(findings.is_empty(), "{text}{findings:#?}");
        kinds.extend(settings.apps.iter().map(|app| app.credential.kind()));
        let (prepared, findings) = prepare(settings, &Clock::manual(NOW));
        assert!(prepared.is_some() && findings.is_empty(), "{text}{findings:#?}");
    }
    let documented: BTreeSet<&str> =
        DOCUMENT.lines().filter_map(|line| line.strip_prefix("## ")).filter(|title| !title.contains(' ')).collect();
    assert_eq!(kinds, documented, "each kind has a configuration");
    assert_eq!(kinds.len(), 7);
}
