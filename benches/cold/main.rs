//! What a token past the cache costs, beside the least that it could cost: client credentials with a certificate, against a loop
//! that posts one assertion, signed beforehand, with the client that tokend uses itself. The authority has a constant answer.
//!
//! `cargo bench --bench cold` prints requests in a second and their ratio; 64 connections ask at a time. The figures belong to the
//! machine; the ratio belongs to the code.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and ends where it cannot go on")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokend::caller::Caller;
use tokend::clock::Clock;
use tokend::config::{Format, parse};
use tokend::flow::{Common, Request, Service};
use tokend::sidecar::{Parts, prepare};
use tokend::tasks::Tasks;
use tokend::telemetry::{Context, Metrics, Sampler};
use tokend::token::Scopes;

/// Who asks at a time.
const CONNECTIONS: usize = 64;
/// How long one side is measured at a stretch.
const STRETCH: Duration = Duration::from_secs(2);
/// How often each side is measured, in turn with the other.
const ROUNDS: usize = 5;
/// The tenant of the app.
const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";

fn main() {
    let origin = authority();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let service = Arc::new(service(&origin));
        let client = client();
        let body = Arc::new(body());
        let url = Arc::new(format!("{origin}/{TENANT}/oauth2/v2.0/token"));
        for _ in 0..ROUNDS {
            let service = Arc::clone(&service);
            ours.push(rate(move |number| cold(Arc::clone(&service), number)).await);
            let (client, url, body) = (client.clone(), Arc::clone(&url), Arc::clone(&body));
            bare.push(rate(move |_| posted(client.clone(), Arc::clone(&url), Arc::clone(&body))).await);
        }
    });
    let (ours, bare) = (median(ours), median(bare));
    println!(
        "cold client credentials with a certificate: {ours:.0}/s, bare loop: {bare:.0}/s, ratio {:.2} (aim: 0.9)",
        ours / bare
    );
}

/// An Entra-style tenant on a thread of its own. Its answer is constant.
fn authority() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    listener.set_nonblocking(true).expect("a socket");
    let token = json!({"access_token": "t".repeat(1600), "token_type": "Bearer", "expires_in": 3599});
    let answer = move || std::future::ready(Json(token.clone()));
    let app = Router::new().route(&format!("/{TENANT}/oauth2/v2.0/token"), post(answer));
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                let _unchanged = stream.set_nodelay(true);
            });
            axum::serve(listener, app).await.expect("a server");
        });
    };
    std::thread::Builder::new().name("authority".to_owned()).spawn(serve).expect("a thread");
    origin
}

/// tokend's flows with an app that has a certificate, without its listeners.
fn service(origin: &str) -> Service {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("parameters").self_signed(&key).expect("a certificate");
    let pem = json!(format!("{}{}", key.serialize_pem(), certificate.pem()));
    let yaml = format!(
        "apps: {{a: {{authority: \"{origin}/{TENANT}\", insecure_http: true, client_id: a, credential: {{certificate: {{inline: {pem}}}}}}}}}\n"
    );
    let (settings, findings) = parse(&yaml, Format::Yaml, "bench.yaml", &BTreeMap::new());
    let settings = settings.unwrap_or_else(|| panic!("{findings:#?}"));
    let clock = Clock::system();
    let (prepared, findings) = prepare(settings, &clock);
    let prepared = prepared.unwrap_or_else(|| panic!("{findings:#?}"));
    let parts = Parts { clock, tasks: Tasks::default(), metrics: Metrics::default(), sampler: Sampler::new(None) };
    prepared.assemble(&parts).0
}

/// A token for a scope that nobody asked for before.
async fn cold(service: Arc<Service>, number: u64) {
    let scope = format!("https://resource-{number}.example/.default");
    let scopes = Scopes::from_list([scope.as_str()]).expect("a scope");
    let request = Request::ClientCredentials(Common { scopes: Some(scopes), ..Common::default() });
    let outcome = service.token(Caller::ANYONE, Context::untraced(uuid::Uuid::new_v4()), &request).await;
    assert!(outcome.is_ok(), "no token");
}

/// Such a client as tokend's own.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client")
}

/// What tokend sends, with an assertion that has been signed already.
fn body() -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "a"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &"x".repeat(700)),
        ("scope", "https://resource.example/.default"),
    ];
    serde_urlencoded::to_string(form).expect("a form")
}

async fn posted(client: reqwest::Client, url: Arc<String>, body: Arc<String>) {
    let request =
        client.post(url.as_str()).header("content-type", "application/x-www-form-urlencoded").header("accept", "application/json");
    let answer = client.execute(request.body(body.to_string()).build().expect("a request")).await.expect("an answer");
    let read: serde_json::Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    assert!(read["access_token"].is_string());
}

/// How many are done in a second.
#[expect(clippy::disallowed_methods, reason = "nothing of tokend runs these")]
async fn rate<F: Future<Output = ()> + Send + 'static>(work: impl Fn(u64) -> F + Clone + Send + 'static) -> f64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    let asking = (0..CONNECTIONS).map(|_| {
        let work = work.clone();
        tokio::spawn(async move {
            let mut done = 0_u32;
            while began.elapsed() < STRETCH {
                work(NEXT.fetch_add(1, Ordering::Relaxed)).await;
                done += 1;
            }
            done
        })
    });
    let mut done = 0;
    for one in asking.collect::<Vec<_>>() {
        done += one.await.expect("no panic");
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
