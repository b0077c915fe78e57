//! Names that Kubernetes refuses are refused before anything is installed.

use super::helm::{chart, helm, mode, with};
use crate::support::output;

#[test]
fn names_that_kubernetes_refuses() {
    for more in [
        "fullnameOverride: 1st",
        "fullnameOverride: tokend-",
        "fullnameOverride: -tokend",
        "nameOverride: tokend-",
        "namespaceOverride: -a",
        "namespaceOverride: a.b",
        "clusterDomain: 'cluster..local'",
        "standalone: {serviceAccount: {name: a..b}}",
        "standalone: {priorityClassName: High}",
        "standalone: {runtimeClassName: a_b}",
        "standalone: {podLabels: {'a b': c}}",
        "standalone: {podLabels: {a: 'b c'}}",
        "standalone: {podLabels: {a: -b}}",
        "standalone: {podAnnotations: {'a/b/c': d}}",
        "commonLabels: {'-a': b}",
        "secrets: {credentials: {existingSecret: a.-b}}",
        "secrets: {credentials: {existingSecret: a..b}}",
        "secrets: {redis: {passwordKey: ..}}",
        "secrets: {extra: {Corporate: a}}",
        "callers: {list: [{name: web, key: ..}]}",
        "extraEnv: [{name: 'A=B', value: c}]",
        "extraEnv: [{name: 1A, value: c}]",
        "metrics: {serviceMonitor: {namespace: a.b}}",
        "imagePullSecrets: [a..b]",
    ] {
        let said = with("standalone", more).expect_err(more);
        assert!(said.contains("- at '"), "{more}: the message has to name the place: {said}");
    }
    for good in [
        "fullnameOverride: t",
        "nameOverride: 1st",
        "namespaceOverride: team-a",
        "standalone: {podLabels: {example.com/a: B_1, team: '{{ .Release.Name }}'}}",
        "commonAnnotations: {example.com/a: 'anything at all'}",
        "secrets: {credentials: {existingSecret: '{{ .Release.Name }}-a.b'}}",
        "extraEnv: [{name: a.b-C_1, value: c}]",
    ] {
        with("standalone", good).unwrap_or_else(|said| panic!("{good}: {said}"));
    }
    for (key, more) in [
        ("secrets.credentials.existingSecret", "secrets: {credentials: {existingSecret: '{{ .Release.Name }}_a'}}"),
        ("callers.existingSecret", "callers: {existingSecret: '{{ .Release.Name }}.'}"),
        ("standalone.tls.existingSecret", "standalone: {tls: {existingSecret: '{{ upper .Release.Name }}'}}"),
        ("secrets.extra.ca", "secrets: {extra: {ca: '{{ .Release.Name }}..a'}}"),
    ] {
        let said = with("standalone", more).expect_err(more);
        assert!(said.contains(key) && said.contains("no name of a Secret"), "{more}: {said}");
    }
}

#[test]
fn a_release_whose_name_no_service_can_have() {
    let render = |release: &str, name: &str, more: &[&str]| {
        let mut command = helm();
        command.args(["template", release, "--kube-version", "1.33", "--values"]).arg(mode(name)).arg(chart()).args(more);
        let output = output(&mut command);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    for release in ["1st", "my.app", "9"] {
        let said = render(release, "standalone", &[]).expect_err(release);
        assert!(said.contains("fullnameOverride: the objects would be called") && said.contains("begins with a letter"), "{said}");
        assert_eq!(render(release, "standalone", &["--set", "fullnameOverride=tokens"]), Ok(()), "the remedy");
        assert_eq!(render(release, "sidecar", &[]), Ok(()), "a ConfigMap may be called so");
    }
    assert_eq!(render("app-1", "standalone", &[]), Ok(()));
}
