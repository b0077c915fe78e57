//! Whose tokens meet: never those of two tenants, apps, users or assertions (CCH-4,
//! CCH-8), and no refresh token meets anybody (CCH-9).

use serde_json::json;

use super::USER_READ;
use crate::support::World;

#[tokio::test]
async fn cch_4_a_tenant_that_is_named_is_not_served_from_the_own_one() {
    let world = World::new().await;
    let own = world.graph().await;
    let named = |tenant: &serde_json::Value| {
        let body = json!({"app": "daemon", "scopes": "https://graph.microsoft.com/.default", "tenant": tenant});
        async { world.app_token(body).await }
    };
    // The emulator knows no such app there.
    assert_eq!(named(&world.emulator.directory["tenants"][1]["id"]).await.status, 502);
    assert_eq!(world.calls().await, 2);
    // The own tenant named in so many words is the own tenant.
    let again = named(&own.json["tenant_id"]).await;
    assert_eq!((again.source(), again.token()), ("cache", own.token()));
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_4_an_app_of_many_tenants_keeps_them_apart() {
    let world = World::new().await;
    let tenants = &world.emulator.directory["tenants"];
    let mut tokens = Vec::new();
    for tenant in [&tenants[0]["id"], &tenants[1]["id"], &tenants[0]["id"], &tenants[1]["id"]] {
        let body = json!({"app": "partner", "scopes": "https://graph.microsoft.com/.default", "tenant": tenant});
        let answer = world.app_token(body).await;
        assert_eq!(answer.json["tenant_id"], *tenant, "{}", answer.text);
        tokens.push(answer.token().to_owned());
    }
    assert!(tokens[0] == tokens[2] && tokens[1] == tokens[3] && tokens[0] != tokens[1]);
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_4_at_common_each_user_is_served_from_the_own_tenant() {
    let world = World::new().await;
    for (user, tenant) in [("ana@contoso.example", 0), ("fay@fabrikam.example", 1)] {
        let order = json!({"app": "partner", "user": user, "scopes": "access_as_user"});
        let bearer = world.emulator.mint(order).await;
        let first = world.obo_as("partner", USER_READ, &bearer).await;
        assert_eq!(first.json["tenant_id"], world.emulator.directory["tenants"][tenant]["id"], "{}", first.text);
        assert_eq!(world.obo_as("partner", USER_READ, &bearer).await.token(), first.token());
    }
    let asked: Vec<String> =
        world.emulator.asked("token").await.iter().map(|call| call["tenant"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0], asked[1]);
}

#[tokio::test]
async fn cch_4_two_apps_never_meet() {
    let world = World::new().await;
    let ask = |app: &str| world.app_token(json!({"app": app, "scopes": "https://graph.microsoft.com/.default"}));
    let (daemon, orders) = (ask("daemon").await, ask("orders").await);
    assert_ne!(daemon.token(), orders.token());
    assert_eq!(world.calls().await, 2);
    // Two names of one registration are one client to the authority, and share what it was given.
    assert_eq!(ask("daemon-cert").await.token(), daemon.token());
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_8_another_users_assertion_misses() {
    let world = World::new().await;
    let ana = world.obo(&world.emulator.user_token("ana@contoso.example").await).await;
    let ben = world.obo(&world.emulator.user_token("ben@contoso.example").await).await;
    assert_ne!(ana.token(), ben.token());
    assert_eq!(ana.json["account"]["username"], "ana@contoso.example");
    assert_eq!((&ben.json["account"]["username"], ben.source()), (&json!("ben@contoso.example"), "identity_provider"));
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_8_two_assertions_of_one_user_are_separate() {
    let world = World::new().await;
    let (first, second) =
        (world.emulator.user_token("ana@contoso.example").await, world.emulator.user_token("ana@contoso.example").await);
    assert_ne!(first, second);
    let (one, two) = (world.obo(&first).await, world.obo(&second).await);
    assert_eq!((one.source(), two.source()), ("identity_provider", "identity_provider"));
    assert_ne!(one.token(), two.token());
    assert_eq!((world.obo(&first).await.token(), world.obo(&second).await.token()), (one.token(), two.token()));
    assert_eq!(world.calls().await, 2);
}

#[tokio::test]
async fn cch_9_no_route_returns_a_refresh_token() {
    let world = World::new().await;
    let canary = "canary-of-a-refresh-token";
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"set": {"refresh_token": canary}}})).await;
    let ana = world.emulator.user_token("ana@contoso.example").await;
    let eva = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let eva = world.emulator.mint(eva).await;
    let mut answers = vec![world.graph().await, world.graph().await, world.obo(&ana).await, world.obo(&ana).await];
    answers.push(world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await);
    answers.push(world.obo_as("shop", "stock.read", &eva).await);
    let code = world.code("web", USER_READ, "ana@contoso.example").await;
    answers.push(world.redeem(&code).await);
    for answer in answers {
        answer.token();
        assert!(!answer.text.contains(canary) && !answer.text.contains("refresh_token"), "{}", answer.text);
    }
}

#[tokio::test]
async fn at_an_issuer_the_owner_is_sub_and_nothing_else() {
    let world = World::new().await;
    let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read",
        "claims": {"oid": "somebody", "tid": "elsewhere"}});
    let bearer = world.emulator.mint(order).await;
    let forged = json!({"set": {"client_info": "eyJ1aWQiOiJzb21lYm9keSIsInV0aWQiOiJlbHNld2hlcmUifQ"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": forged})).await;
    let answer = world.obo_as("shop", "stock.read", &bearer).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["account"]["home_account_id"], "f2a6-eva");
    assert_eq!(answer.json["account"]["local_account_id"], "f2a6-eva");
    assert!(answer.json["account"]["tenant_id"].is_null() && answer.json["tenant_id"].is_null(), "{}", answer.text);
}

/// One client id may be registered in several tenants: who signed in through one app has not signed in through the other.
#[tokio::test]
async fn two_apps_of_one_client_in_two_tenants_share_no_sign_in() {
    let world = World::changed(|yaml, _| {
        let line = yaml.lines().find(|line| line.starts_with("  web:")).expect("the app").to_owned();
        let (before, rest) = line.split_once("authority: \"").expect("an authority");
        let (authority, after) = rest.split_once('"').expect("its end");
        let (origin, _tenant) = authority.rsplit_once('/').expect("a tenant");
        let before = before.replace("web", "web-elsewhere");
        yaml.replacen("apis:\n", &format!("{before}authority: \"{origin}/fabrikam.example\"{after}\napis:\n"), 1)
    })
    .await;
    let scopes = "api://orders/access_as_user";
    let code = world.code("web", scopes, "ana@contoso.example").await;
    let signed = world.redeem(&code).await;
    signed.token();
    let account = signed.json["account"]["home_account_id"].as_str().expect("an account");
    let client = &world.sidecar.client;
    let silent = async |app: &str| client.post("/silent", &json!({"app": app, "scopes": scopes, "account": account})).await;
    let listed = async |app: &str| client.get(&format!("/accounts?app={app}")).await.json["accounts"].as_array().map(Vec::len);
    silent("web-elsewhere").await.refused(401, "no_tokens_found", "sign in");
    assert_eq!((listed("web").await, listed("web-elsewhere").await), (Some(1), Some(0)));
    let gone =
        crate::support::Client::send(client.http.delete(format!("{}/accounts/{account}?app=web-elsewhere", client.base))).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    assert_eq!(silent("web").await.token(), signed.token());
}
