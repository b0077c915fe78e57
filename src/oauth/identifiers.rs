//! The values that specifications register for grants, assertions and token types.

/// RFC 7523 §2.1, which Entra uses for on-behalf-of.
pub const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 §2.1.
pub const GRANT_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 6749 §6.
pub const GRANT_REFRESH_TOKEN: &str = "refresh_token";
/// RFC 6749 §4.3.
pub const GRANT_PASSWORD: &str = "password";
/// RFC 8628 §3.4.
pub const GRANT_DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 7523 §2.2.
pub const ASSERTION_JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// RFC 8693 §3.
pub const TOKEN_TYPE_ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// RFC 8693 §3: what it calls a JWT of any kind.
pub const TOKEN_TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Whether a token type (RFC 8693 §3) is a refresh token's, whoever named it: the registered one, or another vendor's of that name.
pub fn is_refresh_token_type(kind: &str) -> bool {
    let name = kind.trim().rsplit([':', '/', '#']).next().unwrap_or_default();
    name.eq_ignore_ascii_case("refresh_token") || name.eq_ignore_ascii_case("refresh-token")
}

#[cfg(test)]
mod tests {
    use super::{TOKEN_TYPE_ACCESS, is_refresh_token_type};

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
        for kind in [TOKEN_TYPE_ACCESS, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:saml2", ""] {
            assert!(!is_refresh_token_type(kind), "{kind}");
        }
    }
}
