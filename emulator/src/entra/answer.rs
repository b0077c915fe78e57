//! What a token request to Entra is answered with, and whom it is refused for.

use serde_json::{Map, Value, json};

use super::{
    ask::Ask,
    home::Home,
    saml, scopes,
    tokens::{self, Access, Issuer},
};
use crate::{
    fault::{Fault, Outcome},
    issued::{Person, Session},
    jose::{self, put},
    registration::App,
    saml::{Format, encode},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

// === impl Ask ===

impl<'a> Ask<'a> {
    /// A code or refresh token is good where it was issued.
    pub(crate) fn at_home(&self, session: &Session) -> Outcome<()> {
        let good = match self.home {
            Home::Tenant(tenant) => session.place == tenant.id,
            Home::Many => self.world.directory.tenants.iter().any(|tenant| tenant.id == session.place),
        };
        if good { Ok(()) } else { Err(Fault::says(70000, "The grant was issued for another tenant.")) }
    }

    /// Refuses a person who needs more than a password in this flow.
    pub(crate) fn may(&self, person: &Person, flow: &str) -> Outcome<()> {
        if person.mfa.iter().any(|one| one == flow) && !person.strong {
            return Err(Fault::says(
                50076,
                format!(
                    "Due to a configuration change made by your administrator, you must use multi-factor authentication to \
                     access '{}'.",
                    self.client.client_id
                ),
            ));
        }
        Ok(())
    }

    fn access<'b>(&'b self, issuer: Issuer<'b>, resource: &'b App) -> Access<'b> {
        Access {
            issuer,
            client: self.client,
            proof: self.proof,
            resource,
            version: match issuer {
                Issuer::External(_) => 2,
                Issuer::Tenant(_) => resource.access_token_version,
            },
            lifetime: self.call.lifetime.unwrap_or(resource.token_lifetime),
            requested: self.requested.clone(),
        }
    }

    /// A token for the app itself.
    pub(crate) fn app_answer(&self, tenant: &'a str, resource: &'a App) -> Value {
        let access = self.access(Issuer::of(self.world, tenant), resource);
        let token = self.world.sign(&access.of_app(self.world));
        Value::Object(self.answer(token, access.lifetime))
    }

    /// Tokens for a user who has no session yet.
    pub(crate) fn new_session(&self, person: Person, scope: String, public: bool) -> Outcome<Value> {
        self.user_answer(&self.session(person, scope, public))
    }

    /// What on-behalf-of is answered with: tokens, or where `requested_token_type` says so a SAML assertion in the place of the
    /// access token.
    pub(crate) fn delegated(&self, person: Person, scope: String) -> Outcome<Value> {
        let session = self.session(person, scope, false);
        let Some(kind) = self.call.param("requested_token_type").filter(|kind| *kind != ACCESS_TOKEN) else {
            return self.user_answer(&session);
        };
        let format = Format::of_type(kind)
            .ok_or_else(|| Fault::says(9_002_313, format!("The requested_token_type '{kind}' is not supported.")))?;
        let mut body = self.user_answer(&session)?;
        let resource = scopes::parse(self.world, &session.person.tenant, &session.scope)?.resource;
        let lifetime = self.call.lifetime.unwrap_or(resource.token_lifetime);
        let assertion = saml::assertion(
            self.world,
            Issuer::of(self.world, &session.person.tenant),
            format,
            &session.person,
            resource,
            lifetime,
        );
        body["access_token"] = json!(encode(&assertion));
        body["issued_token_type"] = json!(kind);
        Ok(body)
    }

    fn session(&self, person: Person, scope: String, public: bool) -> Session {
        let (client_id, place) = (self.client.client_id.clone(), person.tenant.clone());
        Session { client_id, place, person, scope, sid: jose::random(), public, ..Session::default() }
    }

    /// Tokens for a user who has a session. A scope that is sent counts, and may be another resource's; what the user agreed to at
    /// once may be of several, of which a token is for one.
    pub(crate) fn again(&self, session: Session) -> Outcome<Value> {
        if let Some(scope) = self.call.param("scope") {
            return self.user_answer(&Session { scope: scope.to_owned(), ..session });
        }
        if scopes::parse_all(self.world, &session.person.tenant, &session.scope)?.len() > 1 {
            return Err(Fault::says(
                28003,
                "Provided value for the input parameter scope cannot be empty when requesting an access token using the provided \
                 authorization code. Please specify a valid scope.",
            ));
        }
        self.user_answer(&session)
    }

    /// Tokens for a user.
    pub(crate) fn user_answer(&self, session: &Session) -> Outcome<Value> {
        let (world, person) = (self.world, &session.person);
        let asked = scopes::parse(world, &person.tenant, &session.scope)?;
        let granted = asked.grant(world, self.client, person)?;
        let issuer = Issuer::of(world, &person.tenant);
        let access = self.access(issuer, asked.resource);
        let token = world.sign(&access.of_user(world, person, &granted.scp));
        let mut body = self.answer(token, access.lifetime);
        body.insert("scope".to_owned(), json!(granted.scope));
        if asked.offline_access {
            body.insert("refresh_token".to_owned(), json!(world.issued().add_refresh(session.clone())));
        }
        if session.bare {
            return Ok(Value::Object(body));
        }
        if asked.openid {
            let mut claims = tokens::id_claims(world, issuer, self.client, person, &asked, session.nonce.as_deref());
            if self.wants_login_hint || self.client.optional_claims.iter().any(|claim| claim == "login_hint") {
                put(&mut claims, "login_hint", tokens::login_hint(person));
            }
            body.insert("id_token".to_owned(), json!(world.sign(&claims)));
        }
        if self.call.param("client_info").is_some() {
            body.insert("client_info".to_owned(), json!(tokens::client_info(person)));
        }
        Ok(Value::Object(body))
    }

    fn answer(&self, token: String, lifetime: i64) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("token_type".to_owned(), json!("Bearer"));
        body.insert("expires_in".to_owned(), json!(lifetime));
        body.insert("ext_expires_in".to_owned(), json!(lifetime));
        // As Entra: only tokens that live long say when to renew them.
        if lifetime >= 7_200 {
            body.insert("refresh_in".to_owned(), json!(lifetime / 2));
        }
        body.insert("access_token".to_owned(), json!(token));
        body
    }
}
