//! The doors for clients that speak other protocols than tokend's own: OAuth 2.0's token endpoint with what belongs to it, and
//! managed identity as App Service and the instance metadata service have it.

mod auth_request;
mod introspect;
mod managed_identity;
mod metadata;
mod sidecar_routes;
mod sidecar_rows;
mod token;

use crate::support::{Answer, Client, World};

/// What opens the door for OAuth 2.0.
const OPEN: &str = "doors: [oauth2]\n";

/// The usual world with that door open, without callers.
async fn open() -> World {
    World::with(OPEN).await
}

/// POST of a form.
pub(crate) async fn form(client: &Client, path: &str, pairs: &[(&str, &str)]) -> Answer {
    Client::send(formed(client, path, pairs)).await
}

/// A POST of a form, to be changed before it is sent.
pub(crate) fn formed(client: &Client, path: &str, pairs: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    client.raw(path).header("content-type", "application/x-www-form-urlencoded").body(body)
}

// === impl Answer ===

impl Answer {
    /// Checks an error of OAuth 2.0: RFC 6749 §5.2's members alone.
    #[track_caller]
    pub(crate) fn oauth_error(&self, status: u16, error: &str, word: &str) {
        assert_eq!((self.status, self.member("error")), (status, error), "{}", self.text);
        let description = self.member("error_description");
        assert!(description.contains(word), "{word}: {description}");
        // RFC 6749 §5.2.
        assert!(description.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'), "{description}");
        assert_eq!((self.header("cache-control"), self.header("pragma")), ("no-store", "no-cache"));
        let known = ["error", "error_description", "suberror", "claims"];
        let members = self.json.as_object().expect("an object");
        assert!(members.iter().all(|(name, value)| known.contains(&name.as_str()) && !value.is_null()), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
    }
}
