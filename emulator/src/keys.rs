//! The keys that tokens are signed with, their publication as a JWKS, and their rotation.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::{error::Unspecified, rsa::KeySize, signature::RsaKeyPair};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::jose::{self, PublicKey};

/// Which key signs a minted token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Which {
    /// The one that all issued tokens are signed with.
    #[default]
    Current,
    /// One that is published for a single tenant's issuer.
    Tenant,
    /// The one before the last rotation, published or not.
    Old,
    /// One that was never published.
    Unknown,
    /// The app's own, as Entra has for apps with mapped claims: published only to whoever names the app.
    Mapped,
}

/// A private key with its name. Signing happens outside the lock around [`Keys`].
pub(crate) struct SigningKey {
    kid: String,
    pair: RsaKeyPair,
}

pub(crate) struct Keys {
    current: Arc<SigningKey>,
    tenant: Arc<SigningKey>,
    old: Vec<Arc<SigningKey>>,
    /// Old keys that are still in the JWKS, counted from the newest.
    kept: usize,
    unknown: Option<Arc<SigningKey>>,
    /// By the app's client id.
    mapped: HashMap<String, Arc<SigningKey>>,
}

// === impl SigningKey ===

impl SigningKey {
    fn generate() -> Result<Arc<Self>, Unspecified> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
        // As long as Entra's, which are SHA-1 thumbprints of certificates.
        let kid = jose::encode(rand::random::<[u8; 20]>());
        Ok(Arc::new(Self { kid, pair }))
    }

    /// Signs under its `kid`; `header` overrides members (null removes).
    pub(crate) fn sign(&self, header: &Map<String, Value>, claims: &Map<String, Value>) -> Option<String> {
        let mut full = Map::new();
        full.insert("typ".to_owned(), json!("JWT"));
        full.insert("alg".to_owned(), json!("RS256"));
        full.insert("kid".to_owned(), json!(self.kid));
        merge(&mut full, header);
        jose::sign(&self.pair, &full, claims)
    }

    /// A key that was made elsewhere, as a test has it.
    #[cfg(test)]
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Some(Self { kid: "elsewhere".to_owned(), pair: RsaKeyPair::from_pkcs8(der).ok()? })
    }

    /// Its signature over bytes that are no JSON.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        jose::rsa_sha256(&self.pair, bytes)
    }

    pub(crate) fn name(&self) -> &str {
        &self.kid
    }

    fn jwk(&self, issuer: Option<&str>) -> Value {
        let (n, e) = match PublicKey::of(&self.pair) {
            PublicKey::Rsa { n, e } => (n, e),
            PublicKey::Ec(_) | PublicKey::Ed25519(_) => (Vec::new(), Vec::new()),
        };
        let mut jwk = json!({"kty": "RSA", "use": "sig", "kid": self.kid, "x5t": self.kid,
            "n": jose::encode(n), "e": jose::encode(e)});
        if let Some(issuer) = issuer {
            jwk["issuer"] = json!(issuer);
        }
        jwk
    }
}

// === impl Keys ===

impl Keys {
    pub(crate) fn generate() -> Result<Self, Unspecified> {
        let [current, tenant] = [SigningKey::generate()?, SigningKey::generate()?];
        Ok(Self { current, tenant, old: Vec::new(), kept: 0, unknown: None, mapped: HashMap::new() })
    }

    /// A new current key; the previous ones stay published only if `keep_old`.
    pub(crate) fn rotate(&mut self, keep_old: bool) -> Result<&str, Unspecified> {
        let fresh = SigningKey::generate()?;
        self.old.push(std::mem::replace(&mut self.current, fresh));
        self.kept = if keep_old { self.kept + 1 } else { 0 };
        Ok(&self.current.kid)
    }

    /// The key set. `shared` is the `issuer` member of the keys of all tenants, `tenant` that of the key of one
    /// tenant, which is published only together with it: without the member nothing would confine that key.
    pub(crate) fn jwks(&self, shared: Option<&str>, tenant: Option<&str>) -> Value {
        let mut keys: Vec<Value> = self.published().map(|key| key.jwk(shared)).collect();
        if let Some(issuer) = tenant {
            keys.push(self.tenant.jwk(Some(issuer)));
        }
        json!({ "keys": keys })
    }

    /// The key of an app with mapped claims, as it is published; none if no token was signed with it.
    pub(crate) fn mapped_jwk(&self, client_id: &str, issuer: Option<&str>) -> Option<Value> {
        self.mapped.get(client_id).map(|key| key.jwk(issuer))
    }

    fn published(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        std::iter::once(&self.current).chain(self.old.iter().rev().take(self.kept))
    }

    /// The key named; none if there is no old one yet.
    pub(crate) fn choose(&mut self, which: Which) -> Option<Arc<SigningKey>> {
        self.choose_for(which, "")
    }

    /// The key named, for tokens of an app.
    pub(crate) fn choose_for(&mut self, which: Which, client_id: &str) -> Option<Arc<SigningKey>> {
        match which {
            Which::Mapped => {
                if !self.mapped.contains_key(client_id) {
                    self.mapped.insert(client_id.to_owned(), SigningKey::generate().ok()?);
                }
                self.mapped.get(client_id).cloned()
            }
            Which::Current => Some(Arc::clone(&self.current)),
            Which::Tenant => Some(Arc::clone(&self.tenant)),
            Which::Old => self.old.last().cloned(),
            Which::Unknown => {
                if self.unknown.is_none() {
                    self.unknown = SigningKey::generate().ok();
                }
                self.unknown.clone()
            }
        }
    }

    /// The published key of this name, to check a signature with.
    pub(crate) fn published_as(&self, kid: &str) -> Option<PublicKey> {
        self.published().find(|key| key.kid == kid).map(|key| PublicKey::of(&key.pair))
    }
}

/// Members of `over` replace those of `base`; null removes.
pub(crate) fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        if value.is_null() {
            base.remove(name);
        } else {
            base.insert(name.clone(), value.clone());
        }
    }
}
