//! One call over the connection that there is, and once more over another one where the first was of no use.
//!
//! A call may be made twice: each that exists does no harm if it is. Reads change nothing. A claim finds the lease its own, an
//! extension and a release compare the owner, a put finds its own value, a withdrawal compares the generation, a removal finds the
//! epoch that it set itself, and what sets, deletes, joins or leaves ends the same; a message that is heard twice is obeyed twice,
//! with no effect.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::core::{Core, RedisRequest};
use super::fault::CallFault;
use super::link::{Link, Live};

/// A caller that runs out of time while a connection is being made says nothing of Redis, if the attempt is not older than this.
pub(super) const CONNECTING: Duration = Duration::from_millis(250);

/// How soon who has time asks again.
const AGAIN: Duration = Duration::from_millis(50);
/// Whoever could wait no longer than this for an answer learns nothing from having none.
const LITTLE: Duration = Duration::from_millis(20);

impl Core {
    /// A call in its time. The first connection of all may take longer, and so may the one that takes the place of a connection
    /// which turned out to be closed: Redis closes those that are idle, and a call must not fail for that.
    /// It starts now, which is told: a look at the clock costs a hit more than most of what else it does.
    pub(super) async fn attempt(&self, request: RedisRequest<'_>, now: Instant, deadline: Duration) -> Result<Value, CallFault> {
        let link = &self.link;
        let connecting = if link.is_untried() { CONNECTING } else { Duration::ZERO };
        let ends = now + deadline + connecting;
        let (live, began) = match link.connection() {
            Some(live) => (live, now),
            None => (Box::pin(connected(link, ends, link.live(false))).await?, Instant::now()),
        };
        match over_from(link, &live, request, (began, ends)).await {
            Err(CallFault::Broken) => Box::pin(once_more(link, &live, request, ends + CONNECTING)).await,
            outcome => outcome,
        }
    }

    /// A call that has time. Where there is no answer after half of it, it is made once more over another connection; whichever
    /// answers first counts.
    pub(super) async fn attempt_patiently(&self, request: RedisRequest<'_>, ends: Instant) -> Result<Value, CallFault> {
        let link = &self.link;
        let now = Instant::now();
        let half = now + ends.saturating_duration_since(now) / 2;
        let live = match connected(link, ends, link.live(true)).await {
            Ok(live) => live,
            Err(fault) => return self.until_it_works(request, ends, Err(fault)).await,
        };
        let mut first = pin!(over(link, &live, request, ends));
        tokio::select! {
            outcome = &mut first => return match outcome {
                Err(CallFault::Broken) => {
                    let outcome = once_more(link, &live, request, ends).await;
                    self.until_it_works(request, ends, outcome).await
                }
                outcome => self.until_it_works(request, ends, outcome).await,
            },
            () = sleep_until(half) => {}
        }
        let mut second = pin!(async {
            let other = connected(link, ends, link.instead_of(&live)).await?;
            over(link, &other, request, ends).await
        });
        tokio::select! {
            outcome = &mut first => match outcome {
                Err(CallFault::Broken) => second.await,
                outcome => outcome,
            },
            outcome = &mut second => match outcome {
                Ok(value) => Ok(value),
                Err(_) => first.await,
            },
        }
    }

    /// A server that starts, or is about to become a master, is asked again for as long as there is time.
    async fn until_it_works(
        &self,
        request: RedisRequest<'_>,
        ends: Instant,
        mut outcome: Result<Value, CallFault>,
    ) -> Result<Value, CallFault> {
        while let Err(CallFault::Broken | CallFault::NotReady | CallFault::ReadOnly) = &outcome
            && Instant::now() + AGAIN < ends
        {
            sleep(AGAIN).await;
            outcome = match connected(&self.link, ends, self.link.live(true)).await {
                Ok(live) => over(&self.link, &live, request, ends).await,
                Err(fault) => Err(fault),
            };
        }
        outcome
    }

    /// A call that finds out whether Redis is well: made once, over whatever connection there is by then.
    pub(super) async fn attempt_once(&self, request: RedisRequest<'_>, deadline: Duration) -> Result<Value, CallFault> {
        let ends = Instant::now() + deadline;
        let live = connected(&self.link, ends, self.link.live(true)).await?;
        over(&self.link, &live, request, ends).await
    }
}

async fn connected(
    link: &Arc<Link>,
    ends: Instant,
    connecting: impl Future<Output = Result<Arc<Live>, CallFault>>,
) -> Result<Arc<Live>, CallFault> {
    timeout_at(ends, connecting).await.unwrap_or(Err(CallFault::TimedOut)).map_err(|fault| match link.making_for() {
        Some(making) if fault == CallFault::TimedOut && making <= CONNECTING => CallFault::Connecting,
        _ => fault,
    })
}

async fn over(link: &Arc<Link>, live: &Arc<Live>, request: RedisRequest<'_>, ends: Instant) -> Result<Value, CallFault> {
    over_from(link, live, request, (Instant::now(), ends)).await
}

async fn over_from(
    link: &Arc<Link>,
    live: &Arc<Live>,
    request: RedisRequest<'_>,
    (began, ends): (Instant, Instant),
) -> Result<Value, CallFault> {
    let answer = timeout_at(ends, request.send(live.wire())).await;
    let outcome = match answer {
        Ok(answer) => answer.map_err(|error| CallFault::from(&error)),
        Err(_) if ends.saturating_duration_since(began) > LITTLE => Err(CallFault::TimedOut),
        Err(_) => Err(CallFault::Connecting),
    };
    link.settle(live, outcome.as_ref().err().copied());
    outcome
}

async fn once_more(link: &Arc<Link>, closed: &Arc<Live>, request: RedisRequest<'_>, ends: Instant) -> Result<Value, CallFault> {
    let live = connected(link, ends, link.again(closed)).await?;
    over(link, &live, request, ends).await
}
