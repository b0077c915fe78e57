//! What a seed decides: the requests of each worker, and what goes wrong and for how long. Nothing of it depends on an answer.

use std::time::Duration;

use super::history::Kind;
use super::random::Random;

/// What replicas share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    Standalone,
    Valkey,
    Sentinel,
    Cluster,
}

/// A run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) topology: Topology,
    pub(crate) seed: u64,
    /// For how long faults are begun.
    pub(crate) length: Duration,
    pub(crate) replicas: usize,
    pub(crate) accounts: usize,
    pub(crate) workers: usize,
    /// How long between two faults all is well.
    pub(crate) calm: (u64, u64),
    /// How long what goes wrong does so at most.
    pub(crate) longest: Duration,
    /// After which a replica looks in Redis again. Longer than a message takes by far, or one that did not come would not show.
    pub(crate) recheck: Duration,
    /// How long a call of Redis may take.
    pub(crate) deadline: Duration,
    /// What runs it again, after the variables.
    pub(crate) command: &'static str,
    /// Seconds that a token lives.
    pub(crate) lifetime: i64,
    /// Seconds that the clock of the last replica is ahead, where there is a `libfaketime`.
    pub(crate) skew: u64,
    /// Nothing but this goes wrong.
    pub(crate) only: Option<Deed>,
}

/// What goes wrong, once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// How long all is well before.
    pub(crate) calm: Duration,
    pub(crate) deed: Deed,
    /// Whose: of a replica or a server, as far as it makes a difference.
    pub(crate) whose: usize,
    pub(crate) lasts: Duration,
    /// How long each call to the authority takes meanwhile; zero: as long as it takes.
    pub(crate) slow: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    KillReplica,
    StopReplica,
    SlowAuthority,
    /// A replica's way to Redis.
    Cut,
    Delay,
    Freeze,
    BlackHole,
    BlackHoleAll,
    Forget,
    /// Redis closes all connections.
    CloseIdle,
    StopRedis,
    Hiccup,
    FlushAll,
    ForgetScripts,
    RestartEmpty,
    RestartWithData,
    RestartOlder,
    Evict,
    Full,
    KillMaster,
    StopMaster,
    Failover,
    /// The master is killed while nothing reaches its replicas.
    Unreplicated,
    /// A slot that is half in one node and half in another.
    Migrate,
}

/// What a worker does next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) pause: Duration,
    pub(crate) kind: Kind,
    pub(crate) replica: usize,
    pub(crate) account: usize,
    pub(crate) scopes: usize,
    /// Through which replica the account is signed out in mid-call.
    pub(crate) crossed: Option<usize>,
}

/// Streams of numbers: of the faults, and of the first worker.
const FAULTS: u64 = 0;
const WORKERS: u64 = 1;

/// Accounts that half of all requests are about.
const HOT: usize = 4;

/// What can happen to one server behind a way of its own for each replica; the more often it stands here the more often it happens.
const ONE: &[Deed] = &[
    Deed::KillReplica,
    Deed::StopReplica,
    Deed::StopReplica,
    Deed::SlowAuthority,
    Deed::Cut,
    Deed::Delay,
    Deed::Freeze,
    Deed::BlackHole,
    Deed::BlackHoleAll,
    Deed::Forget,
    Deed::CloseIdle,
    Deed::StopRedis,
    Deed::Hiccup,
    Deed::FlushAll,
    Deed::ForgetScripts,
    Deed::RestartEmpty,
    Deed::RestartWithData,
    Deed::RestartOlder,
    Deed::Evict,
    Deed::Full,
];

const SENTINEL: &[Deed] = &[
    Deed::KillReplica,
    Deed::StopReplica,
    Deed::SlowAuthority,
    Deed::CloseIdle,
    Deed::Hiccup,
    Deed::FlushAll,
    Deed::KillMaster,
    Deed::StopMaster,
    Deed::StopMaster,
    Deed::Failover,
    Deed::Unreplicated,
];

const CLUSTER: &[Deed] = &[
    Deed::KillReplica,
    Deed::StopReplica,
    Deed::SlowAuthority,
    Deed::CloseIdle,
    Deed::Hiccup,
    Deed::FlushAll,
    Deed::KillMaster,
    Deed::StopMaster,
    Deed::Failover,
    Deed::Migrate,
    Deed::Migrate,
];

// === impl Topology ===

impl Topology {
    pub(crate) const ALL: [Self; 4] = [Self::Standalone, Self::Sentinel, Self::Cluster, Self::Valkey];

    /// By its name in the environment and in the table.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topology| topology.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Valkey => "valkey",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }

    /// One of its faults by its name.
    pub(crate) fn deed(self, name: &str) -> Option<Deed> {
        self.deeds().iter().copied().find(|deed| format!("{deed:?}") == name)
    }

    fn deeds(self) -> &'static [Deed] {
        match self {
            Self::Standalone | Self::Valkey => ONE,
            Self::Sentinel => SENTINEL,
            Self::Cluster => CLUSTER,
        }
    }
}

// === impl Plan ===

impl Plan {
    /// The faults, one after the other, without end.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = Round> {
        let (mut random, plan) = (Random::of(self.seed, FAULTS), *self);
        let deeds = plan.only.map_or_else(|| plan.topology.deeds().to_vec(), |only| vec![only]);
        std::iter::repeat_with(move || Round::next(&mut random, &plan, &deeds))
    }

    /// The requests of a worker, one after the other, without end.
    pub(crate) fn steps(&self, worker: usize) -> impl Iterator<Item = Step> + use<> {
        let mut random = Random::of(self.seed, WORKERS + u64::try_from(worker).unwrap_or(0));
        let plan = *self;
        std::iter::repeat_with(move || Step::next(&mut random, &plan))
    }
}

// === impl Round ===

impl Round {
    /// Draws as many numbers whatever the fault.
    fn next(random: &mut Random, plan: &Plan, deeds: &[Deed]) -> Self {
        let (calm, deed, whose) = (random.between(plan.calm.0, plan.calm.1), random.one_of(deeds), random.below(plan.replicas));
        let most = u64::try_from(plan.longest.as_millis()).unwrap_or(u64::MAX).max(1_000);
        let (long, short, slow) = (random.between(1_000, most), random.between(30, 700), random.between(200, 3_000));
        let (slow_at, is_short) = (random.below(100), random.percent(30));
        let lasts = match deed {
            Deed::Hiccup => short,
            Deed::Evict | Deed::Full | Deed::RestartOlder | Deed::Migrate => long.min(Duration::from_secs(4)),
            Deed::SlowAuthority | Deed::StopReplica => long,
            _ if is_short => short,
            _ => long,
        };
        // Most of what cuts a replica off is bad in mid-call alone.
        let is_slow = match deed {
            Deed::SlowAuthority => true,
            Deed::StopReplica | Deed::Cut | Deed::Freeze | Deed::BlackHole | Deed::BlackHoleAll | Deed::FlushAll => slow_at < 80,
            _ => slow_at < 35,
        };
        let slow = if is_slow { slow } else { Duration::ZERO };
        Self { calm, deed, whose, lasts, slow }
    }
}

// === impl Step ===

impl Step {
    fn next(random: &mut Random, plan: &Plan) -> Self {
        let (pause, roll, forced) = (random.between(20, 250), random.below(100), random.percent(18));
        let (replica, scopes) = (random.below(plan.replicas), random.below(usize::MAX));
        // Some are asked for so often that what is done to them meets.
        let (hot, any) = (random.below(HOT.min(plan.accounts)), random.below(plan.accounts));
        let account = if random.percent(50) { hot } else { any };
        let kind = match roll {
            0..64 => Kind::Silent { forced },
            64..74 => Kind::App { forced },
            74..84 => Kind::Obo { forced },
            84..90 => Kind::SignIn,
            90..93 => Kind::SignOut,
            93 => Kind::Leave,
            94..96 => Kind::Silent { forced: true },
            _ => Kind::List,
        };
        let other = random.below(plan.replicas);
        let crossed = matches!(roll, 94..96).then_some(other);
        Self { pause, kind, replica, account, scopes, crossed }
    }
}
