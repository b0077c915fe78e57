//! A token request to a farm, and what it is answered with.

use serde_json::{Map, Value, json};

use super::{
    registration::{Farm, FarmClient},
    tokens::{self, FarmAccess},
};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    issued::{Person, Session},
    jose,
    world::World,
};

/// Where a farm's codes and refresh tokens are good.
pub(super) const PLACE: &str = "adfs";

/// What a token is for if nothing is named.
pub(super) const USER_INFO: &str = "urn:microsoft:userinfo";

/// The scopes of no web API.
const OWN_SCOPES: [&str; 7] = ["openid", "profile", "email", "offline_access", "allatclaims", "user_impersonation", "aza"];

/// A token request whose client is known.
pub(super) struct FarmAsk<'a> {
    pub(super) world: &'a World,
    pub(super) call: &'a Call,
    pub(super) farm: &'a Farm,
    pub(super) client: &'a FarmClient,
    /// Whether the client proved itself.
    pub(super) is_proven: bool,
}

/// An error of a farm's, with its number.
pub(super) fn msis(number: u32, error: &str, text: &str) -> Box<Fault> {
    Fault::plain(error, format!("MSIS{number}: {text}"))
}

/// A parameter that must be there.
pub(super) fn needed<'a>(call: &'a Call, name: &str) -> Outcome<&'a str> {
    let text = format!("Received invalid OAuth request. The '{name}' parameter is missing.");
    call.param(name).ok_or_else(|| msis(9600, "invalid_request", &text))
}

// === impl FarmAsk ===

impl<'a> FarmAsk<'a> {
    /// The web API that is asked for, by `resource` or by the part of a scope before its last slash; none: none is named.
    pub(super) fn resource(&self, scope: &str) -> Outcome<Option<String>> {
        let sent = self.call.param("resource").map(str::to_owned);
        let of_scope = |one: &str| one.rsplit_once('/').map(|(resource, _)| resource.trim_end_matches('/').to_owned());
        let in_scope = scope.split_whitespace().filter(|one| !OWN_SCOPES.contains(one)).find_map(of_scope);
        let Some(resource) = sent.or(in_scope) else { return Ok(None) };
        if !self.farm.has_resource(&resource) {
            let text = "The received 'resource' parameter is invalid. The authorization server can not find a registered resource \
                        with the specified identifier.";
            return Err(msis(9602, "invalid_resource", text));
        }
        if !self.client.resources.contains(&resource) {
            let text =
                "Received invalid OAuth request. The client is forbidden to access the resource with the specified identifier.";
            return Err(msis(9605, "unauthorized_client", text));
        }
        Ok(Some(resource))
    }

    /// A session that begins.
    pub(super) fn session(&self, person: Person, scope: &str) -> Session {
        Session {
            client_id: self.client.client_id.clone(),
            place: PLACE.to_owned(),
            person,
            scope: scope.to_owned(),
            sid: jose::random(),
            public: !self.is_proven,
            ..Session::default()
        }
    }

    /// A token for the app itself.
    pub(super) fn app_answer(&self, resource: &str) -> Value {
        Value::Object(self.answer(None, resource, "openid"))
    }

    /// Tokens for a user. A refresh token comes of `offline_access`, an id token of `openid`.
    pub(super) fn user_answer(&self, session: &Session, scope: &str) -> Outcome<Value> {
        let resource = self.resource(scope)?.unwrap_or_else(|| USER_INFO.to_owned());
        let has = |name: &str| scope.split_whitespace().any(|one| one == name);
        let granted: Vec<&str> = scope.split_whitespace().filter(|one| OWN_SCOPES.contains(one)).collect();
        let mut body = self.answer(Some(&session.person), &resource, &granted.join(" "));
        if has("offline_access") {
            body.insert("refresh_token".to_owned(), json!(self.world.issued().add_refresh(session.clone())));
            body.insert("refresh_token_expires_in".to_owned(), json!(604_800));
        }
        if has("openid") {
            let claims = tokens::id_claims(self.world, self.call, &self.client.client_id, session);
            body.insert("id_token".to_owned(), json!(self.world.sign(&claims)));
        }
        Ok(Value::Object(body))
    }

    fn answer(&self, person: Option<&Person>, resource: &str, scope: &str) -> Map<String, Value> {
        let lifetime = self.call.lifetime.unwrap_or(self.farm.token_lifetime);
        let access = FarmAccess { client: self.client, person, resource, scope, lifetime };
        let mut body = Map::new();
        body.insert("access_token".to_owned(), json!(self.world.sign(&access.claims(self.world, self.call))));
        body.insert("token_type".to_owned(), json!("bearer"));
        body.insert("expires_in".to_owned(), json!(lifetime));
        body.insert("resource".to_owned(), json!(resource));
        if !scope.is_empty() {
            body.insert("scope".to_owned(), json!(scope));
        }
        body
    }
}
