//! Do we have it, may we use it: memory first, then one flight per key; the store that replicas share comes between the two.

mod flight;
mod freshness;
mod key;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use flight::{Flight, Kind};
pub use freshness::{Freshness, judge, lifetime_is_credible, refresh_point};
pub use key::{Key, KeySpace, Owner, Variant, challenge_hash};
pub use settings::Settings;

use crate::clock::Clock;
use crate::store::Memory;
use crate::tasks::Tasks;
use crate::token::{Facts, Grant, Head, Stored};

/// All tokens of one app, of one account or of one assertion.
pub type Partition = crate::store::Partition;

/// The cache of one process. `E` is what a failed load says.
#[derive(Debug)]
pub struct Cache<E> {
    memory: Memory,
    flights: Flight<Key, Flown, E>,
    generation: AtomicU64,
    clock: Clock,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who would ask the authority: apps of one client share tokens, but not flights, because each has a credential of its own.
    pub by: &'a str,
    /// Whose tokens.
    pub partition: &'a Partition,
    /// The hash of the key's members beside the scopes.
    pub variant: &'a [u8; 32],
    /// The folded scopes.
    pub asked: &'a str,
    /// Which token at hand must not be the answer.
    pub bypass: Bypass,
}

/// Which token at hand must not be the answer.
#[derive(Clone, Copy, Debug)]
pub enum Bypass {
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
        sha256: [u8; 32],
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

/// What a flight brings to all who joined it.
#[derive(Clone, Debug)]
pub struct Flown {
    /// The answer's first part.
    pub head: Head,
    generation: u64,
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
        self.find(query).map_or_else(Look::Miss, |(flown, due)| Look::Hit { head: flown.head, due })
    }

    fn find(&self, query: &Query<'_>) -> Result<(Flown, bool), Miss> {
        let now = self.clock.unix();
        let judged = |stored: &Stored| {
            if !stored.answers(query.variant, query.asked) {
                return None;
            }
            let facts = &stored.facts;
            let flown = Flown { head: stored.head(), generation: facts.generation };
            if query.bypass.wants_another(facts.challenge) || query.bypass.skips(&flown) {
                return Some(Err(Miss::Bypassed));
            }
            Some(match judge(stored.expires_on, stored.received_on, stored.refresh_on, now) {
                Freshness::Expired => Err(Miss::Expired),
                freshness => Ok((flown, freshness == Freshness::RefreshDue)),
            })
        };
        self.memory.find_map(query.partition, judged).unwrap_or(Err(Miss::Absent))
    }

    /// Loads a token by one flight for all who want the same, and stores it. The flight looks into memory once more first.
    /// `work` is asked for again if the flight that was joined brought the very token that this caller does not want.
    ///
    /// # Errors
    /// What the load says, shared by all who waited for it; `None` if the load itself broke off.
    pub async fn load<W>(self: &Arc<Self>, query: &Query<'_>, work: impl Fn() -> W) -> Option<Result<Head, E>>
    where
        W: Future<Output = Result<Loaded, E>> + Send + 'static,
    {
        loop {
            let (outcome, led) = self.flights.join_or_lead(query.key(), self.flown(query, Kind::Awaited, work())).await;
            match outcome? {
                // It was placed for somebody who came earlier or was refused another token. What the authority gives us ourselves is
                // the answer, also if it is the same token again.
                Ok(flown) if !led && query.bypass.skips(&flown) => {}
                outcome => return Some(outcome.map(|flown| flown.head)),
            }
        }
    }

    /// Whether what is asked is being loaded now.
    pub fn is_loading(&self, query: &Query<'_>) -> bool {
        self.flights.is_under_way(&query.key())
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
    ) -> impl Future<Output = Result<Flown, E>> + Send + 'static {
        let this = Arc::clone(self);
        let (partition, variant, bypass) = (*query.partition, *query.variant, query.bypass);
        let asked = Box::<str>::from(query.asked);
        async move {
            // Between the caller's look and this flight another one may have ended and stored what is wanted.
            let again = Query { by: "", partition: &partition, variant: &variant, asked: &asked, bypass };
            match this.find(&again) {
                Ok((flown, due)) if !due || kind == Kind::Awaited => return Ok(flown),
                _ => {}
            }
            let loaded = work.await?;
            let facts = Facts { asked, granted: loaded.granted, variant, challenge: bypass.challenge(), generation: 0 };
            Ok(this.store(partition, &loaded.grant, facts))
        }
    }

    /// Stores what a redemption brought, without a look and without a flight.
    pub fn keep(&self, partition: &Partition, variant: &[u8; 32], asked: &str, loaded: &Loaded) -> Head {
        let facts = Facts { asked: asked.into(), granted: loaded.granted.clone(), variant: *variant, challenge: 0, generation: 0 };
        self.store(*partition, &loaded.grant, facts).head
    }

    fn store(&self, partition: Partition, grant: &Grant, mut facts: Facts) -> Flown {
        let head = grant.write();
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        facts.generation = generation;
        if lifetime_is_credible(&grant.times)
            && let Some(stored) = head.clone().keep(&grant.times, facts)
        {
            self.memory.put(partition, stored, self.clock.unix());
        }
        Flown { head, generation }
    }

    /// The memory level, for `/status` and metrics.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Removes what has ended.
    pub fn sweep(&self) {
        self.memory.sweep(self.clock.unix());
    }
}

// === impl Query ===

impl Query<'_> {
    /// The key of its flight: bypassing requests share one per challenge, apart from those that take any token.
    fn key(&self) -> Key {
        Key::flight(
            self.by,
            self.partition,
            self.variant,
            self.asked,
            self.bypass.challenge(),
            !matches!(self.bypass, Bypass::None),
        )
    }
}

// === impl Bypass ===

impl Bypass {
    /// Whether a token that answered this challenge (zero: none) is not what is wanted.
    fn wants_another(&self, answered: u64) -> bool {
        matches!(self, Self::Older { challenge, .. } if *challenge != answered)
    }

    /// Whether this is the token that is not wanted.
    fn skips(&self, flown: &Flown) -> bool {
        match self {
            Self::None => false,
            Self::Older { than, .. } => flown.generation <= *than,
            Self::Token { sha256, .. } => flown.head.token().is_some_and(|token| key::sha256(token.as_bytes()) == *sha256),
        }
    }

    fn challenge(&self) -> u64 {
        match self {
            Self::Older { challenge, .. } | Self::Token { challenge, .. } => *challenge,
            Self::None => 0,
        }
    }
}
