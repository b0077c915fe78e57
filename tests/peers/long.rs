//! The client libraries for Java at the emulator and at tokend: their virtual machine takes seconds for each token. And authorities
//! of others that take minutes to build or seconds to start.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod authorities;
#[expect(dead_code, reason = "the libraries of other languages have a test program of their own")]
mod clients;
#[expect(dead_code, reason = "the libraries of other languages have a test program of their own")]
mod doors {
    mod front;
    pub(crate) mod identity;
    mod oauth;
    mod spring;
}
mod group;
mod servers;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests against the emulator use the rest of it")]
mod support;
mod tree;

use clients::{Flow, Library, Trial, of_user, tries};

tries!(azure_identity_java, AZURE_IDENTITY_JAVA);
tries!(msal4j, MSAL4J);

#[tokio::test]
async fn a_library_that_listens_itself_gets_its_code_at_any_port() {
    of_user(&Trial::of(&Library::MSAL4J).await, Flow::Interactive, "web").await;
}

#[tokio::test]
async fn what_they_send_that_tokend_does_not() {
    let trial = Trial::of(&Library::AZURE_IDENTITY_JAVA).await;
    trial.claims(Flow::Device).await;
    let started = trial.emulator.asked("devicecode").await.pop().expect("a request");
    assert_eq!(started["headers"].get("content-type"), None, "{started:#}");
    assert!(started["form"]["client_id"].is_string(), "{started:#}");
    trial.claims(Flow::Secret).await;
    let scope = trial.emulator.asked("token").await.pop().expect("a request")["form"]["scope"].clone();
    assert!(scope.as_str().is_some_and(|scope| scope.contains("offline_access")), "{scope}");
}

#[tokio::test]
async fn gets_a_managed_identitys_tokens() {
    doors::identity::gets_tokens(&Library::AZURE_IDENTITY_JAVA).await;
}

#[tokio::test]
async fn is_told_why_there_is_no_managed_identity_and_asks_once() {
    doors::identity::is_told_why(&Library::AZURE_IDENTITY_JAVA).await;
}
