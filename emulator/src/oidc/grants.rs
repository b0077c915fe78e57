//! The grants of a realm: client credentials, code, rotating refresh tokens. Token exchange and password have files of their own,
//! the device code's is with its page.

use serde_json::Value;

use super::{
    ask::{RealmAsk, needed},
    client, device,
    exchange::{self, EXCHANGE},
    password,
};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    issued::{CodeProblem, RefreshProblem, Session},
    registration::Realm,
    world::World,
};

pub(crate) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The token endpoint: what is common to all grants, and which method has which.
pub(crate) fn redeem(world: &World, call: &Call, realm: &Realm) -> Outcome<Value> {
    if let Some(name) = call.repeated() {
        return Err(Fault::plain("invalid_request", format!("The parameter {name} came more than once.")));
    }
    let client = client::identify(world, call, realm)?;
    let ask = RealmAsk { world, call, realm, client };
    let grant = needed(call, "grant_type")?;
    if client.is_public() && ["client_credentials", EXCHANGE].contains(&grant) {
        return Err(Fault::plain("unauthorized_client", format!("A public client may not use the grant {grant}.")));
    }
    match grant {
        "client_credentials" => ask.client_credentials(),
        "authorization_code" => ask.authorization_code(),
        "refresh_token" => ask.refresh_token(),
        EXCHANGE => exchange::redeem(&ask),
        "password" => password::redeem(&ask),
        DEVICE => device::poll(&ask),
        other => Err(Fault::plain("unsupported_grant_type", format!("The grant {other} is not supported."))),
    }
}

// === impl RealmAsk ===

impl RealmAsk<'_> {
    pub(crate) fn client_credentials(&self) -> Outcome<Value> {
        let scope = self.scope(&self.realm.scopes.join(" "))?;
        Ok(Value::Object(self.answer(None, None, &scope)?))
    }

    pub(crate) fn authorization_code(&self) -> Outcome<Value> {
        let code = needed(self.call, "code")?;
        let redirect_uri = needed(self.call, "redirect_uri")?;
        let verifier = self.call.param("code_verifier");
        let now = self.world.now();
        let redeemed = self.world.issued().redeem(code, &self.client.client_id, redirect_uri, verifier, now);
        let session = redeemed.map_err(|problem| {
            let text = match problem {
                CodeProblem::Unknown => "The code is not known.",
                CodeProblem::Expired => "The code has expired.",
                CodeProblem::Used => "The code was used before.",
                CodeProblem::RedirectUri => "redirect_uri is not the one of the authorization request.",
                CodeProblem::Verifier => "code_verifier does not match.",
            };
            Fault::plain("invalid_grant", text)
        })?;
        self.begin(&session)
    }

    pub(crate) fn refresh_token(&self) -> Outcome<Value> {
        let token = needed(self.call, "refresh_token")?;
        let at = self.world.now_precise();
        let rotated = self.world.issued().rotate(token, &self.client.client_id, at);
        let (session, next) = rotated.map_err(|problem| {
            let text = match problem {
                RefreshProblem::Unknown => "The refresh token is not known.",
                RefreshProblem::Reused => "The refresh token was used before; all of its family are revoked.",
                RefreshProblem::Revoked => "The refresh token was revoked.",
            };
            Fault::plain("invalid_grant", text)
        })?;
        self.is_of_this_realm(&session)?;
        let scope = self.scope(&session.scope)?;
        // RFC 6749 §6: never more than the user agreed to.
        if scope.split_whitespace().any(|one| !session.scope.split_whitespace().any(|had| had == one)) {
            return Err(Fault::plain("invalid_scope", "The scope is wider than what was granted."));
        }
        self.user_answer(&Session { nonce: None, ..session }, &scope, Some(next))
    }
}
