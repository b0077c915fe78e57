//! The OAuth libraries that `make test-peers` has sign users in and refresh.

use serde_json::json;
use url::form_urlencoded::Serializer;

use super::oauth::{CALLER, Stage, handle};
use crate::clients::{Browser, Library};
use crate::support::{Client, REDIRECT_URI, parameter};

/// The tests that every library has to pass, in a module of its name.
macro_rules! tries {
    ($module:ident, $library:ident) => {
        mod $module {
            use crate::clients::Library;

            #[tokio::test]
            async fn signs_in_at_entra_and_refreshes_at_any_replica() {
                crate::doors::oauth::at_entra(&Library::$library).await;
            }

            #[tokio::test]
            async fn signs_in_at_an_issuer_and_refreshes_at_any_replica() {
                crate::doors::oauth::at_an_issuer(&Library::$library).await;
            }

            #[tokio::test]
            async fn is_told_why_it_gets_no_token() {
                crate::doors::oauth::is_told_why(&Library::$library).await;
            }
        }
    };
}

tries!(authlib, AUTHLIB);
tries!(openid_client, OPENID_CLIENT);
tries!(requests_oauthlib, REQUESTS_OAUTHLIB);
tries!(x_oauth2, X_OAUTH2);

#[tokio::test]
async fn openid_client_verifies_the_id_token_and_ends_the_sign_in() {
    let stage = Stage::new().await;
    let library = &Library::OPENID_CLIENT;
    for at in [stage.entra(), stage.shop().await] {
        let answer = stage.answer(library, &at, json!({"flow": "code", "scope": at.scopes[1]})).await;
        let id = &answer["id_token_claims"];
        assert_eq!((&id["iss"], &id["aud"]), (&json!(at.issuer), &json!(at.client_id)), "{answer:#}");
        let handle = handle(&answer, "first");
        let asked = |flow: &str| json!({"flow": flow, "refresh_token": handle});
        assert_eq!(stage.answer(library, &at, asked("revoke")).await, json!({}));
        let error = stage.run(library, &at, asked("refresh")).await.expect_err("nobody is signed in");
        assert!(error.contains("invalid_grant"), "{error}");
    }
}

/// What the page says of a library that does not name the scope again.
#[tokio::test]
async fn a_code_without_its_scope() {
    let stage = Stage::new().await;
    let form = |pairs: &[(&str, &str)]| Serializer::new(String::new()).extend_pairs(pairs).finish();
    for (at, expected) in [(stage.entra(), 400), (stage.shop().await, 200)] {
        let (id, back) = (at.client_id.as_str(), REDIRECT_URI);
        let query =
            form(&[("response_type", "code"), ("client_id", id), ("redirect_uri", back), ("scope", at.scopes[1]), ("state", "s")]);
        let back_at = Browser::new(&stage.emulator, at.user).sign_in(&format!("{}?{query}", at.authorize)).await.url();
        let code = parameter(&back_at.parse().expect("an address"), "code");
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("client_id", id),
            ("client_secret", CALLER),
            ("redirect_uri", back),
            ("code", &code),
        ]);
        let request = stage.fleet.client(0).raw("/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
        let answer = Client::send(request.body(body)).await;
        assert_eq!((answer.status, answer.json.get("id_token")), (expected, None), "{}", answer.text);
        if expected == 200 {
            handle(&answer.json, "first");
        } else {
            assert!(answer.member("error_description").contains("scope"), "{}", answer.text);
        }
    }
}
