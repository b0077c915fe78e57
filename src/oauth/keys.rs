//! A server's keys (RFC 7517), read one by one so that a key of an unknown kind does not hide the others.

use serde::Deserialize;

/// A JSON Web Key set.
#[derive(Clone, Debug, Deserialize)]
pub struct KeySet {
    /// The keys as sent.
    pub keys: Vec<serde_json::Value>,
}

/// One key, with Entra's `issuer`.
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

impl KeySet {
    /// The keys that can be read and may verify signatures.
    pub fn usable(&self) -> Vec<Key> {
        let keys = self.keys.iter().filter_map(|key| Key::deserialize(key).ok());
        keys.filter(|key| key.usage.as_deref().is_none_or(|usage| usage == "sig")).collect()
    }
}
