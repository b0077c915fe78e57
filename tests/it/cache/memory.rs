//! What the memory level holds: bounded in bytes, one entry per partition, and what it says of itself.

use futures_util::future::join_all;
use serde_json::json;

use super::USER_READ;
use crate::support::World;

impl World {
    async fn user(&self, index: usize) -> String {
        let claims = json!({"oid": format!("u-{index}"), "preferred_username": format!("u{index}@contoso.example")});
        self.emulator.mint(json!({"app": "orders-api", "scopes": "access_as_user", "claims": claims})).await
    }
}

#[tokio::test]
async fn the_cache_stays_within_its_bytes_and_goes_on_serving() {
    let world = World::with("cache: {memory: {max_bytes: 1MiB}}").await;
    let most = 1 << 20;
    let mut last = String::new();
    for batch in 0..12 {
        let users: Vec<String> = join_all((0..50).map(|index| world.user(batch * 50 + index))).await;
        for answer in join_all(users.iter().map(|user| world.obo(user))).await {
            assert_eq!(answer.source(), "identity_provider");
        }
        let cache = world.sidecar.admin.get("/status").await.json["cache"].clone();
        assert_eq!(cache["max_bytes"], most);
        assert!(cache["bytes"].as_u64().unwrap() <= most, "{cache}");
        last.clone_from(&users[49]);
    }
    let cache = world.sidecar.admin.get("/status").await.json["cache"].clone();
    // It is full rather than thrown away, and not all of the 600 users fit.
    assert!(cache["bytes"].as_u64().unwrap() > most / 2 && cache["entries"].as_u64().unwrap() < 600, "{cache}");
    assert_eq!(world.obo(&last).await.source(), "cache");
    assert_eq!(world.calls().await, 600);
}

#[tokio::test]
async fn ten_users_of_three_scopes_cost_thirty_calls_and_then_none() {
    let world = World::new().await;
    let users = join_all((0..10).map(|index| world.user(index))).await;
    let scopes = [USER_READ, "api://billing/invoices.read", "api://orders/orders.export"];
    for (round, source) in ["identity_provider", "cache", "cache"].into_iter().enumerate() {
        for user in &users {
            for answer in join_all(scopes.map(|scope| world.obo_as("orders", scope, user))).await {
                assert_eq!(answer.source(), source, "round {round}");
            }
        }
    }
    assert_eq!(world.calls().await, 30);
    let cache = world.sidecar.admin.get("/status").await.json["cache"].clone();
    assert_eq!(cache["entries"], 10);
    assert_eq!(world.sidecar.metric("tokend_cache_partitions{level=\"memory\"}").await, 10.0);
    assert_eq!(world.sidecar.metric("tokend_cache_bytes{level=\"memory\"}").await, cache["bytes"].as_f64().unwrap());
}
