//! Client assertions (RFC 7523 §2.2): reused at Entra-style authorities, fresh for every request at OIDC issuers, signed off the
//! async workers.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use tokio::sync::Mutex;

use super::certificate::ClientKey;
use super::proving::{CredentialError, EARLY, ProofTarget};
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

/// Algorithms in the order they are preferred, where the server announces what it takes.
const PREFERRED: [(&str, Algorithm); 6] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("RS384", Algorithm::RS384),
    ("PS384", Algorithm::PS384),
    ("RS512", Algorithm::RS512),
    ("PS512", Algorithm::PS512),
];

/// Signs assertions with a certificate's key.
#[derive(Debug, Default)]
pub(super) struct AssertionSigner {
    sha1: bool,
    kid: Option<String>,
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

#[derive(Serialize)]
struct AssertionClaims {
    aud: String,
    iss: String,
    sub: String,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

// === impl AssertionSigner ===

impl AssertionSigner {
    pub(super) fn new(sha1: bool, kid: Option<String>) -> Self {
        Self { sha1, kid, reused: Mutex::default() }
    }

    /// A signed assertion.
    pub(super) async fn proof(&self, ask: AssertionRequest<'_>, tasks: &Tasks) -> Result<Proof, CredentialError> {
        let AssertionRequest { client_id, target, now, .. } = ask;
        let (assertion, ends) = match target.assertion {
            AssertionForm::Thumbprint => self.reused(ask, tasks).await?,
            AssertionForm::Announced => {
                let ends = now - BACK_DATED + FRESH_LIFETIME;
                let header = self.announced_header(target)?;
                (sign(AssertionRequest { now: now - BACK_DATED, ..ask }, header, ends, tasks).await?, ends)
            }
        };
        Ok(Proof::assertion(client_id, assertion, ends - EARLY))
    }

    /// The assertion for this endpoint that was signed a while ago, if it lasts, else a new one; and when it ends.
    async fn reused(&self, ask: AssertionRequest<'_>, tasks: &Tasks) -> Result<(Secret, i64), CredentialError> {
        let AssertionRequest { target: ProofTarget { audience: endpoint, .. }, key, version, now, .. } = ask;
        // Held while signing, so that a thousand requests at once make one signature.
        let mut reused = self.reused.lock().await;
        reused.retain(|_, entry| entry.version == version && (entry.issued..entry.ends - REUSED_MARGIN).contains(&now));
        if let Some(entry) = reused.get(endpoint) {
            return Ok((entry.assertion.clone(), entry.ends));
        }
        let ends = now + REUSED_LIFETIME;
        let assertion = sign(ask, self.thumbprint_header(key, now), ends, tasks).await?;
        if reused.len() >= MOST
            && let Some(first) = reused.iter().min_by_key(|(_, entry)| entry.ends).map(|(endpoint, _)| endpoint.clone())
        {
            reused.remove(&first);
        }
        reused.insert(endpoint.to_owned(), ReusedAssertion { assertion: assertion.clone(), version, issued: now, ends });
        Ok((assertion, ends))
    }

    fn thumbprint_header(&self, key: &ClientKey, now: i64) -> Header {
        let mut header = Header::new(if self.sha1 { Algorithm::RS256 } else { Algorithm::PS256 });
        if self.sha1 {
            header.x5t = Some(key.x5t(now).to_owned());
        } else {
            header.x5t_s256 = Some(key.x5t_s256(now).to_owned());
        }
        header.kid.clone_from(&self.kid);
        header
    }

    fn announced_header(&self, target: ProofTarget<'_>) -> Result<Header, CredentialError> {
        let ProofTarget { methods, algorithms, .. } = target;
        if methods.is_some_and(|methods| !methods.iter().any(|method| method == "private_key_jwt")) {
            return Err(CredentialError(Complaint::new(
                "the issuer does not take private_key_jwt",
                "give the app a secret, or allow private_key_jwt at the issuer",
            )));
        }
        let offered = |name: &str| algorithms.is_none_or(|offered| offered.iter().any(|alg| alg == name));
        let (_, algorithm) = PREFERRED.iter().find(|(name, _)| offered(name)).ok_or_else(|| {
            CredentialError(Complaint::new(
                "the issuer takes no assertion signed with an RSA key",
                "allow RS256 or PS256 for client assertions at the issuer",
            ))
        })?;
        let mut header = Header::new(*algorithm);
        header.kid.clone_from(&self.kid);
        Ok(header)
    }
}

async fn sign(ask: AssertionRequest<'_>, header: Header, ends: i64, tasks: &Tasks) -> Result<Secret, CredentialError> {
    let claims = AssertionClaims {
        aud: ask.target.audience.to_owned(),
        iss: ask.client_id.to_owned(),
        sub: ask.client_id.to_owned(),
        jti: uuid::Uuid::new_v4().to_string(),
        iat: ask.now,
        nbf: ask.now,
        exp: ends,
    };
    let key = Arc::clone(ask.key);
    let signed = tasks.compute(move || jsonwebtoken::encode(&header, &claims, key.signing())).await;
    let unusable =
        || CredentialError(Complaint::new("its key could not sign", "check the certificate file; `tokend check` tries it"));
    signed.and_then(Result::ok).map(Secret::new).ok_or_else(unusable)
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::Algorithm;

    use super::{BACK_DATED, EARLY, FRESH_LIFETIME, MOST, REUSED_LIFETIME, REUSED_MARGIN};
    use crate::clock::Clock;
    use crate::credential::{Credential, ProofTarget, Settings};
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
        Credential::load(&Settings::Certificate { source, sha1, kid: None }).unwrap()
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
