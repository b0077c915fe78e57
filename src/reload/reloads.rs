//! Everything that is followed, compared by one loop: by the clock, and whenever it is asked for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::value::Reloading;
use crate::tasks::Tasks;

/// How often files are compared.
const EVERY: Duration = Duration::from_secs(10);
/// How many values are compared at a time.
const AT_ONCE: usize = 8;

/// All values that are followed; clones share them.
#[derive(Clone, Default)]
pub struct Reloads(Arc<Inner>);

#[derive(Default)]
struct Inner {
    followed: Mutex<Vec<Compare>>,
    now: Notify,
}

/// Compares one value, or several that are compared in order.
type Compare = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

// === impl Reloads ===

impl Reloads {
    /// Has a value compared from now on. A fixed one needs no comparison.
    pub fn follow<T: Send + Sync + 'static>(&self, value: &Arc<Reloading<T>>) {
        if !value.is_fixed() {
            let value = Arc::clone(value);
            self.follow_by(move || {
                let value = Arc::clone(&value);
                async move {
                    value.reread().await;
                }
            });
        }
    }

    /// Has more than one value compared from now on: `compare` compares all of it.
    pub fn follow_by<F: Future<Output = ()> + Send + 'static>(&self, compare: impl Fn() -> F + Send + Sync + 'static) {
        let compare: Compare = Arc::new(move || Box::pin(compare()));
        self.0.followed.lock().unwrap_or_else(PoisonError::into_inner).push(compare);
    }

    /// Has everything compared now. Nobody waits for it.
    pub fn compare_now(&self) {
        self.0.now.notify_one();
    }

    /// Compares everything every ten seconds, and whenever it is asked for, until the soft stop.
    pub fn run(&self, tasks: &Tasks) {
        let this = self.clone();
        tasks.background("reload", async move {
            // What was read a moment ago is not read again at once.
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = this.0.now.notified() => {}
                }
                this.compare().await;
            }
        });
    }

    async fn compare(&self) {
        let followed = self.0.followed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        futures_util::stream::iter(followed).for_each_concurrent(AT_ONCE, |compare| compare()).await;
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloads").finish_non_exhaustive()
    }
}
