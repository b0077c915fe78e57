//! A policy's authorize endpoint: a sign-in page, or with `prompt=none` an answer at once.

use super::asked::{AskedPolicy, aadb2c};
use crate::{answer::Answer, authorize::Wish, fault::Fault, page};

pub(super) fn serve(at: AskedPolicy<'_>) -> Answer {
    let mut wish = Wish::new(at.world, at.call, None);
    let Some(client) = at.tenant.app(wish.get("client_id").unwrap_or_default()) else {
        return page::problem("AADB2C90007: The client is not known in this tenant.");
    };
    if !wish.may_go_to(&client.redirect_uris, |registered, sent| registered == sent) {
        return page::problem("AADB2C90006: The redirect URI provided in the request is not registered for the client.");
    }
    if wish.get("response_type") != Some("code") {
        return wish.refuse(&Fault::plain("unsupported_response_type", "Only code is supported."));
    }
    if wish.get("cancel").is_some() {
        return wish.refuse(&aadb2c(90_091, "access_denied", "The user has cancelled entering self-asserted information."));
    }
    if at.policy.passwords {
        return wish.refuse(&aadb2c(90_057, "server_error", "The provided application is not configured to allow this policy."));
    }
    match wish.user().and_then(|name| at.tenant.user(name)) {
        Some(user) => {
            let person = user.person(at.tenant);
            if wish.get("client_info") == Some("1") {
                wish.more.push(("client_info".to_owned(), super::tokens::client_info(at, &person)));
            }
            wish.issue(&client.client_id, at.place(), person)
        }
        None if wish.is_silent() => {
            wish.refuse(&aadb2c(90_077, "login_required", "User does not have an existing session and request prompt is 'none'."))
        }
        None => {
            let people: Vec<_> = at.tenant.users.iter().map(|user| (user.email.clone(), user.name.clone())).collect();
            page::sign_in(&client.name, wish.get("scope").unwrap_or_default(), &wish.request(), &people)
        }
    }
}
