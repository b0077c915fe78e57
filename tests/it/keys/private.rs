//! Keys without certificates at an issuer: of every kind, as PEM, as a JWK, in a set, and by the algorithms that it announces.

use rcgen::PKCS_ECDSA_P384_SHA384;
use serde_json::{Value, json};

use super::{Keys, PASSWORD, proven};
use crate::support::{Emulator, World, python};

const ALL: [&str; 10] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// A directory whose client `shop-keyed` has these public keys and certificates, at a realm that announces these algorithms.
fn directory(public: &Value, certificates: &Value, announced: &[&str]) -> Value {
    let mut directory = Emulator::built_in();
    let realm = &mut directory["realms"][0];
    realm["token_endpoint_auth_signing_alg_values_supported"] = json!(announced);
    let client = json!({"client_id": "shop-keyed", "jwks": {"keys": public}, "certificates": certificates});
    realm["clients"].as_array_mut().expect("a list").push(client);
    directory
}

/// The public half of a JWK.
fn public(jwk: &Value) -> Value {
    let mut jwk = jwk.clone();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        jwk.as_object_mut().and_then(|jwk| jwk.remove(member));
    }
    jwk
}

/// Private keys of every kind by their usual algorithm, from a JOSE library that is not ours.
async fn jwks(keys: &Keys) -> Vec<(String, Value)> {
    let asked = json!({"key_pem": keys.key, "chain_pem": keys.chain.concat(), "password": PASSWORD});
    let written = python("write_keys.py", &asked).await;
    let made = written["jwk"].as_object().unwrap_or_else(|| panic!("{written}")).clone();
    made.into_iter().collect()
}

async fn world(keys: &Keys, public: &Value, announced: &[&str], apps: &[(&str, &str)]) -> World {
    keys.world_of(directory(public, &json!([]), announced), apps).await
}

#[tokio::test]
async fn asn_2_each_kind_of_key_signs_by_an_algorithm_of_its_own() {
    let keys = Keys::new();
    let jwks = jwks(&keys).await;
    let mut known = Vec::new();
    let mut apps: Vec<(String, String, String)> = Vec::new();
    for (number, (algorithm, jwk)) in jwks.iter().enumerate() {
        let name = format!("shop-{}", algorithm.to_lowercase());
        let mut named = jwk.clone();
        named["kid"] = json!(format!("key-{number}"));
        keys.write(&format!("{name}.jwk"), named.to_string());
        known.push(public(&named));
        apps.push((name.clone(), format!("private_key: {{file: KEYS/{name}.jwk}}"), algorithm.clone()));
    }
    // All of them in one file, as JOSE libraries keep them.
    let set: Vec<Value> = known
        .iter()
        .zip(&jwks)
        .map(|(known, (_, jwk))| {
            let mut jwk = jwk.clone();
            jwk["kid"] = known["kid"].clone();
            jwk
        })
        .collect();
    keys.write("set.jwks", json!({"keys": set}).to_string());
    for (number, (algorithm, _)) in jwks.iter().enumerate() {
        let name = format!("shop-set-{}", algorithm.to_lowercase());
        apps.push((name, format!("private_key: {{file: KEYS/set.jwks, kid: key-{number}}}"), algorithm.clone()));
    }
    // As PEM: what OpenSSL writes today, and what it wrote before.
    for (kind, algorithm, make) in [
        ("P-256", "ES256", &["ecparam", "-name", "prime256v1", "-genkey", "-out"][..]),
        ("P-384", "ES384", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out"]),
        ("P-521", "ES512", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521", "-out"]),
        ("Ed25519", "EdDSA", &["genpkey", "-algorithm", "ed25519", "-out"]),
    ] {
        let file = format!("{kind}.pem");
        keys.openssl(&[make, &[file.as_str()][..]].concat());
        let mut jwk = keys.public_jwk(&file, kind);
        jwk["kid"] = json!(kind);
        known.push(jwk);
        let name = format!("shop-pem-{}", kind.to_lowercase());
        apps.push((name, format!("private_key: {{file: KEYS/{file}, kid: {kind}}}"), algorithm.to_owned()));
    }
    // An RSA key signs by what is asked for.
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let credential = format!("private_key: {{file: KEYS/shop-rs256.jwk, alg: {algorithm}}}");
        apps.push((format!("shop-as-{}", algorithm.to_lowercase()), credential, algorithm.to_owned()));
    }
    let configured: Vec<(&str, &str)> = apps.iter().map(|(name, credential, _)| (name.as_str(), credential.as_str())).collect();
    let world = world(&keys, &json!(known), &ALL, &configured).await;
    for (name, _, algorithm) in &apps {
        let header = proven(&world, name).await;
        assert_eq!(header["alg"], *algorithm, "{name}: {header}");
        assert!(header["kid"].is_string() && header.get("x5t").is_none(), "{name}: {header}");
    }
    let status = world.sidecar.admin.get("/status").await;
    let shown = status.json["apps"].as_array().expect("apps").iter().find(|app| app["name"] == "shop-es256").expect("the app");
    assert_eq!(shown["credential"], json!({"kind": "private_key", "expires_on": null, "problem": null}));
    let secrets = jwks.iter().filter_map(|(_, jwk)| jwk["d"].as_str());
    assert!(secrets.into_iter().all(|secret| !status.text.contains(secret)));
}

#[tokio::test]
async fn asn_2_the_algorithm_is_one_that_the_issuer_announces() {
    let keys = Keys::new();
    let jwks = jwks(&keys).await;
    let (mut known, mut apps) = (Vec::new(), Vec::new());
    for (algorithm, jwk) in &jwks {
        let name = format!("shop-{}", algorithm.to_lowercase());
        keys.write(&format!("{name}.jwk"), jwk.to_string());
        known.push(public(jwk));
        apps.push((name.clone(), format!("private_key: {{file: KEYS/{name}.jwk}}")));
    }
    apps.push(("shop-only".to_owned(), "private_key: {file: KEYS/shop-rs256.jwk, alg: RS384}".to_owned()));
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, credential)| (name.as_str(), credential.as_str())).collect();
    let world = world(&keys, &json!(known), &["PS512", "ES384", "<canary>"], &apps).await;
    assert_eq!(proven(&world, "shop-rs256").await["alg"], "PS512");
    assert_eq!(proven(&world, "shop-es384").await["alg"], "ES384");
    let calls = world.calls().await;
    for (app, words) in [
        ("shop-es256", "takes no assertion signed with an EC key on P-256: it announces PS512, ES384: allow ES256"),
        ("shop-es512", "an EC key on P-521"),
        ("shop-eddsa", "allow EdDSA or Ed25519"),
        ("shop-only", "takes no assertion signed by RS384: it announces PS512, ES384: "),
    ] {
        let refused = world.app_token(json!({"app": app, "scopes": "stock.read", "force_refresh": true})).await;
        refused.refused(502, "credential_unusable", words);
        assert!(!refused.text.contains("canary"), "{}", refused.text);
    }
    assert_eq!(world.calls().await, calls, "nothing was sent");
}

#[tokio::test]
async fn asn_2_a_certificate_on_a_curve_proves_an_app_at_an_issuer() {
    let keys = Keys::of(&PKCS_ECDSA_P384_SHA384, 2099);
    keys.pfx("ec.pfx", PASSWORD, &[]);
    let apps = [
        ("shop-certificate", "certificate: {file: KEYS/chain.pem, key_file: KEYS/key.pem, kid: k, x5c: true}"),
        ("shop-pfx", "pfx: {file: KEYS/ec.pfx, password: {file: KEYS/password}}"),
    ];
    let world = keys.world_of(directory(&json!([]), &json!([{"pem": keys.chain[0]}]), &ALL), &apps).await;
    let header = proven(&world, "shop-certificate").await;
    assert_eq!((&header["alg"], &header["kid"], header["x5c"].as_array().map(Vec::len)), (&json!("ES384"), &json!("k"), Some(3)));
    assert_eq!(proven(&world, "shop-pfx").await, json!({"typ": "JWT", "alg": "ES384"}));
}
