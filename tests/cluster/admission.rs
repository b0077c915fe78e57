//! What the policies make of a Pod, and what they say when they cannot serve one. Most of it is a rehearsal: the API server
//! decides, and keeps nothing.

use serde_json::{Value, json};

use crate::injected::asking;
use crate::support::{App, Injection, Namespace, Stage, body, config, container, deployment, job, pod, sidecars};

/// A Pod that asks for the sidecar, with annotations.
fn annotated(annotations: &Value) -> Value {
    let mut pod = pod("asks", &asking(), &container("serve", &[("APP_BODY", &body())]));
    pod["metadata"]["annotations"] = annotations.clone();
    pod
}

fn rehearsed(namespace: &Namespace, pod: &Value) -> Value {
    namespace.rehearse(pod).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// A variable of the sidecar, or of the app.
fn variable(container: &Value, name: &str) -> Option<String> {
    let all = container["env"].as_array().into_iter().flatten();
    all.filter(|variable| variable["name"] == name).map(|variable| variable["value"].as_str().unwrap_or_default().to_owned()).next()
}

#[test]
fn the_pod_goes_before_the_namespace_and_the_namespace_before_the_chart() {
    let of_namespace = json!({"tokend.dev/memory-limit": "300Mi", "tokend.dev/log-level": "warn", "tokend.dev/config": "ours"});
    let stage = Stage::annotated("overrides", &of_namespace);
    let plain = Stage::new("no-overrides");
    let _injection = Injection::for_namespace(&stage.namespace);
    let of_pod =
        json!({"tokend.dev/log-level": "debug", "tokend.dev/image": "registry.example/tokend:9", "tokend.dev/cpu-limit": "200m"});
    // Who says it: the chart, the namespace, the Pod.
    let cases = [
        (&plain, json!({}), ["256Mi", "", "tokend", ""]),
        (&stage, json!({}), ["300Mi", "warn", "ours", ""]),
        (&stage, of_pod, ["300Mi", "debug", "ours", "200m"]),
        (&stage, json!({"tokend.dev/config": "mine", "tokend.dev/memory-limit": "400Mi"}), ["400Mi", "warn", "mine", ""]),
    ];
    for (stage, annotations, [memory, level, config, cpu]) in cases {
        let pod = rehearsed(&stage.namespace, &annotated(&annotations));
        let sidecar = &pod["spec"]["initContainers"][0];
        assert_eq!(sidecar["resources"]["limits"]["memory"], memory, "{annotations}");
        assert_eq!(sidecar["resources"]["limits"]["cpu"].as_str().unwrap_or_default(), cpu, "{annotations}");
        assert_eq!(variable(sidecar, "TOKEND_LOG__LEVEL").unwrap_or_default(), level, "{annotations}");
        let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
        let mounted = volumes.iter().find(|volume| volume["name"] == "tokend-config").expect("its configuration");
        assert_eq!(mounted["configMap"]["name"], config, "{annotations}");
        let image = annotations["tokend.dev/image"].as_str();
        assert_eq!(sidecar["image"] == "registry.example/tokend:9", image.is_some(), "{annotations}");
    }
}

#[test]
fn a_socket_that_the_namespace_wants_goes_to_the_containers_that_there_are() {
    let stage = Stage::annotated("socket", &json!({"tokend.dev/socket": "web"}));
    let _injection = Injection::for_namespace(&stage.namespace);
    let mounted = |name: &str| {
        let mut asks = annotated(&json!({}));
        asks["spec"]["containers"][0]["name"] = json!(name);
        let pod = rehearsed(&stage.namespace, &asks);
        let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
        mounts.iter().any(|mount| mount["mountPath"] == "/run/tokend")
    };
    assert!(mounted("web") && !mounted("other"));
}

/// The variables of an Azure SDK that a container has, by name; what comes from a Secret as `NAME/KEY`.
fn identity(container: &Value) -> Vec<(String, String)> {
    let all = container["env"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = |variable: &Value| {
        let from = &variable["valueFrom"]["secretKeyRef"];
        let value =
            if from.is_object() { format!("{}/{}", text(&from["name"]), text(&from["key"])) } else { text(&variable["value"]) };
        (text(&variable["name"]), value)
    };
    all.iter().map(read).filter(|(name, _)| name.starts_with("IDENTITY_") || name == "AZURE_TOKEN_CREDENTIALS").collect()
}

fn expected(secret: &str, which: Option<&str>) -> Vec<(String, String)> {
    let header = format!("{secret}/identity-header");
    let ours = [("IDENTITY_ENDPOINT", "http://127.0.0.1:8650/msi/token"), ("IDENTITY_HEADER", header.as_str())];
    let which = ("AZURE_TOKEN_CREDENTIALS", which.unwrap_or("ManagedIdentityCredential"));
    let mut all: Vec<_> = ours.into_iter().chain([which]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.sort();
    all
}

#[test]
fn the_variables_of_azure_sdks_go_to_the_containers_that_are_named() {
    let of_namespace = json!({"tokend.dev/identity": "worker", "tokend.dev/secret": "ours"});
    let stage = Stage::annotated("identity", &of_namespace);
    let _injection = Injection::for_namespace(&stage.namespace);
    let of = |pod: &Value, list: &str, name: &str| {
        let all = pod["spec"][list].as_array().cloned().unwrap_or_default();
        let mut found = identity(all.iter().find(|container| container["name"] == name).expect("the container"));
        found.sort();
        found
    };
    let mut asks = annotated(&json!({}));
    let mut bare = container("serve", &[]);
    bare["name"] = json!("worker");
    // Not even an empty list.
    bare.as_object_mut().expect("a container").remove("env");
    let mut first = container("once", &[("AZURE_TOKEN_CREDENTIALS", "dev")]);
    first["name"] = json!("first");
    asks["spec"]["containers"].as_array_mut().expect("containers").push(bare);
    asks["spec"]["initContainers"] = json!([first]);

    // The namespace means the containers that a Pod has.
    let pod = rehearsed(&stage.namespace, &asks);
    assert_eq!(of(&pod, "containers", "worker"), expected("ours", None));
    assert_eq!(of(&pod, "containers", "app"), []);
    assert_eq!(variable(&pod["spec"]["containers"][1], "TOKEND_URL").as_deref(), Some("http://127.0.0.1:8650"));
    // The Pod goes before it, and init containers count too; one keeps what it says itself about which credential.
    asks["metadata"]["annotations"] = json!({"tokend.dev/identity": "app, first", "tokend.dev/secret": "mine"});
    let pod = rehearsed(&stage.namespace, &asks);
    assert_eq!(of(&pod, "containers", "worker"), []);
    assert_eq!(of(&pod, "containers", "app"), expected("mine", None));
    assert_eq!(of(&pod, "initContainers", "first"), expected("mine", Some("dev")));
    assert_eq!(of(&pod, "initContainers", "tokend"), []);
    // All of them, but for one that has an identity from elsewhere, of which half would be worse than none.
    asks["metadata"]["annotations"] = json!({"tokend.dev/identity": "*"});
    asks["spec"]["containers"][0]["env"] = json!([{"name": "IDENTITY_ENDPOINT", "value": "http://127.0.0.1:1/elsewhere"}]);
    let pod = rehearsed(&stage.namespace, &asks);
    assert_eq!(of(&pod, "containers", "app"), [("IDENTITY_ENDPOINT".to_owned(), "http://127.0.0.1:1/elsewhere".to_owned())]);
    assert_eq!(of(&pod, "containers", "worker"), expected("ours", None));
    // Sent once more, an injected Pod is as it was.
    let mut again = pod.clone();
    for member in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        again["metadata"].as_object_mut().expect("metadata").remove(member);
    }
    again.as_object_mut().expect("a Pod").remove("status");
    assert_eq!(rehearsed(&stage.namespace, &again)["spec"]["containers"], pod["spec"]["containers"]);
}

#[test]
fn an_override_of_the_namespace_is_what_runs() {
    let stage = Stage::annotated("ours", &json!({"tokend.dev/config": "ours"}));
    let _injection = Injection::for_namespace(&stage.namespace);
    stage.configure_as("ours", &config(&stage.authority()));
    stage.namespace.apply(&[annotated(&json!({}))]);
    App::new(&stage.namespace, "asks").served(&[]);
}

#[test]
fn a_pod_keeps_its_own_tokend_url_and_its_own_init_containers() {
    let stage = Stage::new("own-url");
    let _injection = Injection::for_namespace(&stage.namespace);
    let own = "http://127.0.0.1:9999";
    let mut asks = annotated(&json!({}));
    asks["spec"]["containers"] = json!([container("serve", &[("TOKEND_URL", own)]), container("serve", &[])]);
    asks["spec"]["containers"][1]["name"] = json!("other");
    asks["spec"]["initContainers"] = json!([container("once", &[])]);
    asks["spec"]["initContainers"][0]["name"] = json!("first");
    let pod = rehearsed(&stage.namespace, &asks);
    let spec = &pod["spec"];
    assert_eq!(variable(&spec["containers"][0], "TOKEND_URL").as_deref(), Some(own));
    assert_eq!(variable(&spec["containers"][1], "TOKEND_URL").as_deref(), Some("http://127.0.0.1:8650"));
    // tokend runs before whatever the Pod does first.
    assert_eq!((&spec["initContainers"][0]["name"], &spec["initContainers"][1]["name"]), (&json!("tokend"), &json!("first")));
    assert_eq!(variable(&spec["initContainers"][1], "TOKEND_URL").as_deref(), Some("http://127.0.0.1:8650"));
    assert!(variable(&spec["initContainers"][0], "TOKEND_URL").is_none());
}

#[test]
fn an_injected_pod_that_is_sent_again_keeps_one_sidecar() {
    let stage = Stage::new("again");
    let _injection = Injection::for_namespace(&stage.namespace);
    stage.configure(&config(&stage.authority()));
    stage.namespace.apply(&[annotated(&json!({"tokend.dev/socket": "*"}))]);
    let mut pod = stage.namespace.get("pod", "asks");
    stage.namespace.wait("pod/asks", "condition=Ready");
    stage.namespace.kubectl(&["delete", "pod", "asks", "--grace-period=1"], None).expect("a Pod that can be deleted");
    for member in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        pod["metadata"].as_object_mut().expect("metadata").remove(member);
    }
    pod.as_object_mut().expect("a Pod").remove("status");
    let sent: Vec<Value> = pod["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
    stage.namespace.apply(&[pod]);
    let pod = stage.namespace.get("pod", "asks");
    assert_eq!(sidecars(&pod), 1, "{pod:#}");
    assert_eq!(pod["spec"]["containers"][0]["env"].as_array(), Some(&sent));
    App::new(&stage.namespace, "asks").served(&[("url", "unix:///run/tokend/tokend.sock")]);
}

#[test]
fn what_cannot_be_served_is_refused_and_says_why() {
    let stage = Stage::new("refused");
    let namespace = &stage.namespace;
    let _injection = Injection::for_namespace(namespace);
    let with = |path: &str, value: Value| {
        let mut pod = annotated(&json!({}));
        *pod.pointer_mut(path).expect("a member") = value;
        pod
    };
    let annotation = |name: &str, value: &str| annotated(&json!({format!("tokend.dev/{name}"): value}));
    let mut windows =
        with("/spec", json!({"containers": [{"name": "app", "image": "localhost/app:1"}], "os": {"name": "windows"}}));
    windows["spec"]["containers"][0]["securityContext"] = json!({"runAsNonRoot": true});
    let mut host = annotated(&json!({}));
    host["spec"]["hostNetwork"] = json!(true);
    let processes = |member: &str| {
        let mut pod = annotated(&json!({}));
        pod["spec"][member] = json!(true);
        pod
    };
    let mut taken = annotated(&json!({}));
    taken["spec"]["volumes"] = json!([{"name": "tokend-config", "emptyDir": {}}]);
    let mut elsewhere_identified = annotation("identity", "app");
    elsewhere_identified["spec"]["containers"][0]["env"] = json!([{"name": "IDENTITY_HEADER", "value": "of-another-endpoint"}]);
    let cases = [
        (host, "hostNetwork"),
        (processes("shareProcessNamespace"), "shareProcessNamespace"),
        (processes("hostPID"), "hostPID"),
        (windows, "Windows"),
        (annotation("memry-limit", "1Gi"), "unknown annotation tokend.dev/memry-limit"),
        (annotation("memory-limit", "lots"), "tokend.dev/memory-limit is 'lots': write a quantity"),
        (annotation("memory-limit", "1Mi"), "at least 64Mi"),
        (annotation("cpu-limit", "-1"), "tokend.dev/cpu-limit is '-1'"),
        (annotation("log-level", "loud"), "write error, warn, info, debug or trace"),
        (annotation("image", "not an image"), "tokend.dev/image is 'not an image'"),
        (annotation("config", "No_Name"), "tokend.dev/config is 'No_Name'"),
        (annotation("socket", "ap"), "tokend.dev/socket names ap"),
        (annotation("identity", "ap"), "tokend.dev/identity names ap, and the Pod's containers are app"),
        (annotation("identity", "tokend"), "tokend.dev/identity names tokend"),
        (annotation("identity", "a b"), "tokend.dev/identity is 'a b': write names of containers"),
        (
            annotated(&json!({"tokend.dev/identity": "app", "tokend.dev/secret": ""})),
            "tokend.dev/identity wants the key identity-header of the Pod's Secret, and the Pod has none",
        ),
        (elsewhere_identified, "tokend.dev/identity names app, which sets IDENTITY_ENDPOINT or IDENTITY_HEADER itself"),
        (taken, "a volume of the Pod has a name that begins with tokend-"),
        (with("/spec/containers/0/name", json!("tokend")), "a container of the Pod is called tokend"),
        (with("/metadata/labels", json!({"tokend.dev/inject": "yes"})), "the label tokend.dev/inject is 'yes'"),
    ];
    for (pod, reason) in &cases {
        let complaint = namespace.rehearse(pod).err().unwrap_or_else(|| panic!("{reason}: it was accepted"));
        assert!(complaint.contains(reason), "{reason}: {complaint}");
    }
    // Where nobody allowed it, asking is an error too, and not silence.
    let elsewhere = Namespace::new("not-enabled");
    let complaint = elsewhere.rehearse(&annotated(&json!({}))).expect_err("a refusal");
    assert!(complaint.contains("tokend.dev/injection=enabled"), "{complaint}");
    // Whoever declines, or does not ask, is left alone everywhere.
    for labels in [json!({"tokend.dev/inject": "false"}), json!({})] {
        let pod = pod("asks-not", &labels, &container("serve", &[]));
        assert_eq!(sidecars(&rehearsed(namespace, &pod)) + sidecars(&rehearsed(&elsewhere, &pod)), 0);
    }
}

#[test]
fn under_a_deployment_or_a_job_the_reason_is_an_event() {
    let stage = Stage::new("events");
    let namespace = &stage.namespace;
    let _injection = Injection::for_namespace(namespace);
    let serve = container("serve", &[]);
    for mut owner in [deployment("deployed", &asking(), &serve), job("done", &asking(), &serve)] {
        owner["spec"]["template"]["metadata"]["annotations"] = json!({"tokend.dev/memory-limit": "lots"});
        namespace.apply(&[owner]);
    }
    for kind in ["ReplicaSet", "Job"] {
        let selector = format!("reason=FailedCreate,involvedObject.kind={kind}");
        let arguments = ["get", "events", "--field-selector", &selector, "-o", "jsonpath={.items[*].message}"];
        namespace.until(kind, || {
            let messages = namespace.kubectl(&arguments, None).ok()?;
            messages.contains("tokend.dev/memory-limit is 'lots'").then_some(())
        });
    }
}
