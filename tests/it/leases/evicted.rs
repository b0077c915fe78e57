//! A Redis that is full and evicts by time takes no leases: they live longer than what they protect.

use futures_util::future::join_all;

use super::{OTHER_PART, PART, PATIENCE, Processes, portions, silent};
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// Others fill the same server: with keys that live for a minute, which is longer than a lease holds without being renewed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eviction_by_time_takes_no_leases_and_no_refresh_token_is_sent_twice() {
    let redis = RedisServer::options().config("maxmemory", "16mb").config("maxmemory-policy", "volatile-ttl").start().await;
    let processes = Processes::calling_within("20s", redis).await;
    let evicted =
        async || processes.redis.admin().info("stats", "evicted_keys").await.expect("a count").parse::<u64>().expect("a count");
    for count in portions(3) {
        let accounts = processes.signed_in(count).await;
        processes.hold().await;
        let sent = processes.sent().await.len();
        let (first, second) = (processes.fleet.client(0), processes.fleet.client(1));
        let holding = join_all(accounts.iter().map(|account| silent(first, account, PART, true)));
        let waiting = join_all(accounts.iter().map(|account| silent(second, account, OTHER_PART, true)));
        let (held, (waited, ())) = tokio::join!(holding, async {
            processes.sent_are(sent + count).await;
            let before = evicted().await;
            tokio::join!(waiting, async {
                let mut filled = 0_u64;
                let mut admin = processes.redis.client().await;
                // Thousands more than there is room for, while the others wait.
                eventually(PATIENCE, async || {
                    let mut pipe = redis::pipe();
                    for number in filled..filled + 500 {
                        pipe.cmd("SET").arg(format!("other:{number}")).arg([b'x'; 2048].as_slice()).arg("EX").arg(60).ignore();
                    }
                    pipe.exec_async(&mut admin).await.expect("room is made");
                    filled += 500;
                    evicted().await >= before + 5000
                })
                .await;
                processes.waited_beyond_the_lease(count).await;
                assert_eq!(processes.sent().await.len(), sent + count, "somebody sent what was sent");
                processes.emulator.unscript().await;
            })
        });
        for answer in held.iter().chain(&waited) {
            assert_eq!(answer.source(), "identity_provider");
        }
        processes.all_go_on(&accounts).await;
    }
}
