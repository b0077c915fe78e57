//! Members that are well-formed and mean nothing, or not together.

use serde_json::{Value, json};

use super::{Route, is_refused, leaving_no_trace};
use crate::support::{Client, World};

const FABRIKAM: &str = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";

#[tokio::test]
async fn an_unknown_app_or_api_is_404() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for name in ["canary", "", "DAEMON", "daemon "] {
                let answer = route.send(world, &json!({"app": name})).await;
                is_refused(route, name, &answer, (404, "unknown_app", "`app`"));
                assert!(!answer.text.contains("canary"));
            }
            let answer = route.send(world, &json!({"api": "canary", "scopes": null})).await;
            is_refused(route, "api", &answer, (404, "unknown_api", "`api`"));
            // Several apps, none called `default`.
            is_refused(route, "no app", &route.send(world, &json!({"app": null})).await, (404, "unknown_app", "`app`"));
        }
    })
    .await;
}

#[tokio::test]
async fn members_that_exclude_each_other_are_400() {
    let hash = "0".repeat(64);
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let api = if route.path == "/client-credentials" { "graph" } else { "graph-user" };
            let app = if route.path == "/client-credentials" { "daemon" } else { "orders" };
            let both = route.send(world, &json!({"app": app, "api": api})).await;
            is_refused(route, "scopes and api", &both, (400, "invalid_request", "`scopes` and `api`"));
            let others = route.send(world, &json!({"app": "billing", "api": api, "scopes": null})).await;
            is_refused(route, "api of another app", &others, (400, "invalid_request", "`app`"));
            if ["/client-credentials", "/obo", "/silent"].contains(&route.path) {
                let both = route.send(world, &json!({"force_refresh": true, "access_token_sha256": hash})).await;
                is_refused(route, "force and hash", &both, (400, "invalid_request", "`force_refresh` and `access_token_sha256`"));
                let odd = route.send(world, &json!({"access_token_sha256": "canary"})).await;
                is_refused(route, "hash", &odd, (400, "invalid_request", "`access_token_sha256`"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_is_none_is_400_and_one_that_is_not_listed_is_403() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for name in ["", "a/b", "../common", "a b", "contoso.example?x", "caf\u{e9}", &"a".repeat(254), "%2e%2e"] {
                let answer = route.send(world, &json!({"tenant": name})).await;
                is_refused(route, name, &answer, (400, "invalid_request", "`tenant`"));
            }
            for name in ["11111111-2b34-4da1-9baa-8bc8c9d6a490", "canary.example", "organizations", "common"] {
                let answer = route.send(world, &json!({"tenant": name})).await;
                let ok = [400, 403].contains(&answer.status) && answer.member("detail").contains("`tenant`");
                assert!(ok, "{} {name}: {}", route.path, answer.text);
                let set_of_tenants = ["organizations", "common"].contains(&name);
                if set_of_tenants && route.path == "/client-credentials" {
                    is_refused(route, name, &answer, (400, "invalid_request", "one as `tenant`"));
                }
                if !set_of_tenants {
                    is_refused(route, name, &answer, (403, "tenant_not_allowed", "`tenant`"));
                }
            }
            if route.path != "/client-credentials" {
                let answer = route.send(world, &json!({"tenant": FABRIKAM})).await;
                is_refused(route, FABRIKAM, &answer, (403, "tenant_not_allowed", "`apps.*.tenants`"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn client_credentials_at_common_are_400() {
    let world = World::new().await;
    let ask = |more: Value| {
        let mut body = json!({"app": "partner", "scopes": [crate::support::GRAPH]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("members").clone());
        body
    };
    world.app_token(ask(json!({}))).await.refused(400, "invalid_request", "`tenant`");
    world.app_token(ask(json!({"tenant": "common"}))).await.refused(400, "invalid_request", "`tenant`");
    assert_eq!(world.calls().await, 0);
    world.app_token(ask(json!({"tenant": FABRIKAM}))).await.token();
}

/// Sends these requests for an app at an OIDC issuer.
async fn at_an_issuer(world: &World, routes: &[Route], members: Value, expected: (u16, &str, &str)) {
    let user = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let user = world.emulator.mint(user).await;
    for route in routes {
        let route = Route { bearer: route.bearer.as_ref().map(|_| user.clone()), ..route.clone() };
        let mut all = json!({"app": "shop-web", "scopes": ["stock.read"], "iss": null});
        if route.path == "/obo" {
            all["app"] = json!("shop");
        }
        all.as_object_mut().expect("an object").extend(members.as_object().expect("members").clone());
        is_refused(&route, &members.to_string(), &route.send(world, &all).await, expected);
    }
}

#[tokio::test]
async fn a_tenant_at_an_issuer_is_400() {
    leaving_no_trace(async |world, routes| {
        at_an_issuer(world, routes, json!({"tenant": FABRIKAM}), (400, "invalid_request", "`tenant`")).await;
    })
    .await;
}

#[tokio::test]
async fn an_audience_or_resource_at_entra_is_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for name in ["audience", "resource"] {
                for value in ["https://canary.example", ""] {
                    let answer = route.send(world, &json!({name: value})).await;
                    is_refused(route, name, &answer, (400, "invalid_request", &format!("`{name}` has no meaning")));
                }
            }
            if route.path == "/obo" {
                for name in ["subject_token_type", "requested_token_type"] {
                    let answer = route.send(world, &json!({name: "urn:ietf:params:oauth:token-type:jwt"})).await;
                    is_refused(route, name, &answer, (400, "invalid_request", &format!("`{name}` has no meaning")));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_audience_or_resource_at_an_issuer_is_400() {
    leaving_no_trace(async |world, routes| {
        for name in ["audience", "resource"] {
            at_an_issuer(world, routes, json!({name: ""}), (400, "invalid_request", &format!("`{name}` is empty"))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn claims_that_are_no_json_object_are_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            for name in ["claims", "client_claims"] {
                for value in ["canary", "", "{", "[]", "7", "\"canary\"", "Y2FuYXJ5", "WyJjYW5hcnkiXQ==", "{} canary"] {
                    let answer = route.send(world, &json!({name: value})).await;
                    is_refused(route, value, &answer, (400, "invalid_request", &format!("`{name}`")));
                    assert!(!answer.text.contains("canary"), "{}", answer.text);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn members_of_a_sign_in_are_judged() {
    leaving_no_trace(async |world, routes| {
        let [url, code] = ["/auth-code/url", "/auth-code"].map(|path| routes.iter().find(|route| route.path == path).expect("one"));
        let (long, too_long) = ("x".repeat(1025), "x".repeat(8193));
        for (route, members, word) in [
            (url, json!({"redirect_uri": null}), "`redirect_uri` is missing"),
            (url, json!({"redirect_uri": "/callback"}), "`redirect_uri`"),
            (url, json!({"redirect_uri": "https://a.example/#x"}), "`redirect_uri`"),
            (url, json!({"response_mode": "fragment"}), "`response_mode` is fragment"),
            (url, json!({"response_mode": "web_message"}), "`response_mode`"),
            (url, json!({"state": ""}), "`state`"),
            (url, json!({"state": long}), "`state`"),
            (url, json!({"nonce": ""}), "`nonce`"),
            (code, json!({"redirect_uri": null}), "`redirect_uri` is missing"),
            (code, json!({"code": null}), "`code` is missing"),
            (code, json!({"code": ""}), "`code` is missing"),
            (code, json!({"code": too_long}), "`code` is longer than 8192 bytes"),
            (code, json!({"redirect_uri": format!("https://a.example/{too_long}")}), "`redirect_uri` is longer than 8192 bytes"),
            (url, json!({"redirect_uri": format!("https://a.example/{too_long}")}), "`redirect_uri` is longer than 8192 bytes"),
            (url, json!({"login_hint": too_long}), "`login_hint` is longer than 8192 bytes"),
            (code, json!({"code_verifier": "short"}), "`code_verifier`"),
            (code, json!({"code_verifier": "\u{e9}".repeat(43)}), "`code_verifier`"),
        ] {
            is_refused(route, &members.to_string(), &route.send(world, &members).await, (400, "invalid_request", word));
        }
        let silent = routes.iter().find(|route| route.path == "/silent").expect("one");
        for (account, word) in [
            (Value::Null, "`account` is missing"),
            (json!(""), "`account` is empty"),
            (json!("x".repeat(513)), "too long"),
            (json!("canary@contoso.example"), "username"),
        ] {
            let answer = silent.send(world, &json!({"account": account})).await;
            is_refused(silent, "account", &answer, (400, "invalid_request", word));
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
        let mixed = code.send(world, &json!({"iss": "https://login.evil.example/"})).await;
        is_refused(code, "iss", &mixed, (400, "invalid_id_token", "`iss`"));
    })
    .await;
}

#[tokio::test]
async fn a_query_is_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let path = format!("{}?tenant=canary", route.path);
            let request = world.sidecar.client.request(&path, &route.with(&json!({})));
            let answer = Client::send(request).await;
            is_refused(route, "query", &answer, (400, "invalid_request", "query"));
        }
    })
    .await;
}
