//! Writes that replicas must have before they count: sign-outs, and sign-ins whose older refresh token is used up.
//!
//! They go over a connection of their own, each in one go with a `WAIT`.
//! Redis holds that connection until enough replicas have its last write.

use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::fault::CallFault;
use super::link::{Link, Live};
use super::scripts::ScriptCall;

/// How long nobody waits once replicas did not acknowledge: those who come would wait one after the other.
const LAGGING: Duration = Duration::from_secs(1);
/// How many may wait at a time in a cluster, where others than the one that is waited for may be well.
const LANES: usize = 8;

/// The connection for them, and what is asked for.
pub(super) struct Acknowledged {
    link: Arc<Link>,
    replicas: u32,
    timeout: Duration,
    /// One at a time in each; until when nobody waits.
    lanes: [Mutex<Option<Instant>>; LANES],
}

// === impl Acknowledged ===

impl Acknowledged {
    pub(super) fn new(link: Arc<Link>, replicas: u32, timeout: Duration) -> Self {
        Self { link, replicas, timeout, lanes: Default::default() }
    }

    /// Makes a write and waits for replicas: its answer, and whether enough have it. `None`: it was not made, or has no answer.
    pub(super) async fn write(&self, key: &str, call: &ScriptCall, deadline: Duration) -> Option<(Value, bool)> {
        let ends = Instant::now() + deadline + self.timeout;
        let lane = if self.link.dialer().is_cluster() { key.bytes().map(usize::from).sum::<usize>() % LANES } else { 0 };
        let mut lagging = timeout_at(ends, self.lanes.get(lane)?.lock()).await.ok()?;
        if lagging.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let live = timeout_at(ends, self.link.live(false)).await.ok()?.ok()?;
        let mut outcome = timeout_at(ends, self.send(&live, key, call)).await.unwrap_or(Err(CallFault::TimedOut));
        self.link.settle(&live, outcome.as_ref().err().copied());
        if matches!(outcome, Err(CallFault::Broken)) {
            // It is idle for long as a rule, and servers close what is: see `attempt`.
            let live = timeout_at(ends, self.link.again(&live)).await.ok()?.ok()?;
            outcome = timeout_at(ends, self.send(&live, key, call)).await.unwrap_or(Err(CallFault::TimedOut));
            self.link.settle(&live, outcome.as_ref().err().copied());
        }
        let have_it = outcome.as_ref().is_ok_and(|(_, count)| *count >= i64::from(self.replicas));
        // Only who is told that replicas lag would wait again.
        let lags = matches!(&outcome, Ok(_) | Err(CallFault::TimedOut)) && !have_it;
        *lagging = lags.then(|| Instant::now() + LAGGING);
        outcome.ok().map(|(value, _)| (value, have_it))
    }

    async fn send(&self, live: &Live, key: &str, call: &ScriptCall) -> Result<(Value, i64), CallFault> {
        let mut wire = live.wire();
        let wait = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        for cmd in [call.by_hash(), call.by_text()] {
            let mut both = redis::pipe();
            both.add_command(cmd).cmd("WAIT").arg(self.replicas).arg(wait);
            let answers = wire.ask_both(key, both).await.map_err(|error| CallFault::from(&error))?;
            let [value, count] = <[Value; 2]>::try_from(answers).map_err(|_| CallFault::Other)?;
            match value.extract_error() {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {}
                Err(error) => return Err(CallFault::from(&error)),
                Ok(value) => return Ok((value, if let Value::Int(count) = count { count } else { 0 })),
            }
        }
        Err(CallFault::Other)
    }
}
