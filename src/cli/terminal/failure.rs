//! How a command fails: what is said, with the remedy, and the exit status that a script can tell apart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;

use super::printable::printable;
use crate::cli::USAGE;

/// Whatever else failed.
const FAILED: u8 = 1;
/// The user has to sign in, again or for the first time.
const SIGN_IN: u8 = 2;
/// The command was interrupted: 128 and the number of SIGINT, as a shell counts.
const INTERRUPTED: u8 = 130;

/// Why a command ends without what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandFailure {
    /// The exit status.
    pub(super) code: u8,
    /// What is said on standard error, with the end of its last line.
    pub(super) text: String,
}

/// `application/problem+json` of tokend, as far as it is shown.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiProblem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    /// The authority's value, else tokend's own.
    pub(super) error: Option<String>,
    error_description: Option<String>,
    claims: Option<String>,
    /// Whether the same request can succeed later.
    pub(super) retryable: bool,
    correlation_id: Option<String>,
}

// === impl CommandFailure ===

impl CommandFailure {
    /// The command was asked for what cannot be.
    pub(super) fn usage(what: &str, remedy: &str) -> Self {
        Self::new(USAGE, what, remedy)
    }

    /// Something went wrong.
    pub(super) fn failed(what: &str, remedy: &str) -> Self {
        Self::new(FAILED, what, remedy)
    }

    /// Nobody is signed in, or no longer.
    pub(super) fn sign_in(what: &str, remedy: &str) -> Self {
        Self::new(SIGN_IN, what, remedy)
    }

    /// Ctrl-C.
    pub(super) fn interrupted() -> Self {
        Self { code: INTERRUPTED, text: "tokend: interrupted\n".to_owned() }
    }

    /// This failure of a sign-out, after which nobody has to sign in.
    pub(super) fn of_sign_out(self) -> Self {
        if self.code == SIGN_IN { Self { code: FAILED, ..self } } else { self }
    }

    fn new(code: u8, what: &str, remedy: &str) -> Self {
        Self { code, text: format!("tokend: {}\n  remedy: {remedy}\n", printable(what)) }
    }

    /// What tokend answered in place of what was asked for.
    pub(super) fn of_problem(status: StatusCode, problem: &ApiProblem, retry_after: Option<u64>) -> Self {
        let line = |name: &str, text: Option<&str>| {
            let text = text.map(printable).filter(|text| !text.is_empty());
            text.map(|text| format!("  {name}: {text}\n")).unwrap_or_default()
        };
        let title = problem.title.as_deref().map(printable).filter(|title| !title.is_empty());
        let title = title.unwrap_or_else(|| format!("tokend answered with status {}", status.as_u16()));
        let detail = problem.detail.as_deref().map(printable).unwrap_or_default();
        let mut text = if detail.is_empty() { format!("tokend: {title}\n") } else { format!("tokend: {title}: {detail}\n") };
        text.push_str(&line("error", problem.error.as_deref()));
        if problem.error_description != problem.detail {
            text.push_str(&line("the authority says", problem.error_description.as_deref()));
        }
        text.push_str(&line("remedy", Some(&remedy(status, problem, retry_after))));
        text.push_str(&line("correlation id", problem.correlation_id.as_deref()));
        Self { code: if status == StatusCode::UNAUTHORIZED { SIGN_IN } else { FAILED }, text }
    }
}

// === impl ApiProblem ===

impl ApiProblem {
    /// Whether it is this one of tokend's own.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.as_deref().and_then(|own| own.strip_prefix("urn:tokend:error:")) == Some(kind)
    }
}

/// What whoever reads it can do, by whose turn it is.
fn remedy(status: StatusCode, problem: &ApiProblem, retry_after: Option<u64>) -> String {
    match status.as_u16() {
        // In letters that a shell leaves alone: the challenge is somebody else's text.
        401 => match &problem.claims {
            Some(claims) => format!("sign in again: tokend login --claims {}", URL_SAFE_NO_PAD.encode(claims)),
            None => "sign in again: tokend login".to_owned(),
        },
        403 if problem.is("caller_not_authenticated") => "name the file with your caller's token by --caller-token-file".to_owned(),
        403 => "ask whoever runs this tokend whether you may".to_owned(),
        404 if problem.is("unknown_api") => "name an api that this tokend has by --api".to_owned(),
        404 => "name an app that this tokend has by --app".to_owned(),
        429 | 503 | 504 => match retry_after {
            Some(seconds) => format!("try again in {seconds} s"),
            None => "try again in a moment".to_owned(),
        },
        500..=599 => "tell whoever runs this tokend; the log has the correlation id".to_owned(),
        _ => "change what is asked for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::{ApiProblem, CommandFailure};

    fn shown(status: u16, problem: serde_json::Value, retry_after: Option<u64>) -> CommandFailure {
        let problem: ApiProblem = serde_json::from_value(problem).unwrap();
        CommandFailure::of_problem(StatusCode::from_u16(status).unwrap(), &problem, retry_after)
    }

    #[test]
    fn a_problem_is_shown_with_its_remedy_and_id() {
        let failure = shown(
            401,
            json!({"type": "urn:tokend:error:refused", "title": "The authority refused", "detail": "sign in", "error": "invalid_grant",
                   "error_description": "AADSTS50076: \u{1b}[31mmore\r\nis needed", "correlation_id": "c-1", "retryable": false}),
            None,
        );
        assert_eq!(failure.code, 2);
        assert_eq!(
            failure.text,
            "tokend: The authority refused: sign in\n  error: invalid_grant\n  the authority says: AADSTS50076:  [31mmore  is needed\n  \
             remedy: sign in again: tokend login\n  correlation id: c-1\n"
        );
    }

    #[test]
    fn each_status_has_its_remedy() {
        let own = |kind: &str| json!({"type": format!("urn:tokend:error:{kind}"), "title": "t"});
        for (status, kind, retry_after, code, word) in [
            (400, "invalid_request", None, 1, "change what is asked for"),
            (403, "caller_not_authenticated", None, 1, "--caller-token-file"),
            (403, "caller_not_allowed", None, 1, "whether you may"),
            (404, "unknown_app", None, 1, "--app"),
            (404, "unknown_api", None, 1, "--api"),
            (502, "refused", None, 1, "the log"),
            (503, "cache_unavailable", Some(7), 1, "in 7 s"),
            (504, "authority_timeout", None, 1, "in a moment"),
        ] {
            let failure = shown(status, own(kind), retry_after);
            assert_eq!(failure.code, code, "{status}");
            assert!(failure.text.contains(word), "{status}: {}", failure.text);
        }
        assert!(shown(500, json!({}), None).text.starts_with("tokend: tokend answered with status 500\n"));
    }

    #[test]
    fn a_claims_challenge_can_be_pasted_into_a_shell() {
        let failure = shown(401, json!({"claims": "{\"a\":\"'; rm -rf ~ #\"}"}), None);
        let line = failure.text.lines().find(|line| line.contains("--claims")).unwrap();
        let word = line.rsplit(' ').next().unwrap();
        assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{line}");
    }
}
