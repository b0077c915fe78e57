//! What the shared store is asked for and what it answers: names and bytes, whatever they mean.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

/// How long a patient call may take altogether: as long as a flight goes on asking.
pub(super) const PATIENT: Duration = Duration::from_secs(1);

/// A value under a key, for a while.
#[derive(Clone, Copy)]
pub struct Note<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// How long it is kept.
    pub ttl: Duration,
}

/// What stands under the key of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whose it is.
    pub owner: [u8; 16],
    /// How often it was renewed: while this grows, its holder is there.
    pub renewed: u64,
    /// What is being sent under it and must not be sent twice, by its generation; zero: nothing.
    pub sending: u64,
}

/// The wish to be the one who asks the authority.
pub struct Claim<'a> {
    /// The lease's key.
    pub lease: &'a str,
    /// The key under which a leader leaves what came of it.
    pub outcome: &'a str,
    /// Keys to read in the same step.
    pub reads: &'a [&'a str],
    /// Who wishes.
    pub owner: &'a [u8; 16],
    /// Who may be dispossessed, if exactly this still stands there.
    pub lapsed: Option<Holder>,
    /// How long the lease is kept if nobody takes it nor gives it back.
    pub ttl: Duration,
    /// The leaders whose outcome would do.
    pub followed: &'a [[u8; 16]],
}

/// What came of a claim.
pub struct Claimed {
    /// The lease is the caller's now.
    pub won: bool,
    /// Whose the lease is; the caller's own if it was won.
    pub holder: Option<Holder>,
    /// The outcome that one of the followed left, whole; the lease was not taken then.
    pub outcome: Option<Bytes>,
    /// What was read, in the order of the keys.
    pub values: Vec<Option<Bytes>>,
}

/// Stores one value if it is newer. Every value begins with its generation as 16 hexadecimal digits.
pub struct Put<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// How long it is kept.
    pub ttl: Duration,
    /// The generation that was read before; `None`: there was none.
    pub base: Option<u64>,
    /// What the owner's sign-outs were known to be.
    pub epoch: Option<Epoch<'a>>,
    /// Where the value is listed.
    pub index: Option<Index<'a>>,
    /// The lease that is given back in the same step.
    pub lease: Option<ReturnedLease<'a>>,
    /// It must not be lost: it is waited for longer.
    pub grant: bool,
}

/// A key that has to hold what is named: eight bytes in their order, which only ever rise.
#[derive(Clone, Copy)]
pub struct Epoch<'a> {
    /// The key.
    pub key: &'a str,
    /// What it holds; zeros: it must not be there.
    pub named: &'a [u8; 8],
}

/// A place in a sorted index, which is kept short and lives as long as what it lists.
#[derive(Clone, Copy)]
pub struct Index<'a> {
    /// The index's key.
    pub key: &'a str,
    /// What stands in it.
    pub member: &'a [u8],
    /// Its score: seconds since the Unix epoch.
    pub expires_on: i64,
    /// The time; members that have expired leave.
    pub now: i64,
    /// How many may stay, those of the highest scores.
    pub most: usize,
}

/// A lease that is given back.
#[derive(Clone, Copy)]
pub struct ReturnedLease<'a> {
    /// The lease's key.
    pub key: &'a str,
    /// Whose it should still be.
    pub owner: &'a [u8; 16],
    /// What the followers are told; its first 16 bytes are the owner.
    pub outcome: Option<Note<'a>>,
}

/// What came of storing a value.
#[derive(PartialEq, Eq)]
pub enum Placed {
    /// It is stored.
    Stored,
    /// Another value is there, of another generation than the one that was read: this one.
    Stale(Bytes),
    /// The owner signed out since.
    SignedOut,
    /// Nothing was done: the epoch that was named is not there, or a lower one is. Redis has lost it.
    Lost,
}

/// What came of deleting everything and raising an epoch.
#[derive(Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is done, and so many of the keys were there.
    Done(u64),
    /// Nothing was done: this epoch stands there, and is higher.
    Higher(Bytes),
}

/// What came of raising an epoch alone.
#[derive(Debug, PartialEq, Eq)]
pub enum Raised {
    /// It stood there.
    Stood,
    /// It stands there now.
    Raised,
    /// A higher one stands there.
    Higher(Bytes),
}

/// A place in a set: after this member of this score.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The member's score; never NaN.
    pub score: f64,
    /// The member.
    pub member: Bytes,
}

/// Some members of a set, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The members with their scores.
    pub marks: Vec<Mark>,
    /// Whether no member comes after these.
    pub is_last: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It was not tried: Redis failed too often a moment ago.
    #[error("it was not tried: Redis failed too often a moment ago")]
    Open,
    /// It was tried, and failed or took too long. What was to be written may have been written.
    #[error("it was tried, and failed or took too long")]
    Failed,
}

/// What the subscription tells.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// It is there, for the first time or again: messages may have been missed.
    Subscribed,
    /// A message.
    Message(Bytes),
}

// === impl Holder ===

impl Holder {
    /// One who has just got it.
    pub fn new(owner: [u8; 16]) -> Self {
        Self { owner, renewed: 0, sending: 0 }
    }

    /// As it stands there.
    pub fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let parts = self.owner.into_iter().chain(self.renewed.to_be_bytes()).chain(self.sending.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }

    /// Reads what stands there; `None`: it is nobody's.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let (owner, rest) = bytes.split_first_chunk::<16>()?;
        let (renewed, rest) = rest.split_first_chunk::<8>()?;
        let (sending, _) = rest.split_first_chunk::<8>()?;
        Some(Self { owner: *owner, renewed: u64::from_be_bytes(*renewed), sending: u64::from_be_bytes(*sending) })
    }
}

// === impl Mark ===

impl Mark {
    /// Whether it comes after another one, as Redis orders them.
    pub fn is_after(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.member > other.member)
    }
}

// === impl Placed ===

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("Stored"),
            Self::Stale(value) => write!(f, "Stale({} bytes)", value.len()),
            Self::SignedOut => f.write_str("SignedOut"),
            Self::Lost => f.write_str("Lost"),
        }
    }
}

// === impl Event ===

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscribed => f.write_str("Subscribed"),
            Self::Message(message) => write!(f, "Message({} bytes)", message.len()),
        }
    }
}
