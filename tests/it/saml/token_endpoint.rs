//! Assertions at the token endpoint: the grant of RFC 7522, and token exchange (RFC 8693), in and out.

use serde_json::json;

use super::{ANA, SAML1, SAML2, USER_READ, encoded, kept, minted, obo, of_eva, of_user};
use crate::doors::form;
use crate::support::{Answer, World};

const SAML_BEARER: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn ask(world: &World, pairs: &[(&str, &str)]) -> Answer {
    form(&world.sidecar.client, "/oauth2/token", pairs).await
}

#[tokio::test]
async fn req_8_the_grant_of_rfc_7522_and_token_exchange_are_one_flow() {
    let world = World::with("doors: [oauth2]\n").await;
    let xml = of_user(&world.emulator, ANA).await;
    let encoded = encoded(&xml);
    let usual = [("grant_type", SAML_BEARER), ("client_id", "orders"), ("assertion", &encoded), ("scope", USER_READ)];
    let first = ask(&world, &usual).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let members: Vec<&str> = first.json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"], "RFC 6749's alone");
    let entra = [&usual[..], &[("requested_token_use", "on_behalf_of")]].concat();
    assert_eq!(ask(&world, &entra).await.member("access_token"), first.member("access_token"));
    let exchange = [
        ("grant_type", EXCHANGE),
        ("client_id", "orders"),
        ("subject_token", &encoded),
        ("subject_token_type", SAML2),
        ("scope", USER_READ),
    ];
    let exchanged = ask(&world, &exchange).await;
    assert_eq!(
        (exchanged.member("access_token"), exchanged.member("issued_token_type")),
        (first.member("access_token"), ACCESS_TOKEN)
    );
    assert_eq!(obo(&world, &xml, json!({})).await.token(), first.member("access_token"), "both doors have one cache");
    assert_eq!(world.calls().await, 1);
    for (version, kind) in [("1.1", SAML1), ("2.0", SAML2)] {
        let eva = super::encoded(&of_eva(&world.emulator, version).await);
        let pairs = [
            ("grant_type", EXCHANGE),
            ("client_id", "shop"),
            ("subject_token", &*eva),
            ("subject_token_type", kind),
            ("scope", "stock.read"),
        ];
        assert_eq!(ask(&world, &pairs).await.status, 200);
    }
}

#[tokio::test]
async fn req_8_an_assertion_is_issued_there_too() {
    let world = World::with("doors: [oauth2]\n").await;
    let user = world.emulator.user_token(ANA).await;
    let given = encoded(&of_user(&world.emulator, ANA).await);
    let target = [("client_id", "orders"), ("scope", "api://billing/.default"), ("requested_token_type", SAML2)];
    for grant in [
        &[("grant_type", JWT_BEARER), ("assertion", &*user)][..],
        &[("grant_type", EXCHANGE), ("subject_token", &user), ("subject_token_type", ACCESS_TOKEN)],
        &[("grant_type", SAML_BEARER), ("assertion", &given)],
        &[("grant_type", EXCHANGE), ("subject_token", &given), ("subject_token_type", SAML2)],
    ] {
        let answer = ask(&world, &[&target[..], grant].concat()).await;
        assert_eq!((answer.member("token_type"), answer.member("issued_token_type")), ("N_A", SAML2), "{}", answer.text);
    }
    assert_eq!(world.calls().await, 2, "one for each who stands for the user");
}

#[tokio::test]
async fn a_bad_assertion_is_invalid_grant_and_nothing_is_sent() {
    let world = World::with("doors: [oauth2]\n").await;
    let good = encoded(&of_user(&world.emulator, ANA).await);
    let one = encoded(&minted(&world.emulator, json!({"version": "1.1", "app": "orders-api", "user": ANA})).await);
    let ended = encoded(&minted(&world.emulator, json!({"app": "orders-api", "user": ANA, "lifetime": -60})).await);
    let usual = [("client_id", "orders"), ("scope", USER_READ)];
    for (pairs, error, word) in [
        (&[("grant_type", SAML_BEARER), ("assertion", "canary")][..], "invalid_grant", "neither XML"),
        (&[("grant_type", SAML_BEARER), ("assertion", &*one)], "invalid_grant", "is of SAML 1.1"),
        (&[("grant_type", SAML_BEARER), ("assertion", &ended)], "invalid_grant", "has ended"),
        (&[("grant_type", SAML_BEARER)], "invalid_request", "`assertion` is missing"),
        (
            &[("grant_type", SAML_BEARER), ("assertion", &good), ("requested_token_use", "canary")],
            "invalid_request",
            "on_behalf_of",
        ),
        (
            &[("grant_type", EXCHANGE), ("subject_token", &*one), ("subject_token_type", SAML2)],
            "invalid_grant",
            "`subject_token` is of SAML 1.1",
        ),
        (
            &[
                ("grant_type", EXCHANGE),
                ("subject_token", &good),
                ("subject_token_type", SAML2),
                ("requested_token_type", "canary"),
            ],
            "invalid_request",
            "requested_token_type",
        ),
        (
            &[("grant_type", "urn:ietf:params:oauth:grant-type:saml1_1-bearer"), ("assertion", &one)],
            "unsupported_grant_type",
            "not served",
        ),
    ] {
        let answer = ask(&world, &[&usual[..], pairs].concat()).await;
        answer.oauth_error(400, error, word);
        assert!(!answer.text.contains("canary"), "{}", answer.text);
    }
    let inactive = form(&world.sidecar.client, "/introspect", &[("client_id", "orders"), ("token", &good)]).await;
    assert_eq!((inactive.status, &inactive.json), (200, &json!({"active": false})));
    assert_eq!((world.calls().await, kept(&world).await), (0, json!(0)));
}
