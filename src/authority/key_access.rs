//! How the keys of an issuer are had that is no app's authority: by its documents, at a URL, or from a file.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::jwks::{FileKeys, SignedToken, Signer};
use super::settings::KeyPlace;
use crate::clock::{Clock, Moment};
use crate::finding::Complaint;
use crate::reload::{Reloading, Reloads, Source};
use crate::secret::Secret;

/// Where the keys are, and what opens the door to them; clones share the files.
#[derive(Clone, Default)]
pub struct KeyAccess {
    place: KeysAt,
    token: Option<Arc<Reloading<Secret>>>,
}

/// A file that is followed, as it is told of: which member names it, why its newest contents were not taken, if they were not, and
/// how often that happened.
pub type FileState = (&'static str, Option<Arc<Complaint>>, u64);

#[derive(Clone, Default)]
enum KeysAt {
    /// Where the metadata document says.
    #[default]
    Discovered,
    /// Here.
    Url(Url),
    /// In this file.
    File(Arc<KeyFile>),
}

struct KeyFile {
    keys: FileKeys,
    /// When it was read because no key of it had signed a token.
    read: Mutex<Option<Moment>>,
}

/// How soon after a look at a file a token of no key in it makes tokend look again.
const AGAIN: Duration = Duration::from_secs(1);

// === impl KeyAccess ===

impl KeyAccess {
    /// Reads the files for the first time. `issuer` is whose keys they are, for the log.
    ///
    /// # Errors
    /// Each source that is not what it should be, and why.
    pub fn load(place: &KeyPlace, token: Option<&Source>, issuer: &str) -> Result<Self, Vec<(Source, Complaint)>> {
        let mut problems = Vec::new();
        let place = match place {
            KeyPlace::Discovered => Some(KeysAt::Discovered),
            KeyPlace::Url(url) => Some(KeysAt::Url(url.clone())),
            KeyPlace::File(source) if source.is_missing() => None,
            KeyPlace::File(source) => {
                let keys = FileKeys::load(source, issuer).map_err(|problem| problems.push((source.clone(), problem))).ok();
                keys.map(|keys| KeysAt::File(Arc::new(KeyFile { keys, read: Mutex::default() })))
            }
        };
        let token = token.map(|source| {
            let token = Reloading::load(source.clone(), bearer_token);
            token.map_err(|problem| problems.push((source.clone(), problem))).ok()
        });
        match (place, token) {
            (Some(place), None) => Ok(Self { place, token: None }),
            (Some(place), Some(Some(token))) => Ok(Self { place, token: Some(token) }),
            _ => Err(problems),
        }
    }

    /// Follows the files.
    pub(super) fn watch(&self, reloads: &Reloads) {
        if let KeysAt::File(file) = &self.place {
            reloads.follow(&file.keys.0);
        }
        if let Some(token) = &self.token {
            reloads.follow(token);
        }
    }

    /// The files that are followed.
    pub(super) fn states(&self) -> impl Iterator<Item = FileState> {
        let keys = match &self.place {
            KeysAt::File(file) => Some(("jwks", file.keys.0.problem(), file.keys.0.failures())),
            KeysAt::Discovered | KeysAt::Url(_) => None,
        };
        let token = self.token.as_ref().map(|token| ("discovery_token", token.problem(), token.failures()));
        keys.into_iter().chain(token)
    }

    /// Where the keys are, if it is said where.
    pub(super) fn url(&self) -> Option<&Url> {
        match &self.place {
            KeysAt::Url(url) => Some(url),
            KeysAt::Discovered | KeysAt::File(_) => None,
        }
    }

    /// Who signed a token, by the keys of the file; `None`: they are in none. A token of no key in it has the file read anew, once
    /// a second at most.
    pub(super) async fn signer(&self, signed: &SignedToken<'_>, clock: &Clock) -> Option<Signer> {
        let KeysAt::File(file) = &self.place else { return None };
        if let Some(signer) = file.keys.look(signed, false) {
            return Some(signer);
        }
        let now = clock.moment();
        let may_read = {
            let mut read = file.read.lock().unwrap_or_else(PoisonError::into_inner);
            let may = read.is_none_or(|read| now.since(read) >= AGAIN);
            if may {
                *read = Some(now);
            }
            may
        };
        if may_read {
            file.keys.0.reread().await;
        } else {
            file.keys.0.settled().await;
        }
        Some(file.keys.look(signed, true).unwrap_or(Signer::Unpublished))
    }

    /// What is shown to whoever has the documents and keys, read now: a platform replaces it.
    pub(super) async fn authorization(&self) -> Option<HeaderValue> {
        let token = self.token.as_ref()?;
        token.reread().await;
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.current().value.expose())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for KeyAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            KeysAt::Discovered => "discovered",
            KeysAt::Url(_) => "url",
            KeysAt::File(_) => "file",
        };
        f.debug_struct("KeyAccess").field("place", &place).field("token", &self.token.is_some()).finish()
    }
}

/// One token (RFC 6750 §2.1), with nothing around it that matters.
fn bearer_token(contents: &[u8]) -> Result<Secret, Complaint> {
    const REMEDY: &str = "mount a token that the issuer takes, such as a projected service-account token for the API server";
    let text = std::str::from_utf8(contents).map(str::trim).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Complaint::new("it is empty, or has characters that a header cannot carry", REMEDY));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::{KeyAccess, KeyPlace};
    use crate::reload::{Place, Source};

    fn load(jwks: &str, token: Option<&str>) -> Result<String, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let source = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            Source { key: name.to_owned(), file: None, place: Place::File(folder.path().join(name)) }
        };
        let token = token.map(|text| source("token", text));
        let access = KeyAccess::load(&KeyPlace::File(source("jwks", jwks)), token.as_ref(), "https://id.example");
        let said = |(source, problem): (Source, crate::finding::Complaint)| format!("{}: {}", source.key, problem.reason);
        access.map(|access| format!("{access:?}")).map_err(|problems| problems.into_iter().map(said).collect())
    }

    #[test]
    fn a_file_that_is_no_key_set_or_no_token_is_named() {
        const GOOD: &str =
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        assert_eq!(load(GOOD, Some(" canary\n")), Ok("KeyAccess { place: \"file\", token: true }".to_owned()));
        for (jwks, word) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("canary", "no JSON object"),
            ("{}", "no list of `keys`"),
            (r#"{"keys":[]}"#, "no key in it"),
            (r#"{"keys":[{"kty":"oct","k":"canary"}]}"#, "no key in it"),
            (
                r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
                "no key in it",
            ),
        ] {
            let problems = load(jwks, None).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{jwks}: {problems:?}") };
            assert!(problem.starts_with("jwks: ") && problem.contains(word) && !problem.contains("canary"), "{jwks}: {problem}");
        }
        for token in ["", " \n", "canary canary", "canaryé"] {
            let problems = load("", Some(token)).unwrap_err();
            assert!(problems.len() == 2 && problems[1].starts_with("token: ") && !problems[1].contains("canary"), "{problems:?}");
        }
    }
}
