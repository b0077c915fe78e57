//! No secret at all: a service-account token that the kubelet projects proves the app to an authority that
//! trusts the cluster's issuer.

use serde_json::{Value, json};

use crate::support::{App, Authority, Injection, Namespace, Stage, body, container, json as read, kubectl, pod, with_credential};

/// What the authority is told about the cluster: who issues, with which keys, and whom it trusts.
fn trust(namespace: &Namespace, account: &str) -> Value {
    let issuer = read(kubectl(&["get", "--raw", "/.well-known/openid-configuration"], None))["issuer"].clone();
    let keys = read(kubectl(&["get", "--raw", "/openid/v1/jwks"], None));
    json!({"issuer": issuer, "subject": format!("system:serviceaccount:{}:{account}", namespace.name),
           "audience": "api://AzureADTokenExchange", "jwks": keys})
}

#[test]
fn a_projected_service_account_token_is_the_credential() {
    let stage = Stage::new("federated");
    let _injection = Injection::for_namespace(&stage.namespace);
    let trusted = trust(&stage.namespace, "orders");
    let authority = Authority::start(&stage.namespace, &stage.certificates, &[trusted]);
    stage.configure(&with_credential(&authority, &json!({"federated_token": {"file": "/run/secrets/tokens/federated"}})));
    for account in ["orders", "stranger"] {
        stage.namespace.apply(&[json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})]);
        let mut pod = pod(account, &json!({"tokend.dev/inject": "true"}), &container("serve", &[("APP_BODY", &body())]));
        pod["metadata"]["annotations"] = json!({"tokend.dev/federated-audience": "api://AzureADTokenExchange"});
        pod["spec"]["serviceAccountName"] = json!(account);
        stage.namespace.apply(&[pod]);
    }

    let answer = App::new(&stage.namespace, "orders").served(&[]);
    assert_eq!(answer["claims"]["roles"], json!(["Orders.Process"]), "{answer}");
    let calls = authority.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["form"]["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert!(calls[0]["form"]["client_secret"].is_null());

    // All of it under another account: the operator has something to mend, and is told what the authority said.
    let answer = App::new(&stage.namespace, "stranger").ask(&[]);
    assert_eq!(answer["status"], 502, "{answer}");
    let description = answer["body"]["error_description"].as_str().unwrap_or_default();
    assert!(description.contains("AADSTS"), "{answer}");
}
