//! What a caller gets for a request that is none: a status, a name for it, and words that help. Nothing is asked or kept for it.

mod accounts;
mod bodies;
mod heads;
mod meaning;
mod members;

use serde_json::{Map, Value, json};

use crate::support::{Answer, Client, GRAPH, REDIRECT_URI, World};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const ACCESS: &str = "api://orders/access_as_user";

/// A route, and a request that it would serve.
#[derive(Clone, Debug)]
struct Route {
    path: &'static str,
    bearer: Option<String>,
    good: Map<String, Value>,
}

/// All routes that take a body. A code is good once, so that this is to be called anew for another good request.
async fn routes(world: &World) -> Vec<Route> {
    let user = world.emulator.user_token("ana@contoso.example").await;
    let signed = world.redeem(&world.code("web", ACCESS, "ana@contoso.example").await).await;
    let account = signed.json["account"]["home_account_id"].clone();
    let code = world.code("web", ACCESS, "ana@contoso.example").await;
    let order = json!({"client": "web", "user": "ana@contoso.example", "scope": format!("openid offline_access {ACCESS}")});
    let foreign = world.emulator.client.post("/_emulator/refresh-token", &order).await.json["refresh_token"].clone();
    let route = |path, bearer, good: Value| Route { path, bearer, good: good.as_object().expect("members").clone() };
    vec![
        route("/client-credentials", None, json!({"app": "daemon", "scopes": [GRAPH]})),
        route("/obo", Some(user), json!({"app": "orders", "scopes": [USER_READ]})),
        route("/auth-code/url", None, json!({"app": "web", "scopes": [ACCESS], "redirect_uri": REDIRECT_URI})),
        route("/auth-code", None, code),
        route("/silent", None, json!({"app": "web", "scopes": [ACCESS], "account": account})),
        route("/device-code", None, json!({"app": "web", "scopes": [ACCESS]})),
        route("/refresh-token", None, json!({"app": "web", "scopes": [ACCESS], "refresh_token": foreign})),
        route(
            "/username-password",
            None,
            json!({"app": "web", "scopes": [ACCESS], "username": "ana@contoso.example", "password": "ana-password"}),
        ),
    ]
}

// === impl Route ===

impl Route {
    /// The good request with these members instead; null takes one away.
    fn with(&self, members: &Value) -> Value {
        let mut body = self.good.clone();
        for (name, value) in members.as_object().expect("members") {
            if value.is_null() {
                body.remove(name);
            } else {
                body.insert(name.clone(), value.clone());
            }
        }
        Value::Object(body)
    }

    /// A request with this body, of whatever kind.
    fn request(&self, world: &World, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.bare(world).header("content-type", "application/json").body(body)
    }

    /// A request without body and type.
    fn bare(&self, world: &World) -> reqwest::RequestBuilder {
        let request = world.sidecar.client.raw(self.path);
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    /// Sends the good request with these members instead.
    async fn send(&self, world: &World, members: &Value) -> Answer {
        Client::send(self.request(world, self.with(members).to_string())).await
    }
}

/// Checks one refusal and what it says.
#[track_caller]
fn is_refused(route: &Route, what: &str, answer: &Answer, (status, error, word): (u16, &str, &str)) {
    assert_eq!(answer.status, status, "{} {what}: {}", route.path, answer.text);
    answer.refused(status, error, word);
    assert_eq!(answer.json["status"], status);
    assert_eq!(answer.json["type"], format!("urn:tokend:error:{error}"));
    assert!(answer.text.len() < 2048, "{} bytes", answer.text.len());
}

/// Runs `bad` in a world, and checks that it left nothing behind and that good requests are served after it.
async fn leaving_no_trace(bad: impl AsyncFn(&World, &[Route])) {
    let world = World::new().await;
    let before = routes(&world).await;
    let entries = async || world.sidecar.admin.get("/status").await.json["cache"]["entries"].clone();
    let (kept, calls) = (entries().await, world.calls().await);
    bad(&world, &before).await;
    assert_eq!(world.calls().await, calls, "the authority was asked for a token");
    assert_eq!(entries().await, kept, "something was kept");
    for route in &before {
        let answer = route.send(&world, &json!({})).await;
        assert_eq!(answer.status, 200, "{}: {}", route.path, answer.text);
    }
}
