//! Key sets as servers publish them: one id for several keys, none at all, numbers as they should not be written, keys that nobody
//! can read, and keys that are one app's own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm::{ES256, ES384, PS256, RS256};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::algorithms::{Signer, publishing};
use super::{is_refused, obo_as, order};
use crate::support::World;

#[tokio::test]
async fn aut_13_one_id_may_be_that_of_several_keys() {
    let none = || json!({});
    let [first, second, third] = [none(), none(), none()].map(|more| Signer::new("same", &PKCS_RSA_SHA256, RS256, more));
    let p256 = Signer::new("same", &PKCS_ECDSA_P256_SHA256, ES256, json!({}));
    let p384 = Signer::new("same", &PKCS_ECDSA_P384_SHA384, ES384, json!({}));
    let stranger = Signer::new("same", &PKCS_RSA_SHA256, RS256, json!({}));
    let (world, claims) = publishing(&[&first, &p384, &second, &p256, &third]).await;
    for (signer, algorithm) in [(&first, RS256), (&second, RS256), (&third, PS256), (&p256, ES256), (&p384, ES384)] {
        world.obo(&signer.sign(Some("same"), algorithm, &claims)).await.token();
    }
    is_refused(&world.obo(&stranger.sign(Some("same"), RS256, &claims)).await, "signature");
}

#[tokio::test]
async fn aut_13_an_algorithm_chooses_among_keys_of_one_id() {
    let of = |alg: &str| Signer::new("same", &PKCS_RSA_SHA256, RS256, json!({"alg": alg}));
    let (rs, ps) = (of("RS256"), of("PS256"));
    let encrypting = Signer::new("same", &PKCS_RSA_SHA256, RS256, json!({"use": "enc"}));
    let (world, claims) = publishing(&[&encrypting, &ps, &rs]).await;
    world.obo(&rs.sign(Some("same"), RS256, &claims)).await.token();
    world.obo(&ps.sign(Some("same"), PS256, &claims)).await.token();
    for (signer, algorithm) in [(&rs, PS256), (&ps, RS256), (&encrypting, RS256)] {
        is_refused(&world.obo(&signer.sign(Some("same"), algorithm, &claims)).await, "signature");
    }
}

#[tokio::test]
async fn aut_13_keys_without_an_id_are_each_tried() {
    let nameless = || Signer::new("x", &PKCS_RSA_SHA256, RS256, json!({"kid": null}));
    let (first, second, named) = (nameless(), nameless(), Signer::new("named", &PKCS_RSA_SHA256, RS256, json!({})));
    let (world, claims) = publishing(&[&named, &first, &second]).await;
    for signer in [&first, &second] {
        world.obo(&signer.sign(None, RS256, &claims)).await.token();
        world.obo(&signer.sign(Some("unknown"), PS256, &claims)).await.token();
    }
    world.obo(&named.sign(None, RS256, &claims)).await.token();
    let stranger = nameless();
    is_refused(&world.obo(&stranger.sign(None, RS256, &claims)).await, "signature");
    is_refused(&world.obo(&stranger.sign(Some("unknown"), RS256, &claims)).await, "publish");
}

#[tokio::test]
async fn aut_13_numbers_are_read_as_they_come() {
    let signer = Signer::new("rsa", &PKCS_RSA_SHA256, RS256, json!({}));
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(signer.public[name].as_str().expect("a number")).expect("base64url");
    let (n, e) = (bytes("n"), bytes("e"));
    let zeros = |count: usize, number: &[u8]| URL_SAFE_NO_PAD.encode([vec![0; count], number.to_vec()].concat());
    for (n, e) in [
        (zeros(1, &n), zeros(0, &e)),
        (zeros(3, &n), zeros(1, &e)),
        (zeros(0, &n), zeros(5, &e)),
        (STANDARD.encode(&n), STANDARD.encode(&e)),
    ] {
        let mut public = signer.public.clone();
        (public["n"], public["e"]) = (json!(n), json!(e));
        let world = publishing_values(&[public]).await;
        let claims = super::part(&world.emulator.user_token("ana@contoso.example").await, 1);
        world.obo(&signer.sign(Some("rsa"), RS256, &claims)).await.token();
    }
}

/// A world that publishes these keys and answers every assertion.
async fn publishing_values(keys: &[Value]) -> World {
    let (world, _) = publishing(&[]).await;
    world.emulator.unscript().await;
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"body": {"keys": keys}}}})).await;
    let answer = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 3600});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"raw": {"body": answer}}})).await;
    world
}

#[tokio::test]
async fn aut_13_keys_that_cannot_be_read_do_not_hurt_the_others() {
    let signer = Signer::new("rsa", &PKCS_RSA_SHA256, RS256, json!({}));
    let odd = [
        json!({"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "rsa", "n": 7, "e": "AQAB"}),
        json!({"kty": "AKP", "kid": "rsa", "alg": "ML-DSA-65", "pub": "AQAB"}),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "rsa", "x": "AQ", "y": "AQ"}),
        json!({"kid": "rsa"}),
        json!("rsa"),
        json!(null),
    ];
    let world = publishing_values(&odd.iter().chain([&signer.public]).cloned().collect::<Vec<_>>()).await;
    let claims = super::part(&world.emulator.user_token("ana@contoso.example").await, 1);
    world.obo(&signer.sign(Some("rsa"), RS256, &claims)).await.token();
    world.obo(&signer.sign(None, RS256, &claims)).await.token();
    // What confines a key and cannot be read confines it altogether.
    for member in ["issuer", "use", "alg"] {
        let mut public = signer.public.clone();
        public[member] = json!(["sig"]);
        let world = publishing_values(&[public]).await;
        is_refused(&world.obo(&signer.sign(Some("rsa"), RS256, &claims)).await, "publish");
    }
}

#[tokio::test]
async fn aut_13_a_set_without_keys_is_named() {
    for body in [json!({}), json!({"keys": {}}), json!({"keys": null}), json!([])] {
        let world = World::new().await;
        world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"body": body}}})).await;
        let token = world.emulator.user_token("ana@contoso.example").await;
        let word = if body.is_array() { "JSON object" } else { "`keys`" };
        world.obo(&token).await.refused(503, "keys_unavailable", word);
    }
}

/// A world that answers every assertion: the emulator itself does not take keys that are one app's own.
async fn answering() -> World {
    let world = World::new().await;
    let answer = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 3600});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"raw": {"body": answer}}})).await;
    world
}

#[tokio::test]
async fn aut_14_an_apps_own_key_is_asked_for_under_its_client_id() {
    for (app, registered, version) in [("orders", "orders-api", 2), ("billing", "billing-api", 1)] {
        let world = answering().await;
        let order = json!({"app": registered, "user": "ana@contoso.example", "key": "mapped", "version": version});
        let token = world.emulator.mint(order).await;
        obo_as(&world, app, &token).await.token();
        let client_id = world.emulator.app(registered)["client_id"].as_str().expect("an id").to_owned();
        for endpoint in ["discovery", "keys"] {
            let asked = world.emulator.asked(endpoint).await;
            let named: Vec<&str> =
                asked.iter().filter_map(|request| request["query"].as_str()).filter(|query| !query.is_empty()).collect();
            assert_eq!(named, [format!("appid={client_id}")], "{endpoint}");
        }
    }
}

#[tokio::test]
async fn aut_14_an_apps_own_key_signs_for_no_other_app() {
    let world = answering().await;
    let client = |name: &str| world.emulator.app(name)["client_id"].clone();
    let claims = json!({"aud": [client("orders-api"), client("billing-api")]});
    let token = world.emulator.mint(order(json!({"key": "mapped", "claims": claims}))).await;
    is_refused(&obo_as(&world, "billing", &token).await, "publish");
    obo_as(&world, "orders", &token).await.token();
    // It is remembered now: as that app's alone.
    is_refused(&obo_as(&world, "billing", &token).await, "publish");
    obo_as(&world, "orders", &token).await.token();
}

#[tokio::test]
async fn aut_14_where_an_app_has_no_keys_of_its_own_a_strange_key_is_refused() {
    let world = World::new().await;
    let token = world.emulator.mint(order(json!({"key": "unknown"}))).await;
    is_refused(&world.obo(&token).await, "publish");
    for (document, status) in [
        // An authority that knows no such document says nothing about the token.
        (json!({"raw": {"status": 400, "body": {"error": "invalid_request"}}}), 401),
        (json!({"raw": {"status": 404, "body": "<html>"}}), 401),
        // The key may be there.
        (json!({"raw": {"status": 503}}), 503),
    ] {
        let world = World::new().await;
        world.obo(&world.emulator.user_token("ana@contoso.example").await).await.token();
        world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": document})).await;
        let token = world.emulator.mint(order(json!({"key": "unknown"}))).await;
        let answer = world.obo(&token).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}
