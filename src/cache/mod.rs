//! Do we have it, may we use it: memory first, then one flight per key; the store that replicas share comes between the two.

mod flight;
mod freshness;
mod key;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use flight::{Flight, Kind};
pub use freshness::{Freshness, judge, lifetime_is_credible, refresh_point};
pub use key::{Key, KeySpace, Owner, Variant, challenge_hash};
pub use settings::Settings;

use crate::clock::Clock;
use crate::store::Memory;
use crate::tasks::Tasks;
use crate::token::{Facts, Grant, Head, Stored};

/// How often what has ended is removed.
const SWEEP: Duration = Duration::from_secs(60);

/// All tokens of one app, of one account or of one assertion.
pub type Partition = crate::store::Partition;

/// The cache of one process. `E` is what a failed load says.
#[derive(Debug)]
pub struct Cache<E> {
    memory: Memory,
    flights: Flight<Key, Head, E>,
    generation: AtomicU64,
    clock: Clock,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Whose tokens.
    pub partition: &'a Partition,
    /// The hash of the key's members beside the scopes.
    pub variant: &'a [u8; 32],
    /// The folded scopes.
    pub asked: &'a str,
    /// Which token at hand must not be the answer.
    pub bypass: Bypass<'a>,
}

/// Which token at hand must not be the answer.
#[derive(Clone, Copy, Debug)]
pub enum Bypass<'a> {
    /// Any token will do.
    None,
    /// Only one that was stored after the request arrived, for the same challenge (zero: none).
    Older {
        /// What [`Cache::generation`] was when the request arrived.
        than: u64,
        /// The hash of the claims challenge.
        challenge: u64,
    },
    /// Any but the one with this SHA-256: what a resource has just rejected.
    Token {
        /// The rejected token's SHA-256.
        sha256: &'a [u8; 32],
        /// The hash of the claims challenge that a new token would answer (zero: none).
        challenge: u64,
    },
}

/// What was found.
#[derive(Debug)]
pub enum Look {
    /// A token that may be used.
    Hit {
        /// The answer's first part.
        head: Head,
        /// Whether it is due for renewal.
        due: bool,
    },
    /// None, and why.
    Miss(Miss),
}

/// Why there is no hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is no token.
    Absent,
    /// There is one, and it is too close to its end.
    Expired,
    /// There is one, and the request does not want it.
    Bypassed,
}

/// What a load brings.
#[derive(Debug)]
pub struct Loaded {
    /// What the authority issued.
    pub grant: Grant,
    /// Under which folded scopes it can be found besides the ones asked for; empty: only by the identical request.
    pub granted: Box<str>,
}

// === impl Cache ===

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// An empty cache.
    pub fn new(settings: &Settings, clock: Clock, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(settings.max_bytes),
            flights: Flight::new(tasks),
            generation: AtomicU64::new(1),
            clock,
        })
    }

    /// A point in the order of stores: what is stored later has a higher one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks in memory. Nothing here waits.
    pub fn look(&self, query: &Query<'_>) -> Look {
        let Some(stored) = self.memory.find(query.partition, |stored| stored.answers(query.variant, query.asked)) else {
            return Look::Miss(Miss::Absent);
        };
        if query.bypass.skips(&stored) {
            return Look::Miss(Miss::Bypassed);
        }
        match judge(stored.expires_on, stored.received_on, stored.refresh_on, self.clock.unix()) {
            Freshness::Expired => Look::Miss(Miss::Expired),
            freshness => Look::Hit { head: stored.head(), due: freshness == Freshness::RefreshDue },
        }
    }

    /// Loads a token by one flight for all who want the same, and stores it. The flight looks into memory once more first.
    ///
    /// # Errors
    /// What the load says, shared by all who waited for it; `None` if the load itself broke off.
    pub async fn load(
        self: &Arc<Self>,
        query: &Query<'_>,
        work: impl Future<Output = Result<Loaded, E>> + Send + 'static,
    ) -> Option<Result<Head, E>> {
        self.flights.join(query.key(), self.flown(query, Kind::Awaited, work)).await
    }

    /// The same in the background, for a token that is due: nobody waits, and a flight under way makes it unnecessary.
    pub fn renew(self: &Arc<Self>, query: &Query<'_>, work: impl Future<Output = Result<Loaded, E>> + Send + 'static) {
        self.flights.start(query.key(), Kind::Background, self.flown(query, Kind::Background, work));
    }

    fn flown(
        self: &Arc<Self>,
        query: &Query<'_>,
        kind: Kind,
        work: impl Future<Output = Result<Loaded, E>> + Send + 'static,
    ) -> impl Future<Output = Result<Head, E>> + Send + 'static {
        let this = Arc::clone(self);
        let (partition, variant, asked) = (*query.partition, *query.variant, Box::<str>::from(query.asked));
        let challenge = query.bypass.challenge();
        let second_look = OwnedBypass::from(query.bypass);
        async move {
            // Between the caller's look and this flight another one may have ended and stored what is wanted.
            let again = Query { partition: &partition, variant: &variant, asked: &asked, bypass: second_look.borrow() };
            match this.look(&again) {
                Look::Hit { head, due } if !due || kind == Kind::Awaited => return Ok(head),
                _ => {}
            }
            let loaded = work.await?;
            let facts = Facts { asked, granted: loaded.granted, variant, challenge, generation: 0 };
            Ok(this.store(partition, &loaded.grant, facts))
        }
    }

    /// Stores what a redemption brought, without a look and without a flight.
    pub fn keep(&self, partition: &Partition, variant: &[u8; 32], asked: &str, loaded: &Loaded) -> Head {
        let facts = Facts { asked: asked.into(), granted: loaded.granted.clone(), variant: *variant, challenge: 0, generation: 0 };
        self.store(*partition, &loaded.grant, facts)
    }

    fn store(&self, partition: Partition, grant: &Grant, mut facts: Facts) -> Head {
        let Ok(head) = grant.write() else {
            // Text always becomes JSON; should serde ever refuse, the caller gets an empty object rather than a panic.
            return Head::empty();
        };
        facts.generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        if lifetime_is_credible(&grant.times)
            && let Some(stored) = head.clone().keep(&grant.times, facts)
        {
            self.memory.put(partition, stored, self.clock.unix());
        }
        head
    }

    /// The memory level, for `/status` and metrics.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Removes what has ended, every minute until the soft stop.
    pub fn sweep(self: &Arc<Self>, tasks: &Tasks) {
        let this = Arc::clone(self);
        tasks.background("sweep", async move {
            let mut ticks = tokio::time::interval(SWEEP);
            loop {
                ticks.tick().await;
                this.memory.sweep(this.clock.unix());
            }
        });
    }
}

// === impl Query ===

impl Query<'_> {
    /// The key of its flight: bypassing requests share one per challenge, apart from those that take any token.
    fn key(&self) -> Key {
        Key::flight(self.partition, self.variant, self.asked, self.bypass.challenge(), !matches!(self.bypass, Bypass::None))
    }
}

// === impl Bypass ===

impl Bypass<'_> {
    fn skips(&self, stored: &Stored) -> bool {
        match self {
            Self::None => false,
            Self::Older { than, challenge } => stored.facts.generation <= *than || stored.facts.challenge != *challenge,
            Self::Token { sha256, .. } => stored.head().token().is_some_and(|token| key::sha256(token.as_bytes()) == **sha256),
        }
    }

    fn challenge(&self) -> u64 {
        match self {
            Self::Older { challenge, .. } | Self::Token { challenge, .. } => *challenge,
            Self::None => 0,
        }
    }
}

/// A bypass that a flight can take along.
enum OwnedBypass {
    None,
    Older { than: u64, challenge: u64 },
    Token { sha256: [u8; 32], challenge: u64 },
}

impl From<Bypass<'_>> for OwnedBypass {
    fn from(bypass: Bypass<'_>) -> Self {
        match bypass {
            Bypass::None => Self::None,
            Bypass::Older { than, challenge } => Self::Older { than, challenge },
            Bypass::Token { sha256, challenge } => Self::Token { sha256: *sha256, challenge },
        }
    }
}

impl OwnedBypass {
    fn borrow(&self) -> Bypass<'_> {
        match self {
            Self::None => Bypass::None,
            Self::Older { than, challenge } => Bypass::Older { than: *than, challenge: *challenge },
            Self::Token { sha256, challenge } => Bypass::Token { sha256, challenge: *challenge },
        }
    }
}
