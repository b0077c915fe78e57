//! The members that several flows take, judged once: what they mean together, before anything is looked up.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use url::Url;

use super::app::App;
use super::refusal::{Refusal, RefusalKind};
use super::request::Common;
use super::state::FlowState;
use crate::authority::TargetRule;
use crate::cache::Bypass;
use crate::oauth::{ClaimsError, challenge, merge};
use crate::token::{Scopes, Tenant, TokenDigest, Turn, VariantMembers, challenge_hash};

/// What `claims`, `client_claims`, `force_refresh` and `access_token_sha256` ask for together.
// As texts: read, they weigh many times what counts against `limits.inflight`, for as long as the request waits.
#[derive(Debug, Default)]
pub(super) struct ClaimsMember {
    challenge: Option<String>,
    own: Option<String>,
    hash: u64,
    force: bool,
    sha256: Option<TokenDigest>,
}

/// More than any `oid.tid`, and any `sub` (OpenID Connect §2: at most 255 characters).
const LONGEST_ACCOUNT: usize = 512;

static NO_SCOPES: Scopes = Scopes::NONE;

// === impl ClaimsMember ===

impl ClaimsMember {
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

    /// The members of the key beside partition and scopes, of a token for the app or the user as such.
    pub(super) fn variant<'a>(&'a self, app: &'a App, request: &Common<'a>, tenant: Option<&'a Tenant>) -> VariantMembers<'a> {
        VariantMembers {
            tenant: app.tenant_name(tenant),
            audience: request.audience,
            resource: request.resource,
            client_claims: self.own.as_deref(),
            ..app.usual.members()
        }
    }
}

/// What of the other members travels with a call to the authority, in bytes.
pub(super) fn carried(request: &Common<'_>) -> usize {
    request.audience.map_or(0, str::len) + request.resource.map_or(0, str::len)
}

/// The scopes that a request asks for, by itself or by its api; empty where it names none.
pub(super) fn scopes<'a>(state: &'a FlowState, request: &'a Common<'_>) -> Result<&'a Scopes, Refusal> {
    match (&request.scopes, request.api) {
        (Some(_), Some(_)) => Err(Refusal::member("`scopes` and `api` exclude each other: leave one out")),
        (Some(scopes), None) => Ok(scopes),
        (None, Some(api)) => Ok(&state.api(api).map_err(|refusal| (*refusal).clone())?.scopes),
        (None, None) => Ok(&NO_SCOPES),
    }
}

/// The rules that tie `audience` and `resource` to the kind of authority.
fn audience_and_resource(app: &App, request: &Common<'_>) -> Result<(), Refusal> {
    let profile = app.authority.profile();
    let target = profile.target;
    let instead = if target.has_resource() { "`resource`" } else { "`scopes`" };
    let named = [("audience", request.audience, target.has_audience()), ("resource", request.resource, target.has_resource())];
    for (member, value, means) in named {
        match value {
            Some(_) if !means => {
                return Err(Refusal::member(format!(
                    "`{member}` has no meaning at {}: name the resource in {instead}",
                    profile.title
                )));
            }
            Some("") => return Err(Refusal::member(format!("`{member}` is empty: name one, or leave it out"))),
            _ => {}
        }
    }
    Ok(())
}

/// The rules of [`audience_and_resource`], and that there is something to ask for.
pub(super) fn target(app: &App, request: &Common<'_>, scopes: &Scopes) -> Result<(), Refusal> {
    audience_and_resource(app, request)?;
    let named = request.audience.is_some() || request.resource.is_some();
    let profile = app.authority.profile();
    if let TargetRule::Resource(_) = profile.target {
        // REQ-16: one of the two goes, and it is the resource.
        return if !scopes.of_apis().is_empty() {
            let detail = format!(
                "`scopes` have no meaning at {} where no user signs in: name what the token is for by `resource` alone",
                profile.title
            );
            Err(Refusal::member(detail))
        } else if named {
            Ok(())
        } else {
            Err(Refusal::member(format!("`resource` is missing: name what the token is for, which {} asks for", profile.title)))
        };
    }
    let suffices = profile.target.has_resource();
    if scopes.is_empty() && !(suffices && named) {
        let otherwise = if suffices { ", or `audience` or `resource`" } else { "" };
        return Err(Refusal::member(format!("`scopes` is missing: give a list of scopes, or a configured `api`{otherwise}")));
    }
    Ok(())
}

/// As [`target`], for flows that do without any of it at an issuer: there the user's sign-in says what is granted.
pub(super) fn user_target(app: &App, request: &Common<'_>, scopes: &Scopes) -> Result<(), Refusal> {
    if scopes.is_empty() && !app.authority.profile().target.has_resource() {
        return Err(Refusal::member("`scopes` is missing: give a list of scopes, or a configured `api`"));
    }
    audience_and_resource(app, request)
}

/// What an app that asks for itself sends as `scope`: exactly the caller's (REQ-1), or what goes beside a resource.
pub(super) fn app_scope(app: &App, scopes: &Scopes) -> Option<String> {
    match app.authority.profile().target {
        TargetRule::Resource(beside) => Some(beside.to_owned()),
        TargetRule::Scopes | TargetRule::AudienceAndResource => (!scopes.is_empty()).then(|| scopes.to_string()),
    }
}

/// What a user who signs in for these scopes is asked for: the union with the reserved scopes; elsewhere `openid`, and
/// `offline_access` only if the app says so.
pub(super) fn sign_in_scopes(app: &App, scopes: &Scopes) -> Scopes {
    if app.authority.profile().reserved_scopes {
        return scopes.with_reserved();
    }
    let sent = scopes.with(&["openid"]);
    if app.offline_access { sent.with(&["offline_access"]) } else { sent }
}

/// The redirect URI that is registered for the app.
pub(super) fn redirect_uri(given: Option<&str>) -> Result<&str, Refusal> {
    let given = given.ok_or_else(|| Refusal::member("`redirect_uri` is missing: give the one that is registered for the app"))?;
    match Url::parse(given) {
        Ok(url) if url.fragment().is_none() => Ok(given),
        _ => Err(Refusal::member("`redirect_uri` is no absolute URL without a fragment (RFC 6749 §3.1.2)")),
    }
}

/// Whether it can be a code verifier (RFC 7636 §4.1).
pub(super) fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// 256 bits, base64url: 43 characters, which is also a code verifier.
pub(super) fn random() -> Result<String, Refusal> {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Refusal::new(Turn::Unavailable, RefusalKind::InternalError, "the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A home account id, as an answer's `account` has it.
pub(super) fn account<'a>(app: &App, given: Option<&'a str>, member: &str) -> Result<&'a str, Refusal> {
    let wanted = "give the `home_account_id` of the answer to the sign-in";
    let given = given.ok_or_else(|| Refusal::member(format!("`{member}` is missing: {wanted}")))?;
    if given.is_empty() || given.len() > LONGEST_ACCOUNT {
        return Err(Refusal::member(format!("`{member}` is empty or too long: {wanted}")));
    }
    if app.authority.profile().user_ids.are_no_names() && given.contains('@') {
        return Err(Refusal::member(format!("`{member}` is a username, which can be given to somebody else: {wanted}")));
    }
    Ok(given)
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

fn sha256(text: &str) -> Result<TokenDigest, Refusal> {
    let mut out = [0; 32];
    let decoded = if text.len() == 64 {
        unhex(text, &mut out)
    } else {
        URL_SAFE_NO_PAD.decode_slice(text.trim_end_matches('='), &mut out) == Ok(32)
    };
    decoded.then(|| TokenDigest::new(out)).ok_or_else(|| {
        Refusal::member("`access_token_sha256` is no SHA-256: write 64 hexadecimal digits, or 43 characters of base64url")
    })
}

fn unhex(text: &str, out: &mut [u8; 32]) -> bool {
    // Digit by digit: `from_str_radix` takes a sign for one.
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    rest.is_empty()
        && pairs.len() == out.len()
        && out.iter_mut().zip(pairs).all(|(byte, [high, low])| {
            let value = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low);
            *byte = value.unwrap_or_default();
            value.is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::{ClaimsMember, redirect_uri, sha256};
    use crate::cache::Bypass;
    use crate::flow::Common;

    #[test]
    fn a_hash_is_hexadecimal_or_base64url() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let base64 = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
        assert_eq!(sha256(hex).ok(), sha256(base64).ok());
        assert!(sha256(hex).is_ok());
        let signed = |sign: &str| format!("{}{sign}{}", &hex[..62], &hex[63..]);
        for bad in [signed("+"), signed("-"), signed(" "), format!("+{}", &hex[1..]), "é".repeat(32)] {
            assert!(sha256(&bad).is_err(), "{bad}");
        }
        assert_eq!(sha256(&hex.to_uppercase()).ok(), sha256(hex).ok());
        for bad in ["", "abc", "zz86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "+++="] {
            assert!(sha256(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_uri_is_absolute_and_has_no_fragment() {
        assert!(redirect_uri(Some("/callback")).is_err());
        assert!(redirect_uri(Some("https://a/b#c")).is_err());
        assert!(redirect_uri(Some("https://a/b?c=d")).is_ok());
    }

    #[test]
    fn members_that_exclude_each_other_are_refused() {
        let hash = "0".repeat(64);
        let both = Common { force_refresh: true, access_token_sha256: Some(&hash), ..Common::default() };
        assert!(ClaimsMember::read(&both).is_err());
        let bad = Common { claims: Some("{"), ..Common::default() };
        assert!(
            ClaimsMember::read(&bad).is_err_and(|refusal| refusal.detail.contains("`claims`") && !refusal.detail.contains('{'))
        );
    }

    #[test]
    fn cch_11_a_challenge_and_force_bypass_and_nothing_else_does() {
        let bypass = |common: Common<'_>| {
            let claims = ClaimsMember::read(&common).unwrap();
            format!("{:?}", claims.bypass(7))
        };
        assert_eq!(bypass(Common::default()), format!("{:?}", Bypass::None));
        assert_eq!(bypass(Common { client_claims: Some("{}"), ..Common::default() }), format!("{:?}", Bypass::None));
        assert!(bypass(Common { claims: Some(r#"{"a":1}"#), ..Common::default() }).starts_with("Older"));
        assert!(bypass(Common { force_refresh: true, ..Common::default() }).starts_with("Older"));
    }
}
