//! A server's keys (RFC 7517), read one by one so that a key of an unknown kind does not hide the others.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::shape;

/// A JSON Web Key set.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct KeySet {
    /// The keys as sent; `None`: there is no list of them.
    pub keys: Option<Vec<Value>>,
}

/// One key, with Entra's `issuer`. What confines a key counts only if it can be read, so that none of these may have another shape.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// RFC 7517 §4.1.
    pub kty: String,
    /// RFC 7517 §4.5.
    #[serde(default)]
    pub kid: Option<String>,
    /// RFC 7517 §4.2.
    #[serde(default, rename = "use")]
    pub usage: Option<String>,
    /// RFC 7517 §4.4.
    #[serde(default)]
    pub alg: Option<String>,
    /// Entra: whose tokens the key verifies; `{tenantid}` stands for the token's `tid`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// RSA (RFC 7518 §6.3).
    #[serde(default)]
    pub n: Option<String>,
    /// RSA (RFC 7518 §6.3).
    #[serde(default)]
    pub e: Option<String>,
    /// EC (RFC 7518 §6.2), and OKP (RFC 8037 §2).
    #[serde(default)]
    pub crv: Option<String>,
    /// EC (RFC 7518 §6.2), and OKP (RFC 8037 §2).
    #[serde(default)]
    pub x: Option<String>,
    /// EC (RFC 7518 §6.2).
    #[serde(default)]
    pub y: Option<String>,
}

// === impl KeySet ===

impl From<Map<String, Value>> for KeySet {
    fn from(mut members: Map<String, Value>) -> Self {
        match members.remove("keys") {
            Some(Value::Array(keys)) => Self { keys: Some(keys) },
            _ => Self { keys: None },
        }
    }
}

// === impl Key ===

impl Key {
    /// Reads a key that a set has.
    ///
    /// # Errors
    /// Which member is not what it should be.
    pub fn read(value: &Value) -> Result<Self, String> {
        const TEXTS: [&str; 10] = ["kty", "kid", "use", "alg", "issuer", "n", "e", "crv", "x", "y"];
        let Value::Object(members) = value else { return Err("it is no JSON object".to_owned()) };
        Self::deserialize(value).map_err(|_| match shape::not_text_in(members, &TEXTS) {
            Some((name, found)) => format!("its `{name}` is {found}, where a text belongs"),
            None => "it has no `kty`".to_owned(),
        })
    }

    /// Whether it is for signatures, as far as it says.
    pub fn is_for_signatures(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Key, KeySet};

    #[test]
    fn a_key_names_what_cannot_be_read_of_it() {
        for (key, word) in [
            (json!({"kid": "a"}), "`kty`"),
            (json!({"kty": null}), "`kty`"),
            (json!({"kty": "RSA", "n": 7}), "`n` is a number"),
            (json!({"kty": "RSA", "use": ["sig"]}), "`use` is a list"),
            (json!({"kty": "RSA", "issuer": {}}), "`issuer` is an object"),
            (json!("RSA"), "object"),
        ] {
            assert!(Key::read(&key).is_err_and(|why| why.contains(word)), "{key}");
        }
        assert!(Key::read(&json!({"kty": "RSA", "kid": null, "x5c": 7})).is_ok());
    }

    #[test]
    fn a_set_without_a_list_has_no_keys() -> Result<(), serde_json::Error> {
        for (text, is_list) in
            [(r#"{"keys":[]}"#, true), (r#"{"keys":{}}"#, false), ("{}", false), (r#"{"keys":7,"keys":[1]}"#, true)]
        {
            assert_eq!(serde_json::from_str::<KeySet>(text)?.keys.is_some(), is_list, "{text}");
        }
        assert!(serde_json::from_str::<KeySet>("[]").is_err());
        Ok(())
    }
}
