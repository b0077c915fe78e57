//! Every way to run it, on every release of Kubernetes: it lints, renders, is valid, and is well judged.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::helm::{NAME, NAMESPACE, NEWEST, RELEASES, Release, chart, helm, mode, modes, objects, rendered, template};
use crate::support::{output, root, run, tool};

/// What `kube-score` would have otherwise, each with the reason why not.
const UNSCORED: [(&str, &str); 3] = [
    (
        "container-image-pull-policy",
        "the image is named by version or digest: asking the registry at each start adds a way to fail",
    ),
    (
        "container-ephemeral-storage-request-and-limit",
        "nothing is written; a limit would count the container's log and evict the Pod",
    ),
    ("deployment-replicas", "one replica is the default, because several need Redis; the test of `standalone-ha` scores it"),
];

/// Whether a release can have it at all.
fn fits(name: &str, release: &Release) -> bool {
    release.injects || !name.starts_with("injection")
}

pub(super) fn conform(file: &Path, release: &Release) -> Command {
    let schemas = root().join(".tools/schemas").join(release.schemas);
    assert!(schemas.exists(), "{} is not there: tests/setup/chart makes it", schemas.display());
    let mut command = Command::new(tool("go/bin/kubeconform", "chart"));
    command.args(["-strict", "-verbose", "-kubernetes-version", release.schemas.trim_start_matches('v')]);
    for folder in [schemas, root().join("tests/deploy/fixtures/schemas")] {
        command.arg("-schema-location").arg(folder.join("{{ .ResourceKind }}{{ .KindSuffix }}.json"));
    }
    command.arg(file);
    command
}

/// `kube-score` without the checks that are not for us.
fn score(file: &Path, unscored: &[&str]) -> Command {
    let mut command = Command::new(tool("go/bin/kube-score", "chart"));
    command.args(["score", "--kubernetes-version", "v1.33", "--output-format", "ci", "--exit-one-on-warning"]);
    // A limit on the CPU makes the slowest requests slower, and protects nobody: the request is what the scheduler shares by.
    command.args(["--ignore-container-cpu-limit", "--enable-optional-test", "container-seccomp-profile"]);
    for check in unscored {
        command.args(["--ignore-test", check]);
    }
    command.arg(file);
    command
}

/// The names of what is not scored.
fn unscored() -> Vec<&'static str> {
    assert!(UNSCORED.iter().all(|(_, why)| !why.is_empty()));
    UNSCORED.iter().map(|(check, _)| *check).collect()
}

#[test]
fn every_mode_lints_for_every_release() {
    for release in &RELEASES {
        for name in modes().iter().filter(|name| fits(name, release)) {
            run(helm().args(["lint", "--strict", "--kube-version", release.version, "--values"]).arg(mode(name)).arg(chart()));
        }
    }
}

#[test]
fn every_mode_is_valid_on_every_release() {
    let folder = tempfile::tempdir().expect("a folder");
    for release in &RELEASES {
        for name in modes().iter().filter(|name| fits(name, release)) {
            let text = rendered(name, release);
            let file = folder.path().join(format!("{name}-{}.yaml", release.version));
            std::fs::write(&file, &text).expect("a file");
            let said = run(&mut conform(&file, release));
            let valid = said.lines().filter(|line| line.ends_with(" is valid")).count();
            assert_eq!(valid, objects(&text).len(), "{name} on {}: {said}", release.version);
        }
    }
}

#[test]
fn the_schemas_refuse_what_kubernetes_would_drop() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.yaml");
    for bad in [
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dta: {}}",
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: b, livenessprobe: {}}]}}",
        "{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: a, namespace: b}, spec: {selector: {}}}",
    ] {
        std::fs::write(&file, bad).expect("a file");
        for release in &RELEASES {
            let output = output(&mut conform(&file, release));
            assert!(!output.status.success(), "{bad} on {}", release.version);
        }
    }
}

#[test]
fn injection_without_the_policies_is_a_failure_and_names_the_other_ways() {
    for release in RELEASES.iter().filter(|release| !release.injects) {
        for name in ["injection", "injection-all"] {
            let said = template(&chart(), &[&mode(name)], release).expect_err("it cannot render");
            for word in ["injection.enabled", "MutatingAdmissionPolicy", "1.36", "sidecar.enabled", "standalone.enabled"] {
                assert!(said.contains(word), "{word}: {said}");
            }
        }
    }
}

#[test]
fn every_object_is_in_the_namespace_and_says_whose_it_is() {
    for name in modes() {
        for object in objects(&rendered(&name, NEWEST)) {
            let metadata = &object["metadata"];
            let kind = object["kind"].as_str().expect("a kind");
            // What `extraObjects` says is the user's.
            if metadata["labels"].is_null() && kind == "ConfigMap" {
                continue;
            }
            assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], NAME, "{name}: {object}");
            assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "tokend", "{name}: {object}");
            let namespace = match kind {
                kind if kind.contains("AdmissionPolicy") => Value::Null,
                "PrometheusRule" => "monitoring".into(),
                _ => NAMESPACE.into(),
            };
            assert_eq!(metadata["namespace"], namespace, "{name}: {object}");
        }
    }
}

#[test]
fn nothing_is_rendered_where_nothing_is_switched_on() {
    for name in ["defaults", "sidecar-existing"] {
        assert!(objects(&rendered(name, NEWEST)).is_empty(), "{name}");
    }
}

#[test]
fn kube_score_finds_nothing_that_is_not_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    // A policy is one value away, and the Pod of `helm test` is no part of the service.
    let more = folder.path().join("more.yaml");
    std::fs::write(&more, "{networkPolicy: {enabled: true}, tests: {enabled: false}}").expect("a file");
    for name in modes().iter().filter(|name| name.starts_with("standalone")) {
        // Two of them are about what kube-score asks for: a user that the platform chooses, and replicas that go all at once.
        if ["standalone-openshift", "standalone-memory"].contains(&name.as_str()) {
            continue;
        }
        let text = template(&chart(), &[&mode(name), &more], NEWEST).expect("it renders");
        let file = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&file, text).expect("a file");
        let mut unscored = unscored();
        unscored.retain(|check| !(name == "standalone-ha" && *check == "deployment-replicas"));
        run(&mut score(&file, &unscored));
    }
}

#[test]
fn kube_score_finds_nothing_about_the_sidecar_of_another_chart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.yaml");
    // The Pod and its other container are for their own chart to answer for.
    let complaints = |more: &str| {
        std::fs::write(&file, super::consumer::render(more).expect("it renders")).expect("a file");
        let said = output(&mut score(&file, &unscored())).stdout;
        let said = String::from_utf8(said).expect("a text");
        assert!(said.contains("(shop) Memory limit is not set"), "{said}");
        said.lines().filter(|line| line.contains("(tokend)") && !line.starts_with("[OK]")).map(str::to_owned).collect::<Vec<_>>()
    };
    for more in ["{}", "{tokend: {socket: {loopback: false}}}", "{tokend: {sidecar: {existingConfigMap: mine}}}"] {
        assert_eq!(complaints(more), Vec::<String>::new(), "{more}");
    }
    let found = complaints("{tokend: {securityContext: {readOnlyRootFilesystem: false}}}");
    assert!(found.iter().any(|line| line.contains("filesystem") || line.contains("Filesystem")), "{found:?}");
}

#[test]
fn the_package_renders_what_the_folder_renders() {
    let folder = tempfile::tempdir().expect("a folder");
    run(helm().args(["package", "--destination"]).arg(folder.path()).arg(chart()));
    let package = folder.path().join("tokend-0.1.0.tgz");
    assert!(package.exists(), "the version in Chart.yaml is 0.1.0");
    for release in &RELEASES {
        for name in modes().iter().filter(|name| fits(name, release)) {
            let text = template(&package, &[&mode(name)], release).expect("it renders");
            assert_eq!(text, rendered(name, release), "{name} on {}", release.version);
        }
    }
    let list = run(Command::new("tar").arg("-tzf").arg(&package));
    for file in
        ["README.md", "CHANGELOG.md", "values.schema.json", "files/rules.yaml", "files/dashboard.json", "templates/NOTES.txt"]
    {
        assert!(list.lines().any(|line| line == format!("tokend/{file}")), "{file} is missing: {list}");
    }
    assert!(!list.contains(".gotmpl"), "{list}");
}

#[test]
fn the_notes_say_the_next_step() {
    for (name, steps) in [
        ("standalone", &["helm test rel", "X-Tokend-Token", "https://rel-tokend.ns:8650/client-credentials", "rollout status"][..]),
        ("standalone-memory", &["do not share tokens"]),
        ("sidecar", &["include \"tokend.sidecar\" .Subcharts.tokend", "ConfigMap rel-tokend"]),
        ("sidecar-existing", &["ConfigMap shop-tokend"]),
        ("sidecar-identity", &["include \"tokend.identityEnv\" .Subcharts.tokend | nindent 4"]),
        ("sidecar-callers", &["include \"tokend.identityEnv\" (list .Subcharts.tokend \"CALLER\")"]),
        ("standalone-service-accounts", &["service accounts (web, batch)", "audience: \"rel-tokend.ns.svc\""]),
        (
            "standalone-doors",
            &["Callers with a token (web)", "in the Secret tokend-callers", "audience: \"https://tokens.example\""],
        ),
        (
            "standalone-proxies",
            &["https://rel-tokend.ns:8650/auth/graph", "https://rel-tokend.ns:8650/auth/portal", "networkPolicy.callers names"],
        ),
        ("sidecar-proxy", &["unix:/run/tokend/tokend.sock, path /auth/graph", "Before a proxy"]),
        ("defaults", &["sidecar.enabled", "injection.enabled", "standalone.enabled"]),
    ] {
        let mut command = helm();
        command.args(["install", NAME, "--namespace", NAMESPACE, "--dry-run=client", "--values"]).arg(mode(name)).arg(chart());
        let said = run(&mut command);
        let notes = said.split("NOTES:").nth(1).expect("notes");
        for step in steps {
            assert!(notes.contains(step), "{name}, {step}: {notes}");
        }
    }
}
