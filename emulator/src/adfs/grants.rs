//! The grants of a farm: client credentials, codes, refresh tokens that may be used again, on-behalf-of, passwords. The device
//! code's is with its page.

use serde_json::Value;

use super::{
    ask::{FarmAsk, PLACE, USER_INFO, msis, needed},
    client, device, metadata,
    registration::Farm,
};
use crate::{
    assertion::SKEW,
    call::Call,
    fault::{Fault, Outcome},
    issued::Session,
    jose::Jws,
    world::World,
};

pub(super) fn redeem(world: &World, call: &Call, farm: &Farm) -> Outcome<Value> {
    if let Some(name) = call.repeated() {
        let text = format!("Received invalid OAuth request. The '{name}' parameter is there more than once.");
        return Err(msis(9603, "invalid_request", &text));
    }
    let grant = needed(call, "grant_type")?;
    let (client, is_proven) = client::prove(world, call, farm)?;
    // A client that has a credential shows it; a native one has none to show.
    if client.public == is_proven {
        return Err(client::refused());
    }
    let ask = FarmAsk { world, call, farm, client, is_proven };
    match grant {
        "client_credentials" => ask.client_credentials(),
        "authorization_code" => ask.authorization_code(),
        "refresh_token" => ask.refresh_token(),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => ask.on_behalf_of(),
        "password" => ask.password(),
        "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => device::poll(&ask),
        other => {
            let text = format!("Received invalid OAuth access token request. The grant type '{other}' is not supported.");
            Err(msis(9604, "unsupported_grant_type", &text))
        }
    }
}

// === impl FarmAsk ===

impl FarmAsk<'_> {
    fn confidential(&self) -> Outcome<()> {
        if self.is_proven { Ok(()) } else { Err(client::refused()) }
    }

    fn client_credentials(&self) -> Outcome<Value> {
        self.confidential()?;
        let scope = self.call.param("scope").unwrap_or_default();
        if scope.split_whitespace().any(|one| one != "openid") {
            return Err(not_a_scope());
        }
        let resource = self.resource("")?.unwrap_or_else(|| USER_INFO.to_owned());
        Ok(self.app_answer(&resource))
    }

    fn authorization_code(&self) -> Outcome<Value> {
        let (code, redirect_uri) = (needed(self.call, "code")?, needed(self.call, "redirect_uri")?);
        let verifier = self.call.param("code_verifier");
        let (world, now) = (self.world, self.world.now());
        let session = world.issued().redeem(code, &self.client.client_id, redirect_uri, verifier, now);
        let session = session.map_err(|_| {
            let text = "The authorization code received in 'code' parameter is invalid.";
            msis(9612, "invalid_grant", text)
        })?;
        let scope = self.call.param("scope").unwrap_or(&session.scope).to_owned();
        self.user_answer(&Session { public: !self.is_proven, ..session }, &scope)
    }

    fn refresh_token(&self) -> Outcome<Value> {
        let token = needed(self.call, "refresh_token")?;
        let session = self.world.issued().session(token, &self.client.client_id).filter(|session| session.place == PLACE);
        let invalid = || msis(9615, "invalid_grant", "The refresh token received in 'refresh_token' parameter has expired.");
        let session = session.ok_or_else(invalid)?;
        let scope = self.call.param("scope").unwrap_or(&session.scope).to_owned();
        self.user_answer(&Session { nonce: None, ..session }, &scope)
    }

    /// The web API is named by `resource` alone: scopes of an API are no scopes here.
    fn on_behalf_of(&self) -> Outcome<Value> {
        self.confidential()?;
        let assertion = needed(self.call, "assertion")?;
        if needed(self.call, "requested_token_use")? != "on_behalf_of" {
            return Err(msis(9600, "invalid_request", "The 'requested_token_use' parameter is invalid."));
        }
        let scope = self.call.param("scope").unwrap_or_default();
        if self.call.param("resource").is_none() || scope.contains('/') {
            return Err(not_a_scope());
        }
        let upn = self.verified(assertion)?;
        let user = self.farm.user(&upn).ok_or_else(|| not_accepted("its user is not known"))?;
        self.user_answer(&self.session(user.person(), scope), scope)
    }

    /// The user of an access token that was given to this client.
    fn verified(&self, text: &str) -> Outcome<String> {
        let jws = Jws::parse(text).ok_or_else(|| not_accepted("it is no token"))?;
        let key = self.world.keys().published_as(jws.head("kid"));
        if !key.is_some_and(|key| key.verify(&jws)) {
            return Err(not_accepted("its signature is not valid"));
        }
        if jws.text("iss") != metadata::trust(self.call) {
            return Err(not_accepted("its issuer is not this farm's token service"));
        }
        let own = self.client.identifier.as_deref();
        if !jws.audiences().iter().any(|aud| Some(*aud) == own) {
            return Err(not_accepted("it was given to another web API"));
        }
        let now = self.world.now();
        if jws.time("exp").is_none_or(|exp| exp <= now) || jws.time("nbf").is_some_and(|nbf| nbf - SKEW > now) {
            return Err(not_accepted("it is not within its valid time range"));
        }
        Ok(jws.text("upn").to_owned())
    }

    fn password(&self) -> Outcome<Value> {
        let (username, given) = (needed(self.call, "username")?, needed(self.call, "password")?);
        let scope = self.call.param("scope").unwrap_or_default();
        let user = self.farm.user(username).filter(|user| user.password == given);
        let user = user.ok_or_else(|| msis(9659, "invalid_grant", "Invalid 'username' or 'password'."))?;
        self.user_answer(&self.session(user.person(), scope), scope)
    }
}

fn not_a_scope() -> Box<Fault> {
    let text = "Received invalid OAuth access token request. The 'resource' parameter is missing: the web API is named by 'resource', \
                and not by a scope.";
    msis(9601, "invalid_request", text)
}

fn not_accepted(why: &str) -> Box<Fault> {
    msis(9623, "invalid_grant", &format!("Received invalid OAuth JWT Bearer request. The assertion is not accepted: {why}."))
}
