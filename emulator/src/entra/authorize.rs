//! Entra's authorize endpoint: a sign-in page, or with `prompt=none` an answer at once.

use url::Url;

use super::{
    home::{self, Home},
    scopes,
    tokens::client_info,
};
use crate::{answer::Answer, authorize::Wish, call::Call, fault::Fault, page, registration::App, world::World};

pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    // Entra does not say who answers.
    let wish = Wish::new(world, call, None);
    let known = home::home(world, call)
        .and_then(|home| home::known_client(world, wish.get("client_id").unwrap_or_default(), home).map(|client| (home, client)));
    let (home, client) = match known {
        Ok(known) => known,
        Err(fault) => return page::problem(&fault.description(world, call)),
    };
    if !wish.may_go_to(&client.redirect_uris, is_registered) {
        let text = format!(
            "The redirect URI '{}' specified in the request does not match the redirect URIs configured for the application '{}'.",
            wish.get("redirect_uri").unwrap_or_default(),
            client.client_id
        );
        return page::problem(&Fault::says(50011, text).description(world, call));
    }
    sign_in(wish, home, client)
}

/// Exactly, but for the port of a program on the user's own machine, which takes whichever is free (RFC 8252 §7.3).
fn is_registered(registered: &str, sent: &str) -> bool {
    let local = |text: &str| {
        let mut url = Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
        let host = url.host_str()?.to_owned();
        url.set_port(None).ok()?;
        ["localhost", "127.0.0.1"].contains(&host.as_str()).then_some(url)
    };
    registered == sent || local(registered).is_some_and(|url| local(sent) == Some(url))
}

fn sign_in(mut wish: Wish<'_>, home: Home<'_>, client: &App) -> Answer {
    let world = wish.world;
    if let Some(refusal) = refusal(&wish) {
        return refusal;
    }
    let user = wish.user().and_then(|name| home::user_at(world, home, name));
    let Some(user) = user else {
        if wish.is_silent() {
            return wish.refuse(&Fault::aadsts(50058));
        }
        let people = home::people(world, home);
        return page::sign_in(&client.name, wish.get("scope").unwrap_or_default(), &wish.request(), &people);
    };
    let mut person = home::person(user);
    // A challenge is always met: the sign-in that it asks for took place. Client capabilities alone are none.
    person.strong = wish.get("claims").is_some_and(|text| text.contains("capolids") || text.contains("acrs"));
    if wish.get("client_info") == Some("1") {
        wish.more.push(("client_info".to_owned(), client_info(&person)));
    }
    let place = person.tenant.clone();
    let all = match scopes::parse_all(world, &person.tenant, wish.get("scope").unwrap_or_default()) {
        Ok(all) => all,
        Err(fault) => return wish.refuse(&fault),
    };
    if wish.get("consent").is_some() {
        all.iter().for_each(|asked| asked.consent(world, client, &person));
    }
    let refused = all.iter().find_map(|asked| asked.grant(world, client, &person).err());
    if let Some(mut fault) = refused {
        if fault.code == Some(65001) {
            // Here it is an error of its own; at the token endpoint it is a kind of invalid_grant.
            "consent_required".clone_into(&mut fault.error);
        }
        return wish.refuse(&fault);
    }
    wish.issue(&client.client_id, place, person)
}

/// What refuses every user: another response than a code, or that somebody pressed Cancel.
fn refusal(wish: &Wish<'_>) -> Option<Answer> {
    if wish.get("response_type") != Some("code") {
        return Some(wish.refuse(&Fault::aadsts(700_051)));
    }
    wish.get("cancel").is_some().then(|| wish.refuse(&Fault::aadsts(65004)))
}
