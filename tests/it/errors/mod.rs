//! What a caller is told when there is no token: whose turn it is, in the authority's words and without its secrets.

mod challenge;
mod ids;
mod matrix;
mod redaction;
mod remedies;
mod retry;
mod said;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, GRAPH, World};

/// A flow, as a request that the script answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    App,
    Obo,
    Code,
    Silent,
    Password,
    Moved,
}

const FLOWS: [Flow; 4] = [Flow::App, Flow::Obo, Flow::Code, Flow::Silent];

/// Those that sign a user in by what the caller has of the user.
const SIGN_INS: [Flow; 2] = [Flow::Password, Flow::Moved];

const ACCESS: &str = "api://orders/access_as_user";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// A rule that refuses one call.
fn refusal(error: Value) -> Value {
    json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": error}})
}

/// The account that signed in at the app `web`, if somebody has.
async fn account(world: &World) -> Value {
    world.sidecar.client.get("/accounts?app=web").await.json["accounts"][0]["home_account_id"].clone()
}

/// Does what has to come before this flow, as long as the authority is willing.
async fn ready(world: &World, flow: Flow) {
    if flow == Flow::Silent && account(world).await.is_null() {
        let code = world.code("web", ACCESS, "ana@contoso.example").await;
        world.redeem(&code).await.token();
    }
}

/// Asks once as this flow does.
async fn ask(world: &World, flow: Flow) -> Answer {
    let client = &world.sidecar.client;
    match flow {
        Flow::App => client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await,
        Flow::Obo => world.obo(&world.emulator.user_token("ana@contoso.example").await).await,
        Flow::Code => {
            let body = json!({"app": "web", "scopes": [ACCESS],
                "redirect_uri": "http://localhost:3000/callback", "code": "any-code-will-do", "code_verifier": "v".repeat(43)});
            client.post("/auth-code", &body).await
        }
        Flow::Silent => {
            let body = json!({"app": "web", "scopes": [ACCESS], "account": account(world).await, "force_refresh": true});
            client.post("/silent", &body).await
        }
        Flow::Password => {
            let body = json!({"app": "web", "scopes": [ACCESS], "username": "ana@contoso.example", "password": "ana-password"});
            client.post("/username-password", &body).await
        }
        Flow::Moved => {
            let body = json!({"app": "web", "scopes": [ACCESS], "refresh_token": "any-token-will-do"});
            client.post("/refresh-token", &body).await
        }
    }
}

/// Asks once, with this refusal, and lets whatever is remembered of it pass.
async fn refused(world: &World, flow: Flow, error: Value) -> Answer {
    world.emulator.unscript().await;
    ready(world, flow).await;
    world.emulator.script(refusal(error)).await;
    let answer = ask(world, flow).await;
    world.clock.advance(Duration::from_secs(61));
    answer
}
