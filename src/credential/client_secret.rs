//! A client secret: what a file must hold to be one, and where it stands in a request.

use super::proving::{CredentialError, ProofTarget};
use crate::finding::Complaint;
use crate::oauth::{Proof, SecretPlace};
use crate::secret::Secret;

/// Reads a secret. A file often ends in a newline that is no part of it.
pub(super) fn parse(contents: &[u8]) -> Result<Secret, Complaint> {
    let text = std::str::from_utf8(contents).map_err(|_| Complaint::new("it is not UTF-8 text", "write the secret as text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Complaint::new("it is empty", "write the client secret into it"));
    }
    if text.chars().any(char::is_control) {
        return Err(Complaint::new("it has control characters or several lines", "write the client secret alone, on one line"));
    }
    Ok(Secret::new(text))
}

/// The proof: as the server announces, else where servers of its kind want it.
pub(super) fn proof(client_id: &str, secret: &Secret, target: ProofTarget<'_>) -> Result<Proof, CredentialError> {
    let takes = |method: &str| target.methods.is_some_and(|methods| methods.iter().any(|taken| taken == method));
    let place = match target.methods {
        None => target.secret,
        Some(_) if takes("client_secret_post") => SecretPlace::Body,
        Some(_) if takes("client_secret_basic") => SecretPlace::Header,
        Some(_) => {
            return Err(CredentialError(Complaint::new(
                "the issuer takes neither client_secret_post nor client_secret_basic",
                "give the app a certificate (private_key_jwt), or allow a secret at the issuer",
            )));
        }
    };
    Ok(match place {
        SecretPlace::Body => Proof::secret_in_body(client_id, secret.clone()),
        SecretPlace::Header => Proof::secret_in_header(client_id, secret),
    })
}

#[cfg(test)]
mod tests {
    use super::{ProofTarget, parse, proof};
    use crate::oauth::{AssertionForm, SecretPlace};
    use crate::secret::Secret;

    #[test]
    fn the_announced_method_is_used() {
        let secret = Secret::new("p:w d");
        let prove = |methods: Option<&[String]>, unannounced: SecretPlace| {
            let assertion = AssertionForm::Announced;
            proof("a b", &secret, ProofTarget { audience: "i", assertion, secret: unannounced, methods, algorithms: None })
        };
        let methods = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let is_in_body = |proof: &crate::oauth::Proof| proof.members().has("client_secret") && proof.basic().is_none();
        let is_in_header = |proof: &crate::oauth::Proof| !proof.members().has("client_secret") && proof.basic().is_some();
        let both = methods(&["client_secret_basic", "client_secret_post"]);
        assert!(prove(Some(&both), SecretPlace::Header).is_ok_and(|proof| is_in_body(&proof)));
        assert!(prove(Some(&methods(&["client_secret_basic"])), SecretPlace::Body).is_ok_and(|proof| is_in_header(&proof)));
        assert!(prove(None, SecretPlace::Header).is_ok_and(|proof| is_in_header(&proof)));
        assert!(prove(None, SecretPlace::Body).is_ok_and(|proof| is_in_body(&proof)));
        assert!(prove(Some(&methods(&["private_key_jwt"])), SecretPlace::Header).is_err());
    }

    #[test]
    fn a_secret_is_one_line() {
        assert!(parse(b"abc\n").is_ok_and(|secret| secret.expose() == "abc"));
        assert!(parse(b"").is_err());
        assert!(parse(b"a\nb").is_err());
        assert!(parse(b"\xff").is_err());
    }
}
