//! Each row of what Microsoft's sidecar serves: its routes, parameters, answers and errors. What tokend answers otherwise stands in
//! `docs/from-entra-sidecar.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, GRAPH, World};

const READ: &str = "https://graph.microsoft.com/User.Read";
const ANA: &str = "ana@contoso.example";
const USER: &str = "/AuthorizationHeader";
const APP: &str = "/AuthorizationHeaderUnauthenticated";
/// What begins the names of parameters.
const OVERRIDE: &str = "optionsOverride.";
const ACQUIRE: &str = "optionsOverride.AcquireTokenOptions.";
const MACHINE: &str = "/subscriptions/1/machine";

/// Overrides are allowed at `users` and `machine`, and not at `plain` and `strict`.
async fn open() -> World {
    World::changed(|yaml, _| {
        let apis = format!(
            "apis:\n  users: {{app: orders, scopes: [\"{READ}\"], doors: [ms_sidecar], overrides: true}}\n  \
             plain: {{app: orders, scopes: [\"{READ}\"], doors: [ms_sidecar]}}\n  \
             machine: {{app: daemon, scopes: [\"{GRAPH}\"], doors: [ms_sidecar], app_token: true, app_overrides: true}}\n  \
             partner: {{app: partner, scopes: [\"{GRAPH}\"], doors: [ms_sidecar], app_token: true, app_overrides: true}}\n  \
             strict: {{app: daemon, scopes: [\"{GRAPH}\"], doors: [ms_sidecar], app_token: true}}\n"
        );
        let yaml = yaml.replacen("apis:\n", &apis, 1);
        let yaml = yaml.replacen("tenants: [", &format!("managed_identity_ids: [{MACHINE}], tenants: ["), 1);
        yaml + "doors: [ms_sidecar]\nms_sidecar: {app: orders, unauthenticated: anyone}\n"
    })
    .await
}

/// A request, with a user's token or without.
async fn send(client: &Client, method: Method, path: &str, bearer: Option<&str>) -> Answer {
    let request = client.http.request(method, format!("{}{path}", client.base));
    Client::send(bearer.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
}

async fn get(client: &Client, path: &str, bearer: Option<&str>) -> Answer {
    send(client, Method::GET, path, bearer).await
}

/// The claims of the token in an answer.
#[track_caller]
fn claims(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let header = answer.member("authorizationHeader");
    payload(header.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{header}")))
}

/// The claims of a token as they stand in it.
#[track_caller]
fn payload(token: &str) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("a payload")).expect("base64url");
    serde_json::from_slice(&part).expect("JSON")
}

/// Checks a problem, of which the title says the reason.
#[track_caller]
fn problem(answer: &Answer, status: u16, word: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{}", answer.text);
    assert!(answer.member("title").contains(word), "no {word:?} in the title: {}", answer.text);
    assert_eq!((answer.json["status"].as_u64(), answer.header("cache-control")), (Some(status.into()), "no-store"));
    assert!(!answer.member("type").is_empty() && !answer.member("detail").is_empty(), "{}", answer.text);
    assert_eq!(answer.member("correlation_id"), answer.header("x-correlation-id"), "{}", answer.text);
}

/// The last form that the authority was sent.
async fn last_form(world: &World) -> Value {
    world.emulator.asked("token").await.last().expect("a call")["form"].clone()
}

// === 1.1 Routes ===

#[tokio::test]
async fn each_route_is_there_in_any_case() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    for (method, path, bearer) in [
        (Method::GET, "/Validate", true),
        (Method::GET, "/VALIDATE", true),
        (Method::GET, "/AuthorizationHeader/users", true),
        (Method::POST, "/AuthorizationHeader/Users", true),
        (Method::GET, "/authorizationheader/USERS", true),
        (Method::GET, "/AuthorizationHeaderUnauthenticated/machine", false),
        (Method::POST, "/AuthorizationHeaderUnauthenticated/machine", false),
        (Method::GET, "/authorizationHeaderUNAUTHENTICATED/Machine", false),
        (Method::GET, "/healthz", false),
        (Method::GET, "/Healthz", false),
    ] {
        let answer = send(client, method.clone(), path, bearer.then_some(&*user)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_a_client_posts_says_nothing() {
    let world = open().await;
    let client = &world.sidecar.client;
    // As to a token endpoint, which is how some clients know to ask; and more than any request has.
    let form = "grant_type=client_credentials&client_id=other&scope=api://billing/.default".to_owned();
    for (media, body) in [("application/x-www-form-urlencoded", form), ("text/plain", "x".repeat(1 << 20))] {
        let request = client.raw(&format!("{APP}/machine")).header("content-type", media).body(body);
        assert_eq!(claims(&Client::send(request).await)["aud"], "https://graph.microsoft.com");
    }
}

#[tokio::test]
async fn no_other_route_and_no_other_method_is_served() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    for (method, path) in [
        (Method::POST, "/DownstreamApi/users"),
        (Method::POST, "/DownstreamApiUnauthenticated/machine"),
        (Method::GET, "/openapi/v1.json"),
        (Method::GET, "/health"),
        (Method::GET, "/metrics"),
        (Method::GET, "/AuthorizationHeader"),
        (Method::GET, "/AuthorizationHeader/users/more"),
    ] {
        assert_eq!(send(client, method.clone(), path, Some(&user)).await.status, 404, "{method} {path}");
    }
    for (method, path) in [
        (Method::PUT, "/AuthorizationHeader/users"),
        (Method::DELETE, "/AuthorizationHeader/users"),
        (Method::PATCH, "/AuthorizationHeaderUnauthenticated/machine"),
        (Method::POST, "/Validate"),
    ] {
        let answer = send(client, method.clone(), path, Some(&user)).await;
        assert!(answer.status == 405 && answer.header("allow").contains("GET"), "{method} {path}: {}", answer.text);
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn health_needs_no_proof_and_no_host_of_ours() {
    let world = open().await;
    let client = &world.sidecar.client;
    let request = client.http.get(format!("{}/healthz", client.base)).header("host", "10.0.0.7");
    let answer = Client::send(request.header("origin", "https://elsewhere.example")).await;
    assert_eq!((answer.status, &*answer.text), (200, "Healthy"));
    assert!(answer.header("content-type").starts_with("text/plain"), "{}", answer.header("content-type"));
}

// === 1.2 Parameters ===

#[tokio::test]
async fn agent_parameters_are_refused_by_name_wherever_they_stand() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    for name in ["AgentIdentity", "AgentUsername", "AgentUserId", "agentidentity"] {
        // An empty one, or a bad id, was ignored there once: it was another one's token then.
        for value in ["", "canary", "0f3c1f0e-6f0a-4f0e-9d5b-0a4f5f3f9b33"] {
            for api in [format!("{USER}/users"), format!("{APP}/machine"), format!("{APP}/strict")] {
                let answer = get(client, &format!("{api}?{name}={value}"), Some(&user)).await;
                problem(&answer, 400, "Agent");
                assert!(!answer.text.contains("canary"), "{}", answer.text);
            }
        }
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn scopes_may_stand_several_times() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    let one = format!("{USER}/users?{OVERRIDE}Scopes={READ}&{OVERRIDE}scopes=profile");
    assert_eq!(get(client, &one, Some(&user)).await.status, 200);
    let form = last_form(&world).await;
    let asked: Vec<&str> = form["scope"].as_str().expect("a scope").split(' ').collect();
    assert!(asked.contains(&READ) && asked.contains(&"profile"), "{asked:?}");
    let other = format!("{APP}/machine?{OVERRIDE}Scopes=api://billing/.default");
    assert_eq!(claims(&get(client, &other, None).await)["aud"], "api://billing");
    // What is empty overrides nothing.
    let empty = format!("{APP}/machine?{OVERRIDE}Scopes=&{OVERRIDE}Scopes=&{ACQUIRE}Tenant=&{ACQUIRE}Claims=");
    assert_eq!(claims(&get(client, &empty, None).await)["aud"], "https://graph.microsoft.com");
    let empty = format!("{USER}/plain?{OVERRIDE}Scopes=&{ACQUIRE}ForceRefresh=");
    assert_eq!(get(client, &empty, Some(&user)).await.status, 200, "nothing is overridden");
}

#[tokio::test]
async fn an_app_token_may_be_asked_for() {
    let world = open().await;
    let client = &world.sidecar.client;
    for value in ["true", "True", "false"] {
        let path = format!("{APP}/strict?{OVERRIDE}RequestAppToken={value}");
        assert_eq!(claims(&get(client, &path, None).await)["idtyp"], "app", "that is so anyway");
    }
    problem(&get(client, &format!("{APP}/machine?{OVERRIDE}RequestAppToken=1"), None).await, 400, "RequestAppToken");
}

#[tokio::test]
async fn another_tenant_has_to_be_one_of_the_apps() {
    let world = open().await;
    let client = &world.sidecar.client;
    let fabrikam = &world.emulator.directory["tenants"][1]["id"];
    let answer = get(client, &format!("{APP}/partner?{ACQUIRE}Tenant={}", fabrikam.as_str().expect("an id")), None).await;
    assert_eq!(claims(&answer)["tid"], *fabrikam);
    problem(&get(client, &format!("{APP}/machine?{ACQUIRE}Tenant=elsewhere.example"), None).await, 403, "tenants");
}

#[tokio::test]
async fn a_refresh_and_claims_go_past_the_cache() {
    let world = open().await;
    let client = &world.sidecar.client;
    for (query, calls) in [("", 1), ("", 1), ("?optionsOverride.AcquireTokenOptions.ForceRefresh=true", 2), ("", 2)] {
        assert_eq!(get(client, &format!("{APP}/machine{query}"), None).await.status, 200);
        assert_eq!(world.calls().await, calls, "{query}");
    }
    let challenge = json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}}).to_string();
    let encoded: String = url::form_urlencoded::byte_serialize(challenge.as_bytes()).collect();
    assert_eq!(get(client, &format!("{APP}/machine?{ACQUIRE}Claims={encoded}"), None).await.status, 200);
    let form = last_form(&world).await;
    let sent: Value = serde_json::from_str(form["claims"].as_str().expect("claims")).expect("JSON");
    assert_eq!(sent["access_token"]["acrs"]["value"], "c1");
    problem(&get(client, &format!("{APP}/machine?{ACQUIRE}Claims=canary"), None).await, 400, "claims");
    problem(&get(client, &format!("{APP}/machine?{ACQUIRE}ForceRefresh=canary"), None).await, 400, "ForceRefresh");
}

#[tokio::test]
async fn a_request_has_the_id_that_it_names() {
    let world = open().await;
    let client = &world.sidecar.client;
    let id = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";
    for api in [format!("{APP}/machine"), format!("{APP}/strict")] {
        let answer = get(client, &format!("{api}?{ACQUIRE}CorrelationId={id}"), None).await;
        assert_eq!((answer.status, answer.header("x-correlation-id")), (200, id), "it says nothing of the token: {}", answer.text);
    }
    problem(&get(client, &format!("{APP}/machine?{ACQUIRE}CorrelationId=canary"), None).await, 400, "CorrelationId");
}

#[tokio::test]
async fn a_managed_identity_has_to_be_the_apps() {
    let world = open().await;
    let client = &world.sidecar.client;
    let client_id = world.emulator.app("daemon")["client_id"].as_str().expect("an id");
    for id in [MACHINE, client_id] {
        let answer = get(client, &format!("{APP}/machine?{ACQUIRE}ManagedIdentity.UserAssignedClientId={id}"), None).await;
        assert_eq!(claims(&answer)["appid"], client_id);
    }
    let foreign = format!("{APP}/machine?{ACQUIRE}ManagedIdentity.UserAssignedClientId=canary");
    problem(&get(client, &foreign, None).await, 403, "managed_identity_ids");
}

#[tokio::test]
async fn what_would_make_another_token_is_refused_by_name() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    let bound = ["PopPublicKey", "PopClaim", "PopClaims", "AuthenticationScheme"];
    for name in ["LongRunningWebApiSessionKey", "FmiPath", "Unheard"].into_iter().chain(bound) {
        for api in [format!("{USER}/users"), format!("{APP}/machine")] {
            let answer = get(client, &format!("{api}?{ACQUIRE}{name}=canary"), Some(&user)).await;
            problem(&answer, 400, name);
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn what_is_about_the_call_of_an_api_has_no_effect() {
    let world = open().await;
    let client = &world.sidecar.client;
    for name in [
        "BaseUrl",
        "RelativePath",
        "HttpMethod",
        "AcceptHeader",
        "ContentType",
        "ExtraHeaderParameters.X-Own",
        "ExtraQueryParameters.own",
        "CustomHeader.X-Own",
    ] {
        // Where nothing may be overridden, too: nothing is.
        let answer = get(client, &format!("{APP}/strict?{OVERRIDE}{name}=https://elsewhere.example"), None).await;
        assert_eq!(claims(&answer)["aud"], "https://graph.microsoft.com", "{name}");
    }
    assert_eq!(world.calls().await, 1);
    assert!(!last_form(&world).await.to_string().contains("elsewhere"));
}

#[tokio::test]
async fn a_parameter_that_stands_twice_is_refused() {
    let world = open().await;
    let client = &world.sidecar.client;
    for name in ["Tenant", "ForceRefresh", "Claims", "ManagedIdentity.UserAssignedClientId"] {
        let value = if name == "ForceRefresh" { "true" } else { "x" };
        let path = format!("{APP}/machine?{ACQUIRE}{name}={value}&{}={value}", format!("{ACQUIRE}{name}").to_lowercase());
        problem(&get(client, &path, None).await, 400, name);
    }
    let path = format!("{APP}/machine?{OVERRIDE}RequestAppToken=true&{OVERRIDE}RequestAppToken=true");
    problem(&get(client, &path, None).await, 400, "RequestAppToken");
}

#[tokio::test]
async fn what_may_not_be_overridden_is_no_secret() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    let all = [("Scopes", READ), ("AcquireTokenOptions.Tenant", "contoso.example"), ("AcquireTokenOptions.ForceRefresh", "true")];
    let more = [("AcquireTokenOptions.Claims", "{}"), ("AcquireTokenOptions.ManagedIdentity.UserAssignedClientId", MACHINE)];
    for (name, value) in all.into_iter().chain(more) {
        let users = get(client, &format!("{USER}/plain?{OVERRIDE}{name}={value}"), Some(&user)).await;
        problem(&users, 403, "apis.plain.overrides");
        let apps = get(client, &format!("{APP}/strict?{OVERRIDE}{name}={value}"), None).await;
        problem(&apps, 403, "apis.strict.app_overrides");
    }
    problem(&get(client, &format!("{APP}/plain"), None).await, 403, "apis.plain.app_token");
    assert_eq!(world.calls().await, 0);
}

// === 1.3 Responses ===

#[tokio::test]
async fn a_header_is_answered_and_nothing_else() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    for answer in [get(client, &format!("{USER}/users"), Some(&user)).await, get(client, &format!("{APP}/machine"), None).await] {
        let members: Vec<&str> = answer.json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["authorizationHeader"]);
        assert_eq!((answer.header("pragma"), answer.header("expires")), ("no-cache", "0"));
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(claims(&answer)["aud"], "https://graph.microsoft.com");
    }
}

#[tokio::test]
async fn a_token_is_validated_with_its_claims_as_they_stand() {
    let world = open().await;
    let client = &world.sidecar.client;
    let order = json!({"app": "orders-api", "user": ANA, "scopes": "access_as_user",
        "claims": {"own": {"deep": [1, null, "ü"]}, "number": 1.5}});
    for token in [world.emulator.mint(order).await, world.emulator.user_token("ben@contoso.example").await] {
        let answer = get(client, "/Validate", Some(&token)).await;
        assert_eq!(answer.json, json!({"protocol": "Bearer", "token": token, "claims": payload(&token)}), "{}", answer.text);
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn an_apps_token_is_validated_and_exchanged_for_nobody() {
    let world = World::changed(|yaml, _| {
        // An app's roles are no scopes.
        let yaml = yaml.replacen(r#"["api://orders"], scopes: [access_as_user]}"#, r#"["api://orders"]}"#, 1);
        let api = format!("apis:\n  users: {{app: orders, scopes: [\"{READ}\"], doors: [ms_sidecar]}}\n");
        yaml.replacen("apis:\n", &api, 1) + "doors: [ms_sidecar]\nms_sidecar: {app: orders}\n"
    })
    .await;
    let client = &world.sidecar.client;
    let token = world.app_token(json!({"app": "daemon", "scopes": ["api://orders/.default"]})).await.token().to_owned();
    let answer = get(client, "/Validate", Some(&token)).await;
    assert_eq!((answer.status, &answer.json["claims"]["idtyp"]), (200, &json!("app")), "{}", answer.text);
    problem(&get(client, &format!("{USER}/users"), Some(&token)).await, 401, "app's token");
}

// === 1.4 Errors ===

#[tokio::test]
async fn an_api_that_is_not_served_here_is_an_error_of_the_request() {
    let world = open().await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token(ANA).await;
    // `graph` is an api of the configuration, and not one of this door's.
    for name in ["nothing", "graph", "%20", "eyJhbGciOiJub25lIn0"] {
        for path in [USER, APP] {
            let answer = get(client, &format!("{path}/{name}"), Some(&user)).await;
            problem(&answer, 400, "api");
            assert!(!answer.text.contains("eyJ"), "{}", answer.text);
        }
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn a_bearer_that_is_none_is_401_with_a_challenge() {
    let world = open().await;
    let client = &world.sidecar.client;
    let old = world.emulator.user_token(ANA).await;
    let broken = format!("{}x", old.rsplit_once('.').map(|(signed, _)| signed).expect("a token"));
    world.later(7200);
    for path in [format!("{USER}/users"), format!("{USER}/plain"), "/Validate".to_owned()] {
        for (header, word) in [
            (None, "Authorization"),
            (Some("Bearer canary".to_owned()), "not accepted"),
            (Some(format!("Bearer {broken}")), "not accepted"),
            (Some(format!("Bearer {old}")), "not accepted"),
            (Some("PoP canary".to_owned()), "Bearer"),
            (Some("Basic Y2FuYXJ5".to_owned()), "Bearer"),
        ] {
            let request = client.http.get(format!("{}{path}", client.base));
            let answer = Client::send(header.iter().fold(request, |request, text| request.header("authorization", text))).await;
            problem(&answer, 401, word);
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path} {word}: {:?}", answer.headers);
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
        // RFC 6750 §3.1: a request that is malformed is no token that is not good.
        let request = client.http.get(format!("{}{path}", client.base)).header("authorization", "Bearer canary canary");
        problem(&Client::send(request).await, 400, "no token");
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn a_token_without_the_scope_is_403() {
    let world = open().await;
    let client = &world.sidecar.client;
    let order = json!({"app": "orders-api", "user": ANA, "scopes": "access_as_user", "claims": {"scp": "other"}});
    let narrow = world.emulator.mint(order).await;
    for path in ["/Validate".to_owned(), format!("{USER}/users")] {
        problem(&get(client, &path, Some(&narrow)).await, 403, "scope");
    }
}

#[tokio::test]
async fn the_users_turn_is_401_with_what_the_authority_wants() {
    let world = open().await;
    let client = &world.sidecar.client;
    let mia = world.emulator.user_token("mia@contoso.example").await;
    let answer = get(client, &format!("{USER}/users"), Some(&mia)).await;
    problem(&answer, 401, "claims");
    assert!(answer.header("www-authenticate").contains("claims=\""), "{:?}", answer.headers);
    assert!(serde_json::from_str::<Value>(answer.member("claims")).is_ok_and(|claims| claims.is_object()), "{}", answer.text);
}

#[tokio::test]
async fn the_authoritys_failures_are_not_the_users() {
    let refused = json!({"status": 401, "error": "invalid_client", "error_description": "no", "error_codes": [7_000_215]});
    for (effect, status, has_retry) in [
        (json!({"throttle": {"retry_after": "7"}}), 429, true),
        (json!({"error": {"status": 503, "error": "temporarily_unavailable", "error_description": "away"}}), 503, false),
        (json!({"error": {"status": 500, "error": "server_error", "error_description": "no"}}), 503, false),
        (json!({"error": refused}), 502, false),
    ] {
        let world = open().await;
        let client = &world.sidecar.client;
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
        let answer = get(client, &format!("{APP}/machine"), None).await;
        problem(&answer, status, "");
        assert!(!answer.member("title").is_empty());
        assert!(!has_retry || answer.header("retry-after") == "7", "{:?}", answer.headers);
        let user = world.emulator.user_token(ANA).await;
        assert_eq!(get(client, &format!("{USER}/users"), Some(&user)).await.status, status, "{effect}");
    }
}

#[tokio::test]
async fn another_host_and_a_pages_request_are_refused() {
    let world = open().await;
    let client = &world.sidecar.client;
    for (name, value) in [("host", "elsewhere.example"), ("origin", "https://elsewhere.example"), ("x-forwarded-for", "10.0.0.7")] {
        let request = client.http.get(format!("{}{APP}/machine", client.base)).header(name, value);
        let answer = Client::send(request).await;
        assert!((400..500).contains(&answer.status) && answer.status != 404, "{name}: {} {}", answer.status, answer.text);
        assert_eq!(answer.json.get("authorizationHeader"), None);
    }
    // Node's fetch says so of every request; it is no page.
    let request = client.http.get(format!("{}{APP}/machine", client.base));
    let node = request.header("sec-fetch-mode", "cors").header("accept-language", "*");
    assert_eq!(Client::send(node).await.status, 200);
    assert_eq!(world.calls().await, 1);
}
