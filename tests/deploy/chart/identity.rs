//! The variables by which an unchanged Azure SDK finds the sidecar: from the named template, and from the admission policy.
//!
//! What the policy makes of a Pod only an API server can say: `tests/cluster/admission.rs`.

use serde_json::{Value, json};

use super::consumer::render;
use super::helm::{NEWEST, objects, only, rendered, with};

const ENDPOINT: &str = "http://127.0.0.1:8650/msi/token";

/// The environment of the consumer's container with the SDK, or what the chart says instead.
fn environment(more: &str) -> Result<Value, String> {
    let all = objects(&render(more)?);
    let containers = only(&all, "Deployment")["spec"]["template"]["spec"]["containers"].clone();
    Ok(containers.as_array().expect("containers").iter().find(|one| one["name"] == "worker").expect("the container")["env"].clone())
}

fn variables(secret: &str, key: &str) -> Value {
    json!([
        {"name": "IDENTITY_ENDPOINT", "value": ENDPOINT},
        {"name": "IDENTITY_HEADER", "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}},
        {"name": "AZURE_TOKEN_CREDENTIALS", "value": "ManagedIdentityCredential"},
    ])
}

#[test]
fn the_template_names_the_secret_that_the_sidecar_reads() {
    let more = "{sdk: {enabled: true}, \
                 tokend: {config: {doors: [rest, msi]}, secrets: {msi: {existingSecret: '{{ .Release.Name }}-msi'}}}}";
    assert_eq!(environment(more), Ok(variables("rel-msi", "identity-header")));
    let all = objects(&render(more).expect("it renders"));
    let config: Value =
        yaml_serde::from_str(only(&all, "ConfigMap")["data"]["tokend.yaml"].as_str().expect("a text")).expect("YAML");
    assert_eq!(config["msi"], json!({"secret": {"file": "/run/secrets/msi/identity-header"}}));
    let volumes = &only(&all, "Deployment")["spec"]["template"]["spec"]["volumes"];
    let mounted = volumes.as_array().expect("volumes").iter().find(|volume| volume["name"] == "tokend-secret-msi");
    assert_eq!(mounted.expect("the Secret")["secret"]["secretName"], "rel-msi");
    // Whoever writes the ConfigMap decides there.
    let own = "{sdk: {enabled: true}, tokend: {sidecar: {existingConfigMap: mine}, secrets: {msi: {existingSecret: a, key: b}}}}";
    assert_eq!(environment(own), Ok(variables("a", "b")));
}

#[test]
fn where_callers_are_listed_the_container_is_one_of_them() {
    let callers = |list: &str, caller: &str| {
        format!(
            "{{sdk: {{enabled: true, caller: '{caller}'}}, tokend: {{config: {{doors: [rest, msi]}}, \
             callers: {{existingSecret: tokens, list: {list}}}}}}}"
        )
    };
    let list =
        "[{name: worker, doors: [msi]}, {name: web}, {name: job, key: job.txt, doors: [msi]}, {name: agent, peer: {uid: 1}}]";
    assert_eq!(environment(&callers(list, "worker")), Ok(variables("tokens", "worker")));
    assert_eq!(environment(&callers(list, "job")), Ok(variables("tokens", "job.txt")));
    for (caller, words) in [
        ("", ["callers.list: it has callers", "(list .Subcharts.tokend \"NAME\")"]),
        ("nobody", ["callers.list: it has no caller \"nobody\"", "a NAME of the list"]),
        ("web", ["the caller \"web\" may not use the door", "doors: [msi]"]),
        ("agent", ["the caller \"agent\" proves itself by peer", "has a token"]),
    ] {
        let said = environment(&callers(list, caller)).expect_err("it cannot render");
        assert!(words.iter().all(|word| said.contains(word)), "{caller}: {said}");
    }
}

#[test]
fn what_an_sdk_could_not_use_is_refused() {
    for (more, words) in [
        ("{socket: {loopback: false}}", "socket.loopback: it is false, and Azure SDKs ask at no socket"),
        ("{secrets: {msi: {existingSecret: a}}}", "secrets.msi.existingSecret: it is for the door msi"),
        ("{config: {doors: [rest]}}", "config.doors: tokend does not serve Azure SDKs"),
        ("{config: {doors: [msi]}}", "secrets.msi.existingSecret: nothing says what the SDK shows"),
    ] {
        let said = environment(&format!("{{sdk: {{enabled: true}}, tokend: {more}}}")).expect_err(more);
        assert!(said.contains(words), "{more}: {said}");
    }
    let said = with("sidecar-callers", "secrets: {msi: {existingSecret: a}}").expect_err("it cannot render");
    assert!(said.contains("secrets.msi.existingSecret: callers are listed") && said.contains("tokend.identityEnv"), "{said}");
}

/// The text of the policy's step that adds the variables.
fn step(name: &str) -> String {
    let all = objects(&rendered(name, NEWEST));
    let mutations = only(&all, "MutatingAdmissionPolicy")["spec"]["mutations"].as_array().expect("mutations").clone();
    let texts = mutations.iter().filter_map(|one| one["jsonPatch"]["expression"].as_str());
    texts.filter(|text| text.contains("IDENTITY_ENDPOINT")).map(str::to_owned).next().expect("the step")
}

#[test]
fn the_policy_adds_them_one_by_one_to_both_lists_of_containers() {
    let step = step("injection-identity");
    for list in ["containers", "initContainers"] {
        let path = format!("\"/spec/{list}/\" + string(i) + \"/env");
        // The list itself where there is none, and three variables at its end.
        assert_eq!((step.matches(&format!("{path}\"")).count(), step.matches(&format!("{path}/-\"")).count()), (1, 3), "{step}");
    }
    assert!(step.contains(ENDPOINT) && step.contains("ManagedIdentityCredential"), "{step}");
    let reference = r#""secretKeyRef": dyn({"key": dyn("identity-header"), "name": dyn(variables.secret)})"#;
    assert_eq!(step.matches(reference).count(), 2, "{step}");
    let variable = |policy: &str, name: &str| {
        let all = objects(&rendered("injection-identity", NEWEST));
        let variables = only(&all, policy)["spec"]["variables"].as_array().expect("variables").clone();
        let found = variables.iter().find(|variable| variable["name"] == name).expect("the variable");
        found["expression"].as_str().expect("an expression").to_owned()
    };
    for policy in ["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"] {
        assert!(variable(policy, "identity").contains(r#"orValue("worker")"#));
        assert!(variable(policy, "secret").contains(r#"orValue("orders")"#));
    }
    // The values and the namespace speak to many Pods, and of each they mean the containers that it has.
    for name in ["identityStrangers", "misled"] {
        let own = r#""tokend.dev/identity" in object.metadata.?annotations.orValue({})"#;
        assert!(variable("ValidatingAdmissionPolicy", name).contains(own), "{name}");
    }
}
