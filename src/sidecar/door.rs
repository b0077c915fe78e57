//! The way out to one server, trusted as its entry in the configuration says.

use std::path::PathBuf;

use crate::authority::{self, is_loopback};
use crate::config::Settings;
use crate::finding::{Complaint, Findings};
use crate::reload::{Place, Source};
use crate::transport::{Door, Roots, is_ca_for_host};

/// Opens the way out to an authority, or to an issuer of callers' JWTs. `None`: there are findings.
pub(super) fn open(
    settings: &Settings,
    authority: &authority::Settings,
    roots: &mut Roots,
    findings: &mut Findings,
) -> Option<Door> {
    let key = format!("{}.ca_file", authority.key);
    let file = |path: &PathBuf| Source { key: key.clone(), file: authority.file.clone(), place: Place::File(path.clone()) };
    let source = authority.ca_file.as_ref().map(file);
    let loopback = is_loopback(authority.address.url());
    let open = |tls| Door::open(&settings.outbound, tls, settings.calls.connect_timeout, loopback);
    let tls = match source {
        None => roots.tls(None),
        Some(source) => source.parsed(|pem| {
            if let Some(host) = authority.address.url().host()
                && is_ca_for_host(pem, &host)
            {
                let reason = "a CA's certificate in it is for the authority's own host: a server that shows it is not trusted";
                let remedy =
                    "have a certificate made that is no CA's (basicConstraints CA:FALSE), or one that this CA issues for the server";
                findings.warning(authority.file.as_deref(), &key, Complaint::new(reason, remedy));
            }
            roots.tls(Some(pem))
        }),
    };
    match tls.and_then(open) {
        Ok(door) => Some(door),
        Err(problem) => {
            findings.error(authority.file.as_deref(), &key, problem);
            None
        }
    }
}
