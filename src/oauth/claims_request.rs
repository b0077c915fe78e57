//! The `claims` request member (OpenID Connect §5.5): a challenge read from what a resource sent,
//! merged with the app's capabilities.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// Why a text is no claims request; it never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsError {
    /// Neither JSON nor base64 of it.
    NotJson,
    /// JSON, but no object.
    NotAnObject,
}

/// Reads a challenge: JSON text, or its base64 in either alphabet, padded or not (REQ-10).
///
/// # Errors
/// It is none of these.
pub fn challenge(text: &str) -> Result<Map<String, Value>, ClaimsError> {
    let text = text.trim();
    let value: Value = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|_| ClaimsError::NotJson)?
    } else {
        let bare = text.trim_end_matches('=');
        let bytes = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).map_err(|_| ClaimsError::NotJson)?;
        serde_json::from_slice(&bytes).map_err(|_| ClaimsError::NotJson)?
    };
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ClaimsError::NotAnObject),
    }
}

/// Merges capabilities, the challenge and the caller's own claims, later ones winning (REQ-9). `None`: there is nothing to send.
pub fn merge(capabilities: &[String], challenge: Option<&Map<String, Value>>, own: Option<&Map<String, Value>>) -> Option<String> {
    let mut merged = Map::new();
    if !capabilities.is_empty() {
        merged.insert("access_token".to_owned(), json!({"xms_cc": {"values": capabilities}}));
    }
    for more in [challenge, own].into_iter().flatten() {
        deepen(&mut merged, more);
    }
    (!merged.is_empty()).then(|| Value::Object(merged).to_string())
}

fn deepen(into: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (into.get_mut(name), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => deepen(mine, theirs),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::{Value, json};

    use super::{ClaimsError, challenge, merge};

    const CHALLENGE: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}},"id_token":{"a":[1,{"b":2}]}}"#;

    #[test]
    fn req_9_capabilities_and_challenge_are_merged() -> Result<(), ClaimsError> {
        let merged = merge(&["cp1".to_owned()], Some(&challenge(CHALLENGE)?), None);
        let merged: Option<Value> = merged.and_then(|text| serde_json::from_str(&text).ok());
        let expected = json!({
            "access_token": {"xms_cc": {"values": ["cp1"]}, "nbf": {"essential": true, "value": "1"}},
            "id_token": {"a": [1, {"b": 2}]}
        });
        assert_eq!(merged, Some(expected));
        assert_eq!(merge(&[], None, None), None);
        Ok(())
    }

    #[test]
    fn req_10_every_base64_is_read() {
        let engines = base64::engine::general_purpose::STANDARD.encode(CHALLENGE);
        let safe = base64::engine::general_purpose::URL_SAFE.encode(CHALLENGE);
        for text in [CHALLENGE, &engines, engines.trim_end_matches('='), &safe, safe.trim_end_matches('=')] {
            assert!(challenge(text).is_ok(), "{text}");
        }
        assert_eq!(challenge("{"), Err(ClaimsError::NotJson));
        assert_eq!(challenge("%%"), Err(ClaimsError::NotJson));
        assert_eq!(challenge("WzFd"), Err(ClaimsError::NotAnObject));
    }
}
