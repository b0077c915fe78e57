//! How a caller proves itself: exactly one way for each, and no proof that two callers could show.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::apps::listed;
use super::listeners::has_port_zero;
use super::report::Report;
use super::scalar::{Scalar, Text};
use super::shape::join;
use super::source::{filled, public_source, source};
use super::{host, raw};
use crate::authority::{self, KeyPlace};
use crate::caller::{CallerProof, CertificateNamed, JwtProof, PeerProof, Settings};
use crate::finding::Complaint;
use crate::flow;
use crate::listen::{Address, TlsSettings};
use crate::reload::Source;

/// What proofs depend on beside their own members.
pub(super) struct Surroundings<'a> {
    pub(super) apps: &'a [flow::AppSettings],
    pub(super) listen: &'a [Address],
    pub(super) admin: &'a [Address],
    pub(super) tls: Option<&'a TlsSettings>,
    pub(super) environment: &'a BTreeMap<String, String>,
}

/// The members of a caller of which it has one.
pub(super) struct RawProofs {
    pub(super) token: Option<raw::RawPlace>,
    pub(super) jwt: Option<raw::CallerJwt>,
    pub(super) certificate: Option<raw::CallerCertificate>,
    pub(super) peer: Option<raw::CallerPeer>,
    pub(super) listener: Option<Text>,
}

/// Their names.
const MEMBERS: [&str; 5] = ["token", "jwt", "certificate", "peer", "listener"];

const KINDS: &str = "write exactly one of `token: {file: /run/secrets/…}` (a file with one token per line, of 22 characters at \
                     least), `jwt`, `certificate`, `peer` and `listener`; docs/callers.md shows each";

/// Whom the API server of a Kubernetes takes tokens for, unless it is told otherwise: whoever has one for it could ask here too.
const API_SERVERS: [&str; 2] = ["https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"];

/// The longest SPIFFE ID (SPIFFE-ID §2.3), in bytes.
const LONGEST_ID: usize = 2048;

/// Reads the one proof of a caller.
pub(super) fn proof(path: &str, raw: RawProofs, around: &Surroundings<'_>, report: &mut Report<'_>) -> Option<CallerProof> {
    let at = |member: &str| join(path, member);
    let given = [raw.token.is_some(), raw.jwt.is_some(), raw.certificate.is_some(), raw.peer.is_some(), raw.listener.is_some()];
    match given.into_iter().filter(|given| *given).count() {
        // One that cannot be read was there.
        0 if MEMBERS.iter().any(|member| report.is_explained(&at(member))) => {}
        0 => report.error(&at("token"), Complaint::new("the caller has no proof", KINDS)),
        1 => {}
        _ => report.error(path, Complaint::new("the caller has more than one kind of proof", KINDS)),
    }
    // All of them are read: whatever is wrong is told in one go.
    let token = raw.token.and_then(|place| source(&at("token"), place, around.environment, report)).map(CallerProof::Token);
    let jwt = raw.jwt.and_then(|raw| jwt(&at("jwt"), raw, around, report));
    let certificate = raw.certificate.and_then(|raw| certificate(&at("certificate"), raw, around, report));
    let peer = raw.peer.map(|raw| peer(&at("peer"), &raw, around, report));
    let listener = raw.listener.and_then(|text| listener(&at("listener"), &text.0, report));
    token.or(jwt).or(certificate).or(peer).or(listener)
}

fn jwt(path: &str, raw: raw::CallerJwt, around: &Surroundings<'_>, report: &mut Report<'_>) -> Option<CallerProof> {
    let at = |member: &str| join(path, member);
    let issuer = required(&at("issuer"), raw.issuer, "issuer", "write what the JWTs have in `iss`, letter by letter", report);
    let audience_remedy = "write the audience that is tokend's alone, and have the issuer put it into `aud`";
    let audience = required(&at("audience"), raw.audience, "audience", audience_remedy, report);
    if let Some(audience) = &audience {
        own_audience(&at("audience"), audience, issuer.as_deref(), around, report);
    }
    let subjects = listed(&at("subjects"), raw.subjects, report, word);
    if subjects.is_none() {
        let problem = Complaint::new("the caller has no subjects", "list what its JWTs have in `sub`, letter by letter");
        report.missing(&at("subjects"), problem);
    }
    let ca_file = raw.ca_file.and_then(|file| filled(&at("ca_file"), file, report)).map(PathBuf::from);
    let discovery_token = raw.discovery_token.and_then(|place| source(&at("discovery_token"), place, around.environment, report));
    let keys = key_place(path, raw.jwks, raw.jwks_uri, around, report);
    if matches!(keys, KeyPlace::File(_)) {
        for (member, given) in [("ca_file", ca_file.is_some()), ("discovery_token", discovery_token.is_some())] {
            if given {
                let problem = Complaint::new("it has no effect where the keys are in a file", "remove it, or remove `jwks`");
                report.warning(&at(member), problem);
            }
        }
    }
    let address = issuer.as_deref().and_then(|issuer| {
        let address = match &keys {
            KeyPlace::Discovered => authority::Address::oidc(issuer, false),
            KeyPlace::Url(url) => authority::Address::of_keys(issuer, Some(url)),
            KeyPlace::File(_) => authority::Address::of_keys(issuer, None),
        };
        let address = report.take(&at("issuer"), address)?;
        if !matches!(keys, KeyPlace::File(_)) {
            host::judge(path, address.url().host_str().unwrap_or_default(), report);
        }
        Some(address)
    });
    let (file, key) = report.place(path);
    // What has a finding already has something in its place, so that the files are looked at all the same.
    let address = address.or_else(|| authority::Address::of_keys("https://issuer.invalid", None).ok())?;
    let issuer =
        authority::Settings { key, file, address, ca_file, assertion_audience: Default::default(), region: None, metadata: None };
    let (audience, subjects) = (audience.unwrap_or_default(), subjects.unwrap_or_default());
    Some(CallerProof::Jwt(Box::new(JwtProof { issuer, audience, subjects, keys, discovery_token })))
}

/// Where the keys of an issuer are.
fn key_place(
    path: &str,
    jwks: Option<raw::RawPlace>,
    jwks_uri: Option<Text>,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> KeyPlace {
    let (in_file, at_url) = (join(path, "jwks"), join(path, "jwks_uri"));
    if jwks.is_some() && jwks_uri.is_some() {
        let reason = "`jwks` and `jwks_uri` are both given";
        report.error(&at_url, Complaint::new(reason, "keep one of them, or none where the issuer has a metadata document"));
    }
    if let Some(place) = jwks {
        let found = public_source(&in_file, place, around.environment, report);
        return KeyPlace::File(found.unwrap_or_else(|| Source::missing(&in_file)));
    }
    let url: Option<Url> = jwks_uri.and_then(|text| report.take(&at_url, authority::Address::keys(&text.0)));
    url.map_or(KeyPlace::Discovered, KeyPlace::Url)
}

/// An audience that others have as well is no proof of having been made for tokend: whoever is shown such a JWT could show it here.
fn own_audience(path: &str, audience: &str, issuer: Option<&str>, around: &Surroundings<'_>, report: &mut Report<'_>) {
    let of_app = around.apps.iter().find_map(|app| {
        let of_users = app.inbound.as_ref().is_some_and(|inbound| inbound.audiences.iter().any(|own| own == audience));
        let whose = if of_users { "users' tokens for the app" } else { "the client id of the app" };
        (of_users || app.client_id == audience).then(|| format!("{whose} `{}`", app.name))
    });
    let shared = of_app.or_else(|| {
        let is_api_servers = API_SERVERS.contains(&audience) || issuer == Some(audience);
        is_api_servers.then(|| "tokens for the API server or the issuer itself".to_owned())
    });
    if let Some(whose) = shared {
        let remedy = "have the issuer give callers' tokens an audience of their own, and write that";
        report.error(path, Complaint::new(format!("it is an audience that others have, too: {whose}"), remedy));
    }
}

fn certificate(path: &str, raw: raw::CallerCertificate, around: &Surroundings<'_>, report: &mut Report<'_>) -> Option<CallerProof> {
    if around.tls.is_none_or(|tls| tls.client_ca.is_none()) {
        let remedy = "write `tls: {cert: …, key: …, client_ca: {file: …}}` with the CAs of the clients";
        report.missing(path, Complaint::new("nobody asks clients for a certificate: there is no `tls.client_ca`", remedy));
    }
    let at = |member: &str| join(path, member);
    let (has_ids, has_names) = (raw.spiffe_ids.is_some(), raw.dns_names.is_some());
    if has_ids == has_names {
        let remedy = "write `spiffe_ids: [spiffe://…]` or `dns_names: [orders.internal]`, not both";
        let reason = if has_ids { "there are both `spiffe_ids` and `dns_names`" } else { "nothing says which certificates" };
        report.missing(path, Complaint::new(reason, remedy));
    }
    let ids = listed(&at("spiffe_ids"), raw.spiffe_ids, report, spiffe_id).map(CertificateNamed::SpiffeIds);
    let names = listed(&at("dns_names"), raw.dns_names, report, dns_name).map(CertificateNamed::DnsNames);
    ids.or(names).map(CallerProof::Certificate)
}

/// A SPIFFE ID of a workload: a trust domain and a path (SPIFFE-ID §2).
fn spiffe_id(text: &str) -> Result<String, Complaint> {
    let plain = |byte: u8, more: &[u8]| byte.is_ascii_alphanumeric() || more.contains(&byte);
    let is_good = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).is_some_and(|(domain, path)| {
        let is_domain = !domain.is_empty() && domain.bytes().all(|byte| plain(byte, b".-_") && !byte.is_ascii_uppercase());
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| plain(byte, b".-_"));
        is_domain && path.split('/').all(is_segment)
    });
    if is_good && text.len() <= LONGEST_ID {
        Ok(text.to_owned())
    } else {
        Err(Complaint::new("it is no SPIFFE ID of a workload", "write it as the certificate has it: spiffe://TRUST-DOMAIN/PATH"))
    }
}

fn dns_name(text: &str) -> Result<String, Complaint> {
    let is_good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let remedy = "write each name as the certificate has it, such as orders.internal; a star is not taken";
    if is_good { Ok(text.to_owned()) } else { Err(Complaint::new("it is no DNS name", remedy)) }
}

fn peer(path: &str, raw: &raw::CallerPeer, around: &Surroundings<'_>, report: &mut Report<'_>) -> CallerProof {
    if !around.listen.iter().any(|address| matches!(address, Address::Unix(_))) {
        let remedy = "add one, such as `listen: [\"unix:/run/tokend/tokend.sock\"]`";
        report.missing(path, Complaint::new("there is no Unix socket in `listen`, where peers could be told apart", remedy));
    }
    if raw.uid.is_none() && raw.gid.is_none() {
        report.missing(path, Complaint::new("nothing says which processes", "write `uid`, `gid` or both, as numbers"));
    }
    // The largest number stands for none.
    let mut id = |member: &str, raw: &Option<Scalar<u64>>| {
        let number = raw.as_ref()?.0;
        let id = u32::try_from(number).ok().filter(|id| *id != u32::MAX);
        report.take(&join(path, member), id.ok_or_else(|| Complaint::new("it is no id", "write a number below 4294967295")))
    };
    let (uid, gid) = (id("uid", &raw.uid), id("gid", &raw.gid));
    let (file, key) = report.place(path);
    CallerProof::Peer(PeerProof { key, file, uid, gid })
}

fn listener(path: &str, text: &str, report: &mut Report<'_>) -> Option<CallerProof> {
    let addresses = report.take(path, Address::parse(text))?;
    if !addresses.iter().all(Address::is_local) {
        let reason = "others than this machine can reach it, and whoever does would be this caller";
        report.error(path, Complaint::new(reason, "write an address on loopback (127.0.0.1, ::1) or unix:/PATH"));
    }
    Some(CallerProof::Listener(addresses))
}

/// Finds what two callers could show.
pub(super) fn unique(all: &[(String, Settings)], around: &Surroundings<'_>, report: &mut Report<'_>) {
    for (index, (path, caller)) in all.iter().enumerate() {
        let others = || all.iter().take(index).map(|(_, other)| &other.proof);
        match &caller.proof {
            CallerProof::Token(_) => {}
            CallerProof::Jwt(own) => {
                let path = join(path, "jwt.subjects");
                let is_shared = |subject: &String| {
                    let mut jwts = others().filter_map(|other| if let CallerProof::Jwt(jwt) = other { Some(jwt) } else { None });
                    jwts.any(|other| {
                        let is_same = other.issuer.address.to_string() == own.issuer.address.to_string();
                        is_same && other.audience == own.audience && other.subjects.contains(subject)
                    })
                };
                shared_in(&path, &own.subjects, is_shared, report);
            }
            CallerProof::Certificate(own) => {
                let named = |other: &CallerProof, name: &String| match (own, other) {
                    (CertificateNamed::SpiffeIds(_), CallerProof::Certificate(CertificateNamed::SpiffeIds(others)))
                    | (CertificateNamed::DnsNames(_), CallerProof::Certificate(CertificateNamed::DnsNames(others))) => {
                        others.contains(name)
                    }
                    _ => false,
                };
                let (member, names) = match own {
                    CertificateNamed::SpiffeIds(names) => ("spiffe_ids", names),
                    CertificateNamed::DnsNames(names) => ("dns_names", names),
                };
                let path = join(path, &format!("certificate.{member}"));
                shared_in(&path, names, |name| others().any(|other| named(other, name)), report);
            }
            CallerProof::Peer(own) => {
                let is_shared = |other: &CallerProof| match other {
                    CallerProof::Peer(other) => own.is_within(other) || other.is_within(own),
                    _ => false,
                };
                if others().any(is_shared) {
                    let reason = "every process of one of two callers is the other's, too";
                    report.error(&join(path, "peer"), Complaint::new(reason, "give each caller a user or group of its own"));
                }
            }
            CallerProof::Listener(own) => {
                let elsewhere = others().flat_map(|other| if let CallerProof::Listener(its) = other { &its[..] } else { &[] });
                let taken: Vec<&Address> = around.listen.iter().chain(around.admin).chain(elsewhere).collect();
                if own.iter().any(|address| !has_port_zero(address) && taken.contains(&address)) {
                    let reason = "it is in `listen` or `admin_listen`, or another caller's";
                    report.error(&join(path, "listener"), Complaint::new(reason, "write an address that is this caller's alone"));
                }
            }
        }
    }
}

fn shared_in(path: &str, names: &[String], is_shared: impl Fn(&String) -> bool, report: &mut Report<'_>) {
    for (at, name) in names.iter().enumerate() {
        if is_shared(name) {
            let remedy = "list it with one caller: who shows it could not be told apart";
            report.error(&format!("{path}[{at}]"), Complaint::new("another caller has it, too", remedy));
        }
    }
}

fn required(path: &str, raw: Option<Text>, what: &str, remedy: &str, report: &mut Report<'_>) -> Option<String> {
    let Some(text) = raw else {
        report.missing(path, Complaint::new(format!("the JWT has no `{what}`"), remedy));
        return None;
    };
    report.take(path, word(&text.0))
}

/// A text without spaces and control characters.
fn word(text: &str) -> Result<String, Complaint> {
    let is_good = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let remedy = "write it as the JWT has it, without spaces";
    if is_good { Ok(text.to_owned()) } else { Err(Complaint::new("it is empty or has spaces", remedy)) }
}
