//! Entra's SAML assertions: who speaks, of whom, to which resource.

use super::tokens::Issuer;
use crate::{
    issued::Person,
    keys::Which,
    registration::App,
    saml::{Format, Statement},
    world::World,
};

/// Seconds before now that an assertion is good from.
const BEFORE: i64 = 300;

/// An assertion about a person, signed with the current key.
pub(crate) fn assertion(
    world: &World,
    issuer: Issuer<'_>,
    format: Format,
    person: &Person,
    resource: &App,
    lifetime: i64,
) -> String {
    let now = world.now();
    let statement = Statement {
        format,
        issuer: &issuer.v1(world),
        audience: resource.identifier_uris.first().unwrap_or(&resource.client_id),
        subject: &person.username,
        not_before: now - BEFORE,
        not_on_or_after: now + lifetime,
        attributes: attributes(person),
    };
    let key = world.keys().choose(Which::Current);
    key.and_then(|key| statement.sign(now, &key)).unwrap_or_default()
}

/// What an assertion says of a person beside their name.
pub(crate) fn attributes(person: &Person) -> Vec<(&'static str, &str)> {
    let mut all = vec![("tenantid", person.tenant.as_str()), ("objectidentifier", &person.id), ("displayname", &person.name)];
    if person.strong {
        all.push(("authnmethodsreferences", "http://schemas.microsoft.com/claims/multipleauthn"));
    }
    all.retain(|(_, value)| !value.is_empty());
    all
}
