//! `tokend token`: a token of somebody who is signed in, in the form that whatever runs it wants. It is printed because it was
//! asked for, and goes to standard output alone.

use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, UNIX_EPOCH};

use super::accounts::choose;
use super::api::{ApiClient, members};
use super::args::{TokenArgs, TokenOutput};
use super::failure::CommandFailure;
use crate::cli::print::out;
use crate::clock::iso;
use crate::secret::Secret;

/// The answer of `/silent`, as far as it is printed by itself.
// No `Debug`: it would show the token.
#[derive(Deserialize)]
struct SilentAnswer {
    access_token: Option<String>,
    /// In seconds since 1970.
    expires_on: Option<u64>,
}

/// `tokend token`.
pub(super) async fn print(args: &TokenArgs) -> Result<(), CommandFailure> {
    let api = ApiClient::new(&args.reach)?;
    let account = choose(&api, &args.reach, args.account.as_deref()).await?;
    let mut body = members(&args.reach, &args.wanted, args.tenant.as_deref(), args.claims.as_deref());
    body["account"] = json!(account.home_account_id);
    if args.force_refresh {
        body["force_refresh"] = json!(true);
    }
    let reply = api.post("/silent", &body).await?.success()?;
    if args.output == TokenOutput::Json {
        out(&format!("{}\n", String::from_utf8_lossy(&reply.body)));
        return Ok(());
    }
    let answer: SilentAnswer = reply.read()?;
    out(answer.written(args.output)?.expose());
    Ok(())
}

// === impl SilentAnswer ===

impl SilentAnswer {
    /// The token in this form, with the end of its line.
    fn written(self, output: TokenOutput) -> Result<Secret, CommandFailure> {
        let is_good = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = self.access_token.filter(is_good).map(Secret::new).ok_or_else(|| {
            CommandFailure::failed(
                "the answer has no access token that can be printed",
                "ask for a scope of an API; --output json shows the answer as it is",
            )
        })?;
        let token = token.expose();
        Ok(Secret::new(match output {
            TokenOutput::Header => format!("Authorization: Bearer {token}\n"),
            TokenOutput::ExecCredential => {
                let mut status = json!({"token": token});
                if let Some(ends) = self.expires_on.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))) {
                    status["expirationTimestamp"] = json!(iso(ends));
                }
                let credential = json!({
                    "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
                });
                format!("{credential}\n")
            }
            TokenOutput::Raw | TokenOutput::Json => format!("{token}\n"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::SilentAnswer;
    use crate::cli::terminal::args::TokenOutput;

    fn written(answer: Value, output: TokenOutput) -> Option<String> {
        let answer: SilentAnswer = serde_json::from_value(answer).unwrap();
        answer.written(output).ok().map(|text| text.expose().to_owned())
    }

    #[test]
    fn a_token_is_written_as_its_reader_wants_it() {
        let answer = json!({"access_token": "eyJ.a.b", "expires_on": 1_795_300_000});
        assert_eq!(written(answer.clone(), TokenOutput::Raw).as_deref(), Some("eyJ.a.b\n"));
        assert_eq!(written(answer.clone(), TokenOutput::Header).as_deref(), Some("Authorization: Bearer eyJ.a.b\n"));
        let credential: Value = serde_json::from_str(&written(answer, TokenOutput::ExecCredential).unwrap()).unwrap();
        let status = json!({"token": "eyJ.a.b", "expirationTimestamp": "2026-11-21T22:26:40Z"});
        let kind = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status});
        assert_eq!(credential, kind);
    }

    #[test]
    fn an_end_that_is_not_known_is_left_out() {
        let answer = json!({"access_token": "opaque", "expires_on": null});
        let credential: Value = serde_json::from_str(&written(answer, TokenOutput::ExecCredential).unwrap()).unwrap();
        assert_eq!(credential["status"], json!({"token": "opaque"}));
    }

    #[test]
    fn what_would_break_out_of_a_header_is_no_token() {
        for token in [json!(null), json!(""), json!("a\r\nx: y"), json!("a b"), json!("é")] {
            assert_eq!(written(json!({"access_token": token}), TokenOutput::Header), None, "{token}");
        }
    }
}
