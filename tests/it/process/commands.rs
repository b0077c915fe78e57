//! The small commands: document, version, usage, demo, health check.

use super::{Serving, root, run, said, stage, tokend};
use crate::support::configuration;

#[tokio::test]
async fn openapi_prints_the_committed_document() {
    let output = run(tokend(&["openapi"])).await;
    assert_eq!(output.status.code(), Some(0));
    let committed = std::fs::read(root().join("openapi.yaml")).expect("openapi.yaml");
    assert!(output.stdout == committed, "openapi.yaml is out of date: write it anew with `tokend openapi > openapi.yaml`");
}

#[tokio::test]
async fn the_version_is_the_packages() {
    let (code, text) = said(&run(tokend(&["--version"])).await);
    assert_eq!((code, text.trim()), (0, concat!("tokend ", "0.1.0")));
}

#[tokio::test]
async fn bad_usage_is_64() {
    for args in
        [&[][..], &["serv"], &["serve", "--colour"], &["healthcheck", "--url", "::"], &["demo", "now"], &["check", "a.yaml"]]
    {
        let output = run(tokend(args)).await;
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}: an error goes to standard error");
    }
}

#[tokio::test]
async fn the_demo_runs_every_flow_and_ends() {
    let output = run(tokend(&["demo", "--exit"])).await;
    let (code, text) = said(&output);
    assert_eq!(code, 0, "{text}");
    for flow in [
        "token endpoint, refresh",
        "introspection",
        "managed identity",
        "proxy's sub-request",
        "Microsoft's sidecar",
        "client credentials, secret",
        "client credentials, certificate",
        "authorization code",
        "on behalf of",
        "OIDC issuer",
    ] {
        let line = text.lines().find(|line| line.contains(flow)).unwrap_or_else(|| panic!("no {flow:?} in {text}"));
        assert!(line.contains("200"), "{line}");
    }
    assert!(text.contains("cache") && text.contains("identity_provider"), "{text}");
    assert!(!text.contains("eyJ") && !text.contains("secret-for-tests-only"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_tells_ready_from_not_ready() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
    let mut command = tokend(&["serve"]);
    command.env("TOKEND_CONFIG", &config);
    let mut serving = Serving::start(command).await;
    let admin = serving.admin.base.trim_start_matches("http://").to_owned();
    let check = async |url: Option<&str>| {
        let mut command = match url {
            Some(url) => tokend(&["healthcheck", "--url", url]),
            None => tokend(&["healthcheck"]),
        };
        command.env("TOKEND_CONFIG", &config).env("TOKEND_ADMIN_LISTEN", &admin);
        said(&run(command).await)
    };
    assert_eq!(check(None).await.0, 0);
    assert_eq!(check(Some(&format!("http://{admin}/livez"))).await.0, 0);
    assert_eq!(check(Some(&format!("http://{admin}/nothing"))).await.0, 1);
    let (code, text) = check(Some(&format!("https://{admin}/readyz"))).await;
    assert!(code == 1 && text.contains("`--url` begins with http://"), "{text}");
    serving.signal("TERM");
    assert_eq!(serving.end_within(std::time::Duration::from_secs(5)).await.code(), Some(0));
    let (code, text) = check(None).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with("tokend: "), "{text}");
}

#[tokio::test]
async fn a_health_check_that_nobody_answers_is_over_soon() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/readyz", silent.local_addr().expect("an address"));
    let (code, text) = said(&run(tokend(&["healthcheck", "--url", &url])).await);
    assert_eq!(code, 1);
    assert!(text.contains("2 s"), "{text}");
}
