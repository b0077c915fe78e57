//! Who holds the lease of a refresh token is stopped, cut off or killed while the authority is asked: nobody else sends that token.

use std::time::Duration;

use futures_util::future::join_all;

use super::{PART, PATIENCE, Processes, portions, silent};
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// What becomes of the first process in mid-call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Stopped,
    Cut,
    BlackHole,
}

/// The first process sends the accounts' refresh tokens and gets into trouble; the second one is asked for the same accounts, for
/// longer than a lease holds without being renewed. Then the authority answers.
async fn in_mid_call(trouble: Trouble, usual: usize) {
    let mut processes = Processes::calling_within("20s", RedisServer::start().await).await;
    for count in portions(usual) {
        let accounts = processes.signed_in(count).await;
        processes.hold().await;
        let sent = processes.sent().await.len();
        let (first, second) = (processes.fleet.client(0).clone(), processes.fleet.client(1).clone());
        let holding = join_all(accounts.iter().map(|account| silent(&first, account, PART, true)));
        // For another token of the same accounts, or for the very same: then the flight has a lease, too, and that one says nothing
        // of what is sent.
        let parts = [super::OTHER_PART, PART].into_iter().cycle();
        let waiting = join_all(accounts.iter().zip(parts).map(|(account, part)| silent(&second, account, part, true)));
        let (held, (waited, ())) = tokio::join!(holding, async {
            processes.sent_are(sent + count).await;
            match trouble {
                Trouble::Stopped => processes.fleet.signal(0, "STOP"),
                Trouble::Cut => processes.fault.cut(),
                Trouble::BlackHole => processes.fault.black_hole_all(),
            }
            tokio::join!(waiting, async {
                processes.waited_beyond_the_lease(count).await;
                assert_eq!(processes.sent().await.len(), sent + count, "{trouble:?}: somebody sent what was sent");
                processes.emulator.unscript().await;
                match trouble {
                    Trouble::Stopped => processes.fleet.signal(0, "CONT"),
                    // Its answers are there by now, and wait to be stored.
                    Trouble::Cut | Trouble::BlackHole => {
                        let waits = async || processes.fleet.metric(0, "tokend_cache_push_back_waiting").await;
                        let all = f64::from(u32::try_from(count).expect("a few"));
                        eventually(PATIENCE, async || waits().await >= all).await;
                        processes.fault.pass();
                    }
                }
            })
        });
        for answer in held.iter().chain(&waited) {
            assert_eq!(answer.source(), "identity_provider", "{trouble:?}");
        }
        processes.all_go_on(&accounts).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_holder_that_is_stopped_nobody_sends_the_used_token() {
    in_mid_call(Trouble::Stopped, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_holder_that_is_cut_off_nobody_sends_the_used_token() {
    in_mid_call(Trouble::Cut, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_holder_whose_redis_is_a_black_hole_nobody_sends_the_used_token() {
    in_mid_call(Trouble::BlackHole, 3).await;
}

/// The answer comes while its process stands still, and for longer than a call may take: it is read when the process goes on, and
/// what it brings is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_holder_that_is_stopped_for_longer_than_a_call_may_take_the_answer_is_read() {
    let mut processes = Processes::calling_within("3s", RedisServer::start().await).await;
    for count in portions(3) {
        let accounts = processes.signed_in(count).await;
        let sent = processes.sent().await.len();
        processes.hold().await;
        let first = processes.fleet.client(0).clone();
        let holding = join_all(accounts.iter().map(|account| silent(&first, account, PART, true)));
        let (held, ()) = tokio::join!(holding, async {
            processes.sent_are(sent + count).await;
            processes.fleet.signal(0, "STOP");
            let clock = tokend::clock::Clock::system();
            processes.emulator.unscript().await;
            eventually(PATIENCE, async || clock.precise() >= Duration::from_millis(3500)).await;
            processes.fleet.signal(0, "CONT");
        });
        for answer in held {
            assert_eq!(answer.source(), "identity_provider");
        }
        processes.all_go_on(&accounts).await;
    }
}

/// Nobody knows whether the token of one who died was used. Its account is not blocked for ever: after twice the longest call, from
/// when the mark was seen, another one tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_holder_that_died_the_token_is_tried_when_no_call_can_be_under_way_any_more() {
    let mut processes = Processes::calling_within("3s", RedisServer::start().await).await;
    let accounts = processes.signed_in(1).await;
    processes.hold().await;
    let (first, second) = (processes.fleet.client(0).clone(), processes.fleet.client(1).clone());
    let request = first.request("/silent", &super::body(&accounts[0], PART, true));
    let (ended, ()) = tokio::join!(unanswered(request), async {
        processes.sent_are(1).await;
        processes.fleet.kill(0);
    });
    assert!(ended);
    processes.emulator.unscript().await;
    let clock = tokend::clock::Clock::system();
    let mut answer = silent(&second, &accounts[0], PART, true).await;
    let first_waited = clock.precise();
    answer.refused(503, "authority_unavailable", "turn");
    assert_eq!(answer.json["retryable"], true);
    eventually(PATIENCE, async || {
        answer = silent(&second, &accounts[0], PART, true).await;
        answer.status == 200
    })
    .await;
    assert!(first_waited >= Duration::from_millis(2900) && clock.precise() >= Duration::from_secs(6), "it waited");
    // It was never redeemed: its connection broke before the authority looked at it.
    assert_eq!(answer.source(), "identity_provider");
    assert_eq!(processes.sent().await.len(), 2);
}

/// Sends a request that must come to nothing.
#[expect(clippy::disallowed_methods, reason = "a test is a caller of the sidecar, not a part of it")]
async fn unanswered(request: reqwest::RequestBuilder) -> bool {
    tokio::time::timeout(Duration::from_secs(25), request.send()).await.is_ok_and(|sent| sent.is_err())
}
