//! Requests as apps send them, and what their answers say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::history::{Identity, Kind, Op, Outcome, Span, Token};
use super::plan::Step;
use super::stage::{Stage, USERS, object_id};
use crate::support::REDIRECT_URI;

/// What accounts sign in for.
const ALL: &str = "orders.read orders.write stock.read";
/// What their tokens are asked for.
pub(super) const SCOPES: [&str; 3] = ["orders.read", "stock.read", "orders.read orders.write"];
/// What an app asks for itself.
const RESOURCES: [&str; 2] = ["https://graph.microsoft.com/.default", "api://billing/.default"];
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const APP: &str = "shop-offline";

/// Longer than anything that is stopped stands still, and than any request may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long after a request the account is signed out, where both shall meet: a slow call is under way then.
const MID_CALL: Duration = Duration::from_millis(150);

/// A worker: one request after the other until it is told to stop.
pub(super) async fn work(stage: Arc<Stage>, worker: usize, stopped: Arc<AtomicBool>) {
    for step in stage.plan.steps(worker) {
        tokio::time::sleep(step.pause).await;
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let Some(other) = step.crossed else {
            perform(&stage, step).await;
            continue;
        };
        let sign_out = Step { kind: Kind::SignOut, replica: other, ..step };
        tokio::join!(perform(&stage, step), async {
            tokio::time::sleep(MID_CALL).await;
            perform(&stage, sign_out).await;
        });
    }
}

/// Sends one request and notes what came of it.
pub(super) async fn perform(stage: &Stage, step: Step) {
    let begin = stage.now();
    let (account, asked) = (account(&step), asked(stage, &step));
    let outcome = match step.kind {
        Kind::App { .. } => {
            let body = forced(step.kind, json!({"app": "daemon", "scopes": [RESOURCES[step.scopes % RESOURCES.len()]]}));
            token(send(post(stage, &step, "/client-credentials", &body)).await)
        }
        Kind::Obo { .. } => {
            let body = forced(step.kind, json!({"app": "orders-secret", "scopes": [USER_READ]}));
            token(send(post(stage, &step, "/obo", &body).bearer_auth(&stage.bearers[account])).await)
        }
        Kind::Silent { .. } => {
            let scopes = SCOPES[step.scopes % SCOPES.len()];
            let body = json!({"app": APP, "account": Stage::account(account), "scopes": scopes});
            token(send(post(stage, &step, "/silent", &forced(step.kind, body))).await)
        }
        Kind::SignIn => sign_in(stage, &step).await,
        Kind::SignOut => sign_out(stage, &step, APP, &Stage::account(account)).await,
        Kind::Leave => {
            let tenant = stage.emulator.directory["tenants"][0]["id"].as_str().unwrap_or_default();
            sign_out(stage, &step, "orders-secret", &format!("{}.{tenant}", object_id(account))).await
        }
        Kind::List => {
            let client = &stage.clients[step.replica];
            match send(client.http.get(format!("{}/accounts?app={APP}&limit=1000", client.base))).await {
                Ok((200, body)) => listed(stage, &body),
                other => refused(other),
            }
        }
    };
    let op = Op { kind: step.kind, replica: step.replica, account, asked, span: Span { begin, end: stage.now() }, outcome };
    stage.ops.lock().expect("no panic").push(op);
}

fn account(step: &Step) -> usize {
    match step.kind {
        Kind::App { .. } | Kind::List => 0,
        Kind::Obo { .. } | Kind::Leave => step.account % USERS,
        Kind::Silent { .. } | Kind::SignIn | Kind::SignOut => step.account,
    }
}

/// What a token must be for.
fn asked(stage: &Stage, step: &Step) -> Identity {
    let client = |name: &str| stage.emulator.app(name)["client_id"].as_str().unwrap_or_default().to_owned();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    match step.kind {
        Kind::App { .. } => Identity {
            client: client("daemon"),
            subject: "app".to_owned(),
            scopes: words(RESOURCES[step.scopes % RESOURCES.len()]),
        },
        Kind::Obo { .. } => Identity { client: client("orders-api"), subject: object_id(account(step)), scopes: words(USER_READ) },
        Kind::Silent { .. } => Identity {
            client: "shop-web".to_owned(),
            subject: Stage::account(step.account),
            scopes: words(SCOPES[step.scopes % SCOPES.len()]),
        },
        Kind::SignIn => Identity { client: "shop-web".to_owned(), subject: Stage::account(step.account), scopes: words(ALL) },
        Kind::SignOut | Kind::Leave | Kind::List => Identity::default(),
    }
}

fn forced(kind: Kind, mut body: Value) -> Value {
    if matches!(kind, Kind::App { forced: true } | Kind::Obo { forced: true } | Kind::Silent { forced: true }) {
        body["force_refresh"] = json!(true);
    }
    body
}

fn post(stage: &Stage, step: &Step, path: &str, body: &Value) -> reqwest::RequestBuilder {
    stage.clients[step.replica].request(path, body)
}

/// Signs in as a browser and an app do: the URL, the authority's page, the code.
async fn sign_in(stage: &Stage, step: &Step) -> Outcome {
    let body = json!({
        "app": APP, "scopes": ALL, "redirect_uri": REDIRECT_URI, "prompt": "none", "login_hint": Stage::account(step.account),
    });
    let url = match send(post(stage, step, "/auth-code/url", &body)).await {
        Ok((200, url)) => url,
        other => return refused(other),
    };
    let back = stage.emulator.sign_in(url["authorization_url"].as_str().unwrap_or_default()).await;
    let parameter = |name| crate::support::parameter(&back, name);
    let body = json!({
        "app": APP, "scopes": ALL, "redirect_uri": REDIRECT_URI, "code": parameter("code"), "iss": parameter("iss"),
        "code_verifier": url["code_verifier"], "nonce": url["nonce"],
    });
    token(send(post(stage, step, "/auth-code", &body)).await)
}

async fn sign_out(stage: &Stage, step: &Step, app: &str, id: &str) -> Outcome {
    let client = &stage.clients[step.replica];
    match send(client.http.delete(format!("{}/accounts/{id}?app={app}", client.base))).await {
        Ok((204, _)) => Outcome::Done,
        other => refused(other),
    }
}

/// Status and body; or why there is none.
#[expect(clippy::disallowed_methods, reason = "a test is a caller of the sidecar, not a part of it")]
async fn send(request: reqwest::RequestBuilder) -> Result<(u16, Value), String> {
    let response = request.timeout(PATIENCE).send().await.map_err(|error| format!("{error:?}"))?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(|error| format!("{error:?}"))?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

fn refused(answer: Result<(u16, Value), String>) -> Outcome {
    match answer {
        Ok((status, body)) => Outcome::Refused {
            status,
            error: body["error"].as_str().unwrap_or_default().to_owned(),
            retryable: body["retryable"].as_bool().unwrap_or_default(),
        },
        Err(why) => Outcome::Nothing(why),
    }
}

fn listed(stage: &Stage, body: &Value) -> Outcome {
    let ids: BTreeSet<_> = body["accounts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|account| &account["home_account_id"])
        .filter_map(Value::as_str)
        .collect();
    let accounts = (0..stage.plan.accounts).filter(|number| ids.contains(Stage::account(*number).as_str())).collect();
    Outcome::Accounts { accounts, complete: body["complete"].as_bool().unwrap_or(true) && body["next"].is_null() }
}

fn token(answer: Result<(u16, Value), String>) -> Outcome {
    let Ok((200, body)) = &answer else { return refused(answer) };
    let claims = claims(body["access_token"].as_str().unwrap_or_default());
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let identity = if claims["appid"].is_null() {
        let scopes = text("scope").split(' ').map(str::to_owned).collect();
        Identity { client: text("client_id"), subject: text("sub"), scopes }
    } else {
        let (app, granted) = (text("idtyp") == "app", text("scp"));
        let scopes = if app { vec![".default"] } else { granted.split(' ').collect() };
        let scopes = scopes.iter().map(|scope| format!("{}/{scope}", text("aud"))).collect();
        Identity { client: text("appid"), subject: if app { "app".to_owned() } else { text("oid") }, scopes }
    };
    // The account of the answer is another way to be somebody else's.
    let said = body["account"]["home_account_id"].as_str().unwrap_or(&identity.subject);
    let is_same = said == identity.subject || said.split('.').next() == Some(&identity.subject);
    let subject = if is_same { identity.subject.clone() } else { format!("{}, said to be {said}", identity.subject) };
    Outcome::Token(Token {
        identity: Identity { subject, ..identity },
        sid: text("sid"),
        issued: number(&claims["iat"]),
        ends: number(&claims["exp"]),
        expires_in: number(&body["expires_in"]),
        from_cache: body["token_source"] == "cache",
    })
}

/// What a token says of itself. It came from the authority of this very process.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap_or_default();
    URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
