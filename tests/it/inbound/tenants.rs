//! Which tenants' users an app accepts, and at which tenant it asks for them.

use serde_json::{Value, json};

use super::{USER_READ, is_refused, obo_as, part};
use crate::support::{Sidecar, World, configuration};

const FAY: &str = "fay@fabrikam.example";
const ANA: &str = "ana@contoso.example";

fn partner(user: &str) -> Value {
    json!({"app": "partner", "user": user, "scopes": "access_as_user"})
}

fn tenant(world: &World, index: usize) -> String {
    world.emulator.directory["tenants"][index]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_single_tenant_app_takes_its_own_tenants_users_only() {
    let world = World::new().await;
    let order = json!({"app": "orders-api", "user": FAY, "scopes": "access_as_user"});
    let token = world.emulator.mint(order).await;
    assert_eq!(part(&token, 1)["tid"], tenant(&world, 1), "a good token of the other tenant");
    is_refused(&world.obo(&token).await, "tenant");
    assert!(world.emulator.asked("token").await.is_empty());
}

#[tokio::test]
async fn a_multi_tenant_app_with_every_tenant_asks_at_the_users_own() {
    let world = World::new().await;
    for (user, index) in [(FAY, 1), (ANA, 0)] {
        let token = world.emulator.mint(partner(user)).await;
        let answer = obo_as(&world, "partner", &token).await;
        answer.token();
        assert_eq!(answer.json["tenant_id"], tenant(&world, index));
        let asked = world.emulator.asked("token").await;
        let path = asked.last().expect("a call")["path"].as_str().expect("a path").to_owned();
        assert!(path.starts_with(&format!("/{}/", tenant(&world, index))), "{path}");
    }
}

#[tokio::test]
async fn another_tenant_than_the_tokens_is_400() {
    let world = World::new().await;
    let token = world.emulator.mint(partner(FAY)).await;
    let ask = |tenant: String| json!({"app": "partner", "scopes": [USER_READ], "tenant": tenant});
    let client = &world.sidecar.client;
    client.post_as("/obo", &token, &ask(tenant(&world, 0))).await.refused(400, "invalid_request", "`tenant`");
    client.post_as("/obo", &token, &ask(tenant(&world, 1))).await.token();
}

#[tokio::test]
async fn a_multi_tenant_app_with_a_list_takes_the_listed_alone() {
    let world = World::new().await;
    let yaml = configuration(&world.emulator, &world.files);
    let listed = yaml.replace(r#"tenants: "*""#, &format!("tenants: [{}]", tenant(&world, 1)));
    assert_ne!(listed, yaml);
    let sidecar = Sidecar::start(&listed, &world.clock).await;
    let body = json!({"app": "partner", "scopes": [USER_READ]});
    let fay = world.emulator.mint(partner(FAY)).await;
    sidecar.client.post_as("/obo", &fay, &body).await.token();
    let ana = world.emulator.mint(partner(ANA)).await;
    is_refused(&sidecar.client.post_as("/obo", &ana, &body).await, "tenant");
}

#[tokio::test]
async fn a_key_with_an_issuer_signs_for_that_tenant_alone() {
    let world = World::new().await;
    let mint = async |user: &str| {
        let mut order = partner(user);
        order["key"] = json!("tenant");
        world.emulator.mint(order).await
    };
    // The key is published for contoso's issuer.
    is_refused(&obo_as(&world, "partner", &mint(FAY).await).await, "key");
    assert!(world.emulator.asked("token").await.is_empty());
    // Here it is accepted; that the emulator's own token endpoint does not take this key is another matter.
    obo_as(&world, "partner", &mint(ANA).await).await;
    assert_eq!(world.emulator.asked("token").await.len(), 1);
}

#[tokio::test]
async fn a_multi_tenant_app_takes_v1_tokens_too() {
    let world = World::new().await;
    let mut order = partner(FAY);
    order["version"] = json!(1);
    let token = world.emulator.mint(order).await;
    assert_eq!(part(&token, 1)["iss"], format!("{}/{}/", world.emulator.origin, tenant(&world, 1)));
    obo_as(&world, "partner", &token).await.token();
}
