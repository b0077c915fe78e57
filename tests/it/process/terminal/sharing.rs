//! A machine that others use: a sign-in gives nobody else its tokens unless that was asked for.

use std::os::unix::fs::PermissionsExt as _;

use super::{SHARED, Stage, WEB, Waiting};

const ANA: [&str; 5] = ["--no-browser", "--prompt", "none", "--login-hint", "ana@contoso.example"];
const CALLER: &str = "canary-of-desk-0123456789-abcdef";

/// Begins a sign-in with these arguments and brings it to its end.
async fn signs_in(stage: &Stage, args: &[&str]) {
    let mut waiting = Waiting::start(stage.command("login", &[&WEB[..], &ANA, args].concat()));
    let back = stage.emulator.sign_in(&waiting.address().await).await;
    waiting.is_shown_out(&back).await;
    let told = waiting.told().await;
    told.is(0, &[]);
    told.keeps(&[CALLER.to_owned()]);
}

/// Checks that a sign-in is refused before it begins.
async fn is_refused(stage: &Stage, args: &[&str], code: i32, words: &[&str]) {
    let told = stage.told("login", &[&WEB[..], &ANA, args].concat()).await;
    told.is(code, words);
    told.keeps(&[CALLER.to_owned()]);
    assert!(told.out.is_empty(), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_that_asks_nobody_who_they_are_is_refused() {
    let stage = Stage::over_tcp("").await;
    is_refused(&stage, &[], 64, &["every user of this machine", "callers", "0600", SHARED]).await;
    signs_in(&stage, &[SHARED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_others_may_open_is_refused() {
    for mode in ["0666", "0660"] {
        let stage = Stage::over_socket(mode).await;
        is_refused(&stage, &[], 64, &[&format!("mode {mode}"), "listen_mode", SHARED]).await;
        signs_in(&stage, &[SHARED]).await;
    }
    let stage = Stage::over_socket("0600").await;
    signs_in(&stage, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_a_token_signs_in_for_itself() {
    let callers = tempfile::tempdir().expect("a folder");
    let (token, wrong) = (callers.path().join("desk"), callers.path().join("wrong"));
    std::fs::write(&token, format!("# the desk's\n{CALLER}\n")).expect("a file");
    std::fs::write(&wrong, "canary-of-nobody-0123456789-abcdef\n").expect("a file");
    for file in [&token, &wrong] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    let file = token.display().to_string();
    let stage = Stage::over_tcp(&format!("callers:\n  - {{name: desk, token: {{file: {file}}}}}\n")).await;
    is_refused(&stage, &[], 1, &["The caller is not known", "--caller-token-file"]).await;
    is_refused(&stage, &["--caller-token-file", &wrong.display().to_string()], 1, &["The caller is not known"]).await;
    is_refused(&stage, &["--caller-token-file", "/nowhere/token"], 64, &["--caller-token-file /nowhere/token"]).await;
    let by = ["--caller-token-file", &*file];
    signs_in(&stage, &by).await;
    let listed = stage.told("accounts", &[&["--app", "web"], &by[..]].concat()).await;
    assert!(listed.code == 0 && listed.out.contains("ana@contoso.example"), "{}", listed.out);
    stage.told("accounts", &["--app", "web"]).await.is(1, &["The caller is not known"]);
    stage.told("token", &[&WEB[..], &by].concat()).await.is(0, &[]);
    // Whoever reads the file is the caller.
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let mut waiting = Waiting::start(stage.command("login", &[&WEB[..], &ANA, &by].concat()));
    let back = stage.emulator.sign_in(&waiting.address().await).await;
    waiting.is_shown_out(&back).await;
    waiting.told().await.is(0, &["warning: other users of this machine may read", "chmod 600"]);
}
