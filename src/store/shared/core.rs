//! How a call is made: the breaker, the connection, the deadline, and what is learned from how it ends.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::acknowledged::Acknowledged;
use super::fault::CallFault;
use super::guard::{BreakerKind, SharedBreaker};
use super::link::{ATTEMPT, Link};
use super::metrics::{Counts, Op};
use super::scripts::{self, ScriptCall};
use super::types::StoreError;
use super::wire::RedisConnection;
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::telemetry;

/// How many keys probes use: in a cluster they fall into different slots.
pub(super) const PROBES: u32 = 16;

/// What all calls share.
pub(super) struct Core {
    pub(super) link: Arc<Link>,
    /// For writes that replicas must have, if that is asked for.
    pub(super) acknowledged: Option<Acknowledged>,
    pub(super) reads: SharedBreaker,
    pub(super) writes: SharedBreaker,
    pub(super) events: SharedBreaker,
    pub(super) counts: Arc<Counts>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) jitter: fn() -> f64,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) recoveries: watch::Sender<u64>,
    pub(super) probes: AtomicU32,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum RedisRequest<'a> {
    Plain(&'a Cmd),
    /// Commands about keys in one slot, sent together; their answers are an array.
    Batch(&'a Pipeline),
    Script(&'a ScriptCall),
}

// === impl Core ===

impl Core {
    /// Makes a call, or does not if the breaker is open. `patient`: a breaker that opened a moment ago is waited for, and a second
    /// connection is tried where the first one does not answer.
    pub(super) async fn call(
        self: &Arc<Self>,
        op: Op,
        request: RedisRequest<'_>,
        deadline: Duration,
        patient: bool,
    ) -> Result<Value, StoreError> {
        // One look at the clock for all that the call needs: a hit in Redis is many of them else.
        let mut started = Instant::now();
        let ends = started + deadline;
        if !self.may(op) {
            // What most calls do not need is boxed: a future carries room for all that it may await.
            if !(patient && Box::pin(self.may_soon(op, deadline, ends)).await) {
                self.counts.spared(op);
                return Err(StoreError::Open);
            }
            started = Instant::now();
        }
        let span = telemetry::redis_span(op.as_str());
        let outcome = if patient {
            Box::pin(self.attempt_patiently(request, ends)).await
        } else {
            self.attempt(request, started, deadline).await
        };
        let fault = outcome.as_ref().err().copied();
        if let Some(fault) = fault {
            telemetry::call_failed(&span, fault.as_str());
        }
        drop(span);
        self.settled(op, fault, started, Instant::now());
        match outcome {
            // What is of another type is not what was looked for, and there is nothing else.
            Err(CallFault::WrongType) if !op.writes() => Ok(Value::Nil),
            outcome => outcome.map_err(|_| StoreError::Failed),
        }
    }

    /// Whether a call may be made.
    pub(super) fn may(&self, op: Op) -> bool {
        match op {
            // A sign-out is tried wherever there is hope: a server that is full still deletes.
            Op::Remove => self.writes.is_closed() || self.reads.is_closed(),
            // At the end nothing probes any more, and what is not stored now is lost.
            Op::Put => self.writes.is_closed() || self.tasks.soft().is_cancelled(),
            op => self.guard(op).is_closed(),
        }
    }

    /// Waits for a breaker that opened a moment ago: a pause of Redis opens it within a few calls of those who have no time.
    async fn may_soon(&self, op: Op, deadline: Duration, ends: Instant) -> bool {
        let guard = self.guard(op);
        guard.open_for() < deadline && guard.hurry_until(|| self.may(op), ends).await
    }

    /// Counts a call that was made, and learns from it.
    pub(super) fn settled(self: &Arc<Self>, op: Op, fault: Option<CallFault>, started: Instant, ended: Instant) {
        self.counts.called(op, fault, ended.saturating_duration_since(started));
        self.judge(op, fault, ended);
    }

    /// What the outcome of a call says of Redis.
    fn judge(self: &Arc<Self>, op: Op, fault: Option<CallFault>, ended: Instant) {
        let (kind, fault) = match fault {
            None | Some(CallFault::WrongType) => return self.guard(op).success(self.clock.moment_of(ended.into_std())),
            Some(CallFault::Connecting) => return,
            // The trouble of this slot alone. A server alone that says so is a node of a cluster, and of no use.
            Some(CallFault::Migrating) if self.link.dialer().is_cluster() => return,
            // Whether a message may be published says nothing of the rest.
            Some(CallFault::Forbidden) if op == Op::Publish => return,
            Some(fault) if fault.concerns_writes() => (BreakerKind::Writes, fault),
            Some(fault) => (kind(op), fault),
        };
        let guard = if kind == BreakerKind::Writes { &self.writes } else { &self.reads };
        if guard.failure(fault) {
            self.probe_until_well(kind);
        }
    }

    fn probe_until_well(self: &Arc<Self>, kind: BreakerKind) {
        let this = Arc::clone(self);
        self.tasks.background("redis_probe", async move {
            let guard = if kind == BreakerKind::Writes { &this.writes } else { &this.reads };
            let mut bell = guard.bell();
            loop {
                guard.until_probe((this.jitter)(), &mut bell).await;
                guard.probe();
                let well = this.probe(kind).await;
                if guard.probed(well) {
                    break;
                }
            }
            this.recoveries.send_modify(|recoveries| *recoveries += 1);
        });
    }

    /// Whether a call of this kind works, in the time that a call has. Making a connection may take longer.
    async fn probe(self: &Arc<Self>, kind: BreakerKind) -> bool {
        if within(ATTEMPT, self.link.live(true)).await.is_none_or(|live| live.is_err()) {
            return false;
        }
        let key = format!("{}:probe:{}", self.prefix, self.probes.fetch_add(1, Ordering::Relaxed) % PROBES);
        let started = Instant::now();
        let outcome = match kind {
            BreakerKind::Writes => {
                let call = scripts::PROBE.call().key(&key);
                self.attempt_once(RedisRequest::Script(&call), self.timeout).await
            }
            _ => self.attempt_once(RedisRequest::Plain(redis::cmd("GET").arg(&key)), self.timeout).await,
        };
        self.counts.called(Op::Probe, outcome.as_ref().err().copied(), started.elapsed());
        outcome.is_ok()
    }

    fn guard(&self, op: Op) -> &SharedBreaker {
        if op.writes() { &self.writes } else { &self.reads }
    }
}

// === impl RedisRequest ===

impl RedisRequest<'_> {
    /// Sends it, a script's text too if the server does not know it, and waits for the answer.
    pub(super) async fn send(self, mut wire: RedisConnection) -> RedisResult<Value> {
        match self {
            Self::Plain(cmd) => wire.ask(cmd).await,
            // Boxed: a hit has no need of them, and would carry room for each.
            Self::Batch(batch) => Box::pin(wire.ask_all(batch)).await,
            Self::Script(call) => Box::pin(Self::run(wire, call)).await,
        }
    }

    async fn run(mut wire: RedisConnection, call: &ScriptCall) -> RedisResult<Value> {
        match wire.ask(&call.by_hash()).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => wire.ask(&call.by_text()).await,
            outcome => outcome,
        }
    }
}

fn kind(op: Op) -> BreakerKind {
    if op.writes() { BreakerKind::Writes } else { BreakerKind::Reads }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, work).await.ok()
}
