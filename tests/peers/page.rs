//! Pages of `docs/` that show files of this tree: those that the tests here run.
//!
//! `TOKEND_UPDATE=1` writes them into the pages anew.

use std::path::Path;

use crate::tree::text;

/// A page, and the files that it shows; each stands there below a comment with its path.
type Page = (&'static str, &'static [&'static str]);

const PAGES: [Page; 2] = [
    (
        "docs/oauth-clients.md",
        &[
            "tests/peers/clients/tokend.yaml",
            "tests/peers/clients/python/with_authlib.py",
            "tests/peers/clients/python/with_requests_oauthlib.py",
            "tests/peers/clients/node/with-openid-client.mjs",
            "tests/peers/clients/go/tokens/tokens.go",
            "tests/peers/clients/spring/application.yml",
            "tests/peers/clients/spring/SignIn.java",
        ],
    ),
    (
        PROXIES,
        &[
            "tests/peers/proxies/tokend.yaml",
            "tests/peers/proxies/nginx/nginx.conf",
            "tests/peers/proxies/envoy/envoy.yaml",
            "tests/peers/proxies/traefik/traefik.yaml",
            "tests/peers/proxies/traefik/dynamic.yaml",
            "tests/peers/proxies/caddy/Caddyfile",
        ],
    ),
];

/// The page about proxies.
pub(crate) const PROXIES: &str = "docs/proxies.md";

/// The page with the files in place of whatever stands there.
fn with_files((name, shown): Page) -> String {
    let mut written = text(name);
    for path in shown {
        let mark = format!("<!-- {path} -->\n```");
        let (before, rest) = written.split_once(&mark).unwrap_or_else(|| panic!("{name} has no block of {path}"));
        let (language, rest) = rest.split_once('\n').expect("a block");
        let (_, after) = rest.split_once("\n```\n").expect("an end of the block");
        written = format!("{before}{mark}{language}\n{}\n```\n{after}", text(path).trim_end());
    }
    written
}

#[test]
fn the_pages_show_what_is_run_here() {
    for page in PAGES {
        let (shown, written) = (text(page.0), with_files(page));
        if std::env::var_os("TOKEND_UPDATE").is_some() {
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(page.0), written).expect("the page");
            continue;
        }
        let differs = shown.lines().zip(written.lines()).find(|(page, file)| page != file);
        assert!(shown == written, "{} shows something else: {differs:?}; TOKEND_UPDATE=1 writes it anew", page.0);
    }
}

#[test]
fn the_pages_show_no_other_configuration() {
    for (name, files) in PAGES {
        // Every other fence ends a block.
        let shown = text(name).lines().filter(|line| line.starts_with("```")).count() / 2;
        assert_eq!(shown, files.len(), "every configuration in {name} is a file that a test runs");
    }
}
