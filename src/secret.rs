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
/// Which characters are encoded differs from writer to writer, as does the case of the digits, so that every byte may stand in either form.
/// Secrets shorter than six bytes are left alone: they would turn ordinary words into holes and protect nothing.
pub fn redact(text: &str, limit: usize, secrets: &[&str]) -> String {
    let mut out = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 6) {
        out = without(&out, secret);
    }
    if out.len() > limit {
        let mut end = limit.saturating_sub(CUT.len());
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push_str(CUT);
    }
    out
}

/// What stands where a text was cut.
const CUT: &str = "…";

fn without(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        match leads_with(rest.as_bytes(), secret.as_bytes()).and_then(|length| rest.get(length..)) {
            Some(after) => {
                out.push_str("[redacted]");
                rest = after;
            }
            None => {
                out.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
    }
    out
}

/// How many bytes of `text` spell `secret` at its start, as it is or percent-encoded in part or all of it.
fn leads_with(text: &[u8], secret: &[u8]) -> Option<usize> {
    if text.starts_with(secret) {
        return Some(secret.len());
    }
    let mut at = 0;
    for byte in secret {
        let here = text.get(at..)?;
        at += match here {
            [b'%', high, low, ..] if hex(*high).zip(hex(*low)).is_some_and(|(high, low)| high * 16 + low == *byte) => 3,
            [same, ..] if same == byte => 1,
            // application/x-www-form-urlencoded
            [b'+', ..] if *byte == b' ' => 1,
            _ => return None,
        };
    }
    Some(at)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
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
    fn redacts_whatever_was_encoded_and_in_either_case() {
        for text in ["q~8 +é%", "q~8%20%2b%c3%a9%25", "q~8+%2B%C3%A9%25", "%71%7e%38%20+é%", "q%7E8 %2Bé%25"] {
            assert_eq!(redact(&format!("x{text}y"), 99, &["q~8 +é%"]), "x[redacted]y", "{text}");
        }
        for text in ["q~8", "q~8 +é", "q~8%20%2b%c3%", "q~9 +é%", "%", "%7", "%zz"] {
            assert_eq!(redact(text, 99, &["q~8 +é%"]), text);
        }
        assert_eq!(redact("abcabcabcabc", 99, &["abcabc"]), "[redacted][redacted]");
    }

    #[test]
    fn cuts_on_a_character_boundary() {
        assert_eq!(redact("ééé", 6, &[]), "ééé");
        assert_eq!(redact("éééé", 6, &[]), "é…");
        assert_eq!(redact("éééé", 5, &[]), "é…");
    }
}
