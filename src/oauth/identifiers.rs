//! The values that specifications register for grants, assertions and token types.

/// RFC 7523 §2.1, which Entra uses for on-behalf-of.
pub const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 §2.1.
pub const GRANT_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 6749 §4.4.
pub const GRANT_CLIENT_CREDENTIALS: &str = "client_credentials";
/// RFC 6749 §6.
pub const GRANT_REFRESH_TOKEN: &str = "refresh_token";
/// RFC 6749 §4.3.
pub const GRANT_PASSWORD: &str = "password";
/// RFC 7522 §2.1.
pub const GRANT_SAML2_BEARER: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
/// What Entra calls the grant of RFC 7522 for SAML 1.1, which that knows nothing of.
pub const GRANT_SAML1_BEARER: &str = "urn:ietf:params:oauth:grant-type:saml1_1-bearer";
/// RFC 8628 §3.4.
pub const GRANT_DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 7523 §2.2.
pub const ASSERTION_JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// RFC 8693 §3.
pub const TOKEN_TYPE_ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// RFC 8693 §3: what tokend itself asks for where a server gives a session its refresh token by that word alone.
pub const TOKEN_TYPE_REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// RFC 8693 §3: what it calls a JWT of any kind.
pub const TOKEN_TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// RFC 8693 §3: a SAML 1.1 assertion, in base64url.
pub const TOKEN_TYPE_SAML1: &str = "urn:ietf:params:oauth:token-type:saml1";
/// RFC 8693 §3: a SAML 2.0 assertion, in base64url.
pub const TOKEN_TYPE_SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";

/// Which SAML an assertion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamlVersion {
    /// SAML 1.0 and 1.1.
    V1,
    /// SAML 2.0.
    V2,
}

// === impl SamlVersion ===

impl SamlVersion {
    /// The version that a token type (RFC 8693 §3) names; `None`: it is no assertion's.
    pub fn of_type(kind: &str) -> Option<Self> {
        [Self::V1, Self::V2].into_iter().find(|version| version.token_type() == kind)
    }

    /// What RFC 8693 §3 calls its assertions.
    pub fn token_type(self) -> &'static str {
        match self {
            Self::V1 => TOKEN_TYPE_SAML1,
            Self::V2 => TOKEN_TYPE_SAML2,
        }
    }

    /// The grant whose assertion is one (RFC 7522 §2.1).
    pub fn grant(self) -> &'static str {
        match self {
            Self::V1 => GRANT_SAML1_BEARER,
            Self::V2 => GRANT_SAML2_BEARER,
        }
    }
}

/// Whether a token type (RFC 8693 §3) is a refresh token's, whoever named it: the registered one, or another vendor's of that name.
pub fn is_refresh_token_type(kind: &str) -> bool {
    let name = kind.trim().rsplit([':', '/', '#']).next().unwrap_or_default();
    name.eq_ignore_ascii_case("refresh_token") || name.eq_ignore_ascii_case("refresh-token")
}

#[cfg(test)]
mod tests {
    use super::{SamlVersion, TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT, TOKEN_TYPE_SAML1, TOKEN_TYPE_SAML2, is_refresh_token_type};

    #[test]
    fn req_8_an_assertions_type_is_one_of_two_texts() {
        assert_eq!(
            SamlVersion::of_type(TOKEN_TYPE_SAML1).map(SamlVersion::grant),
            Some("urn:ietf:params:oauth:grant-type:saml1_1-bearer")
        );
        assert_eq!(
            SamlVersion::of_type(TOKEN_TYPE_SAML2).map(SamlVersion::grant),
            Some("urn:ietf:params:oauth:grant-type:saml2-bearer")
        );
        for other in [TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT, "", "saml2", "urn:ietf:params:oauth:token-type:SAML2"] {
            assert_eq!(SamlVersion::of_type(other), None, "{other}");
        }
    }

    #[test]
    fn a_refresh_tokens_type_is_known_by_its_name() {
        for kind in [
            "urn:ietf:params:oauth:token-type:refresh_token",
            "URN:IETF:params:oauth:token-type:Refresh_Token",
            " urn:ietf:params:oauth:token-type:refresh_token ",
            "https://vendor.example/token-type/refresh-token",
            "refresh_token",
        ] {
            assert!(is_refresh_token_type(kind), "{kind}");
        }
        for kind in [TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT, TOKEN_TYPE_SAML2, ""] {
            assert!(!is_refresh_token_type(kind), "{kind}");
        }
    }
}
