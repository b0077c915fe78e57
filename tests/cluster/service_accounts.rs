//! Callers that are service accounts: a projected token and nothing else, verified with keys that the API server gives to every
//! service account and to nobody without one.

use serde_json::{Value, json};

use crate::standalone::values;
use crate::support::{App, Release, Stage, body, config, container, json as read, kubectl, pod};

const KEYS: &str = "/openid/v1/jwks";

/// The values of a Deployment whose one caller is a service account of its own namespace.
fn accounts(config: &Value) -> Value {
    let issuer = read(kubectl(&["get", "--raw", "/.well-known/openid-configuration"], None))["issuer"].clone();
    let mut values = values(config);
    values["callers"] =
        json!({"serviceAccountIssuer": issuer, "list": [{"name": "web", "serviceAccount": {"name": "web"}, "apps": ["daemon"]}]});
    values["networkPolicy"] = json!({"enabled": true, "authorities": {"ports": [443, 8652]}});
    values
}

/// An app under a service account, with a token of it for this audience.
fn caller(stage: &Stage, name: &str, account: &str, audience: Option<&str>) -> Value {
    let (url, body) = (stage.standalone_url(), body());
    let environment = [
        ("APP_URL", url.as_str()),
        ("APP_BODY", body.as_str()),
        ("APP_CA_FILE", "/run/secrets/ca/ca.crt"),
        ("APP_CALLER_TOKEN_FILE", "/run/secrets/caller/token"),
    ];
    let mut container = container("serve", &environment);
    container["volumeMounts"] = json!([{"name": "ca", "mountPath": "/run/secrets/ca", "readOnly": true},
                                       {"name": "caller", "mountPath": "/run/secrets/caller", "readOnly": true}]);
    let mut token = json!({"path": "token", "expirationSeconds": 3600});
    if let Some(audience) = audience {
        token["audience"] = json!(audience);
    }
    let mut pod = pod(name, &json!({}), &container);
    pod["spec"]["serviceAccountName"] = json!(account);
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    pod["spec"]["volumes"] = json!([
        {"name": "ca", "secret": {"secretName": "tokend", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"name": "caller", "projected": {"sources": [{"serviceAccountToken": token}]}},
    ]);
    pod
}

/// The rights that a cluster has by default: every service account reads the keys, and nobody else does.
fn default_rights(namespace: &str) {
    let account = format!("system:serviceaccount:{namespace}:tokend");
    let as_account = ["get", "--raw", KEYS, "--as", &account, "--as-group", "system:serviceaccounts"];
    kubectl(&as_account, None).expect("a service account may read the keys");
    let as_nobody = ["get", "--raw", KEYS, "--as", "system:anonymous", "--as-group", "system:unauthenticated"];
    let complaint = kubectl(&as_nobody, None).expect_err("anonymous discovery is off");
    assert!(complaint.contains("forbidden") || complaint.contains("Forbidden"), "{complaint}");
}

#[test]
fn a_service_is_called_with_a_projected_token_and_nothing_else() {
    let stage = Stage::new("service-accounts");
    let namespace = &stage.namespace;
    default_rights(&namespace.name);
    let authority = stage.authority();
    let _release = Release::install(&namespace.name, "tokend", &accounts(&config(&authority)));
    let audience = format!("tokend.{}.svc", namespace.name);
    for account in ["web", "stranger"] {
        namespace.apply(&[json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})]);
    }
    namespace.apply(&[
        caller(&stage, "web", "web", Some(&audience)),
        caller(&stage, "stranger", "stranger", Some(&audience)),
        caller(&stage, "for-the-api-server", "web", None),
        caller(&stage, "for-another-service", "web", Some("another.svc")),
    ]);

    let answer = App::new(namespace, "web").served(&[]);
    assert_eq!(answer["claims"]["roles"], json!(["Orders.Process"]), "{answer}");
    for pod in ["stranger", "for-the-api-server", "for-another-service"] {
        let answer = App::new(namespace, pod).ask(&[]);
        assert_eq!(
            (&answer["status"], &answer["body"]["error"]),
            (&json!(403), &json!("caller_not_authenticated")),
            "{pod}: {answer}"
        );
    }
    let answer = App::new(namespace, "web").ask(&[("caller", "none")]);
    assert_eq!(answer["status"], 403, "{answer}");
    assert_eq!(authority.calls().len(), 1);
}
