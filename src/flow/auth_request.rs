//! What a proxy asks that wants to know whether a request may pass, and with which token: a token of a named api for the user whose
//! token the request has, or for the app itself.

use std::sync::Arc;

use ::http::HeaderName;
use serde_json::{Map, Value};

use super::app::Api;
use super::catalogue::Flow;
use super::grants::{no_bearer, user_of};
use super::introspect::claims;
use super::policies;
use super::refusal::{Refusal, RefusalKind};
use super::request::{Answer, Call, Common, OnBehalfOf, Request};
use super::settings::{ApiDoor, ApiIdentity};
use super::state::FlowState;
use crate::caller::{Beyond, Caller};
use crate::token::{TokenDigest, Turn};

/// A request that a proxy asks about.
// No `Debug`: it would show what the caller was trusted with.
#[derive(Clone)]
pub struct AuthRequest<'a> {
    /// The api that it goes to.
    pub api: &'a str,
    /// The user's token, from `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// Why there is none, where something else stands in its place.
    pub unusable: Option<Arc<Refusal>>,
    /// Whether whoever asks shows what no web page can: a proof in the head, a certificate, or our Unix socket.
    pub is_trusted: bool,
}

/// The request may pass.
// No `Debug`: it would show the user's claims.
pub struct Authorized {
    /// The token that it goes on with; `None`: it was only judged.
    pub answer: Option<Answer>,
    /// Headers that it goes on with, each with the claim that it has; `None`: the user's token has no such claim.
    pub identity: Vec<(HeaderName, Option<Value>)>,
}

/// A proxy's request whose api is known: what is asked for it.
// No `Debug`: it would show what the caller was trusted with.
pub struct Passage<'a> {
    api: &'a Api,
    bearer: Option<&'a str>,
    /// The request of tokend's own that asks for the same.
    pub request: Request<'a>,
}

// === impl Passage ===

impl Passage<'_> {
    /// Whether it gets a token; else it is only judged.
    pub fn exchanges(&self) -> bool {
        self.api.exchange
    }

    /// What the proxy is told, once the user's token is known to be good.
    pub fn with(&self, answer: Option<Answer>) -> Authorized {
        Authorized { answer, identity: identity(self.api, self.bearer) }
    }
}

/// What a proxy's request comes to. On the heap: what every request moves would have to have room for it.
///
/// # Errors
/// No such api is served, or it is not for whoever asks.
pub(super) fn passage<'a>(state: &'a FlowState, caller: Caller, asked: &AuthRequest<'a>) -> Result<Box<Passage<'a>>, Arc<Refusal>> {
    let api = state.served_to(caller, ApiDoor::AuthRequest, asked.api)?;
    let common = Common { api: Some(asked.api), beyond: Beyond::Nothing, ..Common::default() };
    let request = match api.identity {
        ApiIdentity::User => match &asked.unusable {
            None => Request::OnBehalfOf(OnBehalfOf { common, bearer: asked.bearer, ..OnBehalfOf::default() }),
            Some(refusal) => {
                // Who may not ask is told that first.
                state.asked_of(caller, Flow::OnBehalfOf, &common)?;
                return Err(Arc::clone(refusal));
            }
        },
        ApiIdentity::App if asked.is_trusted => Request::ClientCredentials(common),
        ApiIdentity::App => return Err(Arc::new(not_trusted())),
    };
    Ok(Box::new(Passage { api, bearer: asked.bearer, request }))
}

/// Judges the user's token of a proxy's request as if it were exchanged.
///
/// # Errors
/// It is not accepted, and why.
pub(super) async fn judge(state: &FlowState, caller: Caller, call: Call, passage: &Passage<'_>) -> Result<(), Arc<Refusal>> {
    let app = state.asked_of(caller, Flow::OnBehalfOf, passage.request.common())?;
    let judged = match passage.bearer {
        Some(token) => user_of(state, policies::of_token(&app, token), (token, &TokenDigest::of(token)), call).await.map(drop),
        None => Err(no_bearer()),
    };
    judged.map_err(|refusal| {
        app.metrics.refused(Flow::OnBehalfOf, &refusal);
        Arc::new(refusal)
    })
}

/// The headers of an api, with what the user's token says: its signature is good by now.
fn identity(api: &Api, bearer: Option<&str>) -> Vec<(HeaderName, Option<Value>)> {
    if api.identity_headers.is_empty() {
        return Vec::new();
    }
    let claims: Map<String, Value> = bearer.and_then(claims).unwrap_or_default();
    let said = |claim: &str| claims.get(claim).filter(|value| !value.is_null()).cloned();
    api.identity_headers.iter().map(|(name, claim)| (name.clone(), said(claim))).collect()
}

fn not_trusted() -> Refusal {
    let detail = "the app's own token is answered only to callers that show a token or a certificate, and over a Unix socket: a web \
                  page can reach an address too";
    Refusal::new(Turn::Rights, RefusalKind::CallerNotAllowed, detail).because("the app's token was asked for without a proof")
}
