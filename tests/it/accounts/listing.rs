//! `GET /accounts` and `GET /accounts/{home_account_id}`: who is signed in, a page at a time.

use serde_json::{Value, json};

use super::{ANA, BEN, ORDERS, Plan, Stage, id, ids};
use crate::support::Emulator;
use crate::support::redis::RedisServer;

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
            assert_eq!(listed.json, json!({"accounts": [signed.json["account"]]}));
            assert_eq!(listed.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn nobody_is_an_empty_list() {
    for stage in Stage::both().await {
        let listed = stage.client(0).get("/accounts?app=web").await;
        assert_eq!((listed.status, &listed.json), (200, &json!({"accounts": []})));
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
