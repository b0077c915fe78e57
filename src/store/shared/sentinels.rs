//! What the sentinels announce: that another server is the master now. Asking them every few seconds goes on below; this is to know
//! at once, because an old master that is cut off from them takes writes that are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisResult, ServerErrorKind, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::dial::{Dialer, Master, config, subscribe, timed_out};
use super::place::ServerPlace;
use crate::store::settings::{RedisUrl, Topology};
use crate::tasks::Tasks;

/// What sentinels say when another master is in force: name, old host and port, new host and port.
pub(super) const CHANNEL: &str = "+switch-master";
/// How long not every sentinel may have heard of it: they tell each other every two seconds.
const NEWS: Duration = Duration::from_secs(10);
/// How long a sentinel may take to connect and to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a connection is asked whether it is there.
const ASK: Duration = Duration::from_secs(2);
/// The shortest and the longest pause before a sentinel that was lost is connected to again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The pause where the user may not listen: each attempt is an entry in the sentinel's log.
const FORBIDDEN: Duration = Duration::from_secs(300);
/// How many announcements may wait: there are few, of all masters that the sentinels watch.
const WAITING: usize = 64;

/// What was announced last, for everybody who has a connection to a master.
#[derive(Debug)]
pub(super) struct Sentinels {
    announced: watch::Sender<Option<Switch>>,
    following: AtomicBool,
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
    fn take(&self, name: &str, text: &[u8]) {
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

impl Dialer {
    /// Listens to every sentinel until the soft stop: the one that leads a failover says it first, the others up to two seconds
    /// later. Asked for more than once it does nothing more.
    pub(super) fn follow_sentinels(&self, tasks: &Tasks, jitter: fn() -> f64) {
        let Topology::Sentinel { master, urls, .. } = self.topology() else { return };
        if self.sentinels().following.swap(true, Ordering::Relaxed) {
            return;
        }
        for url in urls {
            let (this, name, url) = (self.clone(), master.clone(), url.clone());
            tasks.background("redis_sentinel", async move { this.listen_to(&url, &name, jitter).await });
        }
    }

    async fn listen_to(&self, url: &RedisUrl, name: &str, jitter: fn() -> f64) {
        let (first, longest) = PAUSES;
        let mut failures = 0;
        loop {
            let pause = match self.announcements(url).await {
                Ok((connection, queue)) => {
                    failures = 0;
                    self.hear(connection, queue, name).await;
                    first
                }
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => FORBIDDEN,
                Err(_) => {
                    failures += 1;
                    first.saturating_mul(2_u32.saturating_pow(failures)).min(longest)
                }
            };
            tokio::time::sleep(pause.mul_f64(0.5 + jitter().clamp(0.0, 1.0) / 2.0)).await;
        }
    }

    /// A connection to a sentinel that is subscribed to its announcements, and where these come.
    pub(super) async fn announcements(&self, url: &RedisUrl) -> RedisResult<(MultiplexedConnection, mpsc::Receiver<PushInfo>)> {
        let (sender, queue) = mpsc::channel(WAITING);
        let config = config(PATIENCE).set_push_sender(move |push: PushInfo| sender.try_send(push));
        let asked = async {
            let place = ServerPlace { db: 0, ..ServerPlace::of(url) };
            let client = place.client(&self.access().sentinel(), ProtocolVersion::RESP3, self.access())?;
            let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            subscribe(connection, "SUBSCRIBE", CHANNEL).await
        };
        let connection = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(timed_out()))?;
        Ok((connection, queue))
    }

    /// Takes announcements until the connection is of no more use, or there are new credentials.
    async fn hear(&self, mut connection: MultiplexedConnection, mut queue: mpsc::Receiver<PushInfo>, name: &str) {
        let version = self.access().version();
        loop {
            match tokio::time::timeout(ASK, queue.recv()).await {
                Ok(Some(push)) => match push.kind {
                    PushKind::Message => {
                        if let Some(Value::BulkString(text)) = push.data.get(1) {
                            self.sentinels().take(name, text);
                        }
                    }
                    PushKind::Disconnection | PushKind::Unsubscribe => return,
                    _ => {}
                },
                Ok(None) => return,
                Err(_silent) => {
                    let ping = redis::cmd("PING");
                    let asked = tokio::time::timeout(PATIENCE, connection.send_packed_command(&ping)).await;
                    // A user that may not ask is answered all the same.
                    if !asked.is_ok_and(|answer| answer.is_ok()) || self.access().version() != version {
                        return;
                    }
                }
            }
        }
    }
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
