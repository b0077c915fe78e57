//! The client libraries that `make test-peers` tries at the emulator.

use serde_json::{Value, json};

use crate::clients::{Flow, Library, Trial, claims, of_user, tries};

tries!(azidentity, AZIDENTITY);
tries!(azure_identity_js, AZURE_IDENTITY_JS);
tries!(azure_identity_python, AZURE_IDENTITY_PYTHON);
tries!(msal_go, MSAL_GO);
tries!(msal_node, MSAL_NODE);

#[tokio::test]
async fn a_library_that_listens_itself_gets_its_code_at_any_port() {
    for library in [&Library::MSAL_NODE, &Library::MSAL_GO] {
        of_user(&Trial::of(library).await, Flow::Interactive, "web").await;
    }
}

#[tokio::test]
async fn what_they_send_that_tokend_does_not() {
    let sent = async |library: &'static Library, flow: Flow, endpoint: &str| -> Value {
        let trial = Trial::of(library).await;
        trial.claims(flow).await;
        trial.emulator.asked(endpoint).await.pop().expect("a request")
    };
    // Reserved scopes with client credentials, and a path in letters of another case.
    for library in [&Library::MSAL_GO, &Library::AZIDENTITY] {
        let scope = sent(library, Flow::Secret, "token").await["form"]["scope"].clone();
        assert!(scope.as_str().is_some_and(|scope| scope.contains("offline_access")), "{scope}");
        let path = sent(library, Flow::Password, "userrealm").await["path"].clone();
        assert!(path.as_str().is_some_and(|path| path.starts_with("/common/UserRealm/")), "{path}");
    }
    // A browser's answer, to a port that nobody registered.
    let query = sent(&Library::AZIDENTITY, Flow::Code, "authorize").await["query"].clone();
    let query = query.as_str().expect("a query");
    assert!(query.contains("redirect_uri=http%3A%2F%2Flocalhost%3A"), "{query}");
}

#[tokio::test]
async fn they_are_public_clients_or_prove_themselves() {
    for library in [&Library::MSAL_NODE, &Library::MSAL_GO, &Library::AZURE_IDENTITY_JS, &Library::AZURE_IDENTITY_PYTHON] {
        let trial = Trial::of(library).await;
        let id = |name: &str| trial.emulator.app(name)["client_id"].clone();
        for flow in [Flow::Device, Flow::Password] {
            let line = trial.run(flow, json!({"client_id": id("desktop")})).await;
            let token = claims(line["token"].as_str().unwrap_or_else(|| panic!("{library:?} {flow:?}: {line:#}")));
            assert_eq!((&token["appid"], &token["appidacr"]), (&id("desktop"), &json!("0")), "{token:#}");
            // The app may do neither without a credential. MSAL for Node does not tell what stood behind a device's error.
            let said = trial.error(flow, json!({"client_id": id("orders-api")})).await;
            let told = if said.contains("post_request_failed") { "invalid_client" } else { "7000218" };
            assert!(said.contains(told), "{library:?} {flow:?}: {said}");
        }
    }
}

#[tokio::test]
async fn a_secret_counts_with_a_password_if_the_client_is_no_public_one() {
    let trial = Trial::of(&Library::MSAL_NODE).await;
    let app = trial.emulator.app("orders-api");
    let line = trial.run(Flow::Password, json!({"client_id": app["client_id"], "secret": app["secrets"][0]})).await;
    let token = claims(line["token"].as_str().unwrap_or_else(|| panic!("{line:#}")));
    assert_eq!((&token["appid"], &token["appidacr"]), (&app["client_id"], &json!("1")), "{token:#}");
    let open = &trial.emulator.app("desktop")["client_id"];
    let said = trial.error(Flow::Password, json!({"client_id": open, "secret": "made-up"})).await;
    assert!(said.contains("700025"), "{said}");
}

#[tokio::test]
async fn what_node_asks_of_id_tokens_is_the_hint_for_a_sign_out() {
    let trial = Trial::of(&Library::MSAL_NODE).await;
    trial.claims(Flow::Code).await;
    let redeemed = trial.emulator.asked("token").await.pop().expect("a request");
    let asked: Value = serde_json::from_str(redeemed["form"]["claims"].as_str().expect("claims")).expect("JSON");
    assert!(asked["id_token"].get("login_hint").is_some(), "{asked}");
}
