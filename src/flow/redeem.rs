//! The spine of what is sent once: no look, no repetition, detached from its caller, and always stored (RFC 6749 §4.1.3).

use std::sync::Arc;

use tracing::{Instrument as _, Span};

use super::acquire::user_lane;
use super::app::App;
use super::auth_code::{is_verifier, redirect_uri, scopes_named};
use super::bound::beyond_api;
use super::classify::refuse;
use super::exchange;
use super::holds::{Asked, Keys, keys};
use super::issue::{Expected, Owner, granted, issue};
use super::members::{self, Claims};
use super::metrics::Flow;
use super::once::Once;
use super::refresh::{Renewal, sign_in};
use super::refusal::{Refusal, overloaded};
use super::request::{Answer, AuthCode, Call, Common, RefreshReason, TokenSource};
use super::{Inner, Outcome, id_token, trace};
use crate::authority::Failure;
use crate::cache::{self, Bypass, Kept, Key, Landing, Loaded, Lost, Part, Permit, Query};
use crate::caller::Caller;
use crate::oauth::{Form, TokenResponse};
use crate::secret::Secret;
use crate::source::Repeat;
use crate::telemetry::{self, outgoing};
use crate::token::{Grant, Head, Matching, Retry, Scopes, Tenant};

/// Redeems a code: once, whatever happens, and detached from the caller, who may leave but must not lose it.
pub(super) async fn run(inner: &Arc<Inner>, app: &Arc<App>, caller: Caller, call: Call, request: &AuthCode<'_>) -> Outcome {
    let redemption = Redemption::read(inner, app, caller, call, request)?;
    let key = redemption.key();
    let (request, span) = (Span::current(), trace::begin(&redemption.call, app, Flow::AuthCode, false));
    let mut redemption = redemption;
    redemption.call = redemption.call.inside(outgoing(redemption.call.trace, &span));
    let carried = redemption.carries();
    let flight = |permit: Permit| {
        Box::pin(async move {
            let _until_it_ends = permit;
            Some(redemption.run().await)
        })
    };
    let Landing { outcome, part } = inner.redemptions.join_or_lead(key, carried, flight).instrument(span.clone()).await;
    inner.cache.flew(part);
    if part == Part::Joined {
        telemetry::joined(&request);
        telemetry::joined(&span);
    }
    let head = outcome.unwrap_or_else(|lost| {
        let refusal = inner.lost(lost);
        // A code that was sent is spent.
        Err(Arc::new(if lost == Lost::NoRoom { refusal } else { refusal.retrying(Retry::Never) }))
    });
    let answer = |head| Answer { head, source: TokenSource::IdentityProvider, reason: RefreshReason::NotApplicable };
    let outcome = head.map(answer);
    trace::end(&span, &outcome);
    outcome
}

/// The refusal of an answer that is no good: the code is used up all the same.
fn spent(failure: Failure) -> Arc<Refusal> {
    Arc::new(refuse(Flow::AuthCode, failure, None).retrying(Retry::Never))
}

/// A code with all that its redemption needs.
struct Redemption {
    inner: Arc<Inner>,
    app: Arc<App>,
    caller: Caller,
    call: Call,
    code: Secret,
    redirect_uri: String,
    code_verifier: Option<Secret>,
    nonce: Option<String>,
    scopes: Scopes,
    tenant: Option<Tenant>,
    claims: Option<String>,
    audience: Option<String>,
    resource: Option<String>,
    variant: [u8; 32],
}

// === impl Redemption ===

impl Redemption {
    fn read(inner: &Arc<Inner>, app: &Arc<App>, caller: Caller, call: Call, request: &AuthCode<'_>) -> Result<Self, Refusal> {
        let common: &Common<'_> = &request.common;
        let scopes = members::scopes(inner, common)?.into_owned();
        scopes_named(app, &scopes)?;
        members::audience_and_resource(app, common)?;
        let code = request.code.filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| Refusal::member("`code` is missing: pass on the code that came to the redirect URI"))?;
        let redirect_uri = redirect_uri(request.redirect_uri)?.to_owned();
        if request.code_verifier.is_some_and(|verifier| !is_verifier(verifier)) {
            let detail = "`code_verifier` is none: it has 43 to 128 characters of [A-Za-z0-9-._~] (RFC 7636 §4.1)";
            return Err(Refusal::member(detail));
        }
        let tenant = app.tenant(common.tenant)?;
        id_token::check_answers_issuer(app, request.iss, tenant.as_ref())?;
        let claims = Claims::read(common)?;
        Ok(Self {
            claims: claims.merged(app),
            inner: Arc::clone(inner),
            app: Arc::clone(app),
            caller,
            call,
            code: Secret::new(code),
            redirect_uri,
            code_verifier: request.code_verifier.map(Secret::new),
            nonce: request.nonce.map(str::to_owned),
            scopes,
            audience: common.audience.map(str::to_owned),
            resource: common.resource.map(str::to_owned),
            variant: claims.variant(app, common, tenant.as_ref()),
            tenant,
        })
    }

    /// Two redemptions of one code at the same time are one call, if one caller asks for the same in every respect.
    fn key(&self) -> Key {
        let optional = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| format!("+{text}"));
        Key::of(&[
            b"code",
            self.app.name.as_bytes(),
            self.app.space_of(self.caller).id(),
            self.code.expose().as_bytes(),
            self.redirect_uri.as_bytes(),
            optional(self.code_verifier.as_ref().map(Secret::expose)).as_bytes(),
            optional(self.nonce.as_deref()).as_bytes(),
            optional(self.tenant.as_ref().map(Tenant::as_str)).as_bytes(),
            optional(self.claims.as_deref()).as_bytes(),
            &self.variant,
            self.scopes.to_string().as_bytes(),
        ])
    }

    /// What it keeps of the request, in bytes.
    fn carries(&self) -> usize {
        let texts = [&self.nonce, &self.claims, &self.audience, &self.resource];
        let texts: usize = texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
        let verifier = self.code_verifier.as_ref().map_or(0, |verifier| verifier.expose().len());
        self.code.expose().len() + self.redirect_uri.len() + verifier + texts + self.scopes.weight()
    }

    fn form(&self) -> Form {
        let profile = self.app.authority.profile();
        let form = Form::default()
            .with("grant_type", "authorization_code")
            .with("redirect_uri", &self.redirect_uri)
            .with_some("scope", profile.scope_with_code.then(|| self.scopes.with_reserved().to_string()))
            .with_some("client_info", profile.client_info.then_some("1"))
            .with_some("audience", self.audience.clone())
            .with_some("resource", self.resource.clone())
            .with_some("claims", self.claims.clone())
            .with_secret("code", self.code.clone());
        match &self.code_verifier {
            Some(verifier) => form.with_secret("code_verifier", verifier.clone()),
            None => form,
        }
    }

    async fn run(self) -> Result<Head, Arc<Refusal>> {
        let (inner, app) = (&self.inner, &self.app);
        let keys = self.keys(app.credential.version(), &[0; 32]);
        let standing = match inner.standing_for_all(&keys) {
            None => inner.held_elsewhere(app, &keys, &keys.for_all()).await,
            standing => standing,
        };
        if let Some(refusal) = standing {
            app.metrics.held(Flow::AuthCode);
            return Err(refusal);
        }
        // Before it is sent: what it brings cannot be had again.
        let Some(_room) = inner.cache.accounts().room_for_sign_in() else {
            return Err(Arc::new(overloaded("limits.queue", &inner.clock)));
        };
        let sent = exchange::run(app, &self.form(), self.tenant.as_ref(), Repeat::Never, self.call.clone()).await;
        let mut response = match sent.outcome {
            Ok(response) => response,
            Err(trouble) => return Err(self.once(sent.version).failed(inner, trouble).await),
        };
        // From here on the code is spent, whatever is wrong with what it brought.
        let renewed_by = Renewal::take(&mut response);
        let Some(id_token) = &response.id_token else {
            return Err(spent(Failure::Invalid("it has no id_token")));
        };
        let (now, tenant) = (inner.clock.unix(), self.tenant.as_ref());
        let user = id_token::verify(app, id_token.expose(), self.nonce.as_deref(), tenant, now, self.call.clone()).await;
        let owner = Owner::SignedIn(user.map_err(|refusal| refusal.retrying(Retry::Never))?);
        let grant = self.issued(owner, response)?;
        let matching = app.authority.matching();
        let granted = granted(matching, &self.scopes, &grant);
        let Some(account) = &grant.account else {
            return Err(spent(Failure::Invalid("it does not say whose token it is")));
        };
        let space = app.space_of(self.caller);
        let partition = space.partition(cache::Owner::Account(&account.home_account_id));
        let sign_in = sign_in(space, account.clone(), &renewed_by, &grant, None);
        // First what is good for one sign-in only, and before the answer: nobody may be told of a sign-in that is lost.
        if inner.cache.accounts().keep_sign_in(space.id(), &partition, sign_in).await == Kept::Stale {
            tracing::warn!(app = app.name, correlation_id = %self.call.correlation_id, "a sign-in was not kept: it was overtaken, or what stands there was written by another release or under another key ring");
        }
        let lane = user_lane(&partition, tenant, None);
        inner.succeeded(app, &self.keys(sent.version, &lane.0)).await;
        let asked = self.scopes.folded(matching);
        let query = Query {
            by: &app.name,
            credential: app.credential.version(),
            partition: &partition,
            owned: true,
            variant: &self.variant,
            asked: &asked,
            superset: matching == Matching::Superset,
            bypass: Bypass::Older { than: 0, challenge: 0 },
        };
        Ok(inner.cache.store(&query, &Loaded { grant, granted, kept: true }).await)
    }

    /// What the code brought, if its caller may have it.
    fn issued(&self, owner: Owner, response: TokenResponse) -> Result<Grant, Arc<Refusal>> {
        let (inner, app) = (&self.inner, &self.app);
        let expected = Expected { asked: self.scopes.clone(), tenant: self.tenant.clone(), owner, exchange: false };
        let is_said = response.scope.is_some() || app.authority.profile().scope_with_code;
        let mut grant = issue(app, &expected, response, inner.clock.unix(), (inner.jitter)()).map_err(spent)?;
        if !is_said {
            // What was asked for stands in the URL where the user signed in (RFC 6749 §5.1), which may not be ours.
            grant.scope.clear();
        }
        if inner.is_bound(self.caller) && !self.scopes.contain(&grant.scope, app.authority.matching()) {
            // Before anything is kept: the refresh token would renew what the caller may not have.
            return Err(Arc::new(beyond_api()));
        }
        Ok(grant)
    }

    fn once(&self, credential_version: u64) -> Once<'_> {
        Once {
            flow: Flow::AuthCode,
            app: &self.app,
            tenant: self.tenant.as_ref(),
            keys: self.keys(credential_version, &[0; 32]),
            lost: Some("; whether the code was redeemed is not known: start the sign-in again"),
            stops_request: false,
        }
    }

    /// The keys of what is remembered. Before the account is known, and with it the lane, only those mean anything that are not about
    /// the grant.
    fn keys(&self, credential_version: u64, lane: &[u8; 32]) -> Keys {
        let scopes = self.scopes.folded(self.app.authority.matching());
        let asked = Asked { lane, variant: &self.variant, scopes: &scopes, challenge: 0, refresh_token: 0 };
        keys(&self.app, Flow::AuthCode, self.tenant.as_ref(), credential_version, asked)
    }
}
