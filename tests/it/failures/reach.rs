//! How far a refusal of the client reaches: exactly as far as it says, and further only on proof.

use serde_json::{Value, json};

use super::{BILLING, eva};
use crate::support::{Answer, GRAPH, Stage, World};

/// Tenants of the app `partner` that the emulator does not know.
pub(crate) const LOST: [&str; 3] =
    ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"];

/// An API that every tenant of `partner` has.
const OWN: &str = "api://partner/.default";

/// A service principal that is missing in a tenant.
fn missing() -> Value {
    json!({"error": {"status": 401, "error": "invalid_client", "error_codes": [7_000_229], "error_description": "ana is not here"}})
}

/// The usual world, its app `partner` at home in no tenant, with more of them.
async fn partners() -> World {
    World::changed(|yaml, _| with_lost_tenants(&yaml)).await
}

/// The usual configuration with more tenants for the app `partner`.
pub(crate) fn with_lost_tenants(yaml: &str) -> String {
    let changed = yaml.replace(r#"tenants: "*"}, tenants: ["#, &format!(r#"tenants: "*"}}, tenants: [{}, "#, LOST.join(", ")));
    assert_ne!(changed, yaml);
    changed
}

impl World {
    fn tenant(&self, index: usize) -> &str {
        self.emulator.directory["tenants"][index]["id"].as_str().expect("an id")
    }

    /// A token for an app in a tenant.
    async fn app_in(&self, app: &str, tenant: &str, scopes: &str) -> Answer {
        self.app_token(json!({"app": app, "tenant": tenant, "scopes": scopes})).await
    }

    /// Makes the token endpoint of a tenant do this until further notice.
    async fn failing_in(&self, tenant: &str, effect: Value) {
        self.emulator.script(json!({"on": {"endpoint": "token", "tenant": tenant}, "times": 0, "do": effect})).await;
    }
}

#[tokio::test]
async fn a_tenant_that_lost_the_app_stops_the_app_there_alone() {
    let world = World::new().await;
    let fabrikam = world.tenant(1).to_owned();
    world.failing_in(&fabrikam, missing()).await;
    for _ in 0..5 {
        for scopes in [GRAPH, "api://orders/.default"] {
            world.app_in("daemon", &fabrikam, scopes).await.refused(502, "invalid_client", "credential");
        }
    }
    assert_eq!(world.calls().await, 1);
    assert_eq!(world.graph().await.status, 200);
    world.later(59);
    assert_eq!(world.app_in("daemon", &fabrikam, GRAPH).await.status, 502);
    assert_eq!(world.calls().await, 2);
    world.later(1);
    assert_eq!(world.app_in("daemon", &fabrikam, GRAPH).await.status, 502);
    assert_eq!(world.calls().await, 3);
    let held = world.sidecar.metric("tokend_holds{kind=\"tenant\"}").await;
    assert_eq!((held, world.sidecar.metric("tokend_holds{kind=\"credential\"}").await), (1.0, 0.0));
}

/// A world with an app that is at home in the first tenant, and used in the second.
async fn at_home() -> World {
    let apps = "  home: {authority: \"ORIGIN/TENANT\", ca_file: FILES/ca.pem, client_id: 6e84b0d9-c3f7-4125-a69e-d2517f8c0b34, \
                credential: {certificate: {file: FILES/partner.pem}}, tenants: [3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3]}";
    World::staged(Stage { apps, ..Stage::default() }).await
}

#[tokio::test]
async fn what_the_own_tenant_says_of_the_credential_is_so_everywhere() {
    let world = at_home().await;
    let (contoso, fabrikam) = (world.tenant(0).to_owned(), world.tenant(1).to_owned());
    world.failing_in(&contoso, missing()).await;
    let at_home = json!({"app": "home", "scopes": GRAPH});
    assert_eq!(world.app_token(at_home.clone()).await.status, 502);
    world.app_in("home", &fabrikam, GRAPH).await.refused(502, "invalid_client", "remembered");
    assert_eq!(world.calls().await, 1);
    world.later(60);
    assert_eq!(world.app_in("home", &fabrikam, GRAPH).await.status, 200);
    // So it was wrong about that.
    assert_eq!(world.app_token(at_home).await.status, 502);
    assert_eq!(world.app_in("home", &fabrikam, OWN).await.status, 200);
}

#[tokio::test]
async fn another_tenants_refusal_is_no_proof_where_the_own_one_says_nothing() {
    let world = at_home().await;
    let fabrikam = world.tenant(1).to_owned();
    world.failing_in(&fabrikam, missing()).await;
    assert_eq!(world.app_in("home", &fabrikam, GRAPH).await.status, 502);
    assert_eq!(world.app_token(json!({"app": "home", "scopes": GRAPH})).await.status, 200);
}

#[tokio::test]
async fn a_success_is_missing_only_where_there_was_one() {
    let world = partners().await;
    for tenant in LOST {
        world.failing_in(tenant, missing()).await;
        assert_eq!(world.app_in("partner", tenant, GRAPH).await.status, 502);
    }
    // Every one of them was asked, and so is the next: nothing shows yet that the credential was ever any good elsewhere.
    assert_eq!(world.calls().await, 3);
    let contoso = world.tenant(0).to_owned();
    assert_eq!(world.app_in("partner", &contoso, GRAPH).await.status, 200);
}

#[tokio::test]
async fn two_tenants_without_a_success_since_stop_the_app_until_it_works_elsewhere() {
    let world = partners().await;
    let (contoso, fabrikam) = (world.tenant(0).to_owned(), world.tenant(1).to_owned());
    assert_eq!(world.app_in("partner", &contoso, GRAPH).await.status, 200);
    for tenant in LOST {
        world.failing_in(tenant, missing()).await;
    }
    assert_eq!(world.app_in("partner", LOST[0], GRAPH).await.status, 502);
    assert_eq!(world.app_in("partner", &contoso, "api://orders/.default").await.status, 200, "one tenant is no proof");
    // There was a success since the first one.
    assert_eq!(world.app_in("partner", LOST[1], GRAPH).await.status, 502);
    let calls = world.calls().await;
    assert_eq!(world.app_in("partner", &fabrikam, GRAPH).await.status, 200);
    assert_eq!(world.calls().await, calls + 1);
    // Two that were not wrong before, and none.
    world.later(60);
    let fourth = "44444444-4444-4444-8444-444444444444";
    world.app_in("partner", fourth, GRAPH).await.refused(403, "tenant_not_allowed", "tenants");
    world.failing_in(&contoso, missing()).await;
    assert_eq!(world.app_in("partner", LOST[2], GRAPH).await.status, 502);
    assert_eq!(world.app_in("partner", &contoso, BILLING).await.status, 502);
    let calls = world.calls().await;
    world.app_in("partner", &fabrikam, OWN).await.refused(502, "invalid_client", "remembered");
    assert_eq!(world.calls().await, calls);
    // It works after all: those two are not believed again, however often they say so.
    world.later(60);
    assert_eq!(world.app_in("partner", &fabrikam, OWN).await.status, 200);
    for _ in 0..2 {
        for tenant in [LOST[0], LOST[1], LOST[2], &contoso] {
            assert_eq!(world.app_in("partner", tenant, "api://billing/.default").await.status, 502);
        }
        world.later(60);
    }
    world.app_in("partner", &fabrikam, BILLING).await;
    assert_eq!(world.sidecar.metric("tokend_holds{kind=\"credential\"}").await, 0.0);
}

#[tokio::test]
async fn another_name_of_a_tenant_is_no_second_tenant() {
    let world = World::changed(|yaml, _| {
        let more = r#"tenants: "*"}, tenants: [lost.example, other.example, "#;
        yaml.replace(r#"tenants: "*"}, tenants: ["#, more)
    })
    .await;
    let (contoso, fabrikam) = (world.tenant(0).to_owned(), world.tenant(1).to_owned());
    assert_eq!(world.app_in("partner", &contoso, GRAPH).await.status, 200);
    for tenant in ["lost.example", "other.example", fabrikam.as_str()] {
        world.failing_in(tenant, missing()).await;
        assert_eq!(world.app_in("partner", tenant, GRAPH).await.status, 502);
    }
    assert_eq!(world.app_in("partner", &contoso, "api://orders/.default").await.status, 200);
}

#[tokio::test]
async fn a_new_credential_is_tried_at_once_where_the_old_one_was_refused() {
    let mut good = String::new();
    let world = World::changed(|yaml, files| {
        let secret = files.join("partner.secret");
        good = std::fs::read_to_string(&secret).expect("a file");
        std::fs::write(secret, "wrong").expect("a file");
        yaml
    })
    .await;
    let (contoso, fabrikam) = (world.tenant(0).to_owned(), world.tenant(1).to_owned());
    assert_eq!(world.app_in("partner", &contoso, GRAPH).await.status, 502);
    std::fs::write(world.files.path().join("partner.secret"), good).expect("a file");
    // The file is compared when what it held is refused once more.
    assert_eq!(world.app_in("partner", &contoso, GRAPH).await.status, 502);
    assert_eq!(world.calls().await, 1);
    assert_eq!(world.app_in("partner", &fabrikam, GRAPH).await.status, 200);
    assert_eq!(world.app_in("partner", &contoso, GRAPH).await.status, 200);
}

/// An issuer says `unauthorized_client` with this status to client credentials alone.
async fn one_grant_is_not_allowed(status: u16) {
    let world = World::new().await;
    let effect = json!({"error": {"status": status, "error": "unauthorized_client", "error_description": "no service account"}});
    let on = json!({"endpoint": "token", "grant_type": "client_credentials", "client_id": "shop-orders"});
    world.emulator.script(json!({"on": on, "times": 0, "do": effect})).await;
    let stock = async || world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await;
    stock().await.refused(502, "unauthorized_client", "registration");
    let calls = world.calls().await;
    // For other scopes as well: it is the grant type that the client may not use.
    stock().await.refused(502, "unauthorized_client", "remembered");
    let other = world.app_token(json!({"app": "shop", "scopes": "orders.read"})).await;
    other.refused(502, "unauthorized_client", "remembered");
    assert_eq!(world.calls().await, calls);
    assert!(!other.text.contains("service account"), "{}", other.text);
    // Users are not concerned, nor the sign-in.
    assert_eq!(world.obo_as("shop", "stock.read", &eva(&world.emulator).await).await.status, 200);
    let code = json!({"app": "shop", "scopes": "openid", "code": "c", "redirect_uri": crate::support::REDIRECT_URI});
    let before = world.calls().await;
    world.redeem(&code).await;
    assert_eq!(world.calls().await, before + 1);
    world.later(60);
    let calls = world.calls().await;
    assert_eq!(stock().await.status, 502);
    assert!(world.calls().await > calls);
}

#[tokio::test]
async fn a_grant_type_that_is_not_allowed_stops_no_other() {
    one_grant_is_not_allowed(400).await;
}

#[tokio::test]
async fn a_grant_type_that_is_not_allowed_stops_no_other_if_it_is_said_with_401() {
    one_grant_is_not_allowed(401).await;
}

#[tokio::test]
async fn a_grant_type_that_is_not_allowed_in_one_tenant_is_in_another() {
    let world = World::new().await;
    let (contoso, fabrikam) = (world.tenant(0).to_owned(), world.tenant(1).to_owned());
    world.failing_in(&fabrikam, json!({"aadsts": 700_016})).await;
    assert_eq!(world.app_in("daemon", &fabrikam, GRAPH).await.status, 502);
    assert_eq!(world.app_in("daemon", &contoso, GRAPH).await.status, 200);
    assert_eq!(world.sidecar.metric("tokend_holds{kind=\"grant\"}").await, 1.0);
}

#[tokio::test]
async fn what_is_said_of_one_user_stops_no_other_whatever_error_it_comes_with() {
    for error in ["unauthorized_client", "invalid_client", "invalid_grant", "something_new"] {
        for (suberror, claims, status) in [
            (Some("protection_policy_required"), None, 403),
            (Some("client_mismatch"), None, 403),
            (None, Some(r#"{"access_token":{}}"#), 401),
        ] {
            let world = World::new().await;
            let said = json!({"status": 401, "error": error, "suberror": suberror, "claims": claims});
            world.failing_once(json!({"error": said})).await;
            let (ana, ben) = (world.ana().await, world.ben().await);
            for word in ["", "remembered from an earlier call; asked again after 5 s"] {
                let answer = world.obo(&ana).await;
                answer.refused(status, error, word);
                assert_eq!(answer.member("suberror"), suberror.unwrap_or_default());
                assert_eq!((answer.header("retry-after"), &answer.json["retryable"]), ("", &json!(false)), "{}", answer.text);
            }
            assert_eq!(world.obo(&ben).await.status, 200, "{error} {suberror:?}");
            assert_eq!(world.obo_as("orders", BILLING, &ana).await.status, 200, "{error} {suberror:?}");
        }
    }
}

#[tokio::test]
async fn invalid_client_that_is_not_about_the_client_stops_one_request() {
    let world = World::new().await;
    let bearer = eva(&world.emulator).await;
    // As Keycloak says of an audience that it does not know.
    world
        .failing_once(json!({"error": {"status": 400, "error": "invalid_client", "error_description": "Audience not found"}}))
        .await;
    assert_eq!(world.obo_as("shop", "stock.read", &bearer).await.status, 502);
    assert_eq!(world.obo_as("shop", "stock.read", &eva(&world.emulator).await).await.status, 200);
    assert_eq!(world.app_token(json!({"app": "shop", "scopes": "stock.read"})).await.status, 200);
}
