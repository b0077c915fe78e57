//! Entra's end of a session. The emulator keeps nobody signed in, so all there is to it is the way back.

use hyper::StatusCode;

use crate::{answer::Answer, call::Call, page, world::World};

/// Back to an address that some app registered, else a page that says so.
pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    let parameters = call.query_or_form();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let registered = |uri: &&str| world.directory.apps.iter().any(|app| app.redirect_uris.iter().any(|one| one == uri));
    match find("post_logout_redirect_uri").filter(registered) {
        Some(uri) => page::back(uri, find("state")),
        None => page::note(StatusCode::OK, "Signed out", "You may close this page."),
    }
}
