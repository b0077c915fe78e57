//! One server that fails: nothing hangs, the breakers open, and everything heals by itself.

use std::time::Duration;

use tokend::store::{BreakerState, Event, Note, StoreError, Topology};
use tokio::sync::mpsc;

use super::{LONG, PATIENCE, Store, now, parse, settings, standalone};
use crate::support::Fault;
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// What a call may take beyond its deadline on a busy machine.
const SLACK: Duration = Duration::from_millis(400);

/// Calls until the breakers are open, none longer than its deadline.
async fn until_open(store: &Store) {
    eventually(PATIENCE, async || {
        let started = now();
        let (read, written) = tokio::join!(store.shared.read(&["tokend:{a}:until"]), store.set("tokend:{a}:until", b"1"));
        assert!(started.elapsed() < Duration::from_millis(150) + SLACK, "{:?}", started.elapsed());
        read == Err(StoreError::Open) && !written
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_is_used_again_when_it_is_back() {
    let mut server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    let recoveries = store.shared.recoveries();
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    assert!(store.set("tokend:{a}:x", b"1").await);
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await, Ok(Some(Event::Subscribed)));
    server.kill().await;
    until_open(&store).await;
    let started = now();
    assert_eq!(store.shared.read(&["tokend:{a}:x"]).await, Err(StoreError::Open));
    assert!(started.elapsed() < Duration::from_millis(100), "an open breaker costs nothing");
    server.restart().await;
    let took = store.until_writes_work().await;
    println!("killed: writes work {took:?} after the restart");
    store.until_reads_work().await;
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
    assert!(recoveries.has_changed().is_ok_and(|changed| changed));
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await, Ok(Some(Event::Subscribed)));
    store.shared.publish(b"again").await.expect("an answer");
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await, Ok(Some(Event::Message("again".into()))));
    assert!(server.client_count().await <= 2);
    assert!(store.metric("tokend_redis_reconnects_total") >= 1.0);
}

#[tokio::test]
async fn a_server_that_stands_still_holds_nobody() {
    let mut server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    assert!(store.set("tokend:{a}:x", b"1").await);
    server.freeze();
    until_open(&store).await;
    server.thaw();
    let took = store.until_writes_work().await;
    println!("frozen: writes work {took:?} after it goes on");
    store.until_reads_work().await;
    assert_eq!(store.get("tokend:{a}:x").await, Some(b"1".to_vec()));
    eventually(PATIENCE, async || server.client_count().await <= 1).await;
}

#[tokio::test]
async fn a_connection_that_swallows_everything_is_replaced() {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let store = Store::open(&standalone(&format!("redis://{}", fault.address())));
    let (sender, mut heard) = mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    assert!(store.set("tokend:{a}:until", b"1").await);
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await, Ok(Some(Event::Subscribed)));
    fault.black_hole();
    let started = now();
    let (mut failed, mut worst) = (0, Duration::ZERO);
    eventually(PATIENCE, async || {
        let call = now();
        let read = store.shared.read(&["tokend:{a}:until"]).await;
        worst = worst.max(call.elapsed());
        failed += u32::from(read.is_err());
        read.is_ok()
    })
    .await;
    println!("black hole: reads work after {:?}, {failed} failed, the longest call took {worst:?}", started.elapsed());
    assert!(failed <= 3, "three time-outs are enough: {failed}");
    // The subscription, too, finds out by itself.
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await, Ok(Some(Event::Subscribed)));
    println!("black hole: subscribed again after {:?}", started.elapsed());
    store.shared.publish(b"again").await.expect("an answer");
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await, Ok(Some(Event::Message("again".into()))));
}

#[tokio::test]
async fn a_network_that_comes_and_goes() {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let store = Store::open(&standalone(&format!("redis://{}", fault.address())));
    assert!(store.set("tokend:{a}:until", b"1").await);
    type Fails = fn(&Fault);
    let failures: [(&str, Fails); 4] = [
        ("cut", |fault| fault.cut()),
        ("frozen", |fault| fault.freeze()),
        ("swallowed", |fault| fault.black_hole_all()),
        ("slow", |fault| fault.delay(Duration::from_millis(400))),
    ];
    for (name, fail) in failures {
        fail(&fault);
        until_open(&store).await;
        let before = fault.accepted();
        fault.pass();
        let writes = store.until_writes_work().await;
        store.until_reads_work().await;
        println!("{name}: works {writes:?} after it passes, {} connections were tried meanwhile", before);
        store.settled(BreakerState::Closed, BreakerState::Closed).await;
    }
    eventually(PATIENCE, async || fault.connections() <= 1).await;
}

#[tokio::test]
async fn a_server_that_is_full_is_read_and_signs_out() {
    let config = RedisServer::options().config("maxmemory", "3mb").config("maxmemory-policy", "noeviction");
    let server = config.start().await;
    let store = Store::open(&standalone(&server.url()));
    assert!(store.set("tokend:{a}:until", b"1").await && store.set("tokend:{a}:x", b"1").await);
    let mut admin = server.client().await;
    let junk = vec![b'x'; 100_000];
    for number in 0.. {
        if redis::cmd("SET").arg(format!("junk:{number}")).arg(&junk).exec_async(&mut admin).await.is_err() {
            break;
        }
    }
    store.settled_writes_open().await;
    for _ in 0..20 {
        assert_eq!(store.get("tokend:{a}:x").await, Some(b"1".to_vec()), "reads go on");
    }
    assert!(store.shared.publish(b"x").await.is_ok());
    assert!(store.shared.holds(&["tokend:{a}:x"]).await.is_ok_and(|held| held[0].is_some()));
    let epoch = Note { key: "tokend:{a}:e", value: b"new", ttl: LONG };
    assert_eq!(
        store.shared.remove(epoch, &["tokend:{a}:x"], false).await,
        Ok(tokend::store::Removed::Done(1)),
        "a sign-out needs no room"
    );
    assert_eq!(store.shared.state().reads, BreakerState::Closed);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("100mb").exec_async(&mut admin).await.expect("an answer");
    println!("full: writes work {:?} after there is room", store.until_writes_work().await);
}

#[tokio::test]
async fn a_replica_takes_no_writes_and_is_read() {
    let mut server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    assert!(store.set("tokend:{a}:until", b"1").await);
    let mut admin = server.client().await;
    redis::cmd("CONFIG").arg("SET").arg("replica-serve-stale-data").arg("yes").exec_async(&mut admin).await.expect("an answer");
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec_async(&mut admin).await.expect("an answer");
    store.settled_writes_open().await;
    assert!(store.shared.read(&["tokend:{a}:until"]).await.is_ok(), "reads go on");
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec_async(&mut admin).await.expect("an answer");
    println!("replica: writes work {:?} after it is a master", store.until_writes_work().await);
    assert!(server.is_running());
}

#[tokio::test]
async fn nobody_is_there_at_the_start() {
    let mut server = RedisServer::start().await;
    server.kill().await;
    let store = Store::open(&standalone(&server.url()));
    store.shared.listen(drop);
    until_open(&store).await;
    assert!(store.shared.prove().await.is_err());
    server.restart().await;
    println!("late: writes work {:?} after the start", store.until_writes_work().await);
    assert_eq!(store.shared.prove().await, Ok(vec![]));
}

#[tokio::test]
async fn an_address_that_nobody_answers_at() {
    // A listener whose backlog nobody takes from: connections are made and say nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let store = Store::open(&settings(Topology::Standalone(parse(&url))));
    until_open(&store).await;
    let problem = store.shared.prove().await.expect_err("a problem");
    assert!(problem.reason.contains("does not answer"), "{problem:?}");
}

#[tokio::test]
async fn an_empty_server_is_no_failure() {
    let server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    assert!(store.set("tokend:{a}:x", b"1").await);
    server.flush().await;
    assert_eq!(store.shared.read(&["tokend:{a}:x"]).await, Ok(vec![None]));
    store.settled(BreakerState::Closed, BreakerState::Closed).await;
}

impl Store {
    /// Writes until the breaker of writes is open, and that of reads is not.
    async fn settled_writes_open(&self) {
        eventually(PATIENCE, async || {
            let refused = !self.set("tokend:{a}:until", &[b'x'; 50_000]).await;
            refused && self.shared.state().writes != BreakerState::Closed
        })
        .await;
        assert_eq!(self.shared.state().reads, BreakerState::Closed);
    }
}
