//! An app that knows nothing of tokend: an Azure SDK as it was published, whose tokens come from the injected sidecar.

use serde_json::{Value, json};

use crate::support::{
    CLIENT, Injection, Namespace, SCOPE, Stage, config, container, job, json as read, name, restricted, sdk_image,
};

/// What the SDK shows to the sidecar; the Secret `tokend` of a stage does not have it.
const SHOWN: &str = "identity-header-for-tests-only-0123456789";

/// A Secret with all of the stage's Secret `tokend`, and the key that the policy refers to.
fn secret(stage: &Stage, name: &str) -> Value {
    let mut secret = stage.namespace.get("secret", "tokend");
    secret["metadata"] = json!({"name": name});
    secret["stringData"] = json!({"identity-header": SHOWN});
    secret
}

/// A Job whose container has the SDK, and asks for a token once.
fn asking(name: &str, annotations: &Value, environment: &[(&str, &str)]) -> Value {
    // What its author wrote: a place for a Python without a cache of its own, and what the webhook of Azure workload identity adds.
    let mut all = vec![("PYTHONPATH", "/site-packages"), ("PYTHONDONTWRITEBYTECODE", "1")];
    all.extend(environment);
    let mut container = container("once", &all);
    container["image"] = json!(sdk_image());
    container["args"] = json!(["/app.py", SCOPE]);
    container["resources"] = json!({"requests": {"cpu": "5m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}});
    container["securityContext"] = restricted();
    let mut job = job(name, &json!({"tokend.dev/inject": "true"}), &container);
    job["spec"]["template"]["metadata"]["annotations"] = annotations.clone();
    job
}

/// What the app of a Job that has ended said; the SDK itself may have said something before.
fn said(namespace: &Namespace, job: &str, condition: &str) -> Value {
    namespace.wait(&format!("job/{job}"), &format!("condition={condition}"));
    let pods = namespace.pods(&format!("app={job}"));
    let log = namespace.logs(&name(&pods[0]), "app");
    let found = log.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    found.unwrap_or_else(|| panic!("{job} said no JSON: {log}"))
}

#[test]
fn an_unmodified_azure_sdk_gets_its_token_from_the_injected_sidecar() {
    let stage = Stage::new("azure-sdk");
    let namespace = &stage.namespace;
    let _injection = Injection::for_namespace(namespace);
    let authority = stage.authority();
    let mut config = config(&authority);
    config["doors"] = json!(["rest", "msi"]);
    config["msi"] = json!({"secret": {"file": "/run/secrets/tokend/identity-header"}});
    stage.configure(&config);
    namespace.apply(&[secret(&stage, "orders")]);
    let annotations = json!({"tokend.dev/identity": "app", "tokend.dev/secret": "orders"});
    // In the place of Azure workload identity, whose variables would win otherwise; and without them.
    let workload = [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
    ];
    namespace.apply(&[asking("plain", &annotations, &[]), asking("workload", &annotations, &workload)]);
    for job in ["plain", "workload"] {
        let answer = said(namespace, job, "Complete");
        assert_eq!(answer["claims"]["roles"], json!(["Orders.Process"]), "{answer}");
        assert_eq!(answer["same"], true, "{answer}");
    }
    // The app's own credential was used, which no app of these Pods has.
    let calls = authority.calls();
    assert_eq!(calls.len(), 2, "one for each sidecar: {calls:#?}");
    assert!(calls.iter().all(|call| call["form"]["client_id"] == CLIENT && !call["form"]["client_secret"].is_null()), "{calls:#?}");

    // A container that shows something else gets nothing, and its author reads why.
    let stranger =
        [("IDENTITY_ENDPOINT", "http://127.0.0.1:8650/msi/token"), ("IDENTITY_HEADER", "of-somebody-else-entirely-0123")];
    let sneaks = asking("stranger", &json!({"tokend.dev/secret": "orders"}), &stranger);
    namespace.apply(&[sneaks]);
    let answer = said(namespace, "stranger", "Failed");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("ManagedIdentityCredential")), "{answer}");
    assert_eq!(authority.calls().len(), 2);
}

#[test]
fn a_pod_without_the_key_says_which_one_is_missing() {
    let stage = Stage::new("no-identity-header");
    let namespace = &stage.namespace;
    let _injection = Injection::for_namespace(namespace);
    stage.configure(&config(&stage.authority()));
    namespace.apply(&[asking("lacks", &json!({"tokend.dev/identity": "app"}), &[])]);
    let waiting = namespace.until("the kubelet's complaint", || {
        let pods = read(namespace.kubectl(&["get", "pods", "-l", "app=lacks", "-o", "json"], None));
        let state = pods["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"].clone();
        (state["reason"] == "CreateContainerConfigError").then_some(state)
    });
    assert!(waiting["message"].as_str().is_some_and(|message| message.contains("identity-header")), "{waiting}");
}
