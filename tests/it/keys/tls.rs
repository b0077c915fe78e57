//! A certificate that connections show (RFC 8705): at the endpoints that ask for it, with connections of its own, and no token that
//! is bound to it goes to a caller.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, date_time_ymd};
use serde_json::{Value, json};

use super::{Keys, PASSWORD};
use crate::support::{Answer, Emulator, NOW, World};

const TLS: &str = "tls_certificate: {file: KEYS/chain.pem, key_file: KEYS/key.pem}";

/// A directory whose client `shop-keyed` is known by a certificate for `app.example` of this CA; `more` are further members of it.
fn directory(ca: &str, more: &Value) -> Value {
    let mut directory = Emulator::built_in();
    let realm = &mut directory["realms"][0];
    realm["token_endpoint_auth_methods_supported"] = json!(["client_secret_post", "tls_client_auth"]);
    realm["client_ca"] = json!(ca);
    let mut client = json!({
        "client_id": "shop-keyed", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example",
        "redirect_uris": [crate::support::REDIRECT_URI],
    });
    client.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    realm["clients"].as_array_mut().expect("a list").push(client);
    directory
}

async fn ask(world: &World, app: &str) -> Answer {
    world.app_token(json!({"app": app, "scopes": "stock.read", "force_refresh": true})).await
}

#[tokio::test]
async fn asn_9_the_certificate_is_the_proof_at_the_endpoints_for_it() {
    for kind in [&PKCS_RSA_SHA256, &PKCS_ECDSA_P256_SHA256] {
        let keys = Keys::of(kind, 2099);
        let pass = format!("pass:{PASSWORD}");
        keys.openssl(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "key.pem", "-out", "locked.key", "-passout", &pass]);
        let locked = "tls_certificate: {file: KEYS/chain.pem, key_file: KEYS/locked.key, password: {file: KEYS/password}}";
        let world = keys.world_of(directory(&keys.chain[2], &json!({})), &[("shop-tls", TLS), ("shop-locked", locked)]).await;
        for app in ["shop-tls", "shop-locked"] {
            ask(&world, app).await.token();
        }
        let asked = world.emulator.asked("token").await;
        for call in &asked {
            let form = json!({"grant_type": "client_credentials", "client_id": "shop-keyed", "scope": "stock.read"});
            assert_eq!((&call["form"], &call["path"]), (&form, &json!("/oidc/shop/mtls/token")));
        }
        let status = world.sidecar.admin.get("/status").await.json;
        let shown = status["apps"].as_array().expect("apps").iter().find(|app| app["name"] == "shop-tls").expect("the app").clone();
        assert_eq!((&shown["credential"]["kind"], &shown["credential"]["problem"]), (&json!("tls_certificate"), &Value::Null));
        let sample = "tokend_credential_expiry_timestamp_seconds{app=\"shop-tls\",kind=\"tls_certificate\"}";
        assert!(world.sidecar.metric(sample).await > f64::from(u32::try_from(NOW).expect("a date")));
    }
}

#[tokio::test]
async fn asn_9_each_flow_goes_there() {
    let keys = Keys::new();
    let world = keys.world_of(directory(&keys.chain[2], &json!({})), &[("shop-tls", TLS)]).await;
    let code = world.code("shop-tls", "stock.read", "eva").await;
    world.redeem(&code).await.token();
    let device = world.sidecar.client.post("/device-code", &json!({"app": "shop-tls", "scopes": "stock.read"})).await;
    assert_eq!(device.status, 200, "{}", device.text);
    let paths: Vec<Value> = world
        .emulator
        .requests()
        .await
        .into_iter()
        .filter(|call| call["method"] == "POST")
        .map(|call| call["path"].clone())
        .collect();
    assert_eq!(paths, ["/oidc/shop/mtls/token", "/oidc/shop/mtls/device"]);
}

#[tokio::test]
async fn asn_9_a_certificate_that_is_not_taken_is_502_and_one_that_replaces_it_has_connections_of_its_own() {
    let (old, new) = (Keys::new(), Keys::new());
    let world = old.world_of(directory(&new.chain[2], &json!({})), &[("shop-tls", TLS)]).await;
    ask(&world, "shop-tls").await.refused(502, "invalid_client", "credential");
    // Another certificate over the kept connection of the first would be no proof.
    old.write("key.pem", &new.key);
    old.write("chain.pem", new.chain.concat());
    world.later(60);
    ask(&world, "shop-tls").await.token();
    // A bad one changes nothing.
    old.write("key.pem", "canary");
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": {"status": 401, "error": "invalid_client"}}})).await;
    ask(&world, "shop-tls").await.refused(502, "invalid_client", "credential");
    world.later(60);
    ask(&world, "shop-tls").await.token();
    assert_eq!(world.sidecar.metric("tokend_reload_failures_total{app=\"shop-tls\"}").await, 1.0);
}

#[tokio::test]
async fn asn_9_of_two_certificates_the_one_that_holds_is_shown() {
    let keys = Keys::new();
    let key = KeyPair::from_pem(&keys.key).expect("a key");
    let mut params = CertificateParams::new(vec!["app.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let over = params.self_signed(&key).expect("a certificate").pem();
    keys.write("chain.pem", [over, keys.chain.concat()].concat());
    let world = keys.world_of(directory(&keys.chain[2], &json!({})), &[("shop-tls", TLS)]).await;
    ask(&world, "shop-tls").await.token();
}

#[tokio::test]
async fn asn_9_a_token_that_is_bound_to_the_certificate_is_502() {
    let keys = Keys::new();
    let bound = json!({"tls_client_certificate_bound_access_tokens": true});
    let world = keys.world_of(directory(&keys.chain[2], &bound), &[("shop-tls", TLS)]).await;
    let refused = ask(&world, "shop-tls").await;
    refused.refused(502, "token_is_bound", "certificate-bound access tokens off");
    assert!(!refused.text.contains("eyJ"), "{}", refused.text);
    let code = world.code("shop-tls", "stock.read", "eva").await;
    world.redeem(&code).await.refused(502, "token_is_bound", "cnf");
    assert_eq!(world.sidecar.client.get("/accounts?app=shop-tls").await.json["accounts"], json!([]));
}

#[tokio::test]
async fn asn_9_an_issuer_that_knows_no_certificates_is_not_asked() {
    let keys = Keys::new();
    let mut directory = directory(&keys.chain[2], &json!({}));
    directory["realms"][0]["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    let world = keys.world_of(directory, &[("shop-tls", TLS)]).await;
    ask(&world, "shop-tls").await.refused(502, "credential_unusable", "does not take tls_client_auth");
    assert_eq!(world.calls().await, 0);
}
