//! What cannot work is refused with a reason of its own and the way out of it, and shows nothing of what is in the files.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::json;
use tokend::credential::{AssertionHeader, CertificateFiles, Credential, Settings, SigningAlgorithm};
use tokend::oauth::AssertionForm;
use tokend::reload::{Place, Source};

use super::{Keys, PASSWORD};
use crate::support::python;

/// A file of the folder as the configuration names it.
fn source(keys: &Keys, member: &str, name: &str) -> Source {
    Source { key: format!("apps.a.credential.{member}"), file: None, place: Place::File(keys.path(name)) }
}

/// Why a credential is refused, at the key that is named: reason and remedy.
fn refused(settings: &Settings, form: AssertionForm) -> (String, String) {
    let refused = Credential::load(settings, form).expect_err("it is good");
    let (source, problem) = *refused;
    assert!(!problem.remedy.is_empty() && !format!("{problem:?}").contains(PASSWORD), "{problem:?}");
    (source.key, format!("{}; {}", problem.reason, problem.remedy))
}

fn pfx(keys: &Keys, file: &str, password: Option<&str>) -> (String, String) {
    let settings = Settings::Pfx {
        source: source(keys, "pfx.file", file),
        password: password.map(|name| source(keys, "pfx.password.file", name)),
        header: AssertionHeader::default(),
    };
    refused(&settings, AssertionForm::Thumbprint)
}

fn certificate(keys: &Keys, [file, key, password]: [Option<&str>; 3], form: AssertionForm) -> (String, String) {
    let files = CertificateFiles {
        source: source(keys, "certificate.file", file.expect("a file")),
        key: key.map(|name| source(keys, "certificate.key_file", name)),
        password: password.map(|name| source(keys, "certificate.password.file", name)),
    };
    refused(&Settings::Certificate { files, header: AssertionHeader::default() }, form)
}

#[test]
fn each_fault_of_a_pfx_has_its_own_text() {
    let keys = Keys::new();
    keys.pfx("good.pfx", PASSWORD, &[]);
    keys.pfx("windows.pfx", PASSWORD, &["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]);
    keys.pfx("no-mac.pfx", PASSWORD, &["-nomac"]);
    keys.pfx("bare.pfx", PASSWORD, &["-keypbe", "NONE", "-certpbe", "NONE", "-nomac"]);
    keys.pfx("no-certificate.pfx", PASSWORD, &["-nocerts"]);
    keys.pfx("no-key.pfx", PASSWORD, &["-nokeys"]);
    keys.pfx("rc2-128.pfx", PASSWORD, &["-legacy", "-keypbe", "PBE-SHA1-RC2-128", "-certpbe", "PBE-SHA1-RC2-128"]);
    let good = std::fs::read(keys.path("good.pfx")).expect("a file");
    keys.write("cut.pfx", &good[..good.len() / 2]);
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    keys.write("damaged.pfx", damaged);
    keys.write("jks.pfx", b"\xfe\xed\xfe\xed\x00\x00\x00\x02");
    keys.write("open.pfx", b"\x30\x80\x02\x01\x03\x30\x80");
    keys.write("garbage.pfx", "canary");
    keys.write("wrong", "another one");
    keys.write("empty", "\n");
    keys.write("quoted", format!("\"{PASSWORD}\"\n"));
    let cases = [
        ("good.pfx", None, "no `password` is configured"),
        ("windows.pfx", None, "no `password` is configured"),
        ("good.pfx", Some("empty"), "the one in `password` is empty"),
        ("good.pfx", Some("wrong"), "the password in `password` does not open it"),
        ("good.pfx", Some("quoted"), "line 1 stands in quotes"),
        ("windows.pfx", Some("wrong"), "the password in `password` does not open it"),
        ("damaged.pfx", Some("password"), "does not open it"),
        ("no-mac.pfx", Some("password"), "it has no MAC"),
        ("bare.pfx", None, "it has no MAC"),
        ("no-certificate.pfx", Some("password"), "it has no certificate"),
        ("no-key.pfx", Some("password"), "it has no private key"),
        ("rc2-128.pfx", Some("password"), "by a method that is not opened"),
        ("cut.pfx", Some("password"), "it is no PFX"),
        ("jks.pfx", Some("password"), "a Java keystore"),
        ("open.pfx", Some("password"), "open lengths"),
        ("chain.pem", None, "name it under `credential.certificate`"),
        ("garbage.pfx", None, "it is no PFX"),
        ("nowhere.pfx", None, "cannot be read"),
    ];
    for (file, password, words) in cases {
        let (key, text) = pfx(&keys, file, password);
        assert_eq!(key, "apps.a.credential.pfx.file", "{file}");
        assert!(text.contains(words) && !text.contains("canary"), "{file} {password:?}: {text}");
    }
    let (key, text) = pfx(&keys, "good.pfx", Some("nowhere"));
    assert!(key == "apps.a.credential.pfx.password.file" && text.contains("cannot be read"), "{key}: {text}");
}

#[test]
fn each_fault_of_a_key_under_a_password_has_its_own_text() {
    let keys = Keys::new();
    let pass = format!("pass:{PASSWORD}");
    let locked = |name: &str, how: &[&str]| {
        keys.openssl(&[&["pkcs8", "-topk8", "-in", "key.pem", "-out", name, "-passout", &pass][..], how].concat());
    };
    locked("pbes2.key", &["-v2", "aes-256-cbc"]);
    locked("pbes1.key", &["-v1", "PBE-SHA1-3DES"]);
    locked("pbes1-md5.key", &["-v1", "PBE-MD5-DES", "-provider", "legacy", "-provider", "default"]);
    keys.openssl(&["rsa", "-traditional", "-aes256", "-in", "key.pem", "-out", "legacy.key", "-passout", &pass]);
    keys.write("both.pem", [keys.key.as_str(), &keys.chain.concat()].concat());
    keys.write("wrong", "another one");
    keys.write("empty", "");
    keys.write("damaged.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let mend = "openssl pkcs8 -topk8 -v2 aes-256-cbc";
    let chain = Some("chain.pem");
    for (files, words) in [
        ([chain, Some("pbes2.key"), None], "no `password` is configured"),
        ([chain, Some("pbes2.key"), Some("empty")], "the one in `password` is empty"),
        ([chain, Some("pbes2.key"), Some("wrong")], "the password in `password` does not open its private key"),
        ([chain, Some("pbes1.key"), Some("password")], mend),
        ([chain, Some("pbes1-md5.key"), Some("password")], mend),
        ([chain, Some("damaged.key"), Some("password")], mend),
        ([chain, Some("legacy.key"), Some("password")], mend),
        ([chain, Some("legacy.key"), Some("password")], "Proc-Type"),
        ([chain, None, None], "`key_file`"),
        ([chain, Some("chain.pem"), None], "`key_file`: it has no private key"),
        ([Some("both.pem"), Some("key.pem"), None], "leave one of them out"),
        ([Some("key.pem"), Some("key.pem"), None], "no certificate"),
    ] {
        let (key, text) = certificate(&keys, files, AssertionForm::Thumbprint);
        assert!(key == "apps.a.credential.certificate.file" && text.contains(words), "{files:?}: {text}");
    }
    for (files, member) in [
        ([chain, Some("nowhere"), None], "certificate.key_file"),
        ([chain, Some("pbes2.key"), Some("nowhere")], "certificate.password.file"),
    ] {
        let (key, text) = certificate(&keys, files, AssertionForm::Thumbprint);
        assert!(key == format!("apps.a.credential.{member}") && text.contains("cannot be read"), "{key}: {text}");
    }
}

#[test]
fn a_key_on_a_curve_is_good_at_an_issuer_and_a_finding_at_entra() {
    let keys = Keys::of(&PKCS_ECDSA_P256_SHA256, 2099);
    let (_, text) = certificate(&keys, [Some("chain.pem"), Some("key.pem"), None], AssertionForm::Thumbprint);
    assert!(text.contains("an EC key on P-256") && text.contains("RSA"), "{text}");
    keys.pfx("ec.pfx", PASSWORD, &[]);
    let (_, text) = pfx(&keys, "ec.pfx", Some("password"));
    assert!(text.contains("an EC key on P-256") && text.contains("RSA"), "{text}");
    let files = CertificateFiles {
        source: source(&keys, "certificate.file", "chain.pem"),
        key: Some(source(&keys, "certificate.key_file", "key.pem")),
        password: None,
    };
    let settings = Settings::Certificate { files, header: AssertionHeader::default() };
    assert_eq!(Credential::load(&settings, AssertionForm::Announced).map(|credential| credential.kind()).ok(), Some("certificate"));
    // And one that belongs to another key is none of either's.
    let other = Keys::of(&PKCS_RSA_SHA256, 2099);
    keys.write("key.pem", &other.key);
    let (_, text) = certificate(&keys, [Some("chain.pem"), Some("key.pem"), None], AssertionForm::Announced);
    assert!(text.contains("no certificate in it belongs to its private key"), "{text}");
}

#[tokio::test]
async fn each_fault_of_a_private_key_has_its_own_text() {
    let keys = Keys::new();
    let written =
        python("write_keys.py", &json!({"key_pem": keys.key, "chain_pem": keys.chain.concat(), "password": PASSWORD})).await;
    let (rsa, ec, okp) = (&written["jwk"]["RS256"], &written["jwk"]["ES256"], &written["jwk"]["EdDSA"]);
    let without = |jwk: &serde_json::Value, members: &[&str]| {
        let mut jwk = jwk.clone();
        for member in members {
            jwk.as_object_mut().and_then(|jwk| jwk.remove(*member));
        }
        jwk
    };
    let with = |jwk: &serde_json::Value, member: &str, value: &str| {
        let mut jwk = jwk.clone();
        jwk[member] = json!(value);
        jwk
    };
    let public = without(rsa, &["d", "p", "q", "dp", "dq", "qi"]);
    let named = |jwk: &serde_json::Value, kid: &str| with(jwk, "kid", kid);
    let two = json!({"keys": [named(rsa, "a"), named(ec, "b"), public]});
    let twice = json!({"keys": [named(rsa, "a"), named(ec, "a")]});
    let (es256, ps256) = (Some(SigningAlgorithm::Es256), Some(SigningAlgorithm::Ps256));
    let text = |jwk: &serde_json::Value| jwk.to_string();
    let cases = [
        (text(&public), None, None, "no private part"),
        (text(&without(okp, &["d"])), None, None, "no private part"),
        (text(&json!({"kty": "oct", "k": "Y2FuYXJ5"})), None, None, "symmetric"),
        (text(&without(rsa, &["p", "q"])), None, None, "lacks the member `p`"),
        (text(&with(ec, "crv", "secp256k1")), None, None, "P-256, P-384 or P-521"),
        (text(&with(okp, "crv", "X25519")), None, None, "Ed25519"),
        (text(&with(ec, "d", "!")), None, None, "`d` is no base64url"),
        (text(&with(ec, "x", ec["y"].as_str().expect("a text"))), None, None, "no key together"),
        (text(&with(okp, "x", ec["x"].as_str().expect("a text"))), None, None, "no key together"),
        (text(&with(rsa, "use", "enc")), None, None, "for encryption"),
        (text(&with(rsa, "alg", "RSA-OAEP")), None, None, "`alg` is none"),
        (text(&with(rsa, "alg", "ES256")), None, None, "does not sign by ES256"),
        (text(rsa), None, es256, "write RS256 or PS256"),
        (text(okp), None, ps256, "write EdDSA or Ed25519"),
        (text(&named(rsa, "a")), Some("b"), None, "another `kid`"),
        (text(&two), None, None, "2 private keys"),
        (text(&two), Some("c"), None, "no key of the `kid`"),
        (text(&twice), Some("a"), None, "2 keys of the `kid`"),
        (text(&json!({"keys": [public]})), None, None, "none of its keys has a private part"),
        (text(&json!({"keys": []})), None, None, "none of its keys"),
        (text(&json!({"kty": "AKP"})), None, None, "`kty`"),
        ("{".to_owned(), None, None, "no JWK"),
        (r#"{"kty": 7}"#.to_owned(), None, None, "no JWK"),
        (keys.chain[0].clone(), None, None, "no private key"),
        ([keys.key.as_str(), &keys.key].concat(), None, None, "more than one private key"),
        (keys.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), None, None, "encrypted"),
        ("canary".to_owned(), None, None, "no private key"),
        (keys.key.clone(), None, es256, "an RSA key, which does not sign by ES256"),
    ];
    for (contents, kid, algorithm, words) in cases {
        keys.write("key", &contents);
        let source = source(&keys, "private_key.file", "key");
        let settings = Settings::PrivateKey { source, kid: kid.map(str::to_owned), algorithm };
        let (key, said) = refused(&settings, AssertionForm::Announced);
        assert!(key == "apps.a.credential.private_key.file" && said.contains(words), "{words}: {said}");
        let shown = ["d", "p", "q"].iter().filter_map(|member| rsa[*member].as_str()).any(|secret| said.contains(secret));
        assert!(!shown && !said.contains("Y2FuYXJ5") && !said.contains("canary"), "{said}");
    }
}
