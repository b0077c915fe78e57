//! `tokend login --device`: a code for another device, and the questions whether it was entered (RFC 8628).

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::api::{ApiClient, ApiReply, members};
use super::args::LoginArgs;
use super::failure::CommandFailure;
use super::printable::printable;
use crate::cli::print::out;

/// How long to wait between two questions where nothing is said (RFC 8628 §3.2), and by how much `slow_down` lengthens it (§3.5).
const INTERVAL: u64 = 5;
const SLOWER: u64 = 5;

/// The shortest and the longest wait, in seconds, whatever was said.
const BOUNDS: (u64, u64) = (1, 60);

/// How often in a row tokend may be out of reach.
const LOST: u32 = 3;

/// What `/device-code` answers.
// No `Debug`: the device code is as good as a sign-in.
#[derive(Deserialize)]
struct DeviceInvitation {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    interval: Option<u64>,
}

/// What an answer to a question says.
#[derive(Debug, PartialEq, Eq)]
enum DeviceStep {
    /// Ask again after so many seconds, and then at this interval.
    Wait {
        seconds: u64,
        interval: u64,
    },
    Failed(CommandFailure),
}

/// Signs in; returns the answer with the account.
pub(super) async fn sign_in(api: &ApiClient, args: &LoginArgs) -> Result<ApiReply, CommandFailure> {
    let body = members(&args.reach, &args.wanted, args.tenant.as_deref(), args.claims.as_deref());
    let start: DeviceInvitation = api.post("/device-code", &body).await?.success()?.read()?;
    out(&start.told());
    let (mut interval, mut lost) = (start.interval.unwrap_or(INTERVAL).clamp(BOUNDS.0, BOUNDS.1), 0);
    let mut wait = interval;
    let question = json!({"device_code": start.device_code});
    loop {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let reply = match api.post("/device-code/poll", &question).await {
            Ok(reply) => reply,
            // It may be back in a moment, and the code is good still.
            Err(_) if lost < LOST => {
                lost += 1;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        lost = 0;
        if reply.status.is_success() {
            return Ok(reply);
        }
        match next(&reply, interval) {
            DeviceStep::Failed(failure) => return Err(failure),
            DeviceStep::Wait { seconds, interval: then } => (wait, interval) = (seconds, then),
        }
    }
}

/// What to do after an answer that is no token.
fn next(reply: &ApiReply, interval: u64) -> DeviceStep {
    let problem = reply.problem().unwrap_or_default();
    let failed = |what: &str| DeviceStep::Failed(CommandFailure::failed(what, "run `tokend login --device` again"));
    match problem.error.as_deref() {
        Some("authorization_pending") => DeviceStep::Wait { seconds: interval, interval },
        Some("slow_down") => {
            let interval = (interval + SLOWER).min(BOUNDS.1);
            DeviceStep::Wait { seconds: interval, interval }
        }
        Some("expired_token") => failed("nobody entered the code in time"),
        Some("access_denied") => failed("the sign-in was refused on the other device"),
        _ if problem.retryable => {
            let seconds = reply.retry_after.unwrap_or(interval).clamp(interval, BOUNDS.1);
            DeviceStep::Wait { seconds, interval }
        }
        _ => DeviceStep::Failed(reply.failure()),
    }
}

// === impl DeviceInvitation ===

impl DeviceInvitation {
    /// What its user has to do. The authority's own message may be in any language and say anything: these are the facts of it.
    fn told(&self) -> String {
        let mut text =
            format!("Open {} on any device and enter the code {}\n", printable(&self.verification_uri), printable(&self.user_code));
        if let Some(complete) = &self.verification_uri_complete {
            text.push_str(&format!("or open {}\n", printable(complete)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::{DeviceInvitation, DeviceStep, next};
    use crate::cli::terminal::api::ApiReply;

    fn step(status: u16, retry_after: Option<u64>, body: &Value) -> DeviceStep {
        let status = StatusCode::from_u16(status).unwrap();
        next(&ApiReply { status, retry_after, body: Bytes::from(body.to_string()) }, 5)
    }

    #[test]
    fn each_answer_to_a_question_has_its_next_step() {
        let wait = |seconds, interval| DeviceStep::Wait { seconds, interval };
        assert_eq!(step(400, None, &json!({"error": "authorization_pending"})), wait(5, 5));
        assert_eq!(step(400, None, &json!({"error": "slow_down"})), wait(10, 10));
        assert_eq!(step(503, Some(20), &json!({"error": "cache_unavailable", "retryable": true})), wait(20, 5));
        assert_eq!(step(503, Some(1), &json!({"error": "cache_unavailable", "retryable": true})), wait(5, 5));
        assert_eq!(step(504, Some(9000), &json!({"error": "authority_timeout", "retryable": true})), wait(60, 5));
        for (status, error, code, word) in [
            (400, "expired_token", 1, "in time"),
            (400, "access_denied", 1, "refused"),
            (401, "invalid_grant", 2, "invalid_grant"),
            (403, "flow_not_allowed", 1, "flow_not_allowed"),
        ] {
            let DeviceStep::Failed(failure) = step(status, None, &json!({"error": error})) else { panic!("{error}") };
            assert!(failure.code == code && failure.text.contains(word), "{error}: {failure:?}");
        }
        let DeviceStep::Failed(failure) = step(200, None, &json!("no problem")) else { panic!("a failure") };
        assert_eq!(failure.code, 1);
    }

    #[test]
    fn its_user_is_told_where_to_go() {
        let start: DeviceInvitation = serde_json::from_value(json!({
            "device_code": "d", "user_code": "ABC\u{1b}-1", "verification_uri": "https://id.example/device",
            "verification_uri_complete": "https://id.example/device?user_code=ABC-1", "expires_in": 900, "message": "x",
        }))
        .unwrap();
        assert_eq!(
            start.told(),
            "Open https://id.example/device on any device and enter the code ABC -1\nor open \
             https://id.example/device?user_code=ABC-1\n"
        );
    }
}
