//! Where a request to Entra is at home: the tenant, and the apps and users that are known there.

use crate::{
    call::{Call, Place},
    fault::{Fault, Outcome},
    issued::Person,
    registration::{App, Tenant, User},
    world::World,
};

/// Whose token endpoint this is.
#[derive(Clone, Copy)]
pub(crate) enum Home<'a> {
    Tenant(&'a Tenant),
    /// `common`, `organizations` or `consumers`: the user says which tenant.
    Many,
}

/// The tenant that the path names.
pub(crate) fn home<'a>(world: &'a World, call: &Call) -> Outcome<Home<'a>> {
    match &call.place {
        Place::Entra(segment) if ["common", "organizations", "consumers"].iter().any(|name| segment.eq_ignore_ascii_case(name)) => {
            Ok(Home::Many)
        }
        Place::External(_) => {
            let tenant = world.directory.external_at(&call.host).map(Home::Tenant);
            tenant.ok_or_else(|| Fault::says(90002, "There is no external tenant at this host."))
        }
        Place::Entra(segment) => match world.directory.tenant(segment).filter(|tenant| tenant.external.is_none()) {
            Some(tenant) => Ok(Home::Tenant(tenant)),
            None => Err(Fault::says(
                90002,
                format!(
                    "Tenant '{segment}' not found. Check to make sure you have the correct tenant ID and are signing into the \
                     correct cloud."
                ),
            )),
        },
        _ => Err(Fault::says(90002, "There is no tenant at this address.")),
    }
}

/// The app of this id, if it may be used here.
pub(crate) fn known_client<'a>(world: &'a World, client_id: &str, home: Home<'a>) -> Outcome<&'a App> {
    let (place, client) = match home {
        Home::Tenant(tenant) => (tenant.name.as_str(), world.directory.app(client_id).filter(|app| app.is_in(&tenant.id))),
        Home::Many => ("common", world.directory.app(client_id)),
    };
    let client = client.ok_or_else(|| {
        Fault::says(700_016, format!("Application with identifier '{client_id}' was not found in the directory '{place}'."))
    })?;
    if matches!(home, Home::Many) && !client.multi_tenant {
        return Err(Fault::says(
            50194,
            format!(
                "Application '{client_id}'({}) is not configured as a multi-tenant application. Usage of the /common endpoint is \
                 not supported for such apps.",
                client.name
            ),
        ));
    }
    Ok(client)
}

/// A user that signs in here: of this tenant, or of any at `common`.
pub(crate) fn user_at<'a>(world: &'a World, home: Home<'_>, name: &str) -> Option<&'a User> {
    let user = world.directory.user(name)?;
    match home {
        Home::Tenant(tenant) => (user.tenant == tenant.id).then_some(user),
        Home::Many => Some(user),
    }
}

pub(crate) fn person(user: &User) -> Person {
    Person {
        id: user.object_id.clone(),
        username: user.username.clone(),
        name: user.name.clone(),
        email: user.username.clone(),
        tenant: user.tenant.clone(),
        mfa: user.mfa.clone(),
        strong: false,
    }
}

/// The users that may sign in here, for the pages to list.
pub(crate) fn people(world: &World, home: Home<'_>) -> Vec<(String, String)> {
    let users = world.directory.users.iter().filter(|user| user_at(world, home, &user.username).is_some());
    users.map(|user| (user.username.clone(), user.name.clone())).collect()
}
