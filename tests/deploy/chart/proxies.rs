//! Proxies that ask tokend whether a request may pass, in the Pod and before the Service; and clients of Microsoft's sidecar.

use serde_json::{Value, json};

use super::helm::{NEWEST, objects, only, rendered, with};

fn configuration(text: &str) -> Value {
    let all = objects(text);
    let written = only(&all, "ConfigMap")["data"]["tokend.yaml"].as_str().expect("a configuration");
    yaml_serde::from_str(written).expect("YAML")
}

#[test]
fn doors_and_what_apis_say_of_them_arrive_as_they_are() {
    let config = configuration(&rendered("standalone-proxies", NEWEST));
    assert_eq!(config["doors"], json!(["auth_request"]));
    let graph = json!({
        "app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"], "doors": ["auth_request"],
        "identity_headers": {"x-user-id": "oid", "x-tenant-id": "tid"},
    });
    assert_eq!(config["apis"]["graph"], graph);
    assert_eq!(config["apis"]["portal"], json!({"app": "orders", "doors": ["auth_request"], "exchange": false}));
    let callers = json!([
        {"name": "ingress", "certificate": {"dns_names": ["ingress.ingress-nginx.svc"]}, "doors": ["auth_request"], "apis": ["graph"]},
        {"name": "gateway", "token": {"file": "/run/secrets/callers/gateway"}, "doors": ["auth_request"], "apis": ["graph", "portal"]},
    ]);
    assert_eq!(config["callers"], callers);
    let config = configuration(&rendered("sidecar-entra-clients", NEWEST));
    assert_eq!((&config["doors"], &config["ms_sidecar"]), (&json!(["ms_sidecar"]), &json!({"app": "orders"})));
    assert_eq!(config["callers"][0]["listener"], "127.0.0.1:5178");
}

#[test]
fn a_proxy_in_the_pod_is_known_by_its_user_and_asks_over_the_socket_alone() {
    let config = configuration(&rendered("sidecar-proxy", NEWEST));
    assert_eq!(config["listen"], json!(["unix:/run/tokend/tokend.sock"]));
    assert_eq!(config["callers"], json!([{"name": "proxy", "peer": {"uid": 101}, "doors": ["auth_request"], "apis": ["graph"]}]));
}

#[test]
fn the_network_policy_lets_in_the_proxies_alone() {
    let all = objects(&rendered("standalone-proxies", NEWEST));
    let rules = &only(&all, "NetworkPolicy")["spec"]["ingress"];
    let from = json!([
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
        {"podSelector": {"matchLabels": {"app": "gateway"}}},
    ]);
    assert_eq!(rules[0], json!({"from": from, "ports": [{"protocol": "TCP", "port": 8650}]}));
}

#[test]
fn doors_that_there_are_not_are_refused() {
    for more in [
        "config: {doors: [proxy]}",
        "callers: {list: [{name: web, doors: [proxy]}]}",
        "config: {ms_sidecar: {unauthenticated: everybody}}",
        "config: {ms_sidecar: {apps: [orders]}}",
    ] {
        let said = with("standalone-proxies", more).expect_err(more);
        assert!(said.contains("doors") || said.contains("ms_sidecar"), "{more}: {said}");
    }
}
