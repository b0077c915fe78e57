//! SAML assertions: read by themselves, and through the whole sidecar. Nothing is read that its bounds forbid, however it is spelt.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tokend::clock::Clock;
use tokend::inbound::SamlAssertion;
use tokend::oauth::{SamlVersion, TOKEN_TYPE_SAML1, TOKEN_TYPE_SAML2};

use super::holds;
use super::world::{CANARY, FuzzWorld, judged};
use crate::bench::Ready;

/// How many inputs are read by themselves for each that goes the long way.
const EACH: u32 = 20;
/// How long one may be read, in a build without optimization on a machine that has other things to do.
const LONGEST: Duration = Duration::from_secs(1);

pub(super) fn ready() -> Ready {
    let world = FuzzWorld::new();
    let minted = |version: &str| {
        let order = json!({"version": version, "app": "orders-api", "user": "ana@contoso.example", "lifetime": 2_000_000_000});
        let answer = world.run(world.world.emulator.client.post("/_emulator/saml", &order));
        answer.member("assertion").to_owned().into_bytes()
    };
    let seeds = vec![minted("1.1"), minted("2.0")];
    let mut count = 0;
    let takes = move |input: &[u8]| {
        count += 1;
        let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
        for version in [SamlVersion::V1, SamlVersion::V2] {
            alone(text, version)?;
        }
        if count % EACH != 0 {
            return Ok(());
        }
        for kind in [TOKEN_TYPE_SAML1, TOKEN_TYPE_SAML2] {
            let body = json!({
                "app": "orders", "scopes": "https://graph.microsoft.com/User.Read", "assertion": text, "assertion_type": kind,
            });
            let answer = world.run(world.world.sidecar.client.post("/obo", &body));
            judged(&answer)?;
            holds(answer.status == 200 || !answer.text.contains(CANARY), || format!("it tells what came in: {}", answer.text))?;
        }
        if count % 1000 == 0 {
            world.world.later(120);
        }
        Ok(())
    };
    Ready { seeds, takes: Box::new(takes) }
}

/// Reads a text by itself, in each spelling.
fn alone(text: &str, version: SamlVersion) -> Result<(), String> {
    let clock = Clock::system();
    let began = clock.precise();
    let read = SamlAssertion::read(text, version);
    let took = clock.precise().saturating_sub(began);
    holds(took < LONGEST, || format!("it took {took:?}"))?;
    let Ok(read) = read else { return Ok(()) };
    let xml = read.text();
    for spelt in [STANDARD.encode(xml), URL_SAFE_NO_PAD.encode(xml)] {
        let again = SamlAssertion::read(&spelt, version).map(|again| again.text() == xml);
        holds(again == Ok(true), || "in base64 it is another".to_owned())?;
    }
    holds(URL_SAFE_NO_PAD.decode(read.encoded().expose()).is_ok_and(|bytes| bytes == xml.as_bytes()), || {
        "other bytes go on".to_owned()
    })?;
    // What another reader of the tree finds.
    let tree = roxmltree::Document::parse(xml).map_err(|error| format!("it is no XML: {error}"))?;
    let deepest = tree.descendants().filter(roxmltree::Node::is_element).map(|node| node.ancestors().count()).max();
    holds(deepest.is_some_and(|deepest| deepest <= 65), || format!("{deepest:?} deep"))?;
    holds(tree.descendants().count() <= 10_001, || "too many nodes".to_owned())?;
    holds(!xml.contains("<!DOCTYPE") || xml.contains("<![CDATA[") || xml.contains("<!--") || xml.contains("<?"), || {
        "it has a document type".to_owned()
    })
}
