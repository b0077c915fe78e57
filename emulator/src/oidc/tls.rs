//! Clients that prove themselves by the certificate of their connection (RFC 8705 §2): one that a CA of the realm issued to a name
//! of theirs, or one that is registered itself.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::extensions::GeneralName;

use crate::{
    call::Call,
    registration::{Client, Realm},
    world::World,
};

/// Takes every certificate whose key the client has, and connections without one: which client it is for is asked per request.
#[derive(Debug)]
pub(crate) struct AnyClient(WebPkiSupportedAlgorithms);

/// The one of the two methods that a client's registration is for.
pub(super) fn method(client: &Client) -> &'static str {
    if client.tls_client_auth_san_dns.is_some() { "tls_client_auth" } else { "self_signed_tls_client_auth" }
}

/// The client, if its certificate is its own; else what is wrong with that.
pub(super) fn prove<'a>(world: &World, call: &Call, realm: &Realm, client: &'a Client) -> Result<&'a Client, String> {
    let Some((own, issuers)) = call.client_certificates.split_first() else { return Err("There is no certificate.".to_owned()) };
    let Some(name) = &client.tls_client_auth_san_dns else {
        let registered = client.certificates.iter().filter_map(|certificate| certificate.parsed.as_ref());
        let is_registered = registered.into_iter().any(|certificate| certificate.der == *own);
        return if is_registered { Ok(client) } else { Err("The certificate is not one of the client's.".to_owned()) };
    };
    if !is_issued(world, realm, own, issuers) {
        return Err("The certificate is of no CA that this realm takes, or not valid now.".to_owned());
    }
    let names = x509_parser::parse_x509_certificate(own).ok().is_some_and(|(_, certificate)| {
        let names = certificate.subject_alternative_name().ok().flatten();
        let mut names = names.iter().flat_map(|names| &names.value.general_names);
        names.any(|one| matches!(one, GeneralName::DNSName(one) if one == name))
    });
    if names { Ok(client) } else { Err("The certificate is another client's.".to_owned()) }
}

fn is_issued(world: &World, realm: &Realm, own: &[u8], issuers: &[Vec<u8>]) -> bool {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(realm.client_ca.as_bytes()).flatten() {
        if roots.add(ca).is_err() {
            return false;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Ok(verifier) = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build() else { return false };
    let issuers: Vec<CertificateDer<'_>> = issuers.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(world.now()).unwrap_or_default()));
    verifier.verify_client_cert(&CertificateDer::from(own), &issuers, now).is_ok()
}

// === impl AnyClient ===

impl Default for AnyClient {
    fn default() -> Self {
        Self(aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
