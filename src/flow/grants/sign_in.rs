//! What the grants that sign a user in with what the caller holds have in common: they are sent once, and their answer is kept like
//! that of a code (RFC 6749 §4.3, §6).

use std::sync::Arc;

use super::wanted::{handle_ready, wanted_handle};
use crate::flow::catalogue::Flow;
use crate::flow::members::{self, ClaimsMember};
use crate::flow::plan::{Asker, ExpectedIdToken, OncePlan, Plan, TriedGrant};
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::request::Common;
use crate::oauth::Form;
use crate::source::ClientProof;
use crate::token::{FlightKey, Scopes, Tenant, Turn, Variant};

/// What such a request asks for, its grant aside.
pub(super) struct SignInAsked<'a> {
    pub(super) asker: Asker<'a>,
    common: &'a Common<'a>,
    scopes: &'a Scopes,
    pub(super) tenant: Option<Tenant>,
    claims: Option<String>,
    variant: Variant,
}

/// A grant of this kind, and what names it.
pub(super) struct SignInGrant<'a> {
    pub(super) flow: Flow,
    pub(super) form: Form,
    /// Two of them at a time are one call if these and all that is asked for are equal.
    pub(super) members: &'a [&'a str],
    /// What may be tried a few times only.
    pub(super) tried: Option<TriedGrant>,
}

/// The refusal of a flow that the app does not allow; `switch` allows it.
pub(super) fn not_allowed(switch: &str) -> Refusal {
    let detail = format!("this app does not allow this flow: write `{switch}: true` for it in the configuration");
    Refusal::new(Turn::Rights, RefusalKind::FlowNotAllowed, detail)
}

// === impl SignInAsked ===

impl<'a> SignInAsked<'a> {
    /// Reads the members that all of them take.
    ///
    /// # Errors
    /// One of them is wrong, or the app does not have what it names.
    pub(super) fn read(asker: Asker<'a>, common: &'a Common<'a>) -> Result<Self, Refusal> {
        let app = asker.app;
        let scopes = members::scopes(asker.state, common)?;
        members::user_target(app, common, scopes)?;
        let tenant = app.tenant(common.tenant)?;
        let claims = ClaimsMember::read(common)?;
        let variant = app.usual.variant_of(&claims.variant(app, common, tenant.as_ref()));
        Ok(Self { asker, common, scopes, tenant, claims: claims.merged(app), variant })
    }

    /// The tenant that is asked, where it has a name.
    pub(super) fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref().or(self.asker.app.authority.tenant())
    }

    /// What is sent, but for what is the grant's own (REQ-3).
    pub(super) fn form(&self, grant: &'static str) -> Form {
        let (profile, common) = (self.asker.app.authority.profile(), self.common);
        Form::default()
            .with("grant_type", grant)
            .with_some("scope", self.sent_scope())
            .with_some("client_info", profile.client_info.then_some("1"))
            .with_some("audience", common.audience)
            .with_some("resource", common.resource)
            .with_some("claims", self.claims.clone())
    }

    fn sent_scope(&self) -> Option<String> {
        // An issuer that is asked for nothing grants what is usual there, or what was granted before.
        let says_who = self.asker.app.authority.profile().reserved_scopes;
        (says_who || !self.scopes.is_empty()).then(|| members::sign_in_scopes(self.asker.app, self.scopes).to_string())
    }

    /// What is to be done.
    ///
    /// # Errors
    /// A refresh handle is wanted, and none can be made.
    pub(super) async fn plan(self, grant: SignInGrant<'_>) -> Result<Plan<'a>, Refusal> {
        let SignInGrant { flow, form, members, tried } = grant;
        let flight = self.flight(flow, members);
        let carried = self.carries() + members.iter().map(|member| member.len()).sum::<usize>();
        let Self { asker: Asker { state, app, caller, call }, common, scopes, tenant, variant, .. } = self;
        handle_ready(state, common.wants_handle).await?;
        Ok(Plan::Once(Box::new(OncePlan {
            flow,
            app: Arc::clone(app),
            call,
            owner: caller,
            bound: state.is_bound(caller),
            flight,
            carried,
            sends_scope: form.has("scope"),
            form,
            handle: wanted_handle(state, app, caller, scopes, common),
            tenant,
            scopes: scopes.clone(),
            variant,
            id_token: ExpectedIdToken::Optional,
            client: ClientProof::Usual,
            asks_whose: flow == Flow::RefreshToken,
            tried,
        })))
    }

    fn flight(&self, flow: Flow, members: &[&str]) -> FlightKey {
        let optional = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| format!("+{text}"));
        let Asker { app, caller, .. } = &self.asker;
        let (tenant, claims) = (optional(self.tenant.as_ref().map(Tenant::as_str)), optional(self.claims.as_deref()));
        let scopes = self.scopes.to_string();
        let own: [&[u8]; 7] = [
            flow.as_str().as_bytes(),
            app.name.as_bytes(),
            app.space_of(*caller).id(),
            tenant.as_bytes(),
            claims.as_bytes(),
            &self.variant,
            scopes.as_bytes(),
        ];
        let members = members.iter().map(|member| member.as_bytes());
        FlightKey::of(&own.into_iter().chain(members).collect::<Vec<_>>())
    }

    /// What it keeps of the request, in bytes.
    fn carries(&self) -> usize {
        self.claims.as_ref().map_or(0, String::len) + members::carried(self.common) + self.scopes.weight()
    }
}
