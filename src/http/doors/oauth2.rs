//! The doors of clients that speak OAuth 2.0: the token endpoint (RFC 6749 §3.2), revocation (RFC 7009), introspection (RFC 7662)
//! and metadata (RFC 8414).

use std::borrow::{Borrow, Cow};

use super::super::fault::{Fault, FaultKind};
use super::super::members::{Member, Members, ScopeList, form};
use super::{DoorInput, FlowCall, OAuthShape, Text, text};
use crate::caller::Beyond;
use crate::flow::{
    AuthCode, Common, DevicePoll, DeviceStart, NamedApp, OnBehalfOf, Redeem, Request, SamlMembers, UsernamePassword,
};
use crate::oauth::{
    GRANT_DEVICE_CODE, GRANT_JWT_BEARER, GRANT_PASSWORD, GRANT_REFRESH_TOKEN, GRANT_SAML2_BEARER, GRANT_TOKEN_EXCHANGE,
    SamlVersion, TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT, TOKEN_TYPE_SAML2, is_refresh_token_type,
};
use crate::token::Scopes;

/// What templates call the app whose metadata is asked for.
pub(in crate::http) const APP: &str = "app";

/// The scope that asks for an id token (OpenID Connect Core §3.1.2.1).
const OPENID: &str = "openid";

/// What of a request would make its answer mean something else than tokend gives.
const REFUSED: [(Member, &str); 5] = [
    (Member::ActorToken, "a token for an actor who acts for a user is not served: leave it out"),
    (Member::AuthorizationDetails, "rich authorization requests (RFC 9396) are not served: say it by `scope`"),
    (Member::RequestObject, "request objects (RFC 9101) are not served: send the parameters themselves"),
    (Member::ReqCnf, "tokens that are bound to a key are not served: leave it out"),
    (Member::TokenType, "tokens are bearer tokens: leave it out"),
];

/// `POST /oauth2/token`.
pub(in crate::http) fn token<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let members = &given.members;
    let present = members.present();
    plain(given)?;
    let grant = text(&members.grant_type)
        .ok_or_else(|| invalid("`grant_type` is missing: say which grant it is, such as `client_credentials` (RFC 6749 §4)"))?;
    if ![GRANT_JWT_BEARER, GRANT_SAML2_BEARER].contains(&grant) && present.has(Member::RequestedTokenUse) {
        return Err(invalid("`requested_token_use` belongs to the JWT and SAML bearer grants: leave it out"));
    }
    if ![GRANT_JWT_BEARER, GRANT_TOKEN_EXCHANGE].contains(&grant) && present.has(Member::Session) {
        return Err(invalid("`session` belongs to the JWT bearer grant and to token exchange: leave it out"));
    }
    if grant != GRANT_TOKEN_EXCHANGE && text(&members.requested_token_type).is_some_and(is_refresh_token_type) {
        return Err(invalid("`requested_token_type` is a refresh token's, and those are never handed out: leave it out"));
    }
    let scopes = scopes(members)?;
    let has_openid = has_openid(scopes.as_ref());
    let is_exchange = grant == GRANT_TOKEN_EXCHANGE || requested_saml(members).is_some();
    let common = common(given, scopes);
    let request = match grant {
        "client_credentials" => Request::ClientCredentials(common),
        "authorization_code" => Request::AuthCode(AuthCode {
            common,
            code: text(&members.code),
            redirect_uri: text(&members.redirect_uri),
            code_verifier: text(&members.code_verifier),
            ..AuthCode::default()
        }),
        GRANT_PASSWORD => Request::UsernamePassword(UsernamePassword {
            common,
            username: text(&members.username),
            password: text(&members.password),
        }),
        GRANT_DEVICE_CODE => {
            let device_code = Some(needed(&members.device_code, Member::DeviceCode)?);
            return Ok(FlowCall::OAuthDevicePoll(DevicePoll { common, device_code }));
        }
        GRANT_REFRESH_TOKEN => {
            let handle = needed(&members.refresh_token, Member::RefreshToken)?;
            Request::Redeem(Redeem { common, handle, of_session: false })
        }
        GRANT_JWT_BEARER => on_behalf_of(common, members, needed(&members.assertion, Member::Assertion)?)?,
        GRANT_SAML2_BEARER => saml_bearer(common, members, needed(&members.assertion, Member::Assertion)?)?,
        GRANT_TOKEN_EXCHANGE => exchange(common, members)?,
        _ => {
            let detail = "this `grant_type` is not served here; those that are: client_credentials, authorization_code, refresh_token, \
                          password, urn:ietf:params:oauth:grant-type:jwt-bearer, urn:ietf:params:oauth:grant-type:saml2-bearer, \
                          urn:ietf:params:oauth:grant-type:token-exchange, urn:ietf:params:oauth:grant-type:device_code";
            return Err(Fault::new(FaultKind::UnsupportedGrantType, detail));
        }
    };
    Ok(FlowCall::OAuthToken(request, OAuthShape { is_exchange, has_openid }))
}

/// `POST /oauth2/device_authorization`.
pub(in crate::http) fn device_authorization<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    plain(given)?;
    let scopes = scopes(&given.members)?;
    let has_openid = has_openid(scopes.as_ref());
    Ok(FlowCall::DeviceStart(DeviceStart { common: common(given, scopes), has_openid }))
}

/// `POST /oauth2/revoke`.
pub(in crate::http) fn revoke<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    Ok(FlowCall::Revoke(needed(&given.members.token, Member::TheToken)?))
}

/// `POST /introspect`.
pub(in crate::http) fn introspect<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    Ok(FlowCall::Introspect { client: client(given), token: needed(&given.members.token, Member::TheToken)? })
}

/// `GET /.well-known/oauth-authorization-server/{app}`.
pub(in crate::http) fn metadata<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let public_url = given
        .settings
        .public_url
        .as_deref()
        .ok_or_else(|| Fault::new(FaultKind::NotFound, "there is no metadata without `public_url` in the configuration"))?;
    Ok(FlowCall::Metadata { app: form::last_segment(given.path, APP)?, public_url })
}

/// Whether a request means nothing else than tokend gives.
fn plain(given: &DoorInput<'_>) -> Result<(), Fault> {
    let present = given.members.present();
    if let Some((member, remedy)) = REFUSED.into_iter().find(|(member, _)| present.has(*member)) {
        return Err(invalid(format!("`{}`: {remedy}", member.name())));
    }
    if given.head.is_dpop {
        return Err(invalid("tokens that are bound to a key are not served: leave the header `DPoP` out"));
    }
    Ok(())
}

fn has_openid(scopes: Option<&Scopes>) -> bool {
    scopes.is_some_and(|scopes| scopes.iter().any(|scope| scope == OPENID))
}

/// RFC 7523 §2.1, and Entra's name for what it does.
fn on_behalf_of<'a>(common: Common<'a>, members: &'a Members<'_>, bearer: &'a str) -> Result<Request<'a>, Fault> {
    only_on_behalf_of(members)?;
    let requested_token_type = requested_saml(members);
    let (bearer, session) = (Some(bearer), text(&members.session));
    Ok(Request::OnBehalfOf(OnBehalfOf { common, bearer, requested_token_type, session, ..OnBehalfOf::default() }))
}

/// RFC 7522 §2.1.
fn saml_bearer<'a>(common: Common<'a>, members: &'a Members<'_>, assertion: &'a str) -> Result<Request<'a>, Fault> {
    only_on_behalf_of(members)?;
    let requested_token_type = requested_saml(members);
    let (member, assertion_type) = (Member::Assertion.name(), Some(TOKEN_TYPE_SAML2));
    let saml = Some(Box::new(SamlMembers { assertion: Some(assertion), member, assertion_type }));
    Ok(Request::OnBehalfOf(OnBehalfOf { common, requested_token_type, saml, ..OnBehalfOf::default() }))
}

fn only_on_behalf_of(members: &Members<'_>) -> Result<(), Fault> {
    if text(&members.requested_token_use).is_some_and(|asked| asked != "on_behalf_of") {
        return Err(invalid("`requested_token_use` is another one than `on_behalf_of`, and no other is served: leave it out"));
    }
    Ok(())
}

/// What Entra's clients add to the bearer grants where they want an assertion; to these, other types mean nothing.
fn requested_saml<'a>(members: &'a Members<'_>) -> Option<&'a str> {
    text(&members.requested_token_type).filter(|kind| SamlVersion::of_type(kind).is_some())
}

/// RFC 8693 §2.1. The types that every authority has for this are no part of what is asked of it.
fn exchange<'a>(common: Common<'a>, members: &'a Members<'_>) -> Result<Request<'a>, Fault> {
    let token = needed(&members.subject_token, Member::SubjectToken)?;
    let kind = needed(&members.subject_token_type, Member::SubjectTokenType)?;
    let requested_token_type = text(&members.requested_token_type).filter(|kind| *kind != TOKEN_TYPE_ACCESS);
    if SamlVersion::of_type(kind).is_some() {
        let (member, assertion_type) = (Member::SubjectToken.name(), Some(kind));
        let saml = Some(Box::new(SamlMembers { assertion: Some(token), member, assertion_type }));
        let session = text(&members.session);
        return Ok(Request::OnBehalfOf(OnBehalfOf { common, requested_token_type, session, saml, ..OnBehalfOf::default() }));
    }
    let subject_token_type = Some(kind).filter(|kind| ![TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT].contains(kind));
    let (bearer, session) = (Some(token), text(&members.session));
    Ok(Request::OnBehalfOf(OnBehalfOf { common, bearer, subject_token_type, requested_token_type, session, saml: None }))
}

/// The members that all grants take.
fn common<'a>(given: &'a DoorInput<'_>, scopes: Option<Scopes>) -> Common<'a> {
    let members = &given.members;
    Common {
        beyond: beyond(members),
        client: Some(client(given)),
        finds_api: true,
        wants_handle: true,
        api: text(&members.api),
        scopes,
        tenant: text(&members.tenant),
        policy: text(&members.policy),
        claims: text(&members.claims),
        force_refresh: members.force_refresh.unwrap_or(false),
        audience: text(&members.audience),
        resource: text(&members.resource),
        ..Common::default()
    }
}

/// What a caller with `callers.*.apis` may not name: a type that says what the token is good for, and a target beside an api.
fn beyond(members: &Members<'_>) -> Beyond {
    let is_usual = |kind: &str| [TOKEN_TYPE_ACCESS, TOKEN_TYPE_JWT].contains(&kind);
    let present = members.present();
    // Which kind of assertion stands for the user says nothing of what the token is good for.
    let subject = text(&members.subject_token_type).filter(|kind| SamlVersion::of_type(kind).is_none());
    let types = [
        (Member::SubjectTokenType, subject),
        (Member::RequestedTokenType, text(&members.requested_token_type).filter(|kind| *kind != TOKEN_TYPE_JWT)),
    ];
    let odd = types.into_iter().find(|(_, kind)| kind.is_some_and(|kind| !is_usual(kind))).map(|(member, _)| member);
    let targets = [Member::Scope, Member::Audience, Member::Resource];
    let beside = present.has(Member::Api).then(|| targets.into_iter().find(|member| present.has(*member))).flatten();
    odd.or(beside).map_or(Beyond::Nothing, |member| Beyond::Member(member.name()))
}

fn client<'a>(given: &'a DoorInput<'_>) -> NamedApp<'a> {
    given.client.map_or(NamedApp::Only, NamedApp::Named)
}

fn scopes(members: &Members<'_>) -> Result<Option<Scopes>, Fault> {
    let Some(list) = text(&members.scope).map(ScopeList::of_text) else { return Ok(None) };
    match list.fault() {
        Some(fault) => Err(Fault::new(FaultKind::InvalidScope, format!("`scope` {fault}"))),
        None => Ok(list.into_scopes()),
    }
}

fn needed<'a, 'b: 'a, T: Borrow<Text<'b>>>(member: &'a Option<T>, named: Member) -> Result<&'a str, Fault> {
    text(member).ok_or_else(|| invalid(format!("`{}` is missing", named.name())))
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}
