//! Tokens of somebody who is signed in, in each form; who is signed in, and signing out.

use serde_json::{Value, json};

use super::{Stage, WEB};
use crate::support::redis::RedisServer;
use crate::support::{Emulator, code};

const ANA: &str = "ana@contoso.example";
const BEN: &str = "ben@contoso.example";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_printed_in_each_form_and_nowhere_else() {
    for stage in [Stage::over_tcp("").await, Stage::over_socket("0600").await] {
        stage.signed_in(ANA).await.is(0, &[]);
        let json = stage.told("token", &WEB).await;
        json.is(0, &[]);
        let answer = parsed(&json.out);
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        assert_eq!((&answer["account"]["username"], &answer["token_source"]), (&json!(ANA), &json!("cache")));
        let form = async |form: &str| {
            let told = stage.told("token", &[&WEB[..], &["--output", form]].concat()).await;
            told.is(0, &[]);
            assert!(told.err.is_empty(), "{}", told.err);
            told.out
        };
        assert_eq!(form("raw").await, format!("{token}\n"));
        assert_eq!(form("header").await, format!("Authorization: Bearer {token}\n"));
        let credential = parsed(&form("exec-credential").await);
        assert_eq!(credential["apiVersion"], "client.authentication.k8s.io/v1");
        assert_eq!((&credential["kind"], &credential["status"]["token"]), (&json!("ExecCredential"), &json!(token)));
        let ends = credential["status"]["expirationTimestamp"].as_str().expect("an end");
        assert!(ends.len() == 20 && ends.ends_with('Z'), "{ends}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_had_anew_where_that_is_asked_for() {
    let stage = Stage::over_tcp("").await;
    stage.signed_in(ANA).await.is(0, &[]);
    let raw = async |more: &[&str]| {
        let told = stage.told("token", &[&WEB[..], &["-o", "raw"], more].concat()).await;
        told.is(0, &[]);
        told.keeps(&stage.sent().await);
        told.out
    };
    let first = raw(&[]).await;
    assert_eq!(raw(&[]).await, first);
    let second = raw(&["--force-refresh"]).await;
    assert_ne!(second, first);
    let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
    assert_ne!(raw(&["--claims", claims]).await, second);
    let sent = stage.emulator.asked("token").await;
    assert!(sent.last().expect("a request")["form"]["claims"].as_str().is_some_and(|text| text.contains("nbf")), "{sent:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_token_it_is_can_be_said() {
    let stage = Stage::over_tcp("").await;
    stage.told("token", &WEB).await.is(2, &["nobody is signed in", "tokend login"]);
    stage.signed_in(ANA).await.is(0, &[]);
    stage.signed_in(BEN).await.is(0, &[]);
    let told = stage.told("token", &WEB).await;
    told.is(64, &["several accounts", ANA, BEN, "--account"]);
    assert!(told.out.is_empty(), "{}", told.out);
    let listed = parsed(&stage.told("accounts", &["--app", "web", "--output", "json"]).await.out);
    let accounts = listed["accounts"].as_array().expect("accounts");
    assert_eq!((accounts.len(), &listed["complete"]), (2, &json!(true)));
    for account in accounts {
        let (id, name) = (account["home_account_id"].as_str().expect("an id"), account["username"].as_str().expect("a name"));
        for named in [id, name, &name.to_uppercase()] {
            let told = stage.told("token", &[&WEB[..], &["--account", named]].concat()).await;
            told.is(0, &[]);
            assert_eq!(parsed(&told.out)["account"]["home_account_id"], id, "{named}");
        }
    }
    for nobody in ["eva@contoso.example", "9f4e.8eaef023", "../accounts", "a b\u{1b}"] {
        stage.told("token", &[&WEB[..], &["--account", nobody]].concat()).await.is(2, &["nobody is signed in as"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_to_sign_in_again_is_told_so_by_the_exit_status() {
    let stage = Stage::over_tcp("").await;
    stage.signed_in(ANA).await.is(0, &[]);
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let words = "AADSTS50076: more is needed";
    let refusal =
        json!({"error": "interaction_required", "suberror": "basic_action", "error_description": words, "claims": claims});
    stage.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": refusal}})).await;
    let told = stage.told("token", &[&WEB[..], &["--force-refresh"]].concat()).await;
    told.is(2, &["tokend: ", "AADSTS50076", "remedy: sign in again: tokend login --claims ", "correlation id: "]);
    told.keeps(&stage.sent().await);
    assert!(told.out.is_empty(), "{}", told.out);
    // What the remedy says can be done as it stands.
    let shown = told.err.lines().find_map(|line| line.split_once("--claims ")).expect("the challenge").1;
    let mut waiting = stage.begin(&["--prompt", "none", "--login-hint", ANA, "--claims", shown]);
    let address = waiting.address().await;
    assert!(crate::support::parameter(&address.parse().expect("an address"), "claims").contains("acrs"), "{address}");
    waiting.is_shown_out(&stage.emulator.sign_in(&address).await).await;
    waiting.told().await.is(0, &[]);
    let kept = stage.told("token", &WEB).await;
    kept.is(0, &[]);
    // A scope that the authority does not know is no reason to sign in.
    let told = stage.told("token", &["--app", "web", "--scope", "api://nothing/read"]).await;
    told.is(1, &["AADSTS500011"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_and_signed_out() {
    let stage = Stage::over_tcp("").await;
    let app = ["--app", "web"];
    assert_eq!(stage.told("accounts", &app).await.out, "nobody is signed in\n");
    assert_eq!(stage.told("logout", &[&app[..], &["--all"]].concat()).await.out, "nobody is signed in\n");
    stage.told("logout", &app).await.is(1, &["nobody is signed in"]);
    stage.signed_in(ANA).await.is(0, &[]);
    stage.signed_in(BEN).await.is(0, &[]);
    let table = stage.told("accounts", &app).await.out;
    assert!(table.starts_with("NAME ") && table.lines().count() == 3, "{table}");
    stage.told("logout", &app).await.is(64, &["--account"]);
    let told = stage.told("logout", &[&app[..], &["--account", ANA]].concat()).await;
    told.is(0, &[]);
    assert!(told.out.starts_with("signed out ana@contoso.example ("), "{}", told.out);
    let table = stage.told("accounts", &app).await.out;
    assert!(!table.contains(ANA) && table.contains(BEN), "{table}");
    // The token went with her.
    stage.told("token", &[&WEB[..], &["--account", ANA]].concat()).await.is(2, &[]);
    stage.told("token", &WEB).await.is(0, &[]);
    stage.signed_in(ANA).await.is(0, &[]);
    let told = stage.told("logout", &[&app[..], &["--all"]].concat()).await;
    told.is(0, &[]);
    assert_eq!(told.out.lines().count(), 2, "{}", told.out);
    assert_eq!(stage.told("accounts", &app).await.out, "nobody is signed in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tokend_is_can_stand_in_the_environment() {
    let stage = Stage::over_socket("0600").await;
    let mut command = super::tokend(&["accounts", "--app", "web"]);
    command.env("TOKEND_URL", stage.place.replace("unix://", "unix:"));
    let (code, text) = crate::process::said(&super::run(command).await);
    assert_eq!((code, text.as_str()), (0, "nobody is signed in\n"));
    let mut command = super::tokend(&["accounts"]);
    command.env("TOKEND_URL", "https://tokend.example");
    let (code, text) = crate::process::said(&super::run(command).await);
    assert!(code == 64 && text.contains("TOKEND_URL"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_over_all_pages() {
    let mut directory = Emulator::built_in();
    let users = directory["users"].as_array_mut().expect("users");
    let mut names = Vec::new();
    for number in 0..205 {
        let (name, id) = (format!("user{number}@contoso.example"), format!("55fbe4a8-961c-42a3-c7ed-{number:012}"));
        users.push(json!({"username": name, "password": "p", "object_id": id, "tenant": "contoso", "name": name}));
        names.push(name);
    }
    let stage = Stage::with_directory(&directory).await;
    for name in &names {
        let body = code(&stage.emulator, &stage.serving.client, "web", WEB[3], name).await;
        stage.serving.client.post("/auth-code", &body).await.token();
    }
    let table = stage.told("accounts", &["--app", "web"]).await;
    table.is(0, &[]);
    assert!(table.err.is_empty() && table.out.lines().count() == 206, "{} {}", table.out.lines().count(), table.err);
    assert!(names.iter().all(|name| table.out.lines().any(|line| line.starts_with(&format!("{name} ")))), "{}", table.out);
    let last = stage.told("token", &[&WEB[..], &["--account", &names[204]]].concat()).await;
    last.is(0, &[]);
    let told = stage.told("logout", &["--app", "web", "--all"]).await;
    told.is(0, &[]);
    assert_eq!(told.out.lines().count(), 205);
    assert_eq!(stage.told("accounts", &["--app", "web"]).await.out, "nobody is signed in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_an_account_may_be_missing_is_said() {
    let redis = RedisServer::start().await;
    let cache = format!("cache: {{redis: {{url: \"{}\", encryption: {{plaintext: true}}}}}}\n", redis.url());
    let stage = Stage::over_tcp(&cache).await;
    // It takes no writes any more.
    redis.admin().ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("a setting");
    stage.signed_in(ANA).await.is(0, &[]);
    let listed = stage.told("accounts", &["--app", "web", "--output", "json"]).await;
    listed.is(0, &["some accounts may be missing"]);
    assert_eq!(parsed(&listed.out), json!({"accounts": [], "complete": false}));
    let told = stage.told("logout", &["--app", "web", "--all"]).await;
    told.is(1, &["may not have been listed", "again"]);
}
