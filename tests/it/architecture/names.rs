//! A type's name means one thing: whoever reads it in one folder must not have to forget what it means in another.

use std::collections::BTreeMap;

use syn::Item;

use super::source::{Tree, is_for_tests};
use super::{root, tree};

/// What many modules may have one of.
const COMMON: &str = "Settings";

/// Names that mean more than one thing still. One that means one thing again must not stay here.
#[rustfmt::skip]
const KNOWN: [&str; 33] = [
    "Address", "Api", "App", "Asked", "Cache", "Caller", "Certificate", "Counts", "Credential", "Encryption", "Epoch", "Form",
    "Format", "Inbound", "Inner", "Jitter", "KeyRing", "Keys", "Limits", "Mark", "Memory", "Meters", "Metrics",
    "Origin", "Otlp", "Parts", "Remembered", "Report", "Shutdown", "Socket", "Text", "Tls", "Work",
];

/// Every type's name, with the files that define one of that name.
fn types(tree: &Tree) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for file in tree.files.iter().filter(|file| file.lines > 0) {
        collect(&file.name, &file.syntax.items, &mut found);
    }
    found
}

fn collect(file: &str, items: &[Item], found: &mut BTreeMap<String, Vec<String>>) {
    for item in items.iter().filter(|item| !is_for_tests(item)) {
        let name = match item {
            Item::Enum(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Mod(module) => {
                collect(file, module.content.as_ref().map_or(&[], |(_, items)| items.as_slice()), found);
                continue;
            }
            _ => continue,
        };
        found.entry(name.to_string()).or_default().push(file.to_owned());
    }
}

/// The names that are defined more than once.
fn twice(tree: &Tree) -> BTreeMap<String, Vec<String>> {
    let mut types = types(tree);
    types.retain(|name, files| files.len() > 1 && name != COMMON);
    types
}

#[test]
fn a_types_name_means_one_thing() {
    let found = twice(&Tree::read(root()));
    let new: Vec<_> = found.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str())).collect();
    assert!(new.is_empty(), "one name for more than one type: {new:#?}");
    let single: Vec<_> = KNOWN.iter().filter(|name| !found.contains_key(**name)).collect();
    assert!(single.is_empty(), "{single:?} mean one thing now: take them off the list");
    assert_eq!(twice(&Tree::read_emulator(root())), BTreeMap::new());
}

#[test]
fn a_name_of_two_types_is_found() {
    let tree = tree(&[
        ("src/a.rs", "struct Place; struct Settings;\n#[cfg(test)] struct Fake;\nmod inner { enum Inner { Place } }"),
        ("src/b/mod.rs", "type Place = u8; struct Settings; struct Fake; mod tests;"),
        ("src/b/c.rs", "trait Inner {} fn f() { struct Local; }"),
    ]);
    assert_eq!(twice(&tree).into_keys().collect::<Vec<_>>(), ["Inner", "Place"]);
}
