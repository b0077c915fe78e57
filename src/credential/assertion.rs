//! Client assertions (RFC 7523 §2.2): reused at Entra-style authorities, fresh for every request at OIDC issuers, signed off the
//! async workers.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tokio::sync::Mutex;

use super::certificate::ClientKey;
use super::proving::{CredentialError, EARLY, ProofTarget};
use super::settings::{AssertionHeader, SigningAlgorithm};
use crate::finding::Complaint;
use crate::oauth::{AssertionForm, Proof};
use crate::secret::Secret;
use crate::tasks::Tasks;

/// How long an assertion lasts if it is sent again, and from when on it is too old for that, in seconds (ASN-5).
const REUSED_LIFETIME: i64 = 600;
const REUSED_MARGIN: i64 = 60;

/// For how many token endpoints an assertion is kept: a request may name a tenant, or come with a user's token of one.
const MOST: usize = 256;

/// How long an assertion lasts that is sent once, in seconds from when it says that it was made (ASN-5).
const FRESH_LIFETIME: i64 = 60;
/// How long before it is sent such an assertion says that it was made, in seconds: the issuer's clock may be behind, and many take
/// nothing that was made in what is their future.
const BACK_DATED: i64 = 5;

/// The most algorithms of an issuer that a refusal lists.
const LISTED: usize = 12;

/// Signs assertions with an app's key.
#[derive(Debug, Default)]
pub(super) struct AssertionSigner {
    header: AssertionHeader,
    // By token endpoint: one per tenant that requests name.
    reused: Mutex<HashMap<String, ReusedAssertion>>,
}

/// What is to be signed, with which key.
#[derive(Clone, Copy, Debug)]
pub(super) struct AssertionRequest<'a> {
    pub(super) client_id: &'a str,
    pub(super) target: ProofTarget<'a>,
    pub(super) key: &'a Arc<ClientKey>,
    /// Names the contents that the key was made from.
    pub(super) version: u64,
    pub(super) now: i64,
}

#[derive(Debug)]
struct ReusedAssertion {
    assertion: Secret,
    version: u64,
    // A clock that was ahead and has been set back must not leave us with an assertion from the future.
    issued: i64,
    ends: i64,
}

/// The header of an assertion (RFC 7515 §4.1).
#[derive(Serialize)]
struct JoseHeader<'a> {
    typ: &'static str,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5t: Option<&'a str>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    x5t_s256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<&'a [String]>,
}

#[derive(Serialize)]
struct AssertionClaims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

// === impl AssertionSigner ===

impl AssertionSigner {
    pub(super) fn new(header: AssertionHeader) -> Self {
        Self { header, reused: Mutex::default() }
    }

    /// A signed assertion.
    pub(super) async fn proof(&self, ask: AssertionRequest<'_>, tasks: &Tasks) -> Result<Proof, CredentialError> {
        let AssertionRequest { client_id, target, now, .. } = ask;
        let (assertion, ends) = match target.assertion {
            AssertionForm::Thumbprint | AssertionForm::Sha1Thumbprint => self.reused(ask, tasks).await?,
            AssertionForm::Announced => {
                let ends = now - BACK_DATED + FRESH_LIFETIME;
                let algorithm = announced_algorithm(ask.key, target)?;
                let made = AssertionRequest { now: now - BACK_DATED, ..ask };
                (sign(made, &self.named(ask, algorithm), algorithm, ends, tasks).await?, ends)
            }
        };
        Ok(Proof::assertion(client_id, assertion, ends - EARLY))
    }

    /// The assertion for this endpoint that was signed a while ago, if it lasts, else a new one; and when it ends.
    async fn reused(&self, ask: AssertionRequest<'_>, tasks: &Tasks) -> Result<(Secret, i64), CredentialError> {
        let AssertionRequest { target: ProofTarget { audience: endpoint, .. }, version, now, .. } = ask;
        // Held while signing, so that a thousand requests at once make one signature.
        let mut reused = self.reused.lock().await;
        reused.retain(|_, entry| entry.version == version && (entry.issued..entry.ends - REUSED_MARGIN).contains(&now));
        if let Some(entry) = reused.get(endpoint) {
            return Ok((entry.assertion.clone(), entry.ends));
        }
        let ends = now + REUSED_LIFETIME;
        let (header, algorithm) = self.thumbprint_header(ask);
        let assertion = sign(ask, &header, algorithm, ends, tasks).await?;
        if reused.len() >= MOST
            && let Some(first) = reused.iter().min_by_key(|(_, entry)| entry.ends).map(|(endpoint, _)| endpoint.clone())
        {
            reused.remove(&first);
        }
        reused.insert(endpoint.to_owned(), ReusedAssertion { assertion: assertion.clone(), version, issued: now, ends });
        Ok((assertion, ends))
    }

    /// A header in which the certificate is named by its thumbprint (ASN-1, ASN-2).
    fn thumbprint_header<'a>(&'a self, ask: AssertionRequest<'a>) -> (JoseHeader<'a>, SigningAlgorithm) {
        let leaf = ask.key.leaf(ask.now);
        let is_sha1 = self.header.sha1 || ask.target.assertion == AssertionForm::Sha1Thumbprint;
        let algorithm = if is_sha1 { SigningAlgorithm::Rs256 } else { SigningAlgorithm::Ps256 };
        let named = self.named(ask, algorithm);
        let header = if is_sha1 {
            JoseHeader { x5t: leaf.map(|leaf| leaf.x5t()), ..named }
        } else {
            JoseHeader { x5t_s256: leaf.map(|leaf| leaf.x5t_s256()), ..named }
        };
        (header, algorithm)
    }

    /// A header with what is configured: the key's name, and the chain (ASN-3).
    fn named<'a>(&'a self, ask: AssertionRequest<'a>, algorithm: SigningAlgorithm) -> JoseHeader<'a> {
        let kid = self.header.kid.as_deref().or(ask.key.kid.as_deref());
        let x5c = self.header.x5c.then(|| ask.key.leaf(ask.now)).flatten().map(|leaf| leaf.x5c());
        JoseHeader { typ: "JWT", alg: algorithm.as_str(), kid, x5t: None, x5t_s256: None, x5c }
    }
}

/// What the key signs by at an issuer: the first of its algorithms that is announced.
fn announced_algorithm(key: &ClientKey, target: ProofTarget<'_>) -> Result<SigningAlgorithm, CredentialError> {
    let ProofTarget { methods, algorithms, .. } = target;
    if methods.is_some_and(|methods| !methods.iter().any(|method| method == "private_key_jwt")) {
        return Err(CredentialError(Complaint::new(
            "the issuer does not take private_key_jwt",
            "give the app a secret, or allow private_key_jwt at the issuer",
        )));
    }
    let is_offered =
        |algorithm: SigningAlgorithm| algorithms.is_none_or(|offered| offered.iter().any(|name| name == algorithm.as_str()));
    match key.algorithm {
        Some(only) if is_offered(only) => Ok(only),
        Some(only) => {
            let reason = format!("the issuer takes no assertion signed by {}{}", only.as_str(), but(algorithms));
            let remedy = "allow it for client assertions at the issuer, or change `alg` in the configuration or in the key";
            Err(CredentialError(Complaint::new(reason, remedy)))
        }
        None => key.key.algorithms().iter().copied().find(|algorithm| is_offered(*algorithm)).ok_or_else(|| {
            let own: Vec<&str> = key.key.algorithms().iter().take(2).map(|algorithm| algorithm.as_str()).collect();
            let reason = format!("the issuer takes no assertion signed with {}{}", key.key.title(), but(algorithms));
            CredentialError(Complaint::new(
                reason,
                format!("allow {} for client assertions at the issuer, or use another key", own.join(" or ")),
            ))
        }),
    }
}

/// What an issuer announces, as the rest of a sentence; names that are none are left out.
fn but(algorithms: Option<&[String]>) -> String {
    let is_name = |name: &&String| name.len() <= 16 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let names = algorithms.into_iter().flatten().filter(is_name).take(LISTED).map(String::as_str);
    let names = names.collect::<Vec<_>>().join(", ");
    if names.is_empty() { String::new() } else { format!(": it announces {names}") }
}

/// A compact JWS (RFC 7515 §7.1) of a header and the claims of RFC 7523 §3.
async fn sign(
    ask: AssertionRequest<'_>,
    header: &JoseHeader<'_>,
    algorithm: SigningAlgorithm,
    ends: i64,
    tasks: &Tasks,
) -> Result<Secret, CredentialError> {
    let claims = AssertionClaims {
        aud: ask.target.audience,
        iss: ask.client_id,
        sub: ask.client_id,
        jti: uuid::Uuid::new_v4().to_string(),
        iat: ask.now,
        nbf: ask.now,
        exp: ends,
    };
    let unusable =
        || CredentialError(Complaint::new("its key could not sign", "check the file of the key; `tokend check` tries it"));
    let part = |json: Result<Vec<u8>, _>| json.ok().map(|json| URL_SAFE_NO_PAD.encode(json)).ok_or_else(unusable);
    let mut text = format!("{}.{}", part(serde_json::to_vec(header))?, part(serde_json::to_vec(&claims))?);
    let key = Arc::clone(ask.key);
    let signed = tasks.compute(move || {
        let signature = key.key.sign(algorithm, text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Some(Secret::new(text))
    });
    signed.await.flatten().ok_or_else(unusable)
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::Algorithm;

    use super::{BACK_DATED, EARLY, FRESH_LIFETIME, MOST, REUSED_LIFETIME, REUSED_MARGIN};
    use crate::clock::Clock;
    use crate::credential::{AssertionHeader, CertificateFiles, Credential, ProofTarget, Settings};
    use crate::oauth::{AssertionForm, SecretPlace};
    use crate::reload::{Place, Source};
    use crate::secret::Secret;
    use crate::tasks::Tasks;

    fn pem() -> String {
        let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let der = rustls_pki_types::PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec());
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap();
        format!("{}{}", pair.serialize_pem(), certificate.pem())
    }

    fn credential(sha1: bool) -> Credential {
        let source = Source { key: "c".to_owned(), file: None, place: Place::Value(Secret::new(pem())) };
        let files = CertificateFiles { source, key: None, password: None };
        let header = AssertionHeader { sha1, ..AssertionHeader::default() };
        Credential::load(&Settings::Certificate { files, header }, AssertionForm::Thumbprint).unwrap()
    }

    fn entra(audience: &str) -> ProofTarget<'_> {
        let (assertion, secret) = (AssertionForm::Thumbprint, SecretPlace::Body);
        ProofTarget { audience, assertion, secret, instead: None, methods: None, algorithms: None }
    }

    fn oidc(algorithms: Option<&[String]>) -> ProofTarget<'_> {
        let (assertion, secret) = (AssertionForm::Announced, SecretPlace::Header);
        ProofTarget { audience: "https://issuer", assertion, secret, instead: None, methods: None, algorithms }
    }

    async fn header_and_jti(
        credential: &Credential,
        target: ProofTarget<'_>,
        clock: &Clock,
    ) -> (jsonwebtoken::Header, serde_json::Value) {
        let (proof, _) = credential.prove("client", target, clock, &Tasks::default()).await.unwrap();
        let assertion = proof.secrets()[0].to_owned();
        let claims: serde_json::Value = jsonwebtoken::dangerous::insecure_decode_claims(&assertion).unwrap();
        (jsonwebtoken::decode_header(&assertion).unwrap(), claims)
    }

    #[tokio::test]
    async fn asn_5_entra_assertions_are_reused_until_a_minute_before_they_end() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        let target = entra("https://h/t/oauth2/v2.0/token");
        let (header, first) = header_and_jti(&credential, target, &clock).await;
        assert_eq!(header.alg, Algorithm::PS256);
        assert!(header.x5t_s256.is_some_and(|thumbprint| thumbprint.len() == 43) && header.x5t.is_none());
        assert_eq!(first["exp"].as_i64(), Some(1_000_000 + REUSED_LIFETIME));
        assert_eq!(first["aud"], "https://h/t/oauth2/v2.0/token");
        clock.advance(Duration::from_secs(u64::try_from(REUSED_LIFETIME - REUSED_MARGIN - 1).unwrap()));
        assert_eq!(header_and_jti(&credential, target, &clock).await.1["jti"], first["jti"]);
        clock.advance(Duration::from_secs(1));
        assert_ne!(header_and_jti(&credential, target, &clock).await.1["jti"], first["jti"]);
    }

    #[tokio::test]
    async fn an_assertion_that_waited_is_not_sent_in_its_last_seconds() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        let left = [(entra("https://h/t/oauth2/v2.0/token"), REUSED_LIFETIME), (oidc(None), FRESH_LIFETIME - BACK_DATED)];
        for (target, lifetime) in left {
            let (proof, _) = credential.prove("client", target, &clock, &Tasks::default()).await.unwrap();
            let late = clock.unix() + lifetime - EARLY;
            assert!(!proof.is_too_old(late - 1) && proof.is_too_old(late));
        }
    }

    #[tokio::test]
    async fn asn_4_each_endpoint_has_its_own_audience() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        for endpoint in ["https://h/a/oauth2/v2.0/token", "https://h/b/oauth2/v2.0/token"] {
            assert_eq!(header_and_jti(&credential, entra(endpoint), &clock).await.1["aud"], endpoint);
        }
    }

    #[tokio::test]
    async fn they_are_kept_for_so_many_endpoints_and_no_more() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        for number in 0..=MOST {
            let endpoint = format!("https://h/{number}/oauth2/v2.0/token");
            header_and_jti(&credential, entra(&endpoint), &clock).await;
        }
        assert_eq!(credential.signer.reused.lock().await.len(), MOST);
    }

    #[tokio::test]
    async fn asn_2_and_5_oidc_assertions_are_fresh_and_short() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(true));
        let target = oidc(None);
        let (header, first) = header_and_jti(&credential, target, &clock).await;
        assert_eq!(
            (header.alg, first["exp"].as_i64(), &first["aud"]),
            (Algorithm::RS256, Some(1_000_055), &serde_json::json!("https://issuer"))
        );
        // An issuer whose clock is behind by five seconds takes it, and so does one that allows a minute.
        assert_eq!((first["iat"].as_i64(), first["nbf"].as_i64()), (Some(999_995), Some(999_995)));
        assert_ne!(header_and_jti(&credential, target, &clock).await.1["jti"], first["jti"]);
        let only = ["PS512".to_owned()];
        let target = oidc(Some(&only));
        assert_eq!(header_and_jti(&credential, target, &clock).await.0.alg, Algorithm::PS512);
    }

    #[tokio::test]
    async fn asn_2_sha1_thumbprint_on_request() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(true));
        let (header, _) = header_and_jti(&credential, entra("https://h/t"), &clock).await;
        assert_eq!(header.alg, Algorithm::RS256);
        assert!(header.x5t.is_some_and(|thumbprint| thumbprint.len() == 27) && header.x5t_s256.is_none());
    }
}
