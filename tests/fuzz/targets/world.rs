//! An emulator and a sidecar on the target's own thread: a task that panics is seen there.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::holds;
use crate::support::{Answer, Client, World};

/// What must never be told: it stands in what foreign bytes may hold.
pub(super) const CANARY: &str = "canary-of-a-secret-0123456789";

/// The usual world, driven from outside of async code.
pub(super) struct FuzzWorld {
    runtime: Runtime,
    pub(super) world: World,
}

// === impl FuzzWorld ===

impl FuzzWorld {
    pub(super) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let change =
            |yaml: String, _: &std::path::Path| yaml.replace("authority: {retry_delay: 10ms}", "authority: {retry_delay: 0ms}");
        let world = runtime.block_on(World::changed(change));
        Self { runtime, world }
    }

    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What is remembered of failures, of documents and of keys is over.
    pub(super) fn a_day_later(&self) {
        self.world.clock.advance(Duration::from_secs(25 * 3600));
    }

    /// From now on an endpoint of the authority answers this; text as it stands.
    pub(super) fn answering(&self, endpoint: &str, status: u16, body: &str) {
        let effect = json!({"raw": {"status": status, "headers": {"content-type": "application/json"}, "body": body}});
        self.run(async {
            self.world.emulator.unscript().await;
            self.world.emulator.script(json!({"on": {"endpoint": endpoint}, "times": 0, "do": effect})).await;
        });
    }

    /// A user's token of the realm that lasts for ever.
    pub(super) fn eva(&self) -> String {
        let claims = json!({"exp": 4_000_000_000_u64});
        let app = "https://orders.shop.example";
        let order = json!({"realm": "shop", "app": app, "user": "eva", "scopes": "orders.read", "claims": claims});
        self.run(self.world.emulator.mint(order))
    }

    /// `POST /obo` with these bytes as the user's token; `None` if no header can have them.
    pub(super) fn obo(&self, app: &str, bearer: &[u8]) -> Option<Answer> {
        let value = reqwest::header::HeaderValue::from_bytes(&[b"Bearer ", bearer].concat()).ok()?;
        let body =
            json!({"app": app, "scopes": if app == "shop" { "stock.read" } else { "https://graph.microsoft.com/User.Read" }});
        let request = self.world.sidecar.client.request("/obo", &body).header("authorization", value);
        Some(self.run(Client::send(request)))
    }
}

/// An answer is a token or a problem, whatever was asked.
pub(super) fn judged(answer: &Answer) -> Result<(), String> {
    let text = || format!("{} {}", answer.status, answer.text);
    holds(answer.status != 500, || format!("tokend failed: {}", text()))?;
    holds(answer.json.is_object() || answer.text.is_empty(), || format!("no JSON object: {}", text()))?;
    if answer.status == 200 {
        return holds(!answer.text.contains("refresh_token"), || format!("it tells a refresh token: {}", text()));
    }
    let is_problem =
        answer.json["status"] == answer.status && answer.json["error"].is_string() && answer.json["detail"] != Value::Null;
    holds(is_problem, || format!("no problem of RFC 9457: {}", text()))
}
