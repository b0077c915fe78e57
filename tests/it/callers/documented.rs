//! Every configuration in the pages about callers is one that starts, with its files put in place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;
use tokend::clock::Clock;
use tokend::config::{Format, parse};
use tokend::sidecar::prepare;

use super::key_server::JwtKey;
use crate::support::NOW;
use crate::tls::authority::{Authority, LATER};

const PAGES: [&str; 2] = ["docs/callers.md", "docs/from-entra-sidecar.md"];

/// The YAML blocks of a page.
fn examples(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("a page");
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end").to_owned()).collect()
}

#[test]
fn each_example_of_the_pages_starts() {
    let (files, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let pair = authority.listener(&[], LATER);
    let mut kinds = BTreeSet::new();
    for (number, example) in PAGES.into_iter().flat_map(examples).enumerate() {
        // Each path is a file of its own below the folder.
        let mut text = example.clone();
        let words = example.split(['{', '}', ' ', '\n', '"']);
        let paths: BTreeSet<&str> = words.filter(|word| word.starts_with('/')).collect();
        for path in paths {
            let contents = match path.rsplit('/').next().expect("a name") {
                "tls.crt" => pair.cert.clone(),
                "tls.key" => pair.key.clone(),
                "ca.crt" | "clients-ca.pem" => authority.pem.clone(),
                "ci-jwks.json" => json!({"keys": [JwtKey::new("ci-1").published()]}).to_string(),
                name => format!("{name}-0123456789-abcdefghij"),
            };
            let file = files.path().join(number.to_string() + &path.replace('/', "-"));
            std::fs::write(&file, contents).expect("a file");
            text = text.replace(path, &file.display().to_string());
        }
        let (settings, findings) = parse(&text, Format::Yaml, "callers.md", &BTreeMap::new());
        assert!(findings.is_empty(), "example {number}: {findings:#?}\n{example}");
        let (prepared, findings) = prepare(settings.expect("settings"), &Clock::manual(NOW));
        assert!(prepared.is_some() && findings.is_empty(), "example {number}: {findings:#?}\n{example}");
        for kind in ["token:", "jwt:", "certificate:", "peer:", "listener:", "former_names:"] {
            if example.contains(kind) {
                kinds.insert(kind);
            }
        }
    }
    assert_eq!(kinds.len(), 6, "{kinds:?}");
}
