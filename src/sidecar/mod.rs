//! The composition root: settings → prepare (load every file, collect findings) → build (construct and bind) → run.
//!
//! `check` stops after prepare, `serve` goes on, and both show the same findings. Nothing serves before `run`.

mod authorities;
mod callers;
mod descriptors;
mod door;
mod listener;
mod parts;
mod region;
mod report;
mod shared;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::admin;
use crate::authority::{self, Authority};
use crate::cache::Cache;
use crate::caller::Callers;
use crate::clock::Clock;
use crate::config::Settings;
use crate::credential::Credential;
use crate::finding::{Complaint, Findings};
use crate::flow::{self, App, AppSettings, Service};
use crate::http;
use crate::inbound::Inbound;
use crate::lifecycle::{Readiness, Signals, run_until_stopped};
use crate::listen::{self, Address, BindError, Bound, Certificate};
use crate::reload::Reloads;
use crate::source::TokenClient;
use crate::telemetry;
use crate::transport::{Door, Roots};

pub use descriptors::Descriptors;
pub use parts::Parts;

/// What part of the cache's bound may be taken to remember verified tokens: about as many as there are tokens for.
const REMEMBERED: u64 = 4;

/// A configuration whose files are loaded and fit.
#[derive(Debug)]
pub struct Prepared {
    settings: Settings,
    apps: Vec<PreparedApp>,
    callers: Option<callers::PreparedCallers>,
    /// Where there are no callers: what clients of a managed identity show.
    msi: Option<callers::PreparedMsi>,
    shared: Option<shared::PreparedStore>,
    tls: Option<rustls::ClientConfig>,
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct PreparedApp {
    settings: AppSettings,
    credential: Arc<Credential>,
    door: Door,
}

/// A sidecar that has bound its addresses and serves nobody yet.
#[derive(Debug)]
pub struct Sidecar {
    settings: Settings,
    service: Service,
    cache: Arc<Cache<Arc<flow::Refusal>>>,
    followed: Option<shared::Followed>,
    certificate: Option<Certificate>,
    /// Who asks for a managed identity's tokens, where there are no callers.
    msi: Option<Arc<Callers>>,
    /// The way to the metadata of the machine.
    machine: Option<Door>,
    parts: Parts,
    token: Vec<Bound>,
    /// The addresses that are one caller's alone.
    owned: Vec<Bound>,
    admin: Vec<Bound>,
}

/// Loads every file that the settings name, and tries each credential once.
pub fn prepare(settings: Settings, clock: &Clock) -> (Option<Prepared>, Findings) {
    let mut findings = Findings::default();
    let mut roots = Roots::load(&settings.outbound.roots, &mut findings);
    let shared = settings.cache.redis.as_ref().and_then(|redis| shared::prepare(redis, &roots, clock, &mut findings));
    let certificate = settings.listen.tls.as_ref().and_then(|tls| listener::prepare(tls, clock, &mut findings));
    let has_callers = !settings.callers.is_empty();
    let callers = has_callers.then(|| callers::prepare(&settings, &mut roots, &mut findings)).flatten();
    let msi = settings.msi_secret.as_ref().and_then(|secret| callers::prepare_msi(secret, &mut findings));
    let mut apps = Vec::new();
    for app in &settings.apps {
        let credential = load_credential(app, clock, &mut findings);
        let door = door::open(&settings, &app.authority, &mut roots, &mut findings);
        if let (Some(credential), Some(door)) = (credential, door) {
            apps.push(PreparedApp { settings: app.clone(), credential: Arc::new(credential), door });
        }
    }
    if let Some(source) = settings.telemetry.otlp.as_ref().and_then(|otlp| otlp.headers.as_ref()) {
        match telemetry::check_headers(source) {
            Err(problem) => findings.error(source.file.as_deref(), &source.key, problem),
            Ok(odd) => odd.into_iter().for_each(|problem| findings.warning(source.file.as_deref(), &source.key, problem)),
        }
    }
    let tls = roots.tls(None).ok();
    if findings.has_errors() {
        return (None, findings);
    }
    (Some(Prepared { settings, apps, callers, msi, shared, tls, certificate }), findings)
}

fn load_credential(app: &AppSettings, clock: &Clock, findings: &mut Findings) -> Option<Credential> {
    let sources = app.credential.sources();
    if sources.iter().any(|source| source.is_missing()) {
        return None;
    }
    match Credential::load(&app.credential, app.authority.address.profile().assertion) {
        Err(refused) => {
            let (source, problem) = *refused;
            findings.error(source.file.as_deref(), &source.key, problem);
            None
        }
        Ok(credential) => {
            let (file, key) = sources.first().map_or((None, ""), |source| (source.file.as_deref(), source.key.as_str()));
            for problem in credential.ending(clock.unix()).into_iter().chain(credential.oddity()) {
                findings.warning(file, key, problem);
            }
            Some(credential)
        }
    }
}

/// What makes two apps' authority the same one.
fn identity(settings: &authority::Settings) -> String {
    let authority::Settings { address, ca_file, assertion_audience, region, metadata, .. } = settings;
    format!("{address:?} {ca_file:?} {assertion_audience:?} {region:?} {metadata:?}")
}

/// How many bytes of verified tokens one authority's verifier may remember. The authorities share what there is, those that some
/// app accepts users' tokens of: the others never have one to remember.
fn remembered(max_bytes: u64, apps: &[AppSettings]) -> u64 {
    let accepting = apps.iter().filter(|app| app.inbound.is_some());
    let of_app = |app: &AppSettings| {
        let others = app.authorities_of_policies();
        std::iter::once(app.authority.clone()).chain(others).map(|settings| identity(&settings)).collect::<Vec<_>>()
    };
    let accepting = accepting.flat_map(of_app).collect::<HashSet<_>>();
    max_bytes / REMEMBERED / u64::try_from(accepting.len().max(1)).unwrap_or(u64::MAX)
}

// === impl Prepared ===

impl Prepared {
    /// The settings that were prepared.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How TLS is spoken to servers that are no authority of an app's, such as a collector of spans.
    pub fn tls(&self) -> Option<rustls::ClientConfig> {
        self.tls.clone()
    }

    /// Proves the shared store's address, credentials and rights: what `tokend check` does. Returns what works and could be better;
    /// `None`: there is no such store.
    ///
    /// # Errors
    /// It cannot be used, and why.
    pub async fn prove_shared(&self, parts: &Parts) -> Option<Result<Vec<Complaint>, Complaint>> {
        let shared = self.shared.as_ref()?;
        Some(shared.prove(parts).await)
    }

    /// Builds the flows over their apps, authorities and cache; binds nothing.
    pub fn assemble(&self, parts: &Parts) -> (Service, Arc<Cache<Arc<flow::Refusal>>>) {
        let flow_metrics = flow::Metrics::new(&parts.metrics);
        let authority_metrics = authority::Metrics::new(&parts.metrics);
        // Apps of one authority share its documents, its keys and its turns.
        let mut authorities: HashMap<String, (Arc<Authority>, Arc<Inbound>)> = HashMap::new();
        let remembered = remembered(self.settings.cache.max_bytes, &self.settings.apps);
        let own_region = region::of(&self.settings);
        let mut app_at = |app: &PreparedApp, settings: &authority::Settings| {
            let (authority, verifier) = authorities.entry(identity(settings)).or_insert_with(|| {
                let (calls, door, metrics) = (self.settings.calls.clone(), app.door.clone(), authority_metrics.clone());
                let means = (parts.clock.clone(), parts.tasks.clone(), metrics);
                let authority = Authority::new(settings, own_region.as_ref(), calls, door, means);
                let verifier = Arc::new(Inbound::new(Arc::clone(&authority), remembered, parts.clock.clone()));
                (authority, verifier)
            });
            let credential = Arc::clone(&app.credential);
            let metrics = flow_metrics.of(&app.settings.name);
            let (authority, verifier) = (Arc::clone(authority), Arc::clone(verifier));
            let callers = &self.settings.callers;
            let source = TokenClient::new(authority, credential, &app.settings.client_id, parts.clock.clone(), parts.tasks.clone());
            App::new(&app.settings, callers, source, verifier, metrics)
        };
        let mut apps = Vec::new();
        for app in &self.apps {
            // At each of its policies it is an app with an authority of its own.
            let policies = app.settings.authorities_of_policies().map(|settings| Arc::new(app_at(app, &settings))).collect();
            apps.push(Arc::new(app_at(app, &app.settings.authority).with_policies(policies)));
        }
        let cache_settings = &self.settings.cache;
        let longest = self.settings.calls.timeout;
        let fleet = self.shared.as_ref().map(|shared| shared.fleet(cache_settings, longest, parts));
        let cache = Cache::new(cache_settings, fleet, flow::WIRE, &parts.metrics, parts.clock.clone(), parts.tasks.clone());
        let (clock, tasks) = (parts.clock.clone(), parts.tasks.clone());
        let callers = self.callers.as_ref().map(|callers| callers.callers(&self.settings, &authority_metrics, parts));
        let (kept, patience) = (Arc::clone(&cache), self.settings.http.request_timeout);
        let handles = self.settings.handles;
        let means = flow::Means { cache: kept, clock, tasks, jitter: rand::random::<f64>, patience, handles };
        let service = Service::new(apps, &self.settings.apis, callers, means);
        (service, cache)
    }

    /// Builds a sidecar and binds its addresses.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn build(self, parts: Parts) -> Result<Sidecar, BindError> {
        let token = listen::bind(&self.settings.listen).await?;
        let owned = callers::bind(&self.settings).await?;
        let admin = listen::bind(&self.settings.admin).await?;
        let (service, cache) = self.assemble(&parts);
        let followed = self.shared.map(|shared| shared.followed());
        let certificate = self.certificate;
        let msi = self.msi.map(|msi| msi.callers(&parts));
        let machine = self.tls.and_then(|tls| region::way(&self.settings, tls));
        let settings = self.settings;
        Ok(Sidecar { settings, service, cache, followed, certificate, msi, machine, parts, token, owned, admin })
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// Where the token listener listens; a port of 0 has become a real one. Behind these, the addresses that are one caller's own.
    pub fn addresses(&self) -> Vec<Address> {
        self.token.iter().chain(&self.owned).map(Bound::address).collect()
    }

    /// Where the admin listener listens.
    pub fn admin_addresses(&self) -> Vec<Address> {
        self.admin.iter().map(Bound::address).collect()
    }

    /// Serves until a signal. Returns whether all work ended by itself in time.
    pub async fn run(self, signals: Signals) -> bool {
        let Self { settings, service, cache, followed, certificate, msi, machine, parts, mut token, owned, admin } = self;
        let Parts { clock, tasks, metrics, sampler } = parts;
        let readiness = Readiness::default();
        let reloads = follow(&service, followed.as_ref(), certificate.as_ref());
        if let Some(msi) = &msi {
            msi.watch(&reloads);
        }
        reloads.run(&tasks);
        service.sweep();
        if followed.is_some() {
            service.join_fleet();
        }
        if let Some(certificate) = &certificate {
            token = listener::secure(token, certificate, &clock, &tasks, &metrics);
        }
        token.extend(owned);
        if let Some(own) = service.apps().find_map(|app| app.authority.own_region()) {
            region::find(own, machine, &tasks, &metrics);
        }
        report::gauges(&metrics, &service, &cache, followed.as_ref(), certificate.as_ref(), &tasks);
        let meters = listen::Meters::new(&metrics);
        let router = http::router(service.clone(), &settings.http, msi, &clock, &metrics, sampler);
        listen::serve(token, router, &settings.listen, &tasks, tasks.soft(), &meters, "token");
        let report = report::reporter(service, cache, followed, certificate, tasks.clone(), readiness.clone(), clock);
        let ready = readiness.clone();
        let router = admin::router(metrics, Arc::new(move || ready.is_ready()), report, &settings.http.hosts);
        listen::serve(admin, router, &settings.admin, &tasks, tasks.soft(), &meters, "admin");
        run_until_stopped(&tasks, &readiness, &reloads, settings.shutdown, signals).await
    }
}

/// Every file that is followed.
fn follow(service: &Service, followed: Option<&shared::Followed>, certificate: Option<&Certificate>) -> Reloads {
    let reloads = Reloads::default();
    for app in service.apps() {
        app.credential.watch(&reloads);
    }
    if let Some(callers) = service.callers() {
        callers.watch(&reloads);
    }
    if let Some(followed) = followed {
        followed.watch(&reloads);
    }
    if let Some(certificate) = certificate {
        certificate.watch(&reloads);
    }
    reloads
}

/// The API document of both listeners, as YAML.
///
/// # Errors
/// None that can happen: it is plain data. The type is the writer's.
pub fn api_document() -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    http::document(admin::openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::remembered;
    use crate::config::{Format, parse};

    /// What one authority may remember of 1200 bytes; each app is its authority and whether it accepts users' tokens.
    fn share(apps: &[(&str, bool)]) -> u64 {
        let app = |(index, (authority, inbound)): (usize, &(&str, bool))| {
            let inbound = if *inbound { ", inbound: {audiences: [a]}" } else { "" };
            format!("  app{index}: {{authority: \"{authority}\", client_id: c, credential: {{secret: {{file: /s}}}}{inbound}}}\n")
        };
        let yaml: String = apps.iter().enumerate().map(app).collect();
        let (settings, findings) = parse(&format!("apps:\n{yaml}"), Format::Yaml, "t.yaml", &BTreeMap::new());
        remembered(1200, &settings.unwrap_or_else(|| panic!("{findings:?}")).apps)
    }

    #[test]
    fn what_is_remembered_of_tokens_is_shared_by_authorities_and_not_by_apps() {
        let (one, other) =
            ("https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "https://login.example/contoso.example");
        assert_eq!(share(&[(one, true)]), 300);
        assert_eq!(share(&[(one, true), (one, true), (one, true)]), 300, "they share one verifier");
        assert_eq!(share(&[(one, true), (other, false)]), 300, "there is nothing to remember of the other");
        assert_eq!(share(&[(one, true), (one, true), (other, true)]), 150);
        assert_eq!(share(&[(one, false)]), 300);
    }
}
