//! Which credential an app has, as the configuration says.

use crate::reload::Source;

/// One app's credential.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `credential.secret`.
    Secret {
        /// Where it is.
        source: Source,
        /// Where it stands in a request; `None`: as the server announces.
        method: Option<SecretMethod>,
    },
    /// `credential.certificate`: PEM with the private key and the chain.
    Certificate {
        /// Where the PEM text is.
        files: CertificateFiles,
        /// What names it.
        header: AssertionHeader,
    },
    /// `credential.pfx`: both in one PFX (PKCS#12).
    Pfx {
        /// Where it is.
        source: Source,
        /// Where its password is; `None`: it has none.
        password: Option<Source>,
        /// What names it.
        header: AssertionHeader,
    },
    /// `credential.private_key`: a key that the issuer knows by its public half.
    PrivateKey {
        /// Where it is.
        source: Source,
        /// `kid` of the assertion's header; it also chooses one of a set.
        kid: Option<String>,
        /// The only algorithm to sign by; `None`: as the issuer announces.
        algorithm: Option<SigningAlgorithm>,
    },
    /// `credential.tls_certificate`: a certificate that the app's connections show (RFC 8705 §2).
    TlsCertificate(CertificateFiles),
    /// `credential.federated_token`: a token of another issuer that trusts the workload (RFC 7523 §2.2).
    FederatedToken(Source),
    /// `credential.public`: there is none (RFC 6749 §2.1).
    Public,
}

/// What the kind of a certificate is called that connections show.
pub(super) const TLS_CERTIFICATE: &str = "tls_certificate";

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The PEM text of the certificate and its chain, in any order, and of its key, where that has no file of its own.
    pub source: Source,
    /// The PEM text of the key.
    pub key: Option<Source>,
    /// The password of the key.
    pub password: Option<Source>,
}

/// What an assertion's header has beside its algorithm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssertionHeader {
    /// RS256 + `x5t` instead of PS256 + `x5t#S256` at Entra-style authorities.
    pub sha1: bool,
    /// Whether the certificate and its chain are sent (`x5c`), for authorities that trust by subject name and issuer.
    pub x5c: bool,
    /// `kid`, where the server knows the key by a name.
    pub kid: Option<String>,
}

/// What a client assertion can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519, by the name that covers Ed448 as well.
    EdDsa,
    /// Ed25519, by its own name (RFC 9864).
    Ed25519,
}

/// Where a client secret stands in a request, as the app is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// `client_secret_basic`: in the header `Authorization`.
    Basic,
    /// `client_secret_post`: in the form.
    Post,
}

// === impl Settings ===

impl Settings {
    /// What the configuration, `/status` and metrics call its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "secret",
            Self::Certificate { .. } => "certificate",
            Self::Pfx { .. } => "pfx",
            Self::PrivateKey { .. } => "private_key",
            Self::TlsCertificate(_) => TLS_CERTIFICATE,
            Self::FederatedToken(_) => "federated_token",
            Self::Public => "public",
        }
    }

    /// Where its parts come from, the one that names it first; a public client has none.
    pub fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Secret { source, .. } | Self::PrivateKey { source, .. } | Self::FederatedToken(source) => vec![source],
            Self::Certificate { files, .. } | Self::TlsCertificate(files) => files.sources(),
            Self::Pfx { source, password, .. } => [Some(source), password.as_ref()].into_iter().flatten().collect(),
            Self::Public => Vec::new(),
        }
    }
}

// === impl CertificateFiles ===

impl CertificateFiles {
    fn sources(&self) -> Vec<&Source> {
        [Some(&self.source), self.key.as_ref(), self.password.as_ref()].into_iter().flatten().collect()
    }
}

// === impl SigningAlgorithm ===

impl SigningAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 11] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
        Self::Ed25519,
    ];

    /// Its name in `alg` (RFC 7515 §4.1.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}
