//! Values that are not there: a null takes one away, and `--reuse-values` comes without what is new in a release.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::helm::{NEWEST, chart, mode, objects, rendered, template, with};

fn defaults() -> Value {
    let text = std::fs::read_to_string(chart().join("values.yaml")).expect("values");
    yaml_serde::from_str(&text).expect("YAML")
}

/// Every place of the chart's own values: maps, and what is in them.
fn places(values: &Map<String, Value>, path: &[String], all: &mut Vec<Vec<String>>) {
    for (key, value) in values {
        let path = [path, std::slice::from_ref(key)].concat();
        all.push(path.clone());
        if let Value::Object(inner) = value {
            places(inner, &path, all);
        }
    }
}

/// Values with a null at this place.
fn null_at(path: &[String]) -> String {
    path.iter().rev().fold(Value::Null, |value, key| json!({key: value})).to_string()
}

/// What Kubernetes or tokend defines: in it a null means that something is not to be there.
const THEIRS: [&str; 4] = ["resources.", "securityContext.", "standalone.podSecurityContext.", "standalone.nodeSelector."];

#[test]
fn a_null_is_the_default_or_a_message_with_its_key() {
    let defaults = defaults();
    let mut all = Vec::new();
    places(defaults.as_object().expect("a map"), &[], &mut all);
    assert!(all.len() > 150, "{}", all.len());
    for name in ["standalone-monitoring", "injection-all"] {
        let usual = rendered(name, NEWEST);
        for path in &all {
            let key = path.join(".");
            match with(name, &null_at(path)) {
                Err(said) => assert!(said.contains(&key) || said.contains(&format!("{}.", path[0])), "{name}, {key}: {said}"),
                Ok(text) => {
                    assert!(!text.contains("<nil>"), "{name}, {key}: {text}");
                    let theirs =
                        THEIRS.iter().any(|prefix| key.starts_with(prefix)) || key.starts_with("metrics.dashboard.labels.");
                    let given = std::fs::read_to_string(mode(name)).expect("values").contains(path.last().expect("a key"));
                    assert!(theirs || given || text == usual, "{name}, {key} is not the default");
                }
            }
        }
    }
    // What the platform chooses is left out, as the documentation says.
    let platform = "{securityContext: {runAsUser: null, runAsGroup: null}, standalone: {podSecurityContext: {fsGroup: null}}}";
    let text = with("standalone", platform).expect("it renders");
    assert!(!text.contains("runAsUser") && !text.contains("fsGroup") && text.contains("runAsNonRoot: true"), "{text}");
}

#[test]
fn nulls_in_lists_and_in_the_configuration_are_told_or_passed_over() {
    for (more, words) in [
        ("callers: {list: [{name: web}, null]}", "callers.list[1]: the entry is empty"),
        ("callers: {list: [null]}", "callers.list[0]: the entry is empty"),
        ("extraEnv: [null]", "extraEnv[0]: the entry is empty"),
    ] {
        let said = with("standalone", more).expect_err(more);
        assert!(said.contains(words) || said.contains("- at '"), "{more}: {said}");
    }
    for more in [
        "config: {limits: null}",
        "config: {limits: {inflight: null}}",
        "config: {cache: null}",
        "config: {cache: {memory: null, redis: null}}",
        "config: {cache: {memory: {max_bytes: null}}}",
        "config: {shutdown: {delay: null}}",
        "config: {hosts: null}",
    ] {
        match with("standalone", more) {
            Ok(text) => assert!(!text.contains("<nil>"), "{more}: {text}"),
            Err(said) => assert!(said.contains("- at '/config/") && said.contains("got null"), "{more}: {said}"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// `helm upgrade --reuse-values` renders the new templates with the values of the release before, its defaults included.
#[test]
fn the_values_of_a_release_before_are_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = folder.path().join("tokend");
    copy(&chart(), &before);
    let full = defaults();
    for gone in [
        "/networkPolicy",
        "/probes",
        "/federated",
        "/standalone/service",
        "/standalone/autoscaling",
        "/metrics/dashboard",
        "/image/digest",
    ] {
        let mut values = full.clone();
        let (parent, key) = gone.rsplit_once('/').expect("a path");
        values.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|map| map.remove(key)).expect("a value");
        std::fs::write(before.join("values.yaml"), values.to_string()).expect("a file");
        for name in ["standalone", "sidecar-socket", "injection"] {
            let text = template(&before, &[&mode(name)], NEWEST).unwrap_or_else(|said| panic!("{name} without {gone}: {said}"));
            assert_eq!(objects(&text), objects(&rendered(name, NEWEST)), "{name} without {gone}");
        }
    }
}
