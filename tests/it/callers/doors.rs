//! Callers at the doors for other protocols: how they prove themselves there, and that a right is a right at every door.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANA, ORDERS, PATIENCE, Stage, USER_READ, token};
use crate::doors::{form, formed};
use crate::support::{Answer, Client, GRAPH, eventually};

const DOORS: &str = "doors: [oauth2, msi]\n";
const CC: (&str, &str) = ("grant_type", "client_credentials");
const VAULT: &str = "api-version=2019-08-01&resource=https://graph.microsoft.com";

/// A stage whose doors are open.
async fn open(callers: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::empty(None).await;
    stage.base += DOORS;
    stage.add(callers).await;
    stage
}

/// A request to the token endpoint whose form has its caller's token.
async fn by_form(stage: &Stage, caller: &str, pairs: &[(&str, &str)]) -> Answer {
    let token = token(caller);
    form(stage.nobody(0), "/oauth2/token", &[pairs, &[("client_secret", token.as_str())]].concat()).await
}

async fn by_identity_header(stage: &Stage, token: &str, query: &str) -> Answer {
    let client = stage.nobody(0);
    Client::send(client.http.get(format!("{}/msi/token?{query}", client.base)).header("x-identity-header", token)).await
}

#[tokio::test]
async fn a_token_is_a_proof_in_each_of_its_places() {
    let stage = open(&[("alpha", ", doors: [rest, oauth2, msi]")]).await;
    let (client, alpha) = (stage.nobody(0), token("alpha"));
    let good = [CC, ("client_id", "daemon"), ("scope", GRAPH)];
    let encoded: String = alpha.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for request in [
        formed(client, "/oauth2/token", &[&good[..], &[("client_secret", &*alpha)]].concat()),
        formed(client, "/oauth2/token", &good).basic_auth("daemon", Some(&alpha)),
        formed(client, "/oauth2/token", &good).basic_auth("daemon", Some(&encoded)),
        formed(client, "/oauth2/token", &good[..1]).basic_auth("daemon", Some(&alpha)).header("x-tokend-token", &alpha),
        formed(client, "/oauth2/token", &good).header("x-tokend-token", &alpha),
        formed(client, "/oauth2/token", &[&good[..], &[("client_secret", &*alpha)]].concat()).header("x-tokend-token", &alpha),
    ] {
        let answer = Client::send(request).await;
        // One of them names no scope.
        assert!(answer.status == 200 || answer.member("error_description").contains("scopes"), "{}", answer.text);
    }
    let answer = by_identity_header(&stage, &alpha, &format!("{VAULT}&mi_res_id=none")).await;
    assert_eq!((answer.status, answer.json["statusCode"].as_u64()), (400, Some(400)), "{}", answer.text);
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn whoever_is_not_known_is_an_invalid_client() {
    let stage = open(&[("alpha", ", doors: [rest, oauth2, msi]"), ("beta", ", doors: [oauth2]")]).await;
    let (client, alpha, beta) = (stage.nobody(0), token("alpha"), token("beta"));
    let good = [CC, ("client_id", "daemon"), ("scope", GRAPH)];
    for (request, is_basic) in [
        (formed(client, "/oauth2/token", &good), false),
        (formed(client, "/oauth2/token", &[&good[..], &[("client_secret", "canary")]].concat()), false),
        (formed(client, "/oauth2/token", &good).basic_auth("daemon", Some("canary")), true),
        (formed(client, "/oauth2/token", &good).basic_auth("daemon", Some("")), true),
        (formed(client, "/oauth2/token", &good).header("x-tokend-token", "canary"), false),
        // Two proofs, of which one is wrong or another caller's.
        (
            formed(client, "/oauth2/token", &[&good[..], &[("client_secret", "canary")]].concat()).header("x-tokend-token", &alpha),
            false,
        ),
        (
            formed(client, "/oauth2/token", &[&good[..], &[("client_secret", &*beta)]].concat()).header("x-tokend-token", &alpha),
            false,
        ),
        (formed(client, "/oauth2/token", &good).basic_auth("daemon", Some(&beta)).header("x-tokend-token", &alpha), true),
        // A token is no assertion, and an identity header proves nothing here.
        (
            formed(
                client,
                "/oauth2/token",
                &[
                    &good[..],
                    &[
                        ("client_assertion", &*alpha),
                        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ],
                ]
                .concat(),
            ),
            false,
        ),
        (formed(client, "/oauth2/token", &good).header("x-identity-header", &alpha), false),
        (formed(client, "/introspect", &[("token", "a"), ("client_id", "orders")]), false),
        (formed(client, "/oauth2/revoke", &[("token", "a")]), false),
    ] {
        let answer = Client::send(request).await;
        answer.oauth_error(401, "invalid_client", "");
        assert_eq!(answer.header("www-authenticate").starts_with("Basic"), is_basic, "{:?}", answer.headers);
        assert!(!answer.text.contains("canary"));
    }
    for wrong in ["", "canary", &alpha[1..]] {
        assert_eq!(by_identity_header(&stage, wrong, VAULT).await.status, 401);
    }
    // Larger bodies need their proof in the head.
    let long = "a".repeat(70 * 1024);
    let large = [CC, ("client_id", "daemon"), ("scope", GRAPH), ("assertion", &*long)];
    let answer = by_form(&stage, "alpha", &large).await;
    answer.oauth_error(413, "invalid_request", "");
    let answer = Client::send(formed(client, "/oauth2/token", &large).header("x-tokend-token", &alpha)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn a_door_is_a_right() {
    let stage = open(&[("alpha", ""), ("beta", ", doors: [oauth2]"), ("gamma", ", doors: [msi]")]).await;
    let good = [CC, ("client_id", "daemon"), ("scope", GRAPH)];
    by_form(&stage, "alpha", &good).await.oauth_error(400, "unauthorized_client", "callers.*.doors");
    by_form(&stage, "gamma", &good).await.oauth_error(400, "unauthorized_client", "callers.*.doors");
    assert_eq!(by_form(&stage, "beta", &good).await.status, 200);
    for (caller, status) in [("alpha", 400), ("beta", 400)] {
        let answer = by_identity_header(&stage, &token(caller), VAULT).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.member("message").contains("callers.*.doors"), "{}", answer.text);
    }
    for caller in ["beta", "gamma"] {
        let rest = stage.client(0, caller).post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await;
        rest.refused(403, "caller_not_allowed", "callers.*.doors");
    }
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn flows_and_apps_are_rights_at_every_door() {
    let stage = open(&[
        ("alpha", ", doors: [oauth2, msi], apps: [daemon], flows: [client_credentials]"),
        ("beta", ", doors: [oauth2, msi], apps: [orders], flows: [on_behalf_of, introspect]"),
        ("gamma", ", doors: [oauth2], apps: [orders]"),
    ])
    .await;
    // The only app of its caller is meant where none is named.
    let scope = ("scope", GRAPH);
    assert_eq!(by_form(&stage, "alpha", &[CC, scope]).await.status, 200);
    by_form(&stage, "alpha", &[CC, scope, ("client_id", "orders")]).await.oauth_error(400, "unauthorized_client", "callers.*.apps");
    let orders = stage.emulator.app("orders-api")["client_id"].as_str().expect("an id").to_owned();
    by_form(&stage, "alpha", &[CC, scope, ("client_id", &orders)]).await.oauth_error(400, "unauthorized_client", "callers.*.apps");
    by_form(&stage, "beta", &[CC, scope]).await.oauth_error(400, "unauthorized_client", "callers.*.flows");
    let user = stage.emulator.user_token(ANA).await;
    let asked = [("token", user.as_str()), ("client_id", "orders"), ("client_secret", "")];
    let ask = async |caller: &str| {
        let secret = token(caller);
        let pairs: Vec<(&str, &str)> = asked[..2].iter().copied().chain([("client_secret", secret.as_str())]).collect();
        form(stage.nobody(0), "/introspect", &pairs).await
    };
    assert_eq!(ask("beta").await.json["active"], true);
    ask("gamma").await.oauth_error(400, "unauthorized_client", "callers.*.flows");
    let asked = by_identity_header(&stage, &token("alpha"), VAULT).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    let refused = by_identity_header(&stage, &token("beta"), VAULT).await;
    assert!(refused.status == 400 && refused.member("message").contains("callers.*.flows"), "{}", refused.text);
    assert_eq!(stage.calls().await, 1);
}

#[tokio::test]
async fn of_a_caller_with_apis_what_is_asked_for_says_which_one_is_meant() {
    let mut stage = Stage::empty(None).await;
    stage.base = stage.base.replacen(
        "apis:\n",
        "apis:\n  stock: {app: shop, scopes: [stock.read]}\n  stock-of: {app: shop, audience: \"https://stock.shop.example\"}\n",
        1,
    );
    stage.base += DOORS;
    stage
        .add(&[
            ("alpha", ", doors: [oauth2, msi], apis: [graph]"),
            ("beta", ", doors: [oauth2], apis: [graph, graph-user, stock, stock-of]"),
        ])
        .await;
    // Its only api is meant, whatever is not said.
    for pairs in [&[CC][..], &[CC, ("scope", GRAPH)], &[CC, ("api", "graph")], &[CC, ("resource", "https://graph.microsoft.com")]] {
        let answer = by_form(&stage, "alpha", &[pairs, &[("client_id", "daemon")]].concat()).await;
        assert_eq!(answer.status, 200, "{pairs:?}: {}", answer.text);
    }
    for pairs in [
        &[CC, ("scope", ORDERS)][..],
        &[CC, ("scope", "https://graph.microsoft.com/.default https://graph.microsoft.com/User.Read")],
        &[CC, ("resource", "https://vault.azure.net")],
        &[CC, ("audience", "x")],
        &[CC, ("api", "graph-user")],
        &[CC, ("api", "graph"), ("scope", ORDERS)],
    ] {
        let answer = by_form(&stage, "alpha", &[pairs, &[("client_id", "daemon")]].concat()).await;
        answer.oauth_error(400, "invalid_scope", "");
    }
    let user = stage.emulator.user_token(ANA).await;
    let bearer =
        [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", user.as_str()), ("client_id", "orders")];
    assert_eq!(by_form(&stage, "beta", &[&bearer[..], &[("scope", USER_READ)]].concat()).await.status, 200);
    let openid = format!("openid {USER_READ} offline_access");
    assert_eq!(by_form(&stage, "beta", &[&bearer[..], &[("scope", &*openid)]].concat()).await.status, 200);
    let shop = [CC, ("client_id", "shop")];
    by_form(&stage, "beta", &shop).await.oauth_error(400, "invalid_scope", "several");
    assert_eq!(by_form(&stage, "beta", &[&shop[..], &[("scope", "stock.read")]].concat()).await.status, 200);
    let granted = |answer: &Answer| answer.status == 200 || answer.member("error") == "invalid_scope";
    let of = by_form(&stage, "beta", &[&shop[..], &[("audience", "https://stock.shop.example")]].concat()).await;
    assert!(granted(&of), "{}", of.text);
    let asked = stage.emulator.asked("token").await;
    assert!(asked.last().is_some_and(|last| last["form"]["audience"] == "https://stock.shop.example"), "{asked:?}");
    let vault = by_identity_header(&stage, &token("alpha"), VAULT).await;
    assert_eq!(vault.status, 200, "{}", vault.text);
    let other = by_identity_header(&stage, &token("alpha"), "api-version=2019-08-01&resource=https://vault.azure.net").await;
    assert!(other.status == 400 && other.member("message").contains("callers.*.apis"), "{}", other.text);
}

#[tokio::test]
async fn a_handle_is_its_callers_alone() {
    let stage = open(&[("alpha", ", doors: [rest, oauth2]"), ("beta", ", doors: [rest, oauth2], accounts: all")]).await;
    let client = stage.client(0, "alpha");
    let body = crate::support::code(&stage.emulator, &client, "web", ORDERS, ANA).await;
    let text = |name: &str| body[name].as_str().expect("a text");
    let pairs = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("code", text("code")),
        ("code_verifier", text("code_verifier")),
        ("redirect_uri", text("redirect_uri")),
        ("scope", ORDERS),
    ];
    let signed = by_form(&stage, "alpha", &pairs).await;
    assert_eq!(signed.status, 200, "{}", signed.text);
    let handle = signed.member("refresh_token");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", handle)];
    assert_eq!(by_form(&stage, "alpha", &[&refresh[..], &[("client_id", "web")]].concat()).await.status, 200);
    by_form(&stage, "beta", &[&refresh[..], &[("client_id", "web")]].concat()).await.oauth_error(400, "invalid_grant", "");
    by_form(&stage, "alpha", &[&refresh[..], &[("client_id", "web-cert")]].concat()).await;
    by_form(&stage, "alpha", &[&refresh[..], &[("client_id", "orders")]].concat()).await.oauth_error(400, "invalid_grant", "");
    // Revoking it does nothing for another caller, and signs out for its own.
    let revoke = async |caller: &str| {
        let secret = token(caller);
        let answer = form(stage.nobody(0), "/oauth2/revoke", &[("token", handle), ("client_secret", &secret)]).await;
        assert_eq!((answer.status, &*answer.text), (200, ""), "{}", answer.text);
    };
    revoke("beta").await;
    assert_eq!(by_form(&stage, "alpha", &[&refresh[..], &[("client_id", "web")]].concat()).await.status, 200);
    revoke("alpha").await;
    by_form(&stage, "alpha", &[&refresh[..], &[("client_id", "web")]].concat()).await.oauth_error(400, "invalid_grant", "");
    assert_eq!(client.get("/accounts?app=web").await.json["accounts"], json!([]));
}

#[tokio::test]
async fn every_proof_is_looked_at_where_a_managed_identity_is_asked_for() {
    let mut stage = Stage::empty(None).await;
    stage.base += "doors: [msi]\nmsi: {imds: {apps: [daemon], caller: alpha}}\n";
    stage.add(&[("alpha", ", doors: [rest, msi], apps: [daemon]"), ("beta", ", doors: [rest, msi], apps: [daemon]")]).await;
    let client = stage.nobody(0);
    let (alpha, beta) = (token("alpha"), token("beta"));
    let app_service =
        |identity: &str| client.http.get(format!("{}/msi/token?{VAULT}", client.base)).header("x-identity-header", identity);
    let imds = || {
        let query = "api-version=2018-02-01&resource=https://graph.microsoft.com";
        client.http.get(format!("{}/metadata/identity/oauth2/token?{query}", client.base)).header("metadata", "true")
    };
    for (request, status) in [
        (app_service(&alpha), 200),
        (app_service(&alpha).header("x-tokend-token", &alpha), 200),
        (app_service(&alpha).header("x-tokend-token", &beta), 401),
        (app_service(&alpha).header("x-tokend-token", "canary-canary-canary-canary"), 401),
        (app_service(&alpha).header("x-tokend-token", &alpha).header("x-tokend-token", &alpha), 401),
        (app_service(&alpha).header("x-identity-header", &alpha), 401),
        (imds(), 200),
        (imds().header("x-tokend-token", &alpha), 200),
        (imds().header("x-tokend-token", &beta), 401),
        (imds().header("x-tokend-token", "canary-canary-canary-canary"), 401),
    ] {
        let answer = Client::send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(!answer.text.contains("canary"));
    }
    let metrics = stage.replicas[0].admin.get("/metrics").await.text;
    for line in ["{caller=\"alpha\",outcome=\"authenticated\"} 4", "{caller=\"-\",outcome=\"not_authenticated\"} 6"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn of_a_caller_with_several_apis_the_handle_says_which_one_is_meant() {
    let mut stage = Stage::empty(None).await;
    stage.base = stage.base.replacen("apis:\n", "apis:\n  own: {app: web, scopes: [\"api://orders/access_as_user\"]}\n", 1);
    stage.base += DOORS;
    stage.add(&[("alpha", ", doors: [rest, oauth2], apis: [own, graph-user]"), ("beta", ", doors: [rest, oauth2]")]).await;
    let client = stage.client(0, "beta");
    let body = crate::support::code(&stage.emulator, &client, "web", ORDERS, ANA).await;
    let text = |name: &str| body[name].as_str().expect("a text");
    let code = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("scope", ORDERS),
        ("code", text("code")),
        ("code_verifier", text("code_verifier")),
        ("redirect_uri", text("redirect_uri")),
    ];
    let signed = by_form(&stage, "alpha", &code).await;
    assert_eq!(signed.status, 200, "{}", signed.text);
    let refresh = [("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", signed.member("refresh_token"))];
    let again = by_form(&stage, "alpha", &refresh).await;
    assert_eq!((again.status, again.member("access_token")), (200, signed.member("access_token")), "{}", again.text);
    let beyond = by_form(&stage, "alpha", &[&refresh[..], &[("scope", "https://graph.microsoft.com/.default")]].concat()).await;
    beyond.oauth_error(400, "invalid_scope", "");
}

#[tokio::test]
async fn who_is_not_known_yet_takes_few_places_and_not_for_long() {
    let mut stage = Stage::empty(None).await;
    stage.base += "doors: [oauth2]\nlimits: {concurrency: 8}\n";
    stage.add(&[("alpha", ", doors: [rest, oauth2]")]).await;
    let client = stage.nobody(0);
    let address = client.base.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 60000\r\n\r\n"
    );
    let stall = async || {
        let mut silent = TcpStream::connect(&address).await.expect("a connection");
        silent.write_all(head.as_bytes()).await.expect("written");
        silent
    };
    let good = [CC, ("client_id", "daemon"), ("scope", GRAPH)];
    // One of eight places is for such requests, and it is taken.
    let (mut silent, mut refused) = (stall().await, by_form(&stage, "alpha", &good).await);
    eventually(PATIENCE, async || {
        if refused.status != 503 {
            (silent, refused) = (stall().await, by_form(&stage, "alpha", &good).await);
        }
        refused.status == 503
    })
    .await;
    refused.oauth_error(503, "temporarily_unavailable", "not known yet");
    // Whoever is known by the head is served meanwhile.
    assert_eq!(
        stage.client(0, "alpha").post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await.status,
        200
    );
    let basic = formed(client, "/oauth2/token", &good).basic_auth("daemon", Some(token("alpha")));
    assert_eq!(Client::send(basic).await.status, 200);
    // Its time is over long before a request's.
    let mut answer = vec![0; 64];
    let read = tokio::time::timeout(PATIENCE, silent.read(&mut answer)).await.expect("an answer").expect("bytes");
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 504"), "{:?}", String::from_utf8_lossy(&answer[..read]));
    assert_eq!(by_form(&stage, "alpha", &good).await.status, 200);
}
