//! The AADSTS numbers: which error, suberror, claims and status Entra sends with each.

use hyper::StatusCode;

/// What is known about a number.
pub(crate) struct Row {
    code: u32,
    status: u16,
    pub(crate) error: &'static str,
    pub(crate) suberror: Option<&'static str>,
    pub(crate) claims: Option<&'static str>,
    pub(crate) text: &'static str,
}

/// The challenge that conditional access sends; the value is an id of a policy, of no meaning to a client.
const POLICY: Option<&str> =
    Some(r#"{"access_token":{"capolids":{"essential":true,"values":["c2f6d1b8-73a5-4e0d-9b64-5d8e1a3f7c90"]}}}"#);

const GRANT: &str = "invalid_grant";
const CLIENT: &str = "invalid_client";
const INTERACTION: &str = "interaction_required";
const REQUEST: &str = "invalid_request";
const BASIC: Option<&str> = Some("basic_action");
const ADDITIONAL: Option<&str> = Some("additional_action");
const MESSAGE: Option<&str> = Some("message_only");
const BAD_TOKEN: Option<&str> = Some("bad_token");

const fn plain(code: u32, status: u16, error: &'static str, suberror: Option<&'static str>, text: &'static str) -> Row {
    Row { code, status, error, suberror, claims: None, text }
}

const fn challenge(code: u32, error: &'static str, suberror: Option<&'static str>, text: &'static str) -> Row {
    Row { code, status: 400, error, suberror, claims: POLICY, text }
}

static TABLE: &[Row] = &[
    // The assertion of on-behalf-of.
    plain(50013, 400, GRANT, None, "Assertion failed signature validation."),
    plain(500_131, 400, GRANT, None, "Assertion audience does not match the client app presenting the assertion."),
    plain(500_133, 400, GRANT, None, "Assertion is not within its valid time range."),
    plain(240_002, 400, GRANT, None, "An id token cannot be used as the assertion of this grant."),
    // More is wanted of the user.
    challenge(50072, INTERACTION, BASIC, "The user must enroll in multi-factor authentication."),
    challenge(50074, INTERACTION, BASIC, "Strong authentication is required."),
    challenge(50076, INTERACTION, BASIC, "Due to a change by the administrator, multi-factor authentication is needed."),
    challenge(50078, GRANT, BASIC, "The multi-factor authentication of this session has expired."),
    challenge(50079, INTERACTION, BASIC, "The user must enroll for multi-factor authentication."),
    challenge(50158, INTERACTION, BASIC, "An external security challenge was not satisfied."),
    challenge(53000, INTERACTION, MESSAGE, "The device is not in the required state: it is not compliant."),
    challenge(53001, INTERACTION, MESSAGE, "The device is not in the required state: it is not domain joined."),
    challenge(53002, INTERACTION, MESSAGE, "The application is not an approved app for conditional access."),
    challenge(53003, INTERACTION, MESSAGE, "Access has been blocked by conditional access policies."),
    plain(50097, 400, INTERACTION, ADDITIONAL, "Device authentication is required."),
    plain(50131, 400, INTERACTION, MESSAGE, "The device is not in the required state for this sign-in."),
    plain(50058, 400, "login_required", None, "A silent sign-in was asked for, but no user is signed in."),
    // Consent.
    plain(65001, 400, GRANT, Some("consent_required"), "The user or administrator has not consented to use the application."),
    plain(65004, 400, "access_denied", None, "The user declined to consent to access the application."),
    // Refresh tokens and codes.
    plain(70000, 400, GRANT, BAD_TOKEN, "The provided grant is invalid or malformed."),
    plain(70008, 400, GRANT, BAD_TOKEN, "The provided authorization code or refresh token has expired."),
    plain(700_082, 400, GRANT, BAD_TOKEN, "The refresh token has expired due to inactivity."),
    plain(70043, 400, GRANT, BAD_TOKEN, "The refresh token has expired due to sign-in frequency checks."),
    plain(50173, 400, GRANT, BAD_TOKEN, "The grant was revoked because the user changed or reset the password."),
    plain(50132, 400, GRANT, BAD_TOKEN, "The session is not valid: credentials have been revoked."),
    plain(50133, 400, GRANT, BAD_TOKEN, "The session is not valid: the password expired or was changed."),
    plain(54005, 400, GRANT, None, "The authorization code was already redeemed; get a new one or use a refresh token."),
    plain(501_481, 400, GRANT, None, "The code_verifier does not match the code_challenge of the authorization request."),
    plain(50011, 400, REQUEST, None, "The redirect URI of the request does not match those configured for the application."),
    plain(500_112, 400, GRANT, None, "The redirect URI does not match the one given when the code was requested."),
    // The client.
    plain(70002, 401, CLIENT, None, "The client credential is missing or invalid."),
    plain(7_000_215, 401, CLIENT, None, "Invalid client secret provided."),
    plain(7_000_218, 401, CLIENT, None, "The request must contain client_assertion or client_secret."),
    plain(7_000_222, 401, CLIENT, None, "The provided client secret keys are expired."),
    plain(700_021, 401, CLIENT, None, "The client assertion's application identifier does not match client_id."),
    plain(700_023, 401, CLIENT, None, "The client assertion's audience does not match the realm issuer."),
    plain(700_024, 401, CLIENT, None, "The client assertion is not within its valid time range."),
    plain(700_025, 401, CLIENT, None, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."),
    plain(700_027, 401, CLIENT, None, "The certificate with the identifier used to sign the client assertion is not registered."),
    plain(700_030, 401, CLIENT, None, "The certificate is invalid: its subject name and issuer are not authorized."),
    plain(70025, 401, CLIENT, None, "The client has no configured federated identity credentials."),
    plain(700_211, 401, CLIENT, None, "No matching federated identity record found for the assertion's issuer."),
    plain(700_212, 401, CLIENT, None, "No matching federated identity record found for the assertion's audience."),
    plain(700_213, 401, CLIENT, None, "No matching federated identity record found for the assertion's subject."),
    plain(50012, 401, CLIENT, None, "Authentication failed."),
    plain(700_016, 400, "unauthorized_client", None, "The application was not found in the directory."),
    plain(700_011, 400, CLIENT, None, "The application with the client id of the request does not exist in the directory."),
    plain(50194, 400, REQUEST, None, "The application is not configured as multi-tenant: /common is not supported for it."),
    // The request.
    plain(50059, 400, REQUEST, None, "No tenant-identifying information was found in the request."),
    plain(90002, 400, REQUEST, None, "The tenant was not found."),
    plain(900_144, 400, REQUEST, None, "A required parameter is missing."),
    plain(9_000_410, 400, REQUEST, None, "Malformed JSON in the claims parameter."),
    plain(9_000_411, 400, REQUEST, None, "The request is not properly formatted: a parameter is duplicated."),
    plain(9_002_313, 400, REQUEST, None, "The request is malformed or invalid."),
    plain(
        9_001_023,
        400,
        REQUEST,
        None,
        "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific \
         endpoint.",
    ),
    plain(50049, 400, "invalid_instance", None, "Unknown or invalid instance."),
    plain(28000, 400, REQUEST, None, "The value of scope is not valid because it contains more than one resource."),
    plain(28003, 400, REQUEST, None, "The value of scope cannot be empty for a code of more than one resource."),
    plain(70011, 400, "invalid_scope", None, "The provided value for the scope is not valid."),
    plain(
        1_002_012,
        400,
        "invalid_scope",
        None,
        "Client credential flows must have a scope value with /.default suffixed to the resource.",
    ),
    plain(500_011, 400, "invalid_resource", None, "The resource principal was not found in the tenant."),
    plain(70003, 400, "unsupported_grant_type", None, "The grant type is not supported."),
    plain(700_051, 400, "unsupported_response_type", None, "The response type is not enabled for the application."),
    // Device code.
    plain(70016, 400, "authorization_pending", None, "Authorization is pending. Continue polling."),
    plain(70018, 400, "bad_verification_code", None, "The device code is not valid."),
    plain(70019, 400, "code_expired", None, "The verification code has expired."),
    plain(70020, 400, "expired_token", None, "The device code has expired."),
    // Passwords and accounts.
    plain(50126, 400, GRANT, None, "Error validating credentials due to invalid username or password."),
    plain(50034, 400, GRANT, None, "The user account does not exist in the directory."),
    plain(50053, 400, GRANT, None, "The account is locked."),
    plain(50055, 400, GRANT, Some("user_password_expired"), "The password is expired."),
    plain(50057, 400, GRANT, None, "The user account is disabled."),
    // The service itself.
    plain(50196, 400, GRANT, None, "The server terminated an operation because it encountered a client request loop."),
    plain(90033, 503, "temporarily_unavailable", None, "A transient error has occurred. Please try again."),
    plain(90055, 429, "temporarily_unavailable", None, "There are too many incoming requests."),
];

/// A number that is not in the table is a refusal all the same: nothing may branch on numbers.
static UNKNOWN: Row = plain(0, 400, REQUEST, None, "The request was refused.");

/// The row of a number, or one for all others.
pub(crate) fn row(code: u32) -> &'static Row {
    TABLE.iter().find(|row| row.code == code).unwrap_or(&UNKNOWN)
}

/// Whether the table has it: a script that names another has a typo.
pub(crate) fn is_known(code: u32) -> bool {
    TABLE.iter().any(|row| row.code == code)
}

// === impl Row ===

impl Row {
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST)
    }
}

#[cfg(test)]
mod tests {
    use super::{TABLE, is_known};

    #[test]
    fn every_number_once_and_those_of_the_reference() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(at + 1).all(|other| other.code != row.code), "{} twice", row.code);
        }
        for code in [
            50013, 500_133, 500_131, 50076, 50079, 50074, 50072, 50078, 50158, 53000, 53001, 53002, 53003, 50097, 50131, 65001,
            65004, 70000, 70008, 700_082, 70043, 50173, 50132, 50133, 54005, 501_481, 50011, 70002, 7_000_215, 7_000_222, 700_027,
            50012, 700_030, 700_016, 700_011, 90002, 50049, 70011, 1_002_012, 500_011, 70003, 70016, 70018, 70019, 70020, 50126,
            50034, 50055, 50057, 50053, 50194, 50196, 90033, 28000, 28003, 70025, 700_025, 7_000_218,
        ] {
            assert!(is_known(code), "{code}");
        }
    }
}
