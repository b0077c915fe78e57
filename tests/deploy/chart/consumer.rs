//! A chart of somebody else that has this one as a dependency, and takes the container from its named templates.

use std::path::Path;

use serde_json::{Value, json};

use super::helm::{NEWEST, RELEASES, chart, objects, only, template};
use crate::support::{root, run};

/// The consumer, with the chart where `helm dependency build` would put it.
fn built(folder: &Path) -> std::path::PathBuf {
    let consumer = folder.join("shop");
    let copy = |from: &Path, to: &Path| run(std::process::Command::new("cp").arg("-R").arg(from).arg(to));
    copy(&root().join("tests/deploy/fixtures/consumer"), &consumer);
    std::fs::create_dir(consumer.join("charts")).expect("a folder");
    copy(&chart(), &consumer.join("charts/tokend"));
    consumer
}

/// What it renders, with further values in YAML.
pub(super) fn render(more: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let values = folder.path().join("more.yaml");
    std::fs::write(&values, more).expect("a file");
    template(&built(folder.path()), &[&values], NEWEST)
}

/// The specification of its Pod.
pub(super) fn pod() -> Value {
    let text = render("{}").expect("it renders");
    only(&objects(&text), "Deployment")["spec"]["template"]["spec"].clone()
}

#[test]
fn the_templates_are_all_that_a_pod_needs() {
    let all = objects(&render("{}").expect("it renders"));
    let template = &only(&all, "Deployment")["spec"]["template"];
    let pod = &template["spec"];
    assert_eq!(pod["initContainers"][0]["name"], "tokend");
    assert_eq!(pod["initContainers"][0]["image"], "registry.example/tokend:0.1.0");
    assert_eq!(pod["containers"][0]["env"], json!([{"name": "TOKEND_URL", "value": "http://127.0.0.1:8650"}]));
    let socket = json!([{"name": "tokend-socket", "mountPath": "/run/tokend", "readOnly": true}]);
    assert_eq!(pod["containers"][0]["volumeMounts"], socket);
    let volumes = pod["volumes"].as_array().expect("volumes");
    let config = volumes.iter().find(|volume| volume["name"] == "tokend-config").expect("the configuration");
    assert_eq!(config["configMap"]["name"], only(&all, "ConfigMap")["metadata"]["name"]);
    assert_eq!(template["metadata"]["annotations"]["checksum/tokend-config"].as_str().map(str::len), Some(64));
}

#[test]
fn a_new_configuration_makes_new_pods() {
    let sum = |more: &str| {
        let all = objects(&render(more).expect("it renders"));
        only(&all, "Deployment")["spec"]["template"]["metadata"]["annotations"].to_string()
    };
    assert_eq!(sum("{}"), sum("{tokend: {resources: {limits: {memory: 300Mi}}}}"));
    assert_ne!(sum("{}"), sum("{tokend: {config: {log: {level: debug}}}}"));
}

#[test]
fn a_config_map_of_ones_own_gets_the_listeners_by_variables() {
    let all = objects(&render("{tokend: {sidecar: {existingConfigMap: mine}}}").expect("it renders"));
    assert!(all.iter().all(|object| object["kind"] != "ConfigMap"));
    let template = &only(&all, "Deployment")["spec"]["template"];
    assert!(template["metadata"]["annotations"].is_null());
    let env = template["spec"]["initContainers"][0]["env"].as_array().expect("variables");
    let expected = [
        json!({"name": "TOKEND_LISTEN", "value": r#"["127.0.0.1:8650","unix:/run/tokend/tokend.sock"]"#}),
        json!({"name": "TOKEND_LISTEN_MODE", "value": "0666"}),
        json!({"name": "TOKEND_ADMIN_LISTEN", "value": "*:8651"}),
    ];
    assert_eq!(env.as_slice(), expected);
}

#[test]
fn a_socket_can_be_all_there_is() {
    let only_the_socket = json!(["unix:/run/tokend/tokend.sock"]);
    let all = objects(&render("{tokend: {socket: {loopback: false}}}").expect("it renders"));
    let written = only(&all, "ConfigMap")["data"]["tokend.yaml"].as_str().expect("a configuration");
    assert_eq!(yaml_serde::from_str::<Value>(written).expect("YAML")["listen"], only_the_socket);
    let container = &only(&all, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"], json!([{"name": "TOKEND_URL", "value": "unix:/run/tokend/tokend.sock"}]));
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/run/tokend");
    let all = objects(&render("{tokend: {socket: {loopback: false}, sidecar: {existingConfigMap: mine}}}").expect("it renders"));
    let env = &only(&all, "Deployment")["spec"]["template"]["spec"]["initContainers"][0]["env"];
    assert_eq!(env[0], json!({"name": "TOKEND_LISTEN", "value": only_the_socket.to_string()}));
}

#[test]
fn a_condition_switches_it_off_and_a_template_without_its_value_says_so() {
    let said = render("{tokend: {sidecar: {enabled: false}}}").expect_err("it cannot render");
    assert!(said.contains("sidecar.enabled: the named templates need it"), "{said}");
    let said = render("{tokend: {socket: {enabled: false}}}").expect_err("it cannot render");
    assert!(said.contains("socket.enabled: there is no socket to mount"), "{said}");
    render("{tokend: {enabled: true}, global: {anything: {at: all}}}").expect("names of other charts are let through");
}

#[test]
fn it_is_valid_on_every_release() {
    let folder = tempfile::tempdir().expect("a folder");
    let consumer = built(folder.path());
    let file = folder.path().join("shop.yaml");
    for release in &RELEASES {
        let text = template(&consumer, &[], release).expect("it renders");
        assert_eq!(objects(&text).len(), 2, "{}", release.version);
        std::fs::write(&file, text).expect("a file");
        run(&mut super::renders::conform(&file, release));
    }
}
