//! One container for all three ways, hardened in each, and nothing in it that has no other end.

use serde_json::{Value, json};

use super::cel;
use super::helm::{NAME, NEWEST, modes, objects, only, rendered, with};

/// What differs, because it has to.
const OWN: [&str; 7] = ["image", "env", "ports", "resources", "volumeMounts", "restartPolicy", "readinessProbe"];

/// The specifications of all Pods that a mode renders itself, each with its name.
fn pods(name: &str) -> Vec<(String, Value)> {
    let specification = |object: Value| match object["kind"].as_str() {
        Some("Deployment") => Some((format!("{name}: Deployment"), object["spec"]["template"]["spec"].clone())),
        Some("Pod") => Some((format!("{name}: Pod"), object["spec"].clone())),
        _ => None,
    };
    objects(&rendered(name, NEWEST)).into_iter().filter_map(specification).collect()
}

/// A variable of the policy that changes Pods.
fn variable(objects: &[Value], name: &str) -> String {
    let variables = only(objects, "MutatingAdmissionPolicy")["spec"]["variables"].as_array().expect("variables");
    let found = variables.iter().find(|variable| variable["name"] == name).expect("the variable");
    found["expression"].as_str().expect("an expression").to_owned()
}

fn injected(name: &str) -> Value {
    cel::read(&variable(&objects(&rendered(name, NEWEST)), "side"))
}

fn sidecar() -> Value {
    super::consumer::pod()["initContainers"][0].clone()
}

fn standalone() -> Value {
    pods("standalone")[0].1["containers"][0].clone()
}

fn common(mut container: Value) -> Value {
    let members = container.as_object_mut().expect("a container");
    members.retain(|member, _| !OWN.contains(&member.as_str()));
    container
}

#[test]
fn all_three_ways_have_the_same_container() {
    let expected = common(sidecar());
    for member in ["args", "startupProbe", "livenessProbe", "securityContext", "terminationMessagePolicy", "imagePullPolicy"] {
        assert!(!expected[member].is_null(), "{member}: {expected}");
    }
    assert_eq!(common(injected("injection")), expected);
    assert_eq!(common(standalone()), expected);
}

#[test]
fn a_sidecar_starts_first_ends_last_and_never_takes_the_app_out() {
    for container in [sidecar(), injected("injection"), injected("injection-all")] {
        assert_eq!(container["restartPolicy"], "Always");
        assert_eq!(container["startupProbe"]["httpGet"], json!({"path": "/livez", "port": "tokend-admin"}));
        assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "tokend-admin"}));
        assert_eq!(container["ports"], json!([{"name": "tokend-admin", "containerPort": 8651, "protocol": "TCP"}]));
        assert!(container["readinessProbe"].is_null() && container["lifecycle"].is_null());
    }
    let container = standalone();
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "tokend-admin"}));
    assert!(container["restartPolicy"].is_null() && container["lifecycle"].is_null());
}

#[test]
fn every_container_meets_the_restricted_standard() {
    let mut containers: Vec<_> = ["injection", "injection-all"].iter().map(|name| ((*name).to_owned(), injected(name))).collect();
    containers.push(("consumer".to_owned(), sidecar()));
    for (name, pod) in modes().iter().flat_map(|name| pods(name)) {
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for container in pod["containers"].as_array().expect("containers") {
            containers.push((name.clone(), container.clone()));
        }
    }
    assert!(containers.len() > 10);
    for (name, container) in containers {
        let context = &container["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{name}");
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        let chosen = !name.starts_with("standalone-openshift") && name != "injection-all";
        assert_eq!(context["runAsUser"], if chosen { json!(65532) } else { Value::Null }, "{name}");
        assert!(!container["resources"]["limits"]["memory"].is_null(), "{name}");
    }
}

#[test]
fn the_workloads_token_for_kubernetes_is_hidden_from_a_sidecar() {
    let there =
        json!({"name": "tokend-no-api-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true});
    for container in [sidecar(), injected("injection"), injected("injection-all")] {
        assert!(container["volumeMounts"].as_array().expect("mounts").contains(&there));
    }
    assert!(variable(&objects(&rendered("injection", NEWEST)), "volumes").contains("tokend-no-api-token"));
}

#[test]
fn a_pod_is_judged_by_the_socket_of_its_own_annotation_only() {
    let all = objects(&with("injection", "injection: {socket: web}").expect("it renders"));
    let variables = only(&all, "ValidatingAdmissionPolicy")["spec"]["variables"].as_array().expect("variables").clone();
    let strangers = variables.iter().find(|variable| variable["name"] == "strangers").expect("the variable");
    let own = r#""tokend.dev/socket" in object.metadata.?annotations.orValue({}) && "#;
    assert!(strangers["expression"].as_str().expect("an expression").contains(own), "{strangers}");
}

#[test]
fn every_mount_has_a_volume_and_every_volume_a_mount() {
    let mut all: Vec<_> = modes().iter().flat_map(|name| pods(name)).collect();
    all.push(("consumer".to_owned(), super::consumer::pod()));
    for (name, pod) in all {
        let empty = Vec::new();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let containers = [list(&pod["initContainers"]), list(&pod["containers"])].concat();
        let mounts: Vec<_> = containers.iter().flat_map(|c| c["volumeMounts"].as_array().unwrap_or(&empty)).collect();
        let names = |list: Vec<&Value>| list.iter().map(|item| item["name"].to_string()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names(mounts.clone()), names(list(&pod["volumes"]).iter().collect()), "{name}");
        for mount in mounts {
            assert!(mount["subPath"].is_null(), "{name}: a subPath never sees a new content");
        }
    }
}

#[test]
fn volumes_of_others_are_not_re_owned_and_secrets_are_readable() {
    let pod = super::consumer::pod();
    let volumes = pod["volumes"].as_array().expect("volumes");
    let token = volumes.iter().find(|volume| volume["name"] == "tokend-federated").expect("the token");
    assert_eq!(token["projected"]["defaultMode"], 0o444);
    assert!(variable(&objects(&rendered("injection", NEWEST)), "volumes").contains(r#""defaultMode": dyn(292)"#));
    let (_, pod) = pods("standalone").swap_remove(0);
    assert_eq!(pod["securityContext"]["fsGroup"], 65532);
    for volume in pod["volumes"].as_array().expect("volumes") {
        assert!(volume["secret"].is_null() || volume["secret"]["defaultMode"] == 0o440, "{volume}");
    }
}

#[test]
fn a_deployment_has_time_to_end_and_its_services_have_ports() {
    for (name, seconds) in [("standalone", 30), ("standalone-ha", 35)] {
        assert_eq!(pods(name)[0].1["terminationGracePeriodSeconds"], seconds, "{name}");
        let all = objects(&rendered(name, NEWEST));
        let pod = &only(&all, "Deployment")["spec"]["template"];
        for service in all.iter().filter(|object| object["kind"] == "Service") {
            let selector = service["spec"]["selector"].as_object().expect("a selector");
            assert!(selector.iter().all(|(key, value)| &pod["metadata"]["labels"][key] == value), "{service}");
            let target = &service["spec"]["ports"][0]["targetPort"];
            let ports = pod["spec"]["containers"][0]["ports"].as_array().expect("ports");
            assert!(ports.iter().any(|port| &port["name"] == target), "{service}");
        }
    }
}

#[test]
fn a_budget_is_for_several_replicas() {
    let budget = |name: &str| {
        let all = objects(&rendered(name, NEWEST));
        all.into_iter().find(|object| object["kind"] == "PodDisruptionBudget").map(|object| object["spec"].clone())
    };
    assert!(budget("standalone").is_none());
    assert_eq!(budget("standalone-ha").expect("a budget")["minAvailable"], "50%");
    assert_eq!(budget("standalone-cluster").expect("a budget")["maxUnavailable"], 1);
}

#[test]
fn the_network_policy_lets_out_names_authorities_and_redis_only() {
    let ports = |name: &str| {
        let all = objects(&rendered(name, NEWEST));
        let rules = only(&all, "NetworkPolicy")["spec"]["egress"].as_array().expect("rules").clone();
        let port = |port: &Value| port["port"].as_u64().expect("a port");
        rules.iter().map(|rule| rule["ports"].as_array().expect("ports").iter().map(port).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    assert_eq!(ports("standalone-ha"), [vec![53, 53], vec![443], vec![6380], vec![4318]]);
    assert_eq!(ports("standalone-sentinel"), [vec![53, 53], vec![443], vec![6379, 26379]]);
    assert_eq!(ports("standalone-cluster"), [vec![53, 53], vec![443], vec![6379]]);
    assert_eq!(ports("standalone-service-accounts"), [vec![53, 53], vec![443], vec![443, 6443]]);
}

#[test]
fn a_network_policy_that_names_nobody_lets_nobody_in() {
    let ingress = |more: &str| {
        let all = objects(&with("standalone", &format!("networkPolicy: {{enabled: true, {more}}}")).expect("it renders"));
        only(&all, "NetworkPolicy")["spec"]["ingress"].clone()
    };
    let port = |port: u16| json!([{"protocol": "TCP", "port": port}]);
    let everyone = json!({"podSelector": {}});
    let labels = |component: &str| json!({"app.kubernetes.io/name": "tokend", "app.kubernetes.io/instance": NAME, "app.kubernetes.io/component": component});
    let test = json!({"podSelector": {"matchLabels": labels("test")}});
    let ask = json!({"from": [everyone], "ports": port(8650)});
    // An empty `from` would be everybody, so there is no rule.
    assert_eq!(ingress("callers: []"), json!([{"from": [everyone, test], "ports": port(8651)}]));
    assert_eq!(ingress("scrapers: []"), json!([ask, {"from": [test], "ports": port(8651)}]));
    assert_eq!(ingress("callers: [], scrapers: []"), json!([{"from": [test], "ports": port(8651)}]));
    assert_eq!(ingress("extraIngress: []"), json!([ask, {"from": [everyone, test], "ports": port(8651)}]));
}
