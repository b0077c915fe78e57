//! Authorization codes (RFC 6749 §4.1.3) with PKCE (RFC 7636): the redemption. It is sent once; `sign_in_url` began it.

use std::sync::Arc;

use super::wanted::{handle_ready, wanted_handle};
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::id_token::check_answers_issuer;
use crate::flow::members::{self, ClaimsMember};
use crate::flow::plan::{Asker, ExpectedIdToken, OncePlan, Plan};
use crate::flow::refusal::Refusal;
use crate::flow::request::AuthCode;
use crate::oauth::Form;
use crate::secret::Secret;
use crate::source::ClientProof;
use crate::token::{FlightKey, Scopes, SpaceId, Tenant, Variant};

/// A code, and what its redemption says beside it.
struct Code<'a> {
    request: &'a AuthCode<'a>,
    code: &'a str,
    redirect_uri: &'a str,
    scopes: &'a Scopes,
    claims: Option<String>,
}

/// What is to be done.
pub(super) async fn plan<'a>(asker: Asker<'a>, request: &'a AuthCode<'a>) -> Result<Plan<'a>, Refusal> {
    let Asker { state, app, caller, call } = asker;
    let common = &request.common;
    let scopes = members::scopes(state, common)?;
    members::user_target(app, common, scopes)?;
    let code = request.code.filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| Refusal::member("`code` is missing: pass on the code that came to the redirect URI"))?;
    let redirect_uri = members::redirect_uri(request.redirect_uri)?;
    if request.code_verifier.is_some_and(|verifier| !members::is_verifier(verifier)) {
        let detail = "`code_verifier` is none: it has 43 to 128 characters of [A-Za-z0-9-._~] (RFC 7636 §4.1)";
        return Err(Refusal::member(detail));
    }
    let tenant = app.tenant(common.tenant)?;
    handle_ready(state, common.wants_handle).await?;
    check_answers_issuer(app, request.iss, tenant.as_ref(), call.clone()).await?;
    let claims = ClaimsMember::read(common)?;
    let variant = app.usual.variant_of(&claims.variant(app, common, tenant.as_ref()));
    let code = Code { request, code, redirect_uri, scopes, claims: claims.merged(app) };
    Ok(Plan::Once(Box::new(OncePlan {
        flow: Flow::AuthCode,
        app: Arc::clone(app),
        call,
        owner: caller,
        bound: state.is_bound(caller),
        flight: code.flight(app, app.space_of(caller).id(), (tenant.as_ref(), &variant)),
        form: code.form(app),
        carried: code.carries(),
        handle: wanted_handle(state, app, caller, scopes, common),
        tenant,
        scopes: scopes.clone(),
        variant,
        id_token: ExpectedIdToken::Needed { nonce: request.nonce.map(str::to_owned) },
        sends_scope: app.authority.profile().scope_with_code,
        client: ClientProof::Usual,
        asks_whose: false,
        tried: None,
    })))
}

// === impl Code ===

impl Code<'_> {
    /// What names its flight: two redemptions of one code are one call, if one caller asks for the same in every respect.
    fn flight(&self, app: &App, space: &SpaceId, (tenant, variant): (Option<&Tenant>, &Variant)) -> FlightKey {
        let optional = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| format!("+{text}"));
        FlightKey::of(&[
            b"code",
            app.name.as_bytes(),
            space,
            self.code.as_bytes(),
            self.redirect_uri.as_bytes(),
            optional(self.request.code_verifier).as_bytes(),
            optional(self.request.nonce).as_bytes(),
            optional(tenant.map(Tenant::as_str)).as_bytes(),
            optional(self.claims.as_deref()).as_bytes(),
            variant,
            self.scopes.to_string().as_bytes(),
        ])
    }

    /// What its redemption keeps of the request, in bytes.
    fn carries(&self) -> usize {
        let AuthCode { common, code_verifier, nonce, .. } = self.request;
        let texts = [*code_verifier, *nonce, self.claims.as_deref(), common.audience, common.resource];
        let texts: usize = texts.iter().flatten().map(|text| text.len()).sum();
        self.code.len() + self.redirect_uri.len() + texts + self.scopes.weight()
    }

    fn form(&self, app: &App) -> Form {
        let (profile, common) = (app.authority.profile(), &self.request.common);
        let form = Form::default()
            .with("grant_type", "authorization_code")
            .with("redirect_uri", self.redirect_uri)
            .with_some("scope", profile.scope_with_code.then(|| self.scopes.with_reserved().to_string()))
            .with_some("client_info", profile.client_info.then_some("1"))
            .with_some("audience", common.audience)
            .with_some("resource", common.resource)
            .with_some("claims", self.claims.clone())
            .with_secret("code", Secret::new(self.code));
        match self.request.code_verifier {
            Some(verifier) => form.with_secret("code_verifier", Secret::new(verifier)),
            None => form,
        }
    }
}
