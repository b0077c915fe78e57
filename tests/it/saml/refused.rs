//! Assertions that are none: what each gets, and that nothing is sent or kept for it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{ANA, SAML1, SAML2, USER_READ, kept, minted, obo, of_user, with};
use crate::support::{Client, World};

/// A good assertion changed in one place.
fn changed(good: &str, from: &str, to: &str) -> String {
    let bad = good.replacen(from, to, 1);
    assert_ne!(bad, good, "{from}");
    bad
}

/// Each bad text, and a word of what is said of it.
fn bad(good: &str) -> Vec<(String, &'static str)> {
    let laughs: String = (1..10)
        .map(|level| {
            let (below, ten) = (level - 1, 10);
            format!("<!ENTITY lol{level} \"{}\">", format!("&lol{below};").repeat(ten))
        })
        .collect();
    let inside = |text: &str| changed(good, "</Issuer>", &format!("</Issuer>{text}"));
    vec![
        ("canary".to_owned(), "neither XML nor its base64"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.".to_owned(), "neither XML nor its base64"),
        (STANDARD.encode([0xff, 0xfe, b'<', 0, b'a', 0]), "UTF-8"),
        (STANDARD.encode("canary"), "no well-formed XML"),
        ("<canary".to_owned(), "no well-formed XML"),
        (changed(good, "</Assertion>", ""), "no well-formed XML"),
        (changed(good, ANA, "&canary;"), "no well-formed XML"),
        (changed(good, "<Assertion ", "<!DOCTYPE Assertion><Assertion "), "document type"),
        (
            changed(good, "<Assertion ", &format!("<!DOCTYPE A [<!ENTITY lol0 \"lol\">{laughs}]><Assertion "))
                .replace(ANA, "&lol9;"),
            "document type",
        ),
        (changed(good, "<Assertion ", "<!DOCTYPE A SYSTEM \"http://127.0.0.1:1/canary\"><Assertion "), "document type"),
        (changed(good, "contoso.example<", "contoso.example<!---->.evil.example<"), "comment"),
        (changed(good, "contoso.example<", "contoso.example<?p?>.evil.example<"), "comment"),
        (inside(&("<a>".repeat(64) + &"</a>".repeat(64))), "64 deep"),
        (inside(&"<a/>".repeat(10_001)), "10000 nodes"),
        (inside(&format!("<a{}/>", (0..5_000).map(|number| format!(" a{number}=''")).collect::<String>())), "attributes"),
        (inside(&format!("<a>{}</a>", "x".repeat(190 * 1024))), "190 KiB"),
        (changed(good, "NotOnOrAfter", "NotAfter").replace("NotOnOrAfter", "NotAfter"), "when it ends"),
        (changed(good, "NotOnOrAfter=\"2", "NotOnOrAfter=\"x"), "no date"),
        (changed(good, "SAML:2.0:assertion", "SAML:2.0:protocol"), "no SAML assertion"),
        (changed(good, "Version=\"2.0\"", "Version=\"3.0\""), "no SAML assertion"),
        ("<canary/>".to_owned(), "no SAML assertion"),
    ]
}

#[tokio::test]
async fn req_8_what_is_no_assertion_is_400_and_nothing_is_sent_or_kept() {
    let world = World::new().await;
    let good = of_user(&world.emulator, ANA).await;
    for (text, word) in bad(&good) {
        // XML may come in base64 as well.
        let encoded = text.starts_with('<').then(|| URL_SAFE_NO_PAD.encode(&text)).filter(|text| text.len() < 250 * 1024);
        for text in [Some(text), encoded].into_iter().flatten() {
            let answer = obo(&world, &text, json!({})).await;
            answer.refused(400, "invalid_assertion", word);
            assert_eq!(answer.json["retryable"], false);
            assert!(!answer.text.contains("canary") && answer.text.len() < 2048, "{}", answer.text);
        }
    }
    let ended = minted(&world.emulator, json!({"app": "orders-api", "user": ANA, "lifetime": -60})).await;
    obo(&world, &ended, json!({})).await.refused(400, "invalid_assertion", "has ended");
    let one = minted(&world.emulator, json!({"version": "1.1", "app": "orders-api", "user": ANA})).await;
    obo(&world, &one, json!({})).await.refused(400, "invalid_assertion", "is of SAML 1.1");
    obo(&world, &good, json!({"subject_token_type": SAML1})).await.refused(400, "invalid_assertion", "is of SAML 2.0");
    assert_eq!((world.calls().await, kept(&world).await), (0, json!(0)));
    assert!(obo(&world, &good, json!({})).await.status == 200, "the good one is served after all of them");
}

#[tokio::test]
async fn members_that_do_not_go_together_are_400() {
    let world = World::new().await;
    let (good, user) = (of_user(&world.emulator, ANA).await, world.emulator.user_token(ANA).await);
    let usual = json!({"app": "orders", "scopes": USER_READ});
    for (more, word) in [
        (json!({"assertion": good}), "`subject_token_type` is missing"),
        (json!({"assertion": good, "subject_token_type": SAML2, "assertion_type": SAML2}), "mean the same"),
        (json!({"assertion": good, "subject_token_type": "canary"}), "`subject_token_type` is no assertion's"),
        (
            json!({"assertion": good, "assertion_type": "urn:ietf:params:oauth:token-type:jwt"}),
            "`assertion_type` is no assertion's",
        ),
        (json!({"assertion": good, "assertion_type": ""}), "`assertion_type` is no assertion's"),
        (json!({"assertion_type": SAML2}), "`assertion` is missing"),
        (json!({"subject_token_type": SAML2}), "send it as `assertion`"),
        (json!({"assertion": good, "assertion_type": SAML2, "scopes": null}), "`scopes` is missing"),
        (json!({"assertion": good, "assertion_type": SAML2, "claims": "canary"}), "`claims`"),
        (json!({"assertion": "", "assertion_type": SAML2}), "neither XML"),
    ] {
        let answer = world.sidecar.client.post("/obo", &with(usual.clone(), more)).await;
        assert_eq!(answer.status, 400, "{word}: {}", answer.text);
        assert!(answer.member("detail").contains(word) && !answer.text.contains("canary"), "{word}: {}", answer.text);
    }
    // Two users.
    let both = with(usual.clone(), json!({"assertion": good, "assertion_type": SAML2}));
    world.sidecar.client.post_as("/obo", &user, &both).await.refused(400, "invalid_request", "`Authorization: Bearer`");
    let body = with(usual, json!({"subject_token_type": SAML2}));
    world.sidecar.client.post_as("/obo", &user, &body).await.refused(400, "invalid_request", "send it as `assertion`");
    assert_eq!((world.calls().await, kept(&world).await), (0, json!(0)));
}

#[tokio::test]
async fn the_longest_assertion_fits_into_a_body_and_a_longer_one_does_not() {
    let world = World::new().await;
    let good = of_user(&world.emulator, ANA).await;
    let filled = |length: usize| {
        let room = length - good.len() - "<!---->".len();
        changed(&good, "</Issuer>", &format!("</Issuer><!--{}-->", "x".repeat(room)))
    };
    let longest = filled(190 * 1024);
    for text in [STANDARD.encode(&longest), longest] {
        // Its signature holds: comments are no part of what is signed.
        let answer = obo(&world, &text, json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    obo(&world, &filled(190 * 1024 + 1), json!({})).await.refused(400, "invalid_assertion", "190 KiB");
    let body = json!({"app": "orders", "scopes": USER_READ, "assertion": "A".repeat(256 * 1024), "assertion_type": SAML2});
    assert_eq!(world.sidecar.client.post("/obo", &body).await.status, 413);
    // Nor may anything else stand in a body that long.
    let body = json!({"app": "orders", "scopes": USER_READ, "assertion": "A", "assertion_type": "a".repeat(9_000)});
    world.sidecar.client.post("/obo", &body).await.refused(400, "invalid_request", "`assertion_type` is longer");
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn a_value_that_is_no_text_is_named_and_not_shown() {
    let world = World::new().await;
    for member in ["assertion", "assertion_type"] {
        for value in [json!(7), json!(["canary"]), json!({"canary": 1}), json!(true)] {
            let body: Value = json!({"app": "orders", "scopes": USER_READ, member: value});
            let answer = Client::send(world.sidecar.client.request("/obo", &body)).await;
            answer.refused(400, "invalid_request", &format!("`{member}` has to be a string"));
            assert!(!answer.text.contains("canary"));
        }
    }
}
