//! Private keys that sign client assertions, and the algorithms that are theirs (RFC 7518 §3, RFC 8037 §3.1).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::PrivateKeyDer;

use super::settings::SigningAlgorithm;
use crate::finding::Complaint;
use crate::pem;

/// A curve that EC keys are on, with the one algorithm that is for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

/// A private key.
pub(super) enum AssertionKey {
    Rsa(RsaKeyPair),
    Ec(Curve, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The numbers of an RSA private key (RFC 7518 §6.3), big-endian and without leading zeros.
pub(super) struct RsaNumbers<'a> {
    pub(super) n: &'a [u8],
    pub(super) e: &'a [u8],
    pub(super) d: &'a [u8],
    pub(super) p: &'a [u8],
    pub(super) q: &'a [u8],
    pub(super) dp: &'a [u8],
    pub(super) dq: &'a [u8],
    pub(super) qi: &'a [u8],
}

const REMEDY: &str = "use an RSA key of 2048 to 4096 bits, an EC key on P-256, P-384 or P-521, or an Ed25519 key; `openssl pkey -in \
                      KEY.pem -check` looks at one";

/// The longest RSA key that is signed with, in bits: each signature costs eight times what one of half the length does.
const LONGEST: usize = 4096;

// === impl Curve ===

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Its name in `crv` (RFC 7518 §6.2.1.1).
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// How many bytes a coordinate and the private number have.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}

// === impl AssertionKey ===

impl AssertionKey {
    /// Reads a key in DER and signs once.
    ///
    /// # Errors
    /// It is of no kind that signs here, too short or too long, or cannot sign.
    pub(super) fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, Complaint> {
        let bytes = der.secret_der();
        pem::long_enough(bytes)?;
        let ec = |bytes: &[u8]| {
            Curve::ALL.into_iter().find_map(|curve| {
                let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), bytes).ok()?;
                Some(Self::Ec(curve, pair))
            })
        };
        let key = match der {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(bytes).ok().map(Self::Rsa),
            PrivateKeyDer::Sec1(_) => ec(bytes),
            _ => {
                let rsa = RsaKeyPair::from_pkcs8(bytes).ok().map(Self::Rsa);
                let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok().map(Self::Ed25519);
                rsa.or_else(|| ec(bytes)).or_else(ed25519)
            }
        };
        key.ok_or_else(|| Complaint::new("its private key is of no kind that can be used, or damaged", REMEDY))?.tried()
    }

    /// Takes an RSA key by its numbers and signs once.
    ///
    /// # Errors
    /// They are no key, or do not fit together.
    pub(super) fn from_rsa(numbers: &RsaNumbers<'_>) -> Result<Self, Complaint> {
        let RsaNumbers { n, e, d, p, q, dp, dq, qi } = *numbers;
        let components = KeyPairComponents { public_key: PublicKeyComponents { n, e }, d, p, q, dP: dp, dQ: dq, qInv: qi };
        let pair = RsaKeyPair::from_components(&components).map_err(|_| unfit())?;
        let bits = pair.public_modulus_len() * 8;
        if bits < pem::SHORTEST {
            return Err(pem::too_short(bits));
        }
        Self::Rsa(pair).tried()
    }

    /// Takes an EC key by its private number and its point, and signs once.
    ///
    /// # Errors
    /// They are no key, or do not fit together.
    pub(super) fn from_ec(curve: Curve, private: &[u8], point: &[u8]) -> Result<Self, Complaint> {
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), private, point).map_err(|_| unfit())?;
        Self::Ec(curve, pair).tried()
    }

    /// Takes an Ed25519 key by its seed and its public half, and signs once.
    ///
    /// # Errors
    /// They are no key, or do not fit together.
    pub(super) fn from_ed25519(seed: &[u8], public: &[u8]) -> Result<Self, Complaint> {
        Self::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| unfit())?).tried()
    }

    /// Signs once and verifies that: a key that cannot sign shows here, and not in the first request.
    fn tried(self) -> Result<Self, Complaint> {
        const TEXT: &[u8] = b"tokend";
        if let Self::Rsa(pair) = &self {
            let bits = pair.public_modulus_len() * 8;
            if bits > LONGEST {
                return Err(Complaint::new(format!("its RSA key has {bits} bits"), "use a key of 2048 to 4096 bits"));
            }
        }
        let public = self.public();
        let verifies = self.sign(self.usual(), TEXT).is_some_and(|signed| match &self {
            Self::Rsa(_) => UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public).verify(TEXT, &signed).is_ok(),
            Self::Ec(Curve::P256, _) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, public).verify(TEXT, &signed).is_ok()
            }
            Self::Ec(Curve::P384, _) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, public).verify(TEXT, &signed).is_ok()
            }
            Self::Ec(Curve::P521, _) => {
                UnparsedPublicKey::new(&signature::ECDSA_P521_SHA512_FIXED, public).verify(TEXT, &signed).is_ok()
            }
            Self::Ed25519(_) => UnparsedPublicKey::new(&signature::ED25519, public).verify(TEXT, &signed).is_ok(),
        });
        if verifies {
            Ok(self)
        } else {
            Err(Complaint::new("its private key signs, and its public half does not verify it", REMEDY))
        }
    }

    /// The public half, as it stands in a certificate (`subjectPublicKey`).
    pub(super) fn public(&self) -> &[u8] {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Ec(_, pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// What it is, for texts.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Rsa(_) => "an RSA key".to_owned(),
            Self::Ec(curve, _) => format!("an EC key on {}", curve.as_str()),
            Self::Ed25519(_) => "an Ed25519 key".to_owned(),
        }
    }

    /// What it can sign with, in the order of preference.
    pub(super) fn algorithms(&self) -> &'static [SigningAlgorithm] {
        use SigningAlgorithm::{Ed25519, EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa(_) => &[Rs256, Ps256, Rs384, Ps384, Rs512, Ps512],
            Self::Ec(Curve::P256, _) => &[Es256],
            Self::Ec(Curve::P384, _) => &[Es384],
            Self::Ec(Curve::P521, _) => &[Es512],
            Self::Ed25519(_) => &[EdDsa, Ed25519],
        }
    }

    fn usual(&self) -> SigningAlgorithm {
        self.algorithms().first().copied().unwrap_or(SigningAlgorithm::Rs256)
    }

    /// A signature as a JWS has it (RFC 7518 §3, RFC 8037 §3.1); `None`: the key is none of the algorithm, or cannot sign.
    pub(super) fn sign(&self, algorithm: SigningAlgorithm, text: &[u8]) -> Option<Vec<u8>> {
        use SigningAlgorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        if !self.algorithms().contains(&algorithm) {
            return None;
        }
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    Rs256 => &signature::RSA_PKCS1_SHA256,
                    Rs384 => &signature::RSA_PKCS1_SHA384,
                    Rs512 => &signature::RSA_PKCS1_SHA512,
                    Ps256 => &signature::RSA_PSS_SHA256,
                    Ps384 => &signature::RSA_PSS_SHA384,
                    Ps512 => &signature::RSA_PSS_SHA512,
                    _ => return None,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), text, &mut signed).ok()?;
                Some(signed)
            }
            Self::Ec(_, pair) => Some(pair.sign(&SystemRandom::new(), text).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.try_sign(text).ok()?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

fn unfit() -> Complaint {
    Complaint::new("its private and its public part are no key together", "write the key as it was made, with all of its members")
}
