//! The members that several flows take, judged once: what they mean together, before anything is looked up.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Inner;
use super::app::App;
use super::refusal::Refusal;
use super::request::Common;
use crate::cache::{Bypass, Hashed, Variant, challenge_hash};
use crate::oauth::{ClaimsError, challenge, merge};
use crate::token::{Scopes, Tenant};

/// What `claims`, `client_claims`, `force_refresh` and `access_token_sha256` ask for together.
// As texts: read, they weigh many times what counts against `limits.inflight`, for as long as the request waits.
#[derive(Debug, Default)]
pub(super) struct Claims {
    challenge: Option<String>,
    own: Option<String>,
    hash: u64,
    force: bool,
    sha256: Option<[u8; 32]>,
}

// === impl Claims ===

impl Claims {
    /// Reads the members.
    ///
    /// # Errors
    /// One of them is malformed, or two exclude each other.
    pub(super) fn read(request: &Common<'_>) -> Result<Self, Refusal> {
        if request.force_refresh && request.access_token_sha256.is_some() {
            return Err(Refusal::member("`force_refresh` and `access_token_sha256` exclude each other: leave one out"));
        }
        let challenge = request.claims.map(|text| parse(text, "claims")).transpose()?;
        let own = request.client_claims.map(|text| parse(text, "client_claims")).transpose()?;
        Ok(Self {
            hash: challenge.as_ref().map_or(0, |text| challenge_hash(text)),
            challenge,
            own,
            force: request.force_refresh,
            sha256: request.access_token_sha256.map(sha256).transpose()?,
        })
    }

    /// Which cached tokens they rule out. `arrived` is the cache's generation when the request did.
    pub(super) fn bypass(&self, arrived: u64) -> Bypass {
        match self.sha256 {
            Some(sha256) => Bypass::Token { than: arrived, sha256, challenge: self.hash },
            None if self.force || self.hash != 0 => Bypass::Older { than: arrived, challenge: self.hash },
            None => Bypass::None,
        }
    }

    /// The hash of the challenge; zero for none.
    pub(super) fn challenge(&self) -> u64 {
        self.hash
    }

    /// What of it travels with a call to the authority, in bytes.
    pub(super) fn carried(&self) -> usize {
        [&self.challenge, &self.own].into_iter().flatten().map(String::len).sum()
    }

    /// What is sent as `claims`.
    pub(super) fn merged(&self, app: &App) -> Option<String> {
        let read = |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        merge(&app.capabilities, read(&self.challenge).as_ref(), read(&self.own).as_ref())
    }

    /// The hash of the key's members beside the scopes, of a token for the app or the user as such; the usual one is at hand.
    pub(super) fn variant(&self, app: &App, request: &Common<'_>, tenant: Option<&Tenant>) -> [u8; 32] {
        self.unusual(app, request, tenant, [None, None]).map_or(app.usual_variant, |unusual| unusual.plain())
    }

    /// The same of a token that is given for another one, by its SHA-256.
    pub(super) fn variant_of_assertion(
        &self,
        app: &App,
        request: &Common<'_>,
        tenant: Option<&Tenant>,
        exchange: [Option<&str>; 2],
        sha256: &[u8; 32],
    ) -> [u8; 32] {
        match self.unusual(app, request, tenant, exchange) {
            Some(unusual) => unusual.of_assertion(sha256),
            None => app.usual.of_assertion(sha256),
        }
    }

    fn unusual(&self, app: &App, request: &Common<'_>, tenant: Option<&Tenant>, exchange: [Option<&str>; 2]) -> Option<Hashed> {
        let own = self.own.as_deref();
        let usual = own.is_none() && request.audience.is_none() && request.resource.is_none();
        if usual && tenant.is_none() && exchange == [None, None] {
            return None;
        }
        let [subject_token_type, requested_token_type] = exchange;
        let (audience, resource, capabilities) = (request.audience, request.resource, &*app.capabilities);
        let tenant = app.tenant_name(tenant);
        let variant =
            Variant { tenant, capabilities, audience, resource, subject_token_type, requested_token_type, client_claims: own };
        Some(variant.hashed())
    }
}

/// What of the other members travels with a call to the authority, in bytes.
pub(super) fn carried(request: &Common<'_>) -> usize {
    request.audience.map_or(0, str::len) + request.resource.map_or(0, str::len)
}

/// The scopes that a request asks for, by itself or by its api; empty where it names none.
pub(super) fn scopes<'a>(inner: &'a Inner, request: &'a Common<'_>) -> Result<Cow<'a, Scopes>, Refusal> {
    match (&request.scopes, request.api) {
        (Some(_), Some(_)) => Err(Refusal::member("`scopes` and `api` exclude each other: leave one out")),
        (Some(scopes), None) => Ok(Cow::Borrowed(scopes)),
        (None, Some(api)) => Ok(Cow::Borrowed(&inner.api(api).map_err(|refusal| (*refusal).clone())?.scopes)),
        (None, None) => Ok(Cow::Owned(Scopes::default())),
    }
}

/// The rules that tie `audience` and `resource` to the kind of authority.
pub(super) fn audience_and_resource(app: &App, request: &Common<'_>) -> Result<(), Refusal> {
    let profile = app.authority.profile();
    for (member, value) in [("audience", request.audience), ("resource", request.resource)] {
        match value {
            Some(_) if !profile.audience_and_resource => {
                return Err(Refusal::member(format!(
                    "`{member}` has no meaning at {}: name the resource in `scopes`",
                    profile.title
                )));
            }
            Some("") => return Err(Refusal::member(format!("`{member}` is empty: name one, or leave it out"))),
            _ => {}
        }
    }
    Ok(())
}

/// The same, and that there is something to ask for.
pub(super) fn target(app: &App, request: &Common<'_>, scopes: &Scopes) -> Result<(), Refusal> {
    audience_and_resource(app, request)?;
    let named = request.audience.is_some() || request.resource.is_some();
    let suffices = app.authority.profile().audience_and_resource;
    if scopes.is_empty() && !(suffices && named) {
        let otherwise = if suffices { ", or `audience` or `resource`" } else { "" };
        return Err(Refusal::member(format!("`scopes` is missing: give a list of scopes, or a configured `api`{otherwise}")));
    }
    Ok(())
}

/// The claims of a member, written anew: however they came, the same claims are the same text.
fn parse(text: &str, member: &str) -> Result<String, Refusal> {
    let claims = challenge(text).map_err(|error| {
        let what = match error {
            ClaimsError::NotJson => "is neither JSON nor base64 of JSON",
            ClaimsError::NotAnObject => "is no JSON object",
        };
        Refusal::member(format!("`{member}` {what}: pass the challenge on as it came"))
    })?;
    // A map of values always becomes JSON.
    Ok(serde_json::to_string(&claims).unwrap_or_default())
}

fn sha256(text: &str) -> Result<[u8; 32], Refusal> {
    let mut out = [0; 32];
    let decoded = if text.len() == 64 {
        unhex(text, &mut out)
    } else {
        URL_SAFE_NO_PAD.decode_slice(text.trim_end_matches('='), &mut out) == Ok(32)
    };
    decoded.then_some(out).ok_or_else(|| {
        Refusal::member("`access_token_sha256` is no SHA-256: write 64 hexadecimal digits, or 43 characters of base64url")
    })
}

fn unhex(text: &str, out: &mut [u8; 32]) -> bool {
    out.iter_mut().enumerate().all(|(index, byte)| {
        text.get(2 * index..2 * index + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).is_some_and(|value| {
            *byte = value;
            true
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Claims, sha256};
    use crate::cache::Bypass;
    use crate::flow::Common;

    #[test]
    fn a_hash_is_hexadecimal_or_base64url() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let base64 = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
        assert_eq!(sha256(hex).ok(), sha256(base64).ok());
        assert!(sha256(hex).is_ok());
        for bad in ["", "abc", "zz86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "+++="] {
            assert!(sha256(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn members_that_exclude_each_other_are_refused() {
        let hash = "0".repeat(64);
        let both = Common { force_refresh: true, access_token_sha256: Some(&hash), ..Common::default() };
        assert!(Claims::read(&both).is_err());
        let bad = Common { claims: Some("{"), ..Common::default() };
        assert!(Claims::read(&bad).is_err_and(|refusal| refusal.detail.contains("`claims`") && !refusal.detail.contains('{')));
    }

    #[test]
    fn cch_11_a_challenge_and_force_bypass_and_nothing_else_does() {
        let bypass = |common: Common<'_>| {
            let claims = Claims::read(&common).unwrap();
            format!("{:?}", claims.bypass(7))
        };
        assert_eq!(bypass(Common::default()), format!("{:?}", Bypass::None));
        assert_eq!(bypass(Common { client_claims: Some("{}"), ..Common::default() }), format!("{:?}", Bypass::None));
        assert!(bypass(Common { claims: Some(r#"{"a":1}"#), ..Common::default() }).starts_with("Older"));
        assert!(bypass(Common { force_refresh: true, ..Common::default() }).starts_with("Older"));
    }
}
