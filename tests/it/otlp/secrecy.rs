//! What never stands in a span: tokens, secrets, users, tenants, scopes. Every route is asked, in good ways and in bad ones.

use serde_json::{Value, json};

use super::{SAMPLED, Stage, USER_READ};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, GRAPH, REDIRECT_URI, attributes, code};

const ORDERS: &str = "api://orders/access_as_user";
const CANARY: &str = "canary-0123456789";

/// Every name that a span may give to an attribute.
const KNOWN: [&str; 18] = [
    "http.request.method",
    "http.request.resend_count",
    "http.response.status_code",
    "http.route",
    "server.address",
    "db.system.name",
    "db.operation.name",
    "error.type",
    "tokend.app",
    "tokend.flow",
    "tokend.renewal",
    "tokend.flight",
    "tokend.token_source",
    "tokend.cache_level",
    "tokend.grant",
    "tokend.suberror",
    "tokend.error_codes",
    "tokend.authority_trace_id",
];

/// What is looked for, and where it came from.
#[derive(Default)]
struct Words(Vec<(String, String)>);

impl Words {
    fn add(&mut self, name: &str, word: &str) {
        // Shorter ones stand in other words.
        if word.len() >= 6 {
            self.0.push((name.to_owned(), word.to_owned()));
        }
    }

    /// Every text of a JSON value below these members.
    fn all(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.add(name, text),
            Value::Array(values) => values.iter().for_each(|value| self.all(name, value)),
            Value::Object(members) => members.values().for_each(|value| self.all(name, value)),
            _ => {}
        }
    }

    fn answer(&mut self, answer: &Answer) {
        for member in ["access_token", "id_token", "scope", "code_verifier", "nonce", "state", "account", "authorization_url"] {
            self.all(member, &answer.json[member]);
        }
    }
}

/// Everything of the directory that a span must not name.
fn of_directory(emulator: &Emulator, words: &mut Words) {
    let directory = &emulator.directory;
    for tenant in directory["tenants"].as_array().expect("tenants") {
        words.all("tenant", &tenant["id"]);
        words.all("domain", &tenant["domains"]);
    }
    for user in directory["users"].as_array().expect("users") {
        for member in ["username", "password", "object_id", "name"] {
            words.all(member, &user[member]);
        }
    }
    words.all("user", &directory["realms"][0]["users"]);
    words.all("scope", &directory["realms"][0]["scopes"]);
    for app in ["daemon", "orders-api", "web"] {
        words.all("secret", &emulator.app(app)["secrets"]);
    }
    for scope in [GRAPH, USER_READ, ORDERS, "User.Read", "access_as_user", "stock.read", CANARY] {
        words.add("scope", scope);
    }
}

async fn good_ways(stage: &Stage, words: &mut Words) {
    let traced = [("traceparent", SAMPLED)];
    for body in [
        json!({"app": "daemon", "scopes": [GRAPH]}),
        json!({"app": "daemon", "scopes": [GRAPH]}),
        json!({"app": "daemon", "scopes": [GRAPH], "force_refresh": true}),
        json!({"app": "shop-cert", "scopes": ["stock.read"]}),
    ] {
        words.answer(&stage.post("/client-credentials", &body, &traced).await);
    }
    let ana = stage.emulator.user_token("ana@contoso.example").await;
    words.add("assertion", &ana);
    for _ in 0..2 {
        words.answer(&stage.obo(&ana, &traced).await);
    }
    let url = json!({"app": "web", "scopes": ORDERS, "redirect_uri": REDIRECT_URI, "login_hint": "ana@contoso.example"});
    words.answer(&stage.post("/auth-code/url", &url, &traced).await);
    let sign_in = code(&stage.emulator, stage.fleet.client(0), "web", ORDERS, "ana@contoso.example").await;
    words.all("code", &sign_in["code"]);
    let signed_in = stage.post("/auth-code", &sign_in, &traced).await;
    words.answer(&signed_in);
    let account = signed_in.json["account"]["home_account_id"].as_str().expect("an account").to_owned();
    for scopes in [ORDERS, USER_READ] {
        let silent = json!({"app": "web", "scopes": scopes, "account": account});
        words.answer(&stage.post("/silent", &silent, &traced).await);
    }
    let started = stage.post("/device-code", &json!({"app": "web", "scopes": ORDERS}), &traced).await;
    for member in ["device_code", "user_code"] {
        words.add(member, started.member(member));
    }
    let poll = json!({"device_code": started.json["device_code"]});
    assert_eq!(stage.post("/device-code/poll", &poll, &traced).await.member("error"), "authorization_pending");
    let theirs = stage.emulator.asked("token").await.pop().expect("a poll")["form"]["device_code"].clone();
    words.all("device code of the authority", &theirs);
    let client = stage.fleet.client(0);
    let at = |path: &str| format!("{}{path}", client.base);
    for request in [
        client.http.get(at("/accounts?app=web")),
        client.http.get(at(&format!("/accounts/{account}?app=web"))),
        client.http.delete(at(&format!("/accounts/{account}?app=web"))),
    ] {
        Client::send(request.header("traceparent", SAMPLED).header("tracestate", "a=1")).await;
    }
}

async fn bad_ways(stage: &Stage, words: &mut Words) {
    let traced = [("traceparent", SAMPLED)];
    for body in [
        json!({"app": CANARY}),
        json!({"app": "daemon", "scopes": [CANARY]}),
        json!({"app": "daemon", "scopes": [GRAPH], "tenant": CANARY}),
        json!({"app": "daemon", "scopes": [GRAPH], "claims": CANARY}),
        json!({CANARY: 1}),
    ] {
        stage.post("/client-credentials", &body, &traced).await;
    }
    stage.post(&format!("/{CANARY}?{CANARY}"), &json!({}), &traced).await;
    stage.post("/auth-code", &json!({"app": "web", "scopes": ORDERS, "redirect_uri": REDIRECT_URI, "code": CANARY}), &traced).await;
    stage.post("/silent", &json!({"app": "web", "scopes": ORDERS, "account": CANARY}), &traced).await;
    stage.obo(CANARY, &traced).await.refused(401, "invalid_token", "");
    for header in ["x-correlation-id", "origin", "x-forwarded-for"] {
        stage.graph(&[("traceparent", SAMPLED), (header, CANARY)]).await;
    }
    for effect in [
        // The authority repeats what it was told, wherever there is room for it.
        json!({"error": {"status": 400, "error": CANARY, "suberror": CANARY, "error_description": CANARY, "claims": format!("{{\"{CANARY}\":1}}")}}),
        json!({"raw": {"status": 400, "body": {"error": "invalid_grant", "trace_id": CANARY, "correlation_id": CANARY}}}),
        json!({"raw": {"status": 503, "body": CANARY}}),
        json!({"raw": {"status": 302, "headers": {"location": format!("https://127.0.0.1:1/{CANARY}")}, "body": ""}}),
        json!({"close": true}),
    ] {
        stage.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
        let token = stage.emulator.user_token("ben@contoso.example").await;
        words.add("assertion", &token);
        assert!(stage.obo(&token, &traced).await.status >= 400);
        stage.emulator.unscript().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_span_names_a_token_a_secret_a_user_a_tenant_or_a_scope() {
    let redis = RedisServer::start().await;
    let (mut stage, mut words) = (Stage::on(&redis).await, Words::default());
    of_directory(&stage.emulator, &mut words);
    good_ways(&stage, &mut words).await;
    bad_ways(&stage, &mut words).await;
    let spans = stage.spans().await;
    for name in [
        "POST /obo",
        "POST /auth-code",
        "POST /silent",
        "POST /device-code/poll",
        "device_authorization",
        "GET /accounts/{home_account_id}",
        "POST unmatched",
        "redis remove",
    ] {
        assert!(!spans.named(name).is_empty(), "{name} in {}", spans.tree());
    }
    assert!(spans.0.len() > 100 && words.0.len() > 50, "{} in {}", words.0.len(), spans.0.len());
    for span in &spans.0 {
        assert!(span.events.is_empty() && span.links.is_empty(), "{span:?}");
        let mut names: Vec<_> = attributes(span).into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "twice: {names:?} of {}", span.name);
        assert!(names.iter().all(|name| KNOWN.contains(&name.as_str())), "{names:?} of {}", span.name);
    }
    let exported: Vec<String> =
        stage.collector.received().iter().map(|(_, request)| format!("{request:?}").to_lowercase()).collect();
    for (name, word) in &words.0 {
        let found = exported.iter().find_map(|text| Some(&text[..text.find(&word.to_lowercase())?]));
        let before = found.map(|text| text.chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect::<String>());
        assert_eq!(before, None, "the {name} {word}, behind this");
    }
}
