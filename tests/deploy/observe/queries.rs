//! What rules and dashboards ask, and which series they ask for: read out of their text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A query, and where it stands.
pub(super) struct Query {
    pub(super) place: String,
    pub(super) text: String,
}

/// What is asked of one metric.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    pub(super) metric: String,
    pub(super) labels: BTreeSet<String>,
}

/// Every query of a dashboard, also those that fill its variables and annotations, with its variables filled in as Grafana does.
pub(super) fn of_dashboard(dashboard: &Value) -> Vec<Query> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            found.push((panel["title"].to_string(), target["expr"].as_str().expect("a query").to_owned()));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        found.extend(annotation["expr"].as_str().map(|text| (annotation["name"].to_string(), text.to_owned())));
    }
    for variable in list(&dashboard["templating"]["list"]) {
        let values = variable["definition"]
            .as_str()
            .and_then(|text| text.strip_prefix("label_values("))
            .and_then(|text| text.strip_suffix(')'));
        // Selector and label: a group by that label asks the same.
        if let Some((selector, label)) = values.and_then(|values| values.rsplit_once(',')) {
            found.push((variable["name"].to_string(), format!("group by ({}) ({selector})", label.trim())));
        }
    }
    found.into_iter().map(|(place, text)| Query { place, text: filled(&text) }).collect()
}

/// Every `expr` of a file of rules, as it stands there.
pub(super) fn of_rules(text: &str) -> Vec<Query> {
    let block = |part: &str| part.split("for: ").next().unwrap_or_default().split("labels: ").next().unwrap_or_default().to_owned();
    let rules = text.split("- record: ").skip(1).chain(text.split("- alert: ").skip(1));
    rules
        .map(|rule| {
            let (name, rest) = rule.split_once('\n').expect("a name");
            let query = rest.split_once("expr:").expect("a query").1;
            let query = query.split("- record: ").next().unwrap_or_default().split("- alert: ").next().unwrap_or_default();
            let lines = block(query);
            let lines = lines
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with('#') && !line.starts_with("- name:") && *line != "rules:");
            Query { place: name.to_owned(), text: lines.collect::<Vec<_>>().join(" ").trim_start_matches('|').trim().to_owned() }
        })
        .collect()
}

fn filled(text: &str) -> String {
    let text = text.replace("$__rate_interval", "5m");
    ["namespace", "job", "instance", "app", "flow"].iter().fold(text, |text, name| text.replace(&format!("${name}"), ".*"))
}

/// The metrics of tokend that a query names, with the labels that it selects by.
pub(super) fn asked(query: &str) -> BTreeSet<Asked> {
    let mut found = BTreeSet::new();
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = text.split_once('"').map_or("", |(_, after)| after);
            continue;
        }
        let (word, after) =
            rest.split_at(rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len()));
        rest = after;
        if !word.contains(':') && (word.starts_with("tokend_") || word.starts_with("process_")) {
            found.insert(Asked { metric: word.to_owned(), labels: selected(after) });
        }
    }
    found
}

/// The labels in the braces that follow a metric's name.
fn selected(after: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    let Some(inside) = after.strip_prefix('{') else { return labels };
    // Every second piece between quotation marks is a value.
    for piece in inside.split('"').step_by(2) {
        let (piece, ended) = piece.split_once('}').map_or((piece, false), |(piece, _)| (piece, true));
        let name = piece.trim_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        if !name.is_empty() {
            labels.insert(name.to_owned());
        }
        if ended {
            break;
        }
    }
    labels
}

/// The labels that a query groups by.
pub(super) fn grouped(query: &str) -> BTreeSet<String> {
    let lists = query.split(" by (").skip(1).filter_map(|after| after.split_once(')'));
    lists.flat_map(|(labels, _)| labels.split(',').map(|label| label.trim().to_owned())).collect()
}

/// The series in the text of a scrape: the labels of each name.
pub(super) fn series(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        found.entry(name.to_owned()).or_default().extend(selected(&line[name.len()..]));
    }
    found
}

#[test]
fn queries_are_read_as_they_are_meant() {
    let query =
        "sum by (app, flow) (rate(tokend_a_total{job=~\"x}\",app=\"tokend_b\"}[5m])) / on (job) tokend_c or job:tokend_d:rate5m";
    let asked: Vec<_> =
        asked(query).into_iter().map(|asked| (asked.metric, asked.labels.into_iter().collect::<Vec<_>>())).collect();
    assert_eq!(
        asked,
        [("tokend_a_total".to_owned(), vec!["app".to_owned(), "job".to_owned()]), ("tokend_c".to_owned(), Vec::new())]
    );
    assert_eq!(grouped(query).into_iter().collect::<Vec<_>>(), ["app", "flow"]);
    let rules =
        "rules:\n  # why\n  - record: a:b\n    expr: sum(x)\n  - alert: C\n    expr: |\n      y\n        > 1\n    for: 5m\n";
    let rules: Vec<_> = of_rules(rules).into_iter().map(|query| (query.place, query.text)).collect();
    assert_eq!(rules, [("a:b".to_owned(), "sum(x)".to_owned()), ("C".to_owned(), "y > 1".to_owned())]);
}
