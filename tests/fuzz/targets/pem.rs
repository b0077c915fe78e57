//! PEM texts, PFX, keys as JSON, tokens and key sets in files: keys with certificates, trusted roots, workload tokens, what issuers
//! of callers' JWTs are known by. Of a text that is refused it is said why, and nothing of it is told.

use rustls::RootCertStore;
use tokend::authority::{KeyAccess, KeyPlace};
use tokend::credential::{ClientKey, Credential, Settings, WorkloadToken};
use tokend::finding::Complaint;
use tokend::oauth::AssertionForm;
use tokend::pem::add_roots;
use tokend::reload::{Place, Source};
use tokend::secret::Secret;

use super::holds;
use crate::bench::Ready;

pub(super) fn ready() -> Ready {
    let takes = |input: &[u8]| {
        told(input, ClientKey::parse(input).err())?;
        told(input, ClientKey::parse_pfx(input).err())?;
        told(input, ClientKey::parse_private(input, None, None).err())?;
        told(input, WorkloadToken::parse(input).err())?;
        told(input, add_roots(&mut RootCertStore::empty(), input, "write a CA").err())?;
        if let Ok(text) = std::str::from_utf8(input) {
            let source = Source { key: "secret".to_owned(), file: None, place: Place::Value(Secret::new(text)) };
            let access = KeyAccess::load(&KeyPlace::File(source.clone()), Some(&source), "https://id.example");
            for (_, problem) in access.err().into_iter().flatten() {
                told(input, Some(problem))?;
            }
            let loaded = Credential::load(&Settings::Secret { source, method: None }, AssertionForm::Announced);
            told(input, loaded.err().map(|refused| refused.1))?;
        }
        Ok(())
    };
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let private = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let seeds = vec![
        certified(&rcgen::PKCS_RSA_SHA256),
        certified(&rcgen::PKCS_ECDSA_P256_SHA256),
        keys.as_bytes().to_vec(),
        private.as_bytes().to_vec(),
    ];
    Ready { seeds, takes: Box::new(takes) }
}

/// A key of this kind and a certificate of it: none stands in the repository.
fn certified(kind: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = rcgen::KeyPair::generate_for(kind).expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters").self_signed(&key);
    format!("{}{}", key.serialize_pem(), certificate.expect("a certificate").pem()).into_bytes()
}

/// A refusal has a reason and a remedy, and shows no line of what was refused.
fn told(input: &[u8], refused: Option<Complaint>) -> Result<(), String> {
    let Some(complaint) = refused else { return Ok(()) };
    let text = format!("{complaint:?}");
    holds(!complaint.reason.is_empty(), || "it is refused for nothing".to_owned())?;
    let is_shown = String::from_utf8_lossy(input).lines().map(str::trim).any(|line| line.len() >= 40 && text.contains(line));
    holds(!is_shown, || format!("it tells what it was: {text}"))
}
