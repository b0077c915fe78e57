//! `GET /msi/token` and the instance metadata route: what clients of a managed identity get, and that nothing they would repeat is
//! anything but 400.

use serde_json::json;

use crate::support::{Answer, Client, World};

const SECRET: &str = "an-identity-header-of-43-characters-0123456";
const GRAPH: &str = "https://graph.microsoft.com";
const DOORS: &str = "doors: [msi]\n";

/// The usual world with the door open, for whoever shows the secret.
async fn open(more: &str) -> World {
    World::changed(|yaml, files| {
        let file = files.join("identity.header");
        std::fs::write(&file, SECRET).expect("a file");
        let yaml = yaml.replacen("tenants: [", "managed_identity_ids: [/subscriptions/1/daemon, 6f0a4f0e], tenants: [", 1);
        format!("{yaml}\n{DOORS}msi: {{secret: {{file: {}}}{more}}}\n", file.display())
    })
    .await
}

async fn ask(client: &Client, query: &str) -> Answer {
    let request = client.http.get(format!("{}/msi/token?{query}", client.base));
    Client::send(request.header("x-identity-header", SECRET)).await
}

/// Checks an error of App Service.
#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str) {
    assert_eq!((answer.status, answer.json["statusCode"].as_u64()), (status, Some(status.into())), "{}", answer.text);
    let message = answer.member("message");
    assert!(message.contains(word) && message.contains(answer.header("x-correlation-id")), "{word}: {message}");
    assert_eq!(answer.json.as_object().expect("an object").len(), 2);
}

#[tokio::test]
async fn a_token_as_app_service_gives_it() {
    let world = open("").await;
    let client = &world.sidecar.client;
    let id = world.emulator.app("daemon")["client_id"].as_str().expect("an id").to_owned();
    let orders = world.emulator.app("billing-api")["client_id"].as_str().expect("an id").to_owned();
    let query = format!("api-version=2019-08-01&resource={GRAPH}");
    for selector in
        ["mi_res_id=/subscriptions/1/DAEMON", "msi_res_id=/subscriptions/1/daemon", "object_id=6f0a4f0e", "principal_id=6f0a4f0e"]
    {
        let answer = ask(client, &format!("{query}&{selector}&unknown=1&client_id=")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let members: Vec<&str> = answer.json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["access_token", "client_id", "expires_on", "resource", "token_type"]);
        assert_eq!((answer.member("client_id"), answer.member("resource"), answer.member("token_type")), (&*id, GRAPH, "Bearer"));
        assert!(answer.member("expires_on").parse::<i64>().is_ok_and(|ends| ends > world.clock.unix()), "{}", answer.text);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    assert_eq!(ask(client, &format!("{query}&client_id={orders}")).await.member("client_id"), orders);
    // The resource as it stands: a slash before `/.default` is kept, whatever the authority says to it.
    let _any = ask(client, &format!("{query}/&object_id=6f0a4f0e")).await;
    let scopes: Vec<String> = world
        .emulator
        .asked("token")
        .await
        .iter()
        .map(|asked| asked["form"]["scope"].as_str().expect("a scope").to_owned())
        .collect();
    assert_eq!(scopes, [format!("{GRAPH}/.default"), format!("{GRAPH}/.default"), format!("{GRAPH}//.default")]);
    // One cache with the other door.
    let rest = client.post("/client-credentials", &json!({"app": "daemon", "scopes": [format!("{GRAPH}/.default")]})).await;
    assert_eq!(rest.source(), "cache");
}

#[tokio::test]
async fn what_does_not_get_better_is_400_and_asks_nobody() {
    let world = open("").await;
    let client = &world.sidecar.client;
    let good = format!("api-version=2019-08-01&resource={GRAPH}&object_id=6f0a4f0e");
    for (query, word) in [
        ("", "api-version"),
        ("api-version=2017-09-01&resource=a", "2019-08-01"),
        ("api-version=2019-08-01", "`resource` is missing"),
        ("api-version=2019-08-01&resource=", "`resource` is missing"),
        ("api-version=2019-08-01&resource=a&resource=b", "`resource` stands twice"),
        ("api-version=2019-08-01&resource=https://a/.default", "/.default"),
        ("api-version=2019-08-01&resource=a%20b", "characters"),
        ("api-version=2019-08-01&resource=a%00b", "characters"),
        ("api-version=2019-08-01&resource=%ff", "percent"),
        (&format!("{good}&client_id=x"), "named twice"),
        (&format!("{good}&principal_id=6f0a4f0e"), "named twice"),
        (&format!("api-version=2019-08-01&resource={GRAPH}&client_id=nobody"), "no app"),
        (&format!("api-version=2019-08-01&resource={GRAPH}"), "several apps"),
        (&format!("api-version=2019-08-01&resource={GRAPH}&client_id=shop-orders"), "Entra-style"),
    ] {
        refused(&ask(client, query).await, 400, word);
    }
    for (header, word) in [(None, "missing"), (Some(""), "no caller"), (Some("canary-canary-canary-canary"), "no caller")] {
        let request = client.http.get(format!("{}/msi/token?{good}", client.base));
        let answer =
            Client::send(header.into_iter().fold(request, |request, text| request.header("x-identity-header", text))).await;
        refused(&answer, 401, word);
        assert!(!answer.text.contains("canary"));
    }
    let elsewhere = client.http.get(format!("{}/msi/token?{good}", client.base)).header("x-tokend-token", SECRET);
    refused(&Client::send(elsewhere).await, 401, "X-IDENTITY-HEADER");
    let post = client.raw(&format!("/msi/token?{good}")).header("x-identity-header", SECRET);
    refused(&Client::send(post).await, 400, "method");
    assert_eq!(world.calls().await, 0);
    // What is the operator's to mend does not get better by itself either.
    let refusal = json!({"status": 401, "error": "invalid_client", "error_description": "no", "error_codes": [7_000_215]});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": refusal}})).await;
    refused(&ask(client, &good).await, 400, "");
}

#[tokio::test]
async fn what_may_get_better_says_when() {
    let world = open("").await;
    let good = format!("api-version=2019-08-01&resource={GRAPH}&object_id=6f0a4f0e");
    let busy = json!({"raw": {"status": 429, "headers": {"retry-after": "7"}, "body": "{}"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": busy})).await;
    let answer = ask(&world.sidecar.client, &good).await;
    refused(&answer, 429, "");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_token_as_the_instance_metadata_service_gives_it() {
    let world = open(", imds: {apps: [daemon]}").await;
    let client = &world.sidecar.client;
    let get = async |path: &str, query: &str, headers: &[(&str, &str)]| {
        let request = client.http.get(format!("{}{path}?{query}", client.base));
        Client::send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let path = "/metadata/identity/oauth2/token";
    let query = format!("api-version=2018-02-01&resource={GRAPH}");
    for path in [path, "/metadata/identity/oauth2/token/"] {
        let answer = get(path, &query, &[("metadata", "true"), ("host", "169.254.169.254")]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let members = answer.json.as_object().expect("an object");
        assert!(members.values().all(serde_json::Value::is_string), "{}", answer.text);
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        let all =
            ["access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource", "token_type"];
        assert_eq!(names, all);
    }
    let other = world.emulator.app("billing-api")["client_id"].as_str().expect("an id").to_owned();
    let good: &[(&str, &str)] = &[("metadata", "true")];
    for (query, headers, word) in [
        (&*query, &[][..], "Metadata"),
        (&query, &[("metadata", "false")], "Metadata"),
        (&query, &[("metadata", "true"), ("via", "1.1 a")], "proxy"),
        (&query, &[("metadata", "true"), ("forwarded", "for=1.2.3.4")], "not taken"),
        (&query, &[("metadata", "true"), ("x-forwarded-for", "1.2.3.4")], "not taken"),
        (&query, &[("metadata", "true"), ("host", "169.254.169.253")], "Host"),
        (&query, &[("metadata", "true"), ("origin", "https://evil.example")], "web page"),
        ("api-version=2018-02-01", good, "`resource` is missing"),
        ("api-version=2019-08-01&resource=a", good, "2018-02-01"),
        (&format!("{query}&client_id={other}"), good, "no app"),
        (&format!("{query}&client_id=nobody"), good, "no app"),
    ] {
        let answer = get(path, query, headers).await;
        assert_eq!((answer.status, answer.member("error")), (400, "invalid_request"), "{word}: {}", answer.text);
        assert!(answer.member("error_description").contains(word), "{word}: {}", answer.text);
    }
    // Its address is no name of the other doors.
    let rest = client.request("/client-credentials", &json!({"app": "daemon", "scopes": ["a/.default"]}));
    Client::send(rest.header("host", "169.254.169.254")).await.refused(403, "host_not_allowed", "Host");
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn without_its_configuration_there_is_no_metadata_route() {
    let world = open("").await;
    let client = &world.sidecar.client;
    let request = client.http.get(format!("{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=a", client.base));
    let answer = Client::send(request.header("metadata", "true")).await;
    assert_eq!((answer.status, answer.member("error")), (400, "invalid_request"), "{}", answer.text);
    assert!(answer.member("error_description").contains("msi.imds"), "{}", answer.text);
}
