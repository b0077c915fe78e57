//! How a client proves itself to a token endpoint (RFC 6749 §2.3, RFC 7521 §4.2): one type from who makes the proof to who sends
//! it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::sign::CertifiedKey;

use super::{ASSERTION_JWT_BEARER, Form};
use crate::secret::Secret;

/// A client's proof, ready to be sent with a grant.
#[derive(Clone)]
pub struct Proof {
    members: Form,
    basic: Option<Basic>,
    until: Option<i64>,
    certificate: Option<Arc<CertifiedKey>>,
}

/// What follows `Basic ` in a header, and the secret inside it: base64 must not hide it from whoever clears texts of secrets.
#[derive(Clone)]
struct Basic {
    encoded: Secret,
    secret: Secret,
}

/// How a client assertion that is signed with a certificate's key looks to those who take it (ASN-2, ASN-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionForm {
    /// The certificate is named by its thumbprint, and the assertion may be sent again until it ends.
    Thumbprint,
    /// As [`AssertionForm::Thumbprint`], always by RS256 and the thumbprint of SHA-1 (`x5t`).
    Sha1Thumbprint,
    /// The algorithm is one that the server announces, and each request has an assertion of its own.
    Announced,
}

/// Where a secret stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// `client_secret_post`.
    Body,
    /// `client_secret_basic`.
    Header,
}

// === impl AssertionForm ===

impl AssertionForm {
    /// Whether a certificate's thumbprint stands in it.
    pub fn has_thumbprint(self) -> bool {
        matches!(self, Self::Thumbprint | Self::Sha1Thumbprint)
    }
}

// === impl Proof ===

impl Proof {
    /// None: a public client says who it is, and nothing proves it (RFC 6749 §3.2.1).
    pub fn of_public(client_id: &str) -> Self {
        Self { members: Form::default().with("client_id", client_id), basic: None, until: None, certificate: None }
    }

    /// A secret in the body.
    pub fn secret_in_body(client_id: &str, secret: Secret) -> Self {
        let members = Form::default().with("client_id", client_id).with_secret("client_secret", secret);
        Self { members, basic: None, until: None, certificate: None }
    }

    /// A secret in the header `Authorization`, where both parts are form-encoded first (RFC 6749 §2.3.1).
    pub fn secret_in_header(client_id: &str, secret: &Secret) -> Self {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let encoded = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret.expose())));
        let basic = Basic { encoded: Secret::new(encoded), secret: secret.clone() };
        Self { members: Form::default(), basic: Some(basic), until: None, certificate: None }
    }

    /// An assertion that is not to be sent any more from `until` on, in seconds since the Unix epoch. `client_id` goes with it: the
    /// subject of another issuer's token is not the client's name (RFC 7521 §4.2).
    pub fn assertion(client_id: &str, assertion: Secret, until: i64) -> Self {
        let members = Form::default()
            .with("client_id", client_id)
            .with("client_assertion_type", ASSERTION_JWT_BEARER)
            .with_secret("client_assertion", assertion);
        Self { members, basic: None, until: Some(until), certificate: None }
    }

    /// A certificate that the connection shows (RFC 8705 §2): the body says who the client is, and nothing else.
    pub fn certificate(client_id: &str, certificate: Arc<CertifiedKey>) -> Self {
        Self { certificate: Some(certificate), ..Self::of_public(client_id) }
    }

    /// The certificate that the connection has to show, where that is the proof.
    pub fn shown(&self) -> Option<&Arc<CertifiedKey>> {
        self.certificate.as_ref()
    }

    /// The members of the body.
    pub fn members(&self) -> &Form {
        &self.members
    }

    /// What follows `Basic ` in the header, where the proof stands there.
    pub fn basic(&self) -> Option<&str> {
        self.basic.as_ref().map(|basic| basic.encoded.expose())
    }

    /// Whether it is too old to be sent.
    pub fn is_too_old(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// The values that must not come back in any text.
    pub fn secrets(&self) -> Vec<&str> {
        let in_header = self.basic.iter().flat_map(|basic| [basic.encoded.expose(), basic.secret.expose()]);
        self.members.secrets().into_iter().chain(in_header).collect()
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (members, in_header) = (&self.members, self.basic.is_some());
        let by_tls = self.certificate.is_some();
        let mut shown = f.debug_struct("Proof");
        shown.field("members", members).field("in_header", &in_header).field("until", &self.until).field("by_tls", &by_tls).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Proof;
    use crate::secret::Secret;

    #[test]
    fn a_secret_in_the_header_is_encoded_twice_and_known_in_both_forms() {
        let proof = Proof::secret_in_header("a b", &Secret::new("p:w d"));
        // base64 of "a+b:p%3Aw+d"
        assert_eq!(proof.basic(), Some("YStiOnAlM0F3K2Q="));
        assert_eq!(proof.secrets(), ["YStiOnAlM0F3K2Q=", "p:w d"]);
        assert!(!proof.members().has("client_id") && !format!("{proof:?}").contains("p:w d"));
    }

    #[test]
    fn an_assertion_is_sent_until_its_last_seconds() {
        let proof = Proof::assertion("client", Secret::new("assertion"), 100);
        assert!(!proof.is_too_old(99) && proof.is_too_old(100));
        assert!(!Proof::secret_in_body("client", Secret::new("secret")).is_too_old(i64::MAX));
    }
}
