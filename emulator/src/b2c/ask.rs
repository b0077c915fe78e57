//! A token request to a policy, and what it is answered with.

use serde_json::{Map, Value, json};

use super::{
    asked::{AskedPolicy, aadb2c},
    registration::PolicyApp,
    tokens::{self, PolicyAccess},
};
use crate::{
    basic,
    fault::Outcome,
    issued::{Person, Session},
    jose,
};

/// The scopes of no API.
const OWN_SCOPES: [&str; 4] = ["openid", "offline_access", "profile", "email"];

/// A token request whose client is known.
pub(super) struct PolicyAsk<'a> {
    pub(super) at: AskedPolicy<'a>,
    pub(super) client: &'a PolicyApp,
}

/// What a `scope` asks for.
pub(super) struct Wanted<'a> {
    openid: bool,
    offline: bool,
    /// The API, and the names of its scopes; none: no API is asked for, and no access token is issued.
    api: Option<(&'a PolicyApp, Vec<String>)>,
}

/// A parameter that must be there.
pub(super) fn needed<'a>(at: AskedPolicy<'a>, name: &str) -> Outcome<&'a str> {
    let text = format!("The request does not contain the required parameter '{name}'.");
    at.call.param(name).ok_or_else(|| aadb2c(90_053, "invalid_request", &text))
}

/// The client, if it proves itself; one that has nothing to prove itself by is a public one.
pub(super) fn client<'a>(at: AskedPolicy<'a>) -> Outcome<&'a PolicyApp> {
    let basic = basic::sent(at.call);
    let id = match &basic {
        Some((id, _)) => id.as_str(),
        None => needed(at, "client_id")?,
    };
    let client = at.tenant.app(id).ok_or_else(|| {
        let text = format!("The client '{id}' is not known in this tenant.");
        aadb2c(90_007, "unauthorized_client", &text)
    })?;
    let secret = basic.map(|(_, secret)| secret).or_else(|| at.call.param("client_secret").map(str::to_owned));
    match secret {
        None if client.public => Ok(client),
        None => {
            let text = "Clients must send a client_secret when redeeming a confidential grant.";
            Err(aadb2c(90_079, "invalid_request", text))
        }
        Some(secret) if client.secrets.contains(&secret) => Ok(client),
        Some(_) => {
            let text = "The specified client_secret does not match the expected value for this client.";
            Err(aadb2c(90_081, "invalid_client", text))
        }
    }
}

// === impl PolicyAsk ===

impl<'a> PolicyAsk<'a> {
    pub(super) fn wanted(&self, scope: &str) -> Outcome<Wanted<'a>> {
        let has = |name: &str| scope.split_whitespace().any(|one| one == name);
        let mut wanted = Wanted { openid: has("openid"), offline: has("offline_access"), api: None };
        for one in scope.split_whitespace().filter(|one| !OWN_SCOPES.contains(one)) {
            // The client's own id asks for a token for the client itself.
            let found = if one == self.client.client_id { Some((self.client, String::new())) } else { self.at.tenant.api(one) };
            let (api, name) = found.filter(|(api, _)| self.may(api, one)).ok_or_else(|| {
                aadb2c(90_117, "invalid_request", &format!("The scope '{one}' provided in request is not supported."))
            })?;
            match &mut wanted.api {
                None => wanted.api = Some((api, vec![name])),
                Some((known, names)) if known.client_id == api.client_id => names.push(name),
                Some(_) => {
                    let text = "The scope provided in request specifies more than one resource for an access token.";
                    return Err(aadb2c(90_146, "invalid_request", text));
                }
            }
        }
        Ok(wanted)
    }

    fn may(&self, api: &PolicyApp, scope: &str) -> bool {
        api.client_id == self.client.client_id || scope.ends_with("/.default") || self.client.granted.iter().any(|one| one == scope)
    }

    /// A code or refresh token of another policy is none here.
    pub(super) fn is_of_this_policy(&self, session: &Session) -> Outcome<()> {
        let place = self.at.place();
        if session.place == place {
            return Ok(());
        }
        let policy = |place: &str| place.rsplit('/').next().unwrap_or_default().to_owned();
        let text = format!(
            "The provided grant has not been issued for this endpoint. Actual Value : {} and Expected Value : {}",
            policy(&session.place),
            policy(&place)
        );
        Err(aadb2c(90_088, "invalid_grant", &text))
    }

    pub(super) fn session(&self, person: Person, scope: &str) -> Session {
        let (client_id, place) = (self.client.client_id.clone(), self.at.place());
        Session { client_id, place, person, scope: scope.to_owned(), sid: jose::random(), ..Session::default() }
    }

    /// Tokens for a user: an access token only if an API is asked for.
    pub(super) fn user_answer(&self, session: &Session, scope: &str) -> Outcome<Value> {
        let (world, call) = (self.at.world, self.at.call);
        let wanted = self.wanted(scope)?;
        let now = world.now();
        let mut body = Map::new();
        body.insert("token_type".to_owned(), json!("Bearer"));
        body.insert("not_before".to_owned(), json!(now));
        if let Some((api, names)) = &wanted.api {
            let scp = names.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>().join(" ");
            let lifetime = call.lifetime.unwrap_or(api.token_lifetime);
            let access = PolicyAccess { at: self.at, client: self.client, person: Some(&session.person), api, scp: &scp, lifetime };
            body.insert("access_token".to_owned(), json!(world.sign(&access.claims())));
            body.insert("expires_in".to_owned(), json!(lifetime));
            body.insert("expires_on".to_owned(), json!(now + lifetime));
            body.insert("resource".to_owned(), json!(api.client_id));
            let named = scope.split_whitespace().filter(|one| !OWN_SCOPES.contains(one));
            body.insert("scope".to_owned(), json!(named.collect::<Vec<_>>().join(" ")));
        }
        if wanted.openid && !session.bare {
            let claims = tokens::id_claims(self.at, &self.client.client_id, session);
            body.insert("id_token".to_owned(), json!(world.sign(&claims)));
            body.insert("id_token_expires_in".to_owned(), json!(3_600));
            if call.param("client_info").is_some() {
                body.insert("client_info".to_owned(), json!(tokens::client_info(self.at, &session.person)));
            }
        }
        if wanted.offline {
            body.insert("refresh_token".to_owned(), json!(world.issued().add_refresh(session.clone())));
            body.insert("refresh_token_expires_in".to_owned(), json!(1_209_600));
        }
        Ok(Value::Object(body))
    }

    /// A token for the app itself.
    pub(super) fn app_answer(&self, scope: &str) -> Outcome<Value> {
        let only = scope.split_whitespace().filter(|one| !OWN_SCOPES.contains(one)).collect::<Vec<_>>();
        let api = match only.as_slice() {
            [one] if one.ends_with("/.default") => self.at.tenant.api(one).map(|(api, _)| api),
            _ => None,
        };
        let Some(api) = api else {
            return Err(aadb2c(90_117, "invalid_request", &format!("The scope '{scope}' provided in request is not supported.")));
        };
        let lifetime = self.at.call.lifetime.unwrap_or(api.token_lifetime);
        let access = PolicyAccess { at: self.at, client: self.client, person: None, api, scp: "", lifetime };
        let now = self.at.world.now();
        Ok(json!({
            "access_token": self.at.world.sign(&access.claims()),
            "token_type": "Bearer",
            "not_before": now,
            "expires_in": lifetime,
            "expires_on": now + lifetime,
            "resource": api.client_id,
        }))
    }
}
