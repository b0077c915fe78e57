//! tokend as a Deployment behind a Service: TLS, and callers that have to say who they are.

use serde_json::{Value, json};

use crate::support::{App, CALLER, Release, Stage, body, config, container, image, pod};

/// The values of a Deployment with this configuration.
pub(crate) fn values(config: &Value) -> Value {
    json!({
        "standalone": {"enabled": true, "tls": {"existingSecret": "tokend-tls"}},
        "image": image(), "callers": {"list": [{"name": "web"}], "existingSecret": "tokend-callers"},
        "secrets": {"credentials": {"existingSecret": "tokend"}}, "config": config,
    })
}

/// An app that trusts the CA and has the caller's token; it asks the Deployment unless told otherwise.
pub(crate) fn caller(stage: &Stage, mode: &str, more: &[(&str, &str)]) -> Value {
    let (url, body) = (stage.standalone_url(), body());
    let mut environment = vec![
        ("APP_URL", url.as_str()),
        ("APP_BODY", body.as_str()),
        ("APP_CA_FILE", "/run/secrets/ca/ca.crt"),
        ("APP_CALLER_TOKEN_FILE", "/run/secrets/caller/web"),
    ];
    environment.extend(more);
    let mut container = container(mode, &environment);
    container["volumeMounts"] = json!([{"name": "ca", "mountPath": "/run/secrets/ca", "readOnly": true},
                                       {"name": "caller", "mountPath": "/run/secrets/caller", "readOnly": true}]);
    let mut pod = pod(mode, &json!({}), &container);
    pod["spec"]["volumes"] = json!([
        {"name": "ca", "secret": {"secretName": "tokend", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"name": "caller", "secret": {"secretName": "tokend-callers"}},
    ]);
    pod
}

#[test]
fn it_is_installed_upgraded_uninstalled_and_installed_again() {
    let stage = Stage::new("standalone");
    let values = values(&config(&stage.authority()));
    let release = Release::install(&stage.namespace.name, "tokend", &values);
    stage.namespace.apply(&[caller(&stage, "serve", &[])]);
    let app = App::new(&stage.namespace, "serve");
    app.served(&[]);
    release.test();

    let mut louder = values.clone();
    louder["config"]["log"] = json!({"level": "debug"});
    let old = stage.namespace.pod("app.kubernetes.io/name=tokend");
    release.upgrade(&louder);
    stage.namespace.rolled_out("tokend");
    stage.namespace.wait(&format!("pod/{old}"), "delete");
    assert_ne!(stage.namespace.pod("app.kubernetes.io/name=tokend"), old, "another configuration is another Pod");
    app.served(&[("fresh", "")]);

    release.uninstall();
    stage.namespace.until("the last of the release to go", || release.remains().is_empty().then_some(()));
    assert_eq!(app.ask(&[("fresh", "")])["status"], 0, "nobody is there");
    release.install_again(&values);
    app.served(&[("fresh", "")]);
    release.test();
}

#[test]
fn it_serves_a_caller_over_tls_and_refuses_everybody_else() {
    let stage = Stage::new("callers");
    let authority = stage.authority();
    let _release = Release::install(&stage.namespace.name, "tokend", &values(&config(&authority)));
    stage.namespace.apply(&[caller(&stage, "serve", &[])]);
    let app = App::new(&stage.namespace, "serve");

    for protocol in ["fresh", "http1"] {
        let answer = app.served(&[(protocol, "")]);
        assert_eq!(answer["claims"]["roles"], json!(["Orders.Process"]), "{answer}");
        assert_eq!(answer["proto"], if protocol == "http1" { "HTTP/1.1" } else { "HTTP/2.0" });
    }
    let close = format!("{}x", &CALLER[..CALLER.len() - 1]);
    for stranger in ["none", "wrong-token-of-nobody-at-all", &close] {
        let answer = app.ask(&[("caller", stranger)]);
        assert_eq!((answer["status"].clone(), answer["body"]["error"].clone()), (json!(403), json!("caller_not_authenticated")));
    }
    // Not over plain HTTP, not under another name, and not where only probes and scrapes are answered.
    let plain = app.ask(&[("url", &stage.standalone_url().replace("https", "http"))]);
    assert!(plain["body"]["access_token"].is_null() && plain["status"] != 200, "{plain}");
    let admin = format!("http://tokend-admin.{}.svc:8651", stage.namespace.name);
    assert_eq!(app.ask(&[("url", &admin)])["status"], 404);
    assert_eq!(app.ask(&[("url", &admin), ("path", "/status")])["body"]["access_token"], Value::Null);
    // A Pod that does not know the CA does not trust whoever says that it is tokend.
    let distrusting = container("serve", &[("APP_URL", &stage.standalone_url()), ("APP_BODY", &body())]);
    stage.namespace.apply(&[pod("distrusts", &json!({}), &distrusting)]);
    let answer = App::new(&stage.namespace, "distrusts").ask(&[("caller", CALLER)]);
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("certificate")), "{answer}");
    assert_eq!(authority.calls().len(), 1, "one token for all that was asked");
}
