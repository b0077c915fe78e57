//! One grant sent to the app's source, and what is said where no answer comes of it.

use super::evidence::NO_CREDENTIAL;
use crate::authority::AuthorityError;
use crate::cache::{self, Unavailable};
use crate::finding::Complaint;
use crate::flow::app::App;
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::oauth::{Form, TokenResponse};
use crate::source::{self, ClientProof, GrantCall, Repeat, SourceError};
use crate::telemetry::Context;
use crate::token::{Tenant, Turn};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::flow) enum SendError {
    /// The authority's doing, before the grant was sent: a document that could not be had.
    #[error("a document of the authority cannot be had")]
    Before(#[source] AuthorityError),
    /// The authority's doing.
    #[error("the authority gave no token")]
    Authority(#[source] AuthorityError),
    /// The credential's.
    #[error("the credential cannot be used")]
    Credential(#[source] Complaint),
    /// It must not be sent: the right to do so was lost, or may have been.
    #[error("the right to send it is lost, or may be")]
    Turn(Unavailable),
}

impl From<AuthorityError> for SendError {
    fn from(failure: AuthorityError) -> Self {
        Self::Authority(failure)
    }
}

impl From<SourceError> for SendError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Before(failure) => Self::Before(failure),
            SourceError::Authority(failure) => Self::Authority(failure),
            SourceError::Credential(problem) => Self::Credential(problem),
        }
    }
}

/// What came of a grant, and which version of the credential it was sent with.
#[derive(Debug)]
pub(in crate::flow) struct Sent {
    pub(in crate::flow) outcome: Result<TokenResponse, SendError>,
    pub(in crate::flow) version: u64,
}

// === impl Sent ===

impl Sent {
    /// As whom it was sent: what is said of a public client says nothing of the app's credential.
    fn by(self, client: ClientProof) -> Self {
        let version = if client == ClientProof::Public { NO_CREDENTIAL } else { self.version };
        Self { version, ..self }
    }
}

impl From<source::GrantOutcome> for Sent {
    fn from(sent: source::GrantOutcome) -> Self {
        Self { outcome: sent.outcome.map_err(SendError::from), version: sent.version }
    }
}

/// Sends a grant.
pub(in crate::flow) async fn run(app: &App, form: &Form, tenant: Option<&Tenant>, repeat: Repeat, context: Context) -> Sent {
    run_as(app, form, tenant, (repeat, ClientProof::Usual), context).await
}

/// Sends a grant as the client with its credential, or as a public one.
pub(in crate::flow) async fn run_as(
    app: &App,
    form: &Form,
    tenant: Option<&Tenant>,
    (repeat, client): (Repeat, ClientProof),
    context: Context,
) -> Sent {
    let call = GrantCall { form, tenant, repeat, client, context: context.for_app(&app.label) };
    Sent::from(app.source.send(&call).await).by(client)
}

/// Sends once what may be sent only under a refresh lease. The lease is told which generation is sent at the last moment, when only
/// the sending is left to do.
pub(in crate::flow) async fn run_in(
    app: &App,
    form: &Form,
    tenant: Option<&Tenant>,
    client: ClientProof,
    turn: Option<(&cache::RefreshLease, u64)>,
    context: Context,
) -> Sent {
    let call = GrantCall { form, tenant, repeat: Repeat::Never, client, context: context.for_app(&app.label) };
    let Some((turn, generation)) = turn else { return Sent::from(app.source.send(&call).await).by(client) };
    let ready = match app.source.ready(&call).await {
        Ok(ready) => ready,
        Err(sent) => return Sent::from(sent).by(client),
    };
    let sent = match turn.sends(generation).await {
        Ok(until) => ready.send(until).await.into(),
        Err(why) => Sent { outcome: Err(SendError::Turn(why)), version: ready.version() },
    };
    sent.by(client)
}

/// The refusal for a credential that cannot be used.
pub(in crate::flow) fn unusable(problem: &Complaint) -> Refusal {
    let detail = format!("the app's credential cannot be used: {}: {}", problem.reason, problem.remedy);
    Refusal::new(Turn::Operator, RefusalKind::CredentialUnusable, detail).local()
}

/// Where the user of a claims challenge is sent.
pub(in crate::flow) fn authorization_uri(app: &App, tenant: Option<&Tenant>, refusal: &Refusal) -> Option<String> {
    let challenged = refusal.answer.as_ref().is_some_and(|answer| answer.claims.is_some());
    challenged.then(|| app.authority.derived_authorization_endpoint(tenant).map(String::from)).flatten()
}
