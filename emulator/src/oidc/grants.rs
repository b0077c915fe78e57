//! The grants of a realm: client credentials, code, rotating refresh tokens, and token exchange (RFC 8693).

use serde_json::{Map, Value, json};

use super::{
    client,
    realm::{check_scopes, issuer},
    tokens::{self, RealmAccess},
};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    issued::{CodeProblem, Person, RefreshProblem, Session},
    jose::Jws,
    registration::{Client, Realm},
    world::World,
};

pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A token request whose client has proved itself.
pub(crate) struct RealmAsk<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call,
    pub(crate) realm: &'a Realm,
    pub(crate) client: &'a Client,
}

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
        other => Err(Fault::plain("unsupported_grant_type", format!("The grant {other} is not supported."))),
    }
}

pub(crate) fn needed<'a>(call: &'a Call, name: &str) -> Outcome<&'a str> {
    call.param(name).ok_or_else(|| Fault::plain("invalid_request", format!("The parameter {name} is missing.")))
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
        self.is_of_this_realm(&session)?;
        let offline = session.scope.split_whitespace().any(|one| one == "offline_access");
        let refresh = offline.then(|| self.world.issued().add_refresh(session.clone()));
        self.user_answer(&session, &session.scope, refresh)
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
        let mine = |aud: &&str| *aud == self.client.client_id || self.client.audiences.iter().any(|one| one == aud);
        if !jws.audiences().iter().any(mine) {
            return Err(refused("The subject token is not meant for this client."));
        }
        Ok(jws)
    }

    fn is_of_this_realm(&self, session: &Session) -> Outcome<()> {
        if session.place == format!("oidc/{}", self.realm.name) {
            return Ok(());
        }
        Err(Fault::plain("invalid_grant", "The grant was issued elsewhere."))
    }

    /// The scope that was sent, else the other.
    fn scope(&self, otherwise: &str) -> Outcome<String> {
        let scope = self.call.param("scope").unwrap_or(otherwise);
        check_scopes(self.realm, scope)?;
        Ok(scope.to_owned())
    }

    /// The APIs that the token is for: those named, else the realm's first.
    fn audience(&self) -> Outcome<Vec<String>> {
        let named: Vec<String> = self.call.params("audience").chain(self.call.params("resource")).map(str::to_owned).collect();
        let known = |name: &String| self.realm.audiences.contains(name) || self.realm.client(name).is_some();
        if let Some(unknown) = named.iter().find(|name| !known(name)) {
            return Err(Fault::plain("invalid_target", format!("The target {unknown} is not known.")));
        }
        Ok(if named.is_empty() { self.realm.audiences.iter().take(1).cloned().collect() } else { named })
    }

    fn user_answer(&self, session: &Session, scope: &str, refresh: Option<String>) -> Outcome<Value> {
        let mut body = self.answer(Some(&session.person), Some(&session.sid), scope)?;
        if scope.split_whitespace().any(|one| one == "openid") {
            let token = body.get("access_token").and_then(Value::as_str).unwrap_or_default();
            let claims = tokens::id_claims(self.world, self.realm, &self.client.client_id, session, token);
            body.insert("id_token".to_owned(), json!(self.world.sign(&claims)));
        }
        if let Some(refresh) = refresh {
            body.insert("refresh_token".to_owned(), json!(refresh));
        }
        Ok(Value::Object(body))
    }

    fn answer(&self, person: Option<&Person>, sid: Option<&str>, scope: &str) -> Outcome<Map<String, Value>> {
        let lifetime = self.call.lifetime.unwrap_or(self.realm.token_lifetime);
        let access = RealmAccess { client_id: &self.client.client_id, audience: self.audience()?, person, sid, scope, lifetime };
        let mut body = Map::new();
        body.insert("access_token".to_owned(), json!(access.sign(self.world, self.realm)));
        body.insert("token_type".to_owned(), json!("Bearer"));
        body.insert("expires_in".to_owned(), json!(lifetime));
        body.insert("scope".to_owned(), json!(scope));
        Ok(body)
    }
}
