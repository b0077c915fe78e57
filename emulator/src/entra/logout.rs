//! Entra's end of a session (RP-Initiated Logout 1.0). The emulator keeps nobody signed in, so that nobody need be asked which
//! account to sign out, and no refresh token ends by it, as at Entra.

use hyper::StatusCode;

use super::{
    home::{Home, home},
    tokens::{Issuer, hinted},
};
use crate::{
    answer::Answer,
    call::Call,
    jose::Jws,
    page,
    registration::{App, User},
    world::World,
};

/// Back to an address that the app registered which is named, or any app if none is; else a page that says so.
pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    let home = match home(world, call) {
        Ok(home) => home,
        Err(fault) => return page::problem(&fault.description(world, call)),
    };
    let parameters = call.query_or_form();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let hint = match find("id_token_hint").map(|text| issued_here(world, home, text)) {
        Some(None) => return page::problem("The id_token_hint was not issued here."),
        Some(Some(jws)) => Some(jws),
        None => None,
    };
    let audience = hint.as_ref().and_then(|jws| jws.audiences().first().map(|aud| (*aud).to_owned()));
    let named = find("client_id");
    if named.zip(audience.as_deref()).is_some_and(|(named, audience)| !named.eq_ignore_ascii_case(audience)) {
        return page::problem("The id_token_hint is another client's.");
    }
    let subject = hint.as_ref().and_then(|jws| world.directory.user(jws.text("oid")));
    let user = find("logout_hint").and_then(|text| world.directory.user(&hinted(text).unwrap_or_else(|| text.to_owned())));
    if user.zip(subject).is_some_and(|(user, subject)| user.object_id != subject.object_id) {
        return page::problem("The logout_hint is of another user than the id_token_hint.");
    }
    let client = audience.as_deref().or(named).map(|id| world.directory.app(id));
    let goes_to = |app: &App, uri: &str| app.redirect_uris.iter().any(|one| one == uri);
    let back = find("post_logout_redirect_uri").filter(|uri| match client {
        Some(client) => client.is_some_and(|app| goes_to(app, uri)),
        None => world.directory.apps.iter().any(|app| goes_to(app, uri)),
    });
    match back {
        Some(uri) => page::back(uri, find("state")),
        None => page::note(StatusCode::OK, "Signed out", &farewell(user.or(subject))),
    }
}

fn farewell(user: Option<&User>) -> String {
    match user {
        Some(user) => format!("{} is signed out. You may close this page.", user.username),
        None => "You may close this page.".to_owned(),
    }
}

/// An id token of this tenant, or at `common` of any, which may have expired.
fn issued_here(world: &World, home: Home<'_>, text: &str) -> Option<Jws> {
    let jws = Jws::parse(text)?;
    let key = world.keys().published_as(jws.head("kid"))?;
    let issuer = match home {
        Home::Tenant(tenant) => Issuer::of(world, &tenant.id),
        Home::Many => Issuer::Tenant(jws.text("tid")),
    };
    (key.verify(&jws) && jws.text("iss") == issuer.v2(world)).then_some(jws)
}
