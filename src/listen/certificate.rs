//! What a listener proves itself with over TLS, and whom it trusts: checked when it is loaded, followed when the files change.
//!
//! The files are one value: a certificate and a key that are swapped at slightly different moments do not fit together in between,
//! and the old pair stays in force until they do.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::extensions::GeneralName;

use super::{ClientCertificates, TlsSettings};
use crate::clock::Clock;
use crate::finding::Complaint;
use crate::pem::{self, Validity, add_roots};
use crate::reload::{Contents, Reloading, Reloads, Source, Versioned};

/// A listener's certificate with its key, and the CAs of its clients if they have to show one; clones share it.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<Reloading<Identity>>);

/// What one state of the files makes.
pub(super) struct Identity {
    /// What a handshake needs.
    pub(super) config: Arc<ServerConfig>,
    /// Whom the certificate names.
    pub(super) names: CertificateNames,
    validity: Validity,
}

/// The names of a certificate (RFC 6125 §6.4), for the rules on `Host`.
#[derive(Clone, Debug)]
pub(super) struct CertificateNames(Arc<[Name]>);

#[derive(Debug)]
enum Name {
    Dns(Box<str>),
    /// What follows `*.`.
    Below(Box<str>),
    Ip(IpAddr),
}

/// The clock as TLS asks it: client certificates are judged by it.
#[derive(Debug)]
struct WallTime(Clock);

/// What of `tls` a text is.
type PemPart = fn(&[u8]) -> Result<(), Complaint>;

// === impl Certificate ===

impl Certificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Each source that is not what it should be, and why.
    pub fn load(settings: &TlsSettings, clock: &Clock) -> Result<Self, Vec<(Source, Complaint)>> {
        let TlsSettings { cert, key, client_ca, client_certificates } = settings;
        let parts: [(Option<&Source>, PemPart); 3] = [
            (Some(cert), |text| chain(text).map(drop)),
            (Some(key), |text| private_key(text).map(drop)),
            (client_ca.as_ref(), |text| roots(text).map(drop)),
        ];
        // Each alone first: whatever is wrong with one, the others are looked at as well.
        let problem = |source: &Source, part: PemPart| source.parsed(part).err();
        let each = parts.iter().filter_map(|(source, part)| Some((source.filter(|source| !source.is_missing())?, part)));
        let problems: Vec<_> = each.filter_map(|(source, part)| Some((source.clone(), problem(source, *part)?))).collect();
        if !problems.is_empty() || cert.is_missing() || key.is_missing() {
            return Err(problems);
        }
        let sources = [Some(cert), Some(key), client_ca.as_ref()].into_iter().flatten().cloned().collect();
        let (clock, clients) = (clock.clone(), *client_certificates);
        let joined = Reloading::load_joined("tls", sources, move |parts| Identity::join(parts, clients, &clock));
        joined.map(Self).map_err(|problem| vec![(key.clone(), problem)])
    }

    /// Follows the files.
    pub fn watch(&self, reloads: &Reloads) {
        reloads.follow(&self.0);
    }

    /// Reads the files again. Returns whether there is another certificate; after a second, that there is none.
    pub async fn reread(&self) -> bool {
        self.0.reread().await
    }

    /// When the certificate in force ends, in seconds since the Unix epoch.
    pub fn expires_on(&self) -> i64 {
        self.validity().ends
    }

    /// From when to when the certificate in force holds.
    pub fn validity(&self) -> Validity {
        self.0.current().value.validity
    }

    /// Why the newest contents were refused, and how often that happened.
    pub fn reload_state(&self) -> (Option<Arc<Complaint>>, u64) {
        (self.0.problem(), self.0.failures())
    }

    /// Whether no file is behind it.
    pub(super) fn is_fixed(&self) -> bool {
        self.0.is_fixed()
    }

    pub(super) fn identity(&self) -> Arc<Versioned<Identity>> {
        self.0.current()
    }
}

// === impl Identity ===

impl Identity {
    /// From the contents in the order of [`TlsSettings`].
    fn join(parts: &[Contents], clients: ClientCertificates, clock: &Clock) -> Result<Self, Complaint> {
        let [cert, key, rest @ ..] = parts else {
            return Err(Complaint::new("there is no certificate with its key", "write `tls.cert` and `tls.key`"));
        };
        let key = of("tls.key", private_key(key.bytes()))?;
        let chain = first_that_holds(of("tls.cert", chain(cert.bytes()))?, &key, clock.unix());
        let roots = rest.first().map(|ca| of("tls.client_ca", roots(ca.bytes()))).transpose()?;
        let (validity, names) = of("tls.cert", describe(&chain))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(unfit)?;
        let config = configure(certified, roots.map(|roots| (roots, clients)), provider, clock).map_err(|error| {
            Complaint::new(format!("TLS cannot be set up with it: {error}"), "use certificates of RSA, ECDSA or Ed25519 keys")
        })?;
        Ok(Self { config: Arc::new(config), names, validity })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("names", &self.names).field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
fn configure(
    certified: CertifiedKey,
    roots: Option<(RootCertStore, ClientCertificates)>,
    provider: Arc<CryptoProvider>,
    clock: &Clock,
) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(WallTime(clock.clone())));
    let builder = builder.with_safe_default_protocol_versions()?;
    let certified = Arc::new(SingleCertAndKey::from(certified));
    let mut config = match roots {
        None => {
            let mut config = builder.with_no_client_auth().with_cert_resolver(certified);
            // A session is in the client's ticket and not in our memory. Another certificate makes other tickets.
            config.ticketer = aws_lc_rs::Ticketer::new()?;
            config
        }
        Some((roots, clients)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match clients {
                ClientCertificates::Required => verifier,
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build()?;
            let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(certified);
            // A resumed session is not verified again: a client's certificate would live on after its end.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Which of the files it is: what is logged and shown later names all of them.
fn of<T>(key: &str, part: Result<T, Complaint>) -> Result<T, Complaint> {
    part.map_err(|problem| Complaint::new(format!("`{key}`: {}", problem.reason), problem.remedy))
}

fn chain(contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, Complaint> {
    const REMEDY: &str = "write the listener's certificate as PEM (-----BEGIN CERTIFICATE-----), and its chain after it";
    let chain = pem::certificates(contents, REMEDY)?;
    describe(&chain)?;
    Ok(chain)
}

fn private_key(contents: &[u8]) -> Result<PrivateKeyDer<'static>, Complaint> {
    const REMEDY: &str = "write the private key as PEM (-----BEGIN PRIVATE KEY-----), not encrypted";
    let key = pem::private_key(contents, REMEDY)?;
    aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| Complaint::new("its private key is of no kind that TLS uses", "use an RSA, ECDSA or Ed25519 key"))?;
    Ok(key)
}

fn roots(contents: &[u8]) -> Result<RootCertStore, Complaint> {
    const REMEDY: &str = "write the certificates of the clients' CAs as PEM (-----BEGIN CERTIFICATE-----)";
    let mut store = RootCertStore::empty();
    add_roots(&mut store, contents, REMEDY)?;
    Ok(store)
}

/// The chain, and in front of it the first certificate of the key that holds now, if any of them does: a certificate and the one
/// that takes its place may stand side by side. The others of the key leave.
fn first_that_holds(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>, now: i64) -> Vec<CertificateDer<'static>> {
    let public = aws_lc_rs::sign::any_supported_type(key).ok().and_then(|key| key.public_key().map(|public| public.to_vec()));
    let is_leaf = |der: &CertificateDer<'_>| {
        let parsed = x509_parser::parse_x509_certificate(der).ok();
        public.is_some() && parsed.map(|(_, parsed)| parsed.public_key().raw.to_vec()) == public
    };
    let (leaves, others): (Vec<_>, Vec<_>) = chain.iter().partition(|der| is_leaf(der));
    match leaves.iter().find(|der| Validity::of(der).is_some_and(|validity| validity.holds(now))) {
        Some(leaf) if leaves.len() > 1 => std::iter::once(*leaf).chain(others).cloned().collect(),
        _ => chain,
    }
}

/// When the first certificate of a chain holds, and whom it names.
fn describe(chain: &[CertificateDer<'_>]) -> Result<(Validity, CertificateNames), Complaint> {
    let leaf = chain.first().and_then(|der| x509_parser::parse_x509_certificate(der).ok().zip(Validity::of(der)));
    let Some(((_, leaf), validity)) = leaf else {
        return Err(Complaint::new("its first certificate cannot be read", "have the certificate issued anew (X.509 v3)"));
    };
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(Name::of).collect();
    Ok((validity, CertificateNames(names)))
}

fn unfit(error: rustls::Error) -> Complaint {
    if error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
        return Complaint::new(
            "`tls.key` is not the key of the first certificate in `tls.cert`",
            "write the key that the certificate was made for, and the certificate before its chain",
        );
    }
    Complaint::new("TLS cannot use the first certificate in `tls.cert`", "have the certificate issued anew (X.509 v3)")
}

// === impl CertificateNames ===

impl CertificateNames {
    /// Whether `host` (no port, brackets kept) is one of them.
    pub(super) fn have(&self, host: &str) -> bool {
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let address = literal.parse::<IpAddr>().ok();
        self.0.iter().any(|name| match name {
            Name::Ip(mine) => address == Some(*mine),
            Name::Dns(mine) => mine.eq_ignore_ascii_case(host),
            // A star stands for one label (RFC 6125 §6.4.3).
            Name::Below(mine) => {
                host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && mine.eq_ignore_ascii_case(rest))
            }
        })
    }
}

// === impl Name ===

impl Name {
    fn of(name: &GeneralName<'_>) -> Option<Self> {
        match *name {
            GeneralName::DNSName(name) => Some(match name.strip_prefix("*.") {
                Some(rest) => Self::Below(rest.into()),
                None => Self::Dns(name.into()),
            }),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(Self::Ip)
            }
            _ => None,
        }
    }
}

// === impl WallTime ===

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Some(UnixTime::since_unix_epoch(since))
    }
}

#[cfg(test)]
mod tests {
    use super::{CertificateNames, Name};

    #[test]
    fn a_star_is_one_label() {
        let dns = |text: &str| Name::of(&x509_parser::extensions::GeneralName::DNSName(text)).unwrap();
        let ip = |bytes: &'static [u8]| Name::of(&x509_parser::extensions::GeneralName::IPAddress(bytes)).unwrap();
        let six: &[u8] = &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let names = CertificateNames([dns("Tokend.internal"), dns("*.svc.local"), ip(&[10, 0, 0, 5]), ip(six)].into());
        for host in ["tokend.INTERNAL", "a.svc.local", "10.0.0.5", "[fd00::1]"] {
            assert!(names.have(host), "{host}");
        }
        for host in ["svc.local", ".svc.local", "a.b.svc.local", "x.tokend.internal", "10.0.0.6", "[fd00::2]", "*.svc.local.evil"] {
            assert!(!names.have(host), "{host}");
        }
    }
}
