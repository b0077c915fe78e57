//! A token of another issuer as the client assertion (RFC 7523 §2.2): a projected Kubernetes service-account token, or what another
//! platform gives its workloads. It is read again for every assertion, because its owner replaces it while it is in use (ASN-7).

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::proving::EARLY;
use crate::finding::Complaint;
use crate::oauth::Proof;
use crate::secret::Secret;

const REMEDY: &str = "mount a projected service-account token with the audience that the app's federated credential names, or another \
                      signed token of a workload identity";

/// A token, and what is read in it. Nothing of it is verified: that is the authority's part.
#[derive(Debug)]
pub struct WorkloadToken {
    assertion: Secret,
    ends: i64,
    identity: u64,
}

// === impl WorkloadToken ===

impl WorkloadToken {
    /// Reads a token's text; white space around it does not count.
    ///
    /// # Errors
    /// It is no signed JWT, or lacks a claim that RFC 7523 §3 asks of assertions.
    pub fn parse(contents: &[u8]) -> Result<Self, Complaint> {
        let text = std::str::from_utf8(contents).map_err(|_| Complaint::new("it is not UTF-8 text", REMEDY))?.trim();
        if text.is_empty() {
            return Err(Complaint::new("it is empty", REMEDY));
        }
        let claims = claims(text).ok_or_else(|| Complaint::new("it is no signed JWT", REMEDY))?;
        let lacks = |name: &str| Complaint::new(format!("the token has no `{name}`"), REMEDY);
        let named = |name: &str| claims.get(name).and_then(Value::as_str).ok_or_else(|| lacks(name));
        let audience = claims.get("aud").filter(|aud| aud.is_string() || aud.is_array()).ok_or_else(|| lacks("aud"))?;
        let identity = identity([named("iss")?, named("sub")?, &audience.to_string()]);
        let ends = claims.get("exp").and_then(seconds).ok_or_else(|| lacks("exp"))?;
        Ok(Self { assertion: Secret::new(text), ends, identity })
    }

    /// The token as a proof. What an issuer announces for `private_key_jwt` does not matter: that is about keys of the client's
    /// own. `None`: it has ended, or is about to.
    pub(super) fn proof(&self, client_id: &str, now: i64) -> Option<Proof> {
        let proof = Proof::assertion(client_id, self.assertion.clone(), self.ends.saturating_sub(EARLY));
        (!proof.is_too_old(now)).then_some(proof)
    }

    /// When it ends (`exp`), in seconds since the Unix epoch.
    pub fn ends(&self) -> i64 {
        self.ends
    }

    /// Names what an authority's trust in it hangs on: issuer, subject and audience. Every Pod of a service account has its own
    /// token, and a new one each hour, but all of them are one credential: a fleet must not be split by them, nor be told of each.
    /// Tokens of another service account are another credential: when those are refused, these are not.
    pub(super) fn identity(&self) -> u64 {
        self.identity
    }
}

/// The claims of a JWS in compact form (RFC 7515 §7.1); `None` if it is none.
fn claims(text: &str) -> Option<Map<String, Value>> {
    let segments: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = segments.as_slice() else { return None };
    let object = |segment: &&str| serde_json::from_slice::<Map<String, Value>>(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok();
    let signed = !signature.is_empty() && URL_SAFE_NO_PAD.decode(signature).is_ok();
    object(header).filter(|header| signed && header.contains_key("alg"))?;
    object(claims)
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
fn seconds(value: &Value) -> Option<i64> {
    // A fraction does not count, and `as` keeps what is too large within bounds.
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

fn identity(members: [&str; 3]) -> u64 {
    let mut context = Context::new(&SHA256);
    for member in members {
        context.update(&u64::try_from(member.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(member.as_bytes());
    }
    context.finish().as_ref().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::WorkloadToken;
    use crate::clock::Clock;
    use crate::credential::{Credential, ProofTarget, Settings};
    use crate::oauth::{AssertionForm, SecretPlace};
    use crate::reload::{Place, Source};
    use crate::tasks::Tasks;

    const NOW: i64 = 1_000_000;
    const TARGET: ProofTarget<'_> = ProofTarget {
        audience: "https://h/t/oauth2/v2.0/token",
        assertion: AssertionForm::Thumbprint,
        secret: SecretPlace::Body,
        instead: None,
        methods: None,
        algorithms: None,
    };

    fn token(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims))
    }

    fn of(subject: &str, id: &str, ends: i64) -> String {
        token(&json!({"iss": "https://cluster", "sub": subject, "aud": ["api://x"], "exp": ends, "jti": id}))
    }

    fn credential(file: &Path) -> Credential {
        let source = Source { key: "k.file".to_owned(), file: None, place: Place::File(file.to_path_buf()) };
        Credential::load(&Settings::FederatedToken(source), AssertionForm::Thumbprint).unwrap()
    }

    async fn sent(credential: &Credential, clock: &Clock) -> Result<String, String> {
        let proof = credential.prove("client", TARGET, clock, &Tasks::default()).await;
        proof.map(|(proof, _)| proof.secrets()[0].to_owned()).map_err(|unusable| unusable.0.reason)
    }

    #[test]
    fn asn_7_what_is_no_token_is_told_and_not_shown() {
        let without = |claim: &str| {
            let mut claims = json!({"iss": "canary", "sub": "s", "aud": "a", "exp": 1});
            claims.as_object_mut().unwrap().remove(claim);
            token(&claims)
        };
        let good = token(&json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1.5}));
        assert!(WorkloadToken::parse(format!(" \n{good}\r\n").as_bytes()).is_ok_and(|token| token.ends() == 1));
        for (bad, word) in [
            (String::new(), "empty"),
            (" \n".to_owned(), "empty"),
            ("canary".to_owned(), "no signed JWT"),
            (format!("{good}.a.b"), "no signed JWT"),
            (good.trim_end_matches("c2ln").to_owned(), "no signed JWT"),
            (format!("{good} {good}"), "no signed JWT"),
            (without("iss"), "no `iss`"),
            (without("sub"), "no `sub`"),
            (without("aud"), "no `aud`"),
            (without("exp"), "no `exp`"),
        ] {
            let problem = WorkloadToken::parse(bad.as_bytes()).unwrap_err();
            assert!(problem.reason.contains(word) && !problem.reason.contains("canary"), "{bad}: {problem:?}");
        }
        assert!(WorkloadToken::parse(b"\xff").is_err());
    }

    #[test]
    fn the_tokens_of_one_service_account_are_one_credential() {
        let identity = |text: &str| WorkloadToken::parse(text.as_bytes()).unwrap().identity();
        let one = identity(&of("a", "1", 10));
        assert_eq!(one, identity(&of("a", "2", 20)));
        assert_ne!(one, identity(&of("b", "1", 10)));
        assert_ne!(one, identity(&token(&json!({"iss": "https://cluster", "sub": "a", "aud": ["api://y"], "exp": 10}))));
    }

    #[tokio::test]
    async fn asn_7_the_file_is_read_for_every_assertion() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
        let file = folder.path().join("token");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write(&of("a", "1", NOW + 100));
        let credential = credential(&file);
        let version = credential.version();
        assert_eq!(sent(&credential, &clock).await, Ok(of("a", "1", NOW + 100)));
        write(&format!("{}\n", of("a", "2", NOW + 200)));
        assert_eq!(sent(&credential, &clock).await, Ok(of("a", "2", NOW + 200)));
        assert_eq!((credential.version(), credential.expires_on()), (version, Some(NOW + 200)));
        // What is there no more, or is no token, is counted once each, and the last one goes on until it ends.
        std::fs::remove_file(&file).unwrap();
        assert_eq!(sent(&credential, &clock).await, Ok(of("a", "2", NOW + 200)));
        write("garbage");
        assert_eq!(sent(&credential, &clock).await, Ok(of("a", "2", NOW + 200)));
        assert_eq!(sent(&credential, &clock).await, Ok(of("a", "2", NOW + 200)));
        assert_eq!(credential.reload_state().1, 2);
        clock.advance(Duration::from_secs(169));
        assert_eq!(sent(&credential, &clock).await, Ok(of("a", "2", NOW + 200)));
        // Its last half minute is not used.
        clock.advance(Duration::from_secs(1));
        let reason = sent(&credential, &clock).await.unwrap_err();
        assert!(["`k.file`", "expired", "no signed JWT"].iter().all(|word| reason.contains(word)), "{reason}");
        write(&of("b", "3", NOW + 300));
        assert_eq!(sent(&credential, &clock).await, Ok(of("b", "3", NOW + 300)));
        assert!(credential.reload_state().0.is_none() && credential.version() != version);
    }

    #[tokio::test]
    async fn a_file_that_hangs_holds_up_neither_the_workers_nor_the_token() {
        let (folder, clock, tasks) = (tempfile::tempdir().unwrap(), Clock::manual(NOW), Tasks::default());
        let file = folder.path().join("token");
        std::fs::write(&file, of("a", "1", NOW + 100)).unwrap();
        let credential = credential(&file);
        // A pipe that nobody writes to: to open it for reading never ends.
        std::fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        let proofs = (0..64).map(|_| credential.prove("client", TARGET, &clock, &tasks));
        let proofs = futures_util::future::join_all(proofs).await;
        let (problem, failures) = credential.reload_state();
        // What hangs ends before anything is judged: a writer comes and goes.
        std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        assert!(proofs.iter().all(Result::is_ok));
        assert!(problem.is_some_and(|problem| problem.reason.contains("not read within")) && failures == 1);
    }
}
