//! Pods that go while somebody asks: not one request is lost, neither through a Service nor in a Pod of one's own.

use serde_json::{Value, json};

use crate::injected::asking;
use crate::standalone::{caller, values};
use crate::support::{App, Injection, Release, Stage, body, config, container, name, pod};

const SERVER: &str = "app.kubernetes.io/component=server";

/// Requests that a load has to bring before and after what is done to the Pods.
const SOME: u64 = 200;

#[test]
fn a_replica_that_is_deleted_loses_no_request() {
    let stage = Stage::new("replicas");
    let mut values = values(&config(&stage.authority()));
    values["standalone"]["replicas"] = json!(3);
    values["standalone"]["acknowledgeMemoryOnly"] = json!(true);
    let release = Release::install(&stage.namespace.name, "tokend", &values);
    stage.namespace.apply(&[caller(&stage, "serve", &[])]);
    App::new(&stage.namespace, "serve").served(&[]);
    // Without a pause: whoever closes a connection between two requests meets the next one.
    stage.namespace.apply(&[caller(&stage, "load", &[("APP_WORKERS", "16"), ("APP_PAUSE_MS", "0")])]);
    let load = App::new(&stage.namespace, "load");
    more(&stage, &load);

    let gone = name(&stage.namespace.pods(SERVER)[0]);
    stage.namespace.kubectl(&["delete", "pod", &gone, "--wait=true"], None).expect("a Pod that can be deleted");
    stage.namespace.rolled_out("tokend");
    more(&stage, &load);
    // And each of them, one after the other.
    let old: Vec<String> = stage.namespace.pods(SERVER).iter().map(name).collect();
    values["config"]["log"] = json!({"level": "debug"});
    release.upgrade(&values);
    stage.namespace.rolled_out("tokend");
    for pod in old {
        stage.namespace.wait(&format!("pod/{pod}"), "delete");
    }
    let counts = more(&stage, &load);
    assert_eq!(counts["failed"], 0, "{counts}");
}

/// Waits until the load has brought some more requests, and says what it counted.
fn more(stage: &Stage, load: &App<'_>) -> Value {
    let asked = |counts: &Value| counts["asked"].as_u64().unwrap_or_default();
    let before = asked(&load.counts());
    stage.namespace.until("some more requests", || Some(load.counts()).filter(|counts| asked(counts) >= before + SOME))
}

#[test]
fn an_app_gets_tokens_from_its_sidecar_until_it_ends() {
    let stage = Stage::new("until-the-end");
    let _injection = Injection::for_namespace(&stage.namespace);
    stage.configure(&config(&stage.authority()));
    stage.namespace.apply(&[pod("serve", &asking(), &container("serve", &[("APP_BODY", &body())]))]);
    App::new(&stage.namespace, "serve").served(&[]);
    // It goes on asking for three seconds after it was told to end. The finalizer keeps the Pod's last words.
    let mut asks = pod("load", &asking(), &container("load", &[("APP_BODY", &body()), ("APP_LINGER", "3")]));
    asks["metadata"]["finalizers"] = json!(["tokend.dev/read-by-the-test"]);
    stage.namespace.apply(&[asks]);
    more(&stage, &App::new(&stage.namespace, "load"));
    stage.namespace.kubectl(&["delete", "pod", "load", "--wait=false"], None).expect("a Pod that can be deleted");
    let ended = stage.namespace.until("both containers to end", || {
        let status = stage.namespace.get("pod", "load")["status"].clone();
        let ends = ["containerStatuses", "initContainerStatuses"].map(|list| status[list][0]["state"]["terminated"].clone());
        ends.iter().all(Value::is_object).then_some(ends)
    });
    stage
        .namespace
        .kubectl(&["patch", "pod", "load", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#], None)
        .expect("a Pod that can go");
    let [app, sidecar] = ended;
    let counts: Value = serde_json::from_str(app["message"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("{app:#}"));
    assert_eq!(counts["failed"], 0, "{counts}");
    assert!(counts["late"].as_u64().is_some_and(|late| late >= SOME), "{counts}");
    // It was told after the app had ended, had nothing to do any more, and left at once.
    assert_eq!(sidecar["exitCode"], 0, "{sidecar:#}");
    assert!(sidecar["finishedAt"].as_str() >= app["finishedAt"].as_str(), "{app:#} {sidecar:#}");
}
