//! Who tokend is towards Redis, and whom it trusts: read from files, followed when they change, and read again when Redis refuses.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;

use crate::finding::Complaint;
use crate::pem::{self, Validity, add_roots};
use crate::reload::{OuterBlanks, Place, Reloading, Reloads, Source};
use crate::secret::Secret;
use crate::store::settings::{RedisSettings, Topology};

/// What proves tokend to Redis, and Redis to tokend; clones share it.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
    /// Whom to trust where no `ca_file` says it.
    roots: Option<Arc<[u8]>>,
}

struct Inner {
    user: Login,
    sentinel: Login,
    ca: Option<FollowedText>,
    certificate: Option<FollowedText>,
    key: Option<FollowedText>,
}

/// A text that is followed, and the configuration key that says where it is.
struct FollowedText {
    path: String,
    text: Arc<Reloading<Secret>>,
}

/// A user and the password, if there are any.
#[derive(Default)]
struct Login {
    username: Option<String>,
    password: Option<FollowedText>,
}

/// A user and the password as they are now.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

// === impl Access ===

impl Access {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// Every key whose file cannot be read or is not what it should be.
    pub fn load(settings: &RedisSettings) -> Result<Self, Vec<(String, Complaint)>> {
        // The first provider that is installed stays; there is no other in this process.
        let _installed_already = aws_lc_rs::default_provider().install_default();
        let (root, mut problems) = (settings.key.as_str(), Vec::new());
        let mut follow = |path: String, source: Source, parse| match FollowedText::load(path.clone(), source, parse) {
            Ok(followed) => Some(followed),
            Err(problem) => {
                problems.push((path, problem));
                None
            }
        };
        let mut pem = |name: &str, file: Option<&Path>, parse| {
            let path = format!("{root}.{name}");
            let place = Place::File(file?.to_path_buf());
            follow(path.clone(), Source { key: path, file: settings.file.clone(), place }, parse)
        };
        let ca = pem("ca_file", settings.ca_file.as_deref(), roots);
        let certificate = pem("client_cert", settings.client_cert.as_deref(), chain);
        let key = pem("client_key", settings.client_key.as_deref(), private_key);
        let mut login = |path: String, username: &Option<String>, source: &Option<Source>| {
            let password = source.clone().and_then(|source| follow(path, source, password));
            Login { username: username.clone(), password }
        };
        let user = login(format!("{root}.password"), &settings.username, &settings.password);
        let sentinel = match &settings.topology {
            Topology::Sentinel { username, password, .. } => login(format!("{root}.sentinel.password"), username, password),
            _ => Login::default(),
        };
        let access = Self { inner: Arc::new(Inner { user, sentinel, ca, certificate, key }), roots: None };
        if let Some(problem) = access.mismatch() {
            problems.push((format!("{root}.client_key"), problem));
        }
        if problems.is_empty() { Ok(access) } else { Err(problems) }
    }

    /// Trusts these roots (PEM text) where there is no `ca_file`. Without them the client reads the system's for each
    /// connection, and connects nowhere where there are none.
    #[must_use]
    pub fn trusting(self, roots: String) -> Self {
        Self { roots: Some(roots.into_bytes().into()), ..self }
    }

    /// What works as the files are and is hardly meant, each with its configuration key: passwords with blanks or quotes around
    /// them, and a client certificate that does not hold at `now`, in seconds since the Unix epoch.
    pub fn oddities(&self, now: i64) -> Vec<(String, Complaint)> {
        const REMEDY: &str = "have it renewed, and replace the file and the key's: tokend follows them";
        let passwords = [&self.inner.user.password, &self.inner.sentinel.password].into_iter().flatten();
        let odd = |followed: &FollowedText| Some((followed.path.clone(), followed.text.oddity(OuterBlanks::Count)?));
        let certificate = self.inner.certificate.as_ref().and_then(|followed| {
            let chain = pem::certificates(followed.now().expose().as_bytes(), REMEDY).ok()?;
            Some((followed.path.clone(), Validity::of(chain.first()?)?.problem(now, REMEDY)?))
        });
        passwords.filter_map(odd).chain(certificate).collect()
    }

    /// Follows the files.
    pub fn watch(&self, reloads: &Reloads) {
        for followed in self.inner.all() {
            reloads.follow(&followed.text);
        }
    }

    /// Reads the files again. Returns whether one of them has changed; after a second, that none has.
    pub async fn reread(&self) -> bool {
        futures_util::future::join_all(self.inner.all().map(|followed| followed.text.reread())).await.contains(&true)
    }

    /// Which newest contents were not taken, and why; each with its configuration key.
    pub fn problems(&self) -> Vec<(String, Arc<Complaint>)> {
        self.inner.all().filter_map(|followed| Some((followed.path.clone(), followed.text.problem()?))).collect()
    }

    /// How many times new contents were refused or could not be read.
    pub fn failures(&self) -> u64 {
        self.inner.all().map(|followed| followed.text.failures()).sum()
    }

    /// Changes with every change.
    pub(super) fn version(&self) -> u64 {
        self.inner.all().fold(0, |all, followed| all.rotate_left(7) ^ followed.text.current().version)
    }

    pub(super) fn user(&self) -> Credentials {
        self.inner.user.now()
    }

    pub(super) fn sentinel(&self) -> Credentials {
        self.inner.sentinel.now()
    }

    /// Whether tokend shows a certificate of its own.
    pub(super) fn has_certificate(&self) -> bool {
        self.inner.certificate.is_some()
    }

    pub(super) fn certificates(&self) -> TlsCertificates {
        let bytes = |followed: &Option<FollowedText>| followed.as_ref().map(|followed| followed.now().expose().as_bytes().to_vec());
        let client_tls = bytes(&self.inner.certificate)
            .zip(bytes(&self.inner.key))
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let roots = || self.roots.as_ref().map(|roots| roots.to_vec());
        TlsCertificates { client_tls, root_cert: bytes(&self.inner.ca).or_else(roots) }
    }

    /// A certificate and a key that do not belong together.
    fn mismatch(&self) -> Option<Complaint> {
        let (certificate, key) = (self.inner.certificate.as_ref()?.now(), self.inner.key.as_ref()?.now());
        let chain = pem::certificates(certificate.expose().as_bytes(), "").ok()?;
        let key = pem::private_key(key.expose().as_bytes(), "").ok()?;
        let signing = match aws_lc_rs::sign::any_supported_type(&key) {
            Ok(signing) => signing,
            Err(_) => return Some(Complaint::new("its key is of no kind that TLS uses", "use an RSA, ECDSA or Ed25519 key")),
        };
        let matches = CertifiedKey::new(chain, signing).keys_match();
        let remedy = "write the key that the certificate was made for";
        // Kinds of keys that cannot be compared show in the handshake.
        matches!(matches, Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)))
            .then(|| Complaint::new("it is not the key of `client_cert`", remedy))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.inner.all().map(|followed| followed.path.as_str()).collect();
        f.debug_struct("Access").field("from", &paths).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn all(&self) -> impl Iterator<Item = &FollowedText> {
        let passwords = [&self.user.password, &self.sentinel.password];
        passwords.into_iter().chain([&self.ca, &self.certificate, &self.key]).flatten()
    }
}

// === impl FollowedText ===

impl FollowedText {
    fn load(path: String, source: Source, parse: fn(&[u8]) -> Result<Secret, Complaint>) -> Result<Self, Complaint> {
        Ok(Self { path, text: Reloading::load(source, parse)? })
    }

    fn now(&self) -> Secret {
        self.text.current().value.clone()
    }
}

// === impl Login ===

impl Login {
    fn now(&self) -> Credentials {
        Credentials { username: self.username.clone(), password: self.password.as_ref().map(FollowedText::now) }
    }
}

/// A password; a file may end its last line.
fn password(contents: &[u8]) -> Result<Secret, Complaint> {
    const REMEDY: &str = "write the password of the Redis user alone, on one line";
    let text = text(contents)?.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Complaint::new("the password is empty", REMEDY));
    }
    if text.chars().any(char::is_control) {
        return Err(Complaint::new("the password has control characters or several lines", REMEDY));
    }
    Ok(Secret::new(text))
}

fn roots(contents: &[u8]) -> Result<Secret, Complaint> {
    const REMEDY: &str = "write the CA's certificates as PEM (-----BEGIN CERTIFICATE-----)";
    let mut store = RootCertStore::empty();
    add_roots(&mut store, contents, REMEDY)?;
    Ok(Secret::new(text(contents)?))
}

fn chain(contents: &[u8]) -> Result<Secret, Complaint> {
    const REMEDY: &str = "write the client's certificate and its chain as PEM (-----BEGIN CERTIFICATE-----)";
    pem::certificates(contents, REMEDY)?;
    Ok(Secret::new(text(contents)?))
}

fn private_key(contents: &[u8]) -> Result<Secret, Complaint> {
    const REMEDY: &str = "write the private key as PEM (-----BEGIN PRIVATE KEY-----), not encrypted";
    pem::private_key(contents, REMEDY)?;
    Ok(Secret::new(text(contents)?))
}

fn text(contents: &[u8]) -> Result<&str, Complaint> {
    std::str::from_utf8(contents).map_err(|_| Complaint::new("it is not UTF-8 text", "write it as text"))
}
