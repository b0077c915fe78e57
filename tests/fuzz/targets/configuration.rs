//! Configurations in each format: settings, or at least one error; and no secret in any finding.

use std::collections::BTreeMap;

use tokend::config::{Format, parse};

use super::holds;
use crate::bench::Ready;

/// It stands in a variable alone: what an input holds may have come to where anybody may see it.
const CANARY: &str = "Canary/of+a=variable";

pub(super) fn ready() -> Ready {
    let mut count = 0;
    let takes = move |input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
        count += 1;
        let formats = [Format::Yaml, Format::Json, Format::Toml];
        let environment = BTreeMap::from([
            ("EVERYONE_SECRET".to_owned(), CANARY.to_owned()),
            ("TOKEND_LOG__LEVEL".to_owned(), text.chars().filter(|c| *c != '\0').take(64).collect()),
        ]);
        for (index, format) in formats.into_iter().enumerate() {
            let environment = if count % 4 == index { environment.clone() } else { BTreeMap::new() };
            let (settings, findings) = parse(text, format, "fuzz.yaml", &environment);
            let shown = format!("{findings:?}");
            holds(settings.is_some() || findings.has_errors(), || "there are neither settings nor errors".to_owned())?;
            holds(!shown.contains(CANARY), || format!("a finding tells a secret: {shown}"))?;
            if let Some(settings) = settings {
                let shown = format!("{settings:?}");
                holds(!shown.contains(CANARY), || "Debug of settings tells a secret".to_owned())?;
            }
        }
        Ok(())
    };
    let fixtures = ["good.yaml", "good.json", "good.toml", "bad.yaml"];
    let read =
        |name: &str| std::fs::read(format!("{}/tests/fixtures/config/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a fixture");
    Ready { seeds: fixtures.map(read).to_vec(), takes: Box::new(takes) }
}
