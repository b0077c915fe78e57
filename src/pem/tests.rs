//! Files as people make them: what is wrong with each is told by its name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::RootCertStore;

use super::{Validity, add_roots, certificates, encrypted, long_enough, private_key};

/// A certificate and its key, in PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn der(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(base64).unwrap()
}

/// What is said of a text where certificates are expected.
fn said(text: impl AsRef<[u8]>) -> String {
    certificates(text.as_ref(), "the remedy").err().map(|problem| problem.reason).unwrap_or_default()
}

#[test]
fn every_certificate_of_a_text_counts() {
    let ((one, _), (other, _), (third, _)) = (pair(), pair(), pair());
    for text in [
        format!("{one}{other}{third}"),
        format!("Subject: CN = a\n{one}\n\n# another one\n{other}\r\n{third}"),
        format!("{one}{other}{third}").replace('\n', "\r\n"),
        format!("{one}{other}{third}").replace("\r\n", "\n").replace('\n', "\r"),
    ] {
        let mut store = RootCertStore::empty();
        assert_eq!(add_roots(&mut store, text.as_bytes(), "").map(|()| store.len()), Ok(3), "{text}");
    }
}

#[test]
fn a_block_that_would_be_passed_over_is_told() {
    let ((one, key), (other, _)) = (pair(), pair());
    let glued = format!("{}{other}", one.trim_end());
    let cases = [
        (glued, "two PEM blocks are glued together"),
        (format!("{one}  {}", other.replace('\n', "\n  ")), "a PEM block is indented"),
        (format!("{one}\t-----BEGIN CERTIFICATE-----"), "a PEM block is indented"),
        (one.replace('\n', "\\n"), "its line breaks are written as \\n"),
        (one.replace("\r\n", "\n").replace('\n', "\\r\\n"), "its line breaks are written as \\n"),
        (one.replace("\r\n", " ").replace('\n', " "), "a PEM block has lost its line breaks"),
        (one.replacen('\n', "", 1).replacen('\r', "", 1), "a PEM block has lost its line breaks"),
        (format!("\"{one}\""), "a PEM block stands in quotes"),
        (format!("cert: {one}"), "something stands before"),
        (format!("\u{200b}{one}"), "something stands before"),
        (one.replace("-----END", "x-----END"), "something stands before"),
        (one.trim_end().trim_end_matches(|c| c != '\n').to_owned(), "breaks off before its end"),
        (one.replace("END CERTIFICATE", "END PRIVATE KEY"), "breaks off before its end"),
        (one.replace("END CERTIFICATE-----", "END CERTIFICATE----- x"), "something stands after the end"),
        (one.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "an OpenSSL trusted certificate"),
        (one.replace("CERTIFICATE", "X509 CERTIFICATE"), "under its old label"),
        (one.replace("CERTIFICATE", "PKCS7"), "a PKCS#7 bundle"),
        (key.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"), "a key in OpenSSH's format"),
        (one.replacen('M', "!", 1), "is no base64"),
        (key, "it holds no certificate"),
        (String::new(), "it holds no certificate"),
        ("canary".to_owned(), "it holds no certificate"),
    ];
    for (text, words) in cases {
        let said = said(&text);
        assert!(said.contains(words) && !said.contains("canary"), "{words}: {said}\n{text}");
    }
}

#[test]
fn what_is_no_text_is_called_by_its_name() {
    let (certificate, key) = pair();
    // SEQUENCE { 3, SEQUENCE { OID of data } }, which is how every PFX begins.
    let pfx = b"\x30\x12\x02\x01\x03\x30\x0d\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02".to_vec();
    // SEQUENCE { SEQUENCE { OID }, OCTET STRING }.
    let locked = b"\x30\x0b\x30\x05\x06\x03\x2a\x03\x04\x04\x02\xaa\xbb".to_vec();
    let in_base64 = |bytes: &[u8]| STANDARD.encode(bytes).into_bytes();
    for (bytes, words) in [
        (der(&certificate), "a certificate in DER"),
        (der(&key), "a private key in DER"),
        (pfx.clone(), "a PFX (PKCS#12) file"),
        (locked, "an encrypted private key in DER"),
        (in_base64(&pfx), "base64 of a PFX"),
        (in_base64(&der(&certificate)), "base64 without its -----BEGIN and -----END lines"),
        (in_base64(certificate.as_bytes()), "PEM text in base64 once more"),
    ] {
        let said = said(&bytes);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_key_under_a_password_or_too_short_is_told() {
    let (_, key) = pair();
    assert!(private_key(key.as_bytes(), "").is_ok());
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let modern = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (text, words) in [(legacy, "PKCS#1 under a password"), (modern.as_str(), "PKCS#8 under a password"), ("", "no private key")]
    {
        let problem = private_key(text.as_bytes(), "the remedy").unwrap_err();
        assert!(problem.reason.contains(words), "{problem:?}");
    }
    assert!(encrypted(key.as_bytes()).is_none());
    // SEQUENCE { 0, modulus … } of so many bytes; one of 1024 bits has a zero before it, as its first bit is set.
    let rsa = |modulus: &[u8]| {
        let length = u16::try_from(modulus.len()).unwrap().to_be_bytes();
        let inner = [b"\x02\x01\x00\x02\x82".as_slice(), &length, modulus].concat();
        [b"\x30\x82".as_slice(), &u16::try_from(inner.len()).unwrap().to_be_bytes(), &inner].concat()
    };
    let (short, odd, long) = ([&[0_u8][..], &[0xff; 128]].concat(), [&[0x7f_u8][..], &[0xff; 255]].concat(), [0xff; 256]);
    for (modulus, bits) in [(short.as_slice(), "1024 bits"), (&odd, "2047 bits"), (&[0xff; 64], "512 bits")] {
        assert!(long_enough(&rsa(modulus)).is_err_and(|problem| problem.reason.ends_with(bits)), "{bits}");
    }
    assert_eq!(long_enough(&rsa(&long)), Ok(()));
    assert_eq!(long_enough(&der(&key)), Ok(()), "a key on a curve is another matter");
}

#[test]
fn a_certificate_holds_from_its_first_second_to_its_last() {
    let validity = Validity { begins: 1_000_000, ends: 9_000_000 };
    let said = |now| validity.problem(now, "the remedy").map(|problem| problem.reason);
    assert_eq!(said(999_999).as_deref(), Some("the certificate is not valid yet: it begins in 1 minutes"));
    assert_eq!(said(1_000_000 - 3 * 86_400).as_deref(), Some("the certificate is not valid yet: it begins in 3 days"));
    assert_eq!(said(1_000_000), None);
    assert_eq!(said(9_000_000 - 86_400).as_deref(), Some("the certificate ends in 1 days"));
    assert_eq!(said(9_000_000).as_deref(), Some("the certificate has expired"));
    assert!(validity.holds(1_000_000) && validity.holds(9_000_000) && !validity.holds(999_999) && !validity.holds(9_000_001));
}
