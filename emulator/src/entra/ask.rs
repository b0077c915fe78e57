//! A token request to Entra, before its grant is looked at.

use serde_json::{Map, Value, json};

use super::{
    home::{Home, known_client},
    tokens::Proof,
};
use crate::{
    basic,
    call::Call,
    fault::{Fault, Outcome},
    registration::App,
    world::World,
};

/// A token request whose client is known.
pub(crate) struct Ask<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call,
    pub(crate) home: Home<'a>,
    pub(crate) client: &'a App,
    pub(crate) proof: Proof,
    /// Claims of the access token that `claims` asks for.
    pub(crate) requested: Map<String, Value>,
    /// Whether `claims` asks for the `login_hint` of the id token.
    pub(crate) wants_login_hint: bool,
}

/// A parameter that must be there.
pub(crate) fn needed<'a>(call: &'a Call, name: &str) -> Outcome<&'a str> {
    call.param(name)
        .ok_or_else(|| Fault::says(900_144, format!("The request body must contain the following parameter: '{name}'.")))
}

/// The registration that `client_id` names, or the Authorization header, if it may be used here.
pub(crate) fn client<'a>(world: &'a World, call: &Call, home: Home<'a>) -> Outcome<&'a App> {
    let Some((id, _)) = basic::sent(call) else { return known_client(world, needed(call, "client_id")?, home) };
    if call.param("client_id").is_some_and(|other| !other.eq_ignore_ascii_case(&id)) {
        return Err(Fault::says(9_002_313, "client_id and the Authorization header are of two clients."));
    }
    known_client(world, &id, home)
}

/// What `claims` asks for: of the access token client capabilities and authentication contexts, of the id token `login_hint`.
pub(crate) fn requested(call: &Call) -> Outcome<(Map<String, Value>, bool)> {
    let mut claims = Map::new();
    let Some(text) = call.param("claims") else { return Ok((claims, false)) };
    let value: Value = serde_json::from_str(text).map_err(|_| Fault::aadsts(9_000_410))?;
    if !value.is_object() {
        return Err(Fault::aadsts(9_000_410));
    }
    let wanted = |name: &str| {
        let request = value.get("access_token")?.get(name)?;
        request.get("values").cloned().or_else(|| Some(json!([request.get("value")?])))
    };
    for name in ["xms_cc", "acrs"] {
        if let Some(values) = wanted(name) {
            claims.insert(name.to_owned(), values);
        }
    }
    let login_hint = value.get("id_token").is_some_and(|wanted| wanted.get("login_hint").is_some());
    Ok((claims, login_hint))
}
