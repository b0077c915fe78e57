//! What a door asks of a flow: the members of a request, parsed but not judged, borrowed from the body.

use std::sync::Arc;

use super::catalogue::Flow;
use super::refusal::Refusal;
use crate::caller::Beyond;
use crate::secret::Secret;
use crate::telemetry::Context;
use crate::token::{AnswerHead, Scopes, SignedInAccount};

/// What travels with a request through every layer.
pub type Call = Context;

/// An answer, or why there is none; shared by all who waited for the same.
pub type Outcome = Result<Answer, Arc<Refusal>>;

/// A request for a token, of the flow whose variant it is.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone)]
pub enum Request<'a> {
    /// `POST /client-credentials` (RFC 6749 §4.4).
    ClientCredentials(Common<'a>),
    /// `POST /obo` (RFC 7523 with Entra's extension, or RFC 8693).
    OnBehalfOf(OnBehalfOf<'a>),
    /// `POST /auth-code` (RFC 6749 §4.1.3).
    AuthCode(AuthCode<'a>),
    /// `POST /silent` (RFC 6749 §6 where the cache has nothing).
    Silent(Silent<'a>),
    /// A token for the account that a refresh handle names (RFC 6749 §6 towards the client).
    Redeem(Redeem<'a>),
    /// `POST /refresh-token` (RFC 6749 §6).
    RefreshToken(ForeignRefreshToken<'a>),
    /// `POST /username-password` (RFC 6749 §4.3).
    UsernamePassword(UsernamePassword<'a>),
}

/// The members that every flow takes.
#[derive(Clone, Debug, Default)]
pub struct Common<'a> {
    /// The app; `None`: the api's, `default`, or the only one.
    pub app: Option<&'a str>,
    /// A named api in place of `scopes`.
    pub api: Option<&'a str>,
    /// The scopes, in the caller's order.
    pub scopes: Option<Scopes>,
    /// Another tenant than the authority's own.
    pub tenant: Option<&'a str>,
    /// A policy at Azure AD B2C, in place of the app's own.
    pub policy: Option<&'a str>,
    /// A claims challenge: JSON text or its base64(url).
    pub claims: Option<&'a str>,
    /// Claims that key the cache.
    pub client_claims: Option<&'a str>,
    /// Do not answer from the cache.
    pub force_refresh: bool,
    /// Do not answer with the token that has this SHA-256.
    pub access_token_sha256: Option<&'a str>,
    /// RFC 8693 §2.1 `audience`; OIDC issuers only.
    pub audience: Option<&'a str>,
    /// RFC 8707 `resource`; OIDC issuers only.
    pub resource: Option<&'a str>,
    /// What the request names that a caller with `callers.*.apis` may not name.
    pub beyond: Beyond,
    /// How a client of another protocol names the app, in place of `app`.
    pub client: Option<NamedApp<'a>>,
    /// Whether the request has no word for an api: of a caller with `callers.*.apis`, what it asks for says which of them it means.
    pub finds_api: bool,
    /// Whether the answer shall have a refresh handle, where it can: sign-ins, and what is asked for with a handle.
    pub wants_handle: bool,
}

impl Common<'_> {
    /// Whether nothing says what the token shall be good for.
    pub(super) fn names_no_target(&self) -> bool {
        self.api.is_none() && self.scopes.is_none() && self.audience.is_none() && self.resource.is_none()
    }
}

/// How a client of another protocol than tokend's own names an app. Only apps that its caller may use are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedApp<'a> {
    /// The only one, or `default`.
    Only,
    /// By its name, else by its client id.
    Named(&'a str),
    /// By its client id.
    ClientId(&'a str),
    /// By one of its `managed_identity_ids`.
    ManagedIdentity(&'a str),
}

/// `POST /obo`.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct OnBehalfOf<'a> {
    /// The common members.
    pub common: Common<'a>,
    /// The user's token, from `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// RFC 8693 §2.1; OIDC issuers only.
    pub subject_token_type: Option<&'a str>,
    /// RFC 8693 §2.1; at Entra-style authorities for SAML assertions only.
    pub requested_token_type: Option<&'a str>,
    /// The long-running session that begins with the user's token, or goes on without one.
    pub session: Option<&'a str>,
    /// A SAML assertion in place of the user's token. On the heap: most requests have none.
    pub saml: Option<Box<SamlMembers<'a>>>,
}

/// A SAML assertion, as a request has it.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone)]
pub struct SamlMembers<'a> {
    /// XML, or its base64(url).
    pub assertion: Option<&'a str>,
    /// What the member is called that it stands in.
    pub member: &'static str,
    /// Its type, where `subject_token_type` does not say that.
    pub assertion_type: Option<&'a str>,
}

/// `POST /auth-code/url`.
#[derive(Clone, Debug, Default)]
pub struct AuthCodeUrl<'a> {
    /// The common members; those that steer the cache are refused.
    pub common: Common<'a>,
    /// Where the authority sends the code.
    pub redirect_uri: Option<&'a str>,
    /// OpenID Connect §3.1.2.1.
    pub prompt: Option<&'a str>,
    /// OpenID Connect §3.1.2.1.
    pub login_hint: Option<&'a str>,
    /// Entra: which home realm.
    pub domain_hint: Option<&'a str>,
    /// Scopes that the user is asked to consent to now and that are not redeemed with the code.
    pub extra_scopes_to_consent: Option<Scopes>,
    /// `code`, or nothing.
    pub response_type: Option<&'a str>,
    /// `query` or `form_post`.
    pub response_mode: Option<&'a str>,
    /// The caller's own state; made here if absent.
    pub state: Option<&'a str>,
    /// The caller's own nonce; made here if absent.
    pub nonce: Option<&'a str>,
}

/// The answer of `POST /auth-code/url`.
#[derive(Clone, serde::Serialize, utoipa::ToSchema)]
pub struct AuthorizationUrl {
    /// Where the browser is sent.
    pub authorization_url: String,
    /// To be compared with what comes back.
    pub state: String,
    /// To be handed to `/auth-code`.
    pub nonce: String,
    /// To be handed to `/auth-code` (RFC 7636).
    pub code_verifier: String,
    /// As given.
    pub redirect_uri: String,
    /// What is asked for, space-separated.
    pub scope: String,
}

/// `POST /auth-code`.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct AuthCode<'a> {
    /// The common members; those that steer the cache are refused.
    pub common: Common<'a>,
    /// The code.
    pub code: Option<&'a str>,
    /// The redirect URI that the code was sent to.
    pub redirect_uri: Option<&'a str>,
    /// RFC 7636.
    pub code_verifier: Option<&'a str>,
    /// What the id token's `nonce` has to be.
    pub nonce: Option<&'a str>,
    /// RFC 9207: the `iss` that came with the code.
    pub iss: Option<&'a str>,
}

/// `POST /silent`.
#[derive(Clone, Debug, Default)]
pub struct Silent<'a> {
    /// The common members.
    pub common: Common<'a>,
    /// Whose token: a home account id.
    pub account: Option<&'a str>,
}

/// A token for the account that a refresh handle names. What its common members do not say is as it was when the handle was first
/// issued.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct Redeem<'a> {
    /// The common members.
    pub common: Common<'a>,
    /// The handle, as the client sent it.
    pub handle: &'a str,
    /// Whether it is known to be a session's.
    pub of_session: bool,
}

/// `DELETE /obo`.
// No `Debug`: it would show the key.
#[derive(Clone, Copy)]
pub struct EndSession<'a> {
    /// The app; `None`: `default`, or the only one.
    pub app: Option<&'a str>,
    /// The session's key.
    pub session: Option<&'a str>,
}

/// `POST /sign-out/url`.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct SignOutUrl<'a> {
    /// The app; `None`: `default`, or the only one.
    pub app: Option<&'a str>,
    /// Where the authority sends the browser when the user is signed out.
    pub post_logout_redirect_uri: Option<&'a str>,
    /// What comes back there.
    pub state: Option<&'a str>,
    /// Who is signed out here as well: a home account id.
    pub account: Option<&'a str>,
    /// Who is likely to sign out.
    pub logout_hint: Option<&'a str>,
    /// An id token of the user, which the caller kept.
    pub id_token_hint: Option<&'a str>,
}

/// The answer of `POST /sign-out/url`.
#[derive(Clone, serde::Serialize, utoipa::ToSchema)]
pub struct EndSessionUrl {
    /// Where the browser is sent.
    pub sign_out_url: String,
}

/// `POST /refresh-token`.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct ForeignRefreshToken<'a> {
    /// The common members; those that steer the cache are refused.
    pub common: Common<'a>,
    /// The refresh token that another library got.
    pub refresh_token: Option<&'a str>,
}

/// `POST /username-password`.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct UsernamePassword<'a> {
    /// The common members; those that steer the cache are refused.
    pub common: Common<'a>,
    /// The user's name.
    pub username: Option<&'a str>,
    /// The user's password.
    pub password: Option<&'a str>,
}

/// `POST /device-code`.
#[derive(Clone, Debug, Default)]
pub struct DeviceStart<'a> {
    /// The common members; those that steer the cache are refused.
    pub common: Common<'a>,
    /// Whether an OAuth client asks for an id token.
    pub has_openid: bool,
}

/// The answer of `POST /device-code` (RFC 8628 §3.2).
#[derive(Clone, serde::Serialize, utoipa::ToSchema)]
pub struct DeviceAuthorization {
    /// What is polled with: a handle of tokend's own.
    pub device_code: String,
    /// What the user enters.
    pub user_code: String,
    /// Where the user enters it.
    pub verification_uri: String,
    /// The page with the code in it, where the authority has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub verification_uri_complete: Option<String>,
    /// In how many seconds both codes end.
    pub expires_in: i64,
    /// How many seconds there have to be between two polls.
    pub interval: u32,
    /// What the user may be told.
    pub message: String,
}

/// `POST /device-code/poll`.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone, Default)]
pub struct DevicePoll<'a> {
    /// The app, where it is named, and whether a refresh handle is wanted. What is asked for is said by the code.
    pub common: Common<'a>,
    /// The `device_code` of the start.
    pub device_code: Option<&'a str>,
}

/// `GET /accounts`.
#[derive(Clone, Debug, Default)]
pub struct Listing<'a> {
    /// The app; `None`: `default`, or the only one.
    pub app: Option<&'a str>,
    /// Where the listing before this one ended.
    pub cursor: Option<&'a str>,
    /// About how many accounts are wanted.
    pub limit: Option<usize>,
}

/// The answer of `GET /accounts`.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Accounts {
    /// The accounts, in no order. One may be listed twice: if it is renewed during the listing, or if it signed in through several
    /// callers.
    pub accounts: Vec<SignedInAccount>,
    /// False where an account that is signed in may be missing on this page: it waits to be listed, or cannot be read here. If it
    /// is true on all pages, none is missing.
    pub complete: bool,
    /// Where the next listing starts; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A token and where it came from.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The written first part of the answer.
    pub head: AnswerHead,
    /// Whether the authority was asked.
    pub source: TokenSource,
    /// Why it was asked, if it was.
    pub reason: RefreshReason,
    /// The refresh handle, where one was wanted ([`Common::wants_handle`]) and what it has to say fits into 2 KiB.
    pub handle: Option<Secret>,
    /// The session that the request named. On the heap: few name one.
    pub session: Option<Box<AnswerSession>>,
}

/// What an answer says of a session: its key, or nothing where there is nothing to continue with.
#[derive(Clone, Debug)]
pub struct AnswerSession(pub Option<Secret>);

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// Memory.
    Memory,
    /// The store that replicas share, or the replica that asked the authority for all of them.
    Redis,
    /// The authority, on this request or one that it shared.
    IdentityProvider,
}

/// Why the authority was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefreshReason {
    /// It was not, or the flow never reads the cache.
    NotApplicable,
    /// The request asked for a new token.
    ForceRefreshOrClaims,
    /// There was none.
    NoCachedAccessToken,
    /// There was one, and it was too old.
    Expired,
    /// There is a usable one, and it is being renewed in the background.
    ProactivelyRefreshed,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// This request with other common members.
    #[must_use]
    pub(super) fn with_common(&self, common: Common<'a>) -> Self {
        let mut request = self.clone();
        match &mut request {
            Self::ClientCredentials(old) => *old = common,
            Self::OnBehalfOf(request) => request.common = common,
            Self::AuthCode(request) => request.common = common,
            Self::Silent(request) => request.common = common,
            Self::Redeem(request) => request.common = common,
            Self::RefreshToken(request) => request.common = common,
            Self::UsernamePassword(request) => request.common = common,
        }
        request
    }

    /// An answer to it, with the session that it continues.
    pub(super) fn named_in(&self, mut answer: Answer) -> Answer {
        if let Self::OnBehalfOf(OnBehalfOf { session: Some(key), .. }) = self
            && answer.session.is_none()
        {
            answer.session = Some(Box::new(AnswerSession(Some(Secret::new(*key)))));
        }
        answer
    }

    /// Its flow.
    pub fn flow(&self) -> Flow {
        match self {
            Self::ClientCredentials(_) => Flow::ClientCredentials,
            Self::OnBehalfOf(_) => Flow::OnBehalfOf,
            Self::AuthCode(_) => Flow::AuthCode,
            Self::Redeem(Redeem { of_session: true, .. }) => Flow::OnBehalfOf,
            Self::Silent(_) | Self::Redeem(_) => Flow::Silent,
            Self::RefreshToken(_) => Flow::RefreshToken,
            Self::UsernamePassword(_) => Flow::UsernamePassword,
        }
    }

    /// The members that every flow takes.
    pub fn common(&self) -> &Common<'a> {
        match self {
            Self::ClientCredentials(common) => common,
            Self::OnBehalfOf(request) => &request.common,
            Self::AuthCode(request) => &request.common,
            Self::Silent(request) => &request.common,
            Self::Redeem(request) => &request.common,
            Self::RefreshToken(request) => &request.common,
            Self::UsernamePassword(request) => &request.common,
        }
    }
}

// === impl Answer ===

impl Answer {
    /// A token from there.
    pub(super) fn of(head: AnswerHead, source: TokenSource, reason: RefreshReason) -> Self {
        Self { head, source, reason, handle: None, session: None }
    }
}

// === impl TokenSource ===

impl TokenSource {
    /// As the answer's `token_source` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory | Self::Redis => "cache",
            Self::IdentityProvider => "identity_provider",
        }
    }

    /// As the answer's `cache_level` says it.
    pub fn level(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("memory"),
            Self::Redis => Some("redis"),
            Self::IdentityProvider => None,
        }
    }
}

// === impl RefreshReason ===

impl RefreshReason {
    /// As the answer's `refresh_reason` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::ForceRefreshOrClaims => "force_refresh_or_claims",
            Self::NoCachedAccessToken => "no_cached_access_token",
            Self::Expired => "expired",
            Self::ProactivelyRefreshed => "proactively_refreshed",
        }
    }
}
