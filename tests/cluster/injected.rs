//! tokend put into Pods by the cluster's admission policy: what the apps in them get, and how the policy comes and goes.

use serde_json::{Value, json};

use crate::support::{
    App, Injection, Namespace, Policy, Stage, app_image, body, config, container, deployment, job, json as read, name, pod,
    restricted, sidecars,
};

/// The label that asks for the sidecar.
pub(crate) fn asking() -> Value {
    json!({"tokend.dev/inject": "true"})
}

#[test]
fn a_job_whose_app_asks_its_sidecar_ends() {
    let stage = Stage::new("job");
    let _injection = Injection::for_namespace(&stage.namespace);
    stage.configure(&config(&stage.authority()));
    stage.namespace.apply(&[job("once", &asking(), &container("once", &[("APP_BODY", &body())]))]);
    stage.namespace.wait("job/once", "condition=Complete");
    let pod = read(stage.namespace.kubectl(&["get", "pods", "-l", "app=once", "-o", "json"], None))["items"][0].clone();
    assert_eq!(sidecars(&pod), 1, "{pod:#}");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    let sidecar = &pod["status"]["initContainerStatuses"][0];
    assert_eq!((&sidecar["name"], &sidecar["state"]["terminated"]["exitCode"]), (&json!("tokend"), &json!(0)), "{sidecar:#}");
    let answer: Value = serde_json::from_str(stage.namespace.logs(&name(&pod), "app").trim()).expect("one answer");
    assert_eq!((&answer["status"], &answer["claims"]["roles"]), (&json!(200), &json!(["Orders.Process"])), "{answer}");
}

#[test]
fn a_deployments_app_gets_tokens_over_loopback_and_over_the_socket() {
    let stage = Stage::new("deployment");
    let _injection = Injection::for_namespace(&stage.namespace);
    let authority = stage.authority();
    stage.configure(&config(&authority));
    let mut deployment = deployment("orders", &asking(), &container("serve", &[("APP_BODY", &body())]));
    deployment["spec"]["template"]["metadata"]["annotations"] = json!({"tokend.dev/socket": "app"});
    stage.namespace.apply(&[deployment]);
    stage.namespace.rolled_out("orders");
    let pod = stage.namespace.pod("app=orders");
    let app = App::new(&stage.namespace, &pod);
    // The first where TOKEND_URL says, which the policy set.
    for url in [None, Some("unix:///run/tokend/tokend.sock"), Some("http://localhost:8650")] {
        let query: Vec<_> = url.map(|url| ("url", url)).into_iter().collect();
        let answer = app.served(&query);
        assert_eq!(answer["claims"]["roles"], json!(["Orders.Process"]), "{url:?}: {answer}");
    }
    assert_eq!(authority.calls().len(), 1);
    // Elsewhere in the cluster its loopback is not to be had.
    let address = stage.namespace.get("pod", &pod)["status"]["podIP"].as_str().expect("an address").to_owned();
    assert_eq!(app.ask(&[("url", &format!("http://{address}:8650"))])["status"], 0);
}

#[test]
fn the_policies_are_installed_upgraded_uninstalled_and_installed_again() {
    let stage = Stage::new("policies-come-and-go");
    let _alone = Policy::alone();
    let policy = Policy::install("policy");
    Policy::in_force(&stage.namespace);
    stage.configure(&config(&stage.authority()));
    let serve = container("serve", &[("APP_BODY", &body())]);
    let served = |pod: &str| App::new(&stage.namespace, pod).served(&[]);
    stage.namespace.apply(&[pod("first", &asking(), &serve)]);
    served("first");

    let mut values = Policy::values();
    values["resources"] = json!({"limits": {"memory": "300Mi"}});
    policy.release.upgrade(&values);
    let limit = |pod: &Value| pod["spec"]["initContainers"][0]["resources"]["limits"]["memory"] == "300Mi";
    let rehearsed = || stage.namespace.rehearse(&pod("rehearsed", &asking(), &serve)).ok();
    stage.namespace.until("the upgraded policy", || rehearsed().filter(limit));
    stage.namespace.apply(&[pod("second", &asking(), &serve)]);
    assert!(limit(&stage.namespace.get("pod", "second")));
    served("second");

    policy.release.uninstall();
    assert_eq!(policy.release.remains(), "");
    stage.namespace.until("the policy to be gone", || rehearsed().filter(|pod| sidecars(pod) == 0));
    // Pods that have it go on.
    served("first");
    served("second");
    policy.release.install_again(&Policy::values());
    Policy::in_force(&stage.namespace);
    stage.namespace.apply(&[pod("third", &asking(), &serve)]);
    served("third");
}

#[test]
fn the_workloads_api_token_is_not_visible_to_tokend() {
    let stage = Stage::new("api-token");
    let _injection = Injection::for_namespace(&stage.namespace);
    stage.configure(&config(&stage.authority()));
    stage.namespace.apply(&[pod("serve", &asking(), &container("serve", &[("APP_BODY", &body())]))]);
    App::new(&stage.namespace, "serve").served(&[]);
    // The app has one, as its author expects; tokend's place for it is empty.
    assert!(seen_by(&stage.namespace, "app").contains(&"token".to_owned()));
    assert_eq!(seen_by(&stage.namespace, "tokend"), Vec::<String>::new());
    // Nothing else of tokend's container comes from a projected token either.
    let pod = stage.namespace.get("pod", "serve");
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let projected: Vec<_> = volumes.iter().filter(|volume| volume["projected"].is_object()).map(|volume| &volume["name"]).collect();
    let mounts = pod["spec"]["initContainers"][0]["volumeMounts"].as_array().expect("mounts");
    assert!(!projected.is_empty() && mounts.iter().all(|mount| !projected.contains(&&mount["name"])), "{mounts:#?}");
}

/// What lies where a container has its token for the Kubernetes API: an ephemeral container looks through the first process's root.
fn seen_by(namespace: &Namespace, container: &str) -> Vec<String> {
    const PLACE: &str = "/proc/1/root/var/run/secrets/kubernetes.io/serviceaccount";
    let looker = format!("look-{container}");
    let mut patch = namespace.get("pod", "serve");
    let all = patch["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default();
    let new = json!({"name": looker, "image": app_image(), "imagePullPolicy": "IfNotPresent", "args": ["look", PLACE],
                     "securityContext": restricted(), "targetContainerName": container});
    patch["spec"]["ephemeralContainers"] = json!([all, vec![new]].concat());
    let path = format!("/api/v1/namespaces/{}/pods/serve/ephemeralcontainers", namespace.name);
    namespace.kubectl(&["replace", "--raw", &path, "-f", "-"], Some(&patch)).expect("an ephemeral container");
    let ended = namespace.until("the looker", || {
        let pod = namespace.get("pod", "serve");
        let statuses = pod["status"]["ephemeralContainerStatuses"].as_array()?;
        statuses.iter().find(|status| status["name"] == looker.as_str() && status["state"]["terminated"].is_object()).cloned()
    });
    assert_eq!(ended["state"]["terminated"]["exitCode"], 0, "{ended:#}");
    let found: Value = serde_json::from_str(namespace.logs("serve", &looker).trim()).expect("a list");
    let names = found[PLACE].as_array().unwrap_or_else(|| panic!("{found}"));
    names.iter().filter_map(Value::as_str).filter(|name| !name.starts_with("..")).map(str::to_owned).collect()
}
