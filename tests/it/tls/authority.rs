//! A private CA, and what it issues.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

/// A CA that nobody else trusts.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate.
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// A year in which none of the tests' clocks is.
pub(crate) const LATER: i32 = 2049;

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = named("test CA", &[], (LATER, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { params, key, pem }
    }

    /// A listener's certificate for `localhost`, `127.0.0.1` and these names, good until the year begins.
    pub(crate) fn listener(&self, names: &[&str], until: i32) -> Pair {
        let names = [&["localhost", "127.0.0.1"], names].concat();
        self.issue(&names, ExtendedKeyUsagePurpose::ServerAuth, (until, 1, 1))
    }

    /// A certificate of the listener that is good until a day.
    pub(crate) fn listener_until(&self, until: (i32, u8, u8)) -> Pair {
        self.issue(&["localhost"], ExtendedKeyUsagePurpose::ServerAuth, until)
    }

    /// A client's certificate.
    pub(crate) fn client(&self, until: i32) -> Pair {
        self.issue(&[], ExtendedKeyUsagePurpose::ClientAuth, (until, 1, 1))
    }

    /// A client's certificate with these URIs and DNS names.
    pub(crate) fn client_named(&self, uris: &[&str], names: &[&str], until: i32) -> Pair {
        let mut params = named("test", names, (until, 1, 1));
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))));
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose, until: (i32, u8, u8)) -> Pair {
        self.sign(named("test", names, until), purpose)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Pair {
        let key = KeyPair::generate().expect("a key");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let issuer = Issuer::from_params(&self.params, &self.key);
        Pair { cert: params.signed_by(&key, &issuer).expect("a certificate").pem(), key: key.serialize_pem() }
    }
}

fn named(subject: &str, names: &[&str], (year, month, day): (i32, u8, u8)) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, month, day);
    params
}
