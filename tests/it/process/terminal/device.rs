//! Signing in with another device: what is shown, how it is asked about, and how each answer ends it.

use serde_json::{Value, json};

use super::{SHARED, Stage, Told, Waiting, signal};
use crate::support::soon;

const WEB: [&str; 4] = ["--app", "web", "--scope", "api://orders/access_as_user"];
const SHOP: [&str; 4] = ["--app", "shop-web", "--scope", "orders.read"];

/// A tokend whose authority changes this in what it says of a code.
async fn stage(set: Value) -> Stage {
    let stage = Stage::over_tcp("").await;
    stage.emulator.script(json!({"on": {"endpoint": "devicecode"}, "times": 0, "do": {"set": set}})).await;
    stage
}

/// Begins a sign-in; returns it with the code that its user is shown.
async fn begun(stage: &Stage, args: &[&str]) -> (Waiting, String) {
    let mut waiting = Waiting::start(stage.command("login", &[&["--device", SHARED], args].concat()));
    let line = waiting.address().await;
    assert!(line.starts_with(&format!("Open {}", stage.emulator.origin)), "{line}");
    let code = line.rsplit(' ').next().expect("a code").to_owned();
    (waiting, code)
}

/// Waits for its end; nothing secret was said meanwhile.
async fn ended(stage: &Stage, waiting: Waiting) -> Told {
    let told = soon(waiting.told()).await;
    let asked = stage.emulator.asked("token").await;
    let codes: Vec<String> = asked.iter().filter_map(|call| call["form"]["device_code"].as_str().map(str::to_owned)).collect();
    told.keeps(&codes);
    assert!(!told.out.contains("tkdd1.") && !told.err.contains("tkdd1.") && !told.out.contains("eyJ"), "{} {}", told.out, told.err);
    assert!(codes.iter().all(|code| !told.out.contains(code)), "{}", told.out);
    told
}

async fn decide(stage: &Stage, decision: Value) {
    let answer = stage.emulator.client.post("/_emulator/device", &decision).await;
    assert!(answer.status < 300, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_with_another_device_at_both_kinds_of_authority() {
    let stage = stage(json!({"interval": 1})).await;
    for (args, user) in [(WEB, "ana@contoso.example"), (SHOP, "eva")] {
        let (waiting, code) = begun(&stage, &args).await;
        // It was asked about before its user has entered it.
        let polls = stage.emulator.asked("token").await.len();
        stage.emulator.asked_times("token", polls + 1).await;
        decide(&stage, json!({"code": code, "user": user})).await;
        let told = ended(&stage, waiting).await;
        told.is(0, &[]);
        assert!(
            told.out.lines().last().is_some_and(|line| line.starts_with("signed in as ") && line.contains(user)),
            "{}",
            told.out
        );
        stage.told("token", &args).await.is(0, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_say_no() {
    let stage = stage(json!({"interval": 1})).await;
    let (waiting, code) = begun(&stage, &WEB).await;
    decide(&stage, json!({"code": code, "deny": true})).await;
    ended(&stage, waiting).await.is(1, &["refused on the other device", "remedy: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_enters_ends() {
    let stage = stage(json!({"interval": 1, "expires_in": 3})).await;
    let (waiting, _) = begun(&stage, &WEB).await;
    ended(&stage, waiting).await.is(1, &["nobody entered the code in time"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_another_device_has_an_end() {
    let stage = stage(json!({"interval": 1})).await;
    let (waiting, _) = begun(&stage, &[&WEB[..], &["--timeout", "2s"]].concat()).await;
    ended(&stage, waiting).await.is(1, &["nobody signed in within 2 s"]);
    let (waiting, _) = begun(&stage, &WEB).await;
    signal(&waiting.child, "INT");
    ended(&stage, waiting).await.is(130, &["interrupted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tokend_refuses_is_said_and_nothing_is_shown() {
    let callers = tempfile::tempdir().expect("a folder");
    let token = callers.path().join("desk").display().to_string();
    std::fs::write(&token, "canary-of-desk-0123456789-abcdef\n").expect("a file");
    // A caller has this flow by its name only.
    let stage = Stage::over_tcp(&format!("callers:\n  - {{name: desk, token: {{file: {token}}}}}\n")).await;
    let told = stage.told("login", &[&["--device", "--caller-token-file", &token], &WEB[..]].concat()).await;
    told.is(1, &["The caller may not do this", "callers.*.flows", "remedy: ", "correlation id: "]);
    assert!(told.out.is_empty(), "{}", told.out);
    assert_eq!(stage.emulator.asked("devicecode").await.len(), 0);
}
