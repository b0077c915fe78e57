//! One call for all who want the same thing at the same time.
//!
//! A flight is detached: it runs as a task of its own, with its own deadline, and goes on when a caller leaves. Its place is freed
//! when it ends, however it ends. It has a permit of the budget until then; to join one costs nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::Instrument as _;

use super::budget::{Budget, Permit, Work};
use crate::tasks::Tasks;

type FlightEnd<V, E> = Option<Result<V, E>>;
type ByKey<K, V, E> = HashMap<K, (FlightKind, watch::Receiver<FlightEnd<V, E>>)>;
type FlightPlaces<K, V, E> = Arc<Mutex<ByKey<K, V, E>>>;

/// Calls under way, by what they bring.
pub struct Flight<K, V, E> {
    places: FlightPlaces<K, V, E>,
    tasks: Tasks,
    budget: Budget,
    work: Work,
}

/// Whether somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlightKind {
    /// A caller waits: the flight outlives the soft stop.
    Awaited,
    /// Nobody waits: the flight ends at the soft stop.
    Background,
}

/// Why a flight brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It broke off without an outcome.
    BrokenOff,
    /// It did not begin: the budget had no room for it.
    NoRoom,
}

/// What came of a flight, for one who waited.
#[derive(Debug)]
pub struct Landing<V, E> {
    /// What it brought, if it came to an end.
    pub outcome: Result<Result<V, E>, Lost>,
    /// Whose flight it was.
    pub part: Part,
}

/// What a caller had to do with a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It was its own.
    Led,
    /// It waited for somebody else's.
    Joined,
    /// There was none, for want of room.
    Refused,
}

/// A caller's place.
enum FlightSeat<V, E> {
    Joined(FlightKind, watch::Receiver<FlightEnd<V, E>>),
    Lead(watch::Receiver<FlightEnd<V, E>>, watch::Sender<FlightEnd<V, E>>, Permit),
    NoRoom,
}

/// Frees the place when the flight ends, also by a panic or at shutdown.
struct FlightPlace<K: Eq + Hash, V, E> {
    key: K,
    places: FlightPlaces<K, V, E>,
}

// === impl Flight ===

impl<K, V, E> Flight<K, V, E>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// No flights yet; those that somebody waits for are counted as `work`.
    pub fn new(tasks: Tasks, budget: Budget, work: Work) -> Self {
        Self { places: Arc::default(), tasks, budget, work }
    }

    /// Joins the flight for `key`, or starts it with `work`, which carries so many bytes of the request's texts, and which keeps
    /// its permit until it ends. It may give up without an outcome.
    ///
    /// A background flight that gives up, or is dropped at shutdown, while a caller has joined it is flown once more, awaited. No
    /// other flight is repeated: what it sent may be good for one time only.
    pub async fn join_or_lead<W>(&self, key: K, carried: usize, work: impl FnOnce(Permit) -> W) -> Landing<V, E>
    where
        W: Future<Output = FlightEnd<V, E>> + Send + 'static,
    {
        let mut work = Some(work);
        loop {
            let (kind, receiver, part) = match self.seat(key, carried) {
                FlightSeat::NoRoom => return Landing { outcome: Err(Lost::NoRoom), part: Part::Refused },
                FlightSeat::Joined(kind, receiver) => (kind, receiver, Part::Joined),
                FlightSeat::Lead(receiver, sender, permit) => {
                    // A flight of ours is the last turn of this loop, so there is work for it.
                    if let Some(work) = work.take() {
                        self.fly(key, FlightKind::Awaited, sender, work(permit));
                    }
                    (FlightKind::Awaited, receiver, Part::Led)
                }
            };
            let outcome = wait(receiver).await;
            if outcome.is_some() || kind == FlightKind::Awaited {
                return Landing { outcome: outcome.ok_or(Lost::BrokenOff), part };
            }
        }
    }

    /// Starts a flight that nobody waits for, unless one is under way. It may give up without an outcome, and keeps its own permit.
    pub fn start(&self, key: K, work: impl Future<Output = FlightEnd<V, E>> + Send + 'static) {
        let (sender, receiver) = watch::channel(None);
        if let Entry::Vacant(place) = self.places().entry(key) {
            place.insert((FlightKind::Background, receiver));
        } else {
            return;
        }
        self.fly(key, FlightKind::Background, sender, work);
    }

    /// Whether there is one for this key.
    pub fn is_under_way(&self, key: &K) -> bool {
        self.places().contains_key(key)
    }

    fn seat(&self, key: K, carried: usize) -> FlightSeat<V, E> {
        match self.places().entry(key) {
            Entry::Occupied(place) => {
                let (kind, receiver) = place.get();
                FlightSeat::Joined(*kind, receiver.clone())
            }
            Entry::Vacant(place) => {
                let Some(permit) = self.budget.take(self.work, carried) else { return FlightSeat::NoRoom };
                let (sender, receiver) = watch::channel(None);
                place.insert((FlightKind::Awaited, receiver.clone()));
                FlightSeat::Lead(receiver, sender, permit)
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, ByKey<K, V, E>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fly(
        &self,
        key: K,
        kind: FlightKind,
        sender: watch::Sender<FlightEnd<V, E>>,
        work: impl Future<Output = FlightEnd<V, E>> + Send + 'static,
    ) {
        let place = FlightPlace { key, places: Arc::clone(&self.places) };
        // On the heap: a task moves its work several times before it starts, and would carry room for it each time.
        let flight = Box::pin(async move {
            // In this order: whoever finds the place free must find the outcome where the work put it.
            let outcome = work.await;
            drop(place);
            sender.send_replace(outcome);
        })
        // What it does is shown below the span of whoever began it, if that is traced.
        .in_current_span();
        match kind {
            FlightKind::Awaited => self.tasks.awaited("flight", flight),
            FlightKind::Background => self.tasks.background("renewal", flight),
        }
    }
}

impl<K: Eq + Hash, V, E> Drop for FlightPlace<K, V, E> {
    fn drop(&mut self) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<K, V, E> fmt::Debug for Flight<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

async fn wait<V: Clone, E: Clone>(mut receiver: watch::Receiver<FlightEnd<V, E>>) -> FlightEnd<V, E> {
    receiver.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{Budget, Flight, Landing, Lost, Work};
    use crate::cache::budget::PIECE;
    use crate::tasks::Tasks;
    use crate::telemetry::Metrics;

    type Test = Flight<u32, u32, &'static str>;
    type Told = Result<Result<u32, &'static str>, Lost>;

    fn flight(tasks: &Tasks) -> Test {
        Test::new(tasks.clone(), Budget::new(16 * PIECE, &Metrics::default()), Work::Flight)
    }

    async fn join(flight: &Test, key: u32, work: impl Future<Output = Result<u32, &'static str>> + Send + 'static) -> Told {
        let landing: Landing<_, _> = flight
            .join_or_lead(key, 0, |permit| async move {
                let _until_it_ends = permit;
                Some(work.await)
            })
            .await;
        landing.outcome
    }

    #[tokio::test]
    async fn cch_14_one_call_for_all_and_the_error_is_shared_too() {
        let flight = flight(&Tasks::default());
        let calls = Arc::new(AtomicU32::new(0));
        let work = |outcome| {
            let calls = Arc::clone(&calls);
            async move {
                tokio::task::yield_now().await;
                calls.fetch_add(1, Ordering::SeqCst);
                outcome
            }
        };
        let all = futures_util::future::join_all((0..100).map(|_| join(&flight, 1, work(Ok(7))))).await;
        assert!(all.iter().all(|outcome| *outcome == Ok(Ok(7))));
        let all = futures_util::future::join_all((0..100).map(|_| join(&flight, 1, work(Err("no"))))).await;
        assert!(all.iter().all(|outcome| *outcome == Ok(Err("no"))));
        assert_eq!((calls.load(Ordering::SeqCst), flight.is_under_way(&1)), (2, false));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_does_not_cancel_the_call() {
        let flight = flight(&Tasks::default());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut leaving = Box::pin(join(&flight, 1, async move { receiver.await.map_err(|_| "gone") }));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(leaving);
        let staying = join(&flight, 1, async { Err("a second call") });
        let (outcome, ()) = tokio::join!(staying, async { sender.send(7).unwrap_or_default() });
        assert_eq!(outcome, Ok(Ok(7)));
    }

    #[tokio::test]
    async fn whoever_leaves_leaves_the_charge_and_whoever_joins_adds_none() {
        let flight = flight(&Tasks::default());
        let (release, released) = tokio::sync::watch::channel(false);
        let held = || {
            let mut released = released.clone();
            async move { released.wait_for(|released| *released).await.map(|_| 1).map_err(|_| "gone") }
        };
        for key in 0..15 {
            let mut leaving = Box::pin(join(&flight, key, held()));
            assert!(futures_util::poll!(&mut leaving).is_pending(), "flight {key}");
        }
        assert_eq!(join(&flight, 15, held()).await, Err(Lost::NoRoom));
        assert!(!flight.is_under_way(&15));
        let mut joined: Vec<_> = (0..15).map(|key| Box::pin(join(&flight, key, held()))).collect();
        for joined in &mut joined {
            assert!(futures_util::poll!(joined).is_pending());
        }
        release.send_replace(true);
        assert!(futures_util::future::join_all(joined).await.iter().all(|outcome| *outcome == Ok(Ok(1))));
        assert_eq!(join(&flight, 15, held()).await, Ok(Ok(1)));
    }

    #[tokio::test]
    async fn a_panic_frees_the_place_and_the_charge() {
        let flight = flight(&Tasks::default());
        for _ in 0..20 {
            assert_eq!(join(&flight, 1, async { panic!("on purpose") }).await, Err(Lost::BrokenOff));
        }
        assert_eq!(join(&flight, 1, async { Ok(1) }).await, Ok(Ok(1)));
    }

    #[tokio::test]
    async fn a_dropped_renewal_is_flown_again_for_a_caller_who_joined_it() {
        let tasks = Tasks::default();
        let flight = Arc::new(flight(&tasks));
        flight.start(1, std::future::pending());
        let joined = Arc::clone(&flight);
        let (sender, outcome) = tokio::sync::oneshot::channel();
        // As a request is: tracked, so that the stop waits for it.
        tasks.awaited("caller", async move {
            let _gone = sender.send(join(&joined, 1, async { Ok(3) }).await);
        });
        tokio::task::yield_now().await;
        assert!(tasks.stop(Duration::from_secs(5)).await);
        assert_eq!(outcome.await, Ok(Ok(Ok(3))));
    }
}
