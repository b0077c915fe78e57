//! A replica that was stopped and goes on: requests wait for it, and what others told meanwhile it has not heard yet.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokend::clock::Clock;

use super::{CHANNEL, SOON, USER_READ, level};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Emulator, Fleet, configuration, eventually};

/// How many requests wait.
const WAITING: usize = 24;
/// How long it stands still.
const STOPPED: Duration = Duration::from_millis(1500);

/// Stops the first of two replicas, signs a user out at the other one, and lets the first one go on. It talks to Redis as this
/// user, `deaf` or `hearing`.
async fn goes_on(user: &str) {
    let emulator = Emulator::start(&Clock::system()).await;
    let files = tempfile::tempdir().expect("a folder");
    let users = ["hearing", "deaf"].map(|user| format!("user {user} on >for-tests ~* resetchannels +@all"));
    let redis = RedisServer::options().acl(&[&format!("{} &*", users[0]), &users[1]]).start().await;
    let base = configuration(&emulator, &files);
    let mut fleet = Fleet::start(2, |index| {
        let user = if index == 0 { user } else { "hearing" };
        format!(
            "{base}cache: {{recheck: 60s, redis: {{url: \"{}\", username: {user}, password: {{inline: for-tests}}, timeout: 2s, \
             encryption: {{plaintext: true}}}}}}\n",
            redis.url()
        )
    })
    .await;
    let listening = if user == "deaf" { 1 } else { 2 };
    eventually(SOON, async || {
        let told: Result<(String, usize), _> = redis.admin().ask(&["PUBSUB", "NUMSUB", CHANNEL]).await;
        told.is_ok_and(|(_, count)| count >= listening)
    })
    .await;
    let ana = emulator.user_token("ana@contoso.example").await;
    let ask = async |client: &Client| client.post_as("/obo", &ana, &json!({"app": "orders", "scopes": USER_READ})).await;
    let (stopped, other) = (fleet.client(0).clone(), fleet.client(1).clone());
    let old = ask(&other).await;
    eventually(SOON, async || {
        let answer = ask(&stopped).await;
        assert_eq!(answer.token(), old.token());
        level(&answer) == "memory"
    })
    .await;
    let id = old.json["account"]["home_account_id"].as_str().expect("an id").to_owned();
    fleet.stop(0).await;
    let since = now();
    let waiting = join_all((0..WAITING).map(|_| ask(&stopped)));
    let (answers, ()): (Vec<Answer>, ()) = tokio::join!(waiting, async {
        let gone = Client::send(other.http.delete(format!("{}/accounts/{id}?app=orders", other.base))).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        // It stands still by the machine's clock.
        eventually(SOON, async || since.elapsed() > STOPPED).await;
        fleet.signal(0, "CONT");
    });
    for answer in answers.iter().chain([&ask(&stopped).await]) {
        assert_ne!(answer.token(), old.token(), "of before the sign-out");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_waited_gets_what_was_signed_out_meanwhile() {
    goes_on("hearing").await;
}

/// Its user may not subscribe: no message ever tells it.
#[tokio::test(flavor = "multi_thread")]
async fn nor_where_no_message_comes() {
    goes_on("deaf").await;
}
