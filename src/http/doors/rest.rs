//! The doors of tokend's own REST API: a flow for each.

use super::super::fault::Fault;
use super::super::members::{Member, MemberSet, Members, ScopeList};
use super::{DoorInput, FlowCall, text};
use crate::flow::{
    AuthCode, AuthCodeUrl, Common, DevicePoll, DeviceStart, EndSession, ForeignRefreshToken, OnBehalfOf, Request, SamlMembers,
    SignOutUrl, Silent, UsernamePassword,
};
use crate::oauth::SamlVersion;
use crate::token::Scopes;

/// `POST /client-credentials`.
pub(in crate::http) fn client_credentials<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    Ok(FlowCall::Token(Request::ClientCredentials(common(&given.members, scopes))))
}

/// `POST /obo`.
pub(in crate::http) fn on_behalf_of<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    let members = &given.members;
    let mut common = common(members, scopes);
    let subject_token_type = text(&members.subject_token_type);
    if subject_token_type.and_then(SamlVersion::of_type).is_some() {
        // It says how the assertion is read, and nothing of what the token is good for.
        common.beyond = members.beyond_but(MemberSet::of(&[Member::SubjectTokenType]));
    }
    let (assertion, assertion_type) = (text(&members.assertion), text(&members.assertion_type));
    let saml = SamlMembers { assertion, member: Member::Assertion.name(), assertion_type };
    Ok(FlowCall::Token(Request::OnBehalfOf(OnBehalfOf {
        common,
        bearer: given.bearer,
        subject_token_type,
        requested_token_type: text(&members.requested_token_type),
        session: text(&members.session),
        saml: (assertion.is_some() || assertion_type.is_some()).then(|| Box::new(saml)),
    })))
}

/// `DELETE /obo`.
pub(in crate::http) fn end_session<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let members = &given.members;
    Ok(FlowCall::EndSession(EndSession { app: text(&members.app), session: text(&members.session) }))
}

/// `POST /auth-code/url`.
pub(in crate::http) fn auth_code_url<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    let extra_scopes_to_consent = given.members.extra_scopes_to_consent.take().and_then(|list| list.into_scopes());
    let members = &given.members;
    Ok(FlowCall::AuthCodeUrl(Box::new(AuthCodeUrl {
        common: common(members, scopes),
        redirect_uri: text(&members.redirect_uri),
        prompt: text(&members.prompt),
        login_hint: text(&members.login_hint),
        domain_hint: text(&members.domain_hint),
        extra_scopes_to_consent,
        response_type: text(&members.response_type),
        response_mode: text(&members.response_mode),
        state: text(&members.state),
        nonce: text(&members.nonce),
    })))
}

/// `POST /auth-code`.
pub(in crate::http) fn auth_code<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    let members = &given.members;
    Ok(FlowCall::Token(Request::AuthCode(AuthCode {
        common: common(members, scopes),
        code: text(&members.code),
        redirect_uri: text(&members.redirect_uri),
        code_verifier: text(&members.code_verifier),
        nonce: text(&members.nonce),
        iss: text(&members.iss),
    })))
}

/// `POST /silent`.
pub(in crate::http) fn silent<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    let members = &given.members;
    Ok(FlowCall::Token(Request::Silent(Silent { common: common(members, scopes), account: text(&members.account) })))
}

/// `POST /sign-out/url`.
pub(in crate::http) fn sign_out_url<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let members = &given.members;
    Ok(FlowCall::SignOutUrl(Box::new(SignOutUrl {
        app: text(&members.app),
        post_logout_redirect_uri: text(&members.post_logout_redirect_uri),
        state: text(&members.state),
        account: text(&members.account),
        logout_hint: text(&members.logout_hint),
        id_token_hint: text(&members.id_token_hint),
    })))
}

/// `POST /refresh-token`.
pub(in crate::http) fn refresh_token<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    let members = &given.members;
    let request = ForeignRefreshToken { common: common(members, scopes), refresh_token: text(&members.refresh_token) };
    Ok(FlowCall::Token(Request::RefreshToken(request)))
}

/// `POST /username-password`.
pub(in crate::http) fn username_password<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    let members = &given.members;
    let request =
        UsernamePassword { common: common(members, scopes), username: text(&members.username), password: text(&members.password) };
    Ok(FlowCall::Token(Request::UsernamePassword(request)))
}

/// `POST /device-code`.
pub(in crate::http) fn device_code<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let scopes = taken(&mut given.members.scopes);
    Ok(FlowCall::DeviceStart(DeviceStart { common: common(&given.members, scopes), has_openid: false }))
}

/// `POST /device-code/poll`.
pub(in crate::http) fn device_poll<'a>(given: &'a mut DoorInput<'_>) -> Result<FlowCall<'a>, Fault> {
    let members = &given.members;
    let common = common(members, None);
    Ok(FlowCall::DevicePoll(DevicePoll { common, device_code: text(&members.device_code) }))
}

/// The members that all of them take.
fn common<'a>(members: &'a Members<'_>, scopes: Option<Scopes>) -> Common<'a> {
    Common {
        app: text(&members.app),
        api: text(&members.api),
        scopes,
        tenant: text(&members.tenant),
        policy: text(&members.policy),
        claims: text(&members.claims),
        client_claims: text(&members.client_claims),
        force_refresh: members.force_refresh.unwrap_or(false),
        access_token_sha256: text(&members.access_token_sha256),
        audience: text(&members.audience),
        resource: text(&members.resource),
        beyond: members.beyond,
        ..Common::default()
    }
}

/// They were judged when they were read: what is left is a list.
fn taken(member: &mut Option<ScopeList>) -> Option<Scopes> {
    member.take().and_then(ScopeList::into_scopes)
}

#[cfg(test)]
mod tests {
    use super::super::super::members::{Member, MemberSet, read};
    use super::super::{DoorFn, DoorInput, FlowCall, HeadFacts};
    use super::{auth_code, auth_code_url, client_credentials, end_session, on_behalf_of, silent};
    use crate::flow::Request;
    use crate::http::settings::DoorSettings;

    /// What a door makes of a body.
    fn ask<T>(door: DoorFn, body: &str, look: impl FnOnce(FlowCall<'_>) -> T) -> T {
        let members = read::read(body.as_bytes(), MemberSet::of(Member::ALL)).ok().unwrap();
        let settings = DoorSettings::default();
        let mut given = DoorInput {
            members,
            bearer: Some("bearer"),
            rare: None,
            path: "/",
            client: None,
            head: HeadFacts::default(),
            settings: &settings,
        };
        look(door(&mut given).unwrap())
    }

    #[test]
    fn what_all_take_is_passed_on_as_it_came() {
        let body = r#"{"app":"orders","api":"graph","scopes":["a","b"],"force_refresh":true,"tenant":null,"claims":"{\"a\":1}",
                       "client_claims":"{}","access_token_sha256":"h","audience":"u","resource":"r"}"#;
        ask(client_credentials, body, |call| {
            let FlowCall::Token(Request::ClientCredentials(common)) = call else { panic!("another flow") };
            assert_eq!((common.app, common.api, common.tenant), (Some("orders"), Some("graph"), None));
            assert_eq!((common.claims, common.client_claims), (Some(r#"{"a":1}"#), Some("{}")));
            assert_eq!((common.access_token_sha256, common.audience, common.resource), (Some("h"), Some("u"), Some("r")));
            assert_eq!((common.scopes.unwrap().to_string(), common.force_refresh), ("a b".to_owned(), true));
        });
    }

    #[test]
    fn each_door_asks_its_flow() {
        ask(end_session, r#"{"app":"orders","session":"k"}"#, |call| {
            let FlowCall::EndSession(ending) = call else { panic!("another flow") };
            assert_eq!((ending.app, ending.session), (Some("orders"), Some("k")));
        });
        ask(on_behalf_of, r#"{"scopes":"a  b","requested_token_type":"t","subject_token_type":"s","session":"new"}"#, |call| {
            let FlowCall::Token(Request::OnBehalfOf(request)) = call else { panic!("another flow") };
            assert_eq!((request.bearer, request.requested_token_type), (Some("bearer"), Some("t")));
            assert_eq!((request.subject_token_type, request.session), (Some("s"), Some("new")));
            assert_eq!(request.common.scopes.unwrap().to_string(), "a b");
        });
        let body = r#"{"redirect_uri":"r","extra_scopes_to_consent":["x"],"state":"s","nonce":"n","prompt":"p","login_hint":"l",
                       "domain_hint":"d","response_mode":"m"}"#;
        ask(auth_code_url, body, |call| {
            let FlowCall::AuthCodeUrl(request) = call else { panic!("another flow") };
            assert_eq!((request.redirect_uri, request.state, request.nonce), (Some("r"), Some("s"), Some("n")));
            assert_eq!((request.prompt, request.login_hint), (Some("p"), Some("l")));
            assert_eq!((request.domain_hint, request.response_mode), (Some("d"), Some("m")));
            assert!(request.extra_scopes_to_consent.is_some() && request.common.scopes.is_none());
        });
        ask(auth_code, r#"{"code":"c","iss":"i","redirect_uri":"r","code_verifier":"v","nonce":"n"}"#, |call| {
            let FlowCall::Token(Request::AuthCode(request)) = call else { panic!("another flow") };
            assert_eq!((request.code, request.iss, request.redirect_uri), (Some("c"), Some("i"), Some("r")));
            assert_eq!((request.code_verifier, request.nonce), (Some("v"), Some("n")));
        });
        ask(silent, r#"{"account":"oid.tid","scopes":"a","force_refresh":true}"#, |call| {
            let FlowCall::Token(Request::Silent(request)) = call else { panic!("another flow") };
            assert_eq!((request.account, request.common.force_refresh), (Some("oid.tid"), true));
            assert_eq!(request.common.scopes.unwrap().to_string(), "a");
        });
    }
}
