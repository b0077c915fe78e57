//! A future that is polled only when it was woken itself. A connection is polled for each of its requests; what ends it at the stop
//! is shared by all connections, and each look at it would take its locks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future with a waker of its own.
#[derive(Debug)]
pub(super) struct Woken<F> {
    future: F,
    signal: Arc<Signal>,
    waker: Waker,
}

/// Whether it was woken, and the task that is to be told.
#[derive(Debug)]
struct Signal {
    woken: AtomicBool,
    task: AtomicWaker,
}

// === impl Woken ===

impl<F> Woken<F> {
    /// It is polled at the first look.
    pub(super) fn new(future: F) -> Self {
        let signal = Arc::new(Signal { woken: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { future, waker: Waker::from(Arc::clone(&signal)), signal }
    }
}

impl<F: Future> Future for Woken<Pin<&mut F>> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // First: whoever wakes it after the look below finds the task.
        self.signal.task.register(cx.waker());
        if !self.signal.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let this = &mut *self;
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

// === impl Signal ===

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use futures_util::FutureExt as _;
    use tokio_util::sync::CancellationToken;

    use super::Woken;

    #[test]
    fn it_is_polled_at_first_and_when_it_was_woken() {
        let (stop, polls) = (CancellationToken::new(), Cell::new(0));
        let mut stopped = pin!(stop.cancelled());
        let counted = pin!(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            stopped.as_mut().poll(cx)
        }));
        let mut woken = Woken::new(counted);
        for _ in 0..3 {
            assert!((&mut woken).now_or_never().is_none());
        }
        assert_eq!(polls.get(), 1, "nothing has changed since the first look");
        stop.cancel();
        assert_eq!((&mut woken).now_or_never(), Some(()));
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test]
    async fn whoever_waits_is_told() {
        let stop = CancellationToken::new();
        let mut stopped = pin!(stop.cancelled());
        let mut woken = Woken::new(stopped.as_mut());
        assert_eq!(futures_util::poll!(&mut woken), Poll::Pending);
        let ((), ()) = tokio::join!(woken, async { stop.cancel() });
    }
}
