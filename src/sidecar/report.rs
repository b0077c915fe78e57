//! What the process tells of itself: `/status`, and the gauges that are set at each scrape.

use std::sync::Arc;

use crate::admin::{AppReport, BreakerReport, CacheReport, CredentialReport, RedisReport, ReloadReport, Report};
use crate::cache::{Cache, Fleet};
use crate::clock::Clock;
use crate::flow::{self, App, Service};
use crate::lifecycle::Readiness;
use crate::listen::Certificate;
use crate::store::BreakerState;
use crate::tasks::Tasks;
use crate::telemetry::{self, Metrics};

use super::authorities::authority_reports;
use super::callers;
use super::listener;
use super::shared::Followed;

/// What `/status` tells.
pub(super) fn reporter(
    service: Service,
    cache: Arc<Cache<Arc<flow::Refusal>>>,
    followed: Option<Followed>,
    certificate: Option<Certificate>,
    tasks: Tasks,
    readiness: Readiness,
    clock: Clock,
) -> Arc<dyn Fn() -> Report + Send + Sync> {
    let started = clock.unix();
    Arc::new(move || {
        let mut apps: Vec<&Arc<App>> = service.apps().collect();
        apps.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let memory = cache.memory();
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            ready: readiness.is_ready(),
            apps: apps.iter().map(|app| app_report(app)).collect(),
            authorities: authority_reports(&service, &apps, &clock),
            tls: certificate.as_ref().map(listener::report),
            cache: CacheReport {
                entries: u64::try_from(memory.partitions()).unwrap_or(u64::MAX),
                bytes: memory.bytes(),
                max_bytes: memory.max_bytes(),
                redis: cache
                    .fleet()
                    .zip(followed.as_ref())
                    .map(|(fleet, followed)| redis_report(fleet, cache.accounts().waiting(), followed)),
            },
            reload_failures: apps
                .iter()
                .filter_map(|app| reload_report(app))
                .chain(service.callers().into_iter().flat_map(|callers| callers::problems(callers)))
                .chain(followed.iter().flat_map(Followed::problems))
                .chain(certificate.as_ref().and_then(listener::reload_report))
                .collect(),
            task_panics: tasks.panics(),
        }
    })
}

fn redis_report(fleet: &Fleet, waiting: Option<usize>, followed: &Followed) -> RedisReport {
    let state = fleet.state();
    let said = |state: BreakerState| state.as_str().to_owned();
    RedisReport {
        breakers: BreakerReport { reads: said(state.reads), writes: said(state.writes), events: said(state.events) },
        waiting: u64::try_from(waiting.unwrap_or_default()).unwrap_or(u64::MAX),
        keys: followed.kids(),
    }
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

/// Gauges of what others keep, set at each scrape.
pub(super) fn gauges(
    metrics: &Metrics,
    service: &Service,
    cache: &Arc<Cache<Arc<flow::Refusal>>>,
    followed: Option<&Followed>,
    certificate: Option<&Certificate>,
    tasks: &Tasks,
) {
    let expiry = metrics.gauges(
        "credential_expiry_timestamp_seconds",
        "When an app's certificate or federated token ends, in seconds since the Unix epoch; secrets do not say.",
        &["app", "kind"],
    );
    let failures = metrics.counters(
        "reload_failures_total",
        "New file contents that were refused or could not be read, by app; the shared cache's are under `cache.redis`, the token \
          listener's under `listen.tls`, callers' under `callers.` and the name.",
        &["app"],
    );
    let bytes = metrics.gauges("cache_bytes", "What the memory level weighs: keys, values and index.", &["level"]);
    let entries = metrics.gauges("cache_partitions", "Apps, accounts and assertions that have tokens in memory.", &["level"]);
    let panics = metrics.counters("task_panics_total", "Tasks that panicked; each is a defect of tokend.", &[]);
    let holds = metrics.gauges("holds", "Remembered failures that stop further calls now, by what they stop.", &["kind"]);
    let most = metrics.gauges("cache_max_bytes", "What the memory level may weigh.", &["level"]);
    most.with_label_values(&["memory"]).set(number(cache.memory().max_bytes()));
    let waiting = metrics.gauges("cache_push_back_waiting", "What waits in memory to be stored in Redis.", &[]);
    let waiting_bytes = metrics.gauges("cache_push_back_bytes", "What that weighs, of limits.queue.", &[]);
    telemetry::observe_process(metrics);
    let (followed, certificate) = (followed.cloned(), certificate.cloned());
    let (service, cache, tasks) = (service.clone(), Arc::clone(cache), tasks.clone());
    metrics.before_render(move || {
        for app in service.apps() {
            if let Some(ends) = app.credential.expires_on() {
                expiry.with_label_values(&[&*app.name, app.credential.kind()]).set(ends);
            }
            catch_up(&failures.with_label_values(&[&app.name]), app.credential.reload_state().1);
        }
        for (name, counted) in service.callers().into_iter().flat_map(|callers| callers::failures(callers)) {
            catch_up(&failures.with_label_values(&[&*format!("callers.{name}")]), counted);
        }
        if let Some(count) = cache.accounts().waiting() {
            waiting.with_label_values(&[] as &[&str]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Some(weight) = cache.accounts().waiting_bytes() {
            waiting_bytes.with_label_values(&[] as &[&str]).set(i64::try_from(weight).unwrap_or(i64::MAX));
        }
        for (stops, count) in service.holds() {
            holds.with_label_values(&[stops.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Some(followed) = &followed {
            catch_up(&failures.with_label_values(&["cache.redis"]), followed.failures());
        }
        if let Some(certificate) = &certificate {
            catch_up(&failures.with_label_values(&["listen.tls"]), certificate.reload_state().1);
        }
        bytes.with_label_values(&["memory"]).set(number(cache.memory().bytes()));
        entries.with_label_values(&["memory"]).set(i64::try_from(cache.memory().partitions()).unwrap_or(i64::MAX));
        catch_up(&panics.with_label_values(&[] as &[&str]), tasks.panics());
    });
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Brings a counter up to what was counted elsewhere.
fn catch_up(counter: &prometheus::IntCounter, counted: u64) {
    counter.inc_by(counted.saturating_sub(counter.get()));
}
