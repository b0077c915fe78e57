//! Does something many times, some of them at once, and measures it: how many a second, CPU time, and how long one takes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokend::clock::Clock;
use tokio::task::JoinSet;

use super::statistics::Measured;

/// What was measured, added up over several runs.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    took: Duration,
    cpu_micros: f64,
    /// How long each one took, in microseconds.
    micros: Vec<f64>,
}

// === impl Stretch ===

impl Stretch {
    /// Does `work` once for each number below `count`, `at_once` of them at a time.
    pub(crate) async fn run<F>(&mut self, count: usize, at_once: usize, work: impl Fn(usize) -> F + Clone + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (clock, next) = (Clock::system(), Arc::new(AtomicUsize::new(0)));
        let (before, started) = (cpu_micros(), clock.precise());
        let mut workers = JoinSet::new();
        for _ in 0..at_once {
            workers.spawn(worker(clock.clone(), Arc::clone(&next), count, work.clone()));
        }
        let micros = workers.join_all().await;
        self.took += clock.precise() - started;
        self.cpu_micros += cpu_micros() - before;
        self.micros.extend(micros.into_iter().flatten());
    }

    pub(crate) fn measured(&self) -> Measured {
        let count = f64::from(u32::try_from(self.micros.len()).expect("few"));
        Measured { rate: count / self.took.as_secs_f64(), cpu_micros: self.cpu_micros / count }
    }

    /// How long most of them took at most, in microseconds: of every 100, so many.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

async fn worker<F: Future<Output = ()>>(clock: Clock, next: Arc<AtomicUsize>, count: usize, work: impl Fn(usize) -> F) -> Vec<f64> {
    let mut micros = Vec::with_capacity(count);
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            return micros;
        }
        let started = clock.precise();
        work(index).await;
        micros.push((clock.precise() - started).as_secs_f64() * 1e6);
    }
}

/// The CPU time of this process so far, in microseconds.
fn cpu_micros() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("/proc");
    let texts = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    let nanoseconds: f64 = texts.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum();
    nanoseconds / 1000.0
}
