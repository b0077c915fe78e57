//! The cache through the REST API, in one process: what is served again, to whom, for how long, and what it costs the authority.

mod bypass;
mod flights;
mod lifetime;
mod matching;
mod memory;
mod owners;
mod renewal;

use serde_json::json;

use crate::support::World;

/// What most users' tokens are asked for.
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Another scope of the same resource.
const MAIL_READ: &str = "https://graph.microsoft.com/Mail.Read";

impl World {
    /// Makes the next answers of the token endpoints live this long.
    async fn lifetime(&self, seconds: i64) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"expires_in": seconds}})).await;
    }

    /// Holds what the token endpoints are asked from now on, until the emulator releases it.
    async fn hold(&self) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
    }
}
