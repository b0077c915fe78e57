//! A farm's end of a session: back to an address that any client registered, else a page that says so.

use hyper::StatusCode;

use super::registration::Farm;
use crate::{answer::Answer, call::Call, page};

pub(super) fn serve(call: &Call, farm: &Farm) -> Answer {
    let parameters = call.query_or_form();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let is_known = |uri: &&str| farm.clients.iter().any(|client| client.redirect_uris.iter().any(|one| one == uri));
    match find("post_logout_redirect_uri").filter(is_known) {
        Some(uri) => page::back(uri, find("state")),
        None => page::note(StatusCode::OK, "Signed out", "You may close this page."),
    }
}
