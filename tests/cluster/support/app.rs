//! The app under test: manifests of Pods, Jobs and Deployments that run `tests/cluster/app`, and how to talk to one.

use serde_json::{Map, Value, json};

use super::{Namespace, images, kube};

/// An app in `serve` mode that does what it is told through the API server.
pub(crate) struct App<'a> {
    namespace: &'a Namespace,
    pod: String,
}

/// The container `app` in a mode of the program, with an environment, within the restricted Pod Security standard.
pub(crate) fn container(mode: &str, environment: &[(&str, &str)]) -> Value {
    let environment: Vec<Value> = environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut container = json!({
        "name": "app", "image": images::app(), "imagePullPolicy": "IfNotPresent", "args": [mode], "env": environment,
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": restricted(),
    });
    if mode == "serve" || mode == "load" {
        container["ports"] = json!([{"name": "app", "containerPort": 8080}]);
        container["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1});
    }
    container
}

/// What the restricted standard asks of a container, and a root that cannot be written.
pub(crate) fn restricted() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// A Pod of the container, with the label `app: NAME` and any others.
pub(crate) fn pod(name: &str, labels: &Value, container: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labelled(name, labels)},
           "spec": {"containers": [container], "terminationGracePeriodSeconds": 20}})
}

/// A Job that runs the container once.
pub(crate) fn job(name: &str, labels: &Value, container: &Value) -> Value {
    let pod =
        json!({"metadata": {"labels": labelled(name, labels)}, "spec": {"containers": [container], "restartPolicy": "Never"}});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": pod}})
}

/// A Deployment of the container.
pub(crate) fn deployment(name: &str, labels: &Value, container: &Value) -> Value {
    let pod = json!({"metadata": {"labels": labelled(name, labels)},
                     "spec": {"containers": [container], "terminationGracePeriodSeconds": 20}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
           "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod}})
}

fn labelled(name: &str, labels: &Value) -> Value {
    let mut all: Map<String, Value> = labels.as_object().cloned().unwrap_or_default();
    all.insert("app".to_owned(), json!(name));
    Value::Object(all)
}

impl<'a> App<'a> {
    /// The app in a Pod that is ready.
    pub(crate) fn new(namespace: &'a Namespace, pod: &str) -> Self {
        namespace.wait(&format!("pod/{pod}"), "condition=Ready");
        Self { namespace, pod: pod.to_owned() }
    }

    /// Makes it ask tokend once, with members of the query as `tests/cluster/app` reads them, and returns what it got.
    pub(crate) fn ask(&self, query: &[(&str, &str)]) -> Value {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        kube::json(self.fetch(&format!("/ask?{}", query.join("&"))))
    }

    /// Asks again and again until there is a token: a Service leads to its Pods a moment after they are ready.
    pub(crate) fn served(&self, query: &[(&str, &str)]) -> Value {
        let mut last = Value::Null;
        for _ in 0..100 {
            last = self.ask(query);
            if last["status"] == 200 {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        panic!("{}: {}: {last}", self.namespace.name, self.pod);
    }

    /// What a load has counted so far.
    pub(crate) fn counts(&self) -> Value {
        kube::json(self.fetch("/counts"))
    }

    fn fetch(&self, path: &str) -> kube::Said {
        self.namespace.fetch(&format!("pods/{}:8080", self.pod), path)
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
