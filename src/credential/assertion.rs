//! Client assertions (RFC 7523 §2.2): reused at Entra-style authorities, fresh for every request at OIDC issuers, signed off the
//! async workers.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use tokio::sync::Mutex;

use super::certificate::ClientKey;
use super::{Target, Unusable};
use crate::clock::Clock;
use crate::finding::Problem;
use crate::reload::{Reloading, Versioned};
use crate::secret::Secret;
use crate::tasks::Tasks;

/// How long an assertion for an Entra-style authority lasts, and when it is too old to be used again, in seconds (ASN-5).
const ENTRA_LIFETIME: i64 = 600;
const ENTRA_MARGIN: i64 = 60;

/// For how many token endpoints an assertion is kept: a request may name a tenant, or come with a user's token of one.
const MOST: usize = 256;

/// How long an assertion for an OIDC issuer lasts, in seconds (ASN-5).
const OIDC_LIFETIME: i64 = 60;

/// Algorithms for OIDC issuers in the order they are preferred.
const PREFERRED: [(&str, Algorithm); 6] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("RS384", Algorithm::RS384),
    ("PS384", Algorithm::PS384),
    ("RS512", Algorithm::RS512),
    ("PS512", Algorithm::PS512),
];

/// Signs assertions with a certificate's key.
#[derive(Debug)]
pub struct Signer {
    key: Arc<Reloading<ClientKey>>,
    sha1: bool,
    kid: Option<String>,
    // By token endpoint: one per tenant that requests name.
    reused: Mutex<HashMap<String, Reused>>,
}

#[derive(Debug)]
struct Reused {
    assertion: Secret,
    version: u64,
    // A clock that was ahead and has been set back must not leave us with an assertion from the future.
    issued: i64,
    until: i64,
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

// === impl Signer ===

impl Signer {
    pub(super) fn new(key: Arc<Reloading<ClientKey>>, sha1: bool, kid: Option<String>) -> Self {
        Self { key, sha1, kid, reused: Mutex::default() }
    }

    /// The key that signs.
    pub fn key(&self) -> &Arc<Reloading<ClientKey>> {
        &self.key
    }

    /// An assertion for this target, and the version of the key that signed it.
    pub(super) async fn assertion(
        &self,
        client_id: &str,
        target: Target<'_>,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<(Secret, u64), Unusable> {
        let key = self.key.current();
        let now = clock.unix();
        match target {
            Target::Entra { endpoint } => {
                // Held while signing, so that a thousand requests at once make one signature.
                let mut reused = self.reused.lock().await;
                reused.retain(|_, entry| entry.version == key.version && (entry.issued..entry.until).contains(&now));
                if let Some(entry) = reused.get(endpoint) {
                    return Ok((entry.assertion.clone(), entry.version));
                }
                let header = self.entra_header(&key.value);
                let claims = claims(client_id, endpoint, now, ENTRA_LIFETIME);
                let (assertion, version) = sign(key, header, claims, tasks).await?;
                let until = now + ENTRA_LIFETIME - ENTRA_MARGIN;
                if reused.len() >= MOST
                    && let Some(first) = reused.iter().min_by_key(|(_, entry)| entry.until).map(|(endpoint, _)| endpoint.clone())
                {
                    reused.remove(&first);
                }
                reused.insert(endpoint.to_owned(), Reused { assertion: assertion.clone(), version, issued: now, until });
                Ok((assertion, version))
            }
            Target::Oidc { audience, methods, algorithms } => {
                let header = self.oidc_header(methods, algorithms)?;
                sign(key, header, claims(client_id, audience, now, OIDC_LIFETIME), tasks).await
            }
        }
    }

    fn entra_header(&self, key: &ClientKey) -> Header {
        let mut header = Header::new(if self.sha1 { Algorithm::RS256 } else { Algorithm::PS256 });
        if self.sha1 {
            header.x5t = Some(key.x5t().to_owned());
        } else {
            header.x5t_s256 = Some(key.x5t_s256().to_owned());
        }
        header.kid.clone_from(&self.kid);
        header
    }

    fn oidc_header(&self, methods: Option<&[String]>, algorithms: Option<&[String]>) -> Result<Header, Unusable> {
        if methods.is_some_and(|methods| !methods.iter().any(|method| method == "private_key_jwt")) {
            return Err(Unusable(Problem::new(
                "the issuer does not take private_key_jwt",
                "give the app a secret, or allow private_key_jwt at the issuer",
            )));
        }
        let offered = |name: &str| algorithms.is_none_or(|offered| offered.iter().any(|alg| alg == name));
        let (_, algorithm) = PREFERRED.iter().find(|(name, _)| offered(name)).ok_or_else(|| {
            Unusable(Problem::new(
                "the issuer takes no assertion signed with an RSA key",
                "allow RS256 or PS256 for client assertions at the issuer",
            ))
        })?;
        let mut header = Header::new(*algorithm);
        header.kid.clone_from(&self.kid);
        Ok(header)
    }
}

fn claims(client_id: &str, audience: &str, now: i64, lifetime: i64) -> AssertionClaims {
    AssertionClaims {
        aud: audience.to_owned(),
        iss: client_id.to_owned(),
        sub: client_id.to_owned(),
        jti: uuid::Uuid::new_v4().to_string(),
        iat: now,
        nbf: now,
        exp: now + lifetime,
    }
}

async fn sign(
    key: Arc<Versioned<ClientKey>>,
    header: Header,
    claims: AssertionClaims,
    tasks: &Tasks,
) -> Result<(Secret, u64), Unusable> {
    let version = key.version;
    let signed = tasks.compute(move || jsonwebtoken::encode(&header, &claims, key.value.signing())).await;
    let unusable = || Unusable(Problem::new("its key could not sign", "check the certificate file; `tokend check` tries it"));
    let assertion = signed.and_then(Result::ok).ok_or_else(unusable)?;
    Ok((Secret::new(assertion), version))
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::Algorithm;

    use super::{ENTRA_LIFETIME, ENTRA_MARGIN, MOST};
    use crate::clock::Clock;
    use crate::credential::{Credential, Settings, Target};
    use crate::oauth::Form;
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

    async fn header_and_jti(
        credential: &Credential,
        target: Target<'_>,
        clock: &Clock,
    ) -> (jsonwebtoken::Header, serde_json::Value) {
        let proof = credential.prove("client", target, Form::default(), clock, &Tasks::default()).await.unwrap();
        let assertion = proof.form.secrets()[0].to_owned();
        let claims: serde_json::Value = jsonwebtoken::dangerous::insecure_decode_claims(&assertion).unwrap();
        (jsonwebtoken::decode_header(&assertion).unwrap(), claims)
    }

    #[tokio::test]
    async fn asn_5_entra_assertions_are_reused_until_a_minute_before_they_end() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        let target = Target::Entra { endpoint: "https://h/t/oauth2/v2.0/token" };
        let (header, first) = header_and_jti(&credential, target, &clock).await;
        assert_eq!(header.alg, Algorithm::PS256);
        assert!(header.x5t_s256.is_some_and(|thumbprint| thumbprint.len() == 43) && header.x5t.is_none());
        assert_eq!(first["exp"].as_i64(), Some(1_000_000 + ENTRA_LIFETIME));
        assert_eq!(first["aud"], "https://h/t/oauth2/v2.0/token");
        clock.advance(Duration::from_secs(u64::try_from(ENTRA_LIFETIME - ENTRA_MARGIN - 1).unwrap()));
        assert_eq!(header_and_jti(&credential, target, &clock).await.1["jti"], first["jti"]);
        clock.advance(Duration::from_secs(1));
        assert_ne!(header_and_jti(&credential, target, &clock).await.1["jti"], first["jti"]);
    }

    #[tokio::test]
    async fn asn_4_each_endpoint_has_its_own_audience() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        for endpoint in ["https://h/a/oauth2/v2.0/token", "https://h/b/oauth2/v2.0/token"] {
            assert_eq!(header_and_jti(&credential, Target::Entra { endpoint }, &clock).await.1["aud"], endpoint);
        }
    }

    #[tokio::test]
    async fn they_are_kept_for_so_many_endpoints_and_no_more() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(false));
        for number in 0..=MOST {
            let endpoint = format!("https://h/{number}/oauth2/v2.0/token");
            header_and_jti(&credential, Target::Entra { endpoint: &endpoint }, &clock).await;
        }
        let Credential::Certificate(signer) = &credential else { panic!("a certificate") };
        assert_eq!(signer.reused.lock().await.len(), MOST);
    }

    #[tokio::test]
    async fn asn_2_and_5_oidc_assertions_are_fresh_and_short() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(true));
        let target = Target::Oidc { audience: "https://issuer", methods: None, algorithms: None };
        let (header, first) = header_and_jti(&credential, target, &clock).await;
        assert_eq!(
            (header.alg, first["exp"].as_i64(), &first["aud"]),
            (Algorithm::RS256, Some(1_000_060), &serde_json::json!("https://issuer"))
        );
        assert_ne!(header_and_jti(&credential, target, &clock).await.1["jti"], first["jti"]);
        let only = ["PS512".to_owned()];
        let target = Target::Oidc { audience: "https://issuer", methods: None, algorithms: Some(&only) };
        assert_eq!(header_and_jti(&credential, target, &clock).await.0.alg, Algorithm::PS512);
    }

    #[tokio::test]
    async fn asn_2_sha1_thumbprint_on_request() {
        let (clock, credential) = (Clock::manual(1_000_000), credential(true));
        let (header, _) = header_and_jti(&credential, Target::Entra { endpoint: "https://h/t" }, &clock).await;
        assert_eq!(header.alg, Algorithm::RS256);
        assert!(header.x5t.is_some_and(|thumbprint| thumbprint.len() == 27) && header.x5t_s256.is_none());
    }
}
