//! Two Pods, one Redis, one call to the authority.

use serde_json::json;

use crate::support::{App, Injection, Redis, Stage, body, config, container, pod, shared};

#[test]
fn redis_is_shared_by_two_pods() {
    let stage = Stage::new("shared");
    let _injection = Injection::for_namespace(&stage.namespace);
    let authority = stage.authority();
    let redis = Redis::start(&stage.namespace, &stage.certificates);
    let mut config = config(&authority);
    config["cache"] = shared(&redis);
    stage.configure(&config);
    let asks = json!({"tokend.dev/inject": "true"});
    let serve = container("serve", &[("APP_BODY", &body())]);
    stage.namespace.apply(&[pod("one", &asks, &serve), pod("two", &asks, &serve)]);

    let answers = ["one", "two"].map(|pod| App::new(&stage.namespace, pod).served(&[]));
    let [first, second] = &answers;
    assert_eq!(first["body"]["token_source"], "identity_provider", "{first}");
    assert_eq!((&second["body"]["token_source"], &second["body"]["cache_level"]), (&json!("cache"), &json!("redis")), "{second}");
    assert_eq!(first["body"]["access_token"], second["body"]["access_token"]);
    assert_eq!(authority.calls().len(), 1);
}
