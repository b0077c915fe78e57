//! `tls`, and what has to stand before a token listener that others than this machine can reach.

use std::collections::BTreeMap;

use super::raw;
use super::report::Report;
use super::source::{public_source, source};
use crate::finding::Complaint;
use crate::listen::{Address, TlsSettings};
use crate::reload::Source;

/// What stands before the token listener.
#[derive(Clone, Copy)]
pub(super) struct ListenerGuard {
    /// Whether there is `tls`.
    pub(super) tls: bool,
    /// Whether there are `callers`.
    pub(super) callers: bool,
}

const TLS: &str = "`tls: {cert: {file: /run/secrets/tls.crt}, key: {file: /run/secrets/tls.key}}`";
const CALLERS: &str = "`callers` with a proof for each";

// === impl ListenerGuard ===

impl ListenerGuard {
    /// What an address beyond loopback lacks: on the way nobody may read the tokens, and not everybody may ask for them.
    pub(super) fn missing(self) -> Option<Complaint> {
        let (what, add) = match (self.tls, self.callers) {
            (true, true) => return None,
            (true, false) => ("there are no `callers`", CALLERS.to_owned()),
            (false, true) => ("there is no `tls`", TLS.to_owned()),
            (false, false) => ("there is neither `tls` nor `callers`", format!("{TLS} and {CALLERS}")),
        };
        let reason = format!("others than this machine can reach it, and {what}");
        Some(Complaint::new(reason, format!("add {add}, or bind to loopback (127.0.0.1, ::1) or a Unix socket")))
    }
}

/// Reads `tls`. Where the texts are files, they are opened later.
pub(super) fn tls(
    raw: raw::Tls,
    addresses: &[Address],
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> TlsSettings {
    let (has_cert, has_key, has_client_ca) = (raw.cert.is_some(), raw.key.is_some(), raw.client_ca.is_some());
    for (member, there) in [("cert", has_cert), ("key", has_key)] {
        if !there {
            let problem = Complaint::new(format!("`tls` has no `{member}`"), format!("write {TLS}; one file may hold both"));
            report.missing(&format!("tls.{member}"), problem);
        }
    }
    if addresses.iter().all(|address| matches!(address, Address::Unix(_))) && !addresses.is_empty() {
        let problem =
            Complaint::new("it is for TCP addresses, and `listen` has none", "remove it, or add a TCP address to `listen`");
        report.warning("tls", problem);
    }
    let cert = raw.cert.and_then(|place| public_source("tls.cert", place, environment, report));
    let key = raw.key.and_then(|place| source("tls.key", place, environment, report));
    let client_ca = raw.client_ca.and_then(|place| public_source("tls.client_ca", place, environment, report));
    let cert = cert.unwrap_or_else(|| Source::missing("tls.cert"));
    if raw.client_certificates.is_some() && !has_client_ca {
        let problem = Complaint::new(
            "it has no effect without `tls.client_ca`",
            "remove it, or write `client_ca: {file: …}` with the CAs of the clients",
        );
        report.missing("tls.client_certificates", problem);
    }
    let client_certificates = raw.client_certificates.map(|scalar| scalar.0).unwrap_or_default();
    TlsSettings { cert, key: key.unwrap_or_else(|| Source::missing("tls.key")), client_ca, client_certificates }
}
