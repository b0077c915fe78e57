//! The grants of a policy: client credentials, codes, refresh tokens that may be used again, and passwords where the policy is one
//! for those. There is neither on-behalf-of nor a device flow.

use serde_json::Value;

use super::{
    ask::{PolicyAsk, client, needed},
    asked::{AskedPolicy, aadb2c},
};
use crate::{
    fault::Outcome,
    issued::{CodeProblem, Session},
};

pub(super) fn redeem(at: AskedPolicy<'_>) -> Outcome<Value> {
    if let Some(name) = at.call.repeated() {
        let text = format!("The request contains the parameter '{name}' more than once.");
        return Err(aadb2c(90_052, "invalid_request", &text));
    }
    let grant = needed(at, "grant_type")?;
    let ask = PolicyAsk { at, client: client(at)? };
    match grant {
        "client_credentials" => ask.app_answer(at.call.param("scope").unwrap_or_default()),
        "authorization_code" => ask.authorization_code(),
        "refresh_token" => ask.refresh_token(),
        "password" if at.policy.passwords => ask.password(),
        other => {
            let text = format!("The supplied grant_type [{other}] is not supported.");
            Err(aadb2c(90_086, "unsupported_grant_type", &text))
        }
    }
}

// === impl PolicyAsk ===

impl PolicyAsk<'_> {
    fn authorization_code(&self) -> Outcome<Value> {
        let (code, redirect_uri) = (needed(self.at, "code")?, needed(self.at, "redirect_uri")?);
        let verifier = self.at.call.param("code_verifier");
        let (world, now) = (self.at.world, self.at.world.now());
        let session = world.issued().redeem(code, &self.client.client_id, redirect_uri, verifier, now);
        let session = session.map_err(|problem| match problem {
            CodeProblem::Expired | CodeProblem::Used | CodeProblem::Unknown => {
                aadb2c(90_080, "invalid_grant", "The provided grant has expired. Please re-authenticate and try again.")
            }
            CodeProblem::RedirectUri => {
                aadb2c(90_082, "invalid_grant", "The redirect URI is not the one that the grant was issued for.")
            }
            CodeProblem::Verifier => aadb2c(90_183, "invalid_grant", "The supplied code_verifier is invalid."),
        })?;
        self.is_of_this_policy(&session)?;
        let scope = self.at.call.param("scope").unwrap_or(&session.scope).to_owned();
        self.user_answer(&session, &scope)
    }

    fn refresh_token(&self) -> Outcome<Value> {
        let token = needed(self.at, "refresh_token")?;
        let session = self.at.world.issued().session(token, &self.client.client_id);
        let session = session.ok_or_else(|| {
            aadb2c(90_080, "invalid_grant", "The provided grant has expired. Please re-authenticate and try again.")
        })?;
        self.is_of_this_policy(&session)?;
        let scope = self.at.call.param("scope").unwrap_or(&session.scope).to_owned();
        self.user_answer(&Session { nonce: None, ..session }, &scope)
    }

    fn password(&self) -> Outcome<Value> {
        let (username, given) = (needed(self.at, "username")?, needed(self.at, "password")?);
        let scope = needed(self.at, "scope")?;
        let user = self.at.tenant.user(username).filter(|user| user.password == given);
        let user =
            user.ok_or_else(|| aadb2c(90_225, "access_denied", "The username or password provided in the request are invalid."))?;
        let session = self.session(user.person(self.at.tenant), scope);
        self.user_answer(&session, scope)
    }
}
