//! A tree of values becomes raw shapes, and every value that does not fit becomes a finding, not only the first.
//!
//! serde stops at its first error. So the node that it stopped at leaves the tree and reading starts again, until it passes.

use serde_json::Value;
use serde_path_to_error::Segment;

use super::name;
use super::node::{Node, ShapeError};
use super::raw;
use super::report::Report;
use crate::finding::{Complaint, nearest};

/// Reads the whole tree.
pub(super) fn shape(mut tree: Value, report: &mut Report<'_>) -> raw::Root {
    empty_entries(&tree, "", report);
    loop {
        let error = match serde_path_to_error::deserialize(Node(&tree)) {
            Ok(root) => return root,
            Err(error) => error,
        };
        let segments: Vec<Segment> = error.path().iter().cloned().collect();
        let fault = error.into_inner();
        let path = shown_path(&segments, matches!(fault, ShapeError::Unknown(_)));
        report.error(&path, problem(&fault, segments.last()));
        if !remove(&mut tree, &segments, matches!(fault, ShapeError::Unknown(_))) {
            return raw::Root::default();
        }
    }
}

/// The members that a configuration has at its top, as its shape says.
pub(super) fn top_level() -> &'static [&'static str] {
    let tree = serde_json::json!({"": null});
    match serde_path_to_error::deserialize::<_, raw::Root>(Node(&tree)).map_err(serde_path_to_error::Error::into_inner) {
        Err(ShapeError::Unknown(known)) => known,
        _ => &[],
    }
}

fn problem(fault: &ShapeError, last: Option<&Segment>) -> Complaint {
    match fault {
        ShapeError::Unknown(known) => {
            let written = if let Some(Segment::Map { key }) = last { key.as_str() } else { "" };
            let list = known.join(", ");
            let remedy = match nearest(written, known) {
                Some(near) => format!("did you mean `{near}`? The keys here are: {list}"),
                None => format!("remove it, or use one of the keys here: {list}"),
            };
            Complaint::new("this key is not known", remedy)
        }
        ShapeError::Expected(words) => {
            let (what, how) = words.split_once('|').unwrap_or((words, "write one, as the documentation of this key shows"));
            Complaint::new(format!("the value is not {what}"), how)
        }
        ShapeError::Other => Complaint::new("the value cannot be read", "write it as the documentation of this key shows"),
    }
}

/// `apps.orders.tenants[1]`; a name that only the writer chose is shown with care.
fn shown_path(segments: &[Segment], unknown: bool) -> String {
    let mut path = String::new();
    for (depth, segment) in segments.iter().enumerate() {
        match segment {
            Segment::Seq { index } => path.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                let shown = match key.as_str() {
                    key if unknown && depth + 1 == segments.len() => name::shown(key),
                    key if depth == 1 && is_entries(&path) => name::shown_entry(key),
                    key => key,
                };
                path = join(&path, shown);
            }
            Segment::Unknown => path = join(&path, "?"),
        }
    }
    path
}

/// Whether the names below this path are the writer's own.
fn is_entries(path: &str) -> bool {
    matches!(path, "apps" | "apis")
}

/// A path and one more name.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Takes the node out of the tree: an unknown member leaves it, anything else becomes null, so that lists keep their numbers.
/// `false`: there is nothing to take, and reading again would find the same.
fn remove(tree: &mut Value, segments: &[Segment], unknown: bool) -> bool {
    let Some((last, parents)) = segments.split_last() else { return false };
    let mut node = tree;
    for segment in parents {
        let next = match segment {
            Segment::Seq { index } => node.get_mut(index),
            Segment::Map { key } | Segment::Enum { variant: key } => node.get_mut(key),
            Segment::Unknown => None,
        };
        let Some(next) = next else { return false };
        node = next;
    }
    match (last, node) {
        (Segment::Map { key }, Value::Object(members)) if unknown => members.remove(key).is_some(),
        (Segment::Map { key }, node) => node.get_mut(key).is_some_and(|value| !value.take().is_null()),
        (Segment::Seq { index }, node) => node.get_mut(index).is_some_and(|value| !value.take().is_null()),
        _ => false,
    }
}

/// Finds entries that somebody forgot to write. Null in a list is one; reading itself would take it for an entry that was refused.
/// So is a caller's right without a value: its entries may all be commented out, and without the key everything would be allowed.
fn empty_entries(value: &Value, path: &str, report: &mut Report<'_>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let shown = if is_entries(path) { name::shown_entry(key) } else { name::shown(key) };
                let path = join(path, shown);
                if value.is_null() && path.starts_with("callers[") {
                    report.error(&path, Complaint::new("it has no value", "write one, or remove the key"));
                }
                empty_entries(value, &path, report);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if item.is_null() {
                    report.error(
                        &format!("{path}[{index}]"),
                        Complaint::new("the entry is empty", "write a value, or remove the entry"),
                    );
                }
                empty_entries(item, &format!("{path}[{index}]"), report);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof};
    use serde_json::{Value, json};

    use super::{shape, top_level};
    use crate::config::report::Report;

    /// Trees that are wrong in many places, some of them deep.
    fn trees() -> impl Strategy<Value = Value> {
        const NAMES: [&str; 15] = [
            "listen",
            "apps",
            "apis",
            "a",
            "client_id",
            "credential",
            "secret",
            "file",
            "inbound",
            "tenants",
            "callers",
            "limits",
            "body",
            "x.y",
            "",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            let name = proptest::sample::select(&NAMES[..]).prop_map(str::to_owned);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(name, inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn every_tree_comes_to_an_end(tree in trees()) {
            let mut report = Report::new(Some("t"));
            shape(tree, &mut report);
        }
    }

    fn keys(tree: serde_json::Value) -> Vec<String> {
        let mut report = Report::new(Some("t"));
        shape(tree, &mut report);
        report.finish().iter().map(|finding| finding.key.clone()).collect()
    }

    #[test]
    fn every_fault_is_found_and_lists_keep_their_numbers() {
        let found = keys(json!({
            "listen": [1, "127.0.0.1:1", true],
            "limits": {"body": "x", "bodi": 1, "header": [1]},
            "apps": {"a": {"client_id": 12, "inbound": []}, "Bad Name": 7},
            "log": 5
        }));
        assert_eq!(
            found,
            [
                "apps.(name not shown)",
                "apps.a.client_id",
                "apps.a.inbound",
                "limits.bodi",
                "limits.body",
                "limits.header",
                "listen[0]",
                "listen[2]",
                "log"
            ]
        );
    }

    #[test]
    fn an_empty_entry_is_found() {
        assert_eq!(keys(json!({"hosts": ["a", null]})), ["hosts[1]"]);
    }

    #[test]
    fn the_top_level_is_known() {
        assert!(top_level().contains(&"apps") && top_level().contains(&"otlp"));
    }
}
