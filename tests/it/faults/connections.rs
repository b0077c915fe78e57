//! How many connections a replica has: two, from the start, however often they were lost.

use super::{PATIENCE, Replicas, at, say};
use crate::support::redis::{Cluster, RedisServer};
use crate::support::{Fault, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_to_listen_and_one_for_calls_from_the_start() {
    let server = RedisServer::start().await;
    let replicas = Replicas::patient(1, &at(&server)).await;
    // The one for calls looks at the marker.
    eventually(PATIENCE, async || {
        let connected = server.admin().clients().await.expect("a list");
        connected.len() == 2 && connected.iter().filter(|line| line.contains("sub=1")).count() == 1
    })
    .await;
    // Probes and scrapes need none.
    replicas.all[0].admin.get("/readyz").await;
    replicas.all[0].admin.get("/metrics").await;
    replicas.all[0].admin.get("/status").await;
    for _ in 0..20 {
        replicas.ask(0, replicas.fresh()).await.token();
    }
    assert_eq!(server.client_count().await, 2);
}

/// Whether the breaker is closed, and a look came back.
async fn reads_work(replicas: &Replicas) -> bool {
    let looks = async || replicas.all[0].metric("tokend_redis_requests_total{op=\"read\",outcome=\"ok\"}").await;
    let before = looks().await;
    replicas.ask(0, replicas.fresh()).await.token();
    replicas.breaker(0, "reads").await == "closed" && looks().await > before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_after_twenty_faults() {
    let server = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", server.port())).await;
    let replicas = Replicas::start(1, &format!("url: \"redis://{}\"", fault.address())).await;
    let works = async || {
        replicas.ask(0, replicas.fresh()).await.token();
        let breakers = [replicas.breaker(0, "reads").await, replicas.breaker(0, "events").await];
        breakers.iter().all(|breaker| breaker == "closed") && fault.connections() >= 2
    };
    eventually(PATIENCE, works).await;
    for round in 0..20 {
        match round % 4 {
            // Whoever is connected is cut off, and may come back.
            0 => fault.cut(),
            1 => drop(server.admin().ask::<redis::Value>(&["CLIENT", "KILL", "TYPE", "normal"]).await),
            2 => drop(server.admin().ask::<redis::Value>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await),
            // Nobody tells that this connection is of no more use: it has to be given up.
            _ => fault.black_hole(),
        }
        replicas.ask(0, replicas.fresh()).await.token();
        fault.pass();
        eventually(PATIENCE, async || reads_work(&replicas).await).await;
    }
    eventually(PATIENCE, works).await;
    eventually(PATIENCE, async || fault.connections() == 2 && server.client_count().await == 2).await;
    say(&format!("twenty faults: {} connections in all", fault.accepted()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_to_each_master_of_a_cluster_and_one_to_listen() {
    let mut cluster = Cluster::start().await;
    let urls = cluster.urls().join("\", \"");
    let replicas = Replicas::patient(1, &format!("cluster: {{urls: [\"{urls}\"]}}")).await;
    for _ in 0..30 {
        replicas.ask(0, replicas.fresh()).await.token();
    }
    let mut count = 0;
    eventually(PATIENCE, async || {
        count = 0;
        for node in &mut cluster.nodes {
            count += node.client_count().await;
        }
        count <= 4
    })
    .await;
    assert!(count >= 3, "{count}");
}
