//! Both listeners: where they listen, and what a connection may take there.

use std::time::Duration;

use super::apps::entries;
use super::bounds::{GIB, duration, or, size};
use super::raw;
use super::report::Report;
use super::scalar::{List, Mode, Scalar};
use super::tls::ListenerGuard;
use crate::finding::Complaint;
use crate::http;
use crate::listen::{self, Address};

/// A Unix socket is for the user and the group of tokend.
const MODE: Mode = Mode(0o660);
/// Idle connections of pools count as well, so there may be more of them than requests.
const CONNECTIONS: usize = 4096;
/// How long a request's head may take; it has no key of its own.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What heads may take before there are requests, in bytes.
const HEADS: usize = 8 * 1024 * 1024;
/// How long a connection without a request stays.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The admin listener's share of `limits.heads`, of which the other one cannot take anything: one in so many.
const ADMIN_SHARE: usize = 8;
/// Probes, scrapes and people.
const ADMIN_CONNECTIONS: usize = 256;
/// Of these for this machine: probes that run in the container.
const ADMIN_RESERVE: usize = 16;
/// Descriptors that are kept for probes: kubelet and Prometheus come one at a time.
const ADMIN_SPARES: usize = 4;
const ADMIN_PER_ADDRESS: usize = 32;
/// Probes and scrapes say all at once.
const ADMIN_HEADER_TIMEOUT: Duration = Duration::from_secs(1);
/// They have little to say, too.
const ADMIN_HEADER: usize = 16 * 1024;

/// One head of the largest size has to fit into the token listener's share, as it may be decoded from HTTP/2.
const HEADS_PER_HEADER: usize = 8;

/// What a connection may take, of `limits`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    heads: usize,
    keep_alive: Duration,
}

/// Reads the part of `limits` that is the listeners'.
pub(super) fn bounds(raw: &mut Option<raw::Limits>, report: &mut Report<'_>) -> Bounds {
    let (heads, keep_alive) = raw.as_mut().map(|raw| (raw.heads.take(), raw.keep_alive.take())).unwrap_or_default();
    let heads = size("limits.heads", heads, HEADS, 2 << 20..=GIB, report);
    let keep_alive = duration("limits.keep_alive", keep_alive, KEEP_ALIVE, report);
    Bounds { heads, keep_alive }
}

/// Reads both listeners: tokens, admin.
pub(super) fn listeners(
    tokens: Option<List>,
    admin: Option<List>,
    mode: Option<Scalar<Mode>>,
    (limits, bounds): (&http::Settings, Bounds),
    guard: ListenerGuard,
    report: &mut Report<'_>,
) -> (listen::Settings, listen::Settings) {
    let mode = or(mode, MODE).0;
    let token_addresses = addresses("listen", tokens, "127.0.0.1:8650", report);
    for (key, address) in &token_addresses {
        if !address.is_local()
            && let Some(problem) = guard.missing()
        {
            report.error(key, problem);
        }
    }
    let admin_addresses = addresses("admin_listen", admin, "127.0.0.1:8651", report);
    let all: Vec<_> = token_addresses.iter().chain(&admin_addresses).collect();
    for (index, (key, address)) in all.iter().enumerate() {
        if !has_port_zero(address) && all.iter().take(index).any(|(_, other)| other == address) {
            report.error(
                key,
                Complaint::new("the same address is listed before", "give each address once, and each listener its own"),
            );
        }
    }
    if bounds.heads < limits.header.saturating_mul(HEADS_PER_HEADER) {
        let reason = format!("it is less than {HEADS_PER_HEADER} × `limits.header`: a large head could never be read");
        report.missing("limits.heads", Complaint::new(reason, "raise it, or lower `limits.header`"));
    }
    let plain = |addresses: Vec<(String, Address)>| addresses.into_iter().map(|(_, address)| address).collect();
    let tokens = listen::Settings {
        addresses: plain(token_addresses),
        mode,
        header: limits.header,
        connections: CONNECTIONS.max(limits.concurrency.saturating_mul(2)),
        reserve: 0,
        spares: 0,
        per_address: None,
        heads: bounds.heads - bounds.heads / ADMIN_SHARE,
        keep_alive: Some(bounds.keep_alive),
        header_timeout: HEADER_TIMEOUT,
        tls: None,
    };
    let admin = listen::Settings {
        addresses: plain(admin_addresses),
        mode,
        header: ADMIN_HEADER.min(limits.header),
        connections: ADMIN_CONNECTIONS,
        reserve: ADMIN_RESERVE,
        spares: ADMIN_SPARES,
        per_address: Some(ADMIN_PER_ADDRESS),
        heads: bounds.heads / ADMIN_SHARE,
        keep_alive: None,
        header_timeout: ADMIN_HEADER_TIMEOUT,
        tls: None,
    };
    (tokens, admin)
}

fn addresses(path: &str, raw: Option<List>, default: &str, report: &mut Report<'_>) -> Vec<(String, Address)> {
    let raw = raw.unwrap_or_else(|| List(vec![Some(default.to_owned())]));
    let list = entries(path, Some(raw));
    if list.is_empty() {
        report.missing(
            path,
            Complaint::new("there is no address to listen at", format!("list one, or remove the key for {default}")),
        );
    }
    let mut all = Vec::new();
    for (key, text) in list {
        let parsed = report.take(&key, Address::parse(&text)).unwrap_or_default();
        all.extend(parsed.into_iter().map(|address| (key.clone(), address)));
    }
    all
}

/// Whether the system chooses its port: two of them are no two of the same.
pub(super) fn has_port_zero(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => address.port() == 0,
        Address::Any(port) => *port == 0,
        Address::Unix(_) => false,
    }
}
