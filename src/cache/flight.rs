//! One call for all who want the same thing at the same time.
//!
//! A flight is detached: it runs as a task of its own, with its own deadline, and goes on when a caller leaves. Its place is freed
//! when it ends, however it ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tracing::Instrument as _;

use crate::tasks::Tasks;

type Outcome<V, E> = Option<Result<V, E>>;
type Places<K, V, E> = Arc<Mutex<HashMap<K, (Kind, watch::Receiver<Outcome<V, E>>)>>>;

/// Calls under way, by what they bring.
pub struct Flight<K, V, E> {
    places: Places<K, V, E>,
    tasks: Tasks,
}

/// Whether somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A caller waits: the flight outlives the soft stop.
    Awaited,
    /// Nobody waits: the flight ends at the soft stop.
    Background,
}

/// Frees the place when the flight ends, also by a panic or at shutdown.
struct Place<K: Eq + Hash, V, E> {
    key: K,
    places: Places<K, V, E>,
}

// === impl Flight ===

impl<K, V, E> Flight<K, V, E>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// No flights yet.
    pub fn new(tasks: Tasks) -> Self {
        Self { places: Arc::default(), tasks }
    }

    /// Joins the flight for `key`, or starts it with `work`. `None`: it broke off without an outcome.
    ///
    /// A background flight that gives up, or is dropped at shutdown, while a caller has joined it is flown once more, awaited. No other flight is
    /// repeated: what it sent may be good for one time only.
    pub async fn join(&self, key: K, work: impl Future<Output = Result<V, E>> + Send + 'static) -> Outcome<V, E> {
        self.join_or_lead(key, async { Some(work.await) }).await.0
    }

    /// The same for work that may give up without an outcome, and whether the flight was this caller's own.
    pub async fn join_or_lead(&self, key: K, work: impl Future<Output = Outcome<V, E>> + Send + 'static) -> (Outcome<V, E>, bool) {
        let mut work = Some(work);
        loop {
            let (kind, receiver, sender) = self.place(key, Kind::Awaited);
            let led = sender.is_some();
            // A flight of ours is the last turn of this loop, so there is work for it.
            if let Some(sender) = sender
                && let Some(work) = work.take()
            {
                self.fly(key, Kind::Awaited, sender, work);
            }
            let outcome = wait(receiver).await;
            if outcome.is_some() || kind == Kind::Awaited {
                return (outcome, led);
            }
        }
    }

    /// Starts a flight that nobody waits for, unless one is under way. It may give up without an outcome.
    pub fn start(&self, key: K, kind: Kind, work: impl Future<Output = Outcome<V, E>> + Send + 'static) {
        if let (_, _, Some(sender)) = self.place(key, kind) {
            self.fly(key, kind, sender, work);
        }
    }

    /// Whether there is one for this key.
    pub fn is_under_way(&self, key: &K) -> bool {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    #[expect(clippy::type_complexity, reason = "both halves of one channel, the second only for who leads")]
    fn place(&self, key: K, kind: Kind) -> (Kind, watch::Receiver<Outcome<V, E>>, Option<watch::Sender<Outcome<V, E>>>) {
        match self.places.lock().unwrap_or_else(PoisonError::into_inner).entry(key) {
            Entry::Occupied(place) => {
                let (kind, receiver) = place.get();
                (*kind, receiver.clone(), None)
            }
            Entry::Vacant(place) => {
                let (sender, receiver) = watch::channel(None);
                place.insert((kind, receiver.clone()));
                (kind, receiver, Some(sender))
            }
        }
    }

    fn fly(
        &self,
        key: K,
        kind: Kind,
        sender: watch::Sender<Outcome<V, E>>,
        work: impl Future<Output = Outcome<V, E>> + Send + 'static,
    ) {
        let place = Place { key, places: Arc::clone(&self.places) };
        let flight = async move {
            // In this order: whoever finds the place free must find the outcome where the work put it.
            let outcome = work.await;
            drop(place);
            sender.send_replace(outcome);
        }
        // What it does is shown below the span of whoever began it, if that is traced.
        .in_current_span();
        match kind {
            Kind::Awaited => self.tasks.awaited("flight", flight),
            Kind::Background => self.tasks.background("renewal", flight),
        }
    }
}

impl<K: Eq + Hash, V, E> Drop for Place<K, V, E> {
    fn drop(&mut self) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<K, V, E> fmt::Debug for Flight<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

async fn wait<V: Clone, E: Clone>(mut receiver: watch::Receiver<Outcome<V, E>>) -> Outcome<V, E> {
    receiver.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{Flight, Kind};
    use crate::tasks::Tasks;

    type Test = Flight<u32, u32, &'static str>;

    #[tokio::test]
    async fn cch_14_one_call_for_all_and_the_error_is_shared_too() {
        let flight = Test::new(Tasks::default());
        let calls = Arc::new(AtomicU32::new(0));
        let work = |outcome| {
            let calls = Arc::clone(&calls);
            async move {
                tokio::task::yield_now().await;
                calls.fetch_add(1, Ordering::SeqCst);
                outcome
            }
        };
        let all = futures_util::future::join_all((0..100).map(|_| flight.join(1, work(Ok(7))))).await;
        assert!(all.iter().all(|outcome| *outcome == Some(Ok(7))));
        let all = futures_util::future::join_all((0..100).map(|_| flight.join(1, work(Err("no"))))).await;
        assert!(all.iter().all(|outcome| *outcome == Some(Err("no"))));
        assert_eq!((calls.load(Ordering::SeqCst), flight.is_under_way(&1)), (2, false));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_does_not_cancel_the_call() {
        let tasks = Tasks::default();
        let flight = Test::new(tasks.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut leaving = Box::pin(flight.join(1, async move { receiver.await.map_err(|_| "gone") }));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(leaving);
        let staying = flight.join(1, async { Err("a second call") });
        let (outcome, ()) = tokio::join!(staying, async { sender.send(7).unwrap_or_default() });
        assert_eq!(outcome, Some(Ok(7)));
    }

    #[tokio::test]
    async fn a_panic_frees_the_place() {
        let flight = Test::new(Tasks::default());
        assert_eq!(flight.join(1, async { panic!("on purpose") }).await, None);
        assert_eq!(flight.join(1, async { Ok(1) }).await, Some(Ok(1)));
    }

    #[tokio::test]
    async fn a_dropped_renewal_is_flown_again_for_a_caller_who_joined_it() {
        let tasks = Tasks::default();
        let flight = Arc::new(Test::new(tasks.clone()));
        flight.start(1, Kind::Background, std::future::pending());
        let joined = Arc::clone(&flight);
        let (sender, outcome) = tokio::sync::oneshot::channel();
        // As a request is: tracked, so that the stop waits for it.
        tasks.awaited("caller", async move {
            let _gone = sender.send(joined.join(1, async { Ok(3) }).await);
        });
        tokio::task::yield_now().await;
        assert!(tasks.stop(Duration::from_secs(5)).await);
        assert_eq!(outcome.await, Ok(Some(Ok(3))));
    }
}
