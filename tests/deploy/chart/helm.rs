//! Running `helm`, and reading what it renders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize as _;
use serde_json::Value;

use crate::support::{output, root, tool};

/// A release of Kubernetes that the chart is rendered for.
#[derive(Debug)]
pub(crate) struct Release {
    /// As `--kube-version` takes it.
    pub(crate) version: &'static str,
    /// The folder of its schemas in `.tools/schemas`.
    pub(crate) schemas: &'static str,
    /// Whether it has the policies that injection is made of.
    pub(crate) injects: bool,
}

/// The oldest that the chart supports, the first with native sidecars for good, the newest.
pub(crate) const RELEASES: [Release; 3] = [
    Release { version: "1.29", schemas: "v1.29.0", injects: false },
    Release { version: "1.33", schemas: "v1.33.0", injects: false },
    Release { version: "1.37", schemas: "v1.37.0", injects: true },
];

/// The newest of them.
pub(crate) const NEWEST: &Release = &RELEASES[2];

/// The name of the release and its namespace in all tests.
pub(crate) const NAME: &str = "rel";
pub(crate) const NAMESPACE: &str = "ns";

/// What Kubernetes 1.36 and newer say that they have.
const POLICIES: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
/// What clusters with the Prometheus operator say that they have.
const OPERATOR: &str =
    "monitoring.coreos.com/v1/ServiceMonitor,monitoring.coreos.com/v1/PodMonitor,monitoring.coreos.com/v1/PrometheusRule";

/// The chart.
pub(crate) fn chart() -> PathBuf {
    root().join("helm/tokend")
}

/// One of the values files in `ci/`, without `-values.yaml`.
pub(crate) fn mode(name: &str) -> PathBuf {
    chart().join("ci").join(format!("{name}-values.yaml"))
}

/// The names of all of them.
pub(crate) fn modes() -> Vec<String> {
    let folder = std::fs::read_dir(chart().join("ci")).expect("the chart has values files");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        name.strip_suffix("-values.yaml").expect("files in ci/ are called NAME-values.yaml").to_owned()
    };
    let mut names: Vec<_> = folder.map(name).collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// `helm`, which keeps what it remembers out of the home of whoever runs the tests, and knows no cluster.
pub(crate) fn helm() -> Command {
    let mut command = Command::new(tool("go/bin/helm", "chart"));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm"));
    }
    command.env("KUBECONFIG", "/nonexistent").current_dir(root());
    command
}

/// What `helm template` gives, or what it says instead.
pub(crate) fn template(chart: &Path, values: &[&Path], release: &Release) -> Result<String, String> {
    let mut command = helm();
    command.args(["template", NAME, "--namespace", NAMESPACE, "--kube-version", release.version]);
    command.args(["--api-versions", OPERATOR]).arg(chart);
    if release.injects {
        command.args(["--api-versions", POLICIES]);
    }
    for file in values {
        command.arg("--values").arg(file);
    }
    let output = output(&mut command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Renders a mode with more values over it, in YAML.
pub(crate) fn with(name: &str, more: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("more.yaml");
    std::fs::write(&file, more).expect("a file");
    template(&chart(), &[&mode(name), &file], NEWEST)
}

/// What `template` says of a mode that has to render; once in the process, because every test looks at some of them.
pub(crate) fn rendered(name: &str, release: &Release) -> String {
    static RENDERED: Mutex<BTreeMap<(String, &'static str), String>> = Mutex::new(BTreeMap::new());
    let key = (name.to_owned(), release.version);
    let known = RENDERED.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    known.unwrap_or_else(|| {
        let text = template(&chart(), &[&mode(name)], release);
        let text = text.unwrap_or_else(|error| panic!("{name} on {}: {error}", release.version));
        RENDERED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, text.clone());
        text
    })
}

/// The objects of a text with several documents.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents = yaml_serde::Deserializer::from_str(text);
    let all = documents.map(|document| Value::deserialize(document).expect("YAML"));
    all.filter(|object| !object.is_null()).collect()
}

/// The one object of a kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there is more than one {kind}");
    first
}
