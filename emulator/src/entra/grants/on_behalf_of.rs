//! On-behalf-of: whose assertion it is, and whether it was given to this client.

use serde_json::Value;

use crate::{
    assertion::SKEW,
    entra::{
        ask::{Ask, needed},
        client,
        home::{Home, person},
        scopes,
        tokens::Issuer,
    },
    fault::{Fault, Outcome},
    issued::Person,
    jose::Jws,
};

pub(crate) fn redeem(ask: &Ask<'_>) -> Outcome<Value> {
    client::required(ask.proof)?;
    let text = needed(ask.call, "assertion")?;
    on_behalf(ask)?;
    let scope = needed(ask.call, "scope")?.to_owned();
    let jws = Jws::parse(text).ok_or_else(|| Fault::says(50013, "Assertion is malformed and cannot be read."))?;
    verify(ask, &jws)?;
    if jws.text("idtyp") == "app" {
        return for_principal(ask, &scope);
    }
    if jws.text("scp").is_empty() {
        return Err(Fault::aadsts(240_002));
    }
    let person = subject(ask, &jws);
    ask.may(&person, "obo")?;
    ask.delegated(person, scope)
}

/// What the grants of assertions are for, which must be said.
pub(super) fn on_behalf(ask: &Ask<'_>) -> Outcome<()> {
    match needed(ask.call, "requested_token_use")? {
        "on_behalf_of" => Ok(()),
        usage => Err(Fault::says(9_002_313, format!("The requested_token_use '{usage}' is not supported."))),
    }
}

/// An assertion that was given to another app.
pub(super) fn wrong_audience(ask: &Ask<'_>, audiences: &str) -> Box<Fault> {
    Fault::says(
        500_131,
        format!(
            "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was \
             '{audiences}' and the expected audience is '{}' or one of the Application Uris of this application.",
            ask.client.client_id
        ),
    )
}

/// Signature, issuer, audience, times: each with the number that Entra gives it.
fn verify(ask: &Ask<'_>, jws: &Jws) -> Outcome<()> {
    let world = ask.world;
    let key = world.keys().published_as(jws.head("kid"));
    if !key.is_some_and(|key| key.verify(jws)) {
        return Err(Fault::says(
            50013,
            "Assertion failed signature validation. [Reason - The key was not found or the signature does not match.]",
        ));
    }
    let tenant = jws.text("tid");
    let issuer = Issuer::of(world, tenant);
    let issued_here = [issuer.v1(world), issuer.v2(world)].iter().any(|iss| iss == jws.text("iss"));
    let known = world.directory.tenants.iter().any(|one| one.id == tenant);
    if !issued_here || !known {
        return Err(Fault::says(50013, format!("Assertion failed: the issuer '{}' is not trusted.", jws.text("iss"))));
    }
    if let Home::Tenant(home) = ask.home
        && home.id != tenant
    {
        return Err(Fault::says(50013, format!("Assertion was issued by tenant '{tenant}', not by '{}'.", home.id)));
    }
    if !jws.audiences().iter().any(|aud| ask.client.is_audience(aud)) {
        return Err(wrong_audience(ask, &jws.audiences().join(" ")));
    }
    let now = world.now();
    let begun = jws.time("nbf").is_none_or(|nbf| nbf - SKEW <= now);
    if !begun || jws.time("exp").is_none_or(|exp| exp <= now) {
        return Err(Fault::aadsts(500_133));
    }
    Ok(())
}

/// The user of the assertion: from the directory if it is there, else as the (verified) claims say, so that load tests
/// need no directory of 100,000 users.
fn subject(ask: &Ask<'_>, jws: &Jws) -> Person {
    let strong = jws.claims.get("amr").and_then(Value::as_array).is_some_and(|methods| methods.iter().any(|one| one == "mfa"));
    let id = if jws.text("oid").is_empty() { jws.text("sub") } else { jws.text("oid") };
    if let Some(user) = ask.world.directory.users.iter().find(|user| user.object_id == id) {
        return Person { strong, ..person(user) };
    }
    let username = ["preferred_username", "upn", "unique_name"].iter().map(|claim| jws.text(claim)).find(|name| !name.is_empty());
    let username = username.unwrap_or_default().to_owned();
    Person {
        id: id.to_owned(),
        email: username.clone(),
        username,
        name: jws.text("name").to_owned(),
        tenant: jws.text("tid").to_owned(),
        mfa: Vec::new(),
        strong,
    }
}

/// On behalf of a service principal: a token without a user, refresh token or client_info.
fn for_principal(ask: &Ask<'_>, scope: &str) -> Outcome<Value> {
    let tenant = match ask.home {
        Home::Tenant(tenant) => tenant.id.as_str(),
        Home::Many => ask.client.tenant.as_str(),
    };
    let resource = scopes::default_of(ask.world, tenant, scope)?;
    Ok(ask.app_answer(tenant, resource))
}
