//! Servers, each alone on a thread with a runtime of its own, so that its CPU time can be read.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use axum::Router;
use tokend::clock::Clock;
use tokend::config::{Format, parse};
use tokend::lifecycle::Signals;
use tokend::sidecar::{Parts, prepare};
use tokend::tasks::Tasks;
use tokend::telemetry::Metrics;

use super::authority::Issuer;
use super::bare;

/// A caller's token: 32 bytes in base64.
pub(crate) const TOKEN: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k";

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The thread's directory in /proc.
    thread: String,
}

impl Server {
    /// tokend with one app at the issuer, metrics on, and 5 % of requests traced.
    pub(crate) fn sidecar(issuer: &Issuer, max_bytes: u64) -> Self {
        Self::sampled(issuer, max_bytes, Some(0.05))
    }

    /// The same with this part of all requests traced; `None`: the sampler of a process without a collector.
    pub(crate) fn sampled(issuer: &Issuer, max_bytes: u64, ratio: Option<f64>) -> Self {
        Self::configured(issuer, max_bytes, ratio, "")
    }

    /// The same for two callers: `TOKEN` is the token of the first.
    pub(crate) fn for_callers(issuer: &Issuer, max_bytes: u64) -> Self {
        let callers = format!(
            "callers: [{{name: a, token: {{inline: {TOKEN}}}}}, {{name: b, token: {{inline: b-{TOKEN}}}, apps: [shop]}}]\n"
        );
        Self::configured(issuer, max_bytes, Some(0.05), &callers)
    }

    fn configured(issuer: &Issuer, max_bytes: u64, ratio: Option<f64>, more: &str) -> Self {
        let url = &issuer.url;
        let text = format!(
            "listen: \"127.0.0.1:0\"\nadmin_listen: \"127.0.0.1:0\"\n\
             apps:\n  shop: {{issuer: \"{url}\", insecure_http: true, client_id: shop, credential: {{secret: {{inline: a-secret}}}}, \
             inbound: {{audiences: [orders], scopes: [orders.read]}}}}\n\
             cache: {{memory: {{max_bytes: {max_bytes}}}}}\n\
             authority: {{timeout: 14s}}\n\
             otlp: {{endpoint: \"{url}\", sample_ratio: 0.05}}\n{more}"
        );
        let (settings, findings) = parse(&text, Format::Yaml, "bench.yaml", &BTreeMap::new());
        let settings = settings.unwrap_or_else(|| panic!("{findings:#?}"));
        let telemetry = tokend::telemetry::init(&settings.telemetry, None, std::io::stderr());
        // One exporter for all servers, which lives as long as the process; each has a sampler of its own.
        std::mem::forget(telemetry);
        let sampler = tokend::telemetry::Sampler::new(ratio);
        let (tell, told) = mpsc::channel();
        on_own_thread("sidecar", move || async move {
            let clock = Clock::system();
            let (prepared, _) = prepare(settings, &clock);
            let parts = Parts { clock, tasks: Tasks::default(), metrics: Metrics::default(), sampler };
            let sidecar = prepared.expect("good settings").build(parts).await.expect("free ports");
            let address = sidecar.addresses()[0].to_string().parse().expect("an address");
            tell.send((address, this_thread())).expect("a listener");
            let (_never, signals) = Signals::manual();
            sidecar.run(signals).await;
        });
        let (address, thread) = told.recv().expect("a sidecar");
        Self { address, thread }
    }

    pub(crate) fn bare_serde() -> Self {
        Self::bare(bare::by_serde())
    }

    pub(crate) fn bare_constant() -> Self {
        Self::bare(bare::constant())
    }

    fn bare(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, told) = mpsc::channel();
        on_own_thread("bare", move || async move {
            tell.send(this_thread()).expect("a listener");
            serve_plainly(listener, app).await;
        });
        Self { address, thread: told.recv().expect("a server") }
    }

    /// The CPU time of the server's thread so far, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        let text = std::fs::read_to_string(format!("{}/schedstat", self.thread)).unwrap_or_default();
        let nanoseconds: f64 = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default();
        nanoseconds / 1000.0
    }
}

/// Runs a future on a thread of its own until the process ends.
pub(crate) fn on_own_thread<F: Future<Output = ()>>(name: &str, work: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
}

/// axum's own server, as its documentation shows it.
pub(crate) async fn serve_plainly(listener: TcpListener, app: Router) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _unchanged = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.expect("a server");
}

fn this_thread() -> String {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc");
    format!("/proc/{}", link.display())
}
