//! The store as others have it, over what all its calls share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::sync::watch;

use super::access::Access;
use super::acknowledged::Acknowledged;
use super::breaker::BreakerState;
use super::core::Core;
use super::dial::Dialer;
use super::events;
use super::guard::{Bell, BreakerKind, SharedBreaker};
use super::link::Link;
use super::metrics::Counts;
use super::types::Event;
use crate::clock::Clock;
use crate::store::settings::RedisSettings;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Redis; clones share it.
#[derive(Clone)]
pub struct Shared {
    pub(super) core: Arc<Core>,
    pub(super) write_timeout: Duration,
    pub(super) channel: Arc<str>,
    /// Whether its calls have time, see [`Shared::patient`].
    pub(super) patient: bool,
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
