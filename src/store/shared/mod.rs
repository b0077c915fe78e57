//! The store that replicas share: Redis as bytes under names, whatever its topology.
//!
//! Redis is a help and no condition: every call has its own deadline, breakers stop asking a Redis that fails, probes find out when
//! it works again, and connections are made on first use and replaced when they are of no more use.

mod access;
mod acknowledged;
mod attempt;
mod breaker;
mod cluster;
mod core;
mod dial;
mod events;
mod fault;
mod guard;
mod link;
mod metrics;
mod ops;
mod place;
mod proof;
mod raise;
mod scripts;
mod sentinels;
mod types;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::sync::watch;

pub use self::access::Access;
pub use self::breaker::BreakerState;
pub use self::types::{
    Claim, Claimed, Epoch, Event, Holder, Index, Mark, Note, Page, Placed, Put, Raised, Removed, ReturnedLease, StoreError,
};

use self::acknowledged::Acknowledged;
use self::core::Core;
use self::dial::Dialer;
use self::guard::{Bell, BreakerKind, SharedBreaker};
use self::link::Link;
use self::metrics::Counts;
use super::settings::RedisSettings;
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// How long a patient call may take altogether: as long as a flight goes on asking.
const PATIENT: Duration = Duration::from_secs(1);

/// Redis; clones share it.
#[derive(Clone)]
pub struct Shared {
    core: Arc<Core>,
    write_timeout: Duration,
    channel: Arc<str>,
    /// Whether its calls have time, see [`Shared::patient`].
    patient: bool,
}

/// Where the breakers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What only reads, and messages.
    pub reads: BreakerState,
    /// What writes.
    pub writes: BreakerState,
    /// The subscription.
    pub events: BreakerState,
}

// === impl Shared ===

impl Shared {
    /// Makes the store; nothing is connected before the first call. `jitter` is a random number from 0 to 1.
    pub fn new(
        settings: &RedisSettings,
        access: Access,
        clock: Clock,
        tasks: Tasks,
        metrics: &Metrics,
        jitter: fn() -> f64,
    ) -> Arc<Self> {
        let counts = Arc::new(Counts::new(metrics));
        let dialer = Dialer::new(settings, access);
        let bell = Bell::new();
        let guard = |kind| SharedBreaker::new(kind, clock.clone(), Arc::clone(&counts), Arc::clone(&bell));
        let link = |dialer| Link::new(dialer, clock.clone(), tasks.clone(), jitter, Arc::clone(&counts));
        let waits = settings.wait_replicas > 0;
        let core = Core {
            acknowledged: waits.then(|| {
                let link = link(dialer.clone().waiting(settings.wait_timeout));
                Acknowledged::new(link, settings.wait_replicas, settings.wait_timeout)
            }),
            link: link(dialer),
            reads: guard(BreakerKind::Reads),
            writes: guard(BreakerKind::Writes),
            events: guard(BreakerKind::Events),
            counts: Arc::clone(&counts),
            clock,
            tasks,
            jitter,
            prefix: settings.key_prefix.clone(),
            timeout: settings.timeout,
            recoveries: watch::Sender::new(0),
            probes: AtomicU32::new(0),
        };
        let channel = format!("{}:events", settings.key_prefix).into();
        Arc::new(Self { core: Arc::new(core), write_timeout: settings.write_timeout, channel, patient: false })
    }

    /// This store for whom nothing else than Redis' answer will do: sign-outs, listings, and what is used once. Its calls have a
    /// second altogether instead of the time-out, so that a pause of Redis is waited for.
    pub fn patient(&self) -> Self {
        Self { patient: true, ..self.clone() }
    }

    /// Listens to what others publish, on a connection of its own, until the soft stop. `heard` gets every message, and a notice
    /// after every subscription; it must not block.
    pub fn listen(self: &Arc<Self>, heard: impl Fn(Event) + Send + Sync + 'static) {
        let listening = events::follow(Arc::clone(&self.core), Arc::clone(&self.channel), heard);
        self.core.tasks.background("redis_events", listening);
    }

    /// Changes each time that reads or writes work again after they did not.
    pub fn recoveries(&self) -> watch::Receiver<u64> {
        self.core.recoveries.subscribe()
    }

    /// How often the connection for calls was made anew: it may lead to another master since.
    pub fn reconnects(&self) -> u64 {
        self.core.link.remade()
    }

    /// Where the breakers stand.
    pub fn state(&self) -> State {
        State { reads: self.core.reads.state(), writes: self.core.writes.state(), events: self.core.events.state() }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("state", &self.state()).finish_non_exhaustive()
    }
}
