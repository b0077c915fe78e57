//! Doors translate: from what a request gives to what is asked of the flows. Nothing is decided in a door.

pub(super) mod accounts;
pub(super) mod rest;

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::fault::Fault;
use super::members::{Members, Text};
use crate::caller::Caller;
use crate::flow::{self, Accounts, Answer, App, AuthCodeUrl, AuthorizationUrl, Call, Common, Listing, Refusal, Service};
use crate::token::SignedInAccount;

/// One door: what a request asks of the flows.
pub(super) type DoorFn = for<'a> fn(&'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault>;

/// What a request gives: each part is as its route says.
pub(super) struct DoorInput<'a> {
    /// The members, of the body or of the query.
    pub(super) members: Members<'a>,
    /// The user's token.
    pub(super) bearer: Option<&'a str>,
    /// The path, not decoded yet.
    pub(super) path: &'a str,
}

/// What is asked of the flows.
pub(super) enum FlowCall<'a> {
    Token(flow::Request<'a>),
    AuthCodeUrl(AuthCodeUrl<'a>),
    ListAccounts(Listing<'a>),
    GetAccount { app: Option<&'a str>, id: Cow<'a, str> },
    SignOut { app: Option<&'a str>, id: Cow<'a, str> },
}

/// What the flows gave.
pub(super) enum FlowReply {
    Token(Answer),
    Url(AuthorizationUrl),
    Accounts(Accounts),
    Account(SignedInAccount),
    /// It is done, and there is nothing to say.
    Done,
}

fn text<'a>(member: &'a Option<Text<'_>>) -> Option<&'a str> {
    member.as_ref().map(Text::as_str)
}

// === impl FlowCall ===

impl FlowCall<'_> {
    /// The app that is meant, for the log.
    pub(super) fn app(&self, service: &Service) -> Option<Arc<App>> {
        let by_name = |app: Option<&str>| service.app_meant(&Common { app, ..Common::default() });
        match self {
            Self::Token(request) => service.app_meant(request.common()),
            Self::AuthCodeUrl(request) => service.app_meant(&request.common),
            Self::ListAccounts(listing) => by_name(listing.app),
            Self::GetAccount { app, .. } | Self::SignOut { app, .. } => by_name(*app),
        }
    }

    /// Asks. What is large and seldom needed is boxed: this future is made for every request, and is as large as its largest part.
    pub(super) async fn ask(&self, service: &Service, caller: Caller, call: Call) -> Result<FlowReply, Arc<Refusal>> {
        match self {
            Self::Token(request) => service.token(caller, call, request).await.map(FlowReply::Token),
            Self::AuthCodeUrl(request) => service.auth_code_url(caller, call, request).boxed().await.map(FlowReply::Url),
            Self::ListAccounts(listing) => service.accounts(caller, listing).boxed().await.map(FlowReply::Accounts),
            Self::GetAccount { app, id } => service.account(caller, *app, id).boxed().await.map(FlowReply::Account),
            Self::SignOut { app, id } => service.sign_out(caller, *app, id).boxed().await.map(|()| FlowReply::Done),
        }
    }
}
