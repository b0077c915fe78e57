//! SAML assertions to order: of a user, for an app, good or not.

use serde::Deserialize;
use serde_json::{Value, json};

use super::mint::app;
use crate::{
    entra::{home, saml::attributes, tokens::Issuer},
    issued::Person,
    keys::Which,
    oidc::realm,
    saml::{Format, Statement, encode},
    time,
    world::World,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SamlOrder {
    /// `1.1` or `2.0`.
    #[serde(default)]
    version: Format,
    /// Name, id or domain. Without it the user's.
    tenant: Option<String>,
    /// Mints for this realm instead of a tenant; `app` is then the audience as it stands.
    realm: Option<String>,
    /// The app that it is for: name or client id.
    app: String,
    user: String,
    /// What stands in it, where that is not what the above comes to.
    issuer: Option<String>,
    audience: Option<String>,
    subject: Option<String>,
    /// Seconds from now.
    #[serde(default = "before")]
    not_before: i64,
    #[serde(default = "hour")]
    lifetime: i64,
    /// The user gave more than a password.
    #[serde(default)]
    strong: bool,
    #[serde(default)]
    key: Which,
}

fn before() -> i64 {
    -300
}

fn hour() -> i64 {
    3_600
}

pub(crate) fn mint(world: &World, text: &[u8]) -> Result<Value, String> {
    let order: SamlOrder = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let (person, issuer, audience) = order.parties(world)?;
    let now = world.now();
    let end = now + order.lifetime;
    let statement = Statement {
        format: order.version,
        issuer: order.issuer.as_ref().unwrap_or(&issuer),
        audience: order.audience.as_ref().unwrap_or(&audience),
        subject: order.subject.as_ref().unwrap_or(if order.realm.is_some() { &person.id } else { &person.username }),
        not_before: now + order.not_before,
        not_on_or_after: end,
        attributes: if order.realm.is_some() { Vec::new() } else { attributes(&person) },
    };
    let key = world.keys().choose(order.key).ok_or("there is no old key yet: rotate first")?;
    let assertion = statement.sign(now, &key).ok_or("signing failed")?;
    Ok(json!({
        "assertion": assertion,
        "encoded": encode(&assertion),
        "token_type": order.version.token_type(),
        "not_on_or_after": time::iso(end),
    }))
}

// === impl SamlOrder ===

impl SamlOrder {
    /// Whom it is about, who says so, and to whom.
    fn parties(&self, world: &World) -> Result<(Person, String, String), String> {
        let nobody = || format!("no user {:?}", self.user);
        if let Some(name) = &self.realm {
            let of = world.directory.realm(name).ok_or_else(|| format!("no realm {name:?}"))?;
            let person = of.user(&self.user).map(realm::person).ok_or_else(nobody)?;
            return Ok((person, realm::issuer(world, of), self.app.clone()));
        }
        let resource = app(world, &self.app)?;
        let person = Person { strong: self.strong, ..world.directory.user(&self.user).map(home::person).ok_or_else(nobody)? };
        let tenant = match &self.tenant {
            Some(name) => &world.directory.tenant_called(name).ok_or_else(|| format!("no tenant {name:?}"))?.id,
            None => &person.tenant,
        };
        let issuer = Issuer::of(world, tenant).v1(world);
        let audience = resource.identifier_uris.first().unwrap_or(&resource.client_id).clone();
        Ok((person, issuer, audience))
    }
}
