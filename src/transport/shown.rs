//! A `ca_file` that looks like the server's own certificate: as `openssl req -x509` makes one, it is a CA's, and TLS takes no CA's
//! certificate as a server's (RFC 5280 §4.2.1.9, as webpki reads it).

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use url::Host;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Whether one of these CA certificates is for the host itself: then it is probably what the server shows.
pub fn is_ca_for_host(pem: &[u8], host: &Host<&str>) -> bool {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).any(|certificate| {
        X509Certificate::from_der(&certificate).is_ok_and(|(_, certificate)| certificate.is_ca() && names(&certificate, host))
    })
}

fn names(certificate: &X509Certificate<'_>, host: &Host<&str>) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match (name, host) {
        (GeneralName::DNSName(name), Host::Domain(host)) => name.eq_ignore_ascii_case(host),
        (GeneralName::IPAddress(address), Host::Ipv4(host)) => *address == host.octets(),
        (GeneralName::IPAddress(address), Host::Ipv6(host)) => *address == host.octets(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use url::Host;

    use super::is_ca_for_host;

    fn own(is_ca: IsCa) -> String {
        let names = ["id.example", "10.1.2.3", "2001:db8::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = is_ca;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_ca_that_is_the_servers_own_certificate_is_seen() {
        let (ca, leaf) = (own(IsCa::Ca(BasicConstraints::Unconstrained)), own(IsCa::ExplicitNoCa));
        let hosts = [Host::Domain("ID.example"), Host::Ipv4([10, 1, 2, 3].into()), Host::Ipv6("2001:db8::1".parse().unwrap())];
        for host in &hosts {
            assert!(is_ca_for_host(ca.as_bytes(), host), "{host}");
            assert!(is_ca_for_host(format!("{leaf}\n{ca}").as_bytes(), host), "{host}");
            assert!(!is_ca_for_host(leaf.as_bytes(), host), "{host}");
        }
        for other in [Host::Domain("example"), Host::Domain("other.example"), Host::Ipv4([10, 1, 2, 4].into())] {
            assert!(!is_ca_for_host(ca.as_bytes(), &other), "{other}");
        }
        assert!(!is_ca_for_host(b"garbage", &hosts[0]));
    }
}
