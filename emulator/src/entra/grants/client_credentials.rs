//! Client credentials: a token for the app itself, which needs a tenant.

use serde_json::Value;

use crate::{
    entra::{
        ask::{Ask, needed},
        client,
        home::Home,
        scopes,
    },
    fault::{Fault, Outcome},
};

pub(crate) fn redeem(ask: &Ask<'_>) -> Outcome<Value> {
    client::required(ask.proof)?;
    let tenant = match ask.home {
        Home::Many => {
            return Err(Fault::says(
                50059,
                "No tenant-identifying information found in the request: client credentials need a tenant.",
            ));
        }
        Home::Tenant(tenant) => tenant.id.as_str(),
    };
    let scope = needed(ask.call, "scope")?;
    let resource = scopes::default_of(ask.world, tenant, scope)?;
    Ok(ask.app_answer(tenant, resource))
}
