//! Signing in by a browser: the address that is opened, the page at the end, and what is said.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use super::{SHARED, Stage, WEB, Waiting, visit, word};
use crate::support::{Client, eventually, parameter};

const ANA: [&str; 4] = ["--prompt", "none", "--login-hint", "ana@contoso.example"];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_over_tcp_and_over_a_socket() {
    for stage in [Stage::over_tcp("").await, Stage::over_socket("0600").await] {
        let mut waiting = stage.begin(&ANA);
        let address = waiting.address().await.parse().expect("an address");
        // Entra takes any port of `localhost`.
        let redirect = parameter(&address, "redirect_uri");
        assert!(redirect.starts_with("http://localhost:") && !redirect.ends_with('/'), "{redirect}");
        assert_eq!(parameter(&address, "code_challenge_method"), "S256");
        let back = stage.emulator.sign_in(address.as_str()).await;
        let page = waiting.is_shown_out(&back).await;
        assert!(page.text.contains("You are signed in"), "{}", page.text);
        let told = waiting.told().await;
        told.is(0, &["Ctrl-C"]);
        assert!(told.out.lines().nth(1).is_some_and(|line| line.starts_with("signed in as ana@contoso.example (")), "{}", told.out);
        told.keeps(&[word(&back), stage.sent().await].concat());
        assert!(!told.out.contains("eyJ") && !told.out.contains(&parameter(&back, "code")), "{}", told.out);
        let accounts = stage.told("accounts", &["--app", "web"]).await;
        assert!(accounts.code == 0 && accounts.out.contains("ana@contoso.example"), "{}", accounts.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_that_the_environment_names_is_opened_without_a_shell() {
    let stage = Stage::over_tcp("").await;
    let (script, opened) = (stage.files.path().join("browser"), stage.files.path().join("opened"));
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" \"$2\" >'{}'\n", opened.display());
    std::fs::write(&script, text).expect("a file");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    let mut command = stage.command("login", &[&WEB[..], &ANA, &[SHARED]].concat());
    // The first is not there; the second has words of its own.
    command.env("BROWSER", format!("/nowhere/browser:{} $(id) %s", script.display()));
    let waiting = Waiting::start(command);
    let lines = || std::fs::read_to_string(&opened).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    eventually(Duration::from_secs(60), async || lines().len() == 3).await;
    let lines = lines();
    assert_eq!((&*lines[0], &*lines[1]), ("2", "$(id)"));
    let back = stage.emulator.sign_in(&lines[2]).await;
    waiting.is_shown_out(&back).await;
    let told = waiting.told().await;
    told.is(0, &["browser that opens now"]);
    assert!(told.out.starts_with("signed in as "), "the address was opened and is not printed: {}", told.out);
    told.keeps(&[word(&back), stage.sent().await].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_browser_can_be_opened_the_address_is_printed() {
    let stage = Stage::over_tcp("").await;
    let mut command = stage.command("login", &[&WEB[..], &ANA, &[SHARED]].concat());
    command.env("BROWSER", "/nowhere/browser:/bin/false");
    let mut waiting = Waiting::start(command);
    let back = stage.emulator.sign_in(&waiting.address().await).await;
    waiting.is_shown_out(&back).await;
    waiting.told().await.is(0, &["No browser could be opened", "BROWSER"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_ends_on_pages_that_were_asked_for() {
    let stage = Stage::over_tcp("").await;
    let pages = ["--success-url", "https://intranet.example/in?a=b", "--error-url", "https://intranet.example/out"];
    let mut waiting = stage.begin(&[&ANA[..], &pages].concat());
    let good = visit(&stage.emulator.sign_in(&waiting.address().await).await).await;
    assert_eq!((good.status, good.header("location")), (303, "https://intranet.example/in?a=b"));
    assert_eq!(good.header("referrer-policy"), "no-referrer");
    waiting.told().await.is(0, &[]);
    let mut waiting = stage.begin(&[&ANA[..], &pages].concat());
    let cancelled = format!("{}&cancel=yes", waiting.address().await);
    let bad = visit(&stage.emulator.sign_in(&cancelled).await).await;
    // Not a word of why.
    assert_eq!((bad.status, bad.header("location")), (303, "https://intranet.example/out"));
    waiting.told().await.is(1, &["the authority refused the sign-in: access_denied", "AADSTS65004"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_authority_is_shown_on_the_terminal_alone() {
    let stage = Stage::over_tcp("").await;
    let mut waiting = stage.begin(&["--prompt", "none", "--login-hint", "nobody@contoso.example"]);
    let back = stage.emulator.sign_in(&waiting.address().await).await;
    let page = waiting.is_shown_out(&back).await;
    assert!(page.text.contains("failed") && !page.text.contains("AADSTS"), "{}", page.text);
    let told = waiting.told().await;
    told.is(1, &["the authority refused", "AADSTS50058", "remedy: "]);
    told.keeps(&word(&back));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_authority_move_no_cursor() {
    let stage = Stage::over_tcp("").await;
    let mut waiting = stage.begin(&ANA);
    let mut back = stage.emulator.sign_in(&waiting.address().await).await;
    let state = parameter(&back, "state");
    back.query_pairs_mut().clear().append_pair("state", &state).append_pair("error", "e\u{1b}[2J");
    back.query_pairs_mut().append_pair("error_description", &format!("\u{9b}31m\r\nforged line{}", "x".repeat(5000)));
    waiting.is_shown_out(&back).await;
    let told = waiting.told().await;
    told.is(1, &["e [2J:", "forged line"]);
    assert!(!told.err.contains(['\u{1b}', '\u{9b}', '\r']) && told.err.len() < 2000, "{:?}", told.err);
    assert!(told.err.lines().all(|line| !line.starts_with("forged")), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_refused_is_a_problem_with_its_remedy_and_id() {
    let stage = Stage::over_tcp("").await;
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"aadsts": 54005}})).await;
    let mut waiting = stage.begin(&ANA);
    let back = stage.emulator.sign_in(&waiting.address().await).await;
    let page = waiting.is_shown_out(&back).await;
    assert!(page.text.contains("failed"), "{}", page.text);
    let told = waiting.told().await;
    told.is(1, &["tokend: The authority refused: ", "error: invalid_grant", "AADSTS54005", "remedy: ", "correlation id: "]);
    told.keeps(&[word(&back), stage.sent().await].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tokend_refuses_is_said_before_anything_is_opened() {
    let stage = Stage::over_tcp("").await;
    let told = stage.told("login", &["--app", "nothing", "--scope", "a", SHARED, "--no-browser"]).await;
    told.is(1, &["There is no such app", "remedy: name an app", "correlation id: "]);
    assert!(told.out.is_empty(), "{}", told.out);
    let mut command = super::tokend(&["login", "--scope", "a", SHARED, "--url", "http://127.0.0.1:9"]);
    command.env("BROWSER", "/bin/false");
    let (code, text) = crate::process::said(&super::run(command).await);
    assert!(code == 1 && text.contains("cannot be reached") && text.contains("TOKEND_URL"), "{text}");
    // Something else listens there.
    let admin = stage.serving.admin.base.clone();
    let (code, text) = crate::process::said(&super::run(super::tokend(&["accounts", "--url", &admin])).await);
    assert!(code == 1 && text.contains("remedy: "), "{text}");
    assert_eq!(Client::new(&stage.place, None).get("/accounts?app=web").await.status, 200);
}

#[tokio::test]
async fn the_help_names_the_commands_and_the_page_about_them_every_option() {
    let (code, help) = crate::process::said(&super::run(super::tokend(&["--help"])).await);
    assert_eq!(code, 0, "{help}");
    let page = std::fs::read_to_string(crate::process::root().join("docs/terminal.md")).expect("docs/terminal.md");
    for verb in ["login", "token", "accounts", "logout"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))), "{verb}: {help}");
        let (code, help) = crate::process::said(&super::run(super::tokend(&[verb, "--help"])).await);
        assert_eq!(code, 0, "{help}");
        let words = help.split_whitespace().map(|word| word.trim_end_matches(','));
        let options: Vec<&str> = words.filter(|word| word.starts_with("--") && *word != "--help").collect();
        assert!(options.contains(&"--url"), "{help}");
        for option in options {
            assert!(page.contains(&format!("`{option}`")), "docs/terminal.md does not name {option} of {verb}");
        }
    }
}
