//! From ready to gone: signals, the readiness latch, and the order in which the process ends.
//!
//! On the first signal readiness falls at once while requests are still taken (load balancers need time to look away), and every
//! answer over HTTP/1 ends its connection, so that none is closed later under a request that is on its way; then nothing new is
//! accepted and requests in progress are finished; then whatever is left is dropped. A second signal drops everything now. SIGHUP
//! is none of these: it has files compared.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::config::Shutdown;
use crate::reload::Reloads;
use crate::tasks::Tasks;

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// Whether the process wants requests: no while it starts, yes once it is ready, and never again from shutdown on. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The end, and the second time at once.
    Stop,
    /// A look at all files that are followed.
    Compare,
}

/// Orders, as they come.
#[derive(Debug)]
pub enum Signals {
    /// The signals of this process.
    Process {
        /// SIGTERM, as an orchestrator sends it.
        terminate: Signal,
        /// SIGINT, as Ctrl-C sends it.
        interrupt: Signal,
        /// SIGHUP, and what it asks for; `None`: it is ignored.
        hangup: Option<(Signal, Order)>,
    },
    /// A channel, for tests and for commands that end by themselves. Once it is closed nothing comes.
    Manual(UnboundedReceiver<Order>),
}

/// Serves until the first signal, then ends everything in order. Returns whether all work ended by itself in time.
pub async fn run_until_stopped(
    tasks: &Tasks,
    readiness: &Readiness,
    reloads: &Reloads,
    shutdown: Shutdown,
    mut signals: Signals,
) -> bool {
    readiness.ready();
    tracing::info!("ready");
    signals.stop(reloads).await;
    readiness.stop();
    tasks.leave();
    tracing::info!(delay = ?shutdown.delay, grace = ?shutdown.grace, "stopping");
    let in_time = tokio::select! {
        in_time = drain(tasks, shutdown) => in_time,
        () = signals.stop(reloads) => {
            tracing::warn!("a second signal: requests in progress are dropped");
            tasks.stop(std::time::Duration::ZERO).await;
            false
        }
    };
    tracing::info!(in_time, "stopped");
    in_time
}

/// Goes on accepting for the delay, then stops accepting (listeners watch the soft stop) and finishes what is in progress.
async fn drain(tasks: &Tasks, shutdown: Shutdown) -> bool {
    tokio::time::sleep(shutdown.delay).await;
    tasks.stop(shutdown.grace).await
}

// === impl Readiness ===

impl Readiness {
    /// Opens the latch, unless shutdown has begun.
    pub fn ready(&self) {
        let _ = self.0.compare_exchange(STARTING, READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Closes it for good.
    pub fn stop(&self) {
        self.0.store(STOPPING, Ordering::Release);
    }

    /// Whether requests are wanted: what `/readyz` answers.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == READY
    }
}

// === impl Signals ===

impl Signals {
    /// Listens for SIGTERM, SIGINT and SIGHUP from now on; none of them ends the process by itself any more.
    /// SIGHUP asks for a look at the files.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn process() -> io::Result<Self> {
        let hangup = Some((signal(SignalKind::hangup())?, Order::Compare));
        Ok(Self::Process { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Listens for a command that follows no files: SIGHUP says that its terminal is closed, and stops it, unless whoever started
    /// it had that ignored (`nohup`).
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn terminal() -> io::Result<Self> {
        let hangup = if ignores_hangup() { None } else { Some((signal(SignalKind::hangup())?, Order::Stop)) };
        Ok(Self::Process { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Orders that the returned sender sends.
    pub fn manual() -> (UnboundedSender<Order>, Self) {
        let (sender, receiver) = unbounded_channel();
        (sender, Self::Manual(receiver))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Order {
        let came = match self {
            Self::Process { terminate, interrupt, hangup } => tokio::select! {
                came = terminate.recv() => came.map(|()| Order::Stop),
                came = interrupt.recv() => came.map(|()| Order::Stop),
                came = hung_up(hangup) => came,
            },
            Self::Manual(receiver) => receiver.recv().await,
        };
        match came {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }

    /// Waits for the next one that says stop, and has files compared meanwhile.
    async fn stop(&mut self, reloads: &Reloads) {
        while self.next().await == Order::Compare {
            tracing::info!("files are compared");
            reloads.compare_now();
        }
    }
}

async fn hung_up(hangup: &mut Option<(Signal, Order)>) -> Option<Order> {
    match hangup {
        Some((hangup, order)) => hangup.recv().await.map(|()| *order),
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP, the first of the signals, is ignored (proc(5), `SigIgn`). Where there is no `/proc` it is not.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep, timeout};

    use super::{Order, Readiness, Signals, run_until_stopped};
    use crate::config::Shutdown;
    use crate::reload::Reloads;
    use crate::tasks::Tasks;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(40);

    /// Runs with one signal at once and perhaps another; returns whether all ended in time, and how long it took.
    async fn stop(tasks: &Tasks, delay: Duration, grace: Duration, second_after: Option<Duration>) -> (bool, Duration) {
        let (sender, signals) = Signals::manual();
        sender.send(Order::Stop).expect("an open channel");
        let started = Instant::now();
        let readiness = Readiness::default();
        let reloads = Reloads::default();
        let run = run_until_stopped(tasks, &readiness, &reloads, Shutdown { delay, grace }, signals);
        let again = async {
            if let Some(after) = second_after {
                sleep(after).await;
                let _ = sender.send(Order::Stop);
            }
        };
        let (in_time, ()) = tokio::join!(timeout(Duration::from_secs(5), run), again);
        (in_time.expect("an end"), started.elapsed())
    }

    #[test]
    fn readiness_never_comes_back() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready());
        readiness.ready();
        assert!(readiness.clone().is_ready());
        readiness.stop();
        readiness.ready();
        assert!(!readiness.is_ready());
    }

    #[tokio::test]
    async fn a_hangup_has_files_compared_and_ends_nothing() {
        let (tasks, readiness) = (Tasks::default(), Readiness::default());
        let (sender, signals) = Signals::manual();
        let reloads = Reloads::default();
        let (compared, mut comparison) = tokio::sync::mpsc::unbounded_channel();
        reloads.follow_by(move || {
            // The test may be over.
            let _gone = compared.send(());
            std::future::ready(())
        });
        reloads.run(&tasks);
        let watch = async {
            for _ in 0..3 {
                sender.send(Order::Compare).expect("an open channel");
                comparison.recv().await.expect("a comparison");
            }
            assert!(readiness.is_ready());
            sender.send(Order::Stop).expect("an open channel");
            while readiness.is_ready() {
                sleep(Duration::from_millis(1)).await;
            }
            // Nor is it the second signal.
            sender.send(Order::Compare).expect("an open channel");
            comparison.recv().await.expect("a comparison");
            assert!(!tasks.soft().is_cancelled());
        };
        let shutdown = Shutdown { delay: SHORT * 3, grace: LONG };
        let run = run_until_stopped(&tasks, &readiness, &reloads, shutdown, signals);
        let (in_time, ()) = tokio::join!(run, watch);
        assert!(in_time);
    }

    #[tokio::test]
    async fn an_idle_process_ends_at_once() {
        let tasks = Tasks::default();
        tasks.background("idle", std::future::pending());
        let (in_time, took) = stop(&tasks, Duration::ZERO, LONG, None).await;
        assert!(in_time && took < Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test]
    async fn readiness_falls_first_and_requests_are_still_taken_during_the_delay() {
        let (tasks, readiness) = (Tasks::default(), Readiness::default());
        let (sender, signals) = Signals::manual();
        let watch = async {
            while !readiness.is_ready() {
                sleep(Duration::from_millis(1)).await;
            }
            sender.send(Order::Stop).expect("an open channel");
            while readiness.is_ready() {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(!tasks.soft().is_cancelled());
        };
        let (reloads, shutdown) = (Reloads::default(), Shutdown { delay: SHORT * 3, grace: LONG });
        let run = run_until_stopped(&tasks, &readiness, &reloads, shutdown, signals);
        let (in_time, ()) = tokio::join!(run, watch);
        assert!(in_time && tasks.soft().is_cancelled());
    }

    #[tokio::test]
    async fn awaited_work_is_finished() {
        let tasks = Tasks::default();
        tasks.awaited("request", sleep(SHORT));
        let (in_time, took) = stop(&tasks, Duration::ZERO, LONG, None).await;
        assert!(in_time && took >= SHORT, "{took:?}");
    }

    #[tokio::test]
    async fn what_outlasts_the_grace_is_dropped() {
        let tasks = Tasks::default();
        tasks.awaited("request", std::future::pending());
        let (in_time, took) = stop(&tasks, Duration::ZERO, SHORT, None).await;
        assert!(!in_time && took >= SHORT, "{took:?}");
    }

    #[tokio::test]
    async fn a_second_signal_ends_it_in_the_delay_and_in_the_drain() {
        for delay in [LONG, Duration::ZERO] {
            let tasks = Tasks::default();
            tasks.awaited("request", std::future::pending());
            let (in_time, took) = stop(&tasks, delay, LONG, Some(SHORT)).await;
            assert!(!in_time && took < Duration::from_secs(1), "{took:?}");
            assert!(tasks.hard().is_cancelled());
        }
    }
}
