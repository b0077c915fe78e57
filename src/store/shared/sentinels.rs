//! What the sentinels announce: that another server is the master now. Asking them every few seconds goes on below; this is to know
//! at once, because an old master that is cut off from them takes writes that are lost.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long not every sentinel may have heard of it: they tell each other every two seconds.
const NEWS: Duration = Duration::from_secs(10);

/// Whom the sentinels called the master when a connection was made: host and port.
pub(super) type Master = (String, u16);

/// What was announced last, for everybody who has a connection to a master.
#[derive(Debug)]
pub(super) struct Sentinels {
    announced: watch::Sender<Option<Switch>>,
    pub(super) following: AtomicBool,
}

/// One master took the place of another.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    from: Master,
    to: Master,
    at: Instant,
}

// === impl Sentinels ===

impl Sentinels {
    pub(super) fn new() -> Self {
        Self { announced: watch::Sender::new(None), following: AtomicBool::new(false) }
    }

    /// Changes with every announcement.
    pub(super) fn switched(&self) -> watch::Receiver<Option<Switch>> {
        self.announced.subscribe()
    }

    /// The master that was announced lately. Not every sentinel may know it yet.
    pub(super) fn newest(&self) -> Option<Master> {
        self.lately().map(|switch| switch.to)
    }

    /// Whether it was announced lately that another one took the place of this master.
    pub(super) fn has_replaced(&self, master: Option<&Master>) -> bool {
        self.lately().is_some_and(|switch| Some(&switch.from) == master)
    }

    fn lately(&self) -> Option<Switch> {
        self.announced.borrow().clone().filter(|switch| switch.at.elapsed() < NEWS)
    }

    fn announce(&self, from: Master, to: Master) {
        let at = Instant::now();
        let is_news = self.announced.send_if_modified(|last| {
            // Each of them says it.
            let known = last.as_ref().is_some_and(|last| last.from == from && last.to == to && last.at.elapsed() < NEWS);
            if !known {
                *last = Some(Switch { from, to, at });
            }
            !known
        });
        if is_news {
            tracing::info!("the sentinels announce another master of Redis");
        }
    }

    /// Takes what a sentinel said of the master of this name.
    pub(super) fn take(&self, name: &str, text: &[u8]) {
        let Some((from, to)) = std::str::from_utf8(text).ok().and_then(|text| read(name, text)) else { return };
        self.announce(from, to);
    }
}

fn read(name: &str, text: &str) -> Option<(Master, Master)> {
    let mut words = text.split(' ');
    if words.next()? != name {
        return None;
    }
    let mut master = || Some((words.next()?.to_owned(), words.next()?.parse().ok()?));
    Some((master()?, master()?))
}

#[cfg(test)]
mod tests {
    use super::{Sentinels, read};

    fn master(port: u16) -> (String, u16) {
        ("10.0.0.1".to_owned(), port)
    }

    #[test]
    fn reads_whose_place_is_taken() {
        let text = "tokens 10.0.0.1 1 10.0.0.1 2";
        assert_eq!(read("tokens", text), Some((master(1), master(2))));
        assert_eq!(read("others", text), None);
        for text in ["", "tokens", "tokens 10.0.0.1 1 10.0.0.1", "tokens 10.0.0.1 x 10.0.0.1 2"] {
            assert_eq!(read("tokens", text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_announced_again_is_no_news() {
        let sentinels = Sentinels::new();
        let mut switched = sentinels.switched();
        sentinels.take("tokens", b"tokens 10.0.0.1 1 10.0.0.1 2");
        assert!(switched.has_changed().is_ok_and(|changed| changed));
        switched.mark_unchanged();
        sentinels.take("tokens", b"tokens 10.0.0.1 1 10.0.0.1 2");
        assert!(switched.has_changed().is_ok_and(|changed| !changed));
        assert_eq!(sentinels.newest(), Some(master(2)));
        assert!(
            sentinels.has_replaced(Some(&master(1))) && !sentinels.has_replaced(Some(&master(2))) && !sentinels.has_replaced(None)
        );
        // Back again: the first is no deposed one any more.
        sentinels.take("tokens", b"tokens 10.0.0.1 2 10.0.0.1 1");
        assert!(switched.has_changed().is_ok_and(|changed| changed));
        assert!(sentinels.has_replaced(Some(&master(2))) && !sentinels.has_replaced(Some(&master(1))));
    }
}
