//! Audience, issuer and times of an inbound token.

use std::time::Duration;

use serde_json::{Value, json};

use super::{is_refused, obo_as, order, part};
use crate::support::World;

#[tokio::test]
async fn a_v2_token_for_the_bare_client_id_is_accepted() {
    let world = World::new().await;
    let token = world.emulator.user_token("ana@contoso.example").await;
    let client_id = &world.emulator.app("orders-api")["client_id"];
    assert_eq!((&part(&token, 1)["aud"], &part(&token, 1)["ver"]), (client_id, &json!("2.0")));
    world.obo(&token).await.token();
}

#[tokio::test]
async fn a_v2_token_for_a_listed_audience_is_accepted() {
    let world = World::new().await;
    let token = world.emulator.mint(order(json!({"claims": {"aud": "api://orders"}}))).await;
    world.obo(&token).await.token();
}

#[tokio::test]
async fn a_v1_token_is_accepted() {
    let world = World::new().await;
    let token = world.emulator.mint(json!({"app": "billing-api", "user": "ana@contoso.example", "scopes": "invoices.read"})).await;
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
    let claims = part(&token, 1);
    assert_eq!(claims["iss"], format!("{}/{tenant}/", world.emulator.origin), "the v1 form");
    assert_eq!(claims["ver"], "1.0");
    obo_as(&world, "billing", &token).await.token();
}

#[tokio::test]
async fn what_is_not_for_this_app_is_refused() {
    let world = World::new().await;
    let origin = &world.emulator.origin;
    let [own, other] = [0, 1].map(|index| world.emulator.directory["tenants"][index]["id"].as_str().expect("an id").to_owned());
    let of = |tid: &str| format!("{origin}/{tid}/v2.0");
    let cases: [(Value, &str); 15] = [
        (json!({"aud": "api://billing"}), "audience"),
        (json!({"aud": "api://orders/"}), "audience"),
        (json!({"aud": "API://ORDERS"}), "audience"),
        (json!({"aud": ["api://billing", "https://graph.microsoft.com"]}), "audience"),
        (json!({"aud": null}), "audience"),
        (json!({"iss": "https://login.evil.example/v2.0"}), "issuer"),
        (json!({"iss": format!("{}x", of(&own))}), "issuer"),
        (json!({"iss": format!("{origin}.evil.example/{own}/v2.0")}), "issuer"),
        (json!({"iss": of(&other)}), "issuer"),
        (json!({"iss": null}), "iss"),
        (json!({"tid": other}), "issuer"),
        (json!({"tid": null}), "issuer"),
        (json!({"tid": "contoso.example", "iss": of("contoso.example")}), "tenant"),
        (json!({"exp": null}), "exp"),
        (json!({"aud": 7}), "`aud`"),
    ];
    for (claims, word) in cases {
        let token = world.emulator.mint(order(json!({"claims": claims}))).await;
        let answer = world.obo(&token).await;
        assert_eq!(answer.status, 401, "{claims}: {}", answer.text);
        is_refused(&answer, word);
        assert!(!answer.text.contains("evil"), "no claim but the audience is quoted: {}", answer.text);
    }
    assert!(world.emulator.asked("token").await.is_empty(), "nothing was asked for any of them");
}

#[tokio::test]
async fn an_expired_token_has_sixty_seconds_of_skew() {
    let world = World::new().await;
    let lives = |seconds: i64| world.emulator.mint(order(json!({"lifetime": seconds})));
    let (cached, fresh) = (lives(600).await, lives(600).await);
    world.obo(&cached).await.token();
    world.clock.advance(Duration::from_secs(659));
    world.obo(&cached).await.token();
    world.clock.advance(Duration::from_secs(1));
    is_refused(&world.obo(&cached).await, "expired");
    is_refused(&world.obo(&fresh).await, "expired");
}

#[tokio::test]
async fn an_expired_token_is_refused_although_its_answer_is_cached() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"expires_in": 7200}})).await;
    let token = world.emulator.mint(order(json!({"lifetime": 900}))).await;
    world.obo(&token).await.token();
    assert_eq!(world.obo(&token).await.member("token_source"), "cache");
    world.clock.advance(Duration::from_secs(961));
    is_refused(&world.obo(&token).await, "expired");
}

#[tokio::test]
async fn a_token_of_the_future_has_sixty_seconds_of_skew() {
    let world = World::new().await;
    let from = |seconds: i64| order(json!({"claims": {"nbf": crate::support::NOW + seconds, "iat": crate::support::NOW}}));
    let soon = world.emulator.mint(from(61)).await;
    is_refused(&world.obo(&soon).await, "not valid yet");
    world.clock.advance(Duration::from_secs(1));
    world.obo(&soon).await.token();
}

#[tokio::test]
async fn a_token_of_one_app_does_not_pass_for_another() {
    let world = World::new().await;
    let token = world.emulator.user_token("ana@contoso.example").await;
    is_refused(&obo_as(&world, "billing", &token).await, "audience");
    // It is remembered and its answer is cached now; that must not make it another app's.
    world.obo(&token).await.token();
    assert_eq!(world.obo(&token).await.member("token_source"), "cache");
    is_refused(&obo_as(&world, "billing", &token).await, "audience");
    world.obo(&token).await.token();
}

#[tokio::test]
async fn a_scope_that_one_app_asks_for_is_asked_of_remembered_tokens_too() {
    // One client id twice: `strict` shares its partition with `orders`, and must not share its leniency.
    let world = World::new().await;
    let emulator = &world.emulator;
    let yaml = crate::support::configuration(emulator, &world.files);
    let line = yaml.lines().find(|line| line.starts_with("  orders: ")).expect("orders");
    let strict = line.replace("  orders: ", "  strict: ").replace("access_as_user", "orders.export");
    let yaml = yaml.replace(line, &format!("{line}\n{strict}"));
    let sidecar = crate::support::Sidecar::start(&yaml, &world.clock).await;
    let token = emulator.user_token("ana@contoso.example").await;
    let ask = |app: &str| json!({"app": app, "scopes": [super::USER_READ]});
    sidecar.client.post_as("/obo", &token, &ask("orders")).await.token();
    assert_eq!(sidecar.client.post_as("/obo", &token, &ask("orders")).await.member("token_source"), "cache");
    sidecar.client.post_as("/obo", &token, &ask("strict")).await.refused(403, "insufficient_scope", "inbound.scopes");
}
