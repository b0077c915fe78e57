//! A token request to a realm, and what it is answered with.

use serde_json::{Map, Value, json};

use super::{
    realm::check_scopes,
    tokens::{self, RealmAccess},
};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    issued::{Person, Session},
    registration::{Client, Realm},
    world::World,
};

/// A token request whose client has proved itself.
pub(crate) struct RealmAsk<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call,
    pub(crate) realm: &'a Realm,
    pub(crate) client: &'a Client,
}

/// A parameter that must be there.
pub(crate) fn needed<'a>(call: &'a Call, name: &str) -> Outcome<&'a str> {
    call.param(name).ok_or_else(|| Fault::plain("invalid_request", format!("The parameter {name} is missing.")))
}

// === impl RealmAsk ===

impl RealmAsk<'_> {
    /// The first tokens of a sign-in.
    pub(crate) fn begin(&self, session: &Session) -> Outcome<Value> {
        self.is_of_this_realm(session)?;
        let offline = session.scope.split_whitespace().any(|one| one == "offline_access");
        let refresh = offline.then(|| self.world.issued().add_refresh(session.clone()));
        self.user_answer(session, &session.scope, refresh)
    }

    pub(crate) fn is_of_this_realm(&self, session: &Session) -> Outcome<()> {
        if session.place == format!("oidc/{}", self.realm.name) {
            return Ok(());
        }
        Err(Fault::plain("invalid_grant", "The grant was issued elsewhere."))
    }

    /// The scope that was sent, else the other.
    pub(crate) fn scope(&self, otherwise: &str) -> Outcome<String> {
        let scope = self.call.param("scope").unwrap_or(otherwise);
        check_scopes(self.realm, scope)?;
        Ok(scope.to_owned())
    }

    /// The APIs that the token is for: those named, else the realm's first.
    pub(crate) fn audience(&self) -> Outcome<Vec<String>> {
        let named: Vec<String> = self.call.params("audience").chain(self.call.params("resource")).map(str::to_owned).collect();
        let known = |name: &String| self.realm.audiences.contains(name) || self.realm.client(name).is_some();
        if let Some(unknown) = named.iter().find(|name| !known(name)) {
            return Err(Fault::plain("invalid_target", format!("The target {unknown} is not known.")));
        }
        Ok(if named.is_empty() { self.realm.audiences.iter().take(1).cloned().collect() } else { named })
    }

    pub(crate) fn user_answer(&self, session: &Session, scope: &str, refresh: Option<String>) -> Outcome<Value> {
        let mut body = self.answer(Some(&session.person), Some(&session.sid), scope)?;
        if !session.bare && scope.split_whitespace().any(|one| one == "openid") {
            let token = body.get("access_token").and_then(Value::as_str).unwrap_or_default();
            let claims = tokens::id_claims(self.world, self.realm, &self.client.client_id, session, token);
            body.insert("id_token".to_owned(), json!(self.world.sign(&claims)));
        }
        if let Some(refresh) = refresh {
            body.insert("refresh_token".to_owned(), json!(refresh));
        }
        Ok(Value::Object(body))
    }

    pub(crate) fn answer(&self, person: Option<&Person>, sid: Option<&str>, scope: &str) -> Outcome<Map<String, Value>> {
        let lifetime = self.call.lifetime.unwrap_or(self.realm.token_lifetime);
        let is_bound = self.client.tls_client_certificate_bound_access_tokens;
        let shown = self.call.client_certificates.first().map(Vec::as_slice);
        if is_bound && shown.is_none() {
            return Err(Fault::plain("invalid_request", "The client's tokens are bound to a certificate, and there is none."));
        }
        let audience = self.audience()?;
        let bound_to = shown.filter(|_| is_bound);
        let access = RealmAccess { client_id: &self.client.client_id, audience, person, sid, scope, lifetime, bound_to };
        let mut body = Map::new();
        body.insert("access_token".to_owned(), json!(access.sign(self.world, self.realm)));
        body.insert("token_type".to_owned(), json!("Bearer"));
        body.insert("expires_in".to_owned(), json!(lifetime));
        body.insert("scope".to_owned(), json!(scope));
        Ok(body)
    }
}
