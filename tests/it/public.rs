//! Apps without a credential: which flows they have, and how they are sent (RFC 6749 §2.1, `credential: {public: true}`).

use serde_json::json;

use crate::doors::formed;
use crate::support::{Client, REDIRECT_URI, Stage, World};

const ORDERS: &str = "api://orders/access_as_user";
const ANA: &str = "ana@contoso.example";
const APPS: &str = "  desktop: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: c07d5b2f-8e61-4a93-b4f8-63a1d90e7c28, \
                    username_password: true, credential: {public: true}}";

async fn world() -> World {
    let mut directory = crate::support::Emulator::built_in();
    let apps = directory["apps"].as_array_mut().expect("apps");
    let desktop = apps.iter_mut().find(|app| app["name"] == "desktop").expect("the public app");
    desktop["redirect_uris"].as_array_mut().expect("a list").push(json!(REDIRECT_URI));
    let directory = Some(directory);
    World::staged(Stage { directory, apps: APPS, more: "doors: [rest, oauth2]", ..Stage::default() }).await
}

#[tokio::test]
async fn what_needs_a_credential_is_not_available() {
    let world = world().await;
    let client = &world.sidecar.client;
    let app = json!({"app": "desktop", "scopes": ["https://graph.microsoft.com/.default"]});
    client.post("/client-credentials", &app).await.refused(403, "flow_not_available", "`credential.public`");
    let user = world.emulator.user_token(ANA).await;
    client.post_as("/obo", &user, &app).await.refused(403, "flow_not_available", "`credential.public`");
    let form = [("client_id", "desktop"), ("token", &*user)];
    let introspected = Client::send(formed(client, "/introspect", &form)).await;
    assert_eq!((introspected.status, introspected.member("error")), (400, "unauthorized_client"), "{}", introspected.text);
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn codes_and_passwords_and_refreshes_go_without_a_proof() {
    let world = world().await;
    let code = world.code("desktop", ORDERS, ANA).await;
    let redeemed = world.redeem(&code).await;
    redeemed.token();
    let password = json!({"app": "desktop", "scopes": ORDERS, "username": ANA, "password": "ana-password"});
    world.sidecar.client.post("/username-password", &password).await.token();
    let silent = json!({"app": "desktop", "scopes": ORDERS, "account": redeemed.json["account"]["home_account_id"],
        "force_refresh": true});
    world.sidecar.client.post("/silent", &silent).await.token();
    let calls = world.emulator.asked("token").await;
    let grants: Vec<_> = calls.iter().map(|call| call["form"]["grant_type"].as_str().unwrap_or_default()).collect();
    assert_eq!(grants, ["authorization_code", "password", "refresh_token"]);
    for call in &calls {
        let form = &call["form"];
        assert_eq!(form["client_id"], "c07d5b2f-8e61-4a93-b4f8-63a1d90e7c28", "{form}");
        assert!(form["client_secret"].is_null() && form["client_assertion"].is_null(), "{form}");
        assert!(!call.to_string().to_lowercase().contains("\"authorization\""), "{call}");
    }
}
