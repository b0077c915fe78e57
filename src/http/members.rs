//! The members of every JSON request, in one flat struct: borrowed from the body, and each route says which of them it takes.
//!
//! The fast path is one pass of serde that copies nothing but scopes. Only a body that fails is looked at again, by `diagnose`: serde stops at the
//! first error and quotes values, which may be secrets.

use serde::Deserialize;

use super::diagnose;
use super::problem::{Fault, FaultKind};
use super::values::{ScopeList, Text};
use crate::caller::Beyond;
use crate::flow::{AuthCode, AuthCodeUrl, Common, OnBehalfOf, Silent};
use crate::token::Scopes;

/// What a member's value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// An array of strings, or one string.
    Scopes,
}

/// A set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Takes(u32);

/// The longest string that a member may be, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;

/// Declares the members once: the struct that serde fills, and what is known of each without a value. `for_apis` says that a caller
/// with `callers.*.apis` may name it; without, it may not.
macro_rules! members {
    ($($name:ident $variant:ident: $kind:ident $($for_apis:ident)?,)*) => {
        /// The members of a request; `null` is as good as absent.
        #[derive(Default, Deserialize)]
        // `borrow` does not see the lifetime behind a macro; the bound says the same.
        #[serde(deny_unknown_fields, bound(deserialize = "'de: 'a"))]
        pub(super) struct Members<'a> {
            $($name: Option<members!(@type $kind)>,)*
            #[serde(skip)]
            beyond: Beyond,
        }

        /// A member's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Member {
            $($variant,)*
        }

        impl Member {
            /// Every member of every route.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as requests spell it.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// What its value has to be.
            pub(super) const fn expected(self) -> Expected {
                match self {
                    $(Self::$variant => Expected::$kind,)*
                }
            }

            /// Whether a caller with `callers.*.apis` may name it: it says nothing of what the token is good for.
            const fn is_for_apis(self) -> bool {
                match self {
                    $(Self::$variant => members!(@for_apis $($for_apis)?),)*
                }
            }
        }

        impl Members<'_> {
            /// The members that the request has.
            fn present(&self) -> Takes {
                Takes(0 $(| (u32::from(self.$name.is_some()) << Member::$variant as u32))*)
            }

            /// A member whose string is too long.
            fn too_long(&self) -> Option<Member> {
                $(members!(@too_long $kind self.$name, $variant);)*
                None
            }
        }
    };
    (@too_long Text $member:expr, $variant:ident) => {
        if text(&$member).is_some_and(|text| text.len() > LONGEST) {
            return Some(Member::$variant);
        }
    };
    (@too_long $kind:ident $member:expr, $variant:ident) => {};
    (@type Text) => { Text<'a> };
    (@type Flag) => { bool };
    (@type Scopes) => { ScopeList };
    (@for_apis) => { false };
    (@for_apis for_apis) => { true };
}

members! {
    app App: Text for_apis,
    api Api: Text for_apis,
    scopes Scopes: Scopes,
    tenant Tenant: Text for_apis,
    claims Claims: Text for_apis,
    client_claims ClientClaims: Text,
    force_refresh ForceRefresh: Flag for_apis,
    access_token_sha256 AccessTokenSha256: Text for_apis,
    audience Audience: Text,
    resource Resource: Text,
    subject_token_type SubjectTokenType: Text,
    requested_token_type RequestedTokenType: Text,
    account Account: Text for_apis,
    redirect_uri RedirectUri: Text for_apis,
    prompt Prompt: Text for_apis,
    login_hint LoginHint: Text for_apis,
    domain_hint DomainHint: Text for_apis,
    extra_scopes_to_consent ExtraScopesToConsent: Scopes,
    response_mode ResponseMode: Text for_apis,
    state State: Text for_apis,
    nonce Nonce: Text for_apis,
    code Code: Text for_apis,
    code_verifier CodeVerifier: Text for_apis,
    iss Iss: Text for_apis,
}

/// What a caller with `callers.*.apis` may name.
const FOR_APIS: Takes = Takes::for_apis();

/// What every route takes.
const COMMON: Takes = Takes::of(&[
    Member::App,
    Member::Api,
    Member::Scopes,
    Member::Tenant,
    Member::Claims,
    Member::ClientClaims,
    Member::Audience,
    Member::Resource,
]);

/// Steers the cache: nothing to steer where it is not read.
const CACHED: Takes = COMMON.and(&[Member::ForceRefresh, Member::AccessTokenSha256]);

/// `POST /client-credentials`.
pub(super) const CLIENT_CREDENTIALS: Takes = CACHED;

/// `POST /obo`.
pub(super) const OBO: Takes = CACHED.and(&[Member::SubjectTokenType, Member::RequestedTokenType]);

/// `POST /auth-code/url`.
pub(super) const AUTH_CODE_URL: Takes = COMMON.and(&[
    Member::RedirectUri,
    Member::Prompt,
    Member::LoginHint,
    Member::DomainHint,
    Member::ExtraScopesToConsent,
    Member::ResponseMode,
    Member::State,
    Member::Nonce,
]);

/// `POST /auth-code`.
pub(super) const AUTH_CODE: Takes =
    COMMON.and(&[Member::Code, Member::RedirectUri, Member::CodeVerifier, Member::Nonce, Member::Iss]);

/// `POST /silent`.
pub(super) const SILENT: Takes = CACHED.and(&[Member::Account]);

/// Reads the members of a request.
///
/// # Errors
/// The body is no JSON object, or a member is unknown, foreign to the route, there twice, of the wrong type, or no list of scopes.
pub(super) fn read(body: &[u8], takes: Takes) -> Result<Members<'_>, Fault> {
    // serde would take an array for the struct's fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(diagnose::explain(body, takes));
    }
    let mut members: Members<'_> = serde_json::from_slice(body).map_err(|_| diagnose::explain(body, takes))?;
    let present = members.present();
    if let Some(member) = present.without(takes).first() {
        return Err(diagnose::foreign(member, takes));
    }
    // No member is longer than the body, and few bodies are that long.
    if body.len() > LONGEST
        && let Some(member) = members.too_long()
    {
        return Err(diagnose::too_long(member));
    }
    members.judge_scopes()?;
    members.beyond = present.without(FOR_APIS).first().map_or(Beyond::Nothing, |member| Beyond::Member(member.name()));
    Ok(members)
}

// === impl Members ===

impl Members<'_> {
    fn judge_scopes(&self) -> Result<(), Fault> {
        let lists = [(Member::Scopes, &self.scopes), (Member::ExtraScopesToConsent, &self.extra_scopes_to_consent)];
        for (member, list) in lists {
            if let Some(fault) = list.as_ref().and_then(ScopeList::fault) {
                let text = format!("`{}` {fault}", member.name());
                return Err(Fault::new(FaultKind::InvalidRequest, text));
            }
        }
        Ok(())
    }

    /// The members of `/client-credentials`.
    pub(super) fn common(&mut self) -> Common<'_> {
        let scopes = taken(&mut self.scopes);
        self.common_with(scopes)
    }

    fn common_with(&self, scopes: Option<Scopes>) -> Common<'_> {
        Common {
            app: text(&self.app),
            api: text(&self.api),
            scopes,
            tenant: text(&self.tenant),
            claims: text(&self.claims),
            client_claims: text(&self.client_claims),
            force_refresh: self.force_refresh.unwrap_or(false),
            access_token_sha256: text(&self.access_token_sha256),
            audience: text(&self.audience),
            resource: text(&self.resource),
            beyond: self.beyond,
        }
    }

    /// The members of `/obo`, and the token that came with them.
    pub(super) fn on_behalf_of<'b>(&'b mut self, bearer: Option<&'b str>) -> OnBehalfOf<'b> {
        let scopes = taken(&mut self.scopes);
        let this = &*self;
        OnBehalfOf {
            common: this.common_with(scopes),
            bearer,
            subject_token_type: text(&this.subject_token_type),
            requested_token_type: text(&this.requested_token_type),
        }
    }

    /// The members of `/auth-code/url`.
    pub(super) fn auth_code_url(&mut self) -> AuthCodeUrl<'_> {
        let scopes = taken(&mut self.scopes);
        let extra_scopes_to_consent = taken(&mut self.extra_scopes_to_consent);
        let this = &*self;
        AuthCodeUrl {
            common: this.common_with(scopes),
            redirect_uri: text(&this.redirect_uri),
            prompt: text(&this.prompt),
            login_hint: text(&this.login_hint),
            domain_hint: text(&this.domain_hint),
            extra_scopes_to_consent,
            response_mode: text(&this.response_mode),
            state: text(&this.state),
            nonce: text(&this.nonce),
        }
    }

    /// The members of `/auth-code`.
    pub(super) fn auth_code(&mut self) -> AuthCode<'_> {
        let scopes = taken(&mut self.scopes);
        let this = &*self;
        AuthCode {
            common: this.common_with(scopes),
            code: text(&this.code),
            redirect_uri: text(&this.redirect_uri),
            code_verifier: text(&this.code_verifier),
            nonce: text(&this.nonce),
            iss: text(&this.iss),
        }
    }

    /// The members of `/silent`.
    pub(super) fn silent(&mut self) -> Silent<'_> {
        let scopes = taken(&mut self.scopes);
        let this = &*self;
        Silent { common: this.common_with(scopes), account: text(&this.account) }
    }
}

fn text<'a>(member: &'a Option<Text<'_>>) -> Option<&'a str> {
    member.as_ref().map(Text::as_str)
}

/// `judge_scopes` has been before: what is left is a list.
fn taken(member: &mut Option<ScopeList>) -> Option<Scopes> {
    member.take().and_then(ScopeList::into_scopes)
}

// === impl Takes ===

impl Takes {
    const fn of(members: &[Member]) -> Self {
        Self(0).and(members)
    }

    const fn and(self, members: &[Member]) -> Self {
        let mut bits = self.0;
        let mut rest = members;
        while let [member, others @ ..] = rest {
            bits |= 1 << *member as u32;
            rest = others;
        }
        Self(bits)
    }

    const fn for_apis() -> Self {
        let mut allowed = Self(0);
        let mut rest = Member::ALL;
        while let [member, others @ ..] = rest {
            if member.is_for_apis() {
                allowed = allowed.and(&[*member]);
            }
            rest = others;
        }
        allowed
    }

    const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether `member` is one of them.
    pub(super) const fn has(self, member: Member) -> bool {
        self.0 >> member as u32 & 1 == 1
    }

    fn first(self) -> Option<Member> {
        // Their order is that of the bits.
        usize::try_from(self.0.trailing_zeros()).ok().and_then(|index| Member::ALL.get(index).copied())
    }

    /// The members, in the order of their declaration.
    pub(super) fn iter(self) -> impl Iterator<Item = Member> {
        Member::ALL.iter().copied().filter(move |member| self.has(*member))
    }
}

#[cfg(test)]
mod tests {
    use super::{AUTH_CODE, AUTH_CODE_URL, CLIENT_CREDENTIALS, Expected, LONGEST, Member, OBO, SILENT, Takes, read};
    use crate::caller::Beyond;

    fn detail(body: &[u8], takes: Takes) -> String {
        read(body, takes).err().map(|fault| fault.detail.into_owned()).unwrap_or_default()
    }

    #[test]
    fn reads_what_a_route_takes() {
        let body = br#" {"app":"orders","scopes":["a","b"],"force_refresh":true,"tenant":null,"claims":"{\"a\":1}"}"#;
        let mut members = read(body, CLIENT_CREDENTIALS).unwrap();
        let common = members.common();
        assert_eq!(
            (common.app, common.tenant, common.claims, common.force_refresh),
            (Some("orders"), None, Some(r#"{"a":1}"#), true)
        );
        assert_eq!(common.scopes.unwrap().to_string(), "a b");
        let mut members = read(br#"{"scopes":"a  b","requested_token_type":"t"}"#, OBO).unwrap();
        let request = members.on_behalf_of(Some("bearer"));
        assert_eq!((request.bearer, request.requested_token_type), (Some("bearer"), Some("t")));
        assert_eq!(request.common.scopes.unwrap().to_string(), "a b");
        let mut members = read(br#"{"redirect_uri":"r","extra_scopes_to_consent":["x"],"state":"s"}"#, AUTH_CODE_URL).unwrap();
        let request = members.auth_code_url();
        assert_eq!((request.redirect_uri, request.state), (Some("r"), Some("s")));
        assert!(request.extra_scopes_to_consent.is_some() && request.common.scopes.is_none());
        let mut members = read(br#"{"code":"c","iss":"i"}"#, AUTH_CODE).unwrap();
        let request = members.auth_code();
        assert_eq!((request.code, request.iss), (Some("c"), Some("i")));
        let mut members = read(br#"{"account":"oid.tid","scopes":"a","force_refresh":true}"#, SILENT).unwrap();
        let request = members.silent();
        assert_eq!((request.account, request.common.force_refresh), (Some("oid.tid"), true));
        assert_eq!(request.common.scopes.unwrap().to_string(), "a");
    }

    #[test]
    fn borrows_from_the_body() {
        let body = br#"{"app":"orders"}"#.to_vec();
        let mut members = read(&body, OBO).unwrap();
        let app = members.common().app.unwrap().as_ptr();
        assert!(body.as_ptr_range().contains(&app));
    }

    #[test]
    fn says_what_is_wrong_with_a_body() {
        let deep = format!("{{\"app\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        for (body, want) in [
            (&b""[..], "no body"),
            (b"  \n", "no body"),
            (b"[]", "no object"),
            (b"[\"orders\"]", "no object"),
            (b"null", "no object"),
            (b"\"eyJhbGciOi\"", "no object"),
            (b"{", "not JSON at line 1"),
            (b"{\"app\":\"x\"} {}", "not JSON at line 1"),
            (b"{\"app\":\"x\"}x", "not JSON at line 1"),
            (b"{\"app\":\"\xff\"}", "not UTF-8"),
            (b"app=orders", "not JSON at line 1"),
            (deep.as_bytes(), "not JSON at line 1"),
        ] {
            let detail = detail(body, OBO);
            assert!(detail.contains(want) && detail.contains("a JSON object is expected"), "{detail}");
        }
    }

    #[test]
    fn names_the_member_and_the_remedy_and_never_the_value() {
        for (body, want) in [
            (r#"{"app":7}"#, r#"`app` has to be a string, and is a number; write "app": "…""#),
            (r#"{"claims":{"canary":1}}"#, "`claims` has to be a string, and is an object"),
            (r#"{"force_refresh":"canary"}"#, "`force_refresh` has to be true or false, and is a string"),
            (r#"{"force_refresh":1}"#, "`force_refresh` has to be true or false, and is a number"),
            (r#"{"scopes":{"canary":1}}"#, "`scopes` has to be an array of strings, or one string"),
            (r#"{"scopes":["canary",7]}"#, "is an array with something else than strings"),
            (r#"{"scopes":[null]}"#, "is an array with something else than strings"),
            (r#"{"app":"canary","app":"canary"}"#, "`app` stands twice"),
            (r#"{"app":null,"app":null}"#, "`app` stands twice"),
            (r#"{"scope":"canary"}"#, "`scope` is no member of any request; this route takes app, api, scopes"),
            (r#"{"eyJhbGciOiJub25lIn0":1}"#, "its name is not repeated"),
            (r#"{"code":"canary"}"#, "this route does not take `code`; it takes app"),
            (r#"{"app":"x","code":"canary","app":"y"}"#, "this route does not take `code`"),
            (r#"{"scopes":[]}"#, "`scopes` is empty"),
            (r#"{"scopes":"  "}"#, "`scopes` is empty"),
            (r#"{"scopes":["canary",""]}"#, "`scopes` is empty or has an empty scope"),
            (r#"{"scopes":["canary","canary"]}"#, "`scopes` names a scope twice"),
            (r#"{"scopes":"canary canary"}"#, "`scopes` names a scope twice"),
            (r#"{"scopes":["canary b"]}"#, "`scopes` has a character"),
            (r#"{"scopes":"caf\u00e9"}"#, "`scopes` has a character"),
        ] {
            let detail = detail(body.as_bytes(), OBO);
            assert!(detail.contains(want), "{body}: {detail}");
            assert!(!detail.contains("canary") && !detail.contains("eyJ"), "{detail}");
        }
        for (body, takes, want) in [
            (r#"{"extra_scopes_to_consent":[]}"#, AUTH_CODE_URL, "`extra_scopes_to_consent` is empty"),
            (r#"{"account":{"canary":1}}"#, SILENT, "`account` has to be a string, and is an object"),
            (r#"{"account":"canary","account":"canary"}"#, SILENT, "`account` stands twice"),
            (r#"{"account":"canary"}"#, OBO, "this route does not take `account`"),
            (r#"{"home_account_id":"canary"}"#, SILENT, "`home_account_id` is no member of any request"),
            (r#"{"redirect_uri":"canary"}"#, SILENT, "this route does not take `redirect_uri`"),
        ] {
            let detail = detail(body.as_bytes(), takes);
            assert!(detail.contains(want) && !detail.contains("canary"), "{body}: {detail}");
        }
    }

    #[test]
    fn bounds_the_scopes() {
        let list = |count: usize| format!("{{\"scopes\":\"{}\"}}", (0..count).map(|n| format!("s{n} ")).collect::<String>());
        assert!(read(list(256).as_bytes(), OBO).is_ok());
        assert!(detail(list(257).as_bytes(), OBO).contains("more than 256"));
    }

    #[test]
    fn bounds_every_string() {
        for member in Member::ALL.iter().filter(|member| member.expected() == Expected::Text) {
            let body = |length: usize| format!("{{\"{}\":\"{}\"}}", member.name(), "canary-x".repeat(length / 8) + "\u{e9}");
            let takes = Takes::of(&[*member]);
            assert!(read(body(LONGEST - 8).as_bytes(), takes).is_ok(), "{member:?}");
            let detail = detail(body(LONGEST).as_bytes(), takes);
            assert!(detail.contains(&format!("`{}` is longer than 8192 bytes", member.name())), "{detail}");
            assert!(!detail.contains("canary"), "{detail}");
        }
        let scopes = |length: usize| format!("{{\"scopes\":[\"{}\",\"{}\"]}}", "a".repeat(length / 2), "b".repeat(length / 2));
        assert!(read(scopes(16 * 1024).as_bytes(), OBO).is_ok());
        assert!(detail(scopes(16 * 1024 + 2).as_bytes(), OBO).contains("`scopes` is longer than 16384 bytes"));
        let text = format!("{{\"scopes\":\"{}\"}}", "a".repeat(16 * 1024 + 1));
        assert!(detail(text.as_bytes(), OBO).contains("`scopes` is longer than 16384 bytes"));
    }

    #[test]
    fn a_caller_with_apis_may_name_what_says_nothing_of_the_tokens_worth() {
        let allowed = [
            "app",
            "api",
            "tenant",
            "claims",
            "force_refresh",
            "access_token_sha256",
            "account",
            "redirect_uri",
            "prompt",
            "login_hint",
            "domain_hint",
            "response_mode",
            "state",
            "nonce",
            "code",
            "code_verifier",
            "iss",
        ];
        for takes in [CLIENT_CREDENTIALS, OBO, AUTH_CODE_URL, AUTH_CODE, SILENT] {
            for member in takes.iter() {
                let value = if member.expected() == Expected::Flag { "true" } else { "\"x\"" };
                let body = format!("{{\"app\":\"a\",\"{}\":{value}}}", member.name()).replace("\"app\":\"a\",\"app\"", "\"app\"");
                let beyond = read(body.as_bytes(), takes).unwrap().common().beyond;
                let expected = if allowed.contains(&member.name()) { Beyond::Nothing } else { Beyond::Member(member.name()) };
                assert_eq!(beyond, expected, "{body}");
            }
        }
        // Whoever makes a request otherwise has looked at nothing.
        assert_eq!(crate::flow::Common::default().beyond, Beyond::Unknown);
        assert_eq!(read(b"{\"scopes\":null}", OBO).unwrap().common().beyond, Beyond::Nothing);
    }

    #[test]
    fn every_route_takes_its_own() {
        for (takes, count) in [(CLIENT_CREDENTIALS, 10), (OBO, 12), (AUTH_CODE_URL, 16), (AUTH_CODE, 13), (SILENT, 11)] {
            assert_eq!(takes.iter().count(), count);
            for member in Member::ALL {
                let body = format!("{{\"{}\":null}}", member.name());
                assert!(read(body.as_bytes(), takes).is_ok(), "null is as good as absent: {body}");
            }
        }
        assert!(!AUTH_CODE.has(Member::ForceRefresh) && !OBO.has(Member::Code));
    }
}
