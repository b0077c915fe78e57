//! A secret is a type from header to wire: it has no `Display`, its `Debug` says nothing, and its memory is wiped when it is dropped.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// A secret text: client secret, assertion, authorization code, token.
#[derive(Clone)]
pub struct Secret(SecretString);

// === impl Secret ===

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself; every use is a place to look at in a review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Cuts `text` to `limit` bytes and replaces every occurrence of the secrets, raw or percent-encoded, by `[redacted]`.
///
/// Secrets shorter than six bytes are left alone: they would turn ordinary words into holes and protect nothing.
pub fn redact(text: &str, limit: usize, secrets: &[&str]) -> String {
    let mut out = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 6) {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [*secret, encoded.as_str(), &encoded.replace('+', "%20")] {
            if out.contains(form) {
                out = out.replace(form, "[redacted]");
            }
        }
    }
    if out.len() > limit {
        let mut end = limit;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Secret, redact};

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "[redacted]");
    }

    #[test]
    fn redacts_raw_and_encoded() {
        let text = "bad secret a+b/c=d~e and a%2Bb%2Fc%3Dd%7Ee here";
        let out = redact(text, 2048, &["a+b/c=d~e"]);
        assert!(!out.contains("a+b/c"), "{out}");
        assert!(!out.contains("%2Bb"), "{out}");
    }

    #[test]
    fn cuts_on_a_character_boundary() {
        assert_eq!(redact("ééé", 3, &[]), "é…");
    }
}
