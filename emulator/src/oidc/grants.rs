//! The grants of a realm: client credentials, code, rotating refresh tokens, and token exchange (RFC 8693). The device code's is
//! with its page.

use serde_json::{Value, json};

use super::{
    ask::{RealmAsk, needed},
    client, device,
    realm::issuer,
};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    issued::{CodeProblem, Person, RefreshProblem, Session},
    jose::Jws,
    registration::Realm,
    world::World,
};

pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The token endpoint: what is common to all grants, and which method has which.
pub(crate) fn redeem(world: &World, call: &Call, realm: &Realm) -> Outcome<Value> {
    if let Some(name) = call.repeated() {
        return Err(Fault::plain("invalid_request", format!("The parameter {name} came more than once.")));
    }
    let client = client::prove(world, call, realm)?;
    let ask = RealmAsk { world, call, realm, client };
    match needed(call, "grant_type")? {
        "client_credentials" => ask.client_credentials(),
        "authorization_code" => ask.authorization_code(),
        "refresh_token" => ask.refresh_token(),
        EXCHANGE => ask.token_exchange(),
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

    pub(crate) fn token_exchange(&self) -> Outcome<Value> {
        let kind = needed(self.call, "subject_token_type")?;
        if ![ACCESS_TOKEN, JWT].contains(&kind) {
            return Err(Fault::plain("invalid_request", format!("subject_token_type {kind} is not supported.")));
        }
        let wanted = self.call.param("requested_token_type").unwrap_or(ACCESS_TOKEN);
        if ![ACCESS_TOKEN, JWT].contains(&wanted) {
            return Err(Fault::plain("invalid_request", format!("requested_token_type {wanted} is not supported.")));
        }
        let jws = self.subject(needed(self.call, "subject_token")?)?;
        let person = Person {
            id: jws.text("sub").to_owned(),
            username: jws.text("preferred_username").to_owned(),
            name: jws.text("name").to_owned(),
            email: jws.text("email").to_owned(),
            ..Person::default()
        };
        let scope = self.scope(jws.text("scope"))?;
        let mut body = self.answer(Some(&person), None, &scope)?;
        body.insert("issued_token_type".to_owned(), json!(wanted));
        Ok(Value::Object(body))
    }

    /// A token of this realm, in time, and meant for this client.
    fn subject(&self, text: &str) -> Outcome<Jws> {
        let refused = |text: &str| Fault::plain("invalid_request", text);
        let jws = Jws::parse(text).ok_or_else(|| refused("The subject token cannot be read."))?;
        let key = self.world.keys().published_as(jws.head("kid"));
        if !key.is_some_and(|key| key.verify(&jws)) || jws.text("iss") != issuer(self.world, self.realm) {
            return Err(refused("The subject token was not issued here."));
        }
        if jws.time("exp").is_none_or(|exp| exp <= self.world.now()) {
            return Err(refused("The subject token has expired."));
        }
        if self.world.issued().is_revoked(&[jws.text("jti"), jws.text("sid")]) {
            return Err(refused("The subject token was revoked."));
        }
        let mine = |aud: &&str| *aud == self.client.client_id || self.client.audiences.iter().any(|one| one == aud);
        if !jws.audiences().iter().any(mine) {
            return Err(refused("The subject token is not meant for this client."));
        }
        Ok(jws)
    }
}
