//! On-behalf-of: a token for a user, in exchange for the token that the user's client sent.
//!
//! Entra-style authorities take the jwt-bearer grant (RFC 7523) with `requested_token_use=on_behalf_of` (REQ-2), OIDC issuers take
//! token exchange (RFC 8693). The inbound token is judged before anything is looked up for it. `saml` is for assertions.

use std::sync::Arc;

use crate::authority::{OboGrant, TargetRule, UserIds};
use crate::flow::about::Owner;
use crate::flow::app::{App, InboundGuard};
use crate::flow::catalogue::Flow;
use crate::flow::issue::{Exchanged, Expected};
use crate::flow::members::{self, ClaimsMember};
use crate::flow::plan::{Asker, CachedGrant, CachedPlan, Plan, Planning, Work};
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::request::{Common, OnBehalfOf};
use crate::flow::spine::failure::no_keys;
use crate::flow::state::FlowState;
use crate::inbound::{IssuerFacts, Policy, TokenRejected, Verdict, Verified, Whose};
use crate::oauth::{Claims, Form, GRANT_JWT_BEARER, GRANT_TOKEN_EXCHANGE, SamlVersion, TOKEN_TYPE_ACCESS, is_refresh_token_type};
use crate::secret::Secret;
use crate::telemetry::Context;
use crate::token::{PartitionOwner, Scopes, Tenant, TokenDigest, TokenKey, Turn, VariantMembers};

/// A request that lacks nothing but the judgement of its inbound token.
struct Exchange<'a> {
    asker: Asker<'a>,
    request: &'a OnBehalfOf<'a>,
    bearer: &'a str,
    digest: TokenDigest,
    /// The cache's generation when the request arrived.
    arrived: u64,
    scopes: &'a Scopes,
    claims: ClaimsMember,
    types: [Option<&'a str>; 2],
    tenant: Result<Option<Tenant>, Refusal>,
}

/// What is to be done. The inbound token is judged first: at once where it was verified before.
pub(super) fn plan<'a>(asker: Asker<'a>, request: &'a OnBehalfOf<'a>) -> Result<Planning<'a>, Refusal> {
    let (state, app, common) = (asker.state, asker.app, &request.common);
    app.has_credential()?;
    let arrived = state.cache.generation();
    let scopes = members::scopes(state, common)?;
    members::target(app, common, scopes)?;
    let claims = ClaimsMember::read(common)?;
    let types = exchange_types(app, request)?;
    let tenant = app.tenant(common.tenant);
    let bearer = request.bearer.ok_or_else(no_bearer)?;
    let guard = guard_of(app)?;
    let digest = TokenDigest::of(bearer);
    let exchange = Exchange { asker, request, bearer, digest, arrived, scopes, claims, types, tenant };
    match judged_before(state, app, guard, &digest) {
        Some(user) => exchange.of(user?).map(Planning::Done),
        None => Ok(Planning::Waits(Box::pin(async move {
            let context = exchange.asker.call.clone();
            let user = judged(state, app, guard, (bearer, &digest), context).await?;
            exchange.of(user)
        }))),
    }
}

/// The refusal where the user's token is needed and none came.
pub(in crate::flow) fn no_bearer() -> Refusal {
    Refusal::new(Turn::User, RefusalKind::TokenMissing, "there is no user's token: send it as `Authorization: Bearer`")
}

pub(super) fn guard_of(app: &App) -> Result<&InboundGuard, Refusal> {
    app.guard.as_ref().ok_or_else(|| {
        let detail = "this app accepts no users' tokens: configure `apps.*.inbound` for it";
        Refusal::new(Turn::Rights, RefusalKind::FlowNotAllowed, detail)
    })
}

/// The user whose token it is, if the app accepts it.
pub(in crate::flow) async fn user_of(
    state: &FlowState,
    app: &App,
    token: (&str, &TokenDigest),
    call: Context,
) -> Result<Arc<Claims>, Refusal> {
    let guard = guard_of(app)?;
    match judged_before(state, app, guard, token.1) {
        Some(user) => user,
        None => judged(state, app, guard, token, call).await,
    }
}

// === impl Exchange ===

impl<'a> Exchange<'a> {
    /// What is to be done for this user.
    fn of(self, user: Arc<Claims>) -> Result<Plan<'a>, Refusal> {
        let Self { asker: Asker { state, app, caller, call }, request, bearer, digest, claims, scopes, .. } = self;
        let (common, [subject_token_type, requested_token_type]) = (&request.common, self.types);
        let tenant = tenant_of(app, self.tenant, common.tenant, &user)?;
        let partition = app.space_of(caller).partition(owner_of(app, &user)?);
        let members = claims.variant(app, common, tenant.as_ref());
        let members = VariantMembers { subject_token_type, requested_token_type, assertion: Some(&digest), ..members };
        let variant = app.usual.variant_of(&members);
        Ok(Plan::Cached(CachedPlan {
            flow: Flow::OnBehalfOf,
            app,
            call,
            asker: caller,
            owner: caller,
            bound: state.is_bound(caller),
            key: TokenKey { partition, variant, scopes: scopes.folded(app.authority.matching()) },
            owned: true,
            search: None,
            tenant,
            assertion: Some(digest),
            scopes,
            common,
            bypass: claims.bypass(self.arrived),
            carried: bearer.len() + claims.carried() + members::carried(common),
            claims,
            grant: CachedGrant::OnBehalfOf { request, bearer, user },
        }))
    }
}

/// What is sent.
pub(super) fn work(plan: &CachedPlan<'_>, request: &OnBehalfOf<'_>, (bearer, user): (&str, &Arc<Claims>)) -> Work {
    let CachedPlan { app, scopes, common, claims, tenant, .. } = plan;
    let bearer = Secret::new(bearer);
    let form = match app.authority.profile().on_behalf_of {
        OboGrant::JwtBearer => asserted(app, GRANT_JWT_BEARER, scopes, bearer, request),
        OboGrant::TokenExchange => {
            let subject = request.subject_token_type.unwrap_or(TOKEN_TYPE_ACCESS);
            token_exchange((subject, requested_of(request)), scopes, bearer, common)
        }
    };
    let (owner, exchange) = (Owner::User(Arc::clone(user)), exchanged(app, request));
    Work::Grant {
        form: form.with_some("claims", claims.merged(app)),
        expected: Expected { asked: (*scopes).clone(), tenant: tenant.clone(), owner, exchange },
    }
}

/// Which kind of token is asked for.
pub(super) fn exchanged(app: &App, request: &OnBehalfOf<'_>) -> Exchanged {
    match (request.requested_token_type.and_then(SamlVersion::of_type), app.authority.profile().on_behalf_of) {
        (Some(version), _) => Exchanged::Saml(version),
        (None, OboGrant::TokenExchange) => Exchanged::Any,
        (None, OboGrant::JwtBearer) => Exchanged::No,
    }
}

/// The account that the tokens for an inbound token belong to, from what is known of the user before the authority is asked. If
/// nothing is known it is refused: two such users would share one account.
pub(super) fn owner_of<'a>(app: &App, user: &'a Claims) -> Result<PartitionOwner<'a>, Refusal> {
    let said = |claim: &'a Option<String>| claim.as_deref().filter(|text| !text.is_empty());
    let ids = app.authority.profile().user_ids;
    match (said(&user.oid), said(&user.tid), said(&user.sub)) {
        (Some(oid), Some(tid), _) if ids == UserIds::ObjectInTenant => return Ok(PartitionOwner::User(oid, tid)),
        (.., Some(sub)) => return Ok(PartitionOwner::Account(sub)),
        _ => {}
    }
    if ids != UserIds::SubjectOrName {
        return Err(invalid("it has no `sub`, so that nobody knows whose it is"));
    }
    let named = [("upn", &user.upn), ("unique_name", &user.unique_name)];
    let mut named = named.into_iter().filter_map(|(claim, name)| said(name).map(|name| PartitionOwner::Named(claim, name)));
    named.next().ok_or_else(|| invalid("it has no `sub`, `upn` and `unique_name`, so that nobody knows whose it is"))
}

/// REQ-2, REQ-3, REQ-8; at AD FS REQ-16.
pub(super) fn asserted(app: &App, grant: &str, scopes: &Scopes, assertion: Secret, request: &OnBehalfOf<'_>) -> Form {
    let profile = app.authority.profile();
    let scope = match profile.target {
        TargetRule::Resource(beside) => beside.to_owned(),
        TargetRule::Scopes | TargetRule::AudienceAndResource => scopes.with_reserved().to_string(),
    };
    Form::default()
        .with("grant_type", grant)
        .with("requested_token_use", "on_behalf_of")
        .with_some("requested_token_type", request.requested_token_type)
        .with("scope", scope)
        .with_some("resource", request.common.resource)
        .with_some("client_info", profile.client_info.then_some("1"))
        .with_secret("assertion", assertion)
}

/// The type that a token exchange asks for.
pub(super) fn requested_of<'a>(request: &OnBehalfOf<'a>) -> &'a str {
    request.requested_token_type.unwrap_or(TOKEN_TYPE_ACCESS)
}

/// RFC 8693 §2.1.
pub(super) fn token_exchange(
    (subject, requested): (&str, &str),
    scopes: &Scopes,
    subject_token: Secret,
    common: &Common<'_>,
) -> Form {
    Form::default()
        .with("grant_type", GRANT_TOKEN_EXCHANGE)
        .with("subject_token_type", subject)
        .with("requested_token_type", requested)
        .with_some("scope", (!scopes.is_empty()).then(|| scopes.to_string()))
        .with_some("audience", common.audience)
        .with_some("resource", common.resource)
        .with_secret("subject_token", subject_token)
}

pub(super) fn exchange_types<'a>(app: &App, request: &OnBehalfOf<'a>) -> Result<[Option<&'a str>; 2], Refusal> {
    let profile = app.authority.profile();
    let subject = match request.subject_token_type {
        Some(kind) if SamlVersion::of_type(kind).is_some() => {
            return Err(Refusal::member("`subject_token_type` is an assertion's, and there is none: send it as `assertion`"));
        }
        Some(_) if profile.on_behalf_of == OboGrant::JwtBearer => {
            return Err(Refusal::member(format!("`subject_token_type` has no meaning at {}: leave it out", profile.title)));
        }
        kind => token_type("subject_token_type", kind)?,
    };
    Ok([subject, requested_type(app, request)?])
}

/// The type of token that is asked for, where it is not the usual one. Entra-style authorities have assertions alone beside that.
pub(super) fn requested_type<'a>(app: &App, request: &OnBehalfOf<'a>) -> Result<Option<&'a str>, Refusal> {
    let profile = app.authority.profile();
    match request.requested_token_type {
        Some(kind) if profile.on_behalf_of == OboGrant::JwtBearer && SamlVersion::of_type(kind).is_none() => {
            Err(Refusal::member(format!(
                "`requested_token_type` has no meaning at {}, but for the types of SAML assertions: leave it out",
                profile.title
            )))
        }
        kind => token_type("requested_token_type", kind),
    }
}

/// A type of RFC 8693 §3; the one that is sent anyway is no member of its own in the key.
fn token_type<'a>(member: &str, kind: Option<&'a str>) -> Result<Option<&'a str>, Refusal> {
    match kind {
        Some("") => Err(Refusal::member(format!("`{member}` is empty: leave it out, or name a type of RFC 8693 §3"))),
        Some(kind) if kind.contains(|c: char| !c.is_ascii_graphic()) => {
            Err(Refusal::member(format!("`{member}` has characters that no URI has: name a type of RFC 8693 §3")))
        }
        Some(kind) if is_refresh_token_type(kind) => Err(Refusal::member(format!(
            "`{member}` is a refresh token's, and those are never handed out nor taken here: leave it out, or name another type of \
             RFC 8693 §3"
        ))),
        kind => Ok(kind.filter(|kind| *kind != TOKEN_TYPE_ACCESS)),
    }
}

/// The user's claims, or why the token is not accepted, where all that decides it is at hand. `None`: something is not.
fn judged_before(state: &FlowState, app: &App, guard: &InboundGuard, digest: &TokenDigest) -> Option<Result<Arc<Claims>, Refusal>> {
    let policy = &guard.policy;
    let verified = app.verifier.remembered(digest, &app.client_id)?;
    let document = if policy.needs_document() { Some(app.authority.known_document(verified.version)?) } else { None };
    let own = if policy.needs_own_tenant() { app.known_own_tenant()? } else { None };
    let known = policy.facts(document.as_deref(), own).ok()?;
    Some(accepted(state, policy, verified, Whose::User, known))
}

/// The user's claims, if the token is this authority's, a user's access token, and for this app.
async fn judged(
    state: &FlowState,
    app: &App,
    guard: &InboundGuard,
    token: (&str, &TokenDigest),
    context: Context,
) -> Result<Arc<Claims>, Refusal> {
    judged_about(state, app, guard, token, Whose::User, context).await
}

/// Whether an app accepts a token, be it a user's or an app's.
pub(in crate::flow) async fn judged_for_introspection(
    state: &FlowState,
    app: &App,
    guard: &InboundGuard,
    token: (&str, &TokenDigest),
    context: Context,
) -> Result<(), Refusal> {
    judged_about(state, app, guard, token, Whose::Anybody, context).await.map(drop)
}

async fn judged_about(
    state: &FlowState,
    app: &App,
    guard: &InboundGuard,
    (bearer, digest): (&str, &TokenDigest),
    whose: Whose,
    context: Context,
) -> Result<Arc<Claims>, Refusal> {
    let context = context.for_app(&app.label);
    let policy = &guard.policy;
    let no_keys = |failure| no_keys(failure, Some(state.clock.moment()));
    let verified = app.verifier.verify((bearer, digest), &app.client_id, context.clone()).await;
    let verified = verified.map_err(|rejected| match rejected {
        TokenRejected::NoKeys(failure) => no_keys(failure),
        rejected => because(&policy.explain(bearer, &rejected), rejected.reason()),
    })?;
    let document = if policy.needs_document() {
        Some(app.authority.document(verified.version, context.clone()).await.map_err(no_keys)?)
    } else {
        None
    };
    let own = if policy.needs_own_tenant() { app.own_tenant(context).await.map_err(no_keys)? } else { None };
    let known = policy.facts(document.as_deref(), own).map_err(no_keys)?;
    accepted(state, policy, verified, whose, known)
}

/// What the app's policy says of a token whose signature is good, by what is known of its authority's issuers.
fn accepted(
    state: &FlowState,
    policy: &Policy,
    verified: Verified,
    whose: Whose,
    known: IssuerFacts<'_>,
) -> Result<Arc<Claims>, Refusal> {
    match policy.judge(&verified.claims, whose, known, state.clock.unix()) {
        Verdict::Accepted => Ok(verified.claims),
        Verdict::Invalid(why) => Err(invalid(why)),
        Verdict::Elsewhere => {
            let reason = "its audience is not one of the app's `inbound.audiences`";
            Err(because(&policy.elsewhere(&verified.claims), reason))
        }
        Verdict::InsufficientScope => {
            let detail = "the user's token has none of the scopes in `apps.*.inbound.scopes`";
            let refusal = Refusal::new(Turn::Rights, RefusalKind::InsufficientScope, detail);
            Err(refusal.because("it has none of the scopes in `inbound.scopes`"))
        }
    }
}

fn invalid(why: &'static str) -> Refusal {
    because(why, why)
}

/// As [`invalid`], where the caller is told more than the log, whose texts are a closed set.
fn because(why: &str, reason: &'static str) -> Refusal {
    Refusal::new(Turn::User, RefusalKind::InvalidToken, format!("the user's token is not accepted: {why}")).because(reason)
}

/// At a multi-tenant authority the tenant is the user's own.
pub(super) fn tenant_of(
    app: &App,
    named: Result<Option<Tenant>, Refusal>,
    text: Option<&str>,
    user: &Claims,
) -> Result<Option<Tenant>, Refusal> {
    if !app.authority.tenant().is_some_and(Tenant::is_any) {
        return named;
    }
    let tid = user.tid.as_deref().and_then(Tenant::parse).ok_or_else(|| invalid("it has no tenant id"))?;
    match text {
        Some(text) if Tenant::parse(text).as_ref() != Some(&tid) => {
            Err(Refusal::member("`tenant` is not the tenant of the user's token: leave it out"))
        }
        _ => Ok(Some(tid)),
    }
}
