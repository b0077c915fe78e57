//! The environment over the file: which variables are configuration, which key each one means, and what it takes away.

use std::collections::{BTreeMap, BTreeSet};

use ::config::{Value, ValueKind};

use super::report::Report;
use super::shape;
use super::text::{self, Layer};
use crate::finding::{Complaint, nearest};

/// All of ours begin with it.
const PREFIX: &str = "TOKEND_";
/// Where a secret's text can be; one of them at a time.
const PLACES: [&str; 3] = ["file", "env", "inline"];
/// What Redis can be; one of them at a time.
const TOPOLOGIES: [&str; 3] = ["url", "sentinel", "cluster"];

/// What a variable is to us.
enum VariableKind {
    /// Somebody else's.
    Foreign,
    /// One of ours that is not configuration, or one that Kubernetes makes for a Service named tokend.
    Ignored,
    /// A path, part by part, lower-cased.
    Path(Vec<String>),
    /// Nothing that we know.
    Unknown,
}

/// Reads the variables, for the tree of the file: names of apps are matched with those that stand there.
pub(super) fn layers(environment: &BTreeMap<String, String>, tree: &serde_json::Value, report: &mut Report<'_>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (variable, value) in environment {
        match kind(variable) {
            VariableKind::Foreign | VariableKind::Ignored => {}
            VariableKind::Unknown => report.error_at(None, shown(variable), unknown(variable)),
            VariableKind::Path(parts) => match layer(variable, parts, value, tree) {
                Ok(layer) => layers.push(layer),
                Err(problem) => report.error_at(None, shown(variable), problem),
            },
        }
    }
    layers.sort_by(|a, b| a.path.cmp(&b.path));
    conflicts(&layers, report);
    layers
}

/// The paths of the file that a layer takes away before it is laid over: two kinds of credential, or two places of one secret,
/// exclude each other, and the environment wins. So do what Redis can be, and the ways to keep tokens there.
pub(super) fn replaced(layer: &Layer, tree: &serde_json::Value) -> BTreeSet<String> {
    let mut leaves = Vec::new();
    collect_leaves(layer.path.clone(), &layer.value, &mut leaves);
    let mut gone = BTreeSet::new();
    for leaf in &leaves {
        for depth in 1..leaf.len() {
            let (Some(parents), Some(chosen)) = (leaf.get(..depth), leaf.get(depth)) else { continue };
            let pointer = format!("/{}", parents.join("/"));
            let Some(members) = tree.pointer(&pointer).and_then(serde_json::Value::as_object) else { continue };
            let others = members.keys().filter(|other| *other != chosen && exclude(parents, chosen, other));
            gone.extend(others.map(|other| format!("{}.{other}", parents.join("."))));
        }
    }
    gone
}

/// Whether two members of one map cannot stand beside each other.
fn exclude(parents: &[String], chosen: &str, other: &str) -> bool {
    let both = |kinds: &[&str]| kinds.contains(&chosen) && kinds.contains(&other);
    let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
    match parents.as_slice() {
        ["apps", _, "credential"] | ["cache", "redis", "encryption"] => true,
        ["cache", "redis"] => both(&TOPOLOGIES),
        _ => both(&PLACES),
    }
}

fn collect_leaves(path: Vec<String>, value: &Value, leaves: &mut Vec<Vec<String>>) {
    match &value.kind {
        ValueKind::Table(members) => {
            for (key, value) in members {
                let mut path = path.clone();
                path.push(key.clone());
                collect_leaves(path, value, leaves);
            }
        }
        // `plaintext: false` does not choose plaintext.
        ValueKind::Nil | ValueKind::Boolean(false) => {}
        ValueKind::String(text) if text == "false" => {}
        _ => leaves.push(path),
    }
}

fn kind(variable: &str) -> VariableKind {
    let Some(rest) = variable
        .get(..PREFIX.len())
        .filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
        .and_then(|_| variable.get(PREFIX.len()..))
    else {
        return VariableKind::Foreign;
    };
    let rest = rest.to_ascii_lowercase();
    // Where the file is, and where clients find a tokend that runs.
    if matches!(rest.as_str(), "config" | "url") {
        return VariableKind::Ignored;
    }
    let parts: Vec<String> = rest.split("__").map(str::to_owned).collect();
    let first = parts.first().map(|part| part.replace('-', "_")).unwrap_or_default();
    if shape::top_level().contains(&first.as_str()) {
        return VariableKind::Path(parts);
    }
    if is_of_kubernetes(&rest) { VariableKind::Ignored } else { VariableKind::Unknown }
}

/// `TOKEND_(…_)?SERVICE_(HOST|PORT…)` and `TOKEND_(…_)?PORT(…)`, which every container beside a Service named tokend finds.
fn is_of_kubernetes(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    words.contains(&"port") || words.windows(2).any(|pair| matches!(pair, ["service", "host"]))
}

fn unknown(variable: &str) -> Complaint {
    let rest = variable.get(PREFIX.len()..).unwrap_or_default().to_ascii_lowercase();
    let known = shape::top_level();
    let one_underscore =
        known.iter().filter(|key| rest.strip_prefix(**key).is_some_and(|rest| rest.starts_with('_'))).max_by_key(|key| key.len());
    let first = rest.split("__").next().unwrap_or_default();
    let remedy = if let Some(key) = one_underscore {
        format!("levels are separated by two underscores: {PREFIX}{}__…", key.to_ascii_uppercase())
    } else if let Some(near) = nearest(first, known) {
        format!("did you mean {PREFIX}{}…?", near.to_ascii_uppercase())
    } else {
        format!("unset it; after {PREFIX} comes one of: {}", known.join(", ").to_ascii_uppercase())
    };
    Complaint::new("this variable means nothing to tokend", remedy)
}

fn layer(variable: &str, parts: Vec<String>, value: &str, tree: &serde_json::Value) -> Result<Layer, Complaint> {
    let plain =
        |part: &String| !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !parts.iter().all(plain) {
        return Err(Complaint::new(
            "the name is no path of keys",
            "write TOKEND_, then the keys with two underscores between them: TOKEND_LOG__LEVEL",
        ));
    }
    let mut path = Vec::new();
    for (depth, part) in parts.into_iter().enumerate() {
        let entries = path.first().filter(|first: &&String| depth == 1 && matches!(first.as_str(), "apps" | "apis"));
        path.push(match entries.map(|first| tree.get(first)) {
            Some(entries) => entry(&part, entries)?,
            None => part.replace('-', "_"),
        });
    }
    let value = text::flow(value).ok_or_else(|| {
        Complaint::new(
            "the value is no YAML that can be read",
            "write [a, b], {name: value} or a plain text; a text that begins with a bracket or a quote stands in quotes",
        )
    })?;
    Ok(Layer { path, variable: variable.to_owned(), value })
}

/// The name of an app or api that a part of a variable means. Variables have no `-`; those of the file do.
fn entry(part: &str, entries: Option<&serde_json::Value>) -> Result<String, Complaint> {
    let folded = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let names = entries.and_then(serde_json::Value::as_object).into_iter().flat_map(serde_json::Map::keys);
    let mut same = names.filter(|name| folded(name) == folded(part));
    match (same.next(), same.next()) {
        (Some(_), Some(_)) => Err(Complaint::new(
            "the name can mean several entries of the file",
            "rename one of those that differ by `-` and `_` only",
        )),
        (Some(name), None) => Ok(name.clone()),
        (None, _) => Ok(part.replace('_', "-")),
    }
}

/// Two variables for one key: which of them counts would depend on their order.
fn conflicts(layers: &[Layer], report: &mut Report<'_>) {
    for (index, layer) in layers.iter().enumerate() {
        for other in layers.iter().skip(index + 1).take_while(|other| other.path.starts_with(&layer.path)) {
            let reason = if other.path == layer.path {
                format!("it means the same key as {}", shown(&layer.variable))
            } else if matches!(layer.value.kind, ValueKind::Table(_) | ValueKind::Nil) {
                continue;
            } else {
                format!("{} sets the key above it to a value that has no members", shown(&layer.variable))
            };
            report.error_at(None, shown(&other.variable), Complaint::new(reason, "unset one of the two"));
        }
    }
}

/// A variable's name as findings show it.
fn shown(variable: &str) -> &str {
    let plain = variable.len() <= 128 && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain { variable } else { "TOKEND_… (name not shown)" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{layers, replaced};
    use crate::config::report::Report;
    use crate::finding::Findings;

    fn run(variables: &[(&str, &str)], tree: &serde_json::Value) -> (Vec<String>, Findings) {
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut report = Report::new(Some("t"));
        let layers = layers(&environment, tree, &mut report);
        (layers.iter().map(|layer| layer.path.join(".")).collect(), report.finish())
    }

    #[test]
    fn names_match_without_case_and_dashes() {
        let tree = json!({"apps": {"my-app": {}}});
        let variables =
            [("TOKEND_APPS__MY_APP__CLIENT-ID", "x"), ("tokend_log__level", "x"), ("TOKEND_APIS__NEW_ONE", "{}"), ("Path", "x")];
        let (paths, findings) = run(&variables, &tree);
        assert_eq!(paths, ["apis.new-one", "apps.my-app.client_id", "log.level"]);
        assert!(findings.is_empty());
    }

    #[test]
    fn kubernetes_and_our_own_are_ignored_and_others_are_findings() {
        let ignored = [
            "TOKEND_CONFIG",
            "TOKEND_URL",
            "TOKEND_SERVICE_HOST",
            "TOKEND_SERVICE_PORT_HTTP",
            "TOKEND_PORT",
            "TOKEND_PORT_8650_TCP_ADDR",
            "TOKEND_ADMIN_SERVICE_PORT",
            "TOKEND_ADMIN_PORT_8651_TCP",
        ];
        for name in ignored {
            let (paths, findings) = run(&[(name, "x")], &json!({}));
            assert!(paths.is_empty() && findings.is_empty(), "{name}");
        }
        for (name, remedy) in
            [("TOKEND_LOG_LEVEL", "TOKEND_LOG__"), ("TOKEND_LIMIT__BODY", "TOKEND_LIMITS"), ("TOKEND_XYZ", "APPS")]
        {
            let (_, findings) = run(&[(name, "x")], &json!({}));
            assert!(findings.iter().any(|finding| finding.key == name && finding.remedy.contains(remedy)), "{name}: {findings:?}");
        }
    }

    #[test]
    fn ambiguity_is_an_error() {
        let (_, findings) = run(&[("TOKEND_LOG__LEVEL", "info"), ("tokend_log__level", "warn")], &json!({}));
        assert!(findings.has_errors());
        let (_, findings) = run(&[("TOKEND_APPS__A_B__ISSUER", "x")], &json!({"apps": {"a-b": {}, "a_b": {}}}));
        assert!(findings.has_errors());
        let (_, findings) = run(&[("TOKEND_CACHE", "5"), ("TOKEND_CACHE__MEMORY", "{}")], &json!({}));
        assert!(findings.has_errors());
        let (_, findings) = run(&[("TOKEND_CACHE", "{}"), ("TOKEND_CACHE__MEMORY", "{}")], &json!({}));
        assert!(findings.is_empty());
    }

    #[test]
    fn another_kind_or_place_is_taken_away() {
        let tree = json!({"apps": {"a": {"credential": {"certificate": {"file": "x", "sha1": true}}}}});
        let environment = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let gone = |name: &str, value: &str| {
            let layers = layers(&environment(name, value), &tree, &mut Report::new(None));
            layers.iter().flat_map(|layer| replaced(layer, &tree)).collect::<Vec<_>>()
        };
        assert_eq!(gone("TOKEND_APPS__A__CREDENTIAL", "{secret: {env: X}}"), ["apps.a.credential.certificate"]);
        assert_eq!(gone("TOKEND_APPS__A__CREDENTIAL__SECRET__ENV", "X"), ["apps.a.credential.certificate"]);
        assert_eq!(gone("TOKEND_APPS__A__CREDENTIAL__CERTIFICATE__ENV", "X"), ["apps.a.credential.certificate.file"]);
        assert!(gone("TOKEND_APPS__A__CREDENTIAL__CERTIFICATE__KID", "X").is_empty());
    }
}
