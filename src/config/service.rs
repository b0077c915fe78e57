//! What concerns the process and not an app: limits, cache, calls, shutdown.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::apps::entries;
use super::bounds::{GIB, count, duration, or, size};
use super::report::Report;
use super::scalar::{List, Scalar, Size};
use super::settings::Shutdown;
use super::{raw, redis};
use crate::finding::Complaint;
use crate::flow::HandleSettings;
use crate::{authority, cache, http};

/// What a request's head may have, in bytes: below 8 KiB hyper does not serve HTTP/1.1 at all.
const HEADER: RangeInclusive<usize> = 8 * 1024..=16 * 1024 * 1024;

/// The bounds of what outlives its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detached {
    flights: usize,
    queue: usize,
}

/// Reads `limits` and `hosts`.
pub(super) fn limits(raw: Option<raw::Limits>, hosts: Option<List>, report: &mut Report<'_>) -> (http::Settings, Detached) {
    let (raw, default) = (raw.unwrap_or_default(), http::Settings::default());
    let body = size("limits.body", raw.body, default.body, 1..=GIB, report);
    let inflight = size("limits.inflight", raw.inflight, default.inflight, 1..=64 * GIB, report);
    if inflight < body {
        let problem =
            Complaint::new("it is less than `limits.body`: a large body could never be read", "raise it, or lower `limits.body`");
        report.missing("limits.inflight", problem);
    }
    let header = size("limits.header", raw.header, default.header, HEADER, report);
    let detached = detached(raw.flights, raw.queue, body + header, report);
    let settings = http::Settings {
        body,
        header,
        inflight,
        concurrency: count("limits.concurrency", raw.concurrency, default.concurrency, report),
        request_timeout: duration("limits.request_timeout", raw.request_timeout, default.request_timeout, report),
        hosts: self::hosts(hosts, report),
        doors: default.doors,
    };
    (settings, detached)
}

/// Reads `limits.flights` and `limits.queue`. `largest`: a request's most bytes.
fn detached(flights: Option<Scalar<Size>>, queue: Option<Scalar<Size>>, largest: usize, report: &mut Report<'_>) -> Detached {
    let default = cache::Settings::default();
    let flights = size("limits.flights", flights, default.flights, 1..=64 * GIB, report);
    let least = cache::Settings::least_flights(largest);
    if flights < least {
        let reason =
            format!("it is less than {least} bytes, which the largest request that `limits.body` and `limits.header` allow needs");
        report.missing("limits.flights", Complaint::new(reason, "raise it, or lower `limits.body`"));
    }
    let queue = size("limits.queue", queue, default.queue, 64 * 1024..=64 * GIB, report);
    Detached { flights, queue }
}

fn hosts(raw: Option<List>, report: &mut Report<'_>) -> Vec<String> {
    let list = entries("hosts", raw);
    let host = |text: &str| {
        url::Host::parse(text)
            .map(|host| host.to_string())
            .map_err(|_| Complaint::new("it is no host name", "write a host name or an address without scheme, port and path"))
    };
    let hosts: Vec<_> = list.iter().filter_map(|(key, text)| Some((key, report.take(key, host(text))?))).collect();
    hosts.iter().for_each(|(key, host)| super::host::judge(key, host, report));
    hosts.into_iter().map(|(_, host)| host).collect()
}

/// Reads `cache`.
pub(super) fn cache(
    raw: Option<raw::Cache>,
    (limits, detached): (&http::Settings, Detached),
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> cache::Settings {
    let (raw, default) = (raw.unwrap_or_default(), cache::Settings::default());
    let max_bytes = raw.memory.unwrap_or_default().max_bytes.map_or(default.max_bytes, |scalar| scalar.0.0);
    // One user's tokens may take 256 KiB: a cache that holds fewer than four users is a mistake in the unit.
    if max_bytes < 1 << 20 {
        report.error("cache.memory.max_bytes", Complaint::new("it is less than 1MiB", "write at least 1MiB; the default is 64MiB"));
    }
    let recheck = duration("cache.recheck", raw.recheck, default.recheck, report);
    let redis = raw.redis.map(|raw| redis::redis(raw, limits, environment, report));
    cache::Settings { max_bytes, recheck, flights: detached.flights, queue: detached.queue, redis }
}

/// Reads `refresh_handles`.
pub(super) fn handles(raw: Option<raw::RefreshHandles>, report: &mut Report<'_>) -> HandleSettings {
    let lifetime = or(raw.unwrap_or_default().lifetime, HandleSettings::default().lifetime);
    if !(HandleSettings::SHORTEST..=HandleSettings::LONGEST).contains(&lifetime) {
        let problem = Complaint::new(
            "it is not between 1h and 90 days",
            "write a time in these bounds, such as `720h`; the default is 90 days",
        );
        report.error("refresh_handles.lifetime", problem);
    }
    HandleSettings { lifetime }
}

/// Reads `authority`.
pub(super) fn calls(raw: Option<raw::Calls>, limits: &http::Settings, report: &mut Report<'_>) -> authority::CallSettings {
    let (raw, default) = (raw.unwrap_or_default(), authority::CallSettings::default());
    let calls = authority::CallSettings {
        connect_timeout: duration("authority.connect_timeout", raw.connect_timeout, default.connect_timeout, report),
        timeout: duration("authority.timeout", raw.timeout, default.timeout, report),
        concurrency: count("authority.concurrency", raw.concurrency, default.concurrency, report),
        retry_delay: or(raw.retry_delay, default.retry_delay),
    };
    if calls.timeout >= limits.request_timeout && !limits.request_timeout.is_zero() {
        let problem = Complaint::new(
            "it is not less than `limits.request_timeout`: requests end before the authority's time is up",
            "lower it, or raise `limits.request_timeout`",
        );
        report.warning("authority.timeout", problem);
    }
    calls
}

/// Reads `shutdown`.
pub(super) fn shutdown(raw: Option<raw::Shutdown>) -> Shutdown {
    let raw = raw.unwrap_or_default();
    Shutdown { delay: or(raw.delay, Duration::ZERO), grace: or(raw.grace, Duration::from_secs(20)) }
}
