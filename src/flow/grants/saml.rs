//! On-behalf-of with a SAML assertion in place of the user's token (REQ-8): the grant of RFC 7522 with Entra's extension at
//! Entra-style authorities, token exchange (RFC 8693) at issuers.
//!
//! Nobody here can verify an assertion. So its tokens stand in a partition of their own, which only its very bytes lead to, and the
//! answer alone says whose account they are, so that signing that out reaches them. It is parsed on every request, because its end
//! is judged on every request: nothing is served for one that has ended, and nothing is sent for one that is not as it has to be.

use super::on_behalf_of::{asserted, exchanged, guard_of, requested_of, requested_type, token_exchange};
use crate::authority::OboGrant;
use crate::flow::about::Owner;
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::issue::Expected;
use crate::flow::members::{self, ClaimsMember};
use crate::flow::plan::{Asker, CachedGrant, CachedPlan, Plan, SamlGrant, Work};
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::request::{OnBehalfOf, SamlMembers};
use crate::inbound::SamlAssertion;
use crate::oauth::SamlVersion;
use crate::token::{PartitionOwner, Tenant, TokenDigest, TokenKey, Turn, VariantMembers};

/// What is to be done.
pub(super) fn plan<'a>(asker: Asker<'a>, request: &'a OnBehalfOf<'a>, saml: &SamlMembers<'a>) -> Result<Plan<'a>, Refusal> {
    let Asker { state, app, caller, call } = asker;
    let (arrived, common) = (state.cache.generation(), &request.common);
    app.has_credential()?;
    let scopes = members::scopes(state, common)?;
    members::target(app, common, scopes)?;
    let claims = ClaimsMember::read(common)?;
    if request.bearer.is_some() {
        let detail = "there are an `assertion` and a token as `Authorization: Bearer`: send the one that stands for the user";
        return Err(Refusal::member(detail));
    }
    let version = version(request, saml)?;
    let requested_token_type = requested_type(app, request)?;
    guard_of(app)?;
    let tenant = tenant(app, common.tenant)?;
    let assertion = assertion(saml, version, state.clock.unix())?;
    let digest = TokenDigest::of(assertion.text());
    let members = claims.variant(app, common, tenant.as_ref());
    let subject_token_type = Some(version.token_type());
    let variant = VariantMembers { subject_token_type, requested_token_type, assertion: Some(&digest), ..members }.variant();
    Ok(Plan::Cached(CachedPlan {
        flow: Flow::OnBehalfOf,
        app,
        call,
        asker: caller,
        owner: caller,
        bound: state.is_bound(caller),
        key: TokenKey {
            partition: app.space_of(caller).partition(PartitionOwner::Assertion(&digest)),
            variant,
            scopes: scopes.folded(app.authority.matching()),
        },
        owned: true,
        search: None,
        tenant,
        assertion: Some(digest),
        scopes,
        common,
        bypass: claims.bypass(arrived),
        // As it is sent: four bytes for three.
        carried: assertion.text().len().div_ceil(3) * 4 + claims.carried() + members::carried(common),
        claims,
        grant: CachedGrant::Saml(Box::new(SamlGrant { request, assertion, version })),
    }))
}

/// What is sent.
pub(super) fn work(plan: &CachedPlan<'_>, grant: &SamlGrant<'_>) -> Work {
    let CachedPlan { app, scopes, common, claims, tenant, .. } = plan;
    let SamlGrant { request, assertion, version } = grant;
    let encoded = assertion.encoded();
    let form = match app.authority.profile().on_behalf_of {
        OboGrant::JwtBearer => asserted(app, version.grant(), scopes, encoded, request),
        OboGrant::TokenExchange => token_exchange((version.token_type(), requested_of(request)), scopes, encoded, common),
    };
    let (owner, exchange) = (Owner::Asserted, exchanged(app, request));
    Work::Grant {
        form: form.with_some("claims", claims.merged(app)),
        expected: Expected { asked: (*scopes).clone(), tenant: tenant.clone(), owner, exchange },
    }
}

/// Of which SAML the assertion is, by the word of whoever sends it.
fn version(request: &OnBehalfOf<'_>, saml: &SamlMembers<'_>) -> Result<SamlVersion, Refusal> {
    let types = "`urn:ietf:params:oauth:token-type:saml1` or `urn:ietf:params:oauth:token-type:saml2`";
    let (member, kind) = match (request.subject_token_type, saml.assertion_type) {
        (Some(_), Some(_)) => {
            return Err(Refusal::member("`subject_token_type` and `assertion_type` mean the same: leave one out"));
        }
        (Some(kind), None) => ("subject_token_type", kind),
        (None, Some(kind)) => ("assertion_type", kind),
        (None, None) => {
            return Err(Refusal::member(format!("`subject_token_type` is missing: say of which kind the assertion is, {types}")));
        }
    };
    SamlVersion::of_type(kind).ok_or_else(|| {
        let detail = format!("`{member}` is no assertion's: name {types}, or send a JWT as `Authorization: Bearer`");
        Refusal::member(detail)
    })
}

/// The assertion, if it is one that may be sent now.
fn assertion<'a>(saml: &SamlMembers<'a>, version: SamlVersion, now: i64) -> Result<SamlAssertion<'a>, Refusal> {
    let member = saml.member;
    let text = saml.assertion.ok_or_else(|| Refusal::member(format!("`{member}` is missing: send the SAML assertion")))?;
    let invalid = |detail: &str, reason| {
        let detail = format!("`{member}` {detail}");
        Refusal::new(Turn::Caller, RefusalKind::InvalidAssertion, detail).because(reason)
    };
    let assertion = SamlAssertion::read(text, version).map_err(|fault| invalid(fault.sentence(), fault.reason()))?;
    if assertion.has_ended(now) {
        return Err(invalid("has ended (`NotOnOrAfter`): have the user get a new one", "it has ended"));
    }
    Ok(assertion)
}

/// The tenant that is asked: an assertion says none that is believed.
fn tenant(app: &App, named: Option<&str>) -> Result<Option<Tenant>, Refusal> {
    let tenant = app.tenant(named)?;
    if tenant.is_none() && app.authority.tenant().is_some_and(Tenant::is_any) {
        let detail = "`tenant` is missing: the app's authority has many tenants, and which one the assertion is for is not known; \
                      name one of `apps.*.tenants`";
        return Err(Refusal::member(detail));
    }
    Ok(tenant)
}
