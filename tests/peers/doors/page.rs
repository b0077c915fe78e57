//! `docs/oauth-clients.md` shows files of this tree: those that the tests here run.
//!
//! `TOKEND_UPDATE=1` writes them into the page anew.

use std::path::Path;

use super::oauth::text;

const PAGE: &str = "docs/oauth-clients.md";

/// Each stands in the page below a comment with its path.
const SHOWN: [&str; 7] = [
    "tests/peers/clients/tokend.yaml",
    "tests/peers/clients/python/with_authlib.py",
    "tests/peers/clients/python/with_requests_oauthlib.py",
    "tests/peers/clients/node/with-openid-client.mjs",
    "tests/peers/clients/go/tokens/tokens.go",
    "tests/peers/clients/spring/application.yml",
    "tests/peers/clients/spring/SignIn.java",
];

/// The page with the files in place of whatever stands there.
fn with_files(page: &str) -> String {
    let mut written = page.to_owned();
    for path in SHOWN {
        let mark = format!("<!-- {path} -->\n```");
        let (before, rest) = written.split_once(&mark).unwrap_or_else(|| panic!("{PAGE} has no block of {path}"));
        let (language, rest) = rest.split_once('\n').expect("a block");
        let (_, after) = rest.split_once("\n```\n").expect("an end of the block");
        written = format!("{before}{mark}{language}\n{}\n```\n{after}", text(path).trim_end());
    }
    written
}

#[test]
fn the_page_shows_what_is_run_here() {
    let page = text(PAGE);
    let written = with_files(&page);
    if std::env::var_os("TOKEND_UPDATE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), written).expect("the page");
        return;
    }
    let differs = page.lines().zip(written.lines()).find(|(page, file)| page != file);
    assert!(page == written, "{PAGE} shows something else: {differs:?}; TOKEND_UPDATE=1 writes it anew");
}

#[test]
fn the_page_shows_no_other_configuration() {
    let page = text(PAGE);
    // Every other fence ends a block.
    let shown = page.lines().filter(|line| line.starts_with("```")).count() / 2;
    assert_eq!(shown, SHOWN.len(), "every configuration in {PAGE} is a file that a test runs");
}
