//! A sidecar in this process, made of a configuration text as `serve` makes it, on ports that the system chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use tokend::clock::Clock;
use tokend::config::{Format, Settings, parse};
use tokend::lifecycle::{Order, Signals};
use tokend::listen::Address;
use tokend::sidecar::{Parts, prepare};
use tokend::tasks::Tasks;
use tokend::telemetry::{Metrics, Sampler};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::{Client, eventually};

/// A running sidecar; it is told to stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) client: Client,
    pub(crate) admin: Client,
    /// Everywhere that the token listener listens.
    pub(crate) addresses: Vec<Address>,
    signals: UnboundedSender<Order>,
    running: JoinHandle<bool>,
}

impl Sidecar {
    /// Starts one from YAML. `listen` and `admin_listen` are added if the text has none.
    pub(crate) async fn start(yaml: &str, clock: &Clock) -> Self {
        Self::start_sampled(yaml, clock, Sampler::new(None)).await
    }

    /// Starts one with its own decision on what is traced.
    pub(crate) async fn start_sampled(yaml: &str, clock: &Clock, sampler: Sampler) -> Self {
        Self::start_from(Self::settings(yaml), clock, sampler).await
    }

    /// What [`Sidecar::start`] makes of a YAML text, to be changed where the configuration has no key for it.
    pub(crate) fn settings(yaml: &str) -> Settings {
        let mut text = yaml.to_owned();
        for key in ["listen", "admin_listen"] {
            if !text.lines().any(|line| line.starts_with(&format!("{key}:"))) {
                text.push_str(&format!("\n{key}: \"127.0.0.1:0\"\n"));
            }
        }
        let (settings, findings) = parse(&text, Format::Yaml, "test.yaml", &BTreeMap::new());
        settings.unwrap_or_else(|| panic!("{findings:#?}"))
    }

    /// Starts one from settings.
    #[expect(clippy::disallowed_methods, reason = "a sidecar runs beside the test, as it does beside an app")]
    pub(crate) async fn start_from(settings: Settings, clock: &Clock, sampler: Sampler) -> Self {
        let (prepared, findings) = prepare(settings, clock);
        let prepared = prepared.unwrap_or_else(|| panic!("{findings:#?}"));
        let parts = Parts { clock: clock.clone(), tasks: Tasks::default(), metrics: Metrics::default(), sampler };
        let sidecar = prepared.build(parts).await.expect("free addresses");
        let base = |addresses: Vec<Address>| format!("http://{}", addresses[0]);
        let (client, admin) = (Client::new(&base(sidecar.addresses()), None), Client::new(&base(sidecar.admin_addresses()), None));
        let addresses = sidecar.addresses();
        let (signals, ends) = Signals::manual();
        let running = tokio::spawn(sidecar.run(ends));
        Self { client, admin, addresses, signals, running }
    }

    /// Sends it a signal to stop.
    pub(crate) fn signal(&self) {
        // Gone already is as good.
        let _gone = self.signals.send(Order::Stop);
    }

    /// Stops it and says whether all work ended by itself in time.
    pub(crate) async fn stop(mut self) -> bool {
        self.signal();
        let running = &mut self.running;
        tokio::time::timeout(Duration::from_secs(30), running).await.expect("an end").expect("no panic")
    }

    /// Waits until it is answering `count` requests; fails after five seconds.
    pub(crate) async fn answering(&self, count: u32) {
        for _ in 0..500 {
            if self.metric("tokend_http_requests_in_flight").await >= f64::from(count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it is not answering {count} requests");
    }

    /// Waits until it is answering nobody: it has to notice that a caller left.
    pub(crate) async fn idle(&self) {
        eventually(Duration::from_secs(20), async || self.metric("tokend_http_requests_in_flight").await == 0.0).await;
    }

    /// The value of one sample of the metrics, by its name and labels as they are written; 0 if it is not there.
    pub(crate) async fn metric(&self, sample: &str) -> f64 {
        self.admin.get("/metrics").await.sample(sample)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.signal();
    }
}
