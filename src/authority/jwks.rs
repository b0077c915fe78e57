//! The keys that an authority signs with, by id.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use super::answer::AuthorityError;
use super::fetched::Fetched;
use crate::clock::Clock;
use crate::oauth::{Key, KeySet};
use crate::tasks::Tasks;

/// How old a key set may be before it is fetched again in the background: how long a withdrawn key may go on verifying, while the
/// authority answers.
const AGE: Duration = Duration::from_secs(15 * 60);

/// How long an unknown key id does not fetch the keys again.
const COOLDOWN: Duration = Duration::from_secs(30);

/// The keys of one authority.
#[derive(Debug)]
pub struct Keys {
    sets: Fetched<HashMap<String, Arc<SigningKey>>>,
    // The keys of the newest set: a key that stays keeps its identity, so that what it verified stays remembered.
    known: Arc<Mutex<HashMap<String, Arc<SigningKey>>>>,
}

/// One key.
pub struct SigningKey {
    /// As published.
    pub key: Key,
    /// Ready for use.
    pub decoding: Decoding,
    withdrawn: AtomicBool,
}

/// A key ready for use.
pub enum Decoding {
    /// For what `jsonwebtoken` verifies.
    Usual(DecodingKey),
    /// A point of the curve P-521, uncompressed, for ES512, which it does not know.
    P521(Vec<u8>),
}

/// How long a coordinate of P-521 is, in bytes (RFC 7518 §6.2.1.2).
const P521_COORDINATE: usize = 66;

// === impl Keys ===

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// No keys yet.
    pub fn new() -> Self {
        Self { sets: Fetched::new("keys"), known: Arc::default() }
    }

    /// The key with this id; the only key, for a token that names none.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        clock: &Clock,
        tasks: &Tasks,
        fetch: impl Future<Output = Result<KeySet, AuthorityError>> + Send + 'static,
    ) -> Result<Option<Arc<SigningKey>>, AuthorityError> {
        let known = Arc::clone(&self.known);
        let fetch = async move { fetch.await.map(|set| adopt(&known, &set)) };
        // Two steps share one future: whichever leads takes it.
        let fetch = Arc::new(Mutex::new(Some(fetch)));
        let take = |fetch: &Arc<Mutex<Option<_>>>| {
            let fetch = Arc::clone(fetch);
            async move {
                let taken = fetch.lock().unwrap_or_else(PoisonError::into_inner).take();
                match taken {
                    Some(fetch) => fetch.await,
                    None => Err(AuthorityError::broken_off()),
                }
            }
        };
        let set = self.sets.get(clock, tasks, AGE, take(&fetch)).await?;
        if let Some(key) = pick(&set, kid) {
            return Ok(Some(key));
        }
        let set = self.sets.renew(clock, tasks, COOLDOWN, take(&fetch)).await?;
        Ok(pick(&set, kid))
    }
}

fn pick(set: &HashMap<String, Arc<SigningKey>>, kid: Option<&str>) -> Option<Arc<SigningKey>> {
    match kid {
        Some(kid) => set.get(kid).cloned(),
        None if set.len() == 1 => set.values().next().cloned(),
        None => None,
    }
}

/// Takes over a fetched set: known keys stay the same object, keys that are gone are marked as withdrawn.
fn adopt(known: &Mutex<HashMap<String, Arc<SigningKey>>>, set: &KeySet) -> HashMap<String, Arc<SigningKey>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let mut keys = HashMap::new();
    for key in set.usable() {
        let kid = key.kid.clone().unwrap_or_default();
        match known.get(&kid) {
            Some(same) if same.key == key => {
                keys.insert(kid, Arc::clone(same));
            }
            _ => {
                if let Some(decoding) = decoding(&key) {
                    keys.insert(kid, Arc::new(SigningKey { key, decoding, withdrawn: AtomicBool::new(false) }));
                }
            }
        }
    }
    for (kid, key) in known.iter() {
        if !keys.get(kid).is_some_and(|kept| Arc::ptr_eq(kept, key)) {
            key.withdrawn.store(true, Ordering::Release);
        }
    }
    known.clone_from(&keys);
    keys
}

fn decoding(key: &Key) -> Option<Decoding> {
    match (key.kty.as_str(), &key.n, &key.e, &key.x, &key.y) {
        ("RSA", Some(n), Some(e), ..) => DecodingKey::from_rsa_components(n, e).ok().map(Decoding::Usual),
        ("EC", _, _, Some(x), Some(y)) if key.crv.as_deref() == Some("P-521") => p521(x, y).map(Decoding::P521),
        ("EC", _, _, Some(x), Some(y)) => DecodingKey::from_ec_components(x, y).ok().map(Decoding::Usual),
        ("OKP", _, _, Some(x), _) => DecodingKey::from_ed_components(x).ok().map(Decoding::Usual),
        _ => None,
    }
}

/// An uncompressed point (SEC 1 §2.3.3).
fn p521(x: &str, y: &str) -> Option<Vec<u8>> {
    let mut point = vec![4];
    for coordinate in [x, y] {
        let bytes = URL_SAFE_NO_PAD.decode(coordinate).ok().filter(|bytes| bytes.len() == P521_COORDINATE)?;
        point.extend_from_slice(&bytes);
    }
    Some(point)
}

// === impl SigningKey ===

impl SigningKey {
    /// Whether the authority no longer publishes it.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Whether it may verify a signature of this algorithm (RFC 7518 §3.1, RFC 8037 §3.1): RS, PS, ES and EdDSA where its `kty`,
    /// `alg` and `crv` allow it, and nothing else.
    pub fn fits(&self, algorithm: &str) -> bool {
        let (kty, crv) = match algorithm {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => ("RSA", None),
            "ES256" => ("EC", Some("P-256")),
            "ES384" => ("EC", Some("P-384")),
            "ES512" => ("EC", Some("P-521")),
            "EdDSA" => ("OKP", Some("Ed25519")),
            _ => return false,
        };
        self.key.kty == kty
            && (crv.is_none() || self.key.crv.as_deref() == crv)
            && self.key.alg.as_deref().is_none_or(|alg| alg == algorithm)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.key.kid).field("kty", &self.key.kty).finish_non_exhaustive()
    }
}
