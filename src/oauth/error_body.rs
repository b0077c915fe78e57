//! What an authority says when it refuses: RFC 6749 §5.2, and the members that Entra adds.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::members::members;

/// How many AADSTS numbers are kept: Entra sends one or two, and they travel with every refusal.
const MOST_CODES: usize = 16;

/// An OAuth error answer. Numbers in `error_codes` are passed on and never drive a branch (ERR-9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// RFC 6749 §5.2 `error`, never empty.
    pub error: String,
    /// RFC 6749 §5.2 `error_description`; cut and cleared of secrets before it leaves `authority`.
    pub error_description: Option<String>,
    /// Entra: a finer reason (`consent_required`, `basic_action`, …).
    pub suberror: Option<String>,
    /// Entra: AADSTS numbers.
    pub error_codes: Vec<u64>,
    /// Entra: how it classifies the error itself.
    pub classification: Option<String>,
    /// A claims challenge, as JSON text (OpenID Connect §5.5).
    pub claims: Option<String>,
    /// Entra: the id of the request in its logs.
    pub trace_id: Option<String>,
    /// Entra: the `client-request-id` it saw.
    pub correlation_id: Option<String>,
}

// === impl ErrorBody ===

/// A member of the wrong type counts as absent: one odd member must not hide the error itself. Without an error that says something
/// it is none.
impl<'de> Deserialize<'de> for ErrorBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 8] =
            ["error", "error_description", "suberror", "error_codes", "classification", "claims", "trace_id", "correlation_id"];
        let [error, error_description, suberror, error_codes, classification, claims, trace_id, correlation_id] =
            members(deserializer, NAMES)?;
        Ok(Self {
            error: error.text().ok_or_else(|| D::Error::missing_field("error"))?,
            error_description: error_description.text(),
            suberror: suberror.text(),
            error_codes: error_codes.numbers().into_iter().take(MOST_CODES).collect(),
            classification: classification.text(),
            claims: claims.text(),
            trace_id: trace_id.text(),
            correlation_id: correlation_id.text(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorBody;

    #[test]
    fn odd_members_do_not_hide_the_error() -> Result<(), serde_json::Error> {
        let body: ErrorBody =
            serde_json::from_str(r#"{"error":"invalid_grant","suberror":7,"error_codes":"x","claims":null,"new":1}"#)?;
        assert_eq!(body, ErrorBody { error: "invalid_grant".to_owned(), ..ErrorBody::default() });
        Ok(())
    }

    #[test]
    fn a_flood_of_numbers_is_cut() -> Result<(), serde_json::Error> {
        let codes: Vec<u64> = (0..100_000).collect();
        let body: ErrorBody = serde_json::from_value(serde_json::json!({"error": "e", "error_codes": codes}))?;
        assert_eq!(body.error_codes, codes[..16]);
        Ok(())
    }
}
