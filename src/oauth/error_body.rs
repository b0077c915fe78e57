//! What an authority says when it refuses: RFC 6749 §5.2, and the members that Entra adds.

use serde::{Deserialize, Deserializer, Serialize};

/// How many AADSTS numbers are kept: Entra sends one or two, and they travel with every refusal.
const MOST_CODES: usize = 16;

/// An OAuth error answer. Numbers in `error_codes` are passed on and never drive a branch (ERR-9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorBody {
    /// RFC 6749 §5.2 `error`.
    pub error: String,
    /// RFC 6749 §5.2 `error_description`; cut and cleared of secrets before it leaves `authority`.
    #[serde(default, deserialize_with = "lenient")]
    pub error_description: Option<String>,
    /// Entra: a finer reason (`consent_required`, `basic_action`, …).
    #[serde(default, deserialize_with = "lenient")]
    pub suberror: Option<String>,
    /// Entra: AADSTS numbers.
    #[serde(default, deserialize_with = "lenient_numbers")]
    pub error_codes: Vec<u64>,
    /// Entra: how it classifies the error itself.
    #[serde(default, deserialize_with = "lenient")]
    pub classification: Option<String>,
    /// A claims challenge, as JSON text (OpenID Connect §5.5).
    #[serde(default, deserialize_with = "lenient")]
    pub claims: Option<String>,
    /// Entra: the id of the request in its logs.
    #[serde(default, deserialize_with = "lenient")]
    pub trace_id: Option<String>,
    /// Entra: the `client-request-id` it saw.
    #[serde(default, deserialize_with = "lenient")]
    pub correlation_id: Option<String>,
}

/// A member of the wrong type counts as absent: one odd member must not hide the error itself.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    })
}

fn lenient_numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(list) => list.iter().filter_map(serde_json::Value::as_u64).take(MOST_CODES).collect(),
        _ => Vec::new(),
    })
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
