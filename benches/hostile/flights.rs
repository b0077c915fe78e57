//! Requests whose callers go away at once, each for a token of its own, while the authority does not answer.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::authority::Authority;
use super::probe::{self, Answered};
use super::process::Tokend;

/// How many requests in all.
const REQUESTS: usize = 48_000;
/// How many are open at a time.
const WORKERS: usize = 128;
/// How long a request stays before it is given up: enough for tokend to begin with it.
const STAY: Duration = Duration::from_millis(15);

/// Over HTTP/1.1, by a reset connection each.
pub(crate) fn abandoned(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::start(binary, &authority, "");
    let before = tokend.resident();
    let port = tokend.port;
    let answered = super::run(async move {
        let workers = (0..WORKERS).map(|worker| {
            tokio::spawn(async move {
                for index in 0..REQUESTS / WORKERS {
                    let Some(mut stream) = probe::connect(worker, port).await else { continue };
                    let _sent = stream.write_all(probe::token(&format!("slow.{worker}.{index}")).as_bytes()).await;
                    tokio::time::sleep(STAY).await;
                    // Gone with a reset, not with an end of its own half.
                    let _set = stream.set_zero_linger();
                }
            })
        });
        beside(port, workers.collect()).await
    });
    format!("{}; cached tokens: {answered}", super::memory(&tokend, before))
}

/// Over HTTP/2, by a reset stream each.
pub(crate) fn reset(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::start(binary, &authority, "");
    let before = tokend.resident();
    let port = tokend.port;
    let answered = super::run(async move {
        let workers = (0..WORKERS).map(|worker| {
            tokio::spawn(async move {
                let client = client();
                for index in 0..REQUESTS / WORKERS {
                    let body = format!(r#"{{"scopes":["slow.{worker}.{index}"]}}"#);
                    let request = client.post(format!("http://127.0.0.1:{port}/client-credentials"));
                    let request = request.header("content-type", "application/json").body(body).build().expect("a request");
                    // Dropped before its answer: the stream is reset.
                    let _given_up = tokio::time::timeout(STAY, client.execute(request)).await;
                }
            })
        });
        beside(port, workers.collect()).await
    });
    format!("{}; cached tokens: {answered}", super::memory(&tokend, before))
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().expect("a client")
}

/// Asks for a cached token until the workers are done.
async fn beside(port: u16, workers: Vec<tokio::task::JoinHandle<()>>) -> Answered {
    let request = probe::token("stock.read");
    let answered = probe::ask(port, &request, Duration::from_secs(12)).await;
    futures_util::future::join_all(workers).await;
    answered
}
