//! The client libraries that `make test-peers` tries at the emulator.

use serde_json::Value;

use crate::clients::{Flow, Library, Trial, of_user, tries};

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
