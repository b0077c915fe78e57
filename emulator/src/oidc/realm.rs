//! What the endpoints of a realm share: its name, its scopes, its users.

use crate::{
    fault::{Fault, Outcome},
    issued::Person,
    registration::{Realm, RealmUser},
    world::World,
};

/// Scopes that every realm knows.
pub(crate) const COMMON: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub(crate) fn issuer(world: &World, realm: &Realm) -> String {
    format!("{}/oidc/{}", world.origin, realm.name)
}

/// Scopes are compared letter by letter here (RFC 6749 §3.3).
pub(crate) fn check_scopes(realm: &Realm, scope: &str) -> Outcome<()> {
    let known = |one: &str| COMMON.contains(&one) || realm.scopes.iter().any(|scope| scope == one);
    match scope.split_whitespace().find(|one| !known(one)) {
        Some(unknown) => Err(Fault::plain("invalid_scope", format!("The scope {unknown} is not known."))),
        None => Ok(()),
    }
}

pub(crate) fn person(user: &RealmUser) -> Person {
    Person {
        id: user.sub.clone(),
        username: user.username.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        ..Person::default()
    }
}
