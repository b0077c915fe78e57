//! `GET /accounts` and `GET /accounts/{home_account_id}`: who is signed in, a page at a time.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ANA, BEN, ORDERS, PATIENCE, Plan, Stage, id, ids};
use crate::support::redis::RedisServer;
use crate::support::{Emulator, Fault, eventually};

/// The built-in directory with so many more users.
fn crowded(users: usize) -> Value {
    let mut directory = Emulator::built_in();
    let list = directory["users"].as_array_mut().expect("users");
    for index in 0..users {
        list.push(json!({
            "username": name(index), "password": "p", "name": "U", "tenant": "contoso",
            "object_id": format!("99d9c2e6-74fa-4081-a5cb-e6f2091{index:05}"),
        }));
    }
    directory
}

fn name(index: usize) -> String {
    format!("user-{index}@contoso.example")
}

/// Every page of this size, in their order.
async fn pages(stage: &Stage, replica: usize, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stage.client(replica).get(&format!("/accounts?app=web&limit={limit}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        pages.push(ids(&page));
        match page.json.get("next") {
            Some(next) => cursor = format!("&cursor={}", next.as_str().expect("a text")),
            None => return pages,
        }
        assert!(pages.len() < 200, "it does not end");
    }
}

#[tokio::test]
async fn page_by_page_every_account_is_listed_exactly_once() {
    const USERS: usize = 24;
    let redis = RedisServer::start().await;
    let urls = vec![redis.url(); 2];
    let memory = Stage::made(Plan { directory: Some(crowded(USERS)), ..Plan::default() }).await;
    let shared = Stage::made(Plan { directory: Some(crowded(USERS)), redis: Some(redis), urls, ..Plan::default() }).await;
    for stage in [memory, shared] {
        let mut expected = Vec::new();
        for index in 0..USERS {
            let signed = stage.sign_in(index % stage.replicas.len(), "web", ORDERS, &name(index)).await;
            expected.push(id(&signed).to_owned());
        }
        // A second sign-in is no second account, and another app's account is none of this app's.
        stage.sign_in(0, "web", ORDERS, &name(0)).await;
        stage.sign_in(0, "shop-offline", "orders.read", "eva").await;
        expected.sort();
        for limit in [1, 5, 7, 1000] {
            let pages = pages(&stage, stage.last(), limit).await;
            assert!(pages.len() <= USERS.div_ceil(limit) + 1, "{pages:?}");
            assert!(limit > 7 || pages.len() > 2, "{limit} is not all: {pages:?}");
            let mut all = pages.concat();
            all.sort();
            assert_eq!(all, expected, "by {limit}");
        }
    }
}

#[tokio::test]
async fn an_account_is_shown_as_the_sign_in_showed_it() {
    for stage in Stage::both().await {
        for (app, scopes, user) in [("web", ORDERS, ANA), ("shop-offline", "orders.read", "eva")] {
            let signed = stage.sign_in(0, app, scopes, user).await;
            let shown = stage.account(stage.last(), app, id(&signed)).await;
            assert_eq!((shown.status, shown.header("cache-control")), (200, "no-store"));
            assert_eq!(shown.json, signed.json["account"]);
            let listed = stage.client(stage.last()).get(&format!("/accounts?app={app}")).await;
            assert_eq!(listed.json, json!({"accounts": [signed.json["account"]], "complete": true}));
            assert_eq!(listed.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn nobody_is_an_empty_list() {
    for stage in Stage::both().await {
        let listed = stage.client(0).get("/accounts?app=web").await;
        assert_eq!((listed.status, &listed.json), (200, &json!({"accounts": [], "complete": true})));
        stage.account(0, "web", "some.body").await.refused(404, "unknown_account", "account");
        stage.client(0).get("/accounts?app=nobody").await.refused(404, "unknown_app", "app");
        stage.client(0).get("/accounts").await.refused(404, "unknown_app", "default");
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_named() {
    for stage in Stage::both().await {
        stage.sign_in(0, "web", ORDERS, ANA).await;
        for (query, word) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=many", "limit"),
            ("limit=-1", "limit"),
            ("cursor=", "cursor"),
            ("cursor=!", "cursor"),
            ("cursor=bm9uZQ", "cursor"),
            ("limit=1&limit=2", "limit"),
            ("page=2", "page"),
        ] {
            let answer = stage.client(0).get(&format!("/accounts?app=web&{query}")).await;
            answer.refused(400, "invalid_request", word);
        }
    }
}

#[tokio::test]
async fn an_account_that_redis_has_lost_is_not_listed() {
    let stage = Stage::sharing(1).await;
    let (ana, ben) = (stage.sign_in(0, "web", ORDERS, ANA).await, stage.sign_in(0, "web", ORDERS, BEN).await);
    let mut both = [id(&ana).to_owned(), id(&ben).to_owned()];
    both.sort();
    let mut listed = stage.listed(0, "web").await;
    listed.sort();
    assert_eq!(listed, both);
    let records = stage.keys("}:a").await;
    assert_eq!(records.len(), 2, "{records:?}");
    stage.later(super::LONG_AGO);
    stage.redis().admin().ask::<()>(&["DEL", &records[0]]).await.expect("a deletion");
    let left = stage.listed(0, "web").await;
    assert_eq!(left.len(), 1, "{left:?}");
    let gone = both.iter().find(|one| **one != left[0]).expect("the other one");
    stage.account(0, "web", gone).await.refused(404, "unknown_account", "account");
    // Nor is it in the set any more.
    assert_eq!(stage.keys("}:s").await.len(), 1);
    // A new sign-in brings it back.
    let user = if *gone == both[0] { [&ana, &ben] } else { [&ben, &ana] };
    let user = user.iter().find(|answer| id(answer) == gone).expect("one of the two").json["account"]["username"].clone();
    stage.sign_in(0, "web", ORDERS, user.as_str().expect("a name")).await;
    assert_eq!(stage.listed(0, "web").await.len(), 2);
}

/// The first page as one replica has it.
async fn page(stage: &Stage, replica: usize) -> (Vec<String>, bool) {
    let page = stage.client(replica).get("/accounts?app=web").await;
    assert_eq!(page.status, 200, "{}", page.text);
    (ids(&page), page.json["complete"].as_bool().expect("it says so"))
}

#[tokio::test]
async fn who_could_not_be_listed_is_listed_as_soon_as_that_can_be() {
    // Everything but what lists accounts, which may be read.
    let user = "user tokend on >for-tests resetchannels &tokend:events +@all ~tokend:*}:a ~tokend:*}:e ~tokend:*}:g ~tokend:*}:i \
                ~tokend:*}:t:* ~tokend:*}:l:* ~tokend:*}:o:* ~tokend:*}:h:* ~tokend:probe:* %R~tokend:*}:s";
    let redis = RedisServer::options().acl(&[user]).start().await;
    let urls = vec![redis.url(); 2];
    let login = "    username: tokend\n    password: {inline: for-tests}\n";
    let stage = Stage::made(Plan { redis: Some(redis), urls, login, ..Plan::default() }).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    assert_eq!(stage.account(1, "web", id(&signed)).await.status, 200, "it is stored");
    assert_eq!(page(&stage, 0).await, (vec![], false));
    let others = stage.client(0).get("/accounts?app=shop-offline").await;
    assert_eq!(others.json, json!({"accounts": [], "complete": true}), "nobody of these waits");
    stage.redis().admin().ask::<()>(&["ACL", "SETUSER", "tokend", "~tokend:*"]).await.expect("a right");
    eventually(PATIENCE, async || {
        stage.tick();
        page(&stage, 0).await.1
    })
    .await;
    for replica in [0, 1] {
        assert_eq!(page(&stage, replica).await, (vec![id(&signed).to_owned()], true));
    }
}

#[tokio::test]
async fn who_waits_to_be_stored_is_missing_and_that_is_said() {
    let stage = Stage::sharing(1).await;
    let full = async |bytes: &str| {
        stage.redis().admin().ask::<()>(&["CONFIG", "SET", "maxmemory", bytes]).await.expect("a setting");
    };
    full("1").await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    assert_eq!(page(&stage, 0).await, (vec![], false));
    full("0").await;
    eventually(PATIENCE, async || {
        stage.tick();
        page(&stage, 0).await == (vec![id(&signed).to_owned()], true)
    })
    .await;
}

#[tokio::test]
async fn who_cannot_be_read_hides_nobody_else() {
    let stage = Stage::sharing(2).await;
    let both = [stage.sign_in(0, "web", ORDERS, ANA).await, stage.sign_in(0, "web", ORDERS, BEN).await];
    // Of a release to come.
    let record = stage.keys("}:a").await.remove(0);
    stage.redis().admin().ask::<()>(&["SETRANGE", &record, "16", "c"]).await.expect("a write");
    for replica in [0, 1] {
        let (listed, complete) = page(&stage, replica).await;
        assert_eq!((listed.len(), complete), (1, false), "{listed:?}");
        let hidden = both.iter().map(id).find(|one| *one != listed[0]).expect("the other one");
        stage.account(replica, "web", hidden).await.refused(503, "cache_unavailable", "newer release");
    }
}

#[tokio::test]
async fn who_was_signed_out_is_not_listed_whatever_stands_there() {
    let stage = Stage::sharing(2).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let (record, set) = (stage.keys("}:a").await.remove(0), stage.keys("}:s").await.remove(0));
    let mut admin = stage.redis().client().await;
    let value: Vec<u8> = redis::cmd("GET").arg(&record).query_async(&mut admin).await.expect("a value");
    let listed: Vec<(Vec<u8>, f64)> =
        redis::cmd("ZRANGE").arg(&set).arg(0).arg(-1).arg("WITHSCORES").query_async(&mut admin).await.expect("a member");
    assert_eq!(stage.sign_out(0, "web", id(&signed)).await.status, 204);
    // As if an older state had come back.
    redis::cmd("SET").arg(&record).arg(&value).arg("EX").arg(1000).exec_async(&mut admin).await.expect("a write");
    for (member, score) in &listed {
        redis::cmd("ZADD").arg(&set).arg(score).arg(member).exec_async(&mut admin).await.expect("a write");
    }
    assert_eq!(page(&stage, 1).await, (vec![], true));
    assert_eq!(stage.keys("}:s").await, [""; 0], "nor is it in the set");
    stage.account(1, "web", id(&signed)).await.refused(404, "unknown_account", "account");
}

/// A listing that finds nothing behind a member takes that out; whoever signs in between the two joined before that.
#[tokio::test]
async fn who_signs_in_while_a_listing_tidies_up_stays_listed() {
    let redis = RedisServer::start().await;
    let fault = Fault::to(format!("127.0.0.1:{}", redis.port())).await;
    let urls = vec![redis.url(), format!("redis://{}", fault.address())];
    let stage = Stage::made(Plan { redis: Some(redis), urls, ..Plan::default() }).await;
    let signed = stage.sign_in(0, "web", ORDERS, ANA).await;
    let record = stage.keys("}:a").await.remove(0);
    stage.redis().admin().ask::<()>(&["DEL", &record]).await.expect("a deletion");
    let reads = async || stage.redis().admin().info("commandstats", "cmdstat_mget").await.expect("an answer");
    let before = reads().await;
    fault.delay(Duration::from_millis(300));
    let (_page, ()) = tokio::join!(page(&stage, 1), async {
        // It has seen that there is nothing.
        eventually(PATIENCE, async || reads().await != before).await;
        stage.sign_in(0, "web", ORDERS, ANA).await;
    });
    fault.pass();
    assert_eq!(page(&stage, 0).await, (vec![id(&signed).to_owned()], true));
}
