//! How a call is made: the breaker, the connection, the deadline, and what is learned from how it ends.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::watch;

use super::dial::Wire;
use super::fault::Fault;
use super::guard::{Guard, Kind};
use super::link::{ATTEMPT, Link};
use super::metrics::{Counts, Op};
use super::scripts::{self, Call};
use super::types::Trouble;
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::telemetry;

/// A caller that runs out of time while a connection is being made says nothing of Redis, if the attempt is not older than this.
const CONNECTING: Duration = Duration::from_millis(250);
/// How many keys probes use: in a cluster they fall into different slots.
pub(super) const PROBES: u32 = 16;

/// What all calls share.
pub(super) struct Core {
    pub(super) link: Arc<Link>,
    pub(super) reads: Guard,
    pub(super) writes: Guard,
    pub(super) events: Guard,
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
pub(super) enum Request<'a> {
    Plain(&'a Cmd),
    /// Commands about keys in one slot, sent together; their answers are an array.
    Batch(&'a Pipeline),
    Script(&'a Call),
}

// === impl Core ===

impl Core {
    /// Makes a call, or does not if the breaker is open.
    pub(super) async fn call(self: &Arc<Self>, op: Op, request: Request<'_>, deadline: Duration) -> Result<Value, Trouble> {
        let closed = match op {
            // A sign-out is tried wherever there is hope: a server that is full still deletes.
            Op::Remove => self.writes.is_closed() || self.reads.is_closed(),
            // At the end nothing probes any more, and what is not stored now is lost.
            Op::Put => self.writes.is_closed() || self.tasks.soft().is_cancelled(),
            op => self.guard(op).is_closed(),
        };
        if !closed {
            self.counts.spared(op);
            return Err(Trouble::Open);
        }
        let (started, span) = (self.clock.precise(), telemetry::redis_span(op.as_str()));
        let outcome = self.attempt(request, deadline, false).await;
        let fault = outcome.as_ref().err().copied();
        if let Some(fault) = fault {
            telemetry::call_failed(&span, fault.as_str());
        }
        drop(span);
        self.counts.called(op, fault, self.clock.precise().saturating_sub(started));
        self.judge(op, fault);
        match outcome {
            // What is of another type is not what was looked for, and there is nothing else.
            Err(Fault::WrongType) if !op.writes() => Ok(Value::Nil),
            outcome => outcome.map_err(|_| Trouble::Failed),
        }
    }

    async fn attempt(self: &Arc<Self>, request: Request<'_>, deadline: Duration, at_once: bool) -> Result<Value, Fault> {
        let mut used = None;
        let exchange = async {
            let live = used.insert(self.link.live(at_once).await?);
            request.send(live.wire()).await.map_err(|error| Fault::from(&error))
        };
        // The first connection of all takes longer than a call may, and without it a new replica would ask for what it could read.
        let deadline = if self.link.is_untried() { deadline + CONNECTING } else { deadline };
        let outcome = tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Fault::TimedOut));
        match &used {
            Some(live) => {
                self.link.settle(live, outcome.as_ref().err().copied());
                outcome
            }
            None => outcome.map_err(|fault| self.without_connection(fault)),
        }
    }

    fn without_connection(&self, fault: Fault) -> Fault {
        match self.link.making_for() {
            Some(making) if fault == Fault::TimedOut && making <= CONNECTING => Fault::Connecting,
            _ => fault,
        }
    }

    /// What the outcome of a call says of Redis.
    fn judge(self: &Arc<Self>, op: Op, fault: Option<Fault>) {
        let (kind, fault) = match fault {
            None | Some(Fault::WrongType) => return self.guard(op).success(),
            Some(Fault::Connecting) => return,
            // Whether a message may be published says nothing of the rest.
            Some(Fault::Forbidden) if op == Op::Publish => return,
            Some(fault) if fault.concerns_writes() => (Kind::Writes, fault),
            Some(fault) => (kind(op), fault),
        };
        let guard = if kind == Kind::Writes { &self.writes } else { &self.reads };
        if guard.failure(fault) {
            self.probe_until_well(kind);
        }
    }

    fn probe_until_well(self: &Arc<Self>, kind: Kind) {
        let this = Arc::clone(self);
        self.tasks.background("redis_probe", async move {
            let guard = if kind == Kind::Writes { &this.writes } else { &this.reads };
            loop {
                tokio::time::sleep(guard.pause((this.jitter)())).await;
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
    async fn probe(self: &Arc<Self>, kind: Kind) -> bool {
        if within(ATTEMPT, self.link.live(true)).await.is_none_or(|live| live.is_err()) {
            return false;
        }
        let key = format!("{}:probe:{}", self.prefix, self.probes.fetch_add(1, Ordering::Relaxed) % PROBES);
        let started = self.clock.precise();
        let outcome = match kind {
            Kind::Writes => {
                let call = scripts::PROBE.call().key(&key);
                self.attempt(Request::Script(&call), self.timeout, true).await
            }
            _ => self.attempt(Request::Plain(redis::cmd("GET").arg(&key)), self.timeout, true).await,
        };
        self.counts.called(Op::Probe, outcome.as_ref().err().copied(), self.clock.precise().saturating_sub(started));
        outcome.is_ok()
    }

    fn guard(&self, op: Op) -> &Guard {
        if op.writes() { &self.writes } else { &self.reads }
    }
}

// === impl Request ===

impl Request<'_> {
    /// Sends it, a script's text too if the server does not know it, and waits for the answer.
    pub(super) async fn send(self, mut wire: Wire) -> RedisResult<Value> {
        match self {
            Self::Plain(cmd) => wire.ask(cmd).await,
            Self::Batch(batch) => wire.ask_all(batch).await,
            Self::Script(call) => match wire.ask(&call.by_hash()).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => wire.ask(&call.by_text()).await,
                outcome => outcome,
            },
        }
    }
}

fn kind(op: Op) -> Kind {
    if op.writes() { Kind::Writes } else { Kind::Reads }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, work).await.ok()
}
