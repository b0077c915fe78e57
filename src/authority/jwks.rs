//! The keys that an authority signs with: which of them may have signed a token, and whether one did.

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::answer::AuthorityError;
use super::decoding::Decoding;
use super::fetched::Fetched;
use crate::clock::Clock;
use crate::finding::Complaint;
use crate::oauth::{Key, KeySet};
use crate::reload::{Contents, Reloading, Source};
use crate::tasks::Tasks;

/// How old a key set may be before it is fetched again in the background: how long a withdrawn key may go on verifying, while the
/// authority answers.
const AGE: Duration = Duration::from_secs(15 * 60);

/// How long an unknown key id does not fetch the keys again.
const COOLDOWN: Duration = Duration::from_secs(30);

/// How many keys of a set are looked at: more than any server has.
const MOST_KEYS: usize = 1000;

/// How many keys of one set the log names that cannot be read.
const MOST_NAMED: usize = 16;

/// What a file of keys is.
const JWKS: &str = "write the issuer's JSON Web Key Set (RFC 7517 §5): {\"keys\": [...]}, with RSA, EC or Ed25519 keys";

/// How much of a key's id the log shows, in characters.
const SHOWN: usize = 64;

/// The keys of one authority, or those that it signs one app's tokens with.
#[derive(Debug)]
pub(super) struct Keys {
    sets: Fetched<Vec<Arc<SigningKey>>>,
    // The keys of the newest set: a key that stays keeps its identity, so that what it verified stays remembered.
    known: Arc<Mutex<KnownKeys>>,
}

/// The keys of a file, which are followed.
#[derive(Debug)]
pub(super) struct FileKeys(pub(super) Arc<Reloading<Vec<Arc<SigningKey>>>>);

/// The newest set, and what was said of it.
#[derive(Debug, Default)]
struct KnownKeys {
    /// Whose they are, for the log.
    authority: String,
    /// The one app whose tokens they sign.
    client: Option<Arc<str>>,
    keys: Vec<Arc<SigningKey>>,
    /// What the log says of keys that cannot be read: by id and reason.
    said: HashSet<(String, String)>,
}

/// One key.
pub struct SigningKey {
    /// As published.
    pub key: Key,
    /// Ready for use.
    pub decoding: Decoding,
    client: Option<Arc<str>>,
    withdrawn: AtomicBool,
}

/// What a token says of the key that signed it, and how one is tried.
pub struct SignedToken<'a> {
    /// The key's id, where it names one.
    pub kid: Option<&'a str>,
    /// The algorithm.
    pub algorithm: &'a str,
    /// Whether a key that may have signed it did.
    pub is_by: &'a (dyn Fn(&SigningKey) -> bool + Sync),
}

/// Who signed a token.
#[derive(Debug)]
pub enum Signer {
    /// This key.
    Key(Arc<SigningKey>),
    /// Nobody whose key is published.
    Unpublished,
    /// Keys with its id are there, and none is for its algorithm.
    Unfit,
    /// Keys that may have signed it are there, and none did.
    Forged,
}

// === impl Keys ===

impl Keys {
    /// No keys yet of this authority, for the tokens of one client or of all.
    pub(super) fn new(authority: String, client: Option<Arc<str>>) -> Self {
        let known = KnownKeys { authority, client, ..KnownKeys::default() };
        Self { sets: Fetched::new("keys"), known: Arc::new(Mutex::new(known)) }
    }

    /// Who signed a token. The set is fetched anew if no key in it can be the one, and it was not asked for lately.
    pub(super) async fn signer(
        &self,
        signed: &SignedToken<'_>,
        clock: &Clock,
        tasks: &Tasks,
        fetch: impl Future<Output = Result<KeySet, AuthorityError>> + Send + 'static,
    ) -> Result<Signer, AuthorityError> {
        let known = Arc::clone(&self.known);
        let fetch = async move {
            let keys = fetch.await?.keys.ok_or(AuthorityError::Invalid("the key set has no list of `keys`"))?;
            Ok(known.lock().unwrap_or_else(PoisonError::into_inner).adopt(&keys))
        };
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
        if let Some(signer) = signed.look(&set, false) {
            return Ok(signer);
        }
        let set = self.sets.renew(clock, tasks, COOLDOWN, take(&fetch)).await?;
        Ok(signed.look(&set, true).unwrap_or(Signer::Unpublished))
    }
}

// === impl FileKeys ===

impl FileKeys {
    /// Reads the file for the first time: a key set (RFC 7517 §5) with one key at least that can be used. `authority` is whose it
    /// is, for the log.
    pub(super) fn load(source: &Source, authority: &str) -> Result<Self, Complaint> {
        let known = Mutex::new(KnownKeys { authority: authority.to_owned(), ..KnownKeys::default() });
        let parse = move |contents: &[Contents]| {
            let set = contents.first().and_then(|contents| serde_json::from_slice::<KeySet>(contents.bytes()).ok());
            let set = set.ok_or_else(|| Complaint::new("it is no JSON object", JWKS))?;
            let keys = set.keys.ok_or_else(|| Complaint::new("it has no list of `keys`", JWKS))?;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // What is refused must not withdraw the keys that stay in force.
            if !keys.iter().any(|key| matches!(known.read(key), Ok(Some(_)))) {
                return Err(Complaint::new("there is no key in it that can verify a signature", JWKS));
            }
            Ok(known.adopt(&keys))
        };
        Reloading::load_joined(&source.key, vec![source.clone()], parse).map(Self)
    }

    /// Who signed a token, as far as the keys in force say; `None`: it may be one of a newer file.
    pub(super) fn look(&self, signed: &SignedToken<'_>, is_newest: bool) -> Option<Signer> {
        signed.look(&self.0.current().value, is_newest)
    }
}

// === impl SignedToken ===

impl SignedToken<'_> {
    /// Who signed it, of a set of keys; `None`: it may be one of a newer set. Keys without an id may be any token's, and each that
    /// fits is tried.
    fn look(&self, set: &[Arc<SigningKey>], is_newest: bool) -> Option<Signer> {
        let is_named = |key: &&Arc<SigningKey>| self.kid.is_some() && key.key.kid.as_deref() == self.kid;
        let may_be = |key: &&Arc<SigningKey>| self.kid.is_none() || key.key.kid.is_none() || is_named(key);
        let mut fitting = set.iter().filter(may_be).filter(|key| key.fits(self.algorithm)).peekable();
        let is_some_fitting = fitting.peek().is_some();
        if let Some(key) = fitting.find(|key| (self.is_by)(key)) {
            return Some(Signer::Key(Arc::clone(key)));
        }
        let named: Vec<_> = set.iter().filter(is_named).collect();
        if named.is_empty() {
            return (is_newest && self.kid.is_none() && is_some_fitting).then_some(Signer::Forged);
        }
        Some(if named.iter().any(|key| key.fits(self.algorithm)) { Signer::Forged } else { Signer::Unfit })
    }
}

// === impl KnownKeys ===

impl KnownKeys {
    /// Takes over a fetched set: known keys stay what they are, keys that are gone are marked as withdrawn.
    fn adopt(&mut self, set: &[Value]) -> Vec<Arc<SigningKey>> {
        let mut keys = Vec::new();
        let mut unreadable = Vec::new();
        for value in set.iter().take(MOST_KEYS) {
            match self.read(value) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(reason) => unreadable.push((shown(value), reason)),
            }
        }
        for key in self.keys.iter().filter(|key| !keys.iter().any(|kept| Arc::ptr_eq(kept, key))) {
            key.withdrawn.store(true, Ordering::Release);
        }
        self.say(unreadable);
        self.keys.clone_from(&keys);
        keys
    }

    /// A key of a set; `None`: it is not for signatures.
    fn read(&self, value: &Value) -> Result<Option<Arc<SigningKey>>, String> {
        let key = Key::read(value)?;
        if !key.is_for_signatures() {
            return Ok(None);
        }
        if let Some(same) = self.keys.iter().find(|known| known.key == key) {
            return Ok(Some(Arc::clone(same)));
        }
        let decoding = Decoding::of(&key)?;
        Ok(Some(Arc::new(SigningKey { key, decoding, client: self.client.clone(), withdrawn: AtomicBool::new(false) })))
    }

    /// Tells the log of keys that cannot be read.
    fn say(&mut self, unreadable: Vec<(String, String)>) {
        let more = unreadable.len().saturating_sub(MOST_NAMED);
        for (kid, reason) in self.unsaid(unreadable) {
            tracing::warn!(
                authority = self.authority,
                kid,
                reason,
                more,
                "a key of the authority cannot be read: it verifies nothing"
            );
        }
    }

    /// What the log has to say: of each key once while it is there.
    fn unsaid(&mut self, unreadable: Vec<(String, String)>) -> Vec<(String, String)> {
        let named: HashSet<_> = unreadable.into_iter().take(MOST_NAMED).collect();
        let unsaid = named.difference(&self.said).cloned().collect();
        self.said = named;
        unsaid
    }
}

/// The id of a key that cannot be read, as far as the log shows it.
fn shown(key: &Value) -> String {
    let kid = key.get("kid").and_then(Value::as_str).unwrap_or_default();
    kid.chars().filter(|c| c.is_ascii_graphic()).take(SHOWN).collect()
}

// === impl SigningKey ===

impl SigningKey {
    /// Whether the authority no longer publishes it.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Whether tokens for this client may be signed with it: an app may have keys of its own, which say nothing about another's.
    pub fn is_for(&self, client_id: &str) -> bool {
        self.client.as_deref().is_none_or(|client| client == client_id)
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

impl std::fmt::Debug for SignedToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedToken").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::KnownKeys;

    /// How many keys are named by the log for each of these sets, one after the other, and how many keys are good.
    fn said(sets: &[&[Value]]) -> Vec<(usize, usize)> {
        let mut known = KnownKeys::default();
        let count = |set: &&[Value]| {
            let unreadable = set.iter().filter_map(|key| known.read(key).err().map(|why| (super::shown(key), why))).collect();
            (known.unsaid(unreadable).len(), known.adopt(set).len())
        };
        sets.iter().map(count).collect()
    }

    #[test]
    fn a_key_that_cannot_be_read_is_said_once_while_it_is_there() {
        let bad = |kid: &str| json!({"kty": "AKP", "kid": kid});
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let (one, two) = ([bad("a"), good.clone()], [bad("b"), good.clone(), bad("a")]);
        assert_eq!(said(&[&one, &one, &two, &two, &one, &two]), [(1, 1), (0, 1), (1, 1), (0, 1), (0, 1), (1, 1)]);
        let other_reason = [json!({"kty": "RSA", "kid": "a", "n": 7})];
        assert_eq!(said(&[&one, &other_reason]), [(1, 1), (1, 0)]);
        let many: Vec<Value> = (0..5000).map(|number| bad(&number.to_string())).collect();
        assert_eq!(said(&[&many, &many]), [(16, 0), (0, 0)]);
    }

    #[test]
    fn a_key_that_stays_is_the_one_that_it_was_and_one_that_goes_is_withdrawn() {
        let key = |kid: Option<&str>, x: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x});
        let (x, y) = ("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw");
        let mut known = KnownKeys::default();
        let first = known.adopt(&[key(Some("a"), x), key(Some("a"), y), key(None, x)]);
        assert_eq!(first.len(), 3, "one id twice, and none");
        let second = known.adopt(&[key(None, x), key(Some("a"), y)]);
        assert!(Arc::ptr_eq(&second[0], &first[2]) && Arc::ptr_eq(&second[1], &first[1]));
        assert_eq!([0, 1, 2].map(|at: usize| first[at].is_withdrawn()), [true, false, false]);
    }
}
