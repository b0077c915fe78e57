//! Callers that are known by JWTs of an issuer: its keys over HTTPS, at a URL of their own, or in a file.

use std::time::Duration;

use futures_util::future::{Either, join_all};
use serde_json::{Value, json};
use tokend::caller::{CallerError, HeaderToken, Presented};
use tokend::clock::Clock;
use tokend::sidecar::{Parts, prepare};
use tokend::tasks::Tasks;
use tokend::telemetry::{Metrics, Sampler};

use super::key_server::{JwtKey, KeyServer};
use super::{Stage, token};
use crate::support::{Answer, GRAPH, NOW, Sidecar};

/// An issuer, and a sidecar whose callers `orders` and `shop` are known by its JWTs, and `alpha` by a token.
struct Workloads {
    server: KeyServer,
    key: JwtKey,
    sidecar: Sidecar,
    stage: Stage,
}

// === impl Workloads ===

impl Workloads {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With more members of `jwt`, in which `FILES` and `ORIGIN` stand for the folder and the server.
    async fn with(more: &str) -> Self {
        let key = JwtKey::new("cluster-1");
        let server = KeyServer::start(&key).await;
        let stage = Stage::empty(None).await;
        stage.write_tokens("alpha", &[&token("alpha")]);
        let files = stage.files.path().display();
        std::fs::write(stage.files.path().join("cluster-ca.pem"), &server.ca_pem).expect("a file");
        std::fs::write(stage.files.path().join("jwks.json"), json!({"keys": [key.published()]}).to_string()).expect("a file");
        std::fs::write(stage.files.path().join("discovery"), "canary-discovery-1\n").expect("a file");
        let origin = server.issuer.trim_end_matches("/cluster").to_owned();
        let more = more.replace("FILES", &files.to_string()).replace("ORIGIN", &origin);
        let jwt = |subjects: &str| format!("{{issuer: '{}', audience: tokend, subjects: [{subjects}]{more}}}", server.issuer);
        let yaml = format!(
            "{}callers:\n  - {{name: orders, jwt: {}}}\n  - {{name: shop, jwt: {}, flows: [silent]}}\n  - {{name: alpha, token: {{file: {}}}}}\n",
            stage.base,
            jwt("'system:serviceaccount:shop:orders', 'system:serviceaccount:shop:batch'"),
            jwt("'system:serviceaccount:shop:shop'"),
            stage.token_file("alpha").display()
        );
        let sidecar = Sidecar::start(&yaml, &stage.clock).await;
        Self { server, key, sidecar, stage }
    }

    /// The usual claims of `orders`, with changes; null removes one.
    fn claims(&self, changes: Value) -> Value {
        claims(&self.server.issuer, &self.stage.clock, changes)
    }

    /// A JWT of `orders`.
    fn jwt(&self) -> String {
        self.key.sign(&self.claims(json!({})))
    }

    /// Asks for an app's token with these values of the header.
    async fn ask(&self, shown: &[&str]) -> Answer {
        let mut request = self.sidecar.client.request("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]}));
        for value in shown {
            request = request.header("x-tokend-token", *value);
        }
        crate::support::Client::send(request).await
    }
}

fn claims(issuer: &str, clock: &Clock, changes: Value) -> Value {
    let now = clock.unix();
    let mut claims = json!({
        "iss": issuer, "sub": "system:serviceaccount:shop:orders", "aud": ["tokend"], "iat": now, "nbf": now, "exp": now + 3600,
        "jti": rand::random::<u64>().to_string(), "kubernetes.io": {"namespace": "shop"},
    });
    let members = claims.as_object_mut().expect("an object");
    members.extend(changes.as_object().expect("an object").clone());
    members.retain(|_, value| !value.is_null());
    claims
}

const TRUSTING: &str = ", ca_file: FILES/cluster-ca.pem";

#[track_caller]
fn is_rejected(answer: &Answer) {
    answer.refused(403, "caller_not_authenticated", "JWT");
    assert!(!answer.text.contains("eyJ"), "{}", answer.text);
}

#[tokio::test]
async fn a_jwt_of_a_subject_is_its_caller_and_its_keys_are_fetched_once() {
    let all = Workloads::with(TRUSTING).await;
    let jwt = all.jwt();
    let shown = [jwt.as_str()];
    for answer in join_all((0..20).map(|_| all.ask(&shown))).await {
        answer.token();
    }
    // Another one, another subject of the caller, and another caller's, which has other rights.
    all.ask(&[&all.jwt()]).await.token();
    let batch = all.key.sign(&all.claims(json!({"sub": "system:serviceaccount:shop:batch", "aud": "tokend"})));
    all.ask(&[&batch]).await.token();
    let shop = all.key.sign(&all.claims(json!({"sub": "system:serviceaccount:shop:shop"})));
    all.ask(&[&shop]).await.refused(403, "caller_not_allowed", "`callers.*.flows`");
    assert_eq!(all.server.asked(), ["/cluster/.well-known/openid-configuration", "/keys"]);
    let counted = all.sidecar.metric("tokend_caller_requests_total{caller=\"orders\",outcome=\"authenticated\"}").await;
    assert!((counted - 22.0).abs() < f64::EPSILON, "{counted}");
    // A token stays what it was.
    all.ask(&[&token("alpha")]).await.token();
    all.ask(&["canary-of-nobody-0123456789"]).await.refused(403, "caller_not_authenticated", "no caller");
    all.ask(&[]).await.refused(403, "caller_not_authenticated", "missing");
    let status = all.sidecar.admin.get("/status").await;
    let authorities = status.json["authorities"].as_array().expect("a list");
    let issuer = authorities.iter().find(|authority| authority["authority"] == all.server.issuer.as_str()).expect("the issuer");
    assert_eq!(issuer["callers"], json!(["orders", "shop"]), "{}", status.text);
    assert!(issuer["last_success"].is_string() && issuer["apps"] == json!([]), "{}", status.text);
}

#[tokio::test]
async fn what_is_wrong_with_a_jwt_makes_it_no_proof() {
    let all = Workloads::with(TRUSTING).await;
    all.ask(&[&all.jwt()]).await.token();
    let now = NOW;
    for changes in [
        json!({"exp": null}),
        json!({"sub": null}),
        json!({"iat": null}),
        json!({"iat": "today"}),
        json!({"iss": null}),
        json!({"iss": format!("{}/", all.server.issuer)}),
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": ["tokend", "other"]}),
        json!({"sub": "system:serviceaccount:shop:orders2"}),
        json!({"sub": "system:serviceaccount:other:orders"}),
        json!({"iat": now, "exp": now + 25 * 3600}),
        json!({"iat": now - 7200, "nbf": now - 7200, "exp": now - 61}),
        json!({"nbf": now + 61}),
        json!({"iat": now + 61}),
        json!({"cnf": {"jkt": "x"}}),
        json!({"exp": "later"}),
    ] {
        is_rejected(&all.ask(&[&all.key.sign(&all.claims(changes))]).await);
    }
    let good = all.claims(json!({}));
    for header in [
        json!({"alg": "HS256", "kid": "cluster-1"}),
        json!({"alg": "none"}),
        json!({"alg": "RS256", "kid": "cluster-1", "crit": ["b64"], "b64": true}),
        json!({"alg": "PS256", "kid": "cluster-1"}),
        json!({"alg": "ES256", "kid": "cluster-1"}),
        json!({"kid": "cluster-1"}),
    ] {
        is_rejected(&all.ask(&[&all.key.sign_with(&header, &good)]).await);
    }
    let jwt = all.jwt();
    let (signed, signature) = jwt.rsplit_once('.').expect("three parts");
    let forged: String = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for wrong in [&forged, &format!("{signed}."), &JwtKey::new("cluster-1").sign(&good)] {
        is_rejected(&all.ask(&[wrong]).await);
    }
    // Nobody was asked for any of them, once the keys were there.
    assert_eq!(all.server.asked().len(), 2);
    // What an access token has to say is not asked of it.
    let odd =
        all.key.sign_with(&json!({"alg": "RS256", "kid": "cluster-1", "typ": "anything"}), &all.claims(json!({"idtyp": "app"})));
    all.ask(&[&odd]).await.token();
    // Nor is it a user's token, nor a token in the place of one.
    let client = &all.sidecar.client;
    client.post_as("/client-credentials", &jwt, &json!({"app": "daemon", "scopes": [GRAPH]})).await.refused(
        403,
        "caller_not_authenticated",
        "missing",
    );
}

#[tokio::test]
async fn times_are_judged_again_although_the_signature_is_remembered() {
    let all = Workloads::with(TRUSTING).await;
    let short = all.key.sign(&all.claims(json!({"exp": NOW + 30})));
    all.ask(&[&short]).await.token();
    all.stage.clock.advance(Duration::from_secs(89));
    all.ask(&[&short]).await.token();
    all.stage.clock.advance(Duration::from_secs(1));
    is_rejected(&all.ask(&[&short]).await);
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_half_a_minute() {
    let all = Workloads::with(TRUSTING).await;
    all.ask(&[&all.jwt()]).await.token();
    assert_eq!(all.server.asked().len(), 2);
    all.stage.clock.advance(Duration::from_secs(30));
    let new = JwtKey::new("cluster-2");
    for _ in 0..5 {
        is_rejected(&all.ask(&[&new.sign(&all.claims(json!({})))]).await);
    }
    assert_eq!(all.server.asked(), ["/keys"]);
    all.server.publish(&[&new]);
    is_rejected(&all.ask(&[&new.sign(&all.claims(json!({})))]).await);
    let old = all.jwt();
    all.ask(&[&old]).await.token();
    all.stage.clock.advance(Duration::from_secs(30));
    all.ask(&[&new.sign(&all.claims(json!({})))]).await.token();
    assert_eq!(all.server.asked(), ["/keys"]);
    // The old key has left the set, and what it had signed with it.
    is_rejected(&all.ask(&[&old]).await);
}

#[tokio::test]
async fn while_the_keys_are_away_nothing_can_be_said_and_then_it_can() {
    let all = Workloads::with(TRUSTING).await;
    all.server.be_away(true);
    for _ in 0..3 {
        let answer = all.ask(&[&all.jwt()]).await;
        answer.refused(503, "caller_keys_unavailable", "keys");
        assert_eq!(answer.json["retryable"], true);
    }
    // What is wrong anyway is said all the same, and others are served.
    is_rejected(&all.ask(&[&all.key.sign(&all.claims(json!({"aud": "other"})))]).await);
    all.ask(&[&token("alpha")]).await.token();
    all.ask(&[&all.jwt(), &all.jwt()]).await.refused(403, "caller_not_authenticated", "twice");
    all.server.be_away(false);
    all.stage.clock.advance(Duration::from_secs(31));
    let jwt = all.jwt();
    all.ask(&[&jwt]).await.token();
    // Away again: what is known stays known, a key that is not cannot be judged.
    all.server.be_away(true);
    all.stage.clock.advance(Duration::from_secs(31));
    all.ask(&[&jwt]).await.token();
    all.ask(&[&all.jwt()]).await.token();
    let unknown = JwtKey::new("cluster-2").sign(&all.claims(json!({})));
    all.ask(&[&unknown]).await.refused(503, "caller_keys_unavailable", "keys");
    // A CA that nobody trusts is as good as no server.
    let untrusted = Workloads::new().await;
    untrusted.ask(&[&untrusted.jwt()]).await.refused(503, "caller_keys_unavailable", "keys");
}

#[tokio::test]
async fn documents_and_keys_are_asked_for_with_the_discovery_token_of_now() {
    let all = Workloads::with(", ca_file: FILES/cluster-ca.pem, discovery_token: {file: FILES/discovery}").await;
    all.server.want("canary-discovery-1");
    all.ask(&[&all.jwt()]).await.token();
    assert_eq!(all.server.asked(), ["/cluster/.well-known/openid-configuration", "/keys"]);
    // The platform replaces it, and tells nobody.
    all.server.want("canary-discovery-2");
    std::fs::write(all.stage.files.path().join("discovery"), "canary-discovery-2").expect("a file");
    all.stage.clock.advance(Duration::from_secs(31));
    let new = JwtKey::new("cluster-2");
    all.server.publish(&[&new]);
    all.ask(&[&new.sign(&all.claims(json!({})))]).await.token();
    // A token that the issuer does not take is as good as no keys.
    all.server.want("another");
    all.stage.clock.advance(Duration::from_secs(31));
    let answer = all.ask(&[&JwtKey::new("cluster-3").sign(&all.claims(json!({})))]).await;
    answer.refused(503, "caller_keys_unavailable", "keys");
    let shown = all.sidecar.admin.get("/status").await.text + &all.sidecar.admin.get("/metrics").await.text;
    assert!(!shown.contains("canary-discovery"), "{shown}");
}

#[tokio::test]
async fn keys_may_be_at_a_url_of_their_own_or_in_a_file() {
    let at_url = Workloads::with(", ca_file: FILES/cluster-ca.pem, jwks_uri: 'ORIGIN/keys'").await;
    at_url.ask(&[&at_url.jwt()]).await.token();
    assert_eq!(at_url.server.asked(), ["/keys"]);
    let in_file = Workloads::with(", jwks: {file: FILES/jwks.json}").await;
    let old = in_file.jwt();
    in_file.ask(&[&old]).await.token();
    // A new key is in force at once, and the old one is none any more.
    let new = JwtKey::new("cluster-2");
    let file = in_file.stage.files.path().join("jwks.json");
    std::fs::write(&file, json!({"keys": [new.published()]}).to_string()).expect("a file");
    let jwt = new.sign(&in_file.claims(json!({})));
    in_file.ask(&[&jwt]).await.token();
    is_rejected(&in_file.ask(&[&old]).await);
    // A bad file keeps the keys that are in force.
    for bad in ["", "{}", "{\"keys\": []}"] {
        std::fs::write(&file, bad).expect("a file");
        in_file.stage.clock.advance(Duration::from_secs(1));
        is_rejected(&in_file.ask(&[&old]).await);
        in_file.ask(&[&jwt]).await.token();
        let status = in_file.sidecar.admin.get("/status").await;
        assert_eq!(status.json["reload_failures"][0]["what"], "callers.orders.jwt.jwks", "{}", status.text);
    }
    assert_eq!(in_file.server.asked(), [""; 0]);
}

#[tokio::test]
async fn proofs_of_two_callers_are_none() {
    let all = Workloads::with(TRUSTING).await;
    let orders = all.jwt();
    all.ask(&[&orders]).await.token();
    all.ask(&[&orders, &token("alpha")]).await.refused(403, "caller_not_authenticated", "twice");
    all.ask(&[&format!("{orders}.x")]).await.refused(403, "caller_not_authenticated", "no caller");
    all.ask(&[&format!("Bearer {orders}")]).await.refused(403, "caller_not_authenticated", "no caller");
}

#[tokio::test]
async fn a_jwt_may_stand_where_a_secret_or_an_assertion_does() {
    let (key, stage) = (JwtKey::new("ci-1"), Stage::empty(None).await);
    stage.write_tokens("alpha", &[&token("alpha")]);
    let folder = stage.files.path();
    std::fs::write(folder.join("jwks.json"), json!({"keys": [key.published()]}).to_string()).expect("a file");
    let yaml = format!(
        "{}callers:\n  - {{name: alpha, token: {{file: {}}}}}\n  - {{name: ci, jwt: {{issuer: ci, audience: tokend, \
         subjects: ['system:serviceaccount:shop:orders'], jwks: {{file: {}}}}}}}\n",
        stage.base,
        stage.token_file("alpha").display(),
        folder.join("jwks.json").display()
    );
    let (prepared, findings) = prepare(Sidecar::settings(&yaml), &stage.clock);
    let prepared = prepared.unwrap_or_else(|| panic!("{findings:#?}"));
    let parts =
        Parts { clock: stage.clock.clone(), tasks: Tasks::default(), metrics: Metrics::default(), sampler: Sampler::new(None) };
    let (service, _) = prepared.assemble(&parts);
    let callers = service.callers().expect("callers");
    let (jwt, alpha) = (key.sign(&claims("ci", &stage.clock, json!({}))), token("alpha"));
    let (jwt, alpha) = (jwt.as_bytes(), alpha.as_bytes());
    let shown = |header: Option<&'static [u8]>| Presented {
        header: HeaderToken::of(header),
        secrets: &[],
        assertion: None,
        connection: None,
    };
    // What has to be looked up is waited for, and then remembered: nothing waits any more.
    let assertion = Presented { assertion: Some(jwt), ..shown(None) };
    assert!(assertion.shows_proof() && !shown(None).shows_proof());
    assert!(matches!(callers.identify(&assertion), Either::Right(_)));
    let ci = callers.identify(&assertion).await.expect("a caller");
    assert_eq!(callers.name(ci), Some("ci"));
    assert!(matches!(callers.identify(&assertion), Either::Left(_)));
    let name = async |presented: Presented<'_>| {
        let found = callers.identify(&presented).await;
        found.map(|caller| callers.name(caller).expect("a name").to_owned())
    };
    let good = || Ok("ci".to_owned());
    assert_eq!(name(Presented { secrets: &[jwt], ..shown(None) }).await, good());
    assert_eq!(name(Presented { secrets: &[b"nobodys-token-0123456789", jwt], ..shown(None) }).await, good());
    assert_eq!(name(Presented { secrets: &[jwt], assertion: Some(jwt), ..shown(None) }).await, good());
    assert_eq!(name(Presented { secrets: &[alpha], ..shown(None) }).await, Ok("alpha".to_owned()));
    for (presented, error) in [
        (shown(None), CallerError::Missing),
        (Presented { secrets: &[alpha], assertion: Some(jwt), ..shown(None) }, CallerError::Several),
        (Presented { secrets: &[alpha, jwt], assertion: Some(jwt), ..shown(None) }, CallerError::Several),
        // A token is no assertion, and what is wrong beside a good proof is wrong.
        (Presented { assertion: Some(alpha), ..shown(None) }, CallerError::Unknown),
        (Presented { assertion: Some(jwt), ..shown(Some(b"nobodys-token-0123456789")) }, CallerError::Unknown),
    ] {
        assert_eq!(name(presented).await, Err(error));
    }
    let other = key.sign(&claims("ci", &stage.clock, json!({"aud": "other"})));
    for presented in [
        Presented { assertion: Some(other.as_bytes()), ..shown(None) },
        Presented { secrets: &[other.as_bytes()], ..shown(None) },
        Presented { secrets: &[alpha], assertion: Some(other.as_bytes()), ..shown(None) },
    ] {
        assert!(matches!(name(presented).await, Err(CallerError::Rejected(why)) if why.contains("audience")));
    }
}
