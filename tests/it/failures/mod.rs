//! What a failing authority costs, and whom it stops: retries,
//! pauses, back-offs and remembered refusals (contract, cache point 11).

mod backoff;
mod cause;
mod counted;
mod hanging;
mod issuer;
mod line;
mod outage;
mod pause;
pub(crate) mod reach;
mod refused;
mod retry;
mod silent;
mod strange;
mod unreached;

use serde_json::{Value, json};

use crate::support::{Emulator, World};

/// A scope of another API than Graph that the app `orders` may have for its users.
const BILLING: &str = "api://billing/invoices.read";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";

impl World {
    /// Makes the token endpoints do this until further notice.
    async fn failing(&self, effect: Value) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
    }

    /// Makes them do this to the next request.
    async fn failing_once(&self, effect: Value) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "do": effect})).await;
    }

    async fn ana(&self) -> String {
        self.emulator.user_token("ana@contoso.example").await
    }

    async fn ben(&self) -> String {
        self.emulator.user_token("ben@contoso.example").await
    }
}

/// A token of eva's for shop-orders, a new one each time.
async fn eva(emulator: &Emulator) -> String {
    emulator.mint(json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"})).await
}
