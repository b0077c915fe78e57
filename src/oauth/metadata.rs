//! A server's metadata document.

use serde::{Deserialize, Deserializer};

use super::members::members;

/// OpenID Connect Discovery §3, as far as tokend reads it. A member of another shape is not there: which of them is needed is for
/// whoever needs it to say.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The issuer of its tokens; Entra's multi-tenant documents say `{tenantid}` in it.
    pub issuer: Option<String>,
    /// AD FS: the issuer of its access tokens.
    pub access_token_issuer: Option<String>,
    /// RFC 6749 §3.1.
    pub authorization_endpoint: Option<String>,
    /// Where clients prove themselves.
    pub client_endpoints: ClientEndpoints,
    /// Where they do by the certificate of their connection: what stands beside the others, else these (RFC 8705 §5).
    pub mtls_endpoints: ClientEndpoints,
    /// RP-Initiated Logout 1.0 §2.1.
    pub end_session_endpoint: Option<String>,
    /// RFC 7517.
    pub jwks_uri: Option<String>,
    /// OpenID Connect Core §5.3.
    pub userinfo_endpoint: Option<String>,
    /// RFC 9126 §5.
    pub pushed_authorization_request_endpoint: Option<String>,
    /// RFC 9126 §5: no other authorization requests are taken than those that are pushed.
    pub require_pushed_authorization_requests: bool,
    /// How clients may prove themselves; absent means `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// What client assertions may be signed with.
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
}

/// The endpoints at which clients prove themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientEndpoints {
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<String>,
    /// RFC 8628 §4.
    pub device_authorization_endpoint: Option<String>,
}

// === impl Metadata ===

impl Metadata {
    /// Where a client proves itself; `by_tls`: by the certificate of its connection.
    pub fn endpoints(&self, by_tls: bool) -> &ClientEndpoints {
        if by_tls { &self.mtls_endpoints } else { &self.client_endpoints }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 13] = [
            "issuer",
            "access_token_issuer",
            "authorization_endpoint",
            "token_endpoint",
            "end_session_endpoint",
            "jwks_uri",
            "device_authorization_endpoint",
            "mtls_endpoint_aliases",
            "userinfo_endpoint",
            "pushed_authorization_request_endpoint",
            "require_pushed_authorization_requests",
            "token_endpoint_auth_methods_supported",
            "token_endpoint_auth_signing_alg_values_supported",
        ];
        let [
            issuer,
            access_token_issuer,
            authorization_endpoint,
            token_endpoint,
            end_session_endpoint,
            jwks_uri,
            devices,
            aliases,
            userinfo_endpoint,
            pushed,
            pushed_only,
            methods,
            algorithms,
        ] = members(deserializer, NAMES)?;
        let client_endpoints =
            ClientEndpoints { token_endpoint: token_endpoint.text(), device_authorization_endpoint: devices.text() };
        let mut aliases = aliases.object();
        let mut alias = |name: &str, usual: &Option<String>| aliases.remove(name).or_else(|| usual.clone());
        let mtls_endpoints = ClientEndpoints {
            token_endpoint: alias("token_endpoint", &client_endpoints.token_endpoint),
            device_authorization_endpoint: alias("device_authorization_endpoint", &client_endpoints.device_authorization_endpoint),
        };
        Ok(Self {
            issuer: issuer.text(),
            access_token_issuer: access_token_issuer.text(),
            authorization_endpoint: authorization_endpoint.text(),
            client_endpoints,
            mtls_endpoints,
            end_session_endpoint: end_session_endpoint.text(),
            jwks_uri: jwks_uri.text(),
            userinfo_endpoint: userinfo_endpoint.text(),
            pushed_authorization_request_endpoint: pushed.text(),
            require_pushed_authorization_requests: pushed_only.is_true(),
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
            let Metadata { authorization_endpoint, client_endpoints, end_session_endpoint, jwks_uri, .. } = metadata;
            let token_endpoint = client_endpoints.token_endpoint;
            assert_eq!([authorization_endpoint, token_endpoint, end_session_endpoint, jwks_uri], [const { None }; 4], "{odd}");
            assert_eq!(metadata.token_endpoint_auth_methods_supported, None, "{odd}");
        }
        for odd in ["7", "[]", r#""x""#, "{}", r#"{"token_endpoint":7}"#, r#"{"token_endpoint":["x"],"other":"y"}"#] {
            let metadata = read(&format!(r#"{{"token_endpoint":"https://id/t","mtls_endpoint_aliases":{odd}}}"#));
            assert_eq!(metadata.endpoints(true), metadata.endpoints(false), "{odd}");
        }
        let aliases = r#"{"token_endpoint":"https://mtls.id/t","x":{"y":[]}}"#;
        let metadata = read(&format!(
            r#"{{"mtls_endpoint_aliases":{aliases},"token_endpoint":"https://id/t","device_authorization_endpoint":"https://id/d"}}"#
        ));
        assert_eq!(metadata.endpoints(false).token_endpoint.as_deref(), Some("https://id/t"));
        assert_eq!(metadata.endpoints(true).token_endpoint.as_deref(), Some("https://mtls.id/t"));
        assert_eq!(metadata.endpoints(true).device_authorization_endpoint.as_deref(), Some("https://id/d"));
        let text = r#"{"token_endpoint_auth_methods_supported":"client_secret_post"}"#;
        assert_eq!(read(text).token_endpoint_auth_methods_supported, None);
        let list = r#"{"token_endpoint_auth_methods_supported":["client_secret_post",null,7]}"#;
        assert_eq!(read(list).token_endpoint_auth_methods_supported, Some(vec!["client_secret_post".to_owned()]));
        assert_eq!(read(r#"{"issuer":"a","issuer":"b"}"#).issuer.as_deref(), Some("b"));
    }
}
