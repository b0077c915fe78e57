//! A policy's end of a session: back to an address that any app registered, else a page that says so.

use hyper::StatusCode;

use super::asked::AskedPolicy;
use crate::{answer::Answer, page};

pub(super) fn serve(at: AskedPolicy<'_>) -> Answer {
    let parameters = at.call.query_or_form();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let is_known = |uri: &&str| at.tenant.apps.iter().any(|app| app.redirect_uris.iter().any(|one| one == uri));
    match find("post_logout_redirect_uri").filter(is_known) {
        Some(uri) => page::back(uri, find("state")),
        None => page::note(StatusCode::OK, "Signed out", "You may close this page."),
    }
}
