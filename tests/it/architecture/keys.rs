//! The tables of the README, and that of `docs/cache.md`, have every key of the configuration.

use std::collections::BTreeSet;

use serde_json::Value;

use super::root;

/// Keys that are read already and do nothing yet.
const LATER: [&str; 1] = ["base_url"];

/// Below these are names that whoever writes the configuration gives.
const NAMED: [&str; 3] = ["apps", "apis", "identity_headers"];

/// The keys of a configuration, without names that were given.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                found.insert(key.clone());
                match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => named.values().for_each(|value| keys(value, found)),
                    _ => keys(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

/// Those that no text in backticks has.
fn missing(keys: &BTreeSet<String>, documents: &str) -> Vec<String> {
    let quoted: BTreeSet<&str> =
        documents.split('`').skip(1).step_by(2).flat_map(|code| code.split(|c: char| !is_of_key(c))).collect();
    keys.iter().filter(|key| !quoted.contains(key.as_str())).cloned().collect()
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_documents_have_every_key() {
    let all: Value = yaml_serde::from_str(&read("tests/fixtures/config/good.yaml")).expect("YAML");
    let mut keys_of_all = BTreeSet::new();
    keys(&all, &mut keys_of_all);
    assert!(keys_of_all.contains("retry_delay") && !keys_of_all.contains("everyone"), "{keys_of_all:?}");
    LATER.iter().for_each(|key| assert!(keys_of_all.remove(*key), "{key} is not there any more"));
    let missing = missing(&keys_of_all, &(read("README.md") + &read("docs/cache.md")));
    assert!(missing.is_empty(), "not in the tables of README.md and docs/cache.md: {missing:?}");
}

#[test]
fn a_key_that_is_missing_is_found() {
    let all = BTreeSet::from(["listen", "listen_mode", "grace"].map(str::to_owned));
    assert_eq!(missing(&all, "| `listen` | the `shutdown.grace` of listen_mode |"), ["listen_mode"]);
}
