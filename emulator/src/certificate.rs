//! X.509 on both sides: the emulator's own CA and server certificate, and the certificates that apps prove themselves by.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    RsaKeySize, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use x509_parser::public_key::PublicKey as Spki;

use crate::{
    error::StartError,
    jose::{self, PublicKey},
    time,
};

/// The emulator's CA with the server certificate it signed.
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// A certificate as client authentication needs it: how it is named and what it verifies with.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) sha1: Vec<u8>,
    pub(crate) sha256: Vec<u8>,
    pub(crate) der: Vec<u8>,
    pub(crate) key: PublicKey,
}

/// One RSA key, and as many certificates over it as apps ask for: a key takes tens of milliseconds, a certificate one.
pub(crate) struct Workshop {
    key: Option<KeyPair>,
    now: i64,
}

impl Authority {
    /// A CA with a certificate for loopback and these names.
    pub(crate) fn new(hosts: &[String]) -> Result<Self, StartError> {
        let ca_key = KeyPair::generate().map_err(failed)?;
        let mut ca = CertificateParams::new(Vec::new()).map_err(failed)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        // A random name: two emulators on one machine must not look like one CA with two keys.
        name(&mut ca, &format!("tokend emulator CA {}", &jose::random()[..8]));
        always(&mut ca);
        let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;

        let key = KeyPair::generate().map_err(failed)?;
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned).into_iter().chain(hosts.iter().cloned());
        let mut leaf = CertificateParams::new(names.collect::<Vec<_>>()).map_err(failed)?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.use_authority_key_identifier_extension = true;
        name(&mut leaf, "tokend emulator");
        always(&mut leaf);
        let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).map_err(failed)?;
        Ok(Self {
            pem: ca_certificate.pem(),
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// A chain and its key that were made elsewhere.
    pub(crate) fn from_pem(chain: &str, key: &str) -> Result<Self, StartError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().map_err(failed)?;
        let last = chain.last().ok_or_else(|| StartError::Certificate("there is no certificate in the file".to_owned()))?;
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(last));
        Ok(Self { pem, key: PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(failed)?, chain })
    }
}

impl Parsed {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, StartError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(failed)?.to_vec();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(failed)?;
        let key = match certificate.public_key().parsed().map_err(failed)? {
            Spki::RSA(rsa) => PublicKey::rsa(rsa.modulus, rsa.exponent),
            Spki::EC(point) if matches!(point.data().len(), 65 | 97 | 133) => PublicKey::Ec(point.data().to_vec()),
            Spki::Unknown(key) if key.len() == 32 => PublicKey::Ed25519(key.to_vec()),
            _ => return Err(StartError::Certificate("a certificate's key is neither RSA, nor EC, nor Ed25519".to_owned())),
        };
        Ok(Self { sha1: jose::sha1(&der), sha256: jose::sha256(&der), key, der })
    }
}

impl Workshop {
    pub(crate) fn new(now: SystemTime) -> Self {
        Self { key: None, now: time::unix(now) }
    }

    /// A self-signed certificate and its private key, both PEM. It is valid for two years, so that expiry metrics say something.
    pub(crate) fn make(&mut self, subject: &str) -> Result<(String, String), StartError> {
        let key = match self.key.take() {
            Some(key) => key,
            None => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(failed)?,
        };
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        name(&mut params, subject);
        let date = |unix: i64| {
            let (year, month, day) = time::civil(unix);
            date_time_ymd(i32::try_from(year).unwrap_or(2_000), month, day)
        };
        params.not_before = date(self.now - 86_400);
        params.not_after = date(self.now + 730 * 86_400);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.self_signed(&key).map_err(failed)?;
        let pems = (certificate.pem(), key.serialize_pem());
        self.key = Some(key);
        Ok(pems)
    }
}

fn name(params: &mut CertificateParams, subject: &str) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
}

/// The emulator's clock may be set anywhere while TLS clients go by the real one.
fn always(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
}

fn failed(error: impl std::fmt::Display) -> StartError {
    StartError::Certificate(error.to_string())
}
