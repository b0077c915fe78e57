//! `values.yaml` and its schema say the same things, and the schema knows no "and whatever else".

use serde_json::Value;

use super::helm::chart;

/// What others fill in as they like.
const FREE: [&str; 1] = ["/global"];

fn schema() -> Value {
    let text = std::fs::read_to_string(chart().join("values.schema.json")).expect("a schema");
    serde_json::from_str(&text).expect("JSON")
}

fn defaults() -> Value {
    let text = std::fs::read_to_string(chart().join("values.yaml")).expect("values");
    yaml_serde::from_str(&text).expect("YAML")
}

fn closed(schema: &Value, path: &str) {
    if let Some(properties) = schema["properties"].as_object() {
        assert!(schema["additionalProperties"] == false || FREE.contains(&path), "{path} takes unknown keys");
        for (key, inner) in properties {
            closed(inner, &format!("{path}/{key}"));
        }
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        if inner.is_object() {
            closed(inner, &format!("{path}/*"));
        }
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        closed(inner, path);
    }
}

/// Every key of the schema has a default, and so a line in the README;
/// except inside `config`, which is tokend's, and of maps that are empty.
fn known(schema: &Value, values: &Value, path: &str) {
    let (Some(properties), Some(map)) = (schema["properties"].as_object(), values.as_object()) else { return };
    if map.is_empty() || path.starts_with("/probes/") || path == "/resources" {
        return;
    }
    let names = |keys: &mut dyn Iterator<Item = &String>| keys.cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&mut properties.keys()), names(&mut map.keys()), "{path}");
    for (key, inner) in properties {
        known(inner, &map[key], &format!("{path}/{key}"));
    }
}

#[test]
fn the_schema_is_draft_07_and_closed() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    closed(&schema, "");
}

#[test]
fn the_schema_and_the_defaults_have_the_same_keys() {
    known(&schema(), &defaults(), "");
}

#[test]
fn every_default_is_explained() {
    let text = std::fs::read_to_string(chart().join("values.yaml")).expect("values");
    let lines: Vec<_> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.split_once(':') else { continue };
        // A leaf of two levels or fewer; what lies deeper belongs to an object that is explained as a whole.
        let leaf =
            !line.trim_start().starts_with(['#', '-']) && !value.trim().is_empty() && key.len() - key.trim_start().len() <= 2;
        let before = index.checked_sub(1).map_or("", |index| lines[index].trim_start());
        assert!(!leaf || before.starts_with('#') || inside_explained(&lines, index), "line {}: {line}", index + 1);
    }
}

/// Whether the nearest line with less indentation is explained itself.
fn inside_explained(lines: &[&str], index: usize) -> bool {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let parent = (0..index).rev().find(|i| !lines[*i].trim().is_empty() && depth(lines[*i]) < depth(lines[index]));
    parent.and_then(|parent| parent.checked_sub(1)).is_some_and(|before| lines[before].trim_start().starts_with('#'))
}
