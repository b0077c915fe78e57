//! Callers' tokens are nowhere but in their files; their names may be read in logs and metrics, and not in Redis.

use std::collections::BTreeMap;

use serde_json::json;
use tokend::config::{Format, parse};

use super::{ANA, Stage, THREE, id, token};
use crate::support::{GRAPH, NOW};

#[tokio::test]
async fn redis_knows_neither_the_tokens_nor_the_names_of_callers() {
    let stage = Stage::sharing(&THREE).await;
    for caller in ["alpha", "beta", "desk"] {
        let ana = id(&stage.sign_in(0, caller, ANA).await);
        let bearer = stage.user_token(ANA).await;
        stage.obo(0, caller, &bearer).await.token();
        stage.silent(1, caller, &ana).await.token();
        stage.client(0, caller).post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await.token();
    }
    let redis = stage.redis.as_ref().expect("a Redis");
    let keys = redis.keys().await;
    assert!(keys.iter().filter(|key| key.ends_with("}:a")).count() == 3, "{keys:?}");
    for key in &keys {
        let dumped: Vec<u8> = redis.admin().ask(&["DUMP", key]).await.expect("a value");
        for text in [key.as_bytes(), &dumped] {
            for caller in ["alpha", "beta", "desk", "canary"] {
                assert!(!text.windows(caller.len()).any(|window| window == caller.as_bytes()), "{caller} in {key}");
            }
        }
    }
}

#[tokio::test]
async fn debug_and_findings_show_no_token() {
    let stage = Stage::empty(None).await;
    stage.write_tokens("alpha", &[&token("alpha")]);
    let yaml = format!(
        "{}callers:\n  - {{name: alpha, token: {{file: {}}}}}\n  - {{name: beta, token: {{inline: {}}}}}\n  - {{name: desk, token: {{env: DESK}}}}\n",
        stage.base,
        stage.token_file("alpha").display(),
        token("beta")
    );
    let environment = BTreeMap::from([("DESK".to_owned(), token("desk"))]);
    let (settings, findings) = parse(&yaml, Format::Yaml, "test.yaml", &environment);
    let settings = settings.unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(findings.iter().map(|finding| finding.key.as_str()).collect::<Vec<_>>(), ["callers[1].token.inline"]);
    let mut texts = format!("{settings:?} {settings:#?} {findings:?}");
    let (prepared, findings) = tokend::sidecar::prepare(settings, &tokend::clock::Clock::manual(NOW));
    texts += &format!("{:?} {findings:?}", prepared.expect("good files"));
    assert!(!texts.contains("canary-of"));
}
