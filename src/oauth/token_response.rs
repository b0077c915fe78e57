//! A token endpoint's success answer, as real servers send it: numbers as strings, members missing, members unknown.

use serde::{Deserialize, Deserializer};

use super::date;
use crate::secret::Secret;

/// RFC 6749 §5.1 with the members of OpenID Connect §3.1.3.3, RFC 8693 §2.2.1 and Entra.
#[derive(Debug, Deserialize)]
pub struct TokenResponse {
    /// RFC 6749 §5.1; absent is an invalid answer.
    #[serde(default, deserialize_with = "secret")]
    pub access_token: Option<Secret>,
    /// RFC 6749 §5.1; any case.
    #[serde(default, deserialize_with = "text")]
    pub token_type: Option<String>,
    /// Seconds; `None` if missing or no number (RSP-1).
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Option<i64>,
    /// When it ends, in seconds since the Unix epoch: what older servers say in place of `expires_in`, or beside it (RSP-1).
    #[serde(default, deserialize_with = "moment")]
    pub expires_on: Option<i64>,
    /// Entra: seconds (RSP-7).
    #[serde(default, deserialize_with = "seconds")]
    pub ext_expires_in: Option<i64>,
    /// Entra: seconds until the token is due for renewal (RSP-7).
    #[serde(default, deserialize_with = "seconds")]
    pub refresh_in: Option<i64>,
    /// What was granted; absent means what was asked (RSP-3).
    #[serde(default, deserialize_with = "text")]
    pub scope: Option<String>,
    /// OpenID Connect §3.1.3.3.
    #[serde(default, deserialize_with = "secret")]
    pub id_token: Option<Secret>,
    /// RFC 6749 §6.
    #[serde(default, deserialize_with = "secret")]
    pub refresh_token: Option<Secret>,
    /// Seconds that the refresh token lasts, where the server says so: Keycloak and others (0: for ever), Entra under another name.
    #[serde(default, alias = "refresh_token_expires_in", deserialize_with = "seconds")]
    pub refresh_expires_in: Option<i64>,
    /// Entra: base64url of `{"uid","utid"}` (RSP-4).
    #[serde(default, deserialize_with = "text")]
    pub client_info: Option<String>,
    /// RFC 8693 §2.2.1.
    #[serde(default, deserialize_with = "text")]
    pub issued_token_type: Option<String>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    text(deserializer).map(|text| text.map(Secret::new))
}

/// A number, or a text that is one; a fraction is cut off.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        serde_json::Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse::<f64>().ok().and_then(whole))
        }
        _ => None,
    })
}

/// As [`seconds`], or a text that is a date.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let date = value.as_str().and_then(date::unix);
    Ok(date.or_else(|| seconds(value).ok().flatten()))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 1e15).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::TokenResponse;

    fn parse(text: &str) -> Option<TokenResponse> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn rsp_1_numbers_come_in_every_shape() {
        for (text, expected) in [
            ("3599", Some(3599)),
            ("\"3599\"", Some(3599)),
            ("\" 3599 \"", Some(3599)),
            ("3599.9", Some(3599)),
            ("-5", Some(-5)),
            ("null", None),
            ("\"soon\"", None),
            ("[1]", None),
            ("1e300", None),
        ] {
            let parsed = parse(&format!(r#"{{"access_token":"t","expires_in":{text}}}"#));
            assert_eq!(parsed.map(|response| response.expires_in), Some(expected), "{text}");
        }
    }

    #[test]
    fn rsp_1_an_end_comes_in_every_shape() {
        for (text, expected) in [
            ("1795300000", Some(1_795_300_000)),
            ("\"1795300000\"", Some(1_795_300_000)),
            ("1795300000.5", Some(1_795_300_000)),
            ("\"2026-11-21T22:26:40Z\"", Some(1_795_300_000)),
            ("\"11/21/2026 22:26:40\"", Some(1_795_300_000)),
            ("null", None),
            ("\"soon\"", None),
            ("{}", None),
        ] {
            let parsed = parse(&format!(r#"{{"access_token":"t","expires_on":{text}}}"#));
            assert_eq!(parsed.map(|response| (response.expires_on, response.expires_in)), Some((expected, None)), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let parsed = parse(r#"{"access_token":"canary","id_token":"canary","scope":"a"}"#);
        assert!(!format!("{parsed:?}").contains("canary"));
    }
}
