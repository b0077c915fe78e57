//! `/_emulator/…`: how tests look into the emulator and tell it what to do.

mod mint;
mod saml;
mod session;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    call::Call,
    entra::{device, home},
    issued::Decision,
    oidc::realm,
    world::World,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    #[serde(default)]
    keep_old: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    /// User code or device code.
    code: String,
    user: Option<String>,
    #[serde(default)]
    deny: bool,
}

pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    // A page in some browser must not script the emulator or read its secrets.
    if call.header("origin").is_some() {
        return Answer::text(StatusCode::FORBIDDEN, "not for browsers\n");
    }
    let path = call.path.strip_prefix("/_emulator/").unwrap_or_default();
    let done = match (&call.method, path) {
        (&Method::GET, "directory") => Ok(Some(world.describe())),
        (&Method::GET, "requests") => requests(world, call),
        (&Method::DELETE, "requests") => {
            world.record().clear();
            Ok(None)
        }
        (&Method::GET, "families") => Ok(Some(world.issued().families())),
        (&Method::GET, "script") => Ok(Some(world.script().describe())),
        (&Method::POST, "script") => world.script().add(&call.body).map(|added| Some(json!({"added": added}))),
        (&Method::DELETE, "script") => {
            world.script().clear();
            Ok(None)
        }
        (&Method::POST, "release") => {
            world.script().release();
            Ok(None)
        }
        (&Method::POST, "keys/rotate") => rotate(world, &call.body),
        (&Method::POST, "reset") => {
            world.reset();
            Ok(None)
        }
        (&Method::POST, "token") => mint::mint(world, &call.body).map(Some),
        (&Method::POST, "jwt") => mint::signed(world, &call.body).map(Some),
        (&Method::POST, "saml") => saml::mint(world, &call.body).map(Some),
        (&Method::POST, "refresh-token") => session::begin(world, &call.body).map(Some),
        (&Method::POST, "device") => decide(world, &call.body),
        _ => return Answer::not_found(),
    };
    match done {
        Ok(Some(body)) => Answer::ok(body).no_store(),
        Ok(None) => Answer::bytes(StatusCode::NO_CONTENT, Vec::new()),
        Err(text) => Answer::text(StatusCode::BAD_REQUEST, format!("{text}\n")),
    }
}

type Done = Result<Option<Value>, String>;

/// All requests, or with `?after=SEQ` those after one.
fn requests(world: &World, call: &Call) -> Done {
    let query = call.query_or_form();
    let after = match query.iter().find(|(name, _)| name == "after") {
        Some((_, value)) => value.parse().map_err(|_| "after is a number".to_owned())?,
        None => 0,
    };
    Ok(Some(world.record().after(after)))
}

fn rotate(world: &World, body: &[u8]) -> Done {
    let body = if body.is_empty() { b"{}" } else { body };
    let Rotate { keep_old } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut keys = world.keys();
    let kid = keys.rotate(keep_old).map_err(|_| "key generation failed".to_owned())?;
    Ok(Some(json!({"kid": kid})))
}

/// Approves or denies a device code, as the user would on the page.
fn decide(world: &World, body: &[u8]) -> Done {
    let approve: Approve = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let decision = match (&approve.user, approve.deny) {
        (_, true) => Decision::Denied,
        (Some(name), false) => {
            let user = world.directory.user(name).map(home::person);
            let user = user.or_else(|| world.directory.realms.iter().find_map(|realm| realm.user(name)).map(realm::person));
            Decision::Approved(user.ok_or_else(|| format!("no user {name:?}"))?)
        }
        (None, false) => return Err("`user` says who approves".to_owned()),
    };
    device::decide(world, &approve.code, decision)?;
    Ok(None)
}
