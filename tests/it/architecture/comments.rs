//! Comments that a reader can follow without the one before them, on lines that fit.

use super::root;
use super::source::texts;

/// Everything that is written by hand.
const FOLDERS: [&str; 4] = ["src", "emulator/src", "tests", "benches"];

/// Characters of a line, as `rustfmt.toml` has it for code.
const WIDTH: usize = 132;

/// What is wrong with one file.
fn offences(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let whole = line.trim_start().starts_with("//");
        let comment = if whole { line.trim_start().get(2..) } else { line.split_once(" // ").map(|(_, rest)| rest) };
        // It sends the reader looking for what was meant.
        if comment.is_some_and(|comment| comment.trim_start_matches(['/', '!', ' ']).starts_with("The same")) {
            found.push(format!("{name}:{}: a comment begins with \"The same\": name what is meant", at + 1));
        }
        // A literal that is longer is nothing that rustfmt could break.
        if line.chars().count() > WIDTH && (whole || !line.contains('"')) {
            found.push(format!("{name}:{}: longer than {WIDTH} characters", at + 1));
        }
    }
    found
}

#[test]
fn comments_stand_by_themselves_and_lines_fit() {
    let files: Vec<(String, String)> = FOLDERS.iter().flat_map(|folder| texts(root(), folder)).collect();
    let found: Vec<String> = files.iter().flat_map(|(name, text)| offences(name, text)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn such_comments_and_lines_are_found() {
    // Put together, so that this file has none of them.
    let same = format!("fn f() {{}}\n    /// {} for another thing.\n//! {} again\n", "The same", "The same");
    assert_eq!(offences("a.rs", &same).len(), 2);
    assert_eq!(offences("a.rs", &format!("{}\n", "ä".repeat(WIDTH + 1))).len(), 1);
    assert_eq!(offences("a.rs", &format!("{}\n// Not the same.\n", "ä".repeat(WIDTH))), Vec::<String>::new());
}
