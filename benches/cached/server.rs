//! Servers, each alone on a thread with a runtime of its own, or in a process of its own, so that its CPU time can be read.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use tempfile::TempDir;
use tokend::clock::Clock;
use tokend::config::{Format, parse};
use tokend::lifecycle::Signals;
use tokend::sidecar::{Parts, prepare};
use tokend::tasks::Tasks;
use tokend::telemetry::Metrics;

use super::authority::{Issuer, TENANT};
use super::bare;

/// A caller's token: 32 bytes in base64.
pub(crate) const TOKEN: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k";

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    place: Place,
}

/// Where a server runs.
enum Place {
    /// On a thread of ours: its directory in /proc.
    Thread(String),
    /// In a process, with the folder of its configuration.
    Process(Child, TempDir),
}

impl Server {
    /// tokend with one app at the issuer, metrics on, and 5 % of requests traced.
    pub(crate) fn sidecar(issuer: &Issuer, max_bytes: u64) -> Self {
        Self::sampled(issuer, max_bytes, Some(0.05))
    }

    /// A server with this part of all requests traced; `None`: the sampler of a process without a collector.
    pub(crate) fn sampled(issuer: &Issuer, max_bytes: u64, ratio: Option<f64>) -> Self {
        Self::configured(issuer, max_bytes, ratio, "")
    }

    /// A server for two callers: `TOKEN` is the token of the first.
    pub(crate) fn for_callers(issuer: &Issuer, max_bytes: u64) -> Self {
        let callers = format!(
            "callers: [{{name: a, token: {{inline: {TOKEN}}}}}, {{name: b, token: {{inline: b-{TOKEN}}}, apps: [shop]}}]\n"
        );
        Self::configured(issuer, max_bytes, Some(0.05), &callers)
    }

    /// A server with the other doors open, for a caller whose token is `TOKEN`.
    pub(crate) fn with_doors(issuer: &Issuer, max_bytes: u64) -> Self {
        Self::configured(issuer, max_bytes, Some(0.05), &open_doors())
    }

    /// Such a server as a process.
    pub(crate) fn process_with_doors(issuer: &Issuer, binary: &Path) -> Self {
        Self::process_with(issuer, binary, &open_doors())
    }

    fn configured(issuer: &Issuer, max_bytes: u64, ratio: Option<f64>, more: &str) -> Self {
        let text = configuration(issuer, [0, 0], max_bytes, more);
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
        Self { address, place: Place::Thread(thread) }
    }

    /// A whole `tokend serve` of some build, configured as the others, with one worker so that two of them schedule alike.
    pub(crate) fn process(issuer: &Issuer, binary: &Path) -> Self {
        Self::process_with(issuer, binary, "")
    }

    /// Such a process with a caller whose token is `TOKEN`.
    pub(crate) fn process_for_a_caller(issuer: &Issuer, binary: &Path) -> Self {
        Self::process_with(issuer, binary, &format!("callers: [{{name: a, token: {{inline: {TOKEN}}}}}]\n"))
    }

    fn process_with(issuer: &Issuer, binary: &Path, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokend.yaml");
        let [port, admin] = [free_port(), free_port()];
        std::fs::write(&file, configuration(issuer, [port, admin], 256 << 20, more)).expect("a file");
        let mut command = on_one_core(binary);
        command.args(["serve", "--config"]).arg(&file).env("TOKIO_WORKER_THREADS", "1");
        let child = command.spawn().expect("a process");
        Self::in_process(child, folder, port)
    }

    /// The bare server as a process of its own, with the same runtime.
    pub(crate) fn bare_process() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mut command = on_one_core(&std::env::current_exe().expect("this program"));
        command.args(["bare", &port.to_string()]).env("TOKIO_WORKER_THREADS", "1");
        let child = command.spawn().expect("a process");
        Self::in_process(child, folder, port)
    }

    fn in_process(child: Child, folder: TempDir, port: u16) -> Self {
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), place: Place::Process(child, folder) }
    }

    pub(crate) fn bare_serde() -> Self {
        Self::bare(bare::by_serde())
    }

    pub(crate) fn bare_doors() -> Self {
        Self::bare(bare::of_doors())
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
        Self { address, place: Place::Thread(told.recv().expect("a server")) }
    }

    /// The CPU time of the server's thread, or of all threads of its process, so far, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        match &self.place {
            Place::Thread(thread) => cpu_of(Path::new(thread)),
            Place::Process(child, _folder) => {
                let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("a live process");
                threads.flatten().map(|thread| cpu_of(&thread.path())).sum()
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Place::Process(child, _folder) = &mut self.place {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// Every door that is measured, and its caller.
fn open_doors() -> String {
    let doors = "doors: [rest, oauth2, msi, auth_request]";
    let apis = "apis: {stock: {app: shop, scopes: [stock.read], doors: [auth_request]}}";
    format!("{apis}\n{doors}\ncallers: [{{name: a, token: {{inline: {TOKEN}}}, {doors}}}]\n")
}

/// The CPU time of one thread, by its directory in /proc.
fn cpu_of(thread: &Path) -> f64 {
    let text = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    let nanoseconds: f64 = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default();
    nanoseconds / 1000.0
}

/// A program alone on the first core: who asks it is on the other one.
fn on_one_core(binary: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(binary).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The bare server on a port, until the process is ended.
pub(crate) fn serve_bare(port: u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    // As in tokend, whoever waits for the end is no worker.
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_on(serve_plainly(listener, bare::by_serde().merge(bare::of_doors())), runtime.handle());
    runtime.block_on(tasks.join_all());
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// One app at the issuer, metrics on, 5 % of requests traced.
fn configuration(issuer: &Issuer, [port, admin]: [u16; 2], max_bytes: u64, more: &str) -> String {
    let url = &issuer.url;
    format!(
        "listen: \"127.0.0.1:{port}\"\nadmin_listen: \"127.0.0.1:{admin}\"\n\
         apps:\n  shop: {{issuer: \"{url}\", insecure_http: true, client_id: shop, credential: {{secret: {{inline: a-secret}}}}, \
         inbound: {{audiences: [orders], scopes: [orders.read]}}}}\n\
         \x20 vault: {{authority: \"{url}/{TENANT}\", insecure_http: true, client_id: vault, \
         credential: {{secret: {{inline: a-secret}}}}}}\n\
         cache: {{memory: {{max_bytes: {max_bytes}}}}}\n\
         authority: {{timeout: 14s}}\n\
         otlp: {{endpoint: \"{url}\", sample_ratio: 0.05}}\n{more}"
    )
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
