//! What the program writes while it serves: one line for each request that failed, readable by programs or by people.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Serving, serving_with};
use crate::support::{Client, Emulator, GRAPH, eventually};

const ID: &str = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";

async fn serving(log: &str) -> (Emulator, TempDir, Serving) {
    serving_with(&format!("log: {log}\n")).await
}

/// A request that the authority refuses, and one that it grants.
async fn fail_once(emulator: &Emulator, serving: &Serving) {
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"aadsts": 7_000_215}})).await;
    let ask = async |app: &str| {
        let body = json!({"app": app, "scopes": [GRAPH]});
        Client::send(serving.client.request("/client-credentials", &body).header("x-correlation-id", ID)).await
    };
    ask("daemon").await.refused(502, "invalid_client", "");
    ask("daemon-cert").await.token();
    eventually(std::time::Duration::from_secs(5), async || serving.output().contains("request failed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_json_and_a_failed_request_has_one() {
    let (emulator, _files, serving) = serving("{level: debug, format: json}").await;
    fail_once(&emulator, &serving).await;
    let output = serving.output();
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    for line in &lines {
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}"));
        let time = text("timestamp");
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{time}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&text("level")), "{line}");
        assert!(text("target").starts_with("tokend") && !text("message").is_empty(), "{line}");
    }
    let about = lines.iter().filter(|line| line["correlation_id"] == ID).collect::<Vec<_>>();
    let [line] = about[..] else { panic!("one line for one failure: {output}") };
    assert_eq!((&line["message"], &line["level"]), (&json!("request failed"), &json!("WARN")));
    assert_eq!(
        (&line["route"], &line["status"], &line["error"]),
        (&json!("/client-credentials"), &json!(502), &json!("invalid_client"))
    );
    assert_eq!(line["error_codes"], json!([7_000_215]), "a list, and no text that looks like one");
    assert_eq!((&line["app"], &line["flow"], &line["door"]), (&json!("daemon"), &json!("client_credentials"), &json!("rest")));
    assert!(uuid::Uuid::try_parse(line["authority_trace_id"].as_str().unwrap_or_default()).is_ok(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_is_said_once_with_its_id() {
    let (emulator, _files, serving) = serving("{format: json}").await;
    let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("an id");
    let mut keys = emulator.client.get(&format!("/{tenant}/discovery/v2.0/keys")).await.json;
    let odd = [
        json!({"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "curve", "x": "AQ", "y": "AQ"}),
        json!({"kty": "AKP", "kid": "later\n\u{1b}[31m", "alg": "ML-DSA-65"}),
        json!({"kty": "oct", "k": "c2VjcmV0LWNhbmFyeQ"}),
    ];
    keys["keys"].as_array_mut().expect("keys").extend(odd);
    emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"body": keys}}})).await;
    let body = json!({"app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"]});
    for user in ["ana@contoso.example", "ben@contoso.example", "ana@contoso.example"] {
        serving.client.post_as("/obo", &emulator.user_token(user).await, &body).await.token();
    }
    eventually(std::time::Duration::from_secs(5), async || serving.output().matches("cannot be read").count() >= 4).await;
    let output = serving.output();
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let about: Vec<&Value> =
        lines.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains("key of the authority"))).collect();
    for (kid, reason) in [("short", "17 bits"), ("curve", "`crv`"), ("later[31m", "`kty`"), ("", "`kty`")] {
        let of_key: Vec<_> = about.iter().filter(|line| line["kid"] == kid).collect();
        assert!(of_key.len() == 1 && of_key[0]["reason"].as_str().is_some_and(|why| why.contains(reason)), "{kid}: {about:#?}");
        assert!(of_key[0]["authority"].as_str().is_some_and(|name| name.starts_with(&emulator.origin)), "{kid}: {about:#?}");
    }
    assert!(about.len() == 4 && !output.contains("c2VjcmV0LWNhbmFyeQ"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_says_what_runs_and_by_which_configuration() {
    let (_emulator, files, serving) = serving("{format: json}").await;
    let output = serving.output();
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let line = lines.into_iter().find(|line| line["message"] == "starting").unwrap_or_else(|| panic!("{output}"));
    assert_eq!((&line["version"], &line["cache"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("memory")));
    assert_eq!(line["file"], json!(files.path().join("tokend.yaml").display().to_string()));
    let apps = line["apps"].as_array().unwrap_or_else(|| panic!("{line}"));
    assert!(apps.contains(&json!("daemon")) && apps.contains(&json!("shop-web")) && line["app_count"] == apps.len(), "{line}");
    let listeners = line["listeners"].as_array().unwrap_or_else(|| panic!("{line}"));
    assert!(listeners.len() >= 2 && listeners.iter().all(|place| place.as_str().is_some_and(|text| text.contains(':'))), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_for_people_say_the_same() {
    let (emulator, _files, serving) = serving("{format: text}").await;
    fail_once(&emulator, &serving).await;
    let output = serving.output();
    let line = output.lines().find(|line| line.contains("request failed")).expect("a line");
    assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");
    for part in ["WARN", "tokend::", ID, "status=502", "error=\"invalid_client\"", "authority_trace_id="] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!output.contains('\u{1b}'), "no colours in a file");
}
