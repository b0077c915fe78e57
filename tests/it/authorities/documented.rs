//! Every configuration in `docs/authorities.md` is one that starts, with its files put in place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tokend::clock::Clock;
use tokend::config::{Format, parse};
use tokend::sidecar::prepare;

use crate::support::NOW;

#[test]
fn each_example_of_the_page_starts() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/authorities.md");
    let page = std::fs::read_to_string(page).expect("docs/authorities.md");
    let files = tempfile::tempdir().expect("a folder");
    let mut titles = BTreeSet::new();
    for example in page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end")) {
        let secret = files.path().join("secret");
        std::fs::write(&secret, "a-secret-for-tests").expect("a file");
        let words = example.split(['{', '}', ' ', '\n', '"']).filter(|word| word.starts_with("/run/secrets/"));
        let paths: BTreeSet<&str> = words.collect();
        let text = paths.into_iter().fold(example.to_owned(), |text, path| text.replace(path, &secret.display().to_string()));
        let (settings, findings) = parse(&text, Format::Yaml, "authorities.md", &BTreeMap::new());
        assert!(findings.is_empty(), "{findings:#?}\n{example}");
        let settings = settings.expect("settings");
        titles.extend(settings.apps.iter().map(|app| app.authority.address.profile().title));
        let (prepared, findings) = prepare(settings, &Clock::manual(NOW));
        assert!(prepared.is_some() && findings.is_empty(), "{findings:#?}\n{example}");
    }
    assert_eq!(titles.len(), 5, "{titles:?}");
}
