//! Every flow once, so that a broken stage shows here first.

use serde_json::json;

use crate::support::World;

#[tokio::test]
async fn every_flow_brings_a_token() {
    let world = World::new().await;
    assert_eq!(world.graph().await.member("token_source"), "identity_provider");
    assert_eq!(world.graph().await.member("token_source"), "cache");
    let user = world.emulator.user_token("ana@contoso.example").await;
    let first = world.obo(&user).await;
    assert_eq!(first.json["account"]["username"], "ana@contoso.example", "{}", first.text);
    assert_eq!(world.obo(&user).await.member("token_source"), "cache");
    for (app, scopes) in [("daemon-cert", "api://orders/.default"), ("shop", "stock.read"), ("shop-cert", "stock.read")] {
        world.app_token(json!({"app": app, "scopes": [scopes]})).await.token();
    }
}
