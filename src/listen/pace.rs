//! How long a connection may stay at what it is at: at a head, at taking its answer, at nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep, sleep_until};

use super::meters::Reason;
use super::occupant::{Occupant, Phase};
use super::woken::Woken;
use crate::clock::LAST_LOOK;

/// The clock of one connection. It is set once for many requests:
/// it is early at worst, looks what the connection is at, and goes on.
#[derive(Debug)]
pub(super) struct Pace {
    seat: Arc<Occupant>,
    /// For a head, for taking an answer, and for the last word.
    head: Duration,
    idle: Duration,
    sleep: Pin<Box<Sleep>>,
    /// When an idle connection was told that it ends.
    told: Option<Instant>,
    /// When a connection whose time is over is looked at for the last time.
    last_look: Option<Instant>,
}

/// How long an idle connection stays beyond what its client was told: what is sent in the last moment still arrives.
const MARGIN: Duration = Duration::from_secs(1);

// === impl Pace ===

impl Pace {
    /// A head may take `head`; without `keep_alive` a connection that is kept nevertheless (HTTP/2) is idle
    /// no longer than that either.
    pub(super) fn new(seat: &Arc<Occupant>, head: Duration, keep_alive: Option<Duration>) -> Self {
        let idle = keep_alive.map_or(head, |idle| idle.saturating_add(MARGIN));
        let sleep = Box::pin(sleep_until(Instant::now() + head));
        Self { seat: Arc::clone(seat), head, idle, sleep, told: None, last_look: None }
    }

    /// Waits until it is over with the connection, before anything of its first head has been read.
    pub(super) async fn over(&mut self) {
        poll_fn(|cx| self.poll(cx).map(drop)).await;
    }

    /// Polls a connection until it ends, or takes too long; once `stop` is over it is told to finish.
    pub(super) async fn drive<C: GracefulConnection>(mut self, mut connection: Pin<Box<C>>, stop: impl Future<Output = ()>) {
        let stop = pin!(stop);
        let mut stop = Woken::new(stop);
        let mut stopping = false;
        poll_fn(|cx| {
            loop {
                // How it ended is the client's affair: a broken connection is no failed request.
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !stopping && stop.poll_unpin(cx).is_ready() {
                    stopping = true;
                    // A client that is gone without a word must not hold up the end.
                    self.told = Some(Instant::now());
                } else {
                    match std::task::ready!(self.poll(cx)) {
                        PaceStep::Finish => {}
                        PaceStep::End => return Poll::Ready(()),
                    }
                }
                connection.as_mut().graceful_shutdown();
            }
        })
        .await;
    }

    /// Is ready when the time for what the connection is at is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PaceStep> {
        loop {
            let phase = self.seat.phase();
            let until = self.until(phase).map(|until| self.last_look.map_or(until, |look| until.max(look)));
            if let Some(until) = until
                && until < self.sleep.deadline()
            {
                self.sleep.as_mut().reset(until);
            }
            std::task::ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            let next = match until {
                Some(until) if until <= now && self.last_look.take().is_some() => return Poll::Ready(self.step(phase, now)),
                Some(until) if until <= now => *self.last_look.insert(now + LAST_LOOK),
                until => {
                    self.last_look = None;
                    until.unwrap_or(now + self.head)
                }
            };
            self.sleep.as_mut().reset(next);
        }
    }

    /// `None`: a request is being answered, which has its own bounds.
    fn until(&self, phase: Phase) -> Option<Instant> {
        let (since, time) = match phase {
            Phase::Busy => return None,
            Phase::Head(since) | Phase::Stalled(since) => (since, self.head),
            Phase::Idle(since) => (since, self.idle),
        };
        // Whatever it has begun since it was told.
        let told = self.told.map(|told| told + self.head);
        Some(told.unwrap_or_else(|| self.seat.moment(since) + time))
    }

    fn step(&mut self, phase: Phase, now: Instant) -> PaceStep {
        match phase {
            Phase::Head(_) => self.seat.count(Reason::HeadTimeout),
            Phase::Stalled(_) => self.seat.count(Reason::Stalled),
            Phase::Busy | Phase::Idle(_) => {
                if self.told.is_none() {
                    self.told = Some(now);
                    return PaceStep::Finish;
                }
            }
        }
        PaceStep::End
    }
}

/// What to do with a connection whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PaceStep {
    /// Tell it that it ends.
    Finish,
    /// Close it.
    End,
}
