//! A namespace for one test: gone when the test ends, and told about when it failed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{panicking, sleep};
use std::time::Duration;

use serde_json::{Value, json};

use super::kube::{self, Said, kubectl};

/// A namespace that enforces the restricted Pod Security standard.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// How often and how long something is looked at that has no `kubectl wait`.
const LOOKS: u32 = 300;
const BETWEEN: Duration = Duration::from_millis(200);

impl Namespace {
    /// Makes one. The name says which test it belongs to; it is never used twice, also not by another run in the same cluster.
    pub(crate) fn new(test: &str) -> Self {
        Self::with(test, &json!({}), &json!({}))
    }

    /// A namespace with further labels and annotations.
    pub(crate) fn with(test: &str, labels: &Value, annotations: &Value) -> Self {
        let name = format!("tokend-{test}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut labels = labels.clone();
        for mode in ["enforce", "warn"] {
            labels[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
        }
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        kubectl(&["apply", "--validate=strict", "-f", "-"], Some(&manifest)).expect("a namespace");
        let namespace = Self { name };
        // Pods are refused until its controller made the account that they run as.
        namespace.until("the default service account", || namespace.try_get("serviceaccount", "default"));
        namespace
    }

    /// Runs `kubectl` in it.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: Option<&Value>) -> Said {
        kubectl(&[&["-n", &self.name], arguments].concat(), input)
    }

    /// Applies one document, strictly.
    pub(crate) fn try_apply(&self, manifest: &Value) -> Said {
        self.kubectl(&["apply", "--validate=strict", "-f", "-"], Some(manifest))
    }

    /// Applies documents that have to pass.
    pub(crate) fn apply(&self, manifests: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        let said = self.try_apply(&list);
        let told = said.unwrap_or_else(|complaint| panic!("{complaint}\nof {list:#}"));
        assert!(!told.contains("Warning"), "{told}");
    }

    /// What the API server would make of a document: everything that decides and changes has run, nothing is kept.
    pub(crate) fn rehearse(&self, manifest: &Value) -> Result<Value, String> {
        let arguments = ["create", "--validate=strict", "--dry-run=server", "-o", "json", "-f", "-"];
        self.kubectl(&arguments, Some(manifest)).map(|text| kube::json(Ok(text)))
    }

    /// An object as it is now.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        kube::json(self.kubectl(&["get", kind, name, "-o", "json"], None))
    }

    fn try_get(&self, kind: &str, name: &str) -> Option<Value> {
        self.kubectl(&["get", kind, name, "-o", "json"], None).ok().map(|text| kube::json(Ok(text)))
    }

    /// The Pods with this label, without those that are on their way out.
    pub(crate) fn pods(&self, selector: &str) -> Vec<Value> {
        let list = kube::json(self.kubectl(&["get", "pods", "-l", selector, "-o", "json"], None));
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// The only Pod with this label.
    pub(crate) fn pod(&self, selector: &str) -> String {
        let pods = self.pods(selector);
        assert_eq!(pods.len(), 1, "one Pod with {selector}: {pods:#?}");
        name(&pods[0])
    }

    /// Waits for a condition as `kubectl wait` knows them (`condition=Ready`, `jsonpath=…`, `delete`).
    pub(crate) fn wait(&self, what: &str, condition: &str) {
        let waited = self.kubectl(&["wait", what, &format!("--for={condition}"), "--timeout=120s"], None);
        waited.unwrap_or_else(|complaint| panic!("{what} is not {condition}: {complaint}"));
    }

    /// Waits until every Pod of a Deployment is the newest one and ready.
    pub(crate) fn rolled_out(&self, deployment: &str) {
        let waited = self.kubectl(&["rollout", "status", &format!("deployment/{deployment}"), "--timeout=120s"], None);
        waited.unwrap_or_else(|complaint| panic!("{deployment} does not come up: {complaint}"));
    }

    /// Asks a port of a Pod or Service (`pods/NAME:PORT`, `services/https:NAME:PORT`) through the API server, which every cluster
    /// lets its administrator do.
    pub(crate) fn fetch(&self, what: &str, path: &str) -> Said {
        kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{}/{what}/proxy{path}", self.name)], None)
    }

    /// What a container wrote.
    pub(crate) fn logs(&self, pod: &str, container: &str) -> String {
        self.kubectl(&["logs", pod, "-c", container], None).unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    /// Looks again and again until there is something.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..LOOKS {
            if let Some(found) = look() {
                return found;
            }
            sleep(BETWEEN);
        }
        panic!("{}: {what} did not come", self.name);
    }

    /// What a failed test leaves to look at.
    #[expect(clippy::print_stderr, reason = "the test has failed: this is its report")]
    fn report(&self) {
        let mut texts = Vec::new();
        for arguments in [
            ["get", "pods", "-o", "wide"].as_slice(),
            &[
                "get",
                "events",
                "--sort-by=.lastTimestamp",
                "-o",
                "custom-columns=ON:.involvedObject.name,WHY:.reason,TEXT:.message",
            ],
        ] {
            texts.push(self.kubectl(arguments, None).unwrap_or_else(|complaint| complaint));
        }
        let pods = self.kubectl(&["get", "pods", "-o", "name"], None).unwrap_or_default();
        for pod in pods.lines() {
            let tail = ["logs", pod, "--all-containers", "--prefix", "--tail=20", "--ignore-errors"];
            texts.push(self.kubectl(&tail, None).unwrap_or_else(|complaint| complaint));
        }
        eprintln!("== {} when its test failed\n{}", self.name, texts.join("\n--\n"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if panicking() {
            self.report();
        }
        // Nobody waits for it: its name is not used again.
        drop(kubectl(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"], None));
    }
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("an object with a name").to_owned()
}
