//! Entra's tokens: the claims of both versions, for users and for apps, as large as the real ones.

use serde_json::{Map, Value, json};

use super::scopes::Asked;
use crate::{
    ciam,
    issued::Person,
    jose::{self, put},
    registration::{App, Tenant},
    world::World,
};

/// Bytes that an access token is filled up to; real ones have 1.2 to 1.7 kB.
const SIZE: usize = 1_400;
/// What header, signature and separators take of them, about.
const FRAME: usize = 480;

/// Whose name stands in `iss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Issuer<'a> {
    /// A tenant, by its id.
    Tenant(&'a str),
    /// An external tenant, by its id: it issues on a host of that name, and in one version.
    External(&'a str),
}

/// How the client proved itself, as `appidacr` and `azpacr` count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    None,
    Secret,
    Assertion,
}

/// All that an access token is made of.
pub(crate) struct Access<'a> {
    pub(crate) issuer: Issuer<'a>,
    pub(crate) client: &'a App,
    pub(crate) proof: Proof,
    pub(crate) resource: &'a App,
    pub(crate) version: u8,
    pub(crate) lifetime: i64,
    /// Claims that were asked for by `claims`.
    pub(crate) requested: Map<String, Value>,
}

// === impl Issuer ===

impl<'a> Issuer<'a> {
    /// The tenant of this id.
    pub(crate) fn of(world: &World, tenant: &'a str) -> Self {
        let is_it = |one: &&Tenant| one.id == tenant;
        let external = world.directory.tenants.iter().find(is_it).is_some_and(|tenant| tenant.external.is_some());
        if external { Self::External(tenant) } else { Self::Tenant(tenant) }
    }

    fn tenant(self) -> &'a str {
        match self {
            Self::Tenant(tenant) | Self::External(tenant) => tenant,
        }
    }

    pub(crate) fn v1(self, world: &World) -> String {
        match self {
            Self::Tenant(tenant) => format!("{}/{tenant}/", world.origin),
            Self::External(tenant) => format!("https://sts.windows.net/{tenant}/"),
        }
    }

    pub(crate) fn v2(self, world: &World) -> String {
        match self {
            Self::Tenant(tenant) => format!("{}/{tenant}/v2.0", world.origin),
            Self::External(tenant) => ciam::issuer(tenant),
        }
    }
}

// === impl Access ===

impl Access<'_> {
    /// Claims of a token that a user delegated.
    pub(crate) fn of_user(&self, world: &World, person: &Person, scp: &str) -> Map<String, Value> {
        let mut claims = self.common(world);
        put(&mut claims, "scp", scp);
        put(&mut claims, "oid", &person.id);
        put(&mut claims, "name", &person.name);
        put(&mut claims, "sub", pairwise(&person.id, &self.resource.client_id));
        put(&mut claims, "sid", random_id());
        let methods = if person.strong { json!(["pwd", "mfa"]) } else { json!(["pwd"]) };
        if self.version == 1 {
            put(&mut claims, "acr", "1");
            claims.insert("amr".to_owned(), methods);
            put(&mut claims, "ipaddr", "127.0.0.1");
            put(&mut claims, "upn", &person.username);
            put(&mut claims, "unique_name", &person.username);
            if let Some((given, family)) = person.name.split_once(' ') {
                put(&mut claims, "given_name", given);
                put(&mut claims, "family_name", family);
            }
        } else {
            put(&mut claims, "preferred_username", &person.username);
            if person.strong {
                claims.insert("amr".to_owned(), methods);
            }
        }
        self.fill(claims)
    }

    /// Claims of a token that an app has for itself.
    pub(crate) fn of_app(&self, world: &World) -> Map<String, Value> {
        let mut claims = self.common(world);
        let principal = principal_id(&self.client.client_id, self.issuer);
        put(&mut claims, "idtyp", "app");
        put(&mut claims, "oid", &principal);
        put(&mut claims, "sub", &principal);
        if self.version == 1 {
            put(&mut claims, "idp", self.issuer.v1(world));
        }
        if let Some(roles) = self.client.roles.get(&self.resource.name) {
            claims.insert("roles".to_owned(), json!(roles));
        }
        self.fill(claims)
    }

    fn common(&self, world: &World) -> Map<String, Value> {
        let now = world.now();
        let mut claims = Map::new();
        let proof = match self.proof {
            Proof::None => "0",
            Proof::Secret => "1",
            Proof::Assertion => "2",
        };
        if self.version == 1 {
            put(&mut claims, "aud", self.resource.identifier_uris.first().unwrap_or(&self.resource.client_id));
            put(&mut claims, "iss", self.issuer.v1(world));
            put(&mut claims, "appid", &self.client.client_id);
            put(&mut claims, "appidacr", proof);
            put(&mut claims, "ver", "1.0");
        } else {
            put(&mut claims, "aud", &self.resource.client_id);
            put(&mut claims, "iss", self.issuer.v2(world));
            put(&mut claims, "azp", &self.client.client_id);
            put(&mut claims, "azpacr", proof);
            put(&mut claims, "ver", "2.0");
        }
        for (name, value) in [("iat", now), ("nbf", now), ("exp", now + self.lifetime)] {
            claims.insert(name.to_owned(), json!(value));
        }
        put(&mut claims, "tid", self.issuer.tenant());
        put(&mut claims, "uti", &jose::random()[..22]);
        put(&mut claims, "rh", format!("1.{}.", jose::random()));
        claims
    }

    /// The requested claims, and an `aio` that makes the token as long as a real one.
    fn fill(&self, mut claims: Map<String, Value>) -> Map<String, Value> {
        claims.extend(self.requested.clone());
        let bare = serde_json::to_vec(&claims).map_or(0, |text| text.len());
        let missing = ((SIZE - FRAME) * 3 / 4).saturating_sub(bare + 9);
        let mut filler = String::new();
        while filler.len() < missing.max(40) {
            filler.push_str(&jose::random());
        }
        filler.truncate(missing.max(40));
        put(&mut claims, "aio", filler);
        claims
    }
}

/// Claims of an id token.
pub(crate) fn id_claims(
    world: &World,
    issuer: Issuer<'_>,
    client: &App,
    person: &Person,
    asked: &Asked<'_>,
    nonce: Option<&str>,
) -> Map<String, Value> {
    let mut claims = bare_id_claims(world, issuer, &client.client_id, person);
    if asked.profile || asked.email {
        put(&mut claims, "name", &person.name);
        put(&mut claims, "preferred_username", &person.username);
    }
    if asked.email {
        put(&mut claims, "email", &person.username);
    }
    if let Some(nonce) = nonce {
        put(&mut claims, "nonce", nonce);
    }
    claims
}

/// Those that every id token has.
pub(crate) fn bare_id_claims(world: &World, issuer: Issuer<'_>, client_id: &str, person: &Person) -> Map<String, Value> {
    let now = world.now();
    let mut claims = Map::new();
    put(&mut claims, "aud", client_id);
    put(&mut claims, "iss", issuer.v2(world));
    for (name, value) in [("iat", now), ("nbf", now), ("exp", now + 3_600)] {
        claims.insert(name.to_owned(), json!(value));
    }
    put(&mut claims, "sub", pairwise(&person.id, client_id));
    put(&mut claims, "uti", &jose::random()[..22]);
    put(&mut claims, "rh", format!("1.{}.", jose::random()));
    put(&mut claims, "oid", &person.id);
    put(&mut claims, "tid", issuer.tenant());
    put(&mut claims, "ver", "2.0");
    claims
}

pub(crate) fn client_info(person: &Person) -> String {
    jose::encode(json!({"uid": person.id, "utid": person.tenant}).to_string())
}

/// What names a person to the sign-out and sign-in pages, of no meaning to anybody else.
pub(crate) fn login_hint(person: &Person) -> String {
    format!("O.{}", jose::encode(format!("{} {}", person.id, person.tenant)))
}

/// The object id of the person that a `login_hint` claim names.
pub(crate) fn hinted(hint: &str) -> Option<String> {
    let text = String::from_utf8(jose::decode(hint.strip_prefix("O.")?)?).ok()?;
    text.split_once(' ').map(|(id, _)| id.to_owned())
}

/// The service principal of an app in a tenant: one id for ever, without a list of them.
pub(crate) fn principal_id(client_id: &str, issuer: Issuer<'_>) -> String {
    let place = issuer.tenant();
    let mut bytes = [0; 16];
    let hash = jose::sha256(format!("principal {place} {client_id}"));
    bytes.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// One user is another subject at each app (OIDC Core §8).
fn pairwise(oid: &str, client_id: &str) -> String {
    jose::encode(jose::sha256(format!("subject {oid} {client_id}")))
}

fn random_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
