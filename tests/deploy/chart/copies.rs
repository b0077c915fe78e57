//! What stands in two places is the same in both: the README and the values, the rules and the dashboard of `deploy/`.

use std::path::Path;
use std::process::Command;

use super::helm::chart;
use crate::support::{root, run, tool};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for people, not configuration")]
fn the_charts_copies_are_those_of_deploy() {
    for (original, copy) in [
        ("deploy/prometheus/rules.yaml", "rules.yaml"),
        ("deploy/grafana/tokend.json", "dashboard.json"),
        // A chart cannot read its own values.yaml.
        ("helm/tokend/values.yaml", "defaults.yaml"),
    ] {
        let (original, copy) = (root().join(original), chart().join("files").join(copy));
        if std::env::var("TOKEND_UPDATE").is_ok() {
            std::fs::copy(&original, &copy).expect("a copy");
        }
        assert_eq!(read(&copy), read(&original), "TOKEND_UPDATE=1 cargo test --test deploy chart::copies mends it");
    }
}

#[test]
fn the_readme_is_what_helm_docs_makes() {
    let made = run(Command::new(tool("go/bin/helm-docs", "chart"))
        .arg("--dry-run")
        .arg("--chart-search-root")
        .arg(chart())
        .current_dir(root()));
    let readme = read(&chart().join("README.md"));
    assert_eq!(made.trim(), readme.trim(), ".tools/go/bin/helm-docs --chart-search-root helm/tokend mends it");
}

#[test]
fn the_newest_version_of_the_changelog_is_the_charts() {
    let manifest = read(&chart().join("Chart.yaml"));
    let version = manifest.lines().find_map(|line| line.strip_prefix("version: ")).expect("a version");
    let changelog = read(&chart().join("CHANGELOG.md"));
    assert_eq!(changelog.lines().find_map(|line| line.strip_prefix("## ")), Some(version));
    let program = manifest.lines().find_map(|line| line.strip_prefix("appVersion: ")).expect("a version");
    assert_eq!(program.trim_matches('"'), env!("CARGO_PKG_VERSION"));
}
