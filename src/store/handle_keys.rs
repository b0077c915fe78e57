//! The keys of refresh handles: what seals the texts that clients carry away, and opens them when they bring them back.
//!
//! With a key ring they are the ring's. Without one, a handle must be sealed all the same, since it leaves the fleet: where there
//! is a Redis the key lies there, for all replicas, and a process that shares nothing has one of its own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::ring::{LoneKey, Opened, Ring, Unreadable};
use super::settings::{Version, Versions};
use super::shared::{Note, Shared, StoreError};
use crate::clock::{Clock, Moment};

/// The version of what is sealed. Its number stands where records have theirs, and its names are made nowhere.
const VERSION: u8 = 1;
static KNOWN: [Version; 1] = [Version { number: VERSION, names: b"" }];

/// How long the key in Redis is kept: twice as long as any handle lasts, so that one that is near its end can be renewed.
const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);
/// It is kept for longer again when so much is left.
const RENEWED: Duration = Duration::from_secs(120 * 24 * 3600);
/// After how long Redis is asked again whether its key is still there.
const LOOK: Duration = Duration::from_secs(60);
/// The least time between two looks.
const AGAIN: Duration = Duration::from_secs(1);
/// How many keys a process remembers that were in Redis once.
const MOST: usize = 8;
/// How many characters the id of a key has that is in no ring.
const ID: usize = 8;
/// What a key weighs, in bytes.
const KEY: usize = 32;

/// The keys of handles; clones share them.
#[derive(Clone)]
pub struct HandleKeys(Arc<HandleKeyPlace>);

/// Where they are.
enum HandleKeyPlace {
    /// In the key ring of the store.
    Ring(Ring),
    /// In this process; `None`: it could not be made.
    Process(Option<LoneKey>),
    /// In the store.
    Redis(Box<KeyInRedis>),
}

/// A key that replicas find in Redis.
struct KeyInRedis {
    store: Shared,
    name: String,
    known: Mutex<KnownHandleKeys>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
    clock: Clock,
}

/// What this process knows of it.
#[derive(Default)]
struct KnownHandleKeys {
    /// The one that seals first, then those that were there before.
    keys: Vec<Arc<LoneKey>>,
    /// When Redis was asked last, and when it answered last.
    asked: Option<Moment>,
    answered: Option<Moment>,
}

/// A handle that was opened.
pub struct OpenedHandle {
    /// When it was sealed, in seconds since the Unix epoch.
    pub issued: i64,
    /// What it says.
    pub payload: Bytes,
}

/// Why a handle cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedHandle {
    /// It is none of ours, or was changed.
    Foreign,
    /// No key of this id is known here, or a later release made it. When it says that it was sealed, which nothing proves.
    Unknown(i64),
    /// The key lies in Redis, which cannot be asked.
    Unavailable,
}

// === impl HandleKeys ===

impl HandleKeys {
    /// Keys for a process that shares nothing.
    pub fn of_process() -> Self {
        Self(Arc::new(HandleKeyPlace::Process(made())))
    }

    /// Keys for replicas that share a store: the ring's, or else what lies in Redis under this name.
    pub fn shared(ring: &Ring, store: &Shared, name: String, clock: &Clock) -> Self {
        let place = if ring.is_encrypted() {
            HandleKeyPlace::Ring(ring.clone())
        } else {
            let (store, clock) = (store.patient(), clock.clone());
            HandleKeyPlace::Redis(Box::new(KeyInRedis {
                store,
                name,
                known: Mutex::default(),
                looking: tokio::sync::Mutex::default(),
                clock,
            }))
        };
        Self(Arc::new(place))
    }

    /// To be called before something is done that a handle is wanted for: whether there is a key to seal with.
    ///
    /// # Errors
    /// It lies in Redis, which cannot be asked.
    pub async fn ready(&self) -> Result<(), StoreError> {
        match &*self.0 {
            HandleKeyPlace::Redis(key) => key.ready().await,
            HandleKeyPlace::Ring(_) | HandleKeyPlace::Process(_) => Ok(()),
        }
    }

    /// Seals a handle for this purpose, which opens for no other. What is returned has the id of the key and the time of issue in
    /// clear, and both are bound to the rest. `None`: there is no key, or the cryptography failed.
    pub fn seal(&self, name: &str, issued: i64, payload: &[u8]) -> Option<Vec<u8>> {
        let issued = u64::try_from(issued).ok()?;
        match &*self.0 {
            HandleKeyPlace::Ring(ring) => ring.seal(name, issued, VERSION, payload),
            HandleKeyPlace::Process(key) => key.as_ref()?.seal(name, issued, VERSION, payload),
            HandleKeyPlace::Redis(key) => key.first()?.seal(name, issued, VERSION, payload),
        }
    }

    /// Opens a handle. A key id that is not known has the ring's file, or Redis, asked once more, at most once a second.
    ///
    /// # Errors
    /// It cannot be opened; nothing in it may be believed then.
    pub async fn open(&self, name: &str, sealed: &[u8]) -> Result<OpenedHandle, SealedHandle> {
        let opened = match &*self.0 {
            HandleKeyPlace::Ring(ring) => {
                ring.meet([sealed]).await;
                ring.open_quietly(name, sealed, Versions::new(&KNOWN))
            }
            // What another process has sealed is lost with that one: nobody will ever know its key.
            HandleKeyPlace::Process(key) => {
                let opened = LoneKey::open(key.iter(), (name, sealed), VERSION);
                opened.map_err(|why| if why == Unreadable::UnknownKey { Unreadable::Garbage } else { why })
            }
            HandleKeyPlace::Redis(key) => match key.open(name, sealed) {
                Err(Unreadable::UnknownKey) => {
                    key.look().await.map_err(|_| SealedHandle::Unavailable)?;
                    key.open(name, sealed)
                }
                opened => opened,
            },
        };
        let Opened { generation, payload, .. } = opened.map_err(|why| match why {
            Unreadable::Garbage => SealedHandle::Foreign,
            Unreadable::UnknownKey | Unreadable::Newer => {
                time(Ring::generation(sealed)).map_or(SealedHandle::Foreign, SealedHandle::Unknown)
            }
        })?;
        let issued = time(Some(generation)).ok_or(SealedHandle::Foreign)?;
        Ok(OpenedHandle { issued, payload })
    }
}

impl fmt::Debug for HandleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &*self.0 {
            HandleKeyPlace::Ring(_) => "ring",
            HandleKeyPlace::Process(_) => "process",
            HandleKeyPlace::Redis(_) => "redis",
        };
        f.debug_tuple("HandleKeys").field(&place).finish()
    }
}

/// A time of issue, where a record has its generation.
fn time(generation: Option<u64>) -> Option<i64> {
    generation.and_then(|generation| i64::try_from(generation).ok())
}

/// A key that nobody knows yet.
fn made() -> Option<LoneKey> {
    LoneKey::new(&URL_SAFE_NO_PAD.encode(rand::random::<[u8; ID / 4 * 3]>()), rand::random())
}

// === impl KeyInRedis ===

impl KeyInRedis {
    /// Sees that a key is known, and now and then that it is the one in Redis. One that is known is good enough while Redis is
    /// away.
    async fn ready(&self) -> Result<(), StoreError> {
        let now = self.clock.moment();
        if self.known().answered.is_some_and(|answered| now.since(answered) < LOOK) {
            return Ok(());
        }
        let looked = self.look().await;
        if self.first().is_some() { Ok(()) } else { looked }
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Opened, Unreadable> {
        let keys = self.known().keys.clone();
        LoneKey::open(keys.iter().map(|key| &**key), (name, sealed), VERSION)
    }

    fn first(&self) -> Option<Arc<LoneKey>> {
        self.known().keys.first().cloned()
    }

    /// Asks Redis for its key, unless that was done a moment ago: then what came of it is said again.
    async fn look(&self) -> Result<(), StoreError> {
        let _one = self.looking.lock().await;
        let now = self.clock.moment();
        let (asked, answered) = {
            let known = self.known();
            (known.asked, known.answered)
        };
        if asked.is_some_and(|asked| now.since(asked) < AGAIN) {
            return if answered >= asked { Ok(()) } else { Err(StoreError::Failed) };
        }
        self.known().asked = Some(now);
        let key = self.read().await?;
        let mut known = self.known();
        known.answered = Some(now);
        known.keys.retain(|other| other.id() != key.id());
        known.keys.insert(0, key);
        known.keys.truncate(MOST);
        Ok(())
    }

    /// The key that is in Redis. Where none is, this process puts one there: its own, if Redis has lost it, so that the handles
    /// that there are stay good.
    async fn read(&self) -> Result<Arc<LoneKey>, StoreError> {
        let (values, left) = self.store.read_timed(&[&self.name]).await?;
        let value = values.into_iter().next().flatten();
        if let Some(found) = value.as_deref().and_then(read_key) {
            if left.is_none_or(|left| left < RENEWED) {
                // Another replica will, if this one cannot.
                let _renewed = self.store.set(self.note(&written(&found))).await;
            }
            return Ok(Arc::new(found));
        }
        let own = self.first().or_else(|| made().map(Arc::new)).ok_or(StoreError::Failed)?;
        let note = written(&own);
        if value.is_some() {
            // Nobody but tokend should write there, and what it is says nothing.
            self.store.set(self.note(&note)).await?;
            return Ok(own);
        }
        if self.store.set_if_absent(self.note(&note)).await? {
            return Ok(own);
        }
        // Another replica was faster.
        let values = self.store.read(&[&self.name]).await?;
        values.into_iter().next().flatten().as_deref().and_then(read_key).map(Arc::new).ok_or(StoreError::Failed)
    }

    fn note<'a>(&'a self, value: &'a [u8]) -> Note<'a> {
        Note { key: &self.name, value, ttl: KEPT }
    }

    fn known(&self) -> MutexGuard<'_, KnownHandleKeys> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As it lies in Redis: the id, and then the key.
fn written(key: &LoneKey) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new([key.id().as_bytes(), key.bytes()].concat())
}

fn read_key(value: &[u8]) -> Option<LoneKey> {
    let (id, key) = value.split_at_checked(ID)?;
    LoneKey::new(std::str::from_utf8(id).ok()?, <[u8; KEY]>::try_from(key).ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::any;
    use proptest::sample::Index;

    use super::{Arc, HandleKeyPlace, HandleKeys, OpenedHandle, Ring, SealedHandle, VERSION, made, read_key, written};
    use crate::clock::Clock;
    use crate::reload::{Place, Source};
    use crate::secret::Secret;
    use crate::store::settings::{Encryption, VERSIONS};

    /// Keys in base64: 32 bytes of 0, of 1 and of 2.
    const NAMING: &str = "name:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const A: &str = "a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    const B: &str = "b:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    const RECORD: &str = "tokend:{x}:a";
    const REFRESH: &str = "refresh-handle";
    const DEVICE: &str = "device-code";

    fn ring(keys: &[&str]) -> Ring {
        let text = [&[NAMING], keys].concat().join("\n");
        let place = Place::Value(Secret::new(text));
        let source = Source { key: "cache.redis.encryption.key_ring".to_owned(), file: None, place };
        Ring::load(&Encryption::KeyRing(source), &Clock::manual(0)).unwrap()
    }

    fn over(ring: &Ring) -> HandleKeys {
        HandleKeys(Arc::new(HandleKeyPlace::Ring(ring.clone())))
    }

    /// What comes of opening it, by the time of issue and what it says.
    fn open(keys: &HandleKeys, sealed: &[u8]) -> Result<(i64, Vec<u8>), SealedHandle> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = runtime.block_on(keys.open(REFRESH, sealed));
        opened.map(|OpenedHandle { issued, payload }| (issued, payload.to_vec()))
    }

    static BOTH: LazyLock<[HandleKeys; 2]> = LazyLock::new(|| [over(&ring(&[A, B])), HandleKeys::of_process()]);

    proptest::proptest! {
        #[test]
        fn what_is_sealed_opens_with_its_time(issued in 0..i64::MAX, payload in any::<Vec<u8>>()) {
            for keys in &*BOTH {
                let sealed = keys.seal(REFRESH, issued, &payload).unwrap();
                proptest::prop_assert_eq!(open(keys, &sealed), Ok((issued, payload.clone())));
            }
        }

        #[test]
        fn nothing_that_was_changed_opens(at in any::<Index>(), bit in 0_u8..8, cut in any::<Index>(), more in any::<u8>()) {
            for keys in &*BOTH {
                let sealed = keys.seal(REFRESH, 1_795_300_000, &[7; 100]).unwrap();
                let mut changed = sealed.clone();
                *changed.get_mut(at.index(sealed.len())).unwrap() ^= 1 << bit;
                proptest::prop_assert!(open(keys, &changed).is_err());
                proptest::prop_assert!(open(keys, sealed.get(..cut.index(sealed.len())).unwrap()).is_err());
                proptest::prop_assert!(open(keys, &[&*sealed, &[more]].concat()).is_err());
            }
        }

        #[test]
        fn no_garbage_opens(value in any::<Vec<u8>>(), fixed in "[0-9a-f]{16}", kid in "[ab]?") {
            let length = u8::try_from(kid.len()).unwrap();
            let formed = [fixed.as_bytes(), &[VERSION, length], kid.as_bytes(), &value].concat();
            for keys in &*BOTH {
                proptest::prop_assert!(open(keys, &value).is_err());
                proptest::prop_assert!(open(keys, &formed).is_err());
            }
        }
    }

    #[test]
    fn no_record_is_a_handle_and_no_handle_a_record() {
        let ring = ring(&[A]);
        let keys = over(&ring);
        for version in [VERSION, VERSIONS.newest()] {
            let record = ring.seal(RECORD, 1_795_300_000, version, b"payload").unwrap();
            assert!(ring.open_quietly(RECORD, &record, VERSIONS).is_ok() || version == VERSION);
            assert!(open(&keys, &record).is_err());
        }
        let handle = keys.seal(REFRESH, 1_795_300_000, b"payload").unwrap();
        for name in [RECORD, "tokend:events", REFRESH] {
            assert!(ring.open_quietly(name, &handle, VERSIONS).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_sealed_for_one_thing_is_nothing_else() {
        for keys in &*BOTH {
            for (kind, other) in [(REFRESH, DEVICE), (DEVICE, REFRESH)] {
                let sealed = keys.seal(kind, 1_795_300_000, b"payload").unwrap();
                assert!(keys.open(kind, &sealed).await.is_ok());
                assert_eq!(keys.open(other, &sealed).await.map(|_| ()), Err(SealedHandle::Foreign));
            }
        }
    }

    #[test]
    fn a_handle_opens_while_its_key_is_in_the_ring() {
        let issued = 1_795_300_000;
        let old = over(&ring(&[A])).seal(REFRESH, issued, b"payload").unwrap();
        for keys in [&[A][..], &[A, B], &[B, A]] {
            assert_eq!(open(&over(&ring(keys)), &old), Ok((issued, b"payload".to_vec())), "{keys:?}");
        }
        let rotated = over(&ring(&[B, A])).seal(REFRESH, issued, b"payload").unwrap();
        assert!(open(&over(&ring(&[B])), &rotated).is_ok(), "the first key seals");
        assert_eq!(open(&over(&ring(&[B])), &old), Err(SealedHandle::Unknown(issued)));
        // Its id over another key.
        let impostor = A.replace("a:AQ", "a:AA");
        assert_eq!(open(&over(&ring(&[&impostor])), &old), Err(SealedHandle::Foreign));
    }

    #[test]
    fn what_another_process_had_sealed_will_never_open() {
        let handle = HandleKeys::of_process().seal(REFRESH, 1_795_300_000, b"payload").unwrap();
        assert_eq!(open(&HandleKeys::of_process(), &handle), Err(SealedHandle::Foreign));
        assert_eq!(open(&BOTH[0], &handle), Err(SealedHandle::Unknown(1_795_300_000)));
        let of_ring = BOTH[0].seal(REFRESH, 1_795_300_000, b"payload").unwrap();
        assert_eq!(open(&BOTH[1], &of_ring), Err(SealedHandle::Foreign));
    }

    #[test]
    fn a_time_before_1970_seals_nothing() {
        assert!(BOTH.iter().all(|keys| keys.seal(REFRESH, -1, b"payload").is_none()));
    }

    #[test]
    fn a_key_comes_back_from_redis_as_it_was_and_nothing_else_is_one() {
        let key = made().unwrap();
        let value = written(&key);
        let back = read_key(&value).unwrap();
        assert_eq!((back.id(), back.bytes()), (key.id(), key.bytes()));
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.bytes())));
        let longer = [&**value, b"x"].concat();
        for bad in [&b""[..], &value[1..], &longer, &[0; 40], b"1"] {
            assert!(read_key(bad).is_none());
        }
    }
}
