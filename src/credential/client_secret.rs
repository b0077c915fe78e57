//! A client secret: what a file must hold to be one, and where it stands in a request.

use std::sync::atomic::{AtomicU8, Ordering};

use super::proving::{CredentialError, ProofTarget};
use super::settings::SecretMethod;
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

/// Where an app's secret stands (ASN-8): as is configured, else as the server announces, and there as it has worked.
///
/// A server announces what it takes of any client; one registration may have one method alone.
#[derive(Debug, Default)]
pub(super) struct SecretPlaces {
    configured: Option<SecretPlace>,
    /// Where it was taken after it was refused elsewhere: zero for nowhere.
    worked: AtomicU8,
}

/// What is announced, in the order in which it is preferred.
const ANNOUNCED: [(&str, SecretPlace); 2] =
    [("client_secret_post", SecretPlace::Body), ("client_secret_basic", SecretPlace::Header)];

// === impl SecretPlaces ===

impl SecretPlaces {
    pub(super) fn new(method: Option<SecretMethod>) -> Self {
        let configured = method.map(|method| match method {
            SecretMethod::Basic => SecretPlace::Header,
            SecretMethod::Post => SecretPlace::Body,
        });
        Self { configured, worked: AtomicU8::default() }
    }

    /// The proof, and where else the secret may stand if the client is refused with it.
    pub(super) fn proof(
        &self,
        client_id: &str,
        secret: &Secret,
        target: ProofTarget<'_>,
    ) -> Result<(Proof, Option<SecretPlace>), CredentialError> {
        let (place, other) = self.places(target)?;
        let proof = match place {
            SecretPlace::Body => Proof::secret_in_body(client_id, secret.clone()),
            SecretPlace::Header => Proof::secret_in_header(client_id, secret),
        };
        Ok((proof, other))
    }

    /// The server took it there.
    pub(super) fn works_in(&self, place: SecretPlace) {
        self.worked.store(place as u8 + 1, Ordering::Relaxed);
    }

    fn places(&self, target: ProofTarget<'_>) -> Result<(SecretPlace, Option<SecretPlace>), CredentialError> {
        if let Some(configured) = self.configured {
            return Ok((configured, None));
        }
        let Some(methods) = target.methods else { return Ok((target.secret, None)) };
        let announced = ANNOUNCED.iter().filter(|(name, _)| methods.iter().any(|method| method == name)).map(|(_, place)| *place);
        let worked = self.worked.load(Ordering::Relaxed);
        let mut announced: Vec<SecretPlace> = announced.collect();
        // The first of them is where it stands now.
        announced.sort_by_key(|place| match target.instead {
            Some(instead) => *place != instead,
            None => *place as u8 + 1 != worked,
        });
        let mut announced = announced.into_iter();
        let first = announced.next().ok_or_else(|| {
            CredentialError(Complaint::new(
                "the issuer takes neither client_secret_post nor client_secret_basic",
                "give the app a certificate (private_key_jwt), or allow a secret at the issuer",
            ))
        })?;
        Ok((first, announced.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::{ProofTarget, SecretMethod, SecretPlaces, parse};
    use crate::oauth::{AssertionForm, SecretPlace};
    use crate::secret::Secret;

    /// Where the secret stands, and where else it may.
    fn places(
        places: &SecretPlaces,
        methods: Option<&[&str]>,
        instead: Option<SecretPlace>,
    ) -> Option<(SecretPlace, Option<SecretPlace>)> {
        let methods: Option<Vec<String>> = methods.map(|list| list.iter().map(|text| (*text).to_owned()).collect());
        let (assertion, secret) = (AssertionForm::Announced, SecretPlace::Header);
        let target = ProofTarget { audience: "i", assertion, secret, instead, methods: methods.as_deref(), algorithms: None };
        let (proof, other) = places.proof("a b", &Secret::new("p:w d"), target).ok()?;
        let in_body = proof.members().has("client_secret");
        assert_ne!(in_body, proof.basic().is_some());
        Some((if in_body { SecretPlace::Body } else { SecretPlace::Header }, other))
    }

    const BOTH: &[&str] = &["client_secret_basic", "client_secret_post"];

    #[test]
    fn asn_8_the_announced_method_is_used_and_the_other_one_is_known() {
        let any = SecretPlaces::default();
        let (body, header) = (SecretPlace::Body, SecretPlace::Header);
        assert_eq!(places(&any, Some(BOTH), None), Some((body, Some(header))));
        assert_eq!(places(&any, Some(BOTH), Some(header)), Some((header, Some(body))));
        assert_eq!(places(&any, Some(&["client_secret_basic"]), None), Some((header, None)));
        assert_eq!(places(&any, Some(&["client_secret_post", "none"]), None), Some((body, None)));
        assert_eq!(places(&any, None, None), Some((header, None)));
        assert_eq!(places(&any, Some(&["private_key_jwt"]), None), None);
        any.works_in(header);
        assert_eq!(places(&any, Some(BOTH), None), Some((header, Some(body))));
        // What is announced no more is not tried, whatever worked.
        assert_eq!(places(&any, Some(&["client_secret_post"]), None), Some((body, None)));
        any.works_in(body);
        assert_eq!(places(&any, Some(BOTH), None), Some((body, Some(header))));
    }

    #[test]
    fn asn_8_the_configured_method_goes_before_all() {
        for (method, place) in [(SecretMethod::Basic, SecretPlace::Header), (SecretMethod::Post, SecretPlace::Body)] {
            let configured = SecretPlaces::new(Some(method));
            for methods in [Some(BOTH), Some(&["private_key_jwt"][..]), None] {
                assert_eq!(places(&configured, methods, None), Some((place, None)), "{methods:?}");
            }
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        assert!(parse(b"abc\n").is_ok_and(|secret| secret.expose() == "abc"));
        assert!(parse(b"").is_err());
        assert!(parse(b"a\nb").is_err());
        assert!(parse(b"\xff").is_err());
    }
}
