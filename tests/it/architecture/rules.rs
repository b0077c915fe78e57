//! Rules of the protocol are cited by an id, and `docs/protocol.md` says what each id means and who says so.

use std::collections::{BTreeMap, BTreeSet};

use super::root;
use super::source::texts;

/// Where rules are cited: in text (`ERR-4`), and in the names of functions (`err_4_…`).
const FOLDERS: [&str; 3] = ["src", "emulator/src", "tests"];

/// What an id begins with.
const KINDS: [&str; 8] = ["API", "ASN", "AUT", "CCH", "ERR", "MI", "REQ", "RSP"];

/// The ids in a text, each with the line that it first stands in.
fn cited(text: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        for kind in KINDS {
            let in_text = ids(line, &format!("{kind}-"), kind);
            let in_name = ids(line, &format!("fn {}_", kind.to_ascii_lowercase()), kind);
            in_text.into_iter().chain(in_name).for_each(|id| {
                found.entry(id).or_insert(at + 1);
            });
        }
    }
    found
}

/// The ids of one kind that begin with `start` in a line.
fn ids(line: &str, start: &str, kind: &str) -> Vec<String> {
    let whole = |at: usize| !line[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '-');
    let places = line.match_indices(start).filter(|(at, _)| whole(*at));
    let numbers = places.map(|(at, _)| line[at + start.len()..].chars().take_while(char::is_ascii_digit).collect::<String>());
    numbers.filter(|number| !number.is_empty()).map(|number| format!("{kind}-{number}")).collect()
}

/// The ids that have a row (`| ERR-4 | …`), in their order.
fn explained(document: &str) -> Vec<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    rows.map(|(id, _)| id.to_owned()).filter(|id| cited(id).contains_key(id)).collect()
}

fn missing(sources: &[(String, String)], document: &str) -> Vec<String> {
    let known: BTreeSet<String> = explained(document).into_iter().collect();
    let all = sources.iter().flat_map(|(name, text)| cited(text).into_iter().map(move |(id, line)| (id, format!("{name}:{line}"))));
    all.filter(|(id, _)| !known.contains(id)).map(|(id, place)| format!("{place}: {id}")).collect()
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/protocol.md")).expect("docs/protocol.md")
}

#[test]
fn every_rule_that_is_cited_is_explained() {
    let sources: Vec<(String, String)> = FOLDERS.iter().flat_map(|folder| texts(root(), folder)).collect();
    let missing = missing(&sources, &document());
    assert!(missing.is_empty(), "these have no row in docs/protocol.md: {missing:#?}");
}

#[test]
fn every_rule_is_explained_once() {
    let rows = explained(&document());
    let twice: Vec<&String> = rows.iter().enumerate().filter(|(at, id)| rows[..*at].contains(id)).map(|(_, id)| id).collect();
    assert!(twice.is_empty(), "twice in docs/protocol.md: {twice:?}");
    assert!(rows.len() > 40, "hardly a row was found in docs/protocol.md");
}

#[test]
fn a_rule_without_a_row_is_found() {
    let table = "| id | rule |\n|---|---|\n| ERR-4 | who waits |\n";
    let one = |text: &str| missing(&[("src/a.rs".to_owned(), text.to_owned())], table);
    assert_eq!(one("/// Repeated once (ERR-4). Not UTF-8, not SHA-256.\n"), Vec::<String>::new());
    // Put together, so that no rule of that number is cited here.
    let (unknown, name) = (format!("{}-99", "ERR"), format!("\nasync fn {}_98_says_so() {{}}", "req"));
    assert_eq!(
        one(&format!("// From ERR-4 to {unknown}.{name}\n")),
        [format!("src/a.rs:1: {unknown}"), format!("src/a.rs:2: {}-98", "REQ")]
    );
}
