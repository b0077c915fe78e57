//! The keys over everything that replicas share: one names the records, one seals what is written, all open what is read.
//!
//! A key ring's file may reach replicas minutes apart. So the first key seals and all open, a key id that is not known reads the
//! file again at once, and the `name` key stays for as long as the process does: under another one nothing would be found any more.

mod header;
mod keys;
mod lone;
mod opened;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use prometheus::{IntCounter, IntCounterVec};

pub use self::keys::KeyRing;
pub(super) use self::lone::LoneKey;
pub use self::opened::{Opened, Unreadable};

use self::header::{Header, length};
use self::keys::RingKey;
use super::settings::{Encryption, Versions};
use crate::clock::{Clock, Moment};
use crate::finding::Complaint;
use crate::reload::{Reloading, Reloads};
use crate::telemetry::Metrics;

/// The least time between two reads of the file because a key id is not known.
const AGAIN: Duration = Duration::from_secs(1);
/// How many different things are said of values that cannot be opened, and the longest key id that is quoted.
const MOST_SAID: usize = 16;
const LONGEST_KID: usize = 64;
/// What names records where nothing is sealed: names are no secret there, but one way to make them is enough.
const PUBLIC: &[u8] = b"tokend: the key of names in plaintext";

/// Names, seals and opens; clones share one ring.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    /// `None`: plaintext.
    keys: Option<Arc<Reloading<KeyRing>>>,
    naming: hmac::Key,
    clock: Clock,
    /// When the file was last read because of an unknown key id.
    asked: Mutex<Option<Moment>>,
    counts: OnceLock<Counts>,
    /// What was said of values that cannot be opened: each reason once, with each key.
    said: Mutex<BTreeSet<(Unreadable, String)>>,
}

/// What was read, by key, and what could not be read.
struct Counts {
    reads: IntCounterVec,
    newer: IntCounter,
    unknown_key: IntCounter,
    garbage: IntCounter,
}

// === impl Ring ===

impl Ring {
    /// Loads the key ring, or none where the configuration says so. The clock bounds how often the file is read again.
    ///
    /// # Errors
    /// The key ring cannot be read or is not what it should be.
    pub fn load(encryption: &Encryption, clock: &Clock) -> Result<Self, Complaint> {
        let (keys, naming) = match encryption {
            Encryption::Plaintext => (None, hmac::Key::new(hmac::HMAC_SHA256, PUBLIC)),
            Encryption::KeyRing(source) => {
                let keys = Reloading::load_guarded(source.clone(), KeyRing::parse, KeyRing::follows)?;
                let naming = keys.current().value.naming.clone();
                (Some(keys), naming)
            }
        };
        let inner =
            Inner { keys, naming, clock: clock.clone(), asked: Mutex::default(), counts: OnceLock::new(), said: Mutex::default() };
        Ok(Self(Arc::new(inner)))
    }

    /// Follows the key ring's file.
    pub fn watch(&self, reloads: &Reloads) {
        if let Some(keys) = &self.0.keys {
            reloads.follow(keys);
        }
    }

    /// Whether values are sealed.
    pub fn is_encrypted(&self) -> bool {
        self.0.keys.is_some()
    }

    /// The ids of the keys in force, the sealing one first; none in plaintext.
    pub fn kids(&self) -> Vec<String> {
        let ring = self.0.keys.as_ref().map(|keys| keys.current());
        ring.iter().flat_map(|ring| &ring.value.keys).map(|key| key.id.clone()).collect()
    }

    /// Why the newest key ring was not taken, if it was not, and how many were refused.
    pub fn reload_state(&self) -> (Option<Arc<Complaint>>, u64) {
        self.0.keys.as_ref().map_or((None, 0), |keys| (keys.problem(), keys.failures()))
    }

    /// The name of what `members` say together: HMAC-SHA-256 under the `name` key. Other members, or the same cut otherwise, have
    /// another name.
    pub fn name(&self, members: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0.naming);
        for member in members {
            context.update(&length(member));
            context.update(member);
        }
        let mut name = [0; 32];
        for (to, from) in name.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        name
    }

    /// Seals a record for the name `key` in Redis: what is returned opens under this name only. In plaintext the record
    /// follows its header as it is. `None`: the version is 0, or the cryptography failed.
    pub fn seal(&self, key: &str, generation: u64, version: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let ring = self.0.keys.as_ref().map(|keys| keys.current());
        match &ring {
            Some(ring) => ring.value.keys.first()?.seal_record(key, generation, version, payload),
            None => {
                let mut out = Header::write(generation, version, "", payload.len())?;
                out.extend_from_slice(payload);
                Some(out)
            }
        }
    }

    /// Opens what was found under the name `key` in Redis, if it is of one of these versions.
    /// One that is older than all of them is garbage.
    ///
    /// A key id that is not in the ring reads the ring's file again before it is given up. That read blocks; it is a small local
    /// file, one caller at a time does it, and not more than once a second. The others are answered from the ring there is.
    ///
    /// # Errors
    /// It cannot be opened; nothing in it may be believed then, not even its version.
    pub fn open(&self, key: &str, value: &[u8], versions: Versions) -> Result<Opened, Unreadable> {
        let opened = self.open_quietly(key, value, versions);
        if let (Err(why), Some(counts)) = (&opened, self.0.counts.get()) {
            counts.of(*why).inc();
        }
        if let Err(why) = opened {
            self.tell(why, value);
        }
        opened
    }

    /// Says once why values cannot be opened, with the key that sealed them: the metric says how many there are.
    fn tell(&self, why: Unreadable, value: &[u8]) {
        // Whoever can write into Redis can write any key id.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let kid = Header::read(value).map_or(&b""[..], |header| header.kid);
        let kid = if kid.len() <= LONGEST_KID && kid.iter().all(plain) { String::from_utf8_lossy(kid) } else { "other".into() };
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST_SAID || !said.insert((why, kid.clone().into_owned())) {
            return;
        }
        drop(said);
        let kid = (!kid.is_empty()).then_some(kid.as_ref());
        let remedy = why.remedy();
        tracing::warn!(
            reason = why.as_str(),
            kid,
            remedy,
            "a record of the shared cache cannot be opened; further ones are counted"
        );
    }

    /// As [`Ring::open`], for what clients bring: whatever they send is no trouble of the store, and is neither counted nor logged
    /// as that.
    ///
    /// # Errors
    /// As for [`Ring::open`].
    pub(super) fn open_quietly(&self, key: &str, value: &[u8], versions: Versions) -> Result<Opened, Unreadable> {
        let header = Header::read(value).ok_or(Unreadable::Garbage)?;
        if header.version > versions.newest() {
            return Err(Unreadable::Newer);
        }
        if !versions.knows(header.version) {
            return Err(Unreadable::Garbage);
        }
        let (head, body) = value.split_at_checked(header.length).ok_or(Unreadable::Garbage)?;
        let payload = match (&self.0.keys, header.kid) {
            (None, []) => body.to_vec(),
            (None, _) => return Err(Unreadable::UnknownKey),
            // Who can write into Redis must not be believed for leaving the seal away.
            (Some(_), []) => return Err(Unreadable::Garbage),
            (Some(keys), kid) => {
                let ring = keys.current();
                let sealing = ring.value.find(kid).ok_or(Unreadable::UnknownKey)?;
                let payload = sealing.open(key, head, body).ok_or(Unreadable::Garbage)?;
                self.count(sealing);
                payload
            }
        };
        Ok(Opened { generation: header.generation, version: header.version, payload: payload.into() })
    }

    /// Whether the key that sealed a value is in the ring, if a key sealed it.
    pub fn knows(&self, value: &[u8]) -> bool {
        let (Some(keys), Some(header)) = (&self.0.keys, Header::read(value)) else { return true };
        header.kid.is_empty() || keys.current().value.find(header.kid).is_some()
    }

    /// To be called before values are opened that somebody else may have sealed: reads the file again, at most once a second, if a
    /// key is not in the ring. It waits for that a second at most, together with all who come meanwhile.
    pub async fn meet<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) {
        let Some(keys) = &self.0.keys else { return };
        if values.into_iter().all(|value| self.knows(value)) {
            return;
        }
        if self.may_ask() {
            keys.reread().await;
        } else {
            keys.settled().await;
        }
    }

    fn may_ask(&self) -> bool {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.clock.moment();
        let may = asked.is_none_or(|last| now >= last.after(AGAIN));
        if may {
            *asked = Some(now);
        }
        may
    }

    fn count(&self, key: &RingKey) {
        if let Some(counts) = self.0.counts.get() {
            key.reads.get_or_init(|| counts.reads.with_label_values(&[&key.id])).inc();
        }
    }

    /// The generation that a value tells, without opening it: to compare, not to believe. A value that is broken after it has one
    /// all the same, or nothing could ever be stored in its place.
    pub fn generation(value: &[u8]) -> Option<u64> {
        Header::generation(value)
    }

    /// Makes the metrics of the ring, once.
    pub fn observe(&self, metrics: &Metrics) {
        let undecipherable =
            metrics.counters("cache_undecipherable_total", "Shared values that cannot be opened, by reason.", &["reason"]);
        let counts = Counts {
            reads: metrics.counters("key_ring_reads_total", "Shared values opened, by key.", &["kid"]),
            newer: undecipherable.with_label_values(&[Unreadable::Newer.as_str()]),
            unknown_key: undecipherable.with_label_values(&[Unreadable::UnknownKey.as_str()]),
            garbage: undecipherable.with_label_values(&[Unreadable::Garbage.as_str()]),
        };
        let reads = counts.reads.clone();
        if self.0.counts.set(counts).is_err() {
            return;
        }
        let in_force = metrics.gauges("key_ring_key", "1 for each key of the key ring in force, 0 for one that left it.", &["kid"]);
        let (ring, known) = (self.clone(), Mutex::new(BTreeSet::new()));
        metrics.before_render(move || {
            let kids: BTreeSet<String> = ring.kids().into_iter().collect();
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            for gone in known.difference(&kids) {
                in_force.with_label_values(&[gone]).set(0);
            }
            for kid in &kids {
                in_force.with_label_values(&[kid]).set(1);
                // Shown from the start: an operator waits for it to stay as it is.
                reads.with_label_values(&[kid]);
            }
            known.extend(kids);
        });
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("encrypted", &self.is_encrypted()).field("kids", &self.kids()).finish_non_exhaustive()
    }
}

// === impl Counts ===

impl Counts {
    fn of(&self, why: Unreadable) -> &IntCounter {
        match why {
            Unreadable::Newer => &self.newer,
            Unreadable::UnknownKey => &self.unknown_key,
            Unreadable::Garbage => &self.garbage,
        }
    }
}
