//! The composition root: settings → prepare (load every file, collect findings) → build (construct and bind) → run.
//!
//! `check` stops after prepare, `serve` goes on, and both show the same findings. Nothing serves before `run`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::admin::{self, AppReport, CacheReport, CredentialReport, ReloadReport, Report};
use crate::authority::{self, Authority, is_loopback};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Settings;
use crate::credential::Credential;
use crate::finding::{Findings, Problem};
use crate::flow::{self, App, AppSettings, Service};
use crate::http;
use crate::inbound::Inbound;
use crate::lifecycle::{Readiness, Signals, run_until_stopped};
use crate::listen::{self, Address, BindError, Bound, OpenConnections};
use crate::tasks::Tasks;
use crate::telemetry::{self, Metrics, Sampler};
use crate::transport::Door;

/// How long before its end a certificate is worth a finding, in seconds.
const ENDS_SOON: i64 = 30 * 24 * 3600;

/// What part of the cache's bound may be taken to remember verified tokens: about as many as there are tokens for. The apps that
/// accept any share it.
const REMEMBERED: u64 = 4;

/// A configuration whose files are loaded and fit.
#[derive(Debug)]
pub struct Prepared {
    settings: Settings,
    apps: Vec<PreparedApp>,
}

#[derive(Debug)]
struct PreparedApp {
    settings: AppSettings,
    credential: Arc<Credential>,
    door: Door,
}

/// What a sidecar is given rather than makes: a test gives other ones.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Where its tasks run.
    pub tasks: Tasks,
    /// Its metrics.
    pub metrics: Metrics,
    /// Which requests are traced.
    pub sampler: Sampler,
}

/// A sidecar that has bound its addresses and serves nobody yet.
#[derive(Debug)]
pub struct Sidecar {
    settings: Settings,
    service: Service,
    cache: Arc<Cache<Arc<flow::Refusal>>>,
    parts: Parts,
    token: Vec<Bound>,
    admin: Vec<Bound>,
}

/// Loads every file that the settings name, and tries each credential once.
pub fn prepare(settings: Settings, clock: &Clock) -> (Option<Prepared>, Findings) {
    let mut findings = Findings::default();
    let mut apps = Vec::new();
    for app in &settings.apps {
        let credential = load_credential(app, clock, &mut findings);
        let door = open_door(&settings, app, &mut findings);
        if let (Some(credential), Some(door)) = (credential, door) {
            apps.push(PreparedApp { settings: app.clone(), credential: Arc::new(credential), door });
        }
    }
    if let Some(source) = settings.telemetry.otlp.as_ref().and_then(|otlp| otlp.headers.as_ref())
        && let Err(problem) = telemetry::check_headers(source)
    {
        findings.error(source.file.as_deref(), &source.key, problem);
    }
    if findings.has_errors() { (None, findings) } else { (Some(Prepared { settings, apps }), findings) }
}

fn load_credential(app: &AppSettings, clock: &Clock, findings: &mut Findings) -> Option<Credential> {
    let source = app.credential.source();
    match Credential::load(&app.credential) {
        Err(problem) => {
            findings.error(source.file.as_deref(), &source.key, problem);
            None
        }
        Ok(credential) => {
            let left = credential.expires_on().map(|ends| ends - clock.unix());
            if let Some(left) = left.filter(|left| *left < ENDS_SOON) {
                let reason = if left <= 0 {
                    "the certificate has expired".to_owned()
                } else {
                    format!("the certificate ends in {} days", left / 86_400)
                };
                let problem =
                    Problem::new(reason, "register a new certificate with the app, and replace the file: tokend follows it");
                findings.warning(source.file.as_deref(), &source.key, problem);
            }
            Some(credential)
        }
    }
}

fn open_door(settings: &Settings, app: &AppSettings, findings: &mut Findings) -> Option<Door> {
    let authority = &app.authority;
    let key = format!("{}.ca_file", authority.key);
    let ca = match &authority.ca_file {
        None => None,
        Some(path) => match std::fs::read(path) {
            Ok(pem) => Some(pem),
            Err(error) => {
                let reason = format!("the file {} cannot be read: {error}", path.display());
                findings.error(
                    authority.file.as_deref(),
                    &key,
                    Problem::new(reason, "mount the file, or mend its path or its permissions"),
                );
                return None;
            }
        },
    };
    let loopback = is_loopback(authority.address.url());
    match Door::open(&settings.outbound, settings.calls.connect_timeout, ca.as_deref(), loopback) {
        Ok(door) => Some(door),
        Err(problem) => {
            findings.error(authority.file.as_deref(), &key, problem);
            None
        }
    }
}

// === impl Prepared ===

impl Prepared {
    /// The settings that were prepared.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Builds the flows over their apps, authorities and cache; binds nothing.
    pub fn assemble(&self, parts: &Parts) -> (Service, Arc<Cache<Arc<flow::Refusal>>>) {
        let flow_metrics = flow::Metrics::new(&parts.metrics);
        let authority_metrics = authority::Metrics::new(&parts.metrics);
        // Apps of one authority share its documents, its keys and its turns.
        let mut authorities: HashMap<String, (Arc<Authority>, Arc<Inbound>)> = HashMap::new();
        let accepting = self.apps.iter().filter(|app| app.settings.inbound.is_some()).count().max(1);
        let shares = u64::try_from(accepting).unwrap_or(u64::MAX);
        let mut apps = Vec::new();
        for app in &self.apps {
            let settings = &app.settings.authority;
            let same = format!("{:?} {:?} {:?}", settings.address, settings.ca_file, settings.assertion_audience);
            let (authority, verifier) = authorities.entry(same).or_insert_with(|| {
                let (calls, door, metrics) = (self.settings.calls.clone(), app.door.clone(), authority_metrics.clone());
                let authority = Authority::new(settings, calls, door, parts.clock.clone(), parts.tasks.clone(), metrics);
                let remembered = self.settings.cache.max_bytes / REMEMBERED / shares;
                let verifier = Arc::new(Inbound::new(Arc::clone(&authority), remembered, parts.clock.clone()));
                (authority, verifier)
            });
            let credential = Arc::clone(&app.credential);
            let metrics = flow_metrics.of(&app.settings.name);
            apps.push(Arc::new(App::new(&app.settings, Arc::clone(authority), credential, Arc::clone(verifier), metrics)));
        }
        let cache = Cache::new(&self.settings.cache, parts.clock.clone(), parts.tasks.clone());
        let (clock, tasks) = (parts.clock.clone(), parts.tasks.clone());
        let service = Service::new(apps, &self.settings.apis, Arc::clone(&cache), clock, tasks, rand::random::<f64>);
        (service, cache)
    }

    /// Builds a sidecar and binds its addresses.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn build(self, parts: Parts) -> Result<Sidecar, BindError> {
        let token = listen::bind(&self.settings.listen).await?;
        let admin = listen::bind(&self.settings.admin).await?;
        let (service, cache) = self.assemble(&parts);
        Ok(Sidecar { settings: self.settings, service, cache, parts, token, admin })
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// Where the token listener listens; a port of 0 has become a real one.
    pub fn addresses(&self) -> Vec<Address> {
        self.token.iter().map(Bound::address).collect()
    }

    /// Where the admin listener listens.
    pub fn admin_addresses(&self) -> Vec<Address> {
        self.admin.iter().map(Bound::address).collect()
    }

    /// Serves until a signal. Returns whether all work ended by itself in time.
    pub async fn run(self, signals: Signals) -> bool {
        let Self { settings, service, cache, parts, token, admin } = self;
        let Parts { clock, tasks, metrics, sampler } = parts;
        let readiness = Readiness::default();
        for app in service.apps() {
            app.credential.watch(&tasks);
        }
        service.sweep();
        gauges(&metrics, &service, &cache, &tasks);
        let open = OpenConnections::new(&metrics);
        let router = http::router(service.clone(), &settings.http, &clock, &metrics, sampler);
        listen::serve(token, router, &settings.listen, &tasks, tasks.soft(), &open, "token");
        let report = reporter(service, cache, tasks.clone(), readiness.clone(), clock.unix());
        let ready = readiness.clone();
        let router = admin::router(metrics, Arc::new(move || ready.is_ready()), report, &settings.http.hosts);
        listen::serve(admin, router, &settings.admin, &tasks, tasks.soft(), &open, "admin");
        run_until_stopped(&tasks, &readiness, settings.shutdown, signals).await
    }
}

/// What `/status` tells.
fn reporter(
    service: Service,
    cache: Arc<Cache<Arc<flow::Refusal>>>,
    tasks: Tasks,
    readiness: Readiness,
    started: i64,
) -> Arc<dyn Fn() -> Report + Send + Sync> {
    Arc::new(move || {
        let mut apps: Vec<&Arc<App>> = service.apps().collect();
        apps.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let memory = cache.memory();
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            ready: readiness.is_ready(),
            apps: apps.iter().map(|app| app_report(app)).collect(),
            cache: CacheReport {
                entries: u64::try_from(memory.partitions()).unwrap_or(u64::MAX),
                bytes: memory.bytes(),
                max_bytes: memory.max_bytes(),
            },
            reload_failures: apps.iter().filter_map(|app| reload_report(app)).collect(),
            task_panics: tasks.panics(),
        }
    })
}

fn app_report(app: &App) -> AppReport {
    let problem = app.credential.reload_state().0.map(|problem| problem.reason.clone());
    let credential = CredentialReport { kind: app.credential.kind().to_owned(), expires_on: app.credential.expires_on(), problem };
    AppReport { name: app.name.clone(), authority: app.authority.address.to_string(), credential }
}

fn reload_report(app: &App) -> Option<ReloadReport> {
    let (problem, failures) = app.credential.reload_state();
    // A file that was mended is no failure any more: the counter remembers it.
    let problem = Some(problem?.reason.clone());
    Some(ReloadReport { what: format!("apps.{}.credential", app.name), failures, problem })
}

/// The API document of both listeners, as YAML.
///
/// # Errors
/// None that can happen: it is plain data. The type is the writer's.
pub fn api_document() -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    http::document(admin::openapi())
}

/// Gauges of what others keep, set at each scrape.
fn gauges(metrics: &Metrics, service: &Service, cache: &Arc<Cache<Arc<flow::Refusal>>>, tasks: &Tasks) {
    let expiry = metrics.gauges(
        "credential_expiry_timestamp_seconds",
        "When an app's certificate ends, in seconds since the Unix epoch; secrets do not say.",
        &["app"],
    );
    let failures =
        metrics.counters("reload_failures_total", "New file contents that were refused or could not be read, by app.", &["app"]);
    let bytes = metrics.gauges("cache_bytes", "What the memory level weighs: keys, values and index.", &["level"]);
    let entries = metrics.gauges("cache_partitions", "Apps, accounts and assertions that have tokens in memory.", &["level"]);
    let panics = metrics.counters("task_panics_total", "Tasks that panicked; each is a defect of tokend.", &[]);
    let (service, cache, tasks) = (service.clone(), Arc::clone(cache), tasks.clone());
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.before_render(move || {
        for app in service.apps() {
            if let Some(ends) = app.credential.expires_on() {
                expiry.with_label_values(&[&app.name]).set(ends);
            }
            catch_up(&failures.with_label_values(&[&app.name]), app.credential.reload_state().1);
        }
        bytes.with_label_values(&["memory"]).set(number(cache.memory().bytes()));
        entries.with_label_values(&["memory"]).set(i64::try_from(cache.memory().partitions()).unwrap_or(i64::MAX));
        catch_up(&panics.with_label_values(&[] as &[&str]), tasks.panics());
    });
}

/// Brings a counter up to what was counted elsewhere.
fn catch_up(counter: &prometheus::IntCounter, counted: u64) {
    counter.inc_by(counted.saturating_sub(counter.get()));
}
