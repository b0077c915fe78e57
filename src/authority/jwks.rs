//! The keys that an authority signs with, by id.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};

use super::answer::Failure;
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
    pub decoding: DecodingKey,
    withdrawn: AtomicBool,
}

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
        fetch: impl Future<Output = Result<KeySet, Failure>> + Send + 'static,
    ) -> Result<Option<Arc<SigningKey>>, Failure> {
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
                    None => Err(Failure::Broken),
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

fn decoding(key: &Key) -> Option<DecodingKey> {
    match (key.kty.as_str(), &key.n, &key.e, &key.x, &key.y) {
        ("RSA", Some(n), Some(e), ..) => DecodingKey::from_rsa_components(n, e).ok(),
        ("EC", _, _, Some(x), Some(y)) => DecodingKey::from_ec_components(x, y).ok(),
        _ => None,
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// Whether the authority no longer publishes it.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Whether it may verify a signature of this algorithm: RS, PS, ES as its `kty`, `alg` and curve allow.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let kind_fits = match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 | Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => {
                self.key.kty == "RSA"
            }
            Algorithm::ES256 => self.key.kty == "EC" && self.key.crv.as_deref() == Some("P-256"),
            Algorithm::ES384 => self.key.kty == "EC" && self.key.crv.as_deref() == Some("P-384"),
            _ => false,
        };
        let alg_fits = self.key.alg.as_deref().is_none_or(|alg| alg == format!("{algorithm:?}"));
        kind_fits && alg_fits
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.key.kid).field("kty", &self.key.kty).finish_non_exhaustive()
    }
}
