//! A refresh token to order, as if its user had signed in before: for whoever takes over tokens of other programs.

use serde::Deserialize;
use serde_json::{Value, json};

use super::mint::app;
use crate::{entra::home, issued::Session, jose, oidc::realm, world::World};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionOrder {
    /// Of this realm, else of the user's tenant.
    realm: Option<String>,
    /// Whose it is: an app's name or client id, or a client id of the realm.
    client: String,
    user: String,
    scope: String,
    /// As if the client had not proved itself.
    #[serde(default)]
    public: bool,
    /// Its answers name nobody: they have no id token and no `client_info`.
    #[serde(default)]
    bare: bool,
}

pub(crate) fn begin(world: &World, text: &[u8]) -> Result<Value, String> {
    let order: SessionOrder = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let nobody = || format!("no user {:?}", order.user);
    let (client_id, place, person) = match &order.realm {
        Some(name) => {
            let of = world.directory.realm(name).ok_or_else(|| format!("no realm {name:?}"))?;
            let client = of.client(&order.client).ok_or_else(|| format!("no client {:?}", order.client))?;
            let person = of.user(&order.user).map(realm::person).ok_or_else(nobody)?;
            (client.client_id.clone(), format!("oidc/{name}"), person)
        }
        None => {
            let client = app(world, &order.client)?;
            let person = world.directory.user(&order.user).map(home::person).ok_or_else(nobody)?;
            let place = person.tenant.clone();
            (client.client_id.clone(), place, person)
        }
    };
    let sid = jose::random();
    let (scope, public, bare) = (order.scope, order.public, order.bare);
    let session = Session { client_id, place, person, scope, sid: sid.clone(), public, bare, nonce: None };
    Ok(json!({"refresh_token": world.issued().add_refresh(session), "sid": sid}))
}
