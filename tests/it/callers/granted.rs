//! A caller with `apis` gets what is good for its apis alone: what was granted is compared, wherever the token comes from and
//! whoever asked for it, and what is refused is not kept.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ANA, EXPIRED, ORDERS, PATIENCE, Stage, USER_READ, id, token};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, GRAPH, REDIRECT_URI, code, eventually, parameter};

/// `any` may have all, `clerk` tokens for certain apis only, whosever the account is.
const CALLERS: [(&str, &str); 2] =
    [("any", ""), ("clerk", ", accounts: all, apis: [graph, graph-user, web-orders, shop-read, shop-stock]")];

const EXPORT: &str = "api://orders/orders.export";

/// The kinds of caches, each with the apis that these tests are about.
async fn both() -> [Stage; 2] {
    [stage(None, 1).await, stage(Some(RedisServer::start().await), 2).await]
}

async fn stage(redis: Option<RedisServer>, replicas: usize) -> Stage {
    let mut stage = Stage::empty(redis).await;
    let folder = stage.files.path().display();
    let offline = format!(
        "  shop-offline: {{issuer: \"{}/oidc/shop\", ca_file: {folder}/ca.pem, client_id: shop-web, offline_access: true, \
         credential: {{secret: {{file: {folder}/shop-web.secret}}}}}}\n",
        stage.emulator.origin
    );
    let apis = format!(
        "apis:\n  web-orders: {{app: web, scopes: [\"{ORDERS}\"]}}\n  shop-read: {{app: shop-offline, scopes: [orders.read]}}\n  \
         shop-stock: {{app: shop, scopes: [stock.read]}}\n"
    );
    stage.base = stage.base.replacen("apis:\n", &(offline + &apis), 1);
    for _ in 0..replicas {
        stage.add(&CALLERS).await;
    }
    stage
}

/// Changes the next answers of the token endpoint, as many as are given.
async fn granting(stage: &Stage, scope: &str, times: u32) {
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": times, "do": {"set": {"scope": scope}}})).await;
}

#[track_caller]
fn is_beyond(answer: &Answer) {
    answer.refused(403, "caller_not_allowed", "`callers.*.apis`");
    assert!(!answer.text.contains("eyJ"), "{}", answer.text);
    assert_eq!(answer.json["retryable"], false);
}

/// `POST /silent` of a caller for an api.
async fn silent(stage: &Stage, replica: usize, caller: &str, api: &str, account: &str) -> Answer {
    stage.client(replica, caller).post("/silent", &json!({"api": api, "account": account})).await
}

/// A code for more than its redemption names, at an issuer; the body with which it is redeemed for the api, or for its scopes.
async fn wide_code(stage: &Stage) -> [Value; 2] {
    let any = stage.client(0, "any");
    let url = json!({
        "app": "shop-offline", "scopes": "orders.read", "extra_scopes_to_consent": "orders.write", "redirect_uri": REDIRECT_URI,
        "prompt": "none", "login_hint": "eva",
    });
    let url = any.post("/auth-code/url", &url).await;
    let back = stage.emulator.sign_in(url.member("authorization_url")).await;
    let of = |more: Value| {
        let mut body = json!({
            "redirect_uri": REDIRECT_URI, "code": parameter(&back, "code"), "code_verifier": url.member("code_verifier"),
            "nonce": url.member("nonce"), "iss": parameter(&back, "iss"),
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    [of(json!({"api": "shop-read"})), of(json!({"app": "shop-offline", "scopes": "orders.read"}))]
}

/// How much is kept: partitions in memory, and names of users' records in Redis.
async fn kept(stage: &Stage) -> (f64, usize) {
    let memory = stage.replicas[0].metric("tokend_cache_partitions{level=\"memory\"}").await;
    let records = match &stage.redis {
        Some(redis) => redis.keys().await.iter().filter(|key| key.contains("}:t:") || key.ends_with("}:a")).count(),
        None => 0,
    };
    (memory, records)
}

#[tokio::test]
async fn a_wider_grant_is_beyond_the_api_however_it_is_spelt() {
    let stage = stage(None, 1).await;
    let twice = r#"{"access_token":"eyJ","expires_in":3600,"scope":"stock.read","scope":"stock.read stock.write"}"#;
    for answer in [
        json!({"set": {"scope": ["stock.read", "stock.write"]}}),
        json!({"set": {"scope": ["stock.read stock.write", null]}}),
        json!({"raw": {"status": 201, "body": twice}}),
    ] {
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": answer})).await;
        is_beyond(&stage.client(0, "clerk").post("/client-credentials", &json!({"api": "shop-stock"})).await);
        // The refusal is remembered for five seconds.
        stage.clock.advance(Duration::from_secs(6));
    }
    let list = json!({"set": {"scope": ["stock.read"]}});
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": list})).await;
    stage.client(0, "clerk").post("/client-credentials", &json!({"api": "shop-stock"})).await.token();
}

#[tokio::test]
async fn members_that_say_what_a_token_is_good_for_are_refused_by_name() {
    let stage = stage(None, 1).await;
    let clerk = stage.client(0, "clerk");
    let url = json!({"api": "web-orders", "redirect_uri": REDIRECT_URI});
    let code = json!({"api": "web-orders", "redirect_uri": REDIRECT_URI, "code": "any"});
    for (path, body, members) in [
        ("/client-credentials", json!({"api": "graph"}), &["scopes", "client_claims", "audience", "resource"][..]),
        (
            "/obo",
            json!({"api": "graph-user"}),
            &["scopes", "client_claims", "audience", "resource", "subject_token_type", "requested_token_type"],
        ),
        ("/auth-code/url", url, &["scopes", "client_claims", "audience", "resource", "extra_scopes_to_consent"]),
        ("/auth-code", code, &["scopes", "client_claims", "audience", "resource"]),
        ("/silent", json!({"api": "web-orders", "account": "some.body"}), &["scopes", "client_claims", "audience", "resource"]),
    ] {
        for member in members {
            let mut body = body.clone();
            body[member] = json!("{}");
            if *member == "scopes" || *member == "extra_scopes_to_consent" {
                body[member] = json!([EXPORT]);
            }
            let answer = clerk.post_as(path, "no-token", &body).await;
            is_beyond(&answer);
            assert!(answer.member("detail").contains(&format!("`{member}`")) || *member == "scopes", "{path} {}", answer.text);
        }
        let answer = clerk.post_as(path, "no-token", &body).await;
        assert!(!answer.member("error").starts_with("caller_"), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_code_that_brings_more_than_the_api_signs_nobody_in() {
    for stage in both().await {
        let (before, [bound, _]) = (kept(&stage).await, wide_code(&stage).await);
        is_beyond(&stage.client(0, "clerk").post("/auth-code", &bound).await);
        assert_eq!(stage.calls().await, 1);
        assert_eq!(kept(&stage).await, before);
        silent(&stage, 0, "clerk", "shop-read", "f2a6-eva").await.refused(401, "no_tokens_found", "sign in");
        assert_eq!(stage.client(0, "clerk").get("/accounts?app=shop-offline").await.json["accounts"], json!([]));
        // For no more than the api it signs in.
        let client = stage.client(0, "any");
        let mut body = code(&stage.emulator, &client, "shop-offline", "orders.read", "eva").await;
        body["api"] = json!("shop-read");
        let members = body.as_object_mut().expect("an object");
        members.retain(|name, _| name != "scopes" && name != "app");
        let signed = stage.client(0, "clerk").post("/auth-code", &body).await;
        assert_eq!(silent(&stage, stage.last(), "clerk", "shop-read", &id(&signed)).await.token(), signed.token());
    }
}

#[tokio::test]
async fn another_callers_wider_token_is_not_served_wherever_it_is() {
    for stage in both().await {
        let [_, free] = wide_code(&stage).await;
        let signed = stage.client(0, "any").post("/auth-code", &free).await;
        assert_eq!(signed.member("scope"), "orders.read openid offline_access orders.write");
        for replica in [0, stage.last()] {
            for _ in 0..2 {
                is_beyond(&silent(&stage, replica, "clerk", "shop-read", &id(&signed)).await);
            }
            let theirs = json!({"app": "shop-offline", "scopes": "orders.read", "account": id(&signed)});
            assert_eq!(stage.client(replica, "any").post("/silent", &theirs).await.token(), signed.token());
        }
        assert_eq!(stage.calls().await, 1);
        // Renewed for the api alone, it is good for that alone.
        stage.clock.advance(Duration::from_secs(EXPIRED));
        let own = silent(&stage, 0, "clerk", "shop-read", &id(&signed)).await;
        assert_eq!((own.source(), own.member("scope")), ("identity_provider", "orders.read openid offline_access"));
        assert_eq!(silent(&stage, stage.last(), "clerk", "shop-read", &id(&signed)).await.token(), own.token());
    }
}

#[tokio::test]
async fn a_token_for_more_scopes_is_no_answer_to_a_caller_with_apis() {
    for stage in both().await {
        let any = stage.client(0, "any");
        let body = code(&stage.emulator, &any, "web", USER_READ, ANA).await;
        granting(&stage, &format!("{USER_READ} {ORDERS}"), 1).await;
        let signed = any.post("/auth-code", &body).await;
        let ana = id(&signed);
        // Whoever may have all gets it for each of its scopes.
        assert_eq!(stage.silent(stage.last(), "any", &ana).await.token(), signed.token());
        let exact = silent(&stage, stage.last(), "clerk", "web-orders", &ana).await;
        assert_eq!((exact.source(), exact.member("refresh_reason")), ("identity_provider", "no_cached_access_token"));
        assert_ne!(exact.token(), signed.token());
        for replica in [0, stage.last()] {
            let again = silent(&stage, replica, "clerk", "web-orders", &ana).await;
            assert_eq!((again.token(), again.source()), (exact.token(), "cache"));
        }
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn an_answer_that_grants_more_is_refused_and_not_kept() {
    let wide = format!("{USER_READ} api://billing/invoices.read");
    for stage in both().await {
        let bearer = stage.user_token(ANA).await;
        let (before, body) = (kept(&stage).await, json!({"api": "graph-user"}));
        granting(&stage, &wide, 2).await;
        is_beyond(&stage.client(0, "clerk").post_as("/obo", &bearer, &body).await);
        assert_eq!(kept(&stage).await, before);
        // Whoever asks again at once is told so without the authority.
        is_beyond(&stage.client(0, "clerk").post_as("/obo", &bearer, &body).await);
        assert_eq!(stage.calls().await, 1);
        stage.clock.advance(Duration::from_secs(6));
        is_beyond(&stage.client(0, "clerk").post_as("/obo", &bearer, &body).await);
        assert_eq!(stage.calls().await, 2);
        stage.clock.advance(Duration::from_secs(6));
        let good = stage.client(0, "clerk").post_as("/obo", &bearer, &body).await;
        assert_eq!(good.source(), "identity_provider");
        assert_eq!(stage.client(stage.last(), "clerk").post_as("/obo", &bearer, &body).await.token(), good.token());
        assert_eq!(stage.calls().await, 3);
        let counted = stage.replicas[0].metric("tokend_caller_requests_total{caller=\"clerk\",outcome=\"not_allowed\"}").await;
        assert!((counted - 3.0).abs() < f64::EPSILON, "{counted}");
    }
}

#[tokio::test]
async fn an_apps_own_token_for_more_is_for_those_who_may_have_it() {
    for stage in both().await {
        let body = json!({"api": "shop-stock"});
        granting(&stage, "stock.read orders.write", 1).await;
        is_beyond(&stage.client(0, "clerk").post("/client-credentials", &body).await);
        granting(&stage, "stock.read orders.write", 1).await;
        let wide = stage.client(0, "any").post("/client-credentials", &body).await;
        assert_eq!(wide.source(), "identity_provider", "nothing was kept, and nobody else is stopped");
        for replica in [0, stage.last()] {
            assert_eq!(stage.client(replica, "any").post("/client-credentials", &body).await.token(), wide.token());
            is_beyond(&stage.client(replica, "clerk").post("/client-credentials", &body).await);
        }
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn one_call_for_all_gives_each_what_it_may_have() {
    for stage in both().await {
        for (first, second) in [("any", "clerk"), ("clerk", "any")] {
            // Entra's tokens for the app are shared by all callers.
            stage.clock.advance(Duration::from_secs(EXPIRED));
            let calls = stage.calls().await;
            stage.emulator.unscript().await;
            let held = json!({"hold": true, "set": {"scope": format!("{GRAPH} api://billing/.default")}});
            stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": held})).await;
            let body = json!({"api": "graph"});
            let (leader, follower) = (stage.client(0, first), stage.client(stage.last(), second));
            let following = async {
                stage.emulator.asked_times("token", calls + 1).await;
                let released = async {
                    stage.replicas[stage.last()].answering(if stage.last() == 0 { 2 } else { 1 }).await;
                    stage.emulator.release().await;
                };
                tokio::join!(follower.post("/client-credentials", &body), released).0
            };
            let (led, followed) = tokio::join!(leader.post("/client-credentials", &body), following);
            let (free, bound) = if first == "any" { (led, followed) } else { (followed, led) };
            assert_ne!(free.token(), "");
            is_beyond(&bound);
            if stage.last() == 0 {
                assert_eq!(stage.calls().await, calls + 1, "{first} led");
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_that_brings_more_takes_nothing_away() {
    for stage in both().await {
        let (bearer, body) = (stage.user_token(ANA).await, json!({"api": "graph-user"}));
        let first = stage.client(0, "clerk").post_as("/obo", &bearer, &body).await;
        granting(&stage, &format!("{USER_READ} {ORDERS}"), 0).await;
        stage.clock.advance(Duration::from_secs(3000));
        let due = stage.client(0, "clerk").post_as("/obo", &bearer, &body).await;
        assert_eq!((due.token(), due.member("refresh_reason")), (first.token(), "proactively_refreshed"));
        eventually(PATIENCE, async || {
            stage.replicas[0].metric("tokend_refreshes_total{app=\"orders\",flow=\"on_behalf_of\",outcome=\"ok\"}").await >= 1.0
        })
        .await;
        for _ in 0..3 {
            assert_eq!(stage.client(0, "clerk").post_as("/obo", &bearer, &body).await.token(), first.token());
        }
        assert_eq!(stage.calls().await, 2);
    }
}

#[tokio::test]
async fn what_entra_lists_of_the_apis_resource_is_within() {
    let stage = stage(None, 1).await;
    let bearer = stage.user_token(ANA).await;
    let body = json!({"api": "graph-user", "force_refresh": true});
    for scope in [
        "User.Read Mail.Read openid profile email",
        "https://graph.microsoft.com/User.Read https://graph.microsoft.com/.default",
        "HTTPS://GRAPH.MICROSOFT.COM/mail.read",
    ] {
        granting(&stage, scope, 1).await;
        let answer = stage.client(0, "clerk").post_as("/obo", &bearer, &body).await;
        assert_eq!((answer.token().is_empty(), answer.member("scope")), (false, scope));
    }
    // It names none: what was asked is meant.
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"set": {"scope": null}}})).await;
    stage.client(0, "clerk").post_as("/obo", &bearer, &body).await.token();
}

#[tokio::test]
async fn a_codes_scopes_that_an_issuer_does_not_say_are_not_known() {
    for stage in both().await {
        let [bound, free] = wide_code(&stage).await;
        let unsaid = json!({"on": {"endpoint": "token"}, "times": 2, "do": {"set": {"scope": null}}});
        stage.emulator.script(unsaid).await;
        is_beyond(&stage.client(0, "clerk").post("/auth-code", &bound).await);
        let [_, fresh] = wide_code(&stage).await;
        let signed = stage.client(0, "any").post("/auth-code", &fresh).await;
        assert!(signed.token() != "" && signed.json.get("scope").is_none(), "{}", signed.text);
        for replica in [0, stage.last()] {
            is_beyond(&silent(&stage, replica, "clerk", "shop-read", &id(&signed)).await);
        }
        assert_eq!(stage.calls().await, 2, "{free}");
    }
}

#[tokio::test]
async fn whoever_has_no_apis_is_not_bound_by_those_of_others() {
    let stage = stage(None, 1).await;
    assert_ne!(token("any"), token("clerk"));
    let bearer = stage.user_token(ANA).await;
    granting(&stage, &format!("{USER_READ} {EXPORT}"), 1).await;
    let any: Client = stage.client(0, "any");
    any.post_as("/obo", &bearer, &json!({"api": "graph-user"})).await.token();
}
