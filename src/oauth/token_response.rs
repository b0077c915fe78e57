//! A token endpoint's success answer, as real servers send it: numbers as strings, members missing, members unknown.

use serde::{Deserialize, Deserializer};

use super::members::members;
use crate::secret::Secret;

/// RFC 6749 §5.1 with the members of OpenID Connect §3.1.3.3, RFC 8693 §2.2.1 and Entra.
#[derive(Debug)]
pub struct TokenResponse {
    /// RFC 6749 §5.1; absent is an invalid answer.
    pub access_token: Option<Secret>,
    /// RFC 6749 §5.1; any case. Empty: it is there and no text.
    pub token_type: Option<String>,
    /// Seconds; `None` if missing or no number (RSP-1).
    pub expires_in: Option<i64>,
    /// When it ends, in seconds since the Unix epoch: what older servers say in place of `expires_in`, or beside it (RSP-1).
    pub expires_on: Option<i64>,
    /// Entra: seconds (RSP-7).
    pub ext_expires_in: Option<i64>,
    /// Entra: seconds until the token is due for renewal (RSP-7).
    pub refresh_in: Option<i64>,
    /// What was granted, with spaces between; absent means what was asked (RSP-3).
    pub scope: Option<String>,
    /// OpenID Connect §3.1.3.3.
    pub id_token: Option<Secret>,
    /// RFC 6749 §6.
    pub refresh_token: Option<Secret>,
    /// Seconds that the refresh token lasts, where the server says so: Keycloak and others (0: for ever), Entra under another name.
    pub refresh_expires_in: Option<i64>,
    /// Entra: base64url of `{"uid","utid"}` (RSP-4).
    pub client_info: Option<String>,
    /// RFC 8693 §2.2.1.
    pub issued_token_type: Option<String>,
    /// Whether there is a `cnf` (RFC 7800 §3.1): the token is bound to a key.
    pub is_bound: bool,
}

// === impl TokenResponse ===

impl<'de> Deserialize<'de> for TokenResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 14] = [
            "access_token",
            "token_type",
            "expires_in",
            "expires_on",
            "ext_expires_in",
            "refresh_in",
            "scope",
            "id_token",
            "refresh_token",
            "refresh_expires_in",
            "refresh_token_expires_in",
            "client_info",
            "issued_token_type",
            "cnf",
        ];
        let [
            access_token,
            token_type,
            expires_in,
            expires_on,
            ext_expires_in,
            refresh_in,
            scope,
            id_token,
            refresh_token,
            refresh_expires_in,
            refresh_token_expires_in,
            client_info,
            issued_token_type,
            cnf,
        ] = members(deserializer, NAMES)?;
        Ok(Self {
            access_token: access_token.secret(),
            token_type: (!token_type.says_nothing()).then(|| token_type.text().unwrap_or_default()),
            expires_in: expires_in.seconds(),
            expires_on: expires_on.moment(),
            ext_expires_in: ext_expires_in.seconds(),
            refresh_in: refresh_in.seconds(),
            scope: scope.words(),
            id_token: id_token.secret(),
            refresh_token: refresh_token.secret(),
            refresh_expires_in: refresh_expires_in.seconds().or_else(|| refresh_token_expires_in.seconds()),
            client_info: client_info.text(),
            issued_token_type: issued_token_type.text(),
            is_bound: !cnf.says_nothing(),
        })
    }
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
    fn rsp_8_two_spellings_of_one_and_a_member_twice_are_read() {
        for (text, ends) in [
            (r#"{"access_token":"t","refresh_expires_in":60,"refresh_token_expires_in":90}"#, Some(60)),
            (r#"{"refresh_token_expires_in":"90","access_token":"x","access_token":"t"}"#, Some(90)),
            (r#"{"access_token":"t","refresh_expires_in":"never","refresh_token_expires_in":90,"scope":1}"#, Some(90)),
            (r#"{"access_token":"t","access_token":null,"refresh_expires_in":0}"#, Some(0)),
        ] {
            let response = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(response.access_token.as_ref().map(crate::secret::Secret::expose), Some("t"), "{text}");
            assert_eq!(response.refresh_expires_in, ends, "{text}");
        }
    }

    #[test]
    fn rsp_3_a_scope_is_a_text_or_a_list() {
        for (scope, expected) in [
            (r#""a b""#, Some("a b")),
            (r#"["a","b"]"#, Some("a b")),
            (r#"["a b",null,"c",7]"#, Some("a b c")),
            ("[]", None),
            (r#"" ""#, None),
            ("null", None),
        ] {
            let response = parse(&format!(r#"{{"scope":{scope}}}"#)).unwrap_or_else(|| panic!("{scope}"));
            assert_eq!(response.scope.as_deref(), expected, "{scope}");
        }
    }

    #[test]
    fn rsp_2_a_token_type_is_there_not_there_or_no_text() {
        for (kind, expected) in
            [(r#""pop""#, Some("pop")), ("null", None), (r#""""#, None), ("7", Some("")), (r#"["Bearer"]"#, Some(""))]
        {
            let response = parse(&format!(r#"{{"token_type":{kind}}}"#)).unwrap_or_else(|| panic!("{kind}"));
            assert_eq!(response.token_type.as_deref(), expected, "{kind}");
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
