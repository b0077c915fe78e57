//! Messages between replicas: a subscription on a connection of its own, made again whenever it is lost.
//!
//! The connection speaks RESP3, where messages and answers share one connection: so it can be asked whether it is still there. A
//! cluster's channel is a shard channel, heard at the node that owns its slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::sync::mpsc;

use super::core::Core;
use super::dial::timed_out;
use super::fault::CallFault;
use super::link::ATTEMPT;
use super::sentinels::Master;
use super::types::Event;

/// How often the connection is asked whether it is there.
const ASK: Duration = Duration::from_secs(2);
/// How long it may take to say so.
const ANSWER: Duration = Duration::from_secs(1);
/// How many looks at the connection there are between two looks at whom the sentinels call the master.
const DEPOSED: u32 = 3;
/// After how many seconds a server that refused the subscription is asked again.
const REFUSED: u32 = 15;
/// How many messages may wait. When there are more, some are lost, and the subscription is made again so that this is known.
const WAITING: usize = 1024;

/// What was pushed, by which connection, and whether some of it had no room.
struct Pushed {
    queue: mpsc::Receiver<(u32, PushInfo)>,
    /// The number of the connection that counts: those before it did not lead to a subscription.
    last: u32,
    overflown: Arc<AtomicBool>,
}

/// Listens until the soft stop.
pub(super) async fn follow(core: Arc<Core>, channel: Arc<str>, heard: impl Fn(Event)) {
    let mut bell = core.events.bell();
    core.link.follow_sentinels();
    loop {
        let version = core.link.dialer().access().version();
        let why = match subscribe(&core, &channel).await {
            Ok((connection, master, mut pushed)) => {
                if !core.events.is_closed() {
                    core.events.probed(true);
                }
                heard(Event::Subscribed);
                tokio::select! {
                    why = hear(&core, &mut pushed, &heard) => Some(why),
                    why = watch(&core, connection, master, version) => why,
                }
            }
            Err(error) => {
                if !error.is_timeout() && !error.is_connection_refusal() {
                    core.link.dialer().access().reread().await;
                }
                Some(CallFault::from(&error))
            }
        };
        // Nothing went wrong: there are new credentials, or there is a new master.
        let Some(why) = why else { continue };
        if core.events.is_closed() {
            // Only what closes from now on is news.
            bell.mark_unchanged();
            core.events.trip(why);
        } else {
            core.events.probed(false);
        }
        if matches!(why, CallFault::Forbidden | CallFault::Unauthenticated) {
            until_allowed(&core, version).await;
        } else {
            core.events.until_probe((core.jitter)(), &mut bell).await;
        }
        core.events.probe();
    }
}

/// Waits for other credentials. Somebody may give the user the right meanwhile, but a server that refuses is not asked each second.
async fn until_allowed(core: &Core, version: u64) {
    for _ in 0..REFUSED {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if core.link.dialer().access().version() != version {
            break;
        }
    }
}

async fn subscribe(core: &Core, channel: &str) -> RedisResult<(MultiplexedConnection, Option<Master>, Pushed)> {
    let (sender, queue) = mpsc::channel(WAITING);
    let (overflown, last) = (Arc::new(AtomicBool::new(false)), AtomicU32::new(0));
    let push = || {
        let (sender, flag) = (sender.clone(), Arc::clone(&overflown));
        let number = last.fetch_add(1, Ordering::Relaxed) + 1;
        move |push: PushInfo| sender.try_send((number, push)).inspect_err(|_| flag.store(true, Ordering::Relaxed))
    };
    let dialer = core.link.dialer();
    let dialed = tokio::time::timeout(ATTEMPT, Box::pin(dialer.subscribed(channel, push)));
    let (connection, master) = dialed.await.unwrap_or_else(|_| Err(timed_out()))?;
    Ok((connection, master, Pushed { queue, last: last.into_inner(), overflown }))
}

/// Hands on what comes until nothing more can come.
async fn hear(core: &Core, pushed: &mut Pushed, heard: &impl Fn(Event)) -> CallFault {
    while let Some((number, push)) = pushed.queue.recv().await {
        if number != pushed.last {
            continue;
        }
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                // An empty one is `tokend check`, which finds out whether it may publish.
                if let Some(Value::BulkString(message)) = push.data.into_iter().nth(1)
                    && !message.is_empty()
                {
                    core.counts.received.inc();
                    heard(Event::Message(Bytes::from(message)));
                }
            }
            // The slot moved to another node, or the user may not listen any more.
            PushKind::Disconnection | PushKind::Unsubscribe | PushKind::SUnsubscribe => break,
            _ => (),
        }
        if pushed.overflown.load(Ordering::Relaxed) {
            break;
        }
    }
    CallFault::Broken
}

/// Asks the connection whether it is there until it is not. `None`:
/// the credentials changed, or the sentinels announced another master.
async fn watch(core: &Core, mut connection: MultiplexedConnection, master: Option<Master>, version: u64) -> Option<CallFault> {
    let mut switched = core.link.dialer().sentinels().switched();
    for looks in 1_u32.. {
        let _asks_or_told = tokio::time::timeout(ASK, switched.changed()).await;
        if core.link.dialer().access().version() != version || core.link.dialer().sentinels().has_replaced(master.as_ref()) {
            return None;
        }
        let ping = redis::cmd("PING");
        let asked = tokio::time::timeout(ANSWER, connection.send_packed_command(&ping));
        let answer = asked.await.unwrap_or_else(|_| Err(timed_out())).and_then(Value::extract_error);
        match answer.as_ref().map_err(CallFault::from) {
            // A user that may not ask is answered all the same.
            Ok(_) | Err(CallFault::Forbidden) => (),
            Err(fault) => return Some(fault),
        }
        if looks.is_multiple_of(DEPOSED) && core.link.dialer().is_deposed(master.as_ref()).await {
            return Some(CallFault::ReadOnly);
        }
    }
    None
}
