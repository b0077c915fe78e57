//! What an id token must be before its user is believed (OpenID Connect §3.1.3.7, RFC 9207).

use std::sync::Arc;

use super::app::App;
use super::refusal::{Refusal, RefusalKind};
use super::spine::failure::no_keys;
use crate::authority::{IssuerForm, IssuerRule, TokenVersion};
use crate::inbound::{SKEW, TokenRejected, is_of_policy};
use crate::oauth::Claims;
use crate::telemetry::Context;
use crate::token::{Tenant, Turn};

/// What an id token has to say beside what its app knows.
pub(super) struct IdTokenWanted<'a> {
    /// The nonce that the sign-in was begun with, if it is known.
    pub(super) nonce: Option<&'a str>,
    /// The tenant that was asked, where it is not the authority's own.
    pub(super) tenant: Option<&'a Tenant>,
    /// In seconds since the Unix epoch.
    pub(super) now: i64,
}

/// Verifies an id token: signature, `iss`, `aud`, `azp`, `exp`, and `nonce` if one is given.
pub(super) async fn verify(
    app: &App,
    id_token: &str,
    IdTokenWanted { nonce, tenant, now }: IdTokenWanted<'_>,
    context: Context,
) -> Result<Arc<Claims>, Refusal> {
    let context = context.for_app(&app.label);
    let verified = app.verifier.signed(id_token, &app.client_id, context.clone()).await;
    let verified = verified.map_err(|rejected| match rejected {
        TokenRejected::NoKeys(failure) => no_keys(failure, None),
        rejected => mismatch(&format!("the id token is not accepted: {rejected}"), rejected.reason()),
    })?;
    let claims = &verified.claims;
    let own = match tenant {
        Some(tenant) if tenant.is_guid() => Some(tenant.as_str()),
        Some(_) => None,
        None => app.own_tenant(context.clone()).await.map_err(|failure| no_keys(failure, None))?,
    };
    let rule = app.authority.profile().issuers;
    let wrong = if rule == IssuerRule::Configured {
        (claims.iss.as_deref() != app.authority.address.issuer()).then_some("its issuer is not the app's")
    } else {
        let document = app.authority.document(verified.version, context).await.map_err(|failure| no_keys(failure, None))?;
        if rule == IssuerRule::PerTenant {
            issuer(document.issuer_form().map_err(|failure| no_keys(failure, None))?, claims, own)
        } else {
            let issuer = document.issuer().map_err(|failure| no_keys(failure, None))?;
            let other = claims.iss.as_deref() != Some(issuer);
            let wrong = other.then_some("its issuer is not the one that the authority's metadata names");
            wrong.or_else(|| is_of_policy(claims, app.policy()))
        }
    };
    let wrong = wrong
        .or_else(|| kind(app, claims))
        .or_else(|| (!claims.aud.has(&app.client_id)).then_some("its audience is not this app"))
        .or_else(|| authorized_party(app, claims))
        .or_else(|| claims.exp.is_none_or(|exp| now >= exp.saturating_add(SKEW)).then_some("it has expired"))
        .or_else(|| {
            nonce.is_some_and(|nonce| claims.nonce.as_deref() != Some(nonce)).then_some("its nonce is not the one given as `nonce`")
        });
    match wrong {
        Some(wrong) => Err(mismatch(&format!("the id token is not accepted: {wrong}"), wrong)),
        None => Ok(Arc::clone(&verified.claims)),
    }
}

/// RFC 9207: an answer of another issuer must not reach this one's token endpoint.
pub(super) async fn check_answers_issuer(
    app: &App,
    given: Option<&str>,
    tenant: Option<&Tenant>,
    context: Context,
) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    let rule = app.authority.profile().issuers;
    let expected = if rule == IssuerRule::Configured {
        app.authority.address.issuer() == Some(given)
    } else {
        let document = app.authority.document(TokenVersion::Current, context).await.map_err(|failure| no_keys(failure, None))?;
        if rule == IssuerRule::PerTenant {
            // A tenant that is named by its domain, or not at all, has an id that is not known here.
            let known = tenant.or(app.authority.tenant()).filter(|tenant| tenant.is_guid());
            let form = document.issuer_form().map_err(|failure| no_keys(failure, None))?;
            let id = form.tenant_in(given).and_then(Tenant::parse).filter(Tenant::is_guid);
            id.is_some_and(|id| known.is_none_or(|known| *known == id))
        } else {
            document.issuer().map_err(|failure| no_keys(failure, None))? == given
        }
    };
    let wrong = "`iss` is not the app's issuer: the answer came from somebody else";
    if expected { Ok(()) } else { Err(mismatch(wrong, wrong)) }
}

fn issuer(form: &IssuerForm, claims: &Claims, own: Option<&str>) -> Option<&'static str> {
    let issuer = claims.iss.as_deref().unwrap_or_default();
    let tid = claims.tid.as_deref().unwrap_or_default();
    if uuid::Uuid::try_parse(tid).is_err() || !form.is_of(issuer, tid) {
        return Some("its issuer is not the one that the authority's metadata names for its tenant");
    }
    let other = own.is_some_and(|own| !own.eq_ignore_ascii_case(tid));
    other.then_some("its tenant is not the one that was asked")
}

/// What other tokens of the authority look like, which say nothing of a sign-in (RFC 8725 §3.12).
fn kind(app: &App, claims: &Claims) -> Option<&'static str> {
    if claims.has_events {
        return Some("it tells of an event");
    }
    if claims.is_at_jwt {
        return Some("its `typ` is an access token's");
    }
    let is_nobodys = app.authority.profile().user_ids.are_subjects() && claims.sub.as_deref().is_none_or(str::is_empty);
    is_nobodys.then_some("it has no `sub`, so that nobody knows whose it is")
}

/// OpenID Connect §3.1.3.7, points 4 and 5.
fn authorized_party(app: &App, claims: &Claims) -> Option<&'static str> {
    match claims.azp.as_deref() {
        Some(azp) if azp != app.client_id => Some("its `azp` is not this app"),
        None if claims.aud.iter().nth(1).is_some() => Some("it has several audiences and no `azp`"),
        _ => None,
    }
}

fn mismatch(detail: &str, reason: &'static str) -> Refusal {
    Refusal::new(Turn::Caller, RefusalKind::InvalidIdToken, detail).because(reason)
}
