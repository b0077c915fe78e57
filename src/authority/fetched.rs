//! A document that is fetched when it is needed, by one task at a time, off the path of whoever needs it.
//!
//! An old document is served while the new one is fetched; a failure is not repeated before a growing pause is over.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::answer::AuthorityError;
use crate::clock::{Clock, Moment};
use crate::tasks::Tasks;

/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How old a document may get while it cannot be fetched anew: keys that were withdrawn meanwhile must not verify for ever.
const LONGEST_STALE: Duration = Duration::from_secs(24 * 3600);

type FetchOutcome<T> = Result<Arc<T>, AuthorityError>;

/// A document and how it is kept.
pub struct Fetched<T> {
    name: &'static str,
    state: Arc<Mutex<FetchState<T>>>,
}

struct FetchState<T> {
    value: Option<Arc<T>>,
    fetched: Option<Moment>,
    attempted: Option<Moment>,
    failures: u32,
    failure: Option<AuthorityError>,
    waiting: Option<watch::Receiver<Option<FetchOutcome<T>>>>,
}

enum FetchStep<T> {
    Have(FetchOutcome<T>),
    Wait(watch::Receiver<Option<FetchOutcome<T>>>),
    Lead(watch::Sender<Option<FetchOutcome<T>>>, Option<Arc<T>>),
}

// === impl Fetched ===

impl<T: Send + Sync + 'static> Fetched<T> {
    /// A document that nobody has asked for yet.
    pub fn new(name: &'static str) -> Self {
        let state = FetchState { value: None, fetched: None, attempted: None, failures: 0, failure: None, waiting: None };
        Self { name, state: Arc::new(Mutex::new(state)) }
    }

    /// The document, at most `age` old, or an older one while it is being renewed.
    ///
    /// # Errors
    /// There is none, and the fetch failed, now or a moment ago.
    pub async fn get(
        &self,
        clock: &Clock,
        tasks: &Tasks,
        age: Duration,
        fetch: impl Future<Output = Result<T, AuthorityError>> + Send + 'static,
    ) -> FetchOutcome<T> {
        let step = self.lock().step(clock.moment(), age);
        match step {
            FetchStep::Have(outcome) => outcome,
            FetchStep::Wait(receiver) => wait(receiver).await,
            FetchStep::Lead(sender, old) => {
                let receiver = sender.subscribe();
                self.lead(sender, clock.clone(), tasks, fetch);
                match old {
                    Some(value) => Ok(value),
                    None => wait(receiver).await,
                }
            }
        }
    }

    /// The document, if there is one that is at most `age` old.
    pub fn fresh(&self, clock: &Clock, age: Duration) -> Option<Arc<T>> {
        let state = self.lock();
        let is_fresh = state.fetched.is_some_and(|fetched| clock.moment().since(fetched) < age);
        state.value.as_ref().filter(|_| is_fresh).map(Arc::clone)
    }

    /// The document fetched anew, unless it was asked for within `cooldown`: then what came of that.
    ///
    /// # Errors
    /// The fetch failed, now or within `cooldown`: whether an older document would have done is not for this place to say.
    pub async fn renew(
        &self,
        clock: &Clock,
        tasks: &Tasks,
        cooldown: Duration,
        fetch: impl Future<Output = Result<T, AuthorityError>> + Send + 'static,
    ) -> FetchOutcome<T> {
        let step = self.lock().renewal(clock.moment(), cooldown);
        match step {
            FetchStep::Have(outcome) => outcome,
            FetchStep::Wait(receiver) => wait(receiver).await,
            FetchStep::Lead(sender, _) => {
                let receiver = sender.subscribe();
                self.lead(sender, clock.clone(), tasks, fetch);
                wait(receiver).await
            }
        }
    }

    fn lead(
        &self,
        sender: watch::Sender<Option<FetchOutcome<T>>>,
        clock: Clock,
        tasks: &Tasks,
        fetch: impl Future<Output = Result<T, AuthorityError>> + Send + 'static,
    ) {
        let state = Arc::clone(&self.state);
        // Should the fetch panic, the sender is dropped and the waiters leave; the next one finds a closed channel and leads anew.
        tasks.awaited(self.name, async move {
            let outcome = fetch.await.map(Arc::new);
            state.lock().unwrap_or_else(PoisonError::into_inner).settle(&outcome, clock.moment());
            sender.send_replace(Some(outcome));
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FetchState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wait<T>(mut receiver: watch::Receiver<Option<FetchOutcome<T>>>) -> FetchOutcome<T> {
    let outcome = receiver.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
    outcome.unwrap_or_else(|| Err(AuthorityError::broken_off()))
}

// === impl FetchState ===

impl<T> FetchState<T> {
    fn step(&mut self, now: Moment, age: Duration) -> FetchStep<T> {
        let fresh = self.fetched.is_some_and(|fetched| now.since(fetched) < age);
        if self.fetched.is_some_and(|fetched| now.since(fetched) >= LONGEST_STALE) {
            self.value = None;
        }
        match (&self.value, fresh) {
            (Some(value), true) => FetchStep::Have(Ok(Arc::clone(value))),
            (Some(value), false) if self.in_flight().is_some() || self.pausing(now) => FetchStep::Have(Ok(Arc::clone(value))),
            (None, _) if let Some(receiver) = self.in_flight() => FetchStep::Wait(receiver),
            (None, _) if self.pausing(now) => FetchStep::Have(Err(self.told(now).unwrap_or_else(AuthorityError::broken_off))),
            _ => self.lead(now),
        }
    }

    fn renewal(&mut self, now: Moment, cooldown: Duration) -> FetchStep<T> {
        if let Some(receiver) = self.in_flight() {
            return FetchStep::Wait(receiver);
        }
        let lately = self.attempted.is_some_and(|attempted| now.since(attempted) < cooldown);
        match (&self.value, self.told(now)) {
            (_, Some(failure)) if lately || self.pausing(now) => FetchStep::Have(Err(failure)),
            (Some(value), None) if lately => FetchStep::Have(Ok(Arc::clone(value))),
            _ => self.lead(now),
        }
    }

    fn lead(&mut self, now: Moment) -> FetchStep<T> {
        let (sender, receiver) = watch::channel(None);
        self.attempted = Some(now);
        self.waiting = Some(receiver);
        FetchStep::Lead(sender, self.value.clone())
    }

    /// The fetch under way; one whose task is gone does not count.
    fn in_flight(&self) -> Option<watch::Receiver<Option<FetchOutcome<T>>>> {
        self.waiting.clone().filter(|receiver| receiver.has_changed().is_ok())
    }

    fn pausing(&self, now: Moment) -> bool {
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.saturating_sub(1)).min(64);
        // A server that says how long knows better.
        let asked = self.failure.as_ref().and_then(AuthorityError::retry_after).unwrap_or_default();
        let pause = doubled.min(LONGEST_PAUSE).max(asked);
        self.failures > 0 && self.attempted.is_some_and(|attempted| now.since(attempted) < pause)
    }

    /// The last failure, as it is told now.
    fn told(&self, now: Moment) -> Option<AuthorityError> {
        let waited = self.attempted.map_or(Duration::ZERO, |attempted| now.since(attempted));
        self.failure.clone().map(|failure| failure.told_after(waited))
    }

    fn settle(&mut self, outcome: &FetchOutcome<T>, now: Moment) {
        self.waiting = None;
        match outcome {
            Ok(value) => {
                self.value = Some(Arc::clone(value));
                self.fetched = Some(now);
                (self.failures, self.failure) = (0, None);
            }
            Err(failure) => {
                self.attempted = Some(now);
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(failure.clone());
            }
        }
    }
}

impl<T> fmt::Debug for Fetched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{AuthorityError, Fetched};
    use crate::clock::Clock;
    use crate::tasks::Tasks;

    const AGE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn one_fetch_for_all_who_wait() {
        let (clock, tasks, document) = (Clock::manual(0), Tasks::default(), Fetched::new("test"));
        let calls = Arc::new(AtomicU32::new(0));
        let fetch = || {
            let calls = Arc::clone(&calls);
            async move {
                tokio::task::yield_now().await;
                Ok(calls.fetch_add(1, Ordering::SeqCst))
            }
        };
        let waiting = (0..20).map(|_| document.get(&clock, &tasks, AGE, fetch()));
        for outcome in futures_util::future::join_all(waiting).await {
            assert_eq!(outcome.map(|value| *value), Ok(0));
        }
        // An old one is served while the new one is fetched, once.
        clock.advance(AGE);
        assert_eq!(document.get(&clock, &tasks, AGE, fetch()).await.map(|value| *value), Ok(0));
        assert_eq!(document.get(&clock, &tasks, AGE, fetch()).await.map(|value| *value), Ok(0));
        tasks.stop(Duration::from_secs(5)).await;
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_failure_is_not_repeated_before_its_pause_is_over() {
        let (clock, tasks, document) = (Clock::manual(0), Tasks::default(), Fetched::<u32>::new("test"));
        let calls = Arc::new(AtomicU32::new(0));
        let fail = || {
            let calls = Arc::clone(&calls);
            async move {
                calls.fetch_add(1, Ordering::SeqCst);
                Err(AuthorityError::broken_off())
            }
        };
        for _ in 0..10 {
            assert!(document.get(&clock, &tasks, AGE, fail()).await.is_err());
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        clock.advance(Duration::from_secs(1));
        assert!(document.get(&clock, &tasks, AGE, fail()).await.is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_frees_the_place() {
        let (clock, tasks, document) = (Clock::manual(0), Tasks::default(), Fetched::<u32>::new("test"));
        let panics = async { panic!("on purpose") };
        assert!(document.get(&clock, &tasks, AGE, panics).await.is_err());
        assert_eq!(document.get(&clock, &tasks, AGE, async { Ok(7) }).await.map(|value| *value), Ok(7));
    }
}
