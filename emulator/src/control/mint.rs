//! Tokens to order, for tests of whoever validates them: expired, foreign, of the wrong kind, by the wrong key.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    entra::{
        home,
        tokens::{self, Access, Issuer, Proof},
    },
    issued::{Person, Session},
    jose::put,
    keys::{self, Which},
    oidc::{
        realm,
        tokens::{self as realm_tokens, RealmAccess},
    },
    registration::{App, Realm},
    world::World,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    #[serde(default)]
    kind: Kind,
    /// Name, id or domain. Without it the user's, else the app's.
    tenant: Option<String>,
    /// Mints for this realm instead of a tenant; `app` is then the audience as it stands, `client` a client id.
    realm: Option<String>,
    /// The app that the token is for: name or client id.
    app: String,
    /// The app that got it: name or client id.
    client: Option<String>,
    user: Option<String>,
    /// An array or one string; without it all that the app has.
    scopes: Option<Value>,
    version: Option<u8>,
    #[serde(default = "hour")]
    lifetime: i64,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    key: Which,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Access,
    Id,
    App,
}

fn hour() -> i64 {
    3_600
}

pub(crate) fn mint(world: &World, text: &[u8]) -> Result<Value, String> {
    let order: Order = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut header = Map::new();
    let mut claims = match &order.realm {
        Some(name) => {
            let realm = world.directory.realm(name).ok_or_else(|| format!("no realm {name:?}"))?;
            if order.kind != Kind::Id {
                header.insert("typ".to_owned(), json!("at+jwt"));
            }
            order.of_realm(world, realm)?
        }
        None => order.of_tenant(world)?,
    };
    keys::merge(&mut claims, &order.claims);
    // Kept even if null: null removes a member that signing would add.
    header.extend(order.header.clone());
    let resource = app(world, &order.app).map_or("", |app| &app.client_id);
    let key = world.keys().choose_for(order.key, resource).ok_or("there is no old key yet: rotate first")?;
    let token = key.sign(&header, &claims).ok_or("signing failed")?;
    Ok(json!({"token": token, "claims": claims}))
}

/// A token with these claims and no others, of whatever authority they say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtOrder {
    claims: Map<String, Value>,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    key: Which,
}

pub(crate) fn signed(world: &World, text: &[u8]) -> Result<Value, String> {
    let order: JwtOrder = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let key = world.keys().choose(order.key).ok_or("there is no old key yet: rotate first")?;
    Ok(json!({"token": key.sign(&order.header, &order.claims).ok_or("signing failed")?}))
}

pub(super) fn app<'a>(world: &'a World, name: &str) -> Result<&'a App, String> {
    let found = world.directory.apps.iter().find(|app| app.name == name || app.is_audience(name));
    found.ok_or_else(|| format!("no app {name:?}"))
}

// === impl Order ===

impl Order {
    fn of_tenant(&self, world: &World) -> Result<Map<String, Value>, String> {
        let resource = app(world, &self.app)?;
        let client = match &self.client {
            Some(name) => app(world, name)?,
            None => world.directory.apps.first().unwrap_or(resource),
        };
        let person = self.person(world, resource)?;
        let tenant = match &self.tenant {
            Some(name) => world.directory.tenant_called(name).ok_or_else(|| format!("no tenant {name:?}"))?.id.clone(),
            None => person.tenant.clone(),
        };
        let issuer = Issuer::of(world, &tenant);
        let version = self.version.unwrap_or(resource.access_token_version);
        if !matches!(version, 1 | 2) {
            return Err("version is 1 or 2".to_owned());
        }
        let access =
            Access { issuer, client, proof: Proof::Secret, resource, version, lifetime: self.lifetime, requested: Map::new() };
        Ok(match self.kind {
            Kind::Access => access.of_user(world, &person, &self.scope(&resource.scopes)?),
            Kind::App => access.of_app(world),
            Kind::Id => {
                let mut claims = tokens::bare_id_claims(world, issuer, &resource.client_id, &person);
                claims.insert("exp".to_owned(), json!(world.now() + self.lifetime));
                put(&mut claims, "name", &person.name);
                put(&mut claims, "preferred_username", &person.username);
                claims
            }
        })
    }

    fn person(&self, world: &World, resource: &App) -> Result<Person, String> {
        let user = match &self.user {
            Some(name) => Some(world.directory.user(name).ok_or_else(|| format!("no user {name:?}"))?),
            None => {
                let wanted = self.tenant.as_ref().and_then(|name| world.directory.tenant_called(name));
                let tenant = wanted.map_or(&resource.tenant, |tenant| &tenant.id);
                world.directory.users.iter().find(|user| user.tenant == *tenant)
            }
        };
        user.map(home::person).ok_or_else(|| "the tenant has no user".to_owned())
    }

    fn of_realm(&self, world: &World, realm: &Realm) -> Result<Map<String, Value>, String> {
        let user = match &self.user {
            Some(name) => Some(realm.user(name).ok_or_else(|| format!("no user {name:?}"))?),
            None => realm.users.first(),
        };
        let person = user.map(realm::person).unwrap_or_default();
        let client_id = self.client.as_deref().or_else(|| realm.clients.first().map(|client| client.client_id.as_str()));
        let client_id = client_id.unwrap_or_default();
        if self.kind == Kind::Id {
            let session = Session { client_id: client_id.to_owned(), person, ..Session::default() };
            let mut claims = realm_tokens::id_claims(world, realm, &self.app, &session, "");
            claims.insert("exp".to_owned(), json!(world.now() + self.lifetime));
            return Ok(claims);
        }
        let access = RealmAccess {
            client_id,
            audience: vec![self.app.clone()],
            person: (self.kind == Kind::Access).then_some(&person),
            sid: None,
            scope: &self.scope(&realm.scopes)?,
            lifetime: self.lifetime,
            bound_to: None,
        };
        Ok(access.claims(world, realm))
    }

    fn scope(&self, all: &[String]) -> Result<String, String> {
        match &self.scopes {
            None => Ok(all.join(" ")),
            Some(Value::String(scope)) => Ok(scope.clone()),
            Some(Value::Array(scopes)) => {
                let names: Option<Vec<&str>> = scopes.iter().map(Value::as_str).collect();
                names.map(|names| names.join(" ")).ok_or_else(|| "scopes are strings".to_owned())
            }
            Some(_) => Err("scopes is a string or an array of strings".to_owned()),
        }
    }
}
