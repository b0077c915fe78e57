//! What is known for a while of something that is sent once, as how a device code stands: sealed in the store that replicas share,
//! and in this process. Who works on it has the turn of its partition (`accounts/refresh_lease`).
//!
//! It lies where the sign-in of an account would be, under a partition that no account has: so a lease sees that what was sent
//! under it is settled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::accounts::Unavailable;
use super::fleet::Fleet;
use crate::clock::{Clock, Moment};
use crate::store::{Placed, Put, Ring};
use crate::token::Partition;

/// The most bytes of notes that this process remembers. Beyond them old ones are forgotten: where replicas share a store they stand
/// there, and a process that shares none takes those for things of which nothing is known yet.
const ROOM: u64 = 4 * 1024 * 1024;
/// What a note weighs besides what it says, in bytes.
const OVERHEAD: usize = 256;
/// How much of that one part of it has: the longest note has to fit.
const PARTS: usize = 4;
/// How often a note that must not be lost is written over one that came between.
const ATTEMPTS: usize = 3;

/// The notes of a process, or of the fleet that it is part of.
pub struct Notes {
    fleet: Option<Arc<Fleet>>,
    memory: Cache<Partition, NoteHere, WeighNote>,
    clock: Clock,
}

/// What is noted of one thing.
#[derive(Clone, PartialEq, Eq)]
pub struct NotedThing {
    /// The place in the order in which it was noted.
    pub generation: u64,
    /// What it says.
    pub said: Bytes,
}

/// A note to be written.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    /// The note that was read before; `None`: there was none.
    pub over: Option<u64>,
    /// What it says.
    pub said: &'a [u8],
    /// How long it is kept.
    pub stands: Duration,
    /// Whether it is written whatever another replica has written meanwhile.
    pub always: bool,
}

/// A note as this process remembers it.
#[derive(Clone)]
struct NoteHere {
    noted: NotedThing,
    until: Moment,
}

#[derive(Clone)]
struct WeighNote;

impl Weighter<Partition, NoteHere> for WeighNote {
    fn weight(&self, _: &Partition, note: &NoteHere) -> u64 {
        u64::try_from(OVERHEAD + note.noted.said.len()).unwrap_or(u64::MAX)
    }
}

// === impl Notes ===

impl Notes {
    pub(super) fn new(fleet: Option<Arc<Fleet>>, clock: Clock) -> Self {
        let items = usize::try_from(ROOM / 512).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new().estimated_items_capacity(items).weight_capacity(ROOM).shards(PARTS).build();
        let memory = match options {
            Ok(options) => Cache::with_options(options, WeighNote, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            Err(_) => Cache::with_weighter(items, ROOM, WeighNote),
        };
        Self { fleet, memory, clock }
    }

    /// The number that names what is sent on the ground of this note, for the lease under which it is sent.
    pub fn sending(over: Option<u64>) -> u64 {
        over.unwrap_or(0).saturating_add(1)
    }

    /// What this process has noted itself of a thing. Another replica may know more.
    pub fn remembered(&self, partition: &Partition) -> Option<NotedThing> {
        let now = self.clock.moment();
        self.memory.get(partition).filter(|note| now < note.until).map(|note| note.noted)
    }

    /// What is noted of a thing.
    ///
    /// # Errors
    /// The shared store cannot be asked, or what stands there cannot be read: there may be a note or none.
    pub async fn read(&self, partition: &Partition) -> Result<Option<NotedThing>, Unavailable> {
        let Some(fleet) = &self.fleet else { return Ok(self.remembered(partition)) };
        let name = fleet.names().place(partition).sign_in();
        let values = fleet.store().patient().read(&[&name]).await.map_err(|_| Unavailable::Unreachable)?;
        let Some(value) = values.into_iter().next().flatten() else { return Ok(None) };
        fleet.meet([&value]).await;
        let opened = fleet.open_needed(&name, &value).map_err(|_| Unavailable::Unreadable)?;
        Ok(opened.map(|opened| NotedThing { generation: opened.generation, said: opened.payload }))
    }

    /// Notes something. Returns whether it stands: another replica may have noted something since.
    ///
    /// # Errors
    /// The shared store cannot be asked: this process alone remembers it.
    pub async fn write(&self, partition: &Partition, note: Writing<'_>) -> Result<bool, Unavailable> {
        let mut over = note.over;
        let generation = self.remember(partition, over, note);
        let Some(fleet) = &self.fleet else { return Ok(true) };
        let name = fleet.names().place(partition).sign_in();
        let mut generation = generation;
        for _ in 0..ATTEMPTS {
            let value = fleet.seal(&name, generation, note.said).ok_or(Unavailable::Unreadable)?;
            let put = Put {
                key: &name,
                value: &value,
                ttl: note.stands,
                base: over,
                epoch: None,
                index: None,
                lease: None,
                grant: note.always,
            };
            match fleet.store().patient().put(&put).await.map_err(|_| Unavailable::Unreachable)? {
                Placed::Stale(other) if note.always => {
                    over = Ring::generation(&other);
                    generation = self.remember(partition, over, note);
                }
                Placed::Stale(_) => return Ok(false),
                Placed::Stored | Placed::SignedOut | Placed::Lost => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Remembers a note here, and says which generation it is of: above what may be sent on the ground of the one before.
    fn remember(&self, partition: &Partition, over: Option<u64>, note: Writing<'_>) -> u64 {
        let generation = Self::sending(over).saturating_add(1);
        let noted = NotedThing { generation, said: Bytes::copy_from_slice(note.said) };
        self.memory.insert(*partition, NoteHere { noted, until: self.clock.moment().after(note.stands) });
        generation
    }

    /// Forgets what has ended.
    pub(super) fn sweep(&self) {
        let now = self.clock.moment();
        self.memory.retain(|_, note| now < note.until);
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").field("remembered", &self.memory.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Notes, Writing};
    use crate::clock::Clock;
    use crate::token::Partition;

    const CODE: Partition = Partition::new([1; 32]);

    fn writing(over: Option<u64>, said: &[u8]) -> Writing<'_> {
        Writing { over, said, stands: Duration::from_secs(60), always: false }
    }

    #[tokio::test]
    async fn a_note_stands_until_its_end_and_each_has_a_later_place() {
        let clock = Clock::manual(0);
        let notes = Notes::new(None, clock.clone());
        assert!(notes.read(&CODE).await.is_ok_and(|noted| noted.is_none()));
        assert_eq!(notes.write(&CODE, writing(None, b"a")).await, Ok(true));
        let first = notes.read(&CODE).await.ok().flatten().unwrap();
        assert_eq!((&*first.said, first.generation > Notes::sending(None)), (&b"a"[..], true));
        assert_eq!(notes.write(&CODE, writing(Some(first.generation), b"b")).await, Ok(true));
        let second = notes.remembered(&CODE).unwrap();
        assert_eq!((&*second.said, second.generation > Notes::sending(Some(first.generation))), (&b"b"[..], true));
        clock.advance(Duration::from_secs(59));
        assert!(notes.remembered(&CODE).is_some());
        clock.advance(Duration::from_secs(1));
        assert!(notes.remembered(&CODE).is_none());
        notes.sweep();
        assert_eq!(notes.memory.len(), 0);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_the_longest_note_fits() {
        let notes = Notes::new(None, Clock::manual(0));
        let long = vec![7; 64 * 1024];
        for number in 0..200 {
            let partition = Partition::new([number; 32]);
            assert_eq!(notes.write(&partition, writing(None, &long)).await, Ok(true));
            assert!(notes.remembered(&partition).is_some(), "{number}");
        }
        assert!(notes.memory.weight() <= super::ROOM);
    }
}
