//! How the app proves itself to its authority: a secret, an assertion signed with a certificate's key, or another issuer's token.

mod assertion;
mod certificate;
mod federated;
mod settings;

use std::sync::Arc;

pub use assertion::Signer;
pub use certificate::ClientKey;
pub use federated::{Federated, WorkloadToken};
pub use settings::Settings;

use crate::clock::Clock;
use crate::finding::{Problem, certificate_ending};
use crate::oauth::{ASSERTION_JWT_BEARER, Basic, Form};
use crate::reload::{Reloading, Reloads};
use crate::secret::Secret;
use crate::tasks::Tasks;

/// An app's credential, following its file.
#[derive(Debug)]
pub enum Credential {
    /// A client secret.
    Secret(Arc<Reloading<Secret>>),
    /// A certificate and its key.
    Certificate(Signer),
    /// A token that somebody else makes and renews.
    Federated(Federated),
}

/// To whom the app proves itself.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An Entra-style authority.
    Entra {
        /// The token endpoint used: the assertion's audience (ASN-4).
        endpoint: &'a str,
    },
    /// An OIDC issuer, which announces what it takes.
    Oidc {
        /// The assertion's audience: the issuer, or the token endpoint for old servers.
        audience: &'a str,
        /// `token_endpoint_auth_methods_supported`.
        methods: Option<&'a [String]>,
        /// `token_endpoint_auth_signing_alg_values_supported`.
        algorithms: Option<&'a [String]>,
    },
}

/// A proof, ready to be sent.
#[derive(Debug)]
pub struct Proof {
    /// The form with the proof's members.
    pub form: Form,
    /// `Authorization: Basic`, where the server takes nothing else.
    pub basic: Option<Basic>,
    /// Which version of the credential was used.
    pub version: u64,
    /// Which contents of its file were used: the same as the version, but for tokens that are one credential.
    pub contents: u64,
}

/// Why there is no proof: what is wrong and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable(pub Problem);

// === impl Credential ===

impl Credential {
    /// Loads a credential and tries it once.
    ///
    /// # Errors
    /// It cannot be read, or it is not what it should be.
    pub fn load(settings: &Settings) -> Result<Self, Problem> {
        match settings {
            Settings::Secret(source) => Ok(Self::Secret(Reloading::load(source.clone(), parse_secret)?)),
            Settings::Certificate { source, sha1, kid } => {
                let key = Reloading::load(source.clone(), ClientKey::parse)?;
                Ok(Self::Certificate(Signer::new(key, *sha1, kid.clone())))
            }
            Settings::FederatedToken(source) => {
                Ok(Self::Federated(Federated::new(Reloading::load(source.clone(), WorkloadToken::parse)?)))
            }
        }
    }

    /// Follows the credential's file.
    pub fn watch(&self, reloads: &Reloads) {
        match self {
            Self::Secret(secret) => reloads.follow(secret),
            Self::Certificate(signer) => reloads.follow(signer.key()),
            Self::Federated(federated) => reloads.follow(federated.token()),
        }
    }

    /// Reads the file again, because what it holds was refused. Returns whether there is a new credential; after a second, that there
    /// is none.
    pub async fn reread(&self) -> bool {
        match self {
            Self::Secret(secret) => secret.reread().await,
            Self::Certificate(signer) => signer.key().reread().await,
            Self::Federated(federated) => federated.token().reread().await,
        }
    }

    /// Which version of it is in force: what flights and holds differ by. All tokens of one workload identity are one version.
    pub fn version(&self) -> u64 {
        match self {
            Self::Secret(_) | Self::Certificate(_) => self.contents(),
            Self::Federated(federated) => federated.token().current().value.identity(),
        }
    }

    /// Which contents of its file are in force.
    pub fn contents(&self) -> u64 {
        match self {
            Self::Secret(secret) => secret.current().version,
            Self::Certificate(signer) => signer.key().current().version,
            Self::Federated(federated) => federated.token().current().version,
        }
    }

    /// What kind it is, for `/status`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::Certificate(_) => "certificate",
            Self::Federated(_) => "federated_token",
        }
    }

    /// When it ends, in seconds since the Unix epoch; secrets do not say.
    pub fn expires_on(&self) -> Option<i64> {
        match self {
            Self::Secret(_) => None,
            Self::Certificate(signer) => Some(signer.key().current().value.not_after()),
            Self::Federated(federated) => Some(federated.token().current().value.ends()),
        }
    }

    /// What is to be said of its end at the start. A token that others renew always ends soon.
    pub fn ending(&self, now: i64) -> Option<Problem> {
        let ends = self.expires_on()?;
        match self {
            Self::Federated(_) if ends <= now => {
                Some(Problem::new("the token has expired", "see to it that whoever mounts the token renews it: tokend follows it"))
            }
            Self::Certificate(_) => certificate_ending(ends, now).map(|reason| {
                Problem::new(reason, "register a new certificate with the app, and replace the file: tokend follows it")
            }),
            Self::Secret(_) | Self::Federated(_) => None,
        }
    }

    /// Why its newest contents were refused, and how often that happened.
    pub fn reload_state(&self) -> (Option<Arc<Problem>>, u64) {
        match self {
            Self::Secret(secret) => (secret.problem(), secret.failures()),
            Self::Certificate(signer) => (signer.key().problem(), signer.key().failures()),
            Self::Federated(federated) => (federated.token().problem(), federated.token().failures()),
        }
    }

    /// Adds the proof to a form that has its `client_id` still to come.
    ///
    /// # Errors
    /// The credential cannot be used at this authority.
    pub async fn prove(
        &self,
        client_id: &str,
        target: Target<'_>,
        form: Form,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<Proof, Unusable> {
        match self {
            Self::Secret(secret) => {
                let current = secret.current();
                prove_by_secret(client_id, &current.value, target, form).map(|(form, basic)| Proof {
                    form,
                    basic,
                    version: current.version,
                    contents: current.version,
                })
            }
            Self::Certificate(signer) => {
                let (assertion, version) = signer.assertion(client_id, target, clock, tasks).await?;
                Ok(Proof { form: with_assertion(form, client_id, assertion), basic: None, version, contents: version })
            }
            // The same to all: what is announced as `private_key_jwt` is about keys of the client's own.
            Self::Federated(federated) => {
                let token = federated.assertion(clock).await?;
                let form = with_assertion(form, client_id, token.value.assertion().clone());
                Ok(Proof { form, basic: None, version: token.value.identity(), contents: token.version })
            }
        }
    }
}

/// `client_id` goes with it: the subject of another issuer's token is not the client's name (RFC 7521 §4.2).
fn with_assertion(form: Form, client_id: &str, assertion: Secret) -> Form {
    form.with("client_id", client_id).with("client_assertion_type", ASSERTION_JWT_BEARER).with_secret("client_assertion", assertion)
}

fn prove_by_secret(client_id: &str, secret: &Secret, target: Target<'_>, form: Form) -> Result<(Form, Option<Basic>), Unusable> {
    let post = |form: Form| form.with("client_id", client_id).with_secret("client_secret", secret.clone());
    let Target::Oidc { methods: Some(methods), .. } = target else {
        return match target {
            Target::Entra { .. } => Ok((post(form), None)),
            // OpenID Connect Discovery §3: what is not announced is client_secret_basic.
            Target::Oidc { .. } => Ok((form, Some(Basic::new(client_id, secret)))),
        };
    };
    let takes = |method: &str| methods.iter().any(|taken| taken == method);
    if takes("client_secret_post") {
        Ok((post(form), None))
    } else if takes("client_secret_basic") {
        Ok((form, Some(Basic::new(client_id, secret))))
    } else {
        Err(Unusable(Problem::new(
            "the issuer takes neither client_secret_post nor client_secret_basic",
            "give the app a certificate (private_key_jwt), or allow a secret at the issuer",
        )))
    }
}

/// A secret file often ends in a newline that is no part of the secret.
fn parse_secret(contents: &[u8]) -> Result<Secret, Problem> {
    let text = std::str::from_utf8(contents).map_err(|_| Problem::new("it is not UTF-8 text", "write the secret as text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Problem::new("it is empty", "write the client secret into it"));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::new("it has control characters or several lines", "write the client secret alone, on one line"));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::{Target, parse_secret, prove_by_secret};
    use crate::oauth::Form;
    use crate::secret::Secret;

    #[test]
    fn the_announced_method_is_used() {
        let secret = Secret::new("p:w d");
        let prove = |methods: Option<&[String]>| {
            prove_by_secret("a b", &secret, Target::Oidc { audience: "i", methods, algorithms: None }, Form::default())
        };
        let methods = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(
            prove(Some(&methods(&["client_secret_basic", "client_secret_post"])))
                .is_ok_and(|(form, basic)| form.has("client_secret") && basic.is_none())
        );
        // base64 of "a+b:p%3Aw+d"
        let expected = "YStiOnAlM0F3K2Q=";
        assert!(
            prove(Some(&methods(&["client_secret_basic"])))
                .is_ok_and(|(_, basic)| basic.is_some_and(|basic| basic.expose() == expected))
        );
        assert!(prove(None).is_ok_and(|(form, basic)| basic.is_some() && !form.has("client_secret")));
        assert!(prove(Some(&methods(&["private_key_jwt"]))).is_err());
    }

    #[test]
    fn a_secret_is_one_line() {
        assert!(parse_secret(b"abc\n").is_ok_and(|secret| secret.expose() == "abc"));
        assert!(parse_secret(b"").is_err());
        assert!(parse_secret(b"a\nb").is_err());
        assert!(parse_secret(b"\xff").is_err());
    }
}
