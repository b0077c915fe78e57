//! On-behalf-of with a SAML assertion: one of this authority, or of an issuer that the user's tenant trusts.

use serde_json::Value;

use super::on_behalf_of::{on_behalf, wrong_audience};
use crate::{
    assertion::SKEW,
    entra::{
        ask::{Ask, needed},
        client,
        home::{Home, person},
        tokens::Issuer,
    },
    fault::{Fault, Outcome},
    issued::Person,
    registration::Tenant,
    saml::{Format, Received},
};

pub(super) const ONE: &str = "urn:ietf:params:oauth:grant-type:saml1_1-bearer";
pub(super) const TWO: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";

pub(super) fn redeem(ask: &Ask<'_>, format: Format) -> Outcome<Value> {
    client::required(ask.proof)?;
    let text = needed(ask.call, "assertion")?;
    on_behalf(ask)?;
    let scope = needed(ask.call, "scope")?.to_owned();
    let received = Received::decode(text).filter(|received| received.said.format == format);
    let received = received.ok_or_else(|| Fault::says(50013, "Assertion is malformed and cannot be read."))?;
    let tenant = trusting(ask, &received)?;
    let said = &received.said;
    if !said.audiences.iter().any(|aud| ask.client.is_audience(aud.strip_prefix("spn:").unwrap_or(aud))) {
        return Err(wrong_audience(ask, &said.audiences.join(" ")));
    }
    if !said.is_within(ask.world.now(), SKEW) {
        return Err(Fault::aadsts(500_133));
    }
    let person = subject(ask, &received, tenant)?;
    ask.may(&person, "obo")?;
    ask.delegated(person, scope)
}

/// The tenant for whose users the issuer speaks, if its key signed the assertion.
fn trusting<'a>(ask: &Ask<'a>, received: &Received) -> Outcome<&'a Tenant> {
    let (world, said) = (ask.world, &received.said);
    let here = |tenant: &&Tenant| match ask.home {
        Home::Tenant(home) => home.id == tenant.id,
        Home::Many => true,
    };
    let own = |tenant: &Tenant| Issuer::of(world, &tenant.id).v1(world) == said.issuer;
    for tenant in world.directory.tenants.iter().filter(here) {
        let named = said.key_name.as_deref().filter(|_| own(tenant));
        let mut keys: Vec<_> = named.and_then(|kid| world.keys().published_as(kid)).into_iter().collect();
        let others = tenant.saml_issuers.iter().filter(|one| one.issuer == said.issuer);
        keys.extend(others.filter_map(|one| one.certificate.parsed.as_ref()).map(|parsed| parsed.key.clone()));
        if keys.iter().any(|key| received.is_by(key)) {
            return Ok(tenant);
        }
    }
    Err(Fault::says(
        50013,
        format!(
            "Assertion failed signature validation. [Reason - No key of the issuer '{}' that is trusted here signed it.]",
            said.issuer
        ),
    ))
}

/// The user by object id, else by name. Whom the directory does not know is taken from an own assertion alone, so that load tests
/// need no directory of 100,000 users.
fn subject(ask: &Ask<'_>, received: &Received, tenant: &Tenant) -> Outcome<Person> {
    let said = &received.said;
    let id = said.attribute("objectidentifier");
    let name = id.unwrap_or(&said.subject);
    if let Some(user) = ask.world.directory.user(name).filter(|user| user.tenant == tenant.id) {
        let strong = said.attribute("authnmethodsreferences") == Some("http://schemas.microsoft.com/claims/multipleauthn");
        return Ok(Person { strong, ..person(user) });
    }
    let id = id.ok_or_else(|| Fault::says(50034, format!("The user account {name} does not exist in the directory.")))?;
    Ok(Person {
        id: id.to_owned(),
        username: said.subject.clone(),
        name: said.attribute("displayname").unwrap_or_default().to_owned(),
        email: said.subject.clone(),
        tenant: tenant.id.clone(),
        ..Person::default()
    })
}
