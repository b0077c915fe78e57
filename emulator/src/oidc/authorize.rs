//! A realm's authorize endpoint: a sign-in page, or with `prompt=none` an answer at once.

use super::{
    pushed,
    realm::{check_scopes, issuer, person},
};
use crate::{
    answer::Answer,
    authorize::Wish,
    call::Call,
    fault::Fault,
    page,
    registration::{Client, Realm},
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call, realm: &Realm) -> Answer {
    let fields = match pushed::request(world, call, realm) {
        Ok(fields) => fields,
        Err(text) => return page::problem(text),
    };
    let wish = Wish::new(world, call, Some(issuer(world, realm))).with(fields);
    let Some(client) = realm.client(wish.get("client_id").unwrap_or_default()) else {
        return page::problem("No such client in this realm.");
    };
    if !wish.may_go_to(&client.redirect_uris, |registered, sent| registered == sent) {
        return page::problem("The redirect_uri is not registered for this client.");
    }
    sign_in(&wish, realm, client)
}

fn sign_in(wish: &Wish<'_>, realm: &Realm, client: &Client) -> Answer {
    if let Some(refusal) = refusal(wish, realm) {
        return refusal;
    }
    match wish.user().and_then(|name| realm.user(name)) {
        Some(user) => wish.issue(&client.client_id, format!("oidc/{}", realm.name), person(user)),
        None if wish.is_silent() => wish.refuse(&Fault::plain("login_required", "Nobody is signed in.")),
        None => {
            let people: Vec<_> = realm.users.iter().map(|user| (user.username.clone(), user.name.clone())).collect();
            page::sign_in(&client.client_id, wish.get("scope").unwrap_or_default(), &wish.request(), &people)
        }
    }
}

/// What refuses every user: another response than a code, a scope that is not known, or that somebody pressed Cancel.
fn refusal(wish: &Wish<'_>, realm: &Realm) -> Option<Answer> {
    if wish.get("response_type") != Some("code") {
        return Some(wish.refuse(&Fault::plain("unsupported_response_type", "Only code is supported.")));
    }
    if let Err(fault) = check_scopes(realm, wish.get("scope").unwrap_or_default()) {
        return Some(wish.refuse(&fault));
    }
    wish.get("cancel").is_some().then(|| wish.refuse(&Fault::plain("access_denied", "The user said no.")))
}
