//! Assertions that mean harm: however large and involved they are, reading one takes milliseconds, and nothing grows.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokend::clock::Clock;
use tokend::inbound::{LONGEST_ASSERTION, SamlAssertion, SamlFault};
use tokend::oauth::{SamlVersion, TOKEN_TYPE_SAML2};

use crate::support::World;

const HEAD: &str = "<A:Assertion xmlns:A='urn:oasis:names:tc:SAML:2.0:assertion' Version='2.0'><A:Conditions \
                    NotOnOrAfter='2030-01-01T00:00:00Z'/>";
const TAIL: &str = "</A:Assertion>";

/// As many of these as fit into the longest assertion, in the element that `open` begins.
fn filled(open: &str, part: impl Fn(usize) -> String, close: &str) -> String {
    let mut text = format!("{HEAD}{open}");
    for number in 0.. {
        let part = part(number);
        if text.len() + part.len() + close.len() + TAIL.len() > LONGEST_ASSERTION {
            break;
        }
        text += &part;
    }
    text + close + TAIL
}

/// What is hostile, by name.
fn hostile() -> Vec<(&'static str, String)> {
    let scope = |count: usize| (0..count).map(|number| format!(" xmlns:n{number}='u{number}'")).collect::<String>();
    let deep: String =
        (0..60).map(|depth| format!("<a{}>", (0..10).map(|n| format!(" xmlns:d{depth}n{n}='u'")).collect::<String>())).collect();
    vec![
        ("elements in elements", filled("", |_| "<a>".to_owned(), "")),
        ("elements in elements, each with its end", format!("{HEAD}{}{}{TAIL}", "<a>".repeat(25_000), "</a>".repeat(25_000))),
        ("elements beside each other", filled("", |_| "<a/>".to_owned(), "")),
        ("attributes of one element", filled("<a", |number| format!(" a{number}=''"), "/>")),
        (
            "attributes of many elements",
            filled("", |_| format!("<a{}/>", (0..30).map(|n| format!(" a{n}=''")).collect::<String>()), ""),
        ),
        ("attributes with one name", filled("<a", |_| " a=''".to_owned(), "/>")),
        ("namespaces of one element", filled("<a", |number| format!(" xmlns:n{number}='u'"), "/>")),
        ("namespaces, each another", filled("", |number| format!("<a xmlns:n{number}='u{number}'/>"), "")),
        ("namespaces in scope", filled(&format!("<a{}>", scope(400)), |_| "<b xmlns:x='u'/>".to_owned(), "</a>")),
        ("namespaces in scope, deep", filled(&deep, |_| "<b xmlns:x='u'/>".to_owned(), &"</a>".repeat(60))),
        ("prefixes that are looked up", filled(&format!("<a{}>", scope(400)), |_| "<n399:b n398:c=''/>".to_owned(), "</a>")),
        ("comments", filled("", |_| "<!---->".to_owned(), "")),
        ("one comment without an end", filled("<!--", |_| "-- >".to_owned(), "")),
        ("sections", filled("<x>", |_| "<![CDATA[]]>a".to_owned(), "</x>")),
        ("sections without an end", filled("<x>", |_| "<![CDATA[".to_owned(), "</x>")),
        ("references", filled("<x>", |_| "&#60;".to_owned(), "</x>")),
        ("references in an attribute", filled("<x a='", |_| "&lt;".to_owned(), "'/>")),
        ("line ends", filled("<x>", |_| "\r\n".to_owned(), "</x>")),
        ("ampersands", filled("<x>", |_| "&".to_owned(), "</x>")),
        ("brackets", filled("<x>", |_| "]]".to_owned(), "</x>")),
        ("equals signs", filled("<x>", |_| "=".to_owned(), "</x>")),
        ("quotes", filled("<x a='", |_| "\"".to_owned(), "'/>")),
        ("one long name", filled("<x", |_| "x".to_owned(), "/>")),
        ("a name in many letters", filled("<x", |_| "\u{3b1}".to_owned(), "/>")),
        ("blanks in a tag", filled("<x", |_| " ".to_owned(), "/>")),
        ("dates", filled("", |_| "<A:Conditions NotOnOrAfter='2030-01-01T00:00:00Z'/>".to_owned(), "")),
        ("entities", filled("<!DOCTYPE a [", |number| format!("<!ENTITY e{number} '&e{};'>", number + 1), "]>")),
    ]
}

#[test]
fn reading_an_assertion_takes_no_more_than_milliseconds() {
    let (clock, mut slowest) = (Clock::system(), ("", Duration::ZERO));
    for (name, text) in hostile() {
        let best = (0..3).map(|_| {
            let began = clock.precise();
            let read = SamlAssertion::read(&text, SamlVersion::V2);
            assert!(read.is_ok() || matches!(read.err(), Some(fault) if fault != SamlFault::TooLong), "{name}");
            clock.precise().saturating_sub(began)
        });
        let best = best.min().expect("a time");
        if best > slowest.1 {
            slowest = (name, best);
        }
    }
    // Without optimization it takes ten times as long, and the machine has other things to do.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 150 } else { 15 });
    assert!(slowest.1 < most, "{}: {:?}", slowest.0, slowest.1);
}

#[tokio::test]
async fn hostile_assertions_are_refused_or_served_and_nobody_waits_for_them() {
    let world = World::new().await;
    for (name, text) in hostile() {
        for text in [text.clone(), STANDARD.encode(&text)] {
            let body = json!({
                "app": "orders", "scopes": "https://graph.microsoft.com/User.Read", "assertion": text,
                "assertion_type": TOKEN_TYPE_SAML2,
            });
            let body = body.to_string();
            if body.len() > 256 * 1024 {
                continue;
            }
            let request = world.sidecar.client.raw("/obo").header("content-type", "application/json").body(body);
            let answer = crate::support::Client::send(request).await;
            // What is well-formed goes to the authority, which refuses what nobody signed.
            assert!(matches!(answer.status, 400 | 401), "{name}: {}", answer.text);
            assert!(answer.text.len() < 4096, "{name}: {} bytes", answer.text.len());
        }
    }
    // A hundred thousand elements in each other need no stack: they are refused before anything goes into them.
    let deep = "<a>".repeat(LONGEST_ASSERTION / 3);
    let body = json!({"app": "orders", "scopes": "a", "assertion": deep, "assertion_type": TOKEN_TYPE_SAML2});
    world.sidecar.client.post("/obo", &body).await.refused(400, "invalid_assertion", "64 deep");
    assert_eq!(world.sidecar.metric("tokend_cache_partitions{level=\"memory\"}").await, 0.0);
    assert_eq!(world.sidecar.metric("tokend_task_panics_total").await, 0.0);
    assert_eq!(world.graph().await.source(), "identity_provider");
}
