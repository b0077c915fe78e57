//! One call that begins something and brings no token: the start of a device flow (RFC 8628 §3.1), an authorization request that is
//! pushed (RFC 9126 §2). Failures hold it back as they
//! hold back what brings tokens. It is no work of its own: what began for a caller
//! that has left is nobody's, and ends by itself.

use std::sync::Arc;

use super::evidence::NO_CREDENTIAL;
use super::holds::{Asked, Keys, keys};
use super::outcome::{MayStop, SentOnce};
use crate::authority::{BegunDevice, PushedRequest};
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::refusal::Refusal;
use crate::flow::request::Call;
use crate::flow::state::FlowState;
use crate::oauth::Form;
use crate::source::{ClientProof, GrantCall, GrantOutcome, Repeat};
use crate::token::{Lane, Scopes, Tenant, Variant};

/// What is to begin.
pub(in crate::flow) struct Beginning<'a> {
    pub(in crate::flow) flow: Flow,
    pub(in crate::flow) app: &'a Arc<App>,
    pub(in crate::flow) call: Call,
    pub(in crate::flow) tenant: Option<&'a Tenant>,
    /// As whom it is sent.
    pub(in crate::flow) client: ClientProof,
    /// What is sent.
    pub(in crate::flow) form: Form,
    pub(in crate::flow) scopes: &'a Scopes,
    pub(in crate::flow) variant: &'a Variant,
    /// A hash over the claims challenge; zero for none.
    pub(in crate::flow) challenge: u64,
}

/// Begins a device flow; `None`: the authority has none.
///
/// # Errors
/// It does not begin, and why: what was said of the same a moment ago is said again.
pub(in crate::flow) async fn device(state: &FlowState, beginning: &Beginning<'_>) -> Result<Option<BegunDevice>, Arc<Refusal>> {
    beginning.may_begin(state).await?;
    let sent = beginning.app.source.begin_device(&beginning.as_call()).await;
    beginning.ended(state, sent).await
}

/// Pushes an authorization request; `None`: the authority takes none.
///
/// # Errors
/// As [`device`].
pub(in crate::flow) async fn pushed(state: &FlowState, beginning: &Beginning<'_>) -> Result<Option<PushedRequest>, Arc<Refusal>> {
    beginning.may_begin(state).await?;
    let sent = beginning.app.source.push_request(&beginning.as_call()).await;
    beginning.ended(state, sent).await
}

// === impl Beginning ===

impl Beginning<'_> {
    /// Refused where what was said of the same a moment ago still holds.
    async fn may_begin(&self, state: &FlowState) -> Result<(), Arc<Refusal>> {
        let keys = self.keys_by(self.app.credential.version());
        let standing = match state.standing(&keys) {
            None => state.held_elsewhere(self.app, &keys, &keys.all()).await,
            standing => standing,
        };
        standing.map_or(Ok(()), |refusal| {
            self.app.metrics.held(self.flow);
            Err(refusal)
        })
    }

    fn as_call(&self) -> GrantCall<'_> {
        let context = self.call.clone().for_app(&self.app.label);
        GrantCall { form: &self.form, tenant: self.tenant, repeat: Repeat::Once, client: self.client, context }
    }

    fn keys_by(&self, version: u64) -> Keys {
        let Self { flow, app, tenant, client, .. } = *self;
        let (scopes, tenant_name) = (self.scopes.folded(app.authority.matching()), app.tenant_name(tenant));
        let begins = self.form.grant().as_bytes();
        let lane = Lane::of(&[b"begin", flow.as_str().as_bytes(), begins, &app.app_partition, tenant_name.as_bytes()]);
        let (variant, challenge) = (self.variant, self.challenge);
        let asked = Asked { lane: &lane, variant, scopes: &scopes, challenge, refresh_token: 0, is_asserted: false };
        let version = if client == ClientProof::Public { NO_CREDENTIAL } else { version };
        keys(app, (flow, tenant), version, asked)
    }

    async fn ended<T>(&self, state: &FlowState, sent: GrantOutcome<Option<T>>) -> Result<Option<T>, Arc<Refusal>> {
        let Self { flow, app, tenant, .. } = *self;
        let keys = self.keys_by(sent.version);
        match sent.outcome {
            Ok(begun) => {
                if begun.is_some() {
                    state.succeeded(app, &keys).await;
                }
                Ok(begun)
            }
            Err(trouble) => {
                let begun = SentOnce { flow, app, tenant, keys, lost: None, may_stop: MayStop::All };
                Err(begun.failed(state, trouble.into()).await)
            }
        }
    }
}
