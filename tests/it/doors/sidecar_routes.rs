//! The routes of Microsoft's sidecar: who gets what, and what an api's configuration lets a request say.

use serde_json::json;

use crate::support::{Answer, Client, GRAPH, World};

const DOOR: &str = "doors: [ms_sidecar]\nms_sidecar: {app: orders}\n";
const ANYONE: &str = "doors: [ms_sidecar]\nms_sidecar: {app: orders, unauthenticated: anyone}\n";
const APIS: &str = r#"apis:
  default: {scopes: ["https://graph.microsoft.com/User.Read"], doors: [ms_sidecar]}
  loose: {app: orders, scopes: ["https://graph.microsoft.com/User.Read"], doors: [ms_sidecar], overrides: true, app_token: true}
  machine: {app: daemon, scopes: ["https://graph.microsoft.com/.default"], doors: [ms_sidecar], app_token: true}
  free: {app: daemon, scopes: ["https://graph.microsoft.com/.default"], doors: [ms_sidecar], app_token: true, app_overrides: true}
  shared: {app: partner, scopes: ["https://graph.microsoft.com/.default"], doors: [ms_sidecar], app_token: true, app_overrides: true}
  hidden: {app: daemon, scopes: ["https://graph.microsoft.com/.default"]}
"#;
const HEADER: &str = "/AuthorizationHeader";
const NO_USER: &str = "/AuthorizationHeaderUnauthenticated";

async fn open(door: &str) -> World {
    World::changed(|yaml, _| yaml.replacen("apis:\n", APIS, 1) + door).await
}

async fn ask(client: &Client, path: &str, bearer: Option<&str>) -> Answer {
    let request = client.http.get(format!("{}{path}", client.base));
    Client::send(bearer.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
}

/// The token of an answer.
#[track_caller]
fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json.as_object().expect("an object").len(), 1);
    answer.member("authorizationHeader").strip_prefix("Bearer ").expect("a bearer token").to_owned()
}

/// Checks a refusal, whose title has to say the reason.
#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str, word: &str) {
    answer.refused(status, error, word);
    assert_eq!(answer.member("title"), answer.member("detail"));
}

#[tokio::test]
async fn a_users_token_is_exchanged_and_an_apps_is_asked_for() {
    let world = open(ANYONE).await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let first = ask(client, &format!("{HEADER}/default"), Some(&user)).await;
    let obo = world.obo(&user).await;
    assert_eq!((token(&first), obo.source()), (obo.token().to_owned(), "cache"));
    assert_eq!((first.header("pragma"), first.header("expires"), first.header("cache-control")), ("no-cache", "0", "no-store"));
    let own = ask(client, &format!("{NO_USER}/machine"), None).await;
    let rest = world.graph().await;
    assert_eq!((token(&own), rest.source()), (rest.token().to_owned(), "cache"));
    // Paths and apis have no case, and a POST is as good.
    assert_eq!(token(&ask(client, "/authorizationheader/DEFAULT", Some(&user)).await), obo.token());
    let post = client.raw(&format!("{NO_USER}/Machine")).header("authorization", "Bearer canary");
    assert_eq!(token(&Client::send(post).await), rest.token(), "a user's token is not looked at there");
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn what_an_api_does_not_allow_is_named() {
    let world = open(ANYONE).await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    for (path, bearer, status, error, word) in [
        (format!("{HEADER}/hidden"), true, 400, "unknown_api", "ms_sidecar"),
        (format!("{HEADER}/nothing"), true, 400, "unknown_api", "ms_sidecar"),
        (format!("{HEADER}/default"), false, 401, "token_missing", "Authorization"),
        (format!("{NO_USER}/default"), false, 403, "caller_not_allowed", "apis.default.app_token"),
        (format!("{HEADER}/default?optionsOverride.Scopes=a"), true, 403, "caller_not_allowed", "apis.default.overrides"),
        (
            format!("{HEADER}/default?optionsOverride.RequestAppToken=true"),
            true,
            403,
            "caller_not_allowed",
            "apis.default.app_token",
        ),
        (
            format!("{HEADER}/machine?optionsOverride.RequestAppToken=true"),
            true,
            403,
            "caller_not_allowed",
            "apis.machine.overrides",
        ),
        (
            format!("{NO_USER}/machine?optionsOverride.AcquireTokenOptions.ForceRefresh=true"),
            false,
            403,
            "caller_not_allowed",
            "apis.machine.app_overrides",
        ),
        (
            format!("{NO_USER}/free?optionsOverride.AcquireTokenOptions.Tenant=other.example"),
            false,
            403,
            "tenant_not_allowed",
            "tenants",
        ),
        (
            format!("{NO_USER}/free?optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId=x"),
            false,
            403,
            "caller_not_allowed",
            "managed_identity_ids",
        ),
        (format!("{NO_USER}/free?AgentIdentity=x"), false, 400, "invalid_request", "AgentIdentity"),
    ] {
        refused(&ask(client, &path, bearer.then_some(&*user)).await, status, error, word);
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn overrides_say_which_token_is_wanted() {
    let world = open(ANYONE).await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let first = token(&ask(client, &format!("{NO_USER}/free?optionsOverride.RequestAppToken=true"), None).await);
    let forced = format!("{NO_USER}/free?optionsOverride.AcquireTokenOptions.ForceRefresh=true");
    assert_ne!(token(&ask(client, &forced, None).await), first);
    let fabrikam = world.emulator.directory["tenants"][1]["id"].as_str().expect("a tenant").to_owned();
    token(&ask(client, &format!("{NO_USER}/shared?optionsoverride.acquiretokenoptions.tenant={fabrikam}"), None).await);
    let asked = world.emulator.asked("token").await;
    assert!(asked.last().is_some_and(|asked| asked.to_string().contains(&fabrikam)), "{asked:?}");
    let scopes = format!("{HEADER}/loose?optionsOverride.Scopes=api://billing/invoices.read");
    token(&ask(client, &scopes, Some(&user)).await);
    let asked = world.emulator.asked("token").await;
    let scope = asked.last().expect("one")["form"]["scope"].as_str().expect("a scope").to_owned();
    assert!(scope.contains("invoices.read") && !scope.contains("User.Read"), "{scope}");
    // With a user's token the app's own one may be asked for, and the user's has to be good all the same.
    let own = format!("{HEADER}/loose?optionsOverride.RequestAppToken=true&optionsOverride.Scopes={GRAPH}");
    refused(&ask(client, &own, None).await, 401, "token_missing", "Authorization");
    refused(&ask(client, &own, Some("canary")).await, 401, "invalid_token", "not accepted");
    // Another app's token is no user's.
    let of_app = json!({"app": "orders-api", "kind": "app", "claims": {"idtyp": "app"}});
    let of_app = world.emulator.mint(of_app).await;
    refused(&ask(client, &own, Some(&of_app)).await, 401, "invalid_token", "app's token");
    let calls = world.calls().await;
    let answer = ask(client, &own, Some(&user)).await;
    assert!(world.calls().await > calls, "the authority was asked: {}", answer.text);
    assert_eq!(world.emulator.asked("token").await.last().expect("one")["form"]["grant_type"], "client_credentials");
}

#[tokio::test]
async fn without_a_user_whoever_is_not_known_gets_nothing() {
    let world = open(DOOR).await;
    let client = &world.sidecar.client;
    refused(&ask(client, &format!("{NO_USER}/machine"), None).await, 403, "caller_not_allowed", "unauthenticated");
    let user = world.emulator.user_token("ana@contoso.example").await;
    let own = format!("{HEADER}/loose?optionsOverride.RequestAppToken=true&optionsOverride.Scopes={GRAPH}");
    refused(&ask(client, &own, Some(&user)).await, 403, "caller_not_allowed", "unauthenticated");
    let closed = World::new().await;
    for path in [format!("{NO_USER}/machine"), format!("{HEADER}/default"), "/Validate".to_owned(), "/healthz".to_owned()] {
        assert_eq!(ask(&closed.sidecar.client, &path, None).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_caller_with_apis_says_no_more_than_its_api_is() {
    let token_of = |name: &str| format!("{name}-0123456789-0123456789-0123456789");
    let world = World::changed(|yaml, files| {
        let mut callers = "callers:\n".to_owned();
        for (name, more) in [("any", ""), ("bound", ", apis: [loose, free]")] {
            let file = files.join(name);
            std::fs::write(&file, token_of(name)).expect("a file");
            callers += &format!("  - {{name: {name}, token: {{file: {}}}, doors: [ms_sidecar]{more}}}\n", file.display());
        }
        yaml.replacen("apis:\n", APIS, 1) + DOOR + &callers
    })
    .await;
    let by = |name: &str| world.sidecar.client.calling(&token_of(name));
    let user = world.emulator.user_token("ana@contoso.example").await;
    let scopes = |scopes: &str| format!("{HEADER}/loose?optionsOverride.Scopes={scopes}");
    let (mail, read) = ("api://billing/invoices.read", "https://graph.microsoft.com/User.Read");
    assert_eq!(ask(&by("any"), &scopes(mail), Some(&user)).await.status, 200);
    refused(&ask(&by("bound"), &scopes(mail), Some(&user)).await, 403, "caller_not_allowed", "optionsOverride.Scopes");
    refused(
        &ask(&by("bound"), &scopes(&format!("{read}%20{mail}")), Some(&user)).await,
        403,
        "caller_not_allowed",
        "optionsOverride",
    );
    assert_eq!(ask(&by("bound"), &scopes(read), Some(&user)).await.status, 200);
    refused(&ask(&by("bound"), &format!("{NO_USER}/machine"), None).await, 403, "caller_not_allowed", "api");
    assert_eq!(ask(&by("bound"), &format!("{NO_USER}/free"), None).await.status, 200);
    refused(&ask(&world.sidecar.client, &format!("{NO_USER}/free"), None).await, 403, "caller_not_authenticated", "X-Tokend-Token");
    assert_eq!(ask(&world.sidecar.client, "/healthz", None).await.text, "Healthy");
}

#[tokio::test]
async fn a_token_is_validated_be_it_a_users_or_an_apps() {
    let world = open(ANYONE).await;
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let answer = ask(client, "/validate", Some(&user)).await;
    assert_eq!((answer.status, answer.member("protocol"), answer.member("token")), (200, "Bearer", &*user), "{}", answer.text);
    assert_eq!(answer.json["claims"]["aud"], world.emulator.app("orders-api")["client_id"]);
    assert_eq!(answer.json.as_object().expect("an object").len(), 3);
    refused(&ask(client, "/Validate", None).await, 401, "token_missing", "Authorization");
    refused(&ask(client, "/Validate", Some("canary")).await, 401, "invalid_token", "not accepted");
    let pop = client.http.get(format!("{}/Validate", client.base)).header("authorization", "PoP x");
    refused(&Client::send(pop).await, 401, "token_missing", "Bearer");
    let narrow = world
        .emulator
        .mint(json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user", "claims": {"scp": "x"}}))
        .await;
    refused(&ask(client, "/Validate", Some(&narrow)).await, 403, "insufficient_scope", "scopes");
    for path in ["/healthz", "/HEALTHZ?x=y"] {
        let answer = ask(client, path, None).await;
        assert_eq!((answer.status, &*answer.text), (200, "Healthy"), "{path}");
    }
}
