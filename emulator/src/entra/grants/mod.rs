//! Entra's token endpoint: what is common to all grants, and which file has which. The device code's is with its page.

mod authorization_code;
mod client_credentials;
mod on_behalf_of;
mod password;
mod refresh_token;
mod saml_bearer;

use serde_json::Value;

use super::{
    ask::{self, Ask, needed},
    client, device,
    home::{self, Home},
};
use crate::{
    call::Call,
    fault::{Fault, Outcome},
    saml::Format,
    world::World,
};

pub(crate) fn redeem(world: &World, call: &Call) -> Outcome<Value> {
    if let Some(name) = call.repeated() {
        return Err(Fault::says(
            9_000_411,
            format!("The request is not properly formatted. The parameter '{name}' is duplicated."),
        ));
    }
    let home = home::home(world, call)?;
    let grant = needed(call, "grant_type")?;
    if call.region.is_some() && (grant != "client_credentials" || matches!(home, Home::Many)) {
        return Err(Fault::says(
            9_002_313,
            format!("The grant '{grant}' is not served at a regional endpoint, or not for this tenant."),
        ));
    }
    let app = ask::client(world, call, home)?;
    client::may_present(call, app, grant)?;
    let proof = client::prove(world, call, app)?;
    let (requested, wants_login_hint) = ask::requested(call)?;
    let ask = Ask { world, call, home, client: app, proof, requested, wants_login_hint };
    match grant {
        "client_credentials" => client_credentials::redeem(&ask),
        "authorization_code" => authorization_code::redeem(&ask),
        "refresh_token" => refresh_token::redeem(&ask),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => on_behalf_of::redeem(&ask),
        saml_bearer::ONE => saml_bearer::redeem(&ask, Format::One),
        saml_bearer::TWO => saml_bearer::redeem(&ask, Format::Two),
        "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => device::poll(&ask),
        "password" => password::redeem(&ask),
        other => Err(Fault::says(70003, format!("The app requested an unsupported grant type '{other}'."))),
    }
}
