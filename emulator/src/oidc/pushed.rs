//! Authorization requests that a client pushes before it sends the browser (RFC 9126).

use hyper::StatusCode;
use serde_json::json;

use super::client;
use crate::{
    answer::Answer,
    call::Call,
    fault::{Fault, Outcome},
    jose,
    registration::Realm,
    world::World,
};

/// Seconds that a pushed request waits for its browser.
const LIFETIME: i64 = 60;

/// What the names of pushed requests begin with (RFC 9126 §2.2).
const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// Members that prove the client, and are no part of the request.
const PROOFS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

pub(super) fn serve(world: &World, call: &Call, realm: &Realm) -> Answer {
    match keep(world, call, realm) {
        Ok(name) => Answer::json(StatusCode::CREATED, json!({"request_uri": name, "expires_in": LIFETIME})).no_store(),
        Err(fault) => fault.answer(world, call, false).no_store(),
    }
}

fn keep(world: &World, call: &Call, realm: &Realm) -> Outcome<String> {
    let client = client::identify(world, call, realm)?;
    if call.param("request_uri").is_some() {
        return Err(Fault::plain("invalid_request", "A request that is pushed has no request_uri."));
    }
    let to = call.param("redirect_uri").unwrap_or_default();
    if !client.redirect_uris.iter().any(|registered| registered == to) {
        return Err(Fault::plain("invalid_request", "The redirect_uri is not registered for this client."));
    }
    let own = call.form.iter().filter(|(name, _)| !PROOFS.contains(&name.as_str()) && name != "client_id");
    let mut fields: Vec<(String, String)> = own.cloned().collect();
    fields.push(("client_id".to_owned(), client.client_id.clone()));
    let name = format!("{URN}{}", jose::random());
    world.issued().push(name.clone(), fields, world.now() + LIFETIME);
    Ok(name)
}

/// The request that the browser brings: a pushed one where it names that, and then nothing else of it counts.
pub(super) fn request(world: &World, call: &Call, realm: &Realm) -> Result<Vec<(String, String)>, &'static str> {
    let sent = call.query_or_form();
    let find = |name: &str| sent.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(name) = find("request_uri") else {
        return if realm.require_pushed_authorization_requests {
            Err("This realm takes pushed authorization requests alone.")
        } else {
            Ok(sent)
        };
    };
    let kept = world.issued().pushed(name, world.now()).ok_or("No such request was pushed, or it has expired.")?;
    let is_its = kept.iter().any(|(key, value)| key == "client_id" && Some(value.as_str()) == find("client_id"));
    if !is_its {
        return Err("The request was pushed by another client.");
    }
    // What the page's form answered, and for the test's own browser who is there.
    let answers = ["user", "consent", "cancel", "request_uri"];
    let more = sent.iter().filter(|(key, _)| answers.contains(&key.as_str())).cloned();
    Ok(kept.into_iter().chain(more).collect())
}
