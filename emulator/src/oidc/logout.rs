//! The end of a session as an app asks for it (OpenID Connect RP-Initiated Logout 1.0).

use hyper::StatusCode;

use super::realm::issuer;
use crate::{
    answer::Answer,
    call::Call,
    jose::Jws,
    page,
    registration::{Realm, RealmUser},
    world::World,
};

/// Ends the sign-in that the id token is of, or those of the user that `logout_hint` names at the client that is named, with all
/// their refresh tokens, and sends the browser back where the client registered it.
pub(crate) fn serve(world: &World, call: &Call, realm: &Realm) -> Answer {
    let parameters = call.query_or_form();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let hint = match find("id_token_hint").map(|text| hint(world, realm, text)) {
        Some(None) => return page::problem("The id_token_hint was not issued here."),
        Some(Some(jws)) => Some(jws),
        None => None,
    };
    let audience = hint.as_ref().and_then(|jws| jws.audiences().first().map(|aud| (*aud).to_owned()));
    let named = find("client_id").map(str::to_owned);
    if audience.is_some() && named.is_some() && audience != named {
        return page::problem("The id_token_hint is another client's.");
    }
    let client = audience.or(named).and_then(|id| realm.client(&id));
    let back = match (find("post_logout_redirect_uri"), client) {
        (None, _) => None,
        (Some(uri), Some(client)) if client.post_logout_redirect_uris.iter().any(|one| one == uri) => Some(uri),
        _ => return page::problem("The post_logout_redirect_uri is not registered for a client that was named."),
    };
    let hinted = find("logout_hint").and_then(|name| user(realm, name));
    if hint.as_ref().zip(hinted).is_some_and(|(jws, user)| jws.text("sub") != user.sub) {
        return page::problem("The logout_hint is of another user than the id_token_hint.");
    }
    match (hint, hinted, client) {
        (Some(jws), _, _) => world.issued().revoke(jws.text("sid")),
        // All that is known is who and where from, so that all sign-ins of this user at this client end.
        (None, Some(user), Some(client)) => {
            world.issued().revoke_all(&client.client_id, &format!("oidc/{}", realm.name), &user.sub);
        }
        _ => {}
    }
    match back {
        Some(uri) => page::back(uri, find("state")),
        None => page::note(StatusCode::OK, "Signed out", "You may close this page."),
    }
}

/// Whom a hint means: by any name that the realm's tokens give a user.
fn user<'a>(realm: &'a Realm, name: &str) -> Option<&'a RealmUser> {
    realm.user(name).or_else(|| realm.users.iter().find(|user| user.email == name))
}

/// An id token of this realm, which may have expired.
fn hint(world: &World, realm: &Realm, text: &str) -> Option<Jws> {
    let jws = Jws::parse(text)?;
    let key = world.keys().published_as(jws.head("kid"))?;
    (key.verify(&jws) && jws.text("iss") == issuer(world, realm)).then_some(jws)
}
