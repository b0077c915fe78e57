//! `tokend check --online`: one token for each app, and the authority's own words where there is none.

use serde_json::json;

use super::{run, said, stage, tokend};
use crate::support::{Emulator, configuration};

#[tokio::test(flavor = "multi_thread")]
async fn every_app_that_works_is_named() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let mut command = tokend(&["check", "--online", "--config"]);
    command.arg(&config);
    let (code, text) = said(&run(command).await);
    assert_eq!(code, 0, "{text}");
    for app in ["daemon", "daemon-cert", "orders", "partner", "shop", "shop-cert"] {
        assert!(text.contains(&format!("{app}: the authority gives it tokens")), "{app}: {text}");
    }
    assert!(!text.contains("eyJ"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_is_1_with_the_authoritys_words() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("an id");
    let yaml = configuration(&emulator, &files);
    let web = yaml.lines().find(|line| line.starts_with("  web: ")).expect("web");
    let lost = web.replace("  web: ", "  lost: ").replace(tenant, "11111111-2b34-4da1-9baa-8bc8c9d6a490");
    std::fs::write(&config, yaml.replace(web, &format!("{web}\n{lost}"))).expect("a file");
    std::fs::write(files.path().join("daemon.secret"), "wrong-secret-canary").expect("a file");
    let mut command = tokend(&["check", "--online", "--config"]);
    command.arg(&config);
    let (code, text) = said(&run(command).await);
    assert_eq!(code, 1, "{text}");
    let line = |app: &str| text.lines().find(|line| line.starts_with(&format!("{app}: "))).expect("a line").to_owned();
    assert!(line("daemon").contains("invalid_client"), "{text}");
    assert!(line("lost").contains("AADSTS"), "{text}");
    assert!(line("web").contains("gives it tokens"), "the others are asked all the same: {text}");
    assert!(!text.contains("wrong-secret-canary") && !text.contains(Emulator::secret(emulator.app("web"))), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aut_4_an_unknown_instance_is_an_error_and_one_that_cannot_be_asked_is_none() {
    for (script, expected) in [
        (json!({"aadsts": 50049}), 1),
        (json!({"raw": {"status": 503, "body": "busy"}}), 0),
        (json!({"raw": {"status": 200, "body": "<html>"}}), 0),
    ] {
        let (emulator, files) = stage().await;
        emulator.script(json!({"on": {"endpoint": "instance"}, "times": 0, "do": script})).await;
        let config = files.path().join("tokend.yaml");
        std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
        let mut command = tokend(&["check", "--online", "--config"]);
        command.arg(&config);
        let (code, text) = said(&run(command).await);
        assert_eq!(code, expected, "{text}");
        assert_eq!(text.contains("apps.daemon.authority: Entra knows no instance"), expected == 1, "{text}");
        // Issuers are no instances of anybody.
        assert!(!text.contains("apps.shop.authority"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_another_than_the_configured_one_is_shown_with_it() {
    for (written, right) in [("/oidc/shop/", "/oidc/shop"), ("/oidc/shop//", "/oidc/shop")] {
        let (emulator, files) = stage().await;
        let config = files.path().join("tokend.yaml");
        let origin = &emulator.origin;
        let yaml = configuration(&emulator, &files).replace(&format!("{origin}/oidc/shop\""), &format!("{origin}{written}\""));
        std::fs::write(&config, yaml).expect("a file");
        let mut command = tokend(&["check", "--online", "--config"]);
        command.arg(&config);
        let (code, text) = said(&run(command).await);
        assert_eq!(code, 1, "{text}");
        let line = text.lines().find(|line| line.starts_with("shop: ")).expect("a line");
        for issuer in [format!("`{origin}{written}`"), format!("`{origin}{right}`")] {
            assert!(line.contains(&issuer), "{issuer}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_foreign_to_the_authority_is_a_warning() {
    for (said_issuer, is_foreign) in [
        ("https://login.elsewhere.example/TID/v2.0", true),
        ("https://login.microsoftonline.com/TID/v2.0", true),
        ("7", true),
        ("ORIGIN/TID/v2.0", false),
    ] {
        let (emulator, files) = stage().await;
        let config = files.path().join("tokend.yaml");
        std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
        let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("an id");
        let issuer = said_issuer.replace("TID", tenant).replace("ORIGIN", &emulator.origin);
        let issuer = if issuer == "7" { json!(7) } else { json!(issuer) };
        let on = json!({"endpoint": "discovery", "path": "/v2.0/"});
        emulator.script(json!({"on": on, "times": 0, "do": {"set": {"issuer": issuer}}})).await;
        let mut command = tokend(&["check", "--online", "--config"]);
        command.arg(&config);
        let (code, text) = said(&run(command).await);
        assert_eq!(code, 0, "{text}");
        let line = text.lines().find(|line| line.starts_with("warning: apps.orders.authority: "));
        assert_eq!(line.is_some(), is_foreign, "{text}");
        if let (Some(line), Some(issuer)) = (line, issuer.as_str()) {
            let host = emulator.origin.trim_start_matches("https://");
            assert!(line.contains(&format!("`{issuer}`")) && line.contains(&format!("`{host}`")), "{line}");
        }
        assert!(!text.contains("warning: apps.shop.authority"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_down_is_1() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    let nobody = format!("https://127.0.0.1:{}", super::free_port());
    std::fs::write(&config, configuration(&emulator, &files).replace(&emulator.origin, &nobody)).expect("a file");
    let mut command = tokend(&["check", "--online", "--config"]);
    command.arg(&config);
    let (code, text) = said(&run(command).await);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("daemon: authority_unavailable: "), "{text}");
    assert!(text.contains("  cause: no connection was made: 127.0.0.1: the connection was refused: check host and port"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_authority_gives_no_answer_is_told() {
    for (from, to, words) in [
        ("127.0.0.1", "login.test.invalid", "login.test.invalid: its name is not known"),
        ("ca.pem", "other.pem", "its certificate is of a CA that is not trusted: name the CA's certificate as `ca_file`"),
        ("/oidc/shop", "/oidc/nothing", "status 404"),
    ] {
        let (emulator, files) = stage().await;
        let config = files.path().join("tokend.yaml");
        let own = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).expect("a certificate").cert.pem();
        let text = configuration(&emulator, &files).replace(from, to);
        std::fs::write(files.path().join("other.pem"), own).expect("a file");
        std::fs::write(&config, text).expect("a file");
        let mut command = tokend(&["check", "--online", "--config"]);
        command.arg(&config);
        let (code, text) = said(&run(command).await);
        assert!(code == 1 && text.contains(words), "no {words:?} in {text}");
    }
}
