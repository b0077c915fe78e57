//! Who may ask: by a token from a Secret, by a service account, or by what tokend.yaml says; and what each of them has mounted.

use serde_json::{Value, json};

use super::helm::{NEWEST, objects, only, rendered, with};

/// What the values make of tokend.yaml and of the Deployment's Pod.
struct Rendered {
    config: Value,
    pod: Value,
}

// === impl Rendered ===

impl Rendered {
    fn of(text: &str) -> Self {
        let all = objects(text);
        let config = only(&all, "ConfigMap")["data"]["tokend.yaml"].as_str().expect("a configuration");
        let pod = all.iter().find(|object| object["kind"] == "Deployment").map(|object| &object["spec"]["template"]["spec"]);
        Self { config: yaml_serde::from_str(config).expect("YAML"), pod: pod.cloned().unwrap_or_default() }
    }

    fn mode(name: &str) -> Self {
        Self::of(&rendered(name, NEWEST))
    }

    fn volume(&self, name: &str) -> Option<&Value> {
        self.pod["volumes"].as_array()?.iter().find(|volume| volume["name"] == name)
    }
}

fn refused(name: &str, more: &str, words: &[&str]) {
    let said = with(name, more).expect_err(more);
    for word in words {
        assert!(said.contains(word), "{name} with {more}, {word}: {said}");
    }
}

#[test]
fn a_service_account_is_a_caller_without_a_secret() {
    let all = Rendered::mode("standalone-service-accounts");
    let proof = |subject: &str| {
        json!({
            "issuer": "https://kubernetes.default.svc.cluster.local", "audience": "rel-tokend.ns.svc", "subjects": [subject],
            "jwks_uri": "https://kubernetes.default.svc/openid/v1/jwks", "ca_file": "/run/secrets/kubernetes/ca.crt",
            "discovery_token": {"file": "/run/secrets/kubernetes/token"},
        })
    };
    // The release's namespace, unless another one is named.
    let expected = json!([
        {"name": "web", "jwt": proof("system:serviceaccount:ns:web")},
        {"name": "batch", "jwt": proof("system:serviceaccount:jobs:batch"), "flows": ["client_credentials"]},
    ]);
    assert_eq!(all.config["callers"], expected);
    // A proxy is for authorities.
    assert_eq!(all.config["outbound"], json!({"no_proxy": ["kubernetes.default.svc"]}));
    assert!(all.volume("tokend-secret-callers").is_none());
    // The Pod still has no token for the API server by itself; this one is for tokend's container alone.
    assert_eq!(all.pod["automountServiceAccountToken"], false);
    let sources = &all.volume("tokend-api-server").expect("the volume")["projected"]["sources"];
    let token = json!({"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}});
    let ca = json!({"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}});
    assert_eq!(sources, &json!([token, ca]));
}

#[test]
fn a_public_issuer_gets_no_token_of_ours() {
    let all = Rendered::mode("standalone-doors");
    let batch = json!({"issuer": "https://oidc.example/clusters/1", "audience": "https://tokens.example",
                       "subjects": ["system:serviceaccount:ns:batch"]});
    assert_eq!(all.config["callers"][1], json!({"name": "batch", "jwt": batch}));
    assert!(all.volume("tokend-api-server").is_none() && all.config["outbound"].is_null());
}

#[test]
fn callers_of_every_kind_stand_in_one_list() {
    let all = Rendered::mode("standalone-doors");
    let callers = &all.config["callers"];
    assert_eq!(callers[0]["token"], json!({"file": "/run/secrets/callers/web"}));
    assert_eq!(callers[0]["doors"], json!(["rest", "oauth2"]));
    assert_eq!(callers[2], json!({"name": "gateway", "certificate": {"dns_names": ["gateway.shop.svc"]}}));
    assert_eq!(all.config["tls"]["client_certificates"], "optional");
    assert_eq!(all.config["doors"], json!(["rest", "oauth2"]));
    assert!(all.volume("tokend-secret-callers").is_some());
    let sidecar = Rendered::mode("sidecar-callers").config;
    let expected = json!([
        {"name": "worker", "token": {"file": "/run/secrets/callers/worker"}, "doors": ["msi"], "apps": ["orders"],
         "flows": ["client_credentials"]},
        {"name": "web", "token": {"file": "/run/secrets/callers/web.txt"}, "former_names": ["frontend"]},
        {"name": "agent", "peer": {"uid": 10001}},
        {"name": "old", "listener": "127.0.0.1:5178"},
    ]);
    assert_eq!(sidecar["callers"], expected);
    // Required is what it is without the key, which older programs do not know.
    let required = Rendered::of(&with("standalone", "standalone: {tls: {clientCAKey: ca.crt}}").expect("it renders")).config;
    assert!(required["tls"]["client_ca"].is_object() && required["tls"]["client_certificates"].is_null());
}

#[test]
fn what_the_configuration_exempts_from_the_proxy_stays() {
    for (given, expected) in [
        ("[a.example, b.example]", json!(["a.example", "b.example", "kubernetes.default.svc"])),
        ("'a.example,b.example'", json!(["a.example", "b.example", "kubernetes.default.svc"])),
        ("[kubernetes.default.svc]", json!(["kubernetes.default.svc"])),
    ] {
        let more = format!("config: {{outbound: {{proxy: 'http://proxy.example:3128', no_proxy: {given}}}}}");
        let all = Rendered::of(&with("standalone-service-accounts", &more).expect("it renders"));
        assert_eq!(all.config["outbound"], json!({"proxy": "http://proxy.example:3128", "no_proxy": expected}), "{given}");
    }
    let elsewhere = "callers: {serviceAccountKeys: 'https://api.example:6443/openid/v1/jwks'}";
    let all = Rendered::of(&with("standalone-service-accounts", elsewhere).expect("it renders"));
    assert_eq!(all.config["outbound"]["no_proxy"], json!(["api.example"]));
}

#[test]
fn the_network_policy_names_the_api_server_where_it_is_known() {
    let more = "networkPolicy: {apiServer: {to: [{ipBlock: {cidr: 10.0.0.1/32}}], ports: [8443]}}";
    let egress = |name: &str| {
        let all = objects(&with(name, more).expect("it renders"));
        only(&all, "NetworkPolicy")["spec"]["egress"].as_array().expect("rules").clone()
    };
    let rule = json!({"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 8443}]});
    assert!(egress("standalone-service-accounts").contains(&rule));
    assert!(!egress("standalone-sentinel").contains(&rule), "nobody asks it there");
}

#[test]
fn callers_that_cannot_prove_themselves_so() {
    refused(
        "standalone",
        "callers: {list: [{name: web, serviceAccount: {name: web}}]}",
        &["callers.list[0].serviceAccount: nothing says who issues", "callers.serviceAccountIssuer", "kubectl get --raw"],
    );
    let accounts = "callers: {serviceAccountIssuer: 'https://issuer.example', list: [{name: web, serviceAccount: {name: web}}]";
    refused("standalone", &format!("{accounts}}}"), &["callers.existingSecret: it is for tokens", "Remove it"]);
    with("standalone", &format!("{accounts}, existingSecret: ''}}")).expect("the remedy renders");
    refused(
        "sidecar",
        &format!("{accounts}}}"),
        &["callers.list[0].serviceAccount: all containers of a Pod", "standalone.enabled"],
    );
    refused("standalone", "callers: {serviceAccountIssuer: 'https://a.example'}", &["callers.serviceAccountIssuer: no caller is"]);
    for (more, words) in [
        ("{name: web, serviceAccount: {name: web}, jwt: {}}", &["callers.list[0]: it has jwt and serviceAccount", "one way"][..]),
        ("{name: web, key: a, jwt: {}}", &["callers.list[0].key: it names a token", "by jwt"]),
        ("{name: web, certificate: {dns_names: [a]}}", &["callers.list[0].certificate", "standalone.tls.clientCAKey"]),
        ("{name: web, peer: {uid: 1}}", &["callers.list[0].peer: nobody reaches a socket or the loopback"]),
        ("{name: web, listener: '127.0.0.1:5178'}", &["callers.list[0].listener: nobody reaches"]),
    ] {
        refused("standalone", &format!("callers: {{list: [{more}]}}"), words);
    }
    let named = "callers: {list: [{name: web}, {name: job, jwt: {issuer: 'https://a.example'}}], existingSecret: ''}";
    refused("standalone", named, &["callers.existingSecret", "the tokens of web are"]);
    refused("sidecar", "callers: {list: [{name: a, peer: {uid: 1}}]}", &["callers.list[0].peer: there is no socket"]);
    refused(
        "sidecar",
        "callers: {list: [{name: a, certificate: {dns_names: [a]}}]}",
        &["callers.list[0].certificate: tokend asks"],
    );
}
