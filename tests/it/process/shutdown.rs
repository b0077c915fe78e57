//! How it ends: at once when idle, after the requests in progress when not, and without a secret in all it ever printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use serde_json::json;
use tempfile::TempDir;

use super::{Serving, serving_with, stage, tokend};
use crate::support::{Client, Collector, Emulator, GRAPH, attribute, configuration, eventually};

/// How long an end may take that waits for nothing, on a machine that has other things to do: less than any time that it could have
/// waited for, which is the grace of 20 s, or the 8 s after which a call to the authority is given up.
const AT_ONCE: Duration = Duration::from_secs(6);

/// How many clients keep asking, each on a connection of its own.
const CLIENTS: usize = 16;

/// The program with the usual configuration, and what it needs to stay.
async fn serving() -> (Emulator, TempDir, Serving) {
    serving_with("").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let (emulator, files) = stage().await;
        let config = files.path().join("tokend.yaml");
        std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
        let mut command = tokend(&["serve", "--config"]);
        command.arg(&config);
        let mut serving = Serving::start(command).await;
        // A client's idle connection is no reason to stay.
        serving.client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await.token();
        serving.signal(signal);
        assert_eq!(serving.end_within(AT_ONCE).await.code(), Some(0), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_progress_is_answered_before_the_end() {
    let (emulator, _files, mut serving) = serving().await;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hold": true}})).await;
    let body = json!({"app": "daemon", "scopes": [GRAPH]});
    let client = serving.client.clone();
    #[expect(clippy::disallowed_methods, reason = "a caller beside the test")]
    let asking = tokio::spawn(async move { client.post("/client-credentials", &body).await });
    emulator.asked_times("token", 1).await;
    serving.signal("TERM");
    // New connections are refused once it stops accepting; the request is still there.
    for _ in 0..500 {
        if std::net::TcpStream::connect(serving.client.base.trim_start_matches("http://")).is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(std::net::TcpStream::connect(serving.client.base.trim_start_matches("http://")).is_err(), "it still accepts");
    assert!(serving.ended().is_none() && !asking.is_finished(), "it waits for the request");
    emulator.release().await;
    asking.await.expect("no panic").token();
    assert_eq!(serving.end_within(AT_ONCE).await.code(), Some(0));
    assert!(serving.output().contains("\"in_time\":true"), "{}", serving.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_now() {
    let (emulator, _files, mut serving) = serving().await;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"hang": true}})).await;
    let client = serving.client.clone();
    #[expect(clippy::disallowed_methods, reason = "a caller beside the test")]
    let asking = tokio::spawn(async move {
        let body = json!({"app": "daemon", "scopes": [GRAPH]});
        #[expect(clippy::disallowed_methods, reason = "it may break off")]
        let outcome = client.request("/client-credentials", &body).send().await;
        outcome.map_or(503, |response| response.status().as_u16())
    });
    emulator.asked_times("token", 1).await;
    serving.signal("TERM");
    for _ in 0..500 {
        if serving.output().contains("stopping") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    serving.signal("TERM");
    assert_eq!(serving.end_within(AT_ONCE).await.code(), Some(0));
    assert_eq!(asking.await.expect("no panic"), 503, "the request was dropped, with or without a word");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_it_prints() {
    let (emulator, files) = stage().await;
    let config = files.path().join("tokend.yaml");
    std::fs::write(&config, format!("{}\nlog: {{level: trace, format: text}}\n", configuration(&emulator, &files)))
        .expect("a file");
    let mut command = tokend(&["serve", "--config"]);
    // What a debugging operator would set.
    command.arg(&config).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    let mut serving = Serving::start(command).await;
    let user = emulator.user_token("ana@contoso.example").await;
    let body = json!({"app": "orders", "scopes": ["https://graph.microsoft.com/User.Read"]});
    let token = serving.client.post_as("/obo", &user, &body).await.token().to_owned();
    let other =
        serving.client.post("/client-credentials", &json!({"app": "orders-secret", "scopes": ["api://billing/.default"]})).await;
    let other = other.token().to_owned();
    serving.client.post_as("/obo", "canary-bearer", &body).await.refused(401, "invalid_token", "");
    serving.client.post("/client-credentials", &json!({"app": "daemon", "scopes": ["canary/scope"]})).await;
    serving.signal("TERM");
    serving.end_within(AT_ONCE).await;
    let output = serving.output();
    assert!(output.contains("request failed"), "{output}");
    for secret in
        [&user, &token, &other, "canary", Emulator::secret(emulator.app("orders-api")), Emulator::secret(emulator.app("daemon"))]
    {
        assert!(!output.contains(secret), "{secret} in {output}");
    }
    assert!(!output.contains("eyJ") && !output.contains("PRIVATE KEY"), "{output}");
}

/// What became of the requests of one client.
#[derive(Clone, Copy, Default)]
struct Load {
    answered: usize,
    /// Whether it ended because a connection was refused.
    refused: bool,
}

/// Asks again and again until the program is gone: every second time for a token that nobody has yet.
#[expect(clippy::disallowed_methods, reason = "how a caller sees the end is the question")]
async fn ask_to_the_end(base: String, number: usize, answered: Arc<AtomicUsize>) -> Load {
    let client = Client::new(&base, None);
    let mut load = Load::default();
    loop {
        let known = load.answered % 2 == 0;
        let scope = if known { GRAPH.to_owned() } else { "api://orders/.default".to_owned() };
        let app = ["daemon", "daemon-cert", "orders-secret"][number % 3];
        let body = json!({"app": app, "scopes": [scope], "force_refresh": !known});
        match client.request("/client-credentials", &body).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                let text = response.text().await.expect("a whole answer");
                assert_eq!(status, 200, "{text}");
                load.answered += 1;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                // Nobody listens any more. Anything else is a request that was sent, and not answered.
                assert!(error.is_connect(), "a request is lost: {error:?}");
                load.refused = true;
                return load;
            }
        }
    }
}

/// Many clients that never pause, a slow authority, a signal in the middle.
/// `meanwhile` is what happens between the signal and the end.
async fn end_under_load(delay: &str, meanwhile: impl AsyncFnOnce(&Serving, &AtomicUsize) -> usize) {
    let collector = Collector::start().await;
    let more = format!("{}shutdown: {{delay: {delay}, grace: 15s}}\n", collector.yaml("1.0"));
    let (emulator, _files, mut serving) = serving_with(&more).await;
    emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"delay_ms": 150}})).await;
    let answered = Arc::<AtomicUsize>::default();
    #[expect(clippy::disallowed_methods, reason = "callers beside the test")]
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(ask_to_the_end(serving.client.base.clone(), number, Arc::clone(&answered))))
        .collect();
    eventually(Duration::from_secs(30), async || answered.load(Ordering::SeqCst) >= 4 * CLIENTS).await;
    serving.signal("TERM");
    let others = meanwhile(&serving, &answered).await;
    assert_eq!(serving.end_within(Duration::from_secs(15)).await.code(), Some(0));
    let loads = join_all(clients).await.into_iter().map(|load| load.expect("no panic")).collect::<Vec<_>>();
    assert!(loads.iter().all(|load| load.refused && load.answered > 0));
    assert!(serving.output().contains("\"in_time\":true"), "{}", serving.output());
    let spans = collector.spans();
    let requests = spans.named("POST /client-credentials");
    assert_eq!(requests.len(), others + loads.iter().map(|load| load.answered).sum::<usize>(), "one span for each answer");
    assert!(requests.iter().all(|span| attribute(span, "http.response.status_code") == "200"));
    let asked = emulator.asked("token").await;
    let calls = spans.0.iter().filter(|span| attribute(span, "tokend.grant") == "client_credentials").count();
    assert_eq!(calls, asked.len(), "one span for each call");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_is_lost_neither_answers_nor_spans() {
    end_under_load("0s", async |_, _| 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_the_delay_is_for_further_requests_and_loses_none_either() {
    end_under_load("500ms", async |serving, answered| {
        eventually(Duration::from_secs(5), async || serving.admin.get("/readyz").await.status == 503).await;
        // It still accepts: new connections too.
        let then = answered.load(Ordering::SeqCst);
        let fresh = Client::new(&serving.client.base, None);
        fresh.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await.token();
        eventually(Duration::from_secs(5), async || answered.load(Ordering::SeqCst) > then).await;
        1
    })
    .await;
}
