//! A server's metadata document.

use serde::{Deserialize, Deserializer};

use super::members::members;

/// OpenID Connect Discovery §3, as far as tokend reads it. A member of another shape is not there: which of them is needed is for
/// whoever needs it to say.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The issuer of its tokens; Entra's multi-tenant documents say `{tenantid}` in it.
    pub issuer: Option<String>,
    /// RFC 6749 §3.1.
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<String>,
    /// RP-Initiated Logout 1.0 §2.1.
    pub end_session_endpoint: Option<String>,
    /// RFC 7517.
    pub jwks_uri: Option<String>,
    /// RFC 8628 §4.
    pub device_authorization_endpoint: Option<String>,
    /// OpenID Connect Core §5.3.
    pub userinfo_endpoint: Option<String>,
    /// How clients may prove themselves; absent means `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// What client assertions may be signed with.
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
}

// === impl Metadata ===

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 9] = [
            "issuer",
            "authorization_endpoint",
            "token_endpoint",
            "end_session_endpoint",
            "jwks_uri",
            "device_authorization_endpoint",
            "userinfo_endpoint",
            "token_endpoint_auth_methods_supported",
            "token_endpoint_auth_signing_alg_values_supported",
        ];
        let [
            issuer,
            authorization_endpoint,
            token_endpoint,
            end_session_endpoint,
            jwks_uri,
            devices,
            userinfo_endpoint,
            methods,
            algorithms,
        ] = members(deserializer, NAMES)?;
        Ok(Self {
            issuer: issuer.text(),
            authorization_endpoint: authorization_endpoint.text(),
            token_endpoint: token_endpoint.text(),
            end_session_endpoint: end_session_endpoint.text(),
            jwks_uri: jwks_uri.text(),
            device_authorization_endpoint: devices.text(),
            userinfo_endpoint: userinfo_endpoint.text(),
            token_endpoint_auth_methods_supported: methods.texts(),
            token_endpoint_auth_signing_alg_values_supported: algorithms.texts(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    fn read(text: &str) -> Metadata {
        serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_member_of_another_shape_is_not_there() {
        for odd in ["7", "null", "true", "{}", r#"" ""#, "[[]]", "[null]"] {
            let members = [
                "authorization_endpoint",
                "token_endpoint",
                "end_session_endpoint",
                "jwks_uri",
                "token_endpoint_auth_methods_supported",
            ];
            let members: String = members.map(|name| format!(r#","{name}":{odd}"#)).concat();
            let metadata = read(&format!(r#"{{"issuer":"https://id"{members}}}"#));
            assert_eq!(metadata.issuer.as_deref(), Some("https://id"), "{odd}");
            let Metadata { authorization_endpoint, token_endpoint, end_session_endpoint, jwks_uri, .. } = metadata;
            assert_eq!([authorization_endpoint, token_endpoint, end_session_endpoint, jwks_uri], [const { None }; 4], "{odd}");
            assert_eq!(metadata.token_endpoint_auth_methods_supported, None, "{odd}");
        }
        let text = r#"{"token_endpoint_auth_methods_supported":"client_secret_post"}"#;
        assert_eq!(read(text).token_endpoint_auth_methods_supported, None);
        let list = r#"{"token_endpoint_auth_methods_supported":["client_secret_post",null,7]}"#;
        assert_eq!(read(list).token_endpoint_auth_methods_supported, Some(vec!["client_secret_post".to_owned()]));
        assert_eq!(read(r#"{"issuer":"a","issuer":"b"}"#).issuer.as_deref(), Some("b"));
    }
}
