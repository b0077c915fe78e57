//! Algorithms, header members and signatures of an inbound token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{encoded, is_refused, order, part};
use crate::support::World;

/// A good token, and its header and claims.
async fn good(world: &World) -> (String, Value, Value) {
    let token = world.emulator.user_token("ana@contoso.example").await;
    let (header, claims) = (part(&token, 0), part(&token, 1));
    (token, header, claims)
}

#[tokio::test]
async fn none_is_refused() {
    let world = World::new().await;
    let (token, header, claims) = good(&world).await;
    let signature = token.rsplit('.').next().expect("a signature");
    for alg in ["none", "None", "NONE", ""] {
        let mut header = header.clone();
        header["alg"] = json!(alg);
        for signature in ["", signature] {
            let forged = format!("{}.{}.{signature}", encoded(&header), encoded(&claims));
            is_refused(&world.obo(&forged).await, "RS, PS or ES");
        }
    }
}

#[tokio::test]
async fn hs256_with_the_public_key_as_its_secret_is_refused() {
    let world = World::new().await;
    let (_, header, claims) = good(&world).await;
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("an id");
    let keys = world.emulator.client.get(&format!("/{tenant}/discovery/v2.0/keys")).await.json;
    let kid = header["kid"].as_str().expect("a kid");
    let key = keys["keys"].as_array().expect("keys").iter().find(|key| key["kid"] == kid).expect("the key");
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().expect("n")).expect("base64url");
    for (algorithm, secret) in [
        (Algorithm::HS256, modulus.clone()),
        (Algorithm::HS512, modulus),
        (Algorithm::HS256, key.to_string().into_bytes()),
        (Algorithm::HS256, Vec::new()),
    ] {
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret)).expect("a token");
        is_refused(&world.obo(&forged).await, "algorithm");
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_the_keys_is_refused() {
    let world = World::new().await;
    for alg in ["PS256", "RS512", "ES256", "EdDSA", "RSA-OAEP", "RS256 "] {
        let token = world.emulator.mint(order(json!({"header": {"alg": alg}}))).await;
        is_refused(&world.obo(&token).await, "");
    }
}

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_ignored() {
    let world = World::new().await;
    let (_, header, claims) = good(&world).await;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let signing = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("an RSA key");
    let modulus = "AQAB";
    for extra in [
        json!({"jwk": {"kty": "RSA", "n": modulus, "e": "AQAB"}}),
        json!({"jku": format!("{}/attacker/keys", world.emulator.origin)}),
        json!({"x5u": format!("{}/attacker/chain", world.emulator.origin)}),
    ] {
        let mut forged = Header::new(Algorithm::RS256);
        forged.kid = header["kid"].as_str().map(str::to_owned);
        let mut text = serde_json::to_value(&forged).expect("a header");
        text.as_object_mut().expect("an object").extend(extra.as_object().expect("members").clone());
        let content = format!("{}.{}", encoded(&text), encoded(&claims));
        let signature = jsonwebtoken::crypto::sign(content.as_bytes(), &signing, Algorithm::RS256).expect("a signature");
        is_refused(&world.obo(&format!("{content}.{signature}")).await, "signature");
    }
    let asked = world.emulator.requests().await;
    assert!(!asked.iter().any(|request| request["path"].as_str().is_some_and(|path| path.contains("attacker"))));
}

#[tokio::test]
async fn jku_x5u_and_jwk_do_not_spoil_a_good_token() {
    let world = World::new().await;
    let header = json!({"jku": "https://attacker.example/keys", "x5u": "https://attacker.example/chain",
        "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}});
    let token = world.emulator.mint(order(json!({"header": header}))).await;
    world.obo(&token).await.token();
}

#[tokio::test]
async fn an_unknown_crit_is_refused() {
    let world = World::new().await;
    for header in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"crit": ["https://example.com/new"], "https://example.com/new": true}),
        json!({"crit": []}),
    ] {
        let token = world.emulator.mint(order(json!({"header": header}))).await;
        is_refused(&world.obo(&token).await, "");
    }
}

#[tokio::test]
async fn a_typ_that_is_no_access_tokens_is_refused() {
    let world = World::new().await;
    for typ in ["logout+jwt", "dpop+jwt", "token-introspection+jwt"] {
        let token = world.emulator.mint(order(json!({"header": {"typ": typ}}))).await;
        is_refused(&world.obo(&token).await, "typ");
    }
    for typ in [json!("at+jwt"), json!("JWT"), Value::Null] {
        let token = world.emulator.mint(order(json!({"header": {"typ": typ}}))).await;
        world.obo(&token).await.token();
    }
}

#[tokio::test]
async fn what_was_changed_after_signing_is_refused() {
    let world = World::new().await;
    let (token, header, mut claims) = good(&world).await;
    let signature = token.rsplit('.').next().expect("a signature").to_owned();
    claims["oid"] = json!("another-user");
    let changed = format!("{}.{}.{signature}", encoded(&header), encoded(&claims));
    is_refused(&world.obo(&changed).await, "signature");
    is_refused(&world.obo(&token[..token.len() - 8]).await, "signature");
    is_refused(&world.obo(token.strip_suffix(&signature).expect("a token")).await, "");
    world.obo(&token).await.token();
}

#[tokio::test]
async fn what_is_no_jwt_is_refused() {
    let world = World::new().await;
    for text in ["opaque", "a.b", "a.b.c", "....", "eyJhbGciOiJSUzI1NiJ9..", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"] {
        is_refused(&world.obo(text).await, "");
    }
    assert!(world.emulator.asked("token").await.is_empty());
}
