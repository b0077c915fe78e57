//! One call that begins something and brings no token: the start of a device flow (RFC 8628 §3.1). Failures hold it back as they
//! hold back what brings tokens. It is no work of its own: a code whose caller has left is nobody's, and ends by itself.

use std::sync::Arc;

use super::evidence::NO_CREDENTIAL;
use super::holds::{Asked, keys};
use super::outcome::{MayStop, SentOnce};
use crate::authority::BegunDevice;
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::refusal::Refusal;
use crate::flow::request::Call;
use crate::flow::state::FlowState;
use crate::oauth::Form;
use crate::source::{ClientProof, GrantCall, Repeat};
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
    let Beginning { flow, app, tenant, client, .. } = *beginning;
    let matching = app.authority.matching();
    let (scopes, tenant_name) = (beginning.scopes.folded(matching), app.tenant_name(tenant));
    let lane = Lane::of(&[b"begin", flow.as_str().as_bytes(), &app.app_partition, tenant_name.as_bytes()]);
    let asked = Asked {
        lane: &lane,
        variant: beginning.variant,
        scopes: &scopes,
        challenge: beginning.challenge,
        refresh_token: 0,
        is_asserted: false,
    };
    let keys_by = |version: u64| {
        let version = if client == ClientProof::Public { NO_CREDENTIAL } else { version };
        keys(app, (flow, tenant), version, asked)
    };
    let keys = keys_by(app.credential.version());
    let standing = match state.standing(&keys) {
        None => state.held_elsewhere(app, &keys, &keys.all()).await,
        standing => standing,
    };
    if let Some(refusal) = standing {
        app.metrics.held(flow);
        return Err(refusal);
    }
    let context = beginning.call.clone().for_app(&app.label);
    let call = GrantCall { form: &beginning.form, tenant, repeat: Repeat::Once, client, context };
    let sent = app.source.begin_device(&call).await;
    let keys = keys_by(sent.version);
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
