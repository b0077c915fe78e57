//! Client assertions as the authority receives them, judged by a JOSE library that has nothing to do with tokend.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokend::clock::Clock;

use crate::support::{Emulator, GRAPH, NOW, Sidecar, Stage, World, configuration, python};

/// An app with a certificate that signs the old way.
const SHA1: &str = "  daemon-sha1: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: \
                    a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {certificate: {file: FILES/daemon-cert.pem, sha1: true}}}";

/// The assertions that the token endpoints got, oldest first.
async fn sent(world: &World) -> Vec<String> {
    let asked = world.emulator.asked("token").await;
    asked.iter().map(|request| request["form"]["client_assertion"].as_str().expect("an assertion").to_owned()).collect()
}

/// Header (0) or claims (1) of a JWT.
fn part(jwt: &str, index: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(index).expect("a part")).expect("base64url without padding");
    serde_json::from_slice(&bytes).expect("JSON")
}

async fn jti(world: &World) -> Vec<Value> {
    sent(world).await.iter().map(|jwt| part(jwt, 1)["jti"].clone()).collect()
}

async fn fresh(world: &World, app: &str, scopes: &str) {
    world.app_token(json!({"app": app, "scopes": scopes, "force_refresh": true})).await.token();
}

/// What the foreign library says of an assertion of `daemon`, sent to the token endpoint of its own tenant.
async fn judged(world: &World, algorithm: &str) -> Value {
    let daemon = world.emulator.app("daemon");
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
    python(
        "jose_check.py",
        &json!({
            "jwt": sent(world).await[0], "certificate_pem": daemon["certificates"][0]["pem"], "algorithms": [algorithm],
            "audience": format!("{}/{tenant}/oauth2/v2.0/token", world.emulator.origin), "client_id": daemon["client_id"],
        }),
    )
    .await
}

#[tokio::test]
async fn asn_1_ps256_with_the_sha_256_thumbprint() {
    // The library looks at the machine's clock.
    let world = World::staged(Stage { clock: Some(Clock::system()), ..Stage::default() }).await;
    fresh(&world, "daemon-cert", GRAPH).await;
    let verdict = judged(&world, "PS256").await;
    assert_eq!(verdict["error"], Value::Null, "{verdict}");
    let expected = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": verdict["x5t#S256"]});
    assert_eq!(verdict["header"], expected, "unpadded, and nothing else");
    assert_eq!(verdict["x5t#S256"].as_str().map(str::len), Some(43));
}

#[tokio::test]
async fn asn_2_rs256_with_the_sha_1_thumbprint_on_request() {
    let world = World::staged(Stage { clock: Some(Clock::system()), apps: SHA1, ..Stage::default() }).await;
    fresh(&world, "daemon-sha1", GRAPH).await;
    let verdict = judged(&world, "RS256").await;
    assert_eq!(verdict["error"], Value::Null, "{verdict}");
    assert_eq!(verdict["header"], json!({"alg": "RS256", "typ": "JWT", "x5t": verdict["x5t"]}));
    assert_eq!(verdict["x5t"].as_str().map(str::len), Some(27));
}

#[tokio::test]
async fn asn_2_rs256_for_an_issuer() {
    let world = World::new().await;
    fresh(&world, "shop-cert", "stock.read").await;
    assert_eq!(part(&sent(&world).await[0], 0), json!({"alg": "RS256", "typ": "JWT"}));
}

#[tokio::test]
async fn asn_2_another_algorithm_where_the_issuer_does_not_take_rs256() {
    let mut directory = Emulator::built_in();
    directory["realms"][0]["token_endpoint_auth_signing_alg_values_supported"] = json!(["ES256", "PS256"]);
    let world = World::staged(Stage { directory: Some(directory), ..Stage::default() }).await;
    fresh(&world, "shop-cert", "stock.read").await;
    assert_eq!(part(&sent(&world).await[0], 0)["alg"], "PS256");
}

#[tokio::test]
async fn asn_2_the_key_is_named_if_configured() {
    let apps = "  named: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-jwt, \
                credential: {certificate: {file: FILES/shop-cert.pem, kid: key-7}}}";
    let world = World::staged(Stage { apps, ..Stage::default() }).await;
    fresh(&world, "named", "stock.read").await;
    assert_eq!(part(&sent(&world).await[0], 0)["kid"], "key-7");
}

#[tokio::test]
async fn asn_4_the_audience_is_the_endpoint_of_the_tenant_that_was_asked() {
    let fabrikam = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";
    let apps = format!(
        "  anywhere: {{authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: 6e84b0d9-c3f7-4125-a69e-d2517f8c0b34, \
         credential: {{certificate: {{file: FILES/partner.pem}}}}, tenants: [{fabrikam}, fabrikam.example]}}"
    );
    let world = World::staged(Stage { apps: &apps, ..Stage::default() }).await;
    for tenant in [json!(null), json!(fabrikam), json!("fabrikam.example"), json!(null)] {
        let body = json!({"app": "anywhere", "scopes": [GRAPH], "tenant": tenant, "force_refresh": true});
        world.app_token(body).await.token();
    }
    let audiences: Vec<Value> = sent(&world).await.iter().map(|jwt| part(jwt, 1)["aud"].clone()).collect();
    let paths: Vec<String> = world
        .emulator
        .asked("token")
        .await
        .iter()
        .map(|one| format!("{}{}", world.emulator.origin, one["path"].as_str().expect("a path")))
        .collect();
    assert_eq!(audiences, paths);
    assert!(paths[1].contains(fabrikam) && paths[2].contains("/fabrikam.example/"), "{paths:?}");
}

#[tokio::test]
async fn asn_4_the_audience_at_an_issuer_is_the_issuer_as_one_text() {
    let world = World::new().await;
    fresh(&world, "shop-cert", "stock.read").await;
    let claims = part(&sent(&world).await[0], 1);
    assert_eq!(claims["aud"], format!("{}/oidc/shop", world.emulator.origin));
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("shop-jwt"), &json!("shop-jwt")));
}

#[tokio::test]
async fn asn_4_the_audience_is_the_token_endpoint_for_old_servers() {
    let apps = "  old: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-jwt, assertion_audience: token_endpoint, \
                credential: {certificate: {file: FILES/shop-cert.pem}}}";
    let world = World::staged(Stage { apps, ..Stage::default() }).await;
    fresh(&world, "old", "stock.read").await;
    assert_eq!(part(&sent(&world).await[0], 1)["aud"], format!("{}/oidc/shop/token", world.emulator.origin));
}

#[tokio::test]
async fn asn_5_entra_assertions_are_reused_until_a_minute_before_they_end() {
    let world = World::new().await;
    fresh(&world, "daemon-cert", GRAPH).await;
    let claims = part(&sent(&world).await[0], 1);
    assert_eq!((claims["exp"].as_i64(), claims["nbf"].as_i64()), (Some(NOW + 600), Some(NOW)));
    world.later(539);
    fresh(&world, "daemon-cert", GRAPH).await;
    world.later(1);
    fresh(&world, "daemon-cert", GRAPH).await;
    let jti = jti(&world).await;
    assert_eq!(jti[0], jti[1], "one signature serves nine minutes");
    assert_ne!(jti[1], jti[2], "and no longer");
}

#[tokio::test]
async fn asn_5_an_authority_that_refuses_a_repeated_jti_sees_one_repeated() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"refuse_replay": true}})).await;
    fresh(&world, "daemon-cert", GRAPH).await;
    let again = world.app_token(json!({"app": "daemon-cert", "scopes": [GRAPH], "force_refresh": true})).await;
    again.refused(502, "invalid_client", "");
}

#[tokio::test]
async fn asn_5_assertions_at_an_issuer_are_used_once_and_short() {
    let world = World::new().await;
    // The realm refuses a repeated jti by itself.
    for _ in 0..3 {
        fresh(&world, "shop-cert", "stock.read").await;
    }
    let jti: std::collections::BTreeSet<String> = jti(&world).await.iter().map(Value::to_string).collect();
    assert_eq!(jti.len(), 3);
    let claims = part(&sent(&world).await[0], 1);
    // Back-dated, and all the same no longer than a minute.
    assert_eq!(claims["exp"].as_i64(), Some(NOW + 55));
    assert_eq!((&claims["iat"], &claims["nbf"]), (&json!(NOW - 5), &json!(NOW - 5)));
}

#[tokio::test]
async fn asn_5_a_repeated_call_at_an_issuer_has_a_new_assertion_too() {
    let world = World::new().await;
    // The issuer has seen the first assertion and will not take it again.
    let failing = json!({"error": {"status": 503, "error": "temporarily_unavailable"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": failing})).await;
    fresh(&world, "shop-cert", "stock.read").await;
    let jti = jti(&world).await;
    assert_eq!(jti.len(), 2);
    assert_ne!(jti[0], jti[1]);
}

#[tokio::test]
async fn asn_5_an_assertion_that_waited_too_long_for_a_permit_is_signed_anew() {
    let world = World::changed(|yaml, _| yaml.replace("authority: {retry", "authority: {concurrency: 1, retry")).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"hold": true}})).await;
    let ask = |app: &'static str| world.app_token(json!({"app": app, "scopes": "stock.read"}));
    let second = async {
        world.emulator.asked_times("token", 1).await;
        let waits = ask("shop-cert");
        let later = async {
            world.sidecar.answering(2).await;
            // Nothing shows that it has signed and waits for the only permit.
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.later(31);
            world.emulator.release().await;
        };
        tokio::join!(waits, later).0
    };
    let (first, second) = tokio::join!(ask("shop"), second);
    assert_eq!((first.status, second.status), (200, 200), "{} {}", first.text, second.text);
    let asked = world.emulator.asked_times("token", 2).await;
    let signed = part(asked[1]["form"]["client_assertion"].as_str().expect("an assertion"), 1);
    assert_eq!(signed["iat"], NOW + 31 - 5, "half of its time was over");
}

#[tokio::test]
async fn asn_5_an_issuer_takes_an_assertion_whose_clock_is_behind_or_that_limits_it_to_a_minute() {
    // It allows for nothing: neither for clocks that differ, nor for a second more.
    for (behind, limit) in [(0, 60), (5, 60), (4, 300)] {
        let mut directory = Emulator::built_in();
        directory["realms"][0]["assertion_skew"] = json!(0);
        directory["realms"][0]["assertion_lifetime"] = json!(limit);
        let emulator = Emulator::start_with(&Clock::manual(NOW - behind), Some(&directory)).await;
        let files = tempfile::tempdir().expect("a folder");
        let yaml = configuration(&emulator, &files);
        let sidecar = Sidecar::start(&yaml, &Clock::manual(NOW)).await;
        let answer = sidecar.client.post("/client-credentials", &json!({"app": "shop-cert", "scopes": "stock.read"})).await;
        assert_eq!(answer.status, 200, "{behind} s behind, at most {limit} s: {}", answer.text);
    }
}
