//! A farm's authorize endpoint: a sign-in page, or with `prompt=none` an answer at once.

use super::{ask::PLACE, registration::Farm};
use crate::{answer::Answer, authorize::Wish, call::Call, fault::Fault, page, world::World};

pub(super) fn serve(world: &World, call: &Call, farm: &Farm) -> Answer {
    // It does not say who answers.
    let wish = Wish::new(world, call, None);
    let Some(client) = farm.client(wish.get("client_id").unwrap_or_default()) else {
        return page::problem("MSIS9223: No such client is registered.");
    };
    if !wish.may_go_to(&client.redirect_uris, |registered, sent| registered == sent) {
        return page::problem("MSIS9224: The redirect_uri is not registered for this client.");
    }
    if wish.get("response_type") != Some("code") {
        return wish.refuse(&Fault::plain("unsupported_response_type", "Only code is supported."));
    }
    if wish.get("cancel").is_some() {
        return wish.refuse(&Fault::plain("access_denied", "The user said no."));
    }
    match wish.user().and_then(|upn| farm.user(upn)) {
        Some(user) => wish.issue(&client.client_id, PLACE.to_owned(), user.person()),
        None if wish.is_silent() => wish.refuse(&Fault::plain("login_required", "Nobody is signed in.")),
        None => {
            let people: Vec<_> = farm.users.iter().map(|user| (user.upn.clone(), user.name.clone())).collect();
            page::sign_in(&client.name, wish.get("scope").unwrap_or_default(), &wish.request(), &people)
        }
    }
}
