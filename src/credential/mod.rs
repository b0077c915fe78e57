//! How the app proves itself to its authority: a secret, an assertion signed with a certificate's key, or another issuer's token.
//!
//! The kinds differ in how the contents of a file become what proves ([`Material`]), and in what proof that makes.

mod assertion;
mod certificate;
mod chain;
mod client_secret;
mod federated;
mod jwk;
mod password;
mod pfx;
mod private_key;
mod proving;
mod settings;
mod signing;
mod tls_certificate;

use std::sync::Arc;

pub use certificate::ClientKey;
pub use federated::WorkloadToken;
pub use proving::{CredentialError, ProofTarget};
pub use settings::{AssertionHeader, CertificateFiles, SecretMethod, Settings, SigningAlgorithm};
pub use tls_certificate::TlsIdentity;

use self::assertion::{AssertionRequest, AssertionSigner};
use self::certificate::PemFiles;
use self::client_secret::SecretPlaces;
use self::password::Password;
use crate::clock::Clock;
use crate::finding::Complaint;
use crate::oauth::{AssertionForm, Proof, SecretPlace};
use crate::reload::{Contents, OuterBlanks, Place, Reloading, Reloads, Source, Versioned};
use crate::secret::Secret;
use crate::tasks::Tasks;

/// An app's credential, following its file.
#[derive(Debug)]
pub struct Credential {
    kind: &'static str,
    followed: Arc<Reloading<Material>>,
    /// For keys alone.
    signer: AssertionSigner,
    /// For secrets alone.
    places: SecretPlaces,
}

/// What the contents of a credential's file have become.
#[derive(Debug)]
pub enum Material {
    /// A client secret.
    Secret(Secret),
    /// A key that signs assertions.
    Key(Arc<ClientKey>),
    /// A certificate that connections show, and its key.
    Tls(Arc<TlsIdentity>),
    /// A token that somebody else makes and renews.
    Bearer(WorkloadToken),
    /// Nothing: a public client has none (RFC 6749 §2.1).
    Nothing,
}

/// What is said of a certificate that ends.
const RENEW: &str = "register a new certificate with the app, and replace the file: tokend follows it";

/// How the contents of a credential's parts become what proves.
fn parse(settings: Settings, form: AssertionForm) -> impl Fn(&[Contents]) -> Result<Material, Complaint> + Send + Sync + 'static {
    move |parts| {
        let mut parts = parts.iter();
        let first = parts.next().map_or(&[][..], Contents::bytes);
        let key = |key: ClientKey| key.fitting(form).map(Arc::new).map(Material::Key);
        match &settings {
            Settings::Secret { .. } => client_secret::parse(first).map(Material::Secret),
            Settings::Certificate { files, .. } => pem_files(files, first, parts)?.pair().and_then(ClientKey::of).and_then(key),
            Settings::Pfx { .. } => pfx::pair(first, Password::of(parts.next())?).and_then(ClientKey::of).and_then(key),
            Settings::PrivateKey { kid, algorithm, .. } => {
                ClientKey::parse_private(first, kid.as_deref(), *algorithm).and_then(key)
            }
            Settings::TlsCertificate(files) => {
                pem_files(files, first, parts)?.pair().and_then(TlsIdentity::of).map(Arc::new).map(Material::Tls)
            }
            Settings::FederatedToken(_) => WorkloadToken::parse(first).map(Material::Bearer),
            Settings::Public => Ok(Material::Nothing),
        }
    }
}

/// The parts of a certificate, in the order of their sources.
fn pem_files<'a>(
    files: &CertificateFiles,
    file: &'a [u8],
    mut further: impl Iterator<Item = &'a Contents>,
) -> Result<PemFiles<'a>, Complaint> {
    let key_file = files.key.as_ref().and_then(|_| further.next()).map(Contents::bytes);
    Ok(PemFiles { file, key_file, password: Password::of(further.next())? })
}

/// Which credential made a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedCredential {
    /// The version: what flights and holds differ by. All tokens of one workload identity are one version.
    pub version: u64,
    /// The contents of the file.
    pub contents: u64,
    /// Where else its secret may stand, if the client is refused with this proof.
    pub other: Option<SecretPlace>,
}

// === impl Credential ===

impl Credential {
    /// Loads a credential for an authority that takes assertions of this form, and tries it once.
    ///
    /// # Errors
    /// One of its parts cannot be read, or they are not what they should be: which of them, and why.
    pub fn load(settings: &Settings, form: AssertionForm) -> Result<Self, Box<(Source, Complaint)>> {
        let sources: Vec<Source> = settings.sources().into_iter().cloned().collect();
        // Each alone first, so that the one that cannot be read is named.
        for source in &sources {
            source.read().map_err(|problem| Box::new((source.clone(), problem)))?;
        }
        // What is not there does not change.
        let first = sources.first().cloned();
        let first =
            first.unwrap_or(Source { key: "credential.public".to_owned(), file: None, place: Place::Value(Secret::new("")) });
        let followed = Reloading::load_joined(&first.key.clone(), sources, parse(settings.clone(), form));
        let followed = followed.map_err(|problem| Box::new((first, problem)))?;
        let places = match settings {
            Settings::Secret { method, .. } => SecretPlaces::new(*method),
            _ => SecretPlaces::default(),
        };
        let signer = match settings {
            Settings::Certificate { header, .. } | Settings::Pfx { header, .. } => AssertionSigner::new(header.clone()),
            _ => AssertionSigner::default(),
        };
        Ok(Self { kind: settings.kind(), followed, signer, places })
    }

    /// Whether there is none, and so nothing but the client's word for who it is.
    pub fn is_public(&self) -> bool {
        self.followed.look(|current| matches!(current.value, Material::Nothing))
    }

    /// Whether it is a certificate that connections show: they go where that is asked for.
    pub fn is_shown_by_tls(&self) -> bool {
        self.kind == settings::TLS_CERTIFICATE
    }

    /// Follows the credential's file.
    pub fn watch(&self, reloads: &Reloads) {
        reloads.follow(&self.followed);
    }

    /// Reads the file again, because its credential was refused. Returns whether there is a new one; after a second without an
    /// answer, that there is none.
    pub async fn reread(&self) -> bool {
        self.followed.reread().await
    }

    /// Which version of it is in force: what flights and holds differ by. All tokens of one workload identity are one version.
    pub fn version(&self) -> u64 {
        self.used().version
    }

    /// Which version and contents are in force.
    pub fn used(&self) -> UsedCredential {
        self.followed.look(UsedCredential::of)
    }

    /// What kind it is, for `/status`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// When it ends, in seconds since the Unix epoch; secrets do not say.
    pub fn expires_on(&self) -> Option<i64> {
        self.followed.look(|current| current.value.ends())
    }

    /// What is to be said of its end at the start. A token that others renew always ends soon.
    pub fn ending(&self, now: i64) -> Option<Complaint> {
        let ends = self.expires_on()?;
        self.followed.look(|current| match &current.value {
            Material::Bearer(_) if ends <= now => Some(Complaint::new(
                "the token has expired",
                "see to it that whoever mounts the token renews it: tokend follows it",
            )),
            Material::Key(key) => key.ending(now, RENEW),
            Material::Tls(identity) => identity.ending(now, RENEW),
            Material::Secret(_) | Material::Bearer(_) | Material::Nothing => None,
        })
    }

    /// What its text holds that is hardly meant, where every character of it is sent.
    pub fn oddity(&self) -> Option<Complaint> {
        let is_secret = self.followed.look(|current| matches!(current.value, Material::Secret(_)));
        is_secret.then(|| self.followed.oddity(OuterBlanks::Count)).flatten()
    }

    /// Why its newest contents were refused, and how often that happened.
    pub fn reload_state(&self) -> (Option<Arc<Complaint>>, u64) {
        (self.followed.problem(), self.followed.failures())
    }

    /// Makes a proof, and says which credential made it.
    ///
    /// # Errors
    /// The credential cannot be used at this authority.
    pub async fn prove(
        &self,
        client_id: &str,
        target: ProofTarget<'_>,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<(Proof, UsedCredential), CredentialError> {
        if self.followed.look(|current| current.value.is_replaced_in_use()) {
            self.followed.reread().await;
        }
        let current = self.followed.current();
        let (mut used, now) = (UsedCredential::of(&current), clock.unix());
        let proof = match &current.value {
            Material::Secret(secret) => {
                let (proof, other) = self.places.proof(client_id, secret, target)?;
                used.other = other;
                proof
            }
            Material::Key(key) => {
                let ask = AssertionRequest { client_id, target, key, version: used.version, now };
                self.signer.proof(ask, tasks).await?
            }
            Material::Tls(identity) => identity.proof(client_id, target, now)?,
            Material::Bearer(token) => token.proof(client_id, now).ok_or_else(|| self.has_ended())?,
            Material::Nothing => Proof::of_public(client_id),
        };
        Ok((proof, used))
    }

    /// The server took the secret there, after it was refused elsewhere.
    pub fn works_in(&self, place: SecretPlace) {
        self.places.works_in(place);
    }

    /// What is said where there is no token that has not ended.
    fn has_ended(&self) -> CredentialError {
        let why = match self.followed.problem() {
            Some(problem) => format!(": {}", problem.reason),
            None => String::new(),
        };
        let reason = format!("`{}`: the token has expired, or is about to, and there is no newer one{why}", self.followed.key());
        CredentialError(Complaint::new(reason, "see to it that whoever mounts the token renews it"))
    }
}

// === impl Material ===

impl Material {
    fn ends(&self) -> Option<i64> {
        match self {
            Self::Secret(_) | Self::Nothing => None,
            Self::Key(key) => key.not_after(),
            Self::Tls(identity) => Some(identity.not_after()),
            Self::Bearer(token) => Some(token.ends()),
        }
    }

    /// Names what it proves, where that outlives its contents.
    fn identity(&self) -> Option<u64> {
        match self {
            Self::Secret(_) | Self::Key(_) | Self::Tls(_) | Self::Nothing => None,
            Self::Bearer(token) => Some(token.identity()),
        }
    }

    /// Whether its owner replaces it while it is in use, so that it is read again for every proof (ASN-7).
    fn is_replaced_in_use(&self) -> bool {
        matches!(self, Self::Bearer(_))
    }
}

// === impl UsedCredential ===

impl UsedCredential {
    fn of(current: &Versioned<Material>) -> Self {
        Self { version: current.value.identity().unwrap_or(current.version), contents: current.version, other: None }
    }
}
