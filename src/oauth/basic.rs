//! A client's name and secret as one `Authorization` header (RFC 6749 §2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// What follows `Basic `, and the secret inside it: base64 must not hide it from whoever clears texts of secrets.
#[derive(Clone, Debug)]
pub struct Basic {
    encoded: Secret,
    secret: Secret,
}

// === impl Basic ===

impl Basic {
    /// Both parts are form-encoded first.
    pub fn new(client_id: &str, secret: &Secret) -> Self {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let encoded = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret.expose())));
        Self { encoded: Secret::new(encoded), secret: secret.clone() }
    }

    /// What follows `Basic ` in the header.
    pub fn expose(&self) -> &str {
        self.encoded.expose()
    }

    /// The values that must not come back in any text.
    pub fn secrets(&self) -> [&str; 2] {
        [self.encoded.expose(), self.secret.expose()]
    }
}
