//! The metrics as they are documented: their names, their labels with every value that these may have, and what all of it comes to.
//! Dashboards and alerts are written from this list, so whatever a process shows has to be in it.

use std::collections::BTreeMap;

use serde_json::json;
use tokend::clock::Clock;

use crate::support::redis::RedisServer;
use crate::support::{Emulator, Fleet, GRAPH, Sidecar, configuration, eventually};

type Labels = &'static [(&'static str, &'static [&'static str])];

const FLOWS: &[&str] =
    &["client_credentials", "on_behalf_of", "auth_code", "silent", "refresh_token", "device_code", "username_password"];
const OUTCOMES: &[&str] = &["ok", "caller", "user", "rights", "configuration", "throttled", "operator", "unavailable", "timeout"];
const SOURCES: &[&str] = &["memory", "redis", "authority", "none"];
const GRANTS: &[&str] = &[
    "client_credentials",
    "jwt-bearer",
    "token-exchange",
    "saml1_1-bearer",
    "saml2-bearer",
    "authorization_code",
    "refresh_token",
    "device_code",
    "password",
    "device_authorization",
    "pushed_authorization",
    "userinfo",
    "discovery",
    "keys",
];
const ERRORS: &[&str] = &[
    "none",
    "other",
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_resource",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "interaction_required",
    "login_required",
    "consent_required",
    "access_denied",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "temporarily_unavailable",
    "server_error",
    "throttled",
    "unreachable",
    "broken",
    "busy",
    "timeout",
    "invalid_answer",
];
const REDIS_OPS: &[&str] = &[
    "read", "members", "holds", "page", "publish", "claim", "extend", "release", "put", "remove", "set", "clear", "join", "leave",
    "probe", "attempt",
];
const REDIS_OUTCOMES: &[&str] =
    &["ok", "timeout", "connecting", "io", "read_only", "full", "refused", "not_ready", "migrating", "error", "breaker_open"];

const HANDSHAKES: &[&str] = &["timeout", "closed", "not_tls", "protocol", "client_certificate", "refused_by_client", "other"];

const LISTENERS: &[&str] = &["token", "admin"];
const CLOSED: &[&str] = &["places", "address", "heads", "head_timeout", "stalled", "resets"];

/// A label whose values are names of the configuration.
const NAMES: &[&str] = &[];

const COUNTERS: &[(&str, Labels)] = &[
    ("requests_total", &[("flow", FLOWS), ("app", NAMES), ("outcome", OUTCOMES), ("source", SOURCES)]),
    ("refreshes_total", &[("flow", FLOWS), ("app", NAMES), ("outcome", OUTCOMES)]),
    ("held_requests_total", &[("flow", FLOWS), ("app", NAMES)]),
    ("authority_clients_replaced_total", &[]),
    ("authority_calls_total", &[("grant", GRANTS), ("status", &["2xx", "4xx", "429", "5xx", "none", "other"]), ("error", ERRORS)]),
    (
        "cache_lookups_total",
        &[("level", &["memory", "redis"]), ("outcome", &["hit", "miss", "expired", "bypassed", "unavailable", "signed_out"])],
    ),
    ("cache_flights_total", &[("role", &["led", "joined"])]),
    ("cache_leases_total", &[("outcome", &["won", "waited", "taken_over", "given_up", "failed"])]),
    (
        "cache_invalidations_total",
        &[("direction", &["sent", "received"]), ("kind", &["signed_out", "replaced", "credential", "put_back", "begun"])],
    ),
    ("cache_pushed_back_total", &[("outcome", &["stored", "stale", "gone", "signed_out"])]),
    ("cache_restored_total", &[("kind", &["epoch", "sign_in"])]),
    ("cache_push_back_dropped_total", &[("kind", &["token", "sign_in"])]),
    ("cache_push_back_refused_total", &[]),
    ("flights_refused_total", &[("work", &["flight", "renewal", "redemption", "sign_out"])]),
    ("cache_undecipherable_total", &[("reason", &["newer", "unknown_key", "garbage"])]),
    ("redis_requests_total", &[("op", REDIS_OPS), ("outcome", REDIS_OUTCOMES)]),
    ("redis_reconnects_total", &[]),
    ("redis_unacknowledged_total", &[("op", &["put", "remove"])]),
    ("redis_events_total", &[("direction", &["sent", "received"])]),
    ("key_ring_reads_total", &[("kid", NAMES)]),
    ("reload_failures_total", &[("app", NAMES)]),
    ("log_lines_dropped_total", &[]),
    ("caller_requests_total", &[("caller", NAMES), ("outcome", &["authenticated", "not_authenticated", "not_allowed"])]),
    (
        "door_requests_total",
        &[("door", &["rest", "oauth2", "msi", "auth_request", "ms_sidecar"]), ("outcome", &["ok", "refused", "failed"])],
    ),
    ("introspections_total", &[("app", NAMES), ("outcome", &["active", "inactive"])]),
    ("tls_handshake_failures_total", &[("reason", HANDSHAKES)]),
    ("http_connections_closed_total", &[("listener", LISTENERS), ("reason", CLOSED)]),
    // The values are the closed list of the API document.
    ("http_refusals_total", &[("error", NAMES)]),
    ("task_panics_total", &[]),
];

const GAUGES: &[(&str, Labels)] = &[
    ("holds", &[("kind", &["credential", "tenant", "grant", "request", "pause", "partition"])]),
    ("cache_bytes", &[("level", &["memory"])]),
    ("cache_max_bytes", &[("level", &["memory"])]),
    ("cache_partitions", &[("level", &["memory"])]),
    ("cache_push_back_waiting", &[]),
    ("cache_push_back_bytes", &[]),
    ("flights", &[]),
    ("flight_bytes", &[]),
    ("redis_breaker_state", &[("breaker", &["reads", "writes", "events"])]),
    ("key_ring_key", &[("kid", NAMES)]),
    (
        "credential_expiry_timestamp_seconds",
        &[("app", NAMES), ("kind", &["certificate", "pfx", "tls_certificate", "federated_token"])],
    ),
    ("listener_certificate_expiry_timestamp_seconds", &[]),
    ("region_state", &[("state", &["known", "pending", "unknown"])]),
    ("http_connections", &[("listener", LISTENERS)]),
    ("http_unfinished_heads", &[("listener", LISTENERS)]),
    ("http_unfinished_head_bytes", &[("listener", LISTENERS)]),
    ("http_requests_in_flight", &[]),
    ("build_info", &[("version", NAMES)]),
];

const HISTOGRAMS: &[(&str, Labels)] = &[
    ("request_duration_seconds", &[("flow", FLOWS), ("source", SOURCES)]),
    ("authority_call_duration_seconds", &[("grant", GRANTS)]),
    ("redis_duration_seconds", &[("op", &["read", "write"])]),
];

/// Buckets, the last of them without a bound, sum and count.
const PER_HISTOGRAM: usize = 13;

/// How many series there can be at most. Flows that read the cache have three sources and renew;
/// the others have one source and do not.
fn most(apps: usize, cached: usize, sent: usize, grants: usize) -> usize {
    // `configuration` is said of no app of ours, and of none that is not anything but that and `caller`.
    const TURNS: usize = 7;
    let requests = apps * (cached * (3 + TURNS) + sent * (1 + TURNS)) + 2 * (cached + sent);
    let durations = (4 * cached + 2 * sent) * PER_HISTOGRAM;
    let (renewals, held) = (apps * cached * (1 + TURNS), apps * (cached + sent));
    // 2xx, 4xx by error, 429, 5xx by error, nothing by reason, garbage; documents know no OAuth errors and need no turn.
    let calls = grants * (1 + 16 + 1 + 4 + 4 + 1) + 2 * (1 + 1 + 1 + 3 + 1);
    let call_durations = (grants + 2) * PER_HISTOGRAM;
    let cache = 8 + 2 + 5 + 6 + 4 + 3 + 3 + 1;
    // Work that outlives its request, and what waits for Redis.
    let bounds = (2 + 4) + (1 + 2 + 1);
    let redis = REDIS_OPS.len() * REDIS_OUTCOMES.len() + 2 * PER_HISTOGRAM + 3 + 1 + 2 + 2;
    // A ring in the middle of two rotations.
    let ring = 2 * 4;
    let http = LISTENERS.len() * (3 + CLOSED.len()) + 1 + 20 + HANDSHAKES.len() + 1;
    // Holds, panics, lines of the log, the build, connections that were dropped, the process; the ends of credentials and the
    // trouble with files.
    let rest = 6 + 1 + 1 + 1 + 1 + 7 + 2 * apps + 10;
    // Two outcomes and trouble with a file for each caller, one an app, and those whom nobody knows.
    let callers = apps * 3 + 1;
    callers + requests + durations + renewals + held + calls + call_durations + cache + bounds + redis + ring + http + rest
}

#[test]
fn five_apps_stay_below_the_bound_whatever_happens_to_them() {
    let now = most(5, 3, 4, 11);
    assert!(now < 2000, "{now}");
    // A flow that the contract names and that is still to come: managed identity.
    let later = most(5, 4, 4, 11);
    assert!(later < 2000, "{later}");
    assert!(later > now && now > 800, "{now} {later}: this is counted from the list");
}

/// One sample: its name and its labels.
fn sample(line: &str) -> (String, BTreeMap<String, String>) {
    let name_and_labels = line.rsplit_once(' ').expect("a value").0;
    let (name, labels) = name_and_labels.split_once('{').unwrap_or((name_and_labels, "}"));
    // No value has a comma or a quote in it.
    let pairs = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').expect("a pair"));
    (name.to_owned(), pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect())
}

/// Holds a whole text to the list, and the values of labels that are names to `named`; where that is empty any is good.
pub(crate) fn check(text: &str, named: impl Fn(&str) -> Vec<String>) {
    let (mut kinds, mut names) = (BTreeMap::new(), BTreeMap::<&str, Vec<String>>::new());
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
        let help = text.lines().find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
        assert!(help.is_some_and(|help| help.len() > 10 && help.ends_with('.')), "{name}: {help:?}");
        // As promtool's linter has it.
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(!["_count", "_sum", "_bucket", "_ms", "_kb"].iter().any(|end| name.ends_with(end)), "{name}");
    }
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, mut labels) = sample(line);
        let Some(ours) = name.strip_prefix("tokend_") else {
            assert!(name.starts_with("process_") && labels.is_empty(), "{line}");
            continue;
        };
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| ours.strip_suffix(end));
        let histogram = base.and_then(|base| HISTOGRAMS.iter().find(|(name, _)| *name == base));
        let kind = |list: &'static [(&'static str, Labels)]| {
            list.iter().find(|(name, _)| *name == ours).map(|(name, labels)| (*name, *labels))
        };
        let (kind, (name, known)) = match (histogram, kind(COUNTERS), kind(GAUGES)) {
            (Some(found), _, _) => ("histogram", *found),
            (_, Some(found), _) => ("counter", found),
            (_, _, Some(found)) => ("gauge", found),
            _ => panic!("it is not in the list: {line}"),
        };
        assert_eq!(kinds[&format!("tokend_{name}")], kind, "{line}");
        labels.remove("le");
        assert_eq!(labels.len(), known.len(), "{line}");
        for (label, values) in known {
            let value = labels.get(*label).unwrap_or_else(|| panic!("no {label} in {line}"));
            let names = if values.is_empty() { names.entry(*label).or_insert_with(|| named(label)).as_slice() } else { &[] };
            let any = values.is_empty() && names.is_empty();
            assert!(any || values.contains(&value.as_str()) || names.contains(value), "{label} of {line}");
        }
    }
}

/// A process with five apps on a Redis, asked for everything, in good ways and in bad ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_shows_is_in_the_list() {
    let redis = RedisServer::start().await;
    let files = tempfile::tempdir().expect("a folder");
    let emulator = Emulator::start(&Clock::system()).await;
    let url = redis.url();
    // The first five apps of the usual configuration.
    let yaml = configuration(&emulator, &files);
    let dropped = ["web-cert:", "partner:", "billing:", "shop-cert:", "shop-web:"];
    let kept = yaml.lines().filter(|line| !dropped.iter().any(|app| line.trim_start().starts_with(app)));
    let yaml: String = kept.map(|line| format!("{line}\n")).collect();
    let more = format!("cache: {{redis: {{url: \"{url}\", timeout: 2s, encryption: {{plaintext: true}}}}}}\n");
    let fleet = Fleet::start(1, |_| format!("{yaml}{more}")).await;
    let client = fleet.client(0);
    let ana = emulator.user_token("ana@contoso.example").await;
    for effect in [
        json!({"delay_ms": 0}),
        json!({"aadsts": 50076}),
        json!({"aadsts": 90033}),
        json!({"close": true}),
        json!({"raw": {"status": 200, "body": "<html>"}}),
        json!({"error": {"status": 400, "error": "an-error-of-their-own"}}),
        // From here on most is held.
        json!({"throttle": {"retry_after": "60"}}),
        json!({"aadsts": 7_000_215}),
    ] {
        emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
        for app in ["daemon", "daemon-cert", "orders", "orders-secret", "web", "shop", "an-app-that-is-none"] {
            for _ in 0..2 {
                client.post("/client-credentials", &json!({"app": app, "scopes": [GRAPH]})).await;
            }
            let body = json!({"app": app, "scopes": "api://billing/.default", "force_refresh": true});
            client.post_as("/obo", &ana, &body).await;
            let code = json!({"app": app, "scopes": "x", "code": "c", "redirect_uri": "http://localhost:3000/callback"});
            client.post("/auth-code", &code).await;
            client.post("/silent", &json!({"app": app, "scopes": "x", "account": "canary.account"})).await;
            let started = client.post("/device-code", &json!({"app": app, "scopes": "api://orders/access_as_user"})).await;
            client.post("/device-code/poll", &json!({"device_code": started.json["device_code"]})).await;
        }
        emulator.unscript().await;
    }
    let paused = async || fleet.metric(0, "tokend_holds{kind=\"pause\"}").await > 0.0;
    eventually(std::time::Duration::from_secs(5), paused).await;
    let text = fleet.admin(0).get("/metrics").await.text;
    check(&text, |_| Vec::new());
    for there in [
        "tokend_requests_total{app=\"_unknown\",flow=\"silent\",outcome=\"configuration\",source=\"none\"} 8",
        "tokend_authority_calls_total{error=\"none\",grant=\"device_authorization\",status=\"2xx\"}",
        "tokend_authority_calls_total{error=\"authorization_pending\",grant=\"device_code\",status=\"4xx\"}",
        "tokend_requests_total{app=\"web\",flow=\"device_code\",outcome=\"caller\",source=\"none\"}",
        "tokend_cache_lookups_total{level=\"memory\",outcome=\"hit\"}",
        "tokend_cache_lookups_total{level=\"redis\",outcome=\"miss\"}",
        "tokend_cache_flights_total{role=\"led\"}",
        "tokend_cache_leases_total{outcome=\"won\"}",
        "tokend_redis_breaker_state{breaker=\"reads\"} 0",
        "tokend_redis_duration_seconds_bucket{op=\"read\",le=\"0.001\"}",
        "tokend_credential_expiry_timestamp_seconds{app=\"orders\",kind=\"certificate\"}",
        "tokend_build_info{version=",
        "process_start_time_seconds ",
        "process_cpu_seconds_total ",
    ] {
        assert!(text.contains(there), "{there} in {text}");
    }
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!((300..1500).contains(&series), "{series} series");
}

#[tokio::test]
async fn calls_to_authorities_are_measured_precisely_and_where_authorities_answer() {
    let emulator = Emulator::start(&Clock::system()).await;
    let files = tempfile::tempdir().expect("a folder");
    let sidecar = Sidecar::start(&configuration(&emulator, &files), &Clock::system()).await;
    for app in ["daemon", "shop"] {
        sidecar.client.post("/client-credentials", &json!({"app": app, "scopes": [GRAPH]})).await;
    }
    let text = sidecar.admin.get("/metrics").await;
    for grant in ["client_credentials", "discovery"] {
        let sum = text.sample(&format!("tokend_authority_call_duration_seconds_sum{{grant=\"{grant}\"}}"));
        assert!(sum > 0.0 && (sum * 1000.0).fract() > 0.0, "{grant}: {sum} is no measure in whole milliseconds");
    }
    let bounds = text.text.lines().filter_map(|line| {
        let rest = line.strip_prefix("tokend_authority_call_duration_seconds_bucket{grant=\"discovery\",le=\"")?;
        rest.split('"').next().map(str::to_owned)
    });
    let bounds: Vec<String> = bounds.collect();
    assert_eq!(bounds, ["0.025", "0.05", "0.1", "0.25", "0.5", "1", "2", "4", "8", "+Inf"]);
}
