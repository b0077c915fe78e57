//! Whether an app accepts a token, and its claims (RFC 7662). It is judged as `/obo` judges what comes as a user's token, but for
//! the one thing that introspection has no need of: a user.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::app::App;
use super::grants::judged_for_introspection;
use super::handle::is_handle;
use super::policies;
use super::refusal::{Refusal, RefusalKind};
use super::request::Call;
use super::state::FlowState;
use crate::token::{TokenDigest, Turn};

/// The answer of `/introspect`: the claims of an active token with the members that RFC 7662 §2.2 gives, or that it is not active.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Introspection(Map<String, Value>);

/// What a claim of that name must not say, because the answer says it itself (RFC 7662 §2.2).
const OURS: [&str; 7] = ["active", "scope", "client_id", "username", "token_type", "iss", "exp"];

// === impl Introspection ===

impl Introspection {
    /// Nothing is said of what is not active.
    fn inactive() -> Self {
        Self(Map::from_iter([("active".to_owned(), Value::Bool(false))]))
    }

    /// Whether it says that the token is active.
    pub fn is_active(&self) -> bool {
        self.0.get("active") == Some(&Value::Bool(true))
    }

    /// An active token's claims.
    fn active(claims: Map<String, Value>) -> Self {
        let text = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| claims.get(*name));
            found.find(|value| value.as_str().is_some_and(|text| !text.is_empty())).cloned()
        };
        let ours = [
            ("scope", text(&["scope", "scp"])),
            ("client_id", text(&["client_id", "azp", "appid"])),
            ("username", text(&["preferred_username", "upn", "unique_name", "email"])),
            ("token_type", Some(Value::from("Bearer"))),
            ("iss", text(&["iss"])),
            ("exp", claims.get("exp").and_then(whole).map(Value::from)),
            ("active", Some(Value::Bool(true))),
        ];
        // A client takes a member `error` for a failure, and dates for whole numbers (RFC 7662 §2.2).
        let is_good = |name: &str, value: &Value| match name {
            "iat" | "nbf" => value.is_i64(),
            "error" | "error_description" => false,
            name => !OURS.contains(&name) && !value.is_null(),
        };
        let mut answer: Map<String, Value> = claims.into_iter().filter(|(name, value)| is_good(name, value)).collect();
        answer.extend(ours.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Self(answer)
    }
}

/// A date in whole seconds; some issuers write fractions.
fn whole(date: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a date in seconds fits, and what does not is no date")]
    date.as_i64().or_else(|| date.as_f64().map(|seconds| seconds as i64))
}

/// What an app's `inbound` says of a token.
///
/// # Errors
/// The app accepts no tokens, or what decides it cannot be had.
pub(super) async fn run(state: &FlowState, app: &Arc<App>, call: Call, token: &str) -> Result<Introspection, Refusal> {
    app.has_credential()?;
    let app = policies::of_token(app, token);
    let guard = app.guard.as_ref().ok_or_else(|| {
        let detail = "this app accepts no tokens that could be looked at: configure `apps.*.inbound` for it";
        Refusal::new(Turn::Rights, RefusalKind::FlowNotAllowed, detail)
    })?;
    let correlation_id = call.correlation_id;
    let inactive = |reason: &'static str| {
        app.metrics.introspected(false);
        tracing::info!(app = app.name, %correlation_id, reason, "a token is not active");
        Introspection::inactive()
    };
    if is_handle(token) {
        return Ok(inactive("it is a handle of tokend's own"));
    }
    let digest = TokenDigest::of(token);
    match judged_for_introspection(state, app, guard, (token, &digest), call).await {
        Ok(()) => match claims(token) {
            Some(claims) => {
                app.metrics.introspected(true);
                Ok(Introspection::active(claims))
            }
            None => Ok(inactive("it is no JWT")),
        },
        // It says nothing of the token.
        Err(refusal) if matches!(refusal.turn, Turn::Unavailable | Turn::OutOfTime | Turn::Throttled | Turn::Operator) => {
            Err(refusal)
        }
        Err(refusal) => Ok(inactive(refusal.reason.unwrap_or("it is not accepted"))),
    }
}

/// The claims of a token whose signature is good.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::Introspection;

    fn active(claims: Value) -> Value {
        let claims: Map<String, Value> = serde_json::from_value(claims).unwrap();
        serde_json::to_value(Introspection::active(claims)).unwrap()
    }

    #[test]
    fn our_own_members_win_over_claims_of_that_name() {
        let answer = active(json!({
            "active": false, "username": "mallory", "token_type": "pop", "client_id": 7, "azp": "app", "scp": "read", "scope": "",
            "iss": "https://i", "exp": 5.5, "upn": "ana", "sub": "s", "roles": ["a"], "error": "x", "iat": "x", "nbf": 4, "amr": null,
        }));
        assert_eq!(
            answer,
            json!({
                "active": true, "username": "ana", "token_type": "Bearer", "client_id": "app", "scope": "read", "iss": "https://i",
                "exp": 5, "upn": "ana", "sub": "s", "roles": ["a"], "azp": "app", "scp": "read", "nbf": 4,
            })
        );
        let bare = active(json!({ "sub": "s" }));
        assert_eq!(bare, json!({ "active": true, "token_type": "Bearer", "sub": "s" }));
    }

    #[test]
    fn what_is_not_active_says_nothing_else() {
        let inactive = Introspection::inactive();
        assert!(!inactive.is_active());
        assert_eq!(serde_json::to_value(inactive).unwrap(), json!({ "active": false }));
    }
}
