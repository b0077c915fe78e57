//! How the app proves itself to its authority: a secret, an assertion signed with a certificate's key, or another issuer's token.
//!
//! The kinds differ in how the contents of a file become what proves ([`Material`]), and in what proof that makes.

mod assertion;
mod certificate;
mod client_secret;
mod federated;
mod proving;
mod settings;

use std::sync::Arc;

pub use certificate::ClientKey;
pub use federated::WorkloadToken;
pub use proving::{CredentialError, ProofTarget};
pub use settings::{SecretMethod, Settings};

use self::assertion::{AssertionRequest, AssertionSigner};
use self::client_secret::SecretPlaces;
use crate::clock::Clock;
use crate::finding::Complaint;
use crate::oauth::{Proof, SecretPlace};
use crate::reload::{OuterBlanks, Parse, Place, Reloading, Reloads, Source, Versioned};
use crate::secret::Secret;
use crate::tasks::Tasks;

/// An app's credential, following its file.
#[derive(Debug)]
pub struct Credential {
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
    /// A certificate and its key.
    Key(Arc<ClientKey>),
    /// A token that somebody else makes and renews.
    Bearer(WorkloadToken),
    /// Nothing: a public client has none (RFC 6749 §2.1).
    Nothing,
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
    /// Loads a credential and tries it once.
    ///
    /// # Errors
    /// It cannot be read, or it is not what it should be.
    pub fn load(settings: &Settings) -> Result<Self, Complaint> {
        let (mut signer, mut places) = (AssertionSigner::default(), SecretPlaces::default());
        let parse: Parse<Material> = match settings {
            Settings::Secret { method, .. } => {
                places = SecretPlaces::new(*method);
                |bytes| client_secret::parse(bytes).map(Material::Secret)
            }
            Settings::Certificate { sha1, kid, .. } => {
                signer = AssertionSigner::new(*sha1, kid.clone());
                |bytes| ClientKey::parse(bytes).map(Arc::new).map(Material::Key)
            }
            Settings::FederatedToken(_) => |bytes| WorkloadToken::parse(bytes).map(Material::Bearer),
            Settings::Public => |_| Ok(Material::Nothing),
        };
        // What is not there does not change.
        let nothing = || Source { key: "credential.public".to_owned(), file: None, place: Place::Value(Secret::new("")) };
        let source = settings.source().cloned().unwrap_or_else(nothing);
        Ok(Self { followed: Reloading::load(source, parse)?, signer, places })
    }

    /// Whether there is none, and so nothing but the client's word for who it is.
    pub fn is_public(&self) -> bool {
        self.followed.look(|current| matches!(current.value, Material::Nothing))
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
        self.followed.look(|current| current.value.kind())
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
            Material::Key(key) => {
                key.ending(now, "register a new certificate with the app, and replace the file: tokend follows it")
            }
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
    fn kind(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::Key(_) => "certificate",
            Self::Bearer(_) => "federated_token",
            Self::Nothing => "public",
        }
    }

    fn ends(&self) -> Option<i64> {
        match self {
            Self::Secret(_) | Self::Nothing => None,
            Self::Key(key) => Some(key.not_after()),
            Self::Bearer(token) => Some(token.ends()),
        }
    }

    /// Names what it proves, where that outlives its contents.
    fn identity(&self) -> Option<u64> {
        match self {
            Self::Secret(_) | Self::Key(_) | Self::Nothing => None,
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
