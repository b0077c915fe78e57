//! Files that need each other in a circle have no order to be read in, and none can be changed alone.
//!
//! A file needs another when it names an item that the other defines. Declaring a module, and naming one as a handle, is no need.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Tree;
use super::{root, tree};

/// The sets of files that need each other, by the folder that they are in.
fn circles(tree: &Tree) -> BTreeMap<String, Vec<BTreeSet<String>>> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mention in &tree.mentions {
        let Some(target) = tree.target(mention).filter(|target| !target.item.is_empty()) else { continue };
        if let Some(to) = tree.file_of(&target.module).filter(|to| *to != mention.file) {
            needs.entry(&mention.file).or_default().insert(to);
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = needs.keys().map(|file| (*file, reach(&needs, file))).collect();
    let mut found: BTreeMap<String, Vec<BTreeSet<String>>> = BTreeMap::new();
    for (file, others) in &reached {
        let back = |other: &&&str| reached.get(**other).is_some_and(|theirs| theirs.contains(file));
        let circle: BTreeSet<String> = others.iter().filter(back).map(|other| (*other).to_owned()).collect();
        let sets = found.entry(folder(file)).or_default();
        if !circle.is_empty() && !sets.contains(&circle) {
            sets.push(circle);
        }
    }
    found.retain(|_, sets| !sets.is_empty());
    found
}

fn reach<'a>(needs: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(next) = open.pop() {
        for to in needs.get(next).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

/// `src/cache` of `src/cache/fleet/names.rs`, and `emulator/src` of all in it.
fn folder(file: &str) -> String {
    let parts: Vec<&str> = file.split('/').collect();
    parts[..2].join("/").trim_end_matches(".rs").to_owned()
}

#[test]
fn files_need_each_other_in_no_circle() {
    let mut found = circles(&Tree::read(root()));
    found.extend(circles(&Tree::read_emulator(root())));
    assert!(found.is_empty(), "files that need each other: {found:#?}");
}

#[test]
fn a_circle_of_files_is_found() {
    let found = |files: &[(&str, &str)]| circles(&tree(files)).into_values().flatten().map(|set| set.len()).collect::<Vec<_>>();
    let root = ("src/a/mod.rs", "mod b; mod c; pub use b::B; use c::C;");
    assert_eq!(found(&[root, ("src/a/b.rs", "use super::c::C;"), ("src/a/c.rs", "")]), Vec::<usize>::new());
    // By way of a re-export, and by way of an item of the folder itself.
    assert_eq!(found(&[root, ("src/a/b.rs", "use super::c::C;"), ("src/a/c.rs", "fn f() { super::B::new() }")]), [2]);
    assert_eq!(found(&[root, ("src/a/b.rs", ""), ("src/a/c.rs", "use super::Inner;")]), [2]);
    // A handle is no need, and what only tests see is none either.
    assert_eq!(
        found(&[root, ("src/a/b.rs", "use super::c;"), ("src/a/c.rs", "#[cfg(test)] mod t { use super::super::B; }")]),
        Vec::<usize>::new()
    );
}
