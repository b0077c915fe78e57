//! One grant sent to the authority with the app's proof; a refused credential is read anew once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Inner;
use super::app::App;
use super::refusal::{Kind, Refusal};
use crate::authority::{Address, AssertionAudience, Failure, Proved, Repeat, TokenCall};
use crate::cache::{self, Unavailable};
use crate::credential::{Target, Unusable};
use crate::finding::Problem;
use crate::oauth::{Form, TokenResponse};
use crate::telemetry::Context;
use crate::token::{Tenant, Turn};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The authority's doing, before the grant was sent: a document that could not be had.
    Before(Failure),
    /// The authority's doing.
    Authority(Failure),
    /// The credential's.
    Credential(Problem),
    /// It must not be sent: the right to do so was lost, or may have been.
    Turn(Unavailable),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Authority(failure)
    }
}

impl From<Unusable> for Trouble {
    fn from(Unusable(problem): Unusable) -> Self {
        Self::Credential(problem)
    }
}

/// What came of a grant, and which version of the credential it was sent with.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) outcome: Result<TokenResponse, Trouble>,
    pub(super) version: u64,
}

/// Which credential made the last proof.
struct Used {
    version: AtomicU64,
    contents: AtomicU64,
}

// === impl Used ===

impl Used {
    fn of(app: &App) -> Self {
        Self { version: AtomicU64::new(app.credential.version()), contents: AtomicU64::new(app.credential.contents()) }
    }
}

/// Sends a grant.
pub(super) async fn run(inner: &Inner, app: &App, form: &Form, tenant: Option<&Tenant>, repeat: Repeat, context: Context) -> Sent {
    run_in(inner, app, form, tenant, (repeat, None), context).await
}

/// The same of what may be sent in a turn alone: the turn is told which generation is sent when nothing but the sending is left to do.
pub(super) async fn run_in(
    inner: &Inner,
    app: &App,
    form: &Form,
    tenant: Option<&Tenant>,
    (repeat, turn): (Repeat, Option<(&cache::RefreshLease, u64)>),
    context: Context,
) -> Sent {
    let used = Used::of(app);
    let endpoint = match app.authority.token_endpoint(tenant, context.clone()).await {
        Ok(endpoint) => endpoint,
        Err(failure) => return Sent { outcome: Err(Trouble::Before(failure)), version: used.version.into_inner() },
    };
    let call = TokenCall { endpoint: &endpoint, repeat, grant: form.grant() };
    let prove = || async {
        let mut proved = prove(inner, app, endpoint.as_str(), form.clone(), &used, context.clone()).await?;
        if let Some((turn, generation)) = turn {
            proved.until = turn.sends(generation).await.map_err(Trouble::Turn)?;
        }
        Ok(proved)
    };
    let mut outcome = app.authority.token(call, context.clone(), prove).await;
    let refused = used.contents.load(Ordering::Relaxed);
    if is_invalid_client(&outcome) {
        // The file may have been replaced since it was last compared (ASN-6). What is sent once is not sent again all the same.
        app.credential.reread().await;
        if repeat == Repeat::Once && app.credential.contents() != refused {
            outcome = app.authority.token(call, context.clone(), prove).await;
        }
    }
    Sent { outcome, version: used.version.into_inner() }
}

fn is_invalid_client(outcome: &Result<TokenResponse, Trouble>) -> bool {
    let Err(Trouble::Authority(Failure::Refused { status, body, .. })) = outcome else { return false };
    // Keycloak says `unauthorized_client` with 401 of a wrong secret.
    body.error == "invalid_client" || (*status == 401 && body.error == "unauthorized_client")
}

/// Adds the app's proof to a form, and notes in `used` which credential made it.
async fn prove(inner: &Inner, app: &App, endpoint: &str, form: Form, used: &Used, context: Context) -> Result<Proved, Trouble> {
    let metadata;
    let target = match &app.authority.address {
        Address::Entra { .. } => Target::Entra { endpoint },
        Address::Oidc { issuer, .. } => {
            metadata = app.authority.metadata(context).await.map_err(Trouble::Before)?;
            let audience = match app.authority.assertion_audience {
                AssertionAudience::Issuer => issuer,
                AssertionAudience::TokenEndpoint => endpoint,
            };
            Target::Oidc {
                audience,
                methods: metadata.token_endpoint_auth_methods_supported.as_deref(),
                algorithms: metadata.token_endpoint_auth_signing_alg_values_supported.as_deref(),
            }
        }
    };
    let proof = app.credential.prove(&app.client_id, target, form, &inner.clock, &inner.tasks).await?;
    used.version.store(proof.version, Ordering::Relaxed);
    used.contents.store(proof.contents, Ordering::Relaxed);
    Ok(Proved { form: proof.form, basic: proof.basic, until: None })
}

/// The refusal for a credential that cannot be used.
pub(super) fn unusable(problem: &Problem) -> Refusal {
    let detail = format!("the app's credential cannot be used: {}: {}", problem.reason, problem.remedy);
    Refusal::new(Turn::Operator, Kind::CredentialUnusable, detail).local()
}

/// Where the user of a claims challenge is sent.
pub(super) fn authorization_uri(app: &App, tenant: Option<&Tenant>, refusal: &Refusal) -> Option<String> {
    let challenged = refusal.answer.as_ref().is_some_and(|answer| answer.claims.is_some());
    challenged.then(|| app.authority.entra_authorize(tenant).map(String::from)).flatten()
}
