//! The chart as an operator handles it: installed, upgraded, tested, uninstalled, each time with the values said anew.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{helm, images, kubectl, root};

/// A release of a chart. It is uninstalled at the end, whether the test got there or not:
/// what it has in the cluster outlives a namespace.
pub(crate) struct Release {
    namespace: String,
    name: String,
    chart: PathBuf,
}

impl Release {
    /// The chart of tokend, installed; everything in it is ready.
    pub(crate) fn install(namespace: &str, name: &str, values: &Value) -> Self {
        Self::of(&root().join("helm/tokend"), namespace, name, values)
    }

    /// Any chart, installed.
    pub(crate) fn of(chart: &Path, namespace: &str, name: &str, values: &Value) -> Self {
        let release = Self { namespace: namespace.to_owned(), name: name.to_owned(), chart: chart.to_owned() };
        release.rehearse(values);
        release.put("install", values);
        release
    }

    /// What `helm template` makes of the values, for this API server.
    pub(crate) fn rendered(&self, values: &Value) -> String {
        let chart = self.chart.display().to_string();
        let capability = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
        let arguments =
            ["template", &self.name, &chart, "-n", &self.namespace, "-f", "-", "--no-hooks", "--api-versions", capability];
        helm(&arguments, Some(values)).unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    /// Has the API server read every object strictly: a member that it does not know, or would drop, is an error.
    fn rehearse(&self, values: &Value) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("all.yaml").display().to_string();
        std::fs::write(&file, self.rendered(values)).expect("a file");
        let said = kubectl(&["apply", "--validate=strict", "--dry-run=server", "-n", &self.namespace, "-f", &file], None);
        let said = said.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert!(!said.contains("Warning"), "{said}");
    }

    /// Installs it again after [`Self::uninstall`].
    pub(crate) fn install_again(&self, values: &Value) {
        self.put("install", values);
    }

    /// Another set of values.
    pub(crate) fn upgrade(&self, values: &Value) {
        self.rehearse(values);
        self.put("upgrade", values);
    }

    fn put(&self, verb: &str, values: &Value) {
        let chart = self.chart.display().to_string();
        let arguments = [verb, &self.name, &chart, "-n", &self.namespace, "-f", "-", "--wait", "--timeout", "120s"];
        helm(&arguments, Some(values)).unwrap_or_else(|complaint| panic!("helm {verb}: {complaint}"));
    }

    /// `helm test`.
    pub(crate) fn test(&self) {
        let said = helm(&["test", &self.name, "-n", &self.namespace, "--timeout", "120s"], None);
        let said = said.unwrap_or_else(|complaint| panic!("{complaint}"));
        assert!(said.contains("Succeeded"), "{said}");
    }

    /// Removes it, and waits until it is gone.
    pub(crate) fn uninstall(&self) {
        let said = helm(&["uninstall", &self.name, "-n", &self.namespace, "--wait", "--timeout", "120s"], None);
        said.unwrap_or_else(|complaint| panic!("{complaint}"));
    }

    /// What of it is in the cluster, in the namespace and outside.
    pub(crate) fn remains(&self) -> String {
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        let kinds = "all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget,mutatingadmissionpolicy,\
                     mutatingadmissionpolicybinding,validatingadmissionpolicy,validatingadmissionpolicybinding";
        kubectl(&["get", kinds, "-n", &self.namespace, "-l", &selector, "-o", "name"], None).expect("a list")
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        drop(helm(&["uninstall", &self.name, "-n", &self.namespace, "--ignore-not-found", "--no-hooks"], None));
    }
}

/// The value `image`, for the image under test.
pub(crate) fn image() -> Value {
    let image = images::tokend();
    let (path, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    let (registry, repository) = path.split_once('/').unwrap_or(("", path));
    json!({"registry": registry, "repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"})
}
