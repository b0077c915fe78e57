//! Doors translate: from what a request gives to what is asked of the flows. Nothing is decided in a door.

pub(super) mod accounts;
pub(super) mod auth_request;
pub(super) mod ms_sidecar;
pub(super) mod msi;
pub(super) mod oauth2;
pub(super) mod rest;

use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::fault::Fault;
use super::members::overrides::SidecarQuery;
use super::members::{Members, Text};
use super::server_metadata::ServerMetadata;
use crate::caller::Caller;
use crate::flow::{
    self, Accounts, Answer, App, AuthCodeUrl, AuthRequest, AuthorizationUrl, Authorized, Call, Common, DeviceAuthorization,
    DevicePoll, DeviceStart, EndSession, EndSessionUrl, Introspection, Listing, NamedApp, Refusal, Service, SidecarRequest,
    SignOutUrl, Validated,
};
use crate::http::settings::DoorSettings;
use crate::token::SignedInAccount;

/// One door: what a request asks of the flows.
pub(super) type DoorFn = for<'a> fn(&'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault>;

/// What a request gives: each part is as its route says.
pub(super) struct DoorInput<'a> {
    /// The members, of the body or of the query.
    pub(super) members: Members<'a>,
    /// The user's token.
    pub(super) bearer: Option<&'a str>,
    /// What few requests have beside that. On the heap: all move what has a place for it.
    pub(super) rare: Option<Box<Rare<'a>>>,
    /// The path, not decoded yet.
    pub(super) path: &'a str,
    /// The app that a form's request names.
    pub(super) client: Option<&'a str>,
    /// What else its head says.
    pub(super) head: HeadFacts,
    /// What the configuration adds.
    pub(super) settings: &'a DoorSettings,
}

/// What few requests give.
pub(super) enum Rare<'a> {
    /// What Microsoft's sidecar takes.
    Sidecar(SidecarQuery<'a>),
    /// Why there is no user's token, where something else stands in its place and not every request needs one.
    Unusable(Arc<Refusal>),
}

/// What a head says to doors that ask for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadFacts {
    /// A proof for a token that is bound to a key (RFC 9449) is there.
    pub(super) is_dpop: bool,
    /// `Metadata: true`.
    pub(super) has_metadata: bool,
    /// It came through a proxy, by its own word.
    pub(super) is_forwarded: bool,
    /// It is known who sent it: a caller, or a process that may use our Unix socket.
    pub(super) is_trusted: bool,
}

/// What the token endpoint's answer has beside what every answer has.
#[derive(Clone, Copy, Debug)]
pub(super) struct OAuthShape {
    /// It is a token exchange (RFC 8693 §2.2.1).
    pub(super) is_exchange: bool,
    /// An id token is asked for (OpenID Connect Core §3.1.2.1).
    pub(super) has_openid: bool,
}

/// What a managed identity's token was asked for.
#[derive(Clone, Debug)]
pub(super) struct ManagedIdentity<'a> {
    pub(super) resource: Cow<'a, str>,
}

/// A request for a managed identity's token; `among`: the app is one of these.
pub(super) struct IdentityRequest<'a> {
    pub(super) request: flow::Request<'a>,
    pub(super) asked: ManagedIdentity<'a>,
    pub(super) among: Option<&'a [String]>,
}

/// A token whose claims are asked for.
#[derive(Clone, Copy)]
pub(super) struct Validation<'a> {
    pub(super) app: Option<&'a str>,
    pub(super) token: Option<&'a str>,
}

/// What is asked of the flows. What hits do not ask is on the heap where it is larger than that.
pub(super) enum FlowCall<'a> {
    Token(flow::Request<'a>),
    AuthCodeUrl(Box<AuthCodeUrl<'a>>),
    SignOutUrl(Box<SignOutUrl<'a>>),
    ListAccounts(Listing<'a>),
    GetAccount { app: Option<&'a str>, id: Cow<'a, str> },
    SignOut { app: Option<&'a str>, id: Cow<'a, str> },
    EndSession(EndSession<'a>),
    OAuthToken(flow::Request<'a>, OAuthShape),
    ManagedIdentity(Box<IdentityRequest<'a>>),
    DeviceStart(DeviceStart<'a>),
    DevicePoll(DevicePoll<'a>),
    OAuthDevicePoll(DevicePoll<'a>),
    Revoke(&'a str),
    Introspect { client: NamedApp<'a>, token: &'a str },
    Metadata { app: Cow<'a, str>, public_url: &'a str },
    AuthRequest(AuthRequest<'a>),
    AuthorizationHeader(Box<SidecarRequest<'a>>),
    Validate(Validation<'a>),
    Health,
}

/// What the flows gave.
pub(super) enum FlowReply {
    Token(Answer),
    Url(AuthorizationUrl),
    SignOutUrl(EndSessionUrl),
    Accounts(Accounts),
    Account(SignedInAccount),
    OAuthToken(Answer, OAuthShape),
    /// The token, the app whose it is, and what it was asked for.
    ManagedIdentity(Box<(Answer, Arc<App>, ManagedIdentity<'static>)>),
    Device(Box<DeviceAuthorization>),
    Introspection(Introspection),
    Metadata(Box<ServerMetadata>),
    Authorized(Authorized),
    /// The token of a header.
    AuthorizationHeader(Answer),
    /// What a token says, and the token.
    Validated(Validated, String),
    Health,
    /// It is done, and there is nothing to say.
    Done,
}

fn text<'a, 'b: 'a, T: Borrow<Text<'b>>>(member: &'a Option<T>) -> Option<&'a str> {
    member.as_ref().map(|text| text.borrow().as_str())
}

// === impl FlowCall ===

impl FlowCall<'_> {
    /// The app that is meant, for the log.
    pub(super) fn app(&self, service: &Service, caller: Caller) -> Option<Arc<App>> {
        let by_name = |app: Option<&str>| service.app_meant(caller, &Common { app, ..Common::default() });
        match self {
            Self::Token(request) | Self::OAuthToken(request, _) => service.app_meant(caller, request.common()),
            Self::ManagedIdentity(identity) => service.app_meant(caller, identity.request.common()),
            Self::Introspect { client, .. } => service.app_meant(caller, &Common { client: Some(*client), ..Common::default() }),
            Self::Metadata { app, .. } => by_name(Some(app)),
            Self::Revoke(_) | Self::Health => None,
            Self::AuthRequest(asked) => service.app_meant(caller, &Common { api: Some(asked.api), ..Common::default() }),
            Self::AuthorizationHeader(asked) => service.app_of_header(caller, asked),
            Self::Validate(asked) => by_name(asked.app),
            Self::AuthCodeUrl(request) => service.app_meant(caller, &request.common),
            Self::EndSession(ending) => by_name(ending.app),
            Self::SignOutUrl(request) => by_name(request.app),
            Self::DeviceStart(request) => service.app_meant(caller, &request.common),
            Self::DevicePoll(request) | Self::OAuthDevicePoll(request) => service.app_meant(caller, &request.common),
            Self::ListAccounts(listing) => by_name(listing.app),
            Self::GetAccount { app, .. } | Self::SignOut { app, .. } => by_name(*app),
        }
    }

    /// Asks. What is large and seldom needed is boxed: this future is made for every request, and is as large as its largest part.
    pub(super) async fn ask(&self, service: &Service, caller: Caller, call: Call) -> Result<FlowReply, Arc<Refusal>> {
        match self {
            Self::Token(request) => service.token(caller, call, request).await.map(FlowReply::Token),
            Self::AuthCodeUrl(request) => service.auth_code_url(caller, call, request).boxed().await.map(FlowReply::Url),
            Self::SignOutUrl(request) => service.sign_out_url(caller, call, request).boxed().await.map(FlowReply::SignOutUrl),
            Self::ListAccounts(listing) => service.accounts(caller, listing).boxed().await.map(FlowReply::Accounts),
            Self::GetAccount { app, id } => service.account(caller, *app, id).boxed().await.map(FlowReply::Account),
            Self::SignOut { app, id } => service.sign_out(caller, *app, id).boxed().await.map(|()| FlowReply::Done),
            Self::EndSession(ending) => service.end_session(caller, *ending).boxed().await.map(|()| FlowReply::Done),
            Self::OAuthToken(request, shape) => {
                service.token(caller, call, request).boxed().await.map(|answer| FlowReply::OAuthToken(answer, *shape))
            }
            Self::ManagedIdentity(identity) => {
                let IdentityRequest { request, asked, among } = &**identity;
                let (answer, app) = service.managed_identity(caller, call, request, *among).boxed().await?;
                let asked = ManagedIdentity { resource: Cow::Owned(asked.resource.clone().into_owned()) };
                Ok(FlowReply::ManagedIdentity(Box::new((answer, app, asked))))
            }
            Self::DeviceStart(request) => {
                let begun = service.device_authorization(caller, call, request).boxed().await?;
                Ok(FlowReply::Device(Box::new(begun)))
            }
            Self::DevicePoll(request) => {
                service.device_token(caller, call, request).boxed().await.map(|(answer, _)| FlowReply::Token(answer))
            }
            Self::OAuthDevicePoll(request) => {
                let (answer, has_openid) = service.device_token(caller, call, request).boxed().await?;
                Ok(FlowReply::OAuthToken(answer, OAuthShape { is_exchange: false, has_openid }))
            }
            Self::Revoke(token) => service.revoke(caller, call, token).boxed().await.map(|()| FlowReply::Done),
            Self::Introspect { client, token } => {
                service.introspect(caller, call, *client, token).boxed().await.map(FlowReply::Introspection)
            }
            Self::AuthRequest(asked) => {
                let passage = service.passage(caller, asked)?;
                if !passage.exchanges() {
                    service.judge(caller, call, &passage).boxed().await?;
                    return Ok(FlowReply::Authorized(passage.with(None)));
                }
                let answer = service.token(caller, call, &passage.request).await?;
                Ok(FlowReply::Authorized(passage.with(Some(answer))))
            }
            Self::AuthorizationHeader(asked) => {
                service.authorization_header(caller, call, asked).boxed().await.map(FlowReply::AuthorizationHeader)
            }
            Self::Validate(asked) => {
                let validated = service.validate(caller, call, asked.app, asked.token).boxed().await?;
                Ok(FlowReply::Validated(validated, asked.token.unwrap_or_default().to_owned()))
            }
            Self::Health => Ok(FlowReply::Health),
            Self::Metadata { app, public_url } => {
                let app = service.app_named(app)?;
                Ok(FlowReply::Metadata(Box::new(ServerMetadata::of(public_url, &app.name))))
            }
        }
    }
}
