//! Listens to what the sentinels announce.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisResult, ServerErrorKind, Value};
use tokio::sync::mpsc;

use super::dial::{Dialer, config, subscribe, timed_out};
use super::place::ServerPlace;
use crate::store::settings::{RedisUrl, Topology};
use crate::tasks::Tasks;

/// What sentinels say when another master is in force: name, old host and port, new host and port.
pub(super) const CHANNEL: &str = "+switch-master";
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
