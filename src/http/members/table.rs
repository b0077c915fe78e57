//! The members of every request: what each is called, what its value has to be, where it may stand and what it says, in one row.
//!
//! The rows make the struct that serde fills, what is known of a member without a value, and the API document.

use std::borrow::Cow;

use serde::Deserialize;

use super::values::{Number, ScopeList, Text};
use crate::caller::Beyond;

/// What a member's value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum MemberKind {
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// An array of strings, or one string.
    Scopes,
    /// Such a list that few requests have.
    RareScopes,
    /// Digits.
    Number,
    /// A string that few requests have which the cache answers.
    Rare,
    /// A string that no JSON body has.
    Word,
    /// A string that proves or stands for somebody: a token, an assertion. It may be as long as a body.
    Token,
}

/// A set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct MemberSet(u64);

/// The longest string that a member of a body may be, in bytes.
pub(in crate::http) const LONGEST: usize = 8 * 1024;

/// Makes everything out of the rows. A row that begins with `#[serde(skip)]` is no member of a JSON body. A name that is no name in
/// Rust stands in brackets. `for_apis`: a caller with `callers.*.apis` may name it, since it says nothing of what a token is good
/// for. `body`, `form` and `query`: where it may stand, and what the API document says of it there.
macro_rules! members {
    ($(
        $(#[$serde:meta])?
        $name:ident $([$wire:literal])? $variant:ident: $kind:ident $($for_apis:ident)?
            $(, body $body:literal)? $(, form $form:literal)? $(, query $query:literal)?;
    )*) => {
        /// The members of a request; `null` is as good as absent.
        #[derive(Default, Deserialize)]
        // `borrow` does not see the lifetime behind a macro; the bound says it.
        #[serde(deny_unknown_fields, bound(deserialize = "'de: 'a"))]
        pub(in crate::http) struct Members<'a> {
            $($(#[$serde])? pub(in crate::http) $name: Option<members!(@type $kind)>,)*
            /// What a caller with `callers.*.apis` may not name.
            #[serde(skip)]
            pub(in crate::http) beyond: Beyond,
        }

        /// A member's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::http) enum Member {
            $($variant,)*
        }

        impl Member {
            /// Every member of every route.
            pub(in crate::http) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as requests spell it.
            pub(in crate::http) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => members!(@name $name $($wire)?),)*
                }
            }

            /// What its value has to be.
            pub(in crate::http) const fn kind(self) -> MemberKind {
                match self {
                    $(Self::$variant => MemberKind::$kind,)*
                }
            }

            /// What it says in a body. `None`: it cannot stand there.
            pub(in crate::http) const fn in_body(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => members!(@option $($body)?),)*
                }
            }

            /// What it says in a form. `None`: it cannot stand there.
            pub(in crate::http) const fn in_form(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => members!(@option $($form)?),)*
                }
            }

            /// What it says in a query. `None`: it cannot stand there.
            pub(in crate::http) const fn in_query(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => members!(@option $($query)?),)*
                }
            }

            const fn is_for_apis(self) -> bool {
                match self {
                    $(Self::$variant => members!(@for_apis $($for_apis)?),)*
                }
            }
        }

        impl<'a> Members<'a> {
            /// The members that the request has.
            pub(in crate::http) fn present(&self) -> MemberSet {
                MemberSet(0 $(| (u64::from(self.$name.is_some()) << Member::$variant as u32))*)
            }

            /// What a caller with `callers.*.apis` may not name, where these may be named all the same.
            pub(in crate::http) fn beyond_but(&self, allowed: MemberSet) -> Beyond {
                let beyond = self.present().without(MemberSet::FOR_APIS).without(allowed).first();
                beyond.map_or(Beyond::Nothing, |member| Beyond::Member(member.name()))
            }

            /// A member whose string is too long.
            pub(super) fn too_long(&self) -> Option<Member> {
                $(members!(@too_long $kind self.$name, $variant);)*
                None
            }

            /// Puts the text of a form or a query in.
            pub(super) fn put(&mut self, member: Member, text: Cow<'a, str>) -> Placing {
                $(members!(@put $($form)? $($query)?; $kind self.$name, text, member == Member::$variant);)*
                Placing::Misplaced
            }
        }
    };
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $wire:literal) => { $wire };
    (@type Text) => { Text<'a> };
    (@type Flag) => { bool };
    (@type Scopes) => { ScopeList };
    (@type Number) => { Number };
    // On the heap: most requests have none of them, and all move what has a place for each.
    (@type RareScopes) => { Box<ScopeList> };
    (@type Rare) => { Box<Text<'a>> };
    (@type Word) => { Box<Text<'a>> };
    (@type Token) => { Box<Text<'a>> };
    (@option) => { None };
    (@option $text:literal) => { Some($text) };
    (@for_apis) => { false };
    (@for_apis for_apis) => { true };
    (@too_long Text $member:expr, $variant:ident) => {
        if $member.as_ref().is_some_and(|text| text.as_str().len() > LONGEST) {
            return Some(Member::$variant);
        }
    };
    (@too_long Rare $member:expr, $variant:ident) => {
        members!(@too_long Text $member, $variant);
    };
    (@too_long $kind:ident $member:expr, $variant:ident) => {};
    (@put ; $($rest:tt)*) => {};
    (@put $($place:literal)+; Scopes $($rest:tt)*) => {};
    (@put $($place:literal)+; RareScopes $($rest:tt)*) => {};
    (@put $($place:literal)+; $kind:ident $member:expr, $text:ident, $is_meant:expr) => {
        if $is_meant {
            return match members!(@from $kind $text) {
                Some(value) => if $member.replace(value).is_none() { Placing::Done } else { Placing::Twice },
                None => Placing::Misshapen,
            };
        }
    };
    (@from Flag $text:ident) => { flag(&$text) };
    (@from Number $text:ident) => { Some(Number::from($text)) };
    (@from Text $text:ident) => { Some(Text::from($text)) };
    (@from $kind:ident $text:ident) => { Some(Box::new(Text::from($text))) };
}

/// What became of a text that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placing {
    Done,
    /// It was there before.
    Twice,
    /// It is not what the member's value has to be.
    Misshapen,
    /// No form and no query has it.
    Misplaced,
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

members! {
    app App: Text for_apis, body "The app; without it the api's, `default`, or the only one.",
        query "The app; without it `default`, or the only one.";
    api Api: Text for_apis, body "A named api, in place of `scopes`.", form "A named api, in place of `scope`.";
    scopes Scopes: Scopes, body "What the token shall be good for.";
    tenant Tenant: Text for_apis, body "Another tenant than the authority's own: a GUID or a DNS name. The app has to list it.",
        form "Another tenant than the authority's own: a GUID or a DNS name. The app has to list it.";
    claims Claims: Rare for_apis,
        body "A claims challenge: JSON text, or its base64 or base64url. It bypasses the cached token.",
        form "A claims challenge: JSON text, or its base64 or base64url. It bypasses the cached token.";
    client_claims ClientClaims: Rare,
        body "Claims that key the cache instead of bypassing it: JSON text, or its base64 or base64url.";
    force_refresh ForceRefresh: Flag for_apis, body "Do not answer from the cache.", form "Do not answer from the cache: `true`.";
    access_token_sha256 AccessTokenSha256: Rare for_apis,
        body "Do not answer with the token that has this SHA-256: the one that a resource just rejected.";
    audience Audience: Text, body "RFC 8693 §2.1; OIDC issuers only.", form "RFC 8693 §2.1; OIDC issuers only.";
    resource Resource: Text, body "RFC 8707; OIDC issuers and AD FS only.", form "RFC 8707; OIDC issuers and AD FS only.",
        query "The resource: an App ID URI. The token is for its `/.default`.";
    subject_token_type SubjectTokenType: Rare,
        body "RFC 8693 §2.1; OIDC issuers only, but for the types of SAML assertions. An access token, if absent.",
        form "RFC 8693 §2.1. An access token's, a JWT's, or a SAML assertion's.";
    requested_token_type RequestedTokenType: Rare,
        body "RFC 8693 §2.1; OIDC issuers only, but for the types of SAML assertions. An access token, if absent; never a refresh token.",
        form "RFC 8693 §2.1. An access token's, if absent; never a refresh token's.";
    account Account: Text for_apis, body "Whose token: the `home_account_id` of the answer to the sign-in, never a username.";
    redirect_uri RedirectUri: Rare for_apis,
        body "Where the authority sends the code; the same for `/auth-code/url` and `/auth-code`.",
        form "Where the authority sent the code.";
    prompt Prompt: Rare for_apis, body "OpenID Connect Core §3.1.2.1.";
    login_hint LoginHint: Rare for_apis, body "Who is likely to sign in (OpenID Connect Core §3.1.2.1).";
    domain_hint DomainHint: Rare for_apis, body "Entra: which home realm the user is likely to come from.";
    extra_scopes_to_consent ExtraScopesToConsent: RareScopes,
        body "Scopes that the user is asked to consent to now; they are not redeemed with the code.";
    response_type ResponseType: Rare for_apis, body "`code`, or nothing: no token ever comes in a URL or a page.";
    response_mode ResponseMode: Rare for_apis, body "`query` or `form_post`.";
    state State: Rare for_apis, body "To be compared with what comes back; `/auth-code/url` makes one if it is absent.";
    nonce Nonce: Rare for_apis,
        body "Ties the id token to the sign-in; made by `/auth-code/url` if absent, and checked by `/auth-code` if given.";
    code Code: Rare for_apis, body "The authorization code.", form "The authorization code.";
    code_verifier CodeVerifier: Rare for_apis, body "What `/auth-code/url` gave (RFC 7636).", form "RFC 7636.";
    device_code DeviceCode: Rare for_apis, body "The `device_code` that `/device-code` gave.",
        form "The `device_code` that `/oauth2/device_authorization` gave (RFC 8628 §3.4).";
    iss Iss: Rare for_apis, body "The `iss` that came with the code (RFC 9207).";
    post_logout_redirect_uri PostLogoutRedirectUri: Rare for_apis,
        body "Where the browser comes back to, as it is registered for the app (RP-Initiated Logout 1.0 §2).";
    logout_hint LogoutHint: Rare for_apis, body "Who is likely to sign out (RP-Initiated Logout 1.0 §2); not beside `account`.";
    id_token_hint IdTokenHint: Rare for_apis, body "An id token of the user, which the caller kept (RP-Initiated Logout 1.0 §2).";
    #[serde(skip)]
    cursor Cursor: Word for_apis, query "The `next` of the listing before, as it came; without it the listing starts.";
    #[serde(skip)]
    limit Limit: Number for_apis, query "About how many accounts are wanted at once.";
    #[serde(skip)]
    grant_type GrantType: Word, form "RFC 6749 §4, RFC 7523, RFC 8693.";
    #[serde(skip)]
    client_id ClientId: Word, form "An app's name, else its client id; without it the only app, or `default`.",
        query "The app, by its client id; without it the caller's only app, or `default`.";
    #[serde(skip)]
    client_secret ClientSecret: Token, form "The caller's token (`callers`), never the app's secret.";
    #[serde(skip)]
    client_assertion ClientAssertion: Token, form "The JWT of a caller that proves itself by one.";
    #[serde(skip)]
    client_assertion_type ClientAssertionType: Word, form "RFC 7523 §2.2.";
    #[serde(skip)]
    scope Scope: Word, form "What the token shall be good for, space-separated.";
    refresh_token RefreshToken: Token for_apis, body "The refresh token that another library got. It is redeemed, and not kept.",
        form "A handle that a sign-in here was answered with.";
    username Username: Rare for_apis, body "The user's name, as the user writes it to sign in.",
        form "The user's name, as the user writes it to sign in.";
    password Password: Rare for_apis, body "The user's password.", form "The user's password.";
    assertion Assertion: Token for_apis,
        body "A SAML assertion in place of the user's token: XML, or its base64 or base64url; 190 KiB at most.",
        form "The user's token (RFC 7523 §2.1), or a SAML assertion (RFC 7522 §2.1).";
    assertion_type AssertionType: Rare for_apis, body "As `subject_token_type`, of `assertion`; one of the two.";
    #[serde(skip)]
    subject_token SubjectToken: Token, form "The user's token (RFC 8693 §2.1).";
    #[serde(skip)]
    requested_token_use RequestedTokenUse: Word, form "`on_behalf_of`, or nothing.";
    #[serde(skip)]
    token TheToken: Token, form "The token in question.";
    #[serde(skip)]
    token_type_hint TokenTypeHint: Word, form "What it may be; not needed, and not looked at.";
    policy Policy: Rare for_apis, body "A policy (user flow) at Azure AD B2C, in place of the app's own. The app has to list it.",
        form "A policy (user flow) at Azure AD B2C, in place of the app's own. The app has to list it.";
    session Session: Rare for_apis,
        body "A long-running on-behalf-of session: `new` or a key of your own with the user's token begins one, the key alone goes on with it.",
        form "A long-running on-behalf-of session that begins: `new`, or a key of your own. The refresh token of the answer continues it.";
    #[serde(skip)]
    actor_token ActorToken: Token, form "Refused: delegation with an actor is not served.";
    #[serde(skip)]
    authorization_details AuthorizationDetails: Word, form "Refused (RFC 9396).";
    #[serde(skip)]
    request RequestObject: Token, form "Refused (RFC 9101).";
    #[serde(skip)]
    req_cnf ReqCnf: Word, form "Refused: tokens are not bound to keys.";
    #[serde(skip)]
    token_type TokenType: Word, form "Refused: tokens are bearer tokens.";
    #[serde(skip)]
    api_version["api-version"] ApiVersion: Word, query "`2019-08-01`, or `2018-02-01` at the instance metadata route.";
    #[serde(skip)]
    mi_res_id MiResId: Word, query "The app, by one of its `managed_identity_ids`.";
    #[serde(skip)]
    msi_res_id MsiResId: Word, query "As `mi_res_id`.";
    #[serde(skip)]
    object_id ObjectId: Word, query "The app, by one of its `managed_identity_ids`.";
    #[serde(skip)]
    principal_id PrincipalId: Word, query "As `object_id`.";
    #[serde(skip)]
    token_sha256_to_refresh TokenSha256ToRefresh: Word,
        query "Do not answer with the token that has this SHA-256: the one that a resource just rejected.";
}

// A set has a bit for each.
const _: () = assert!(Member::ALL.len() <= 64);

// === impl Member ===

impl Member {
    /// The member of a body that has this name.
    pub(super) fn of_body(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|member| member.in_body().is_some() && member.name() == name)
    }
}

// === impl MemberSet ===

impl MemberSet {
    /// What every route for a token takes.
    pub(in crate::http) const COMMON: Self = Self::of(&[
        Member::App,
        Member::Api,
        Member::Scopes,
        Member::Tenant,
        Member::Claims,
        Member::ClientClaims,
        Member::Audience,
        Member::Resource,
    ]);

    /// With what steers the cache: there is nothing to steer where it is not read.
    pub(in crate::http) const CACHED: Self = Self::COMMON.and(&[Member::ForceRefresh, Member::AccessTokenSha256]);

    /// With what both steps of a sign-in take.
    pub(in crate::http) const SIGN_IN: Self = Self::COMMON.and(&[Member::RedirectUri, Member::Nonce, Member::Policy]);

    /// What a caller with `callers.*.apis` may name.
    pub(super) const FOR_APIS: Self = Self::for_apis();

    /// What every form has that shows who its caller is.
    pub(in crate::http) const PROOFS: Self =
        Self::of(&[Member::ClientId, Member::ClientSecret, Member::ClientAssertion, Member::ClientAssertionType]);

    /// What the instance metadata route takes.
    pub(in crate::http) const IMDS: Self = Self::of(&[
        Member::ApiVersion,
        Member::Resource,
        Member::ClientId,
        Member::ObjectId,
        Member::MsiResId,
        Member::TokenSha256ToRefresh,
    ]);

    /// A set of these.
    pub(in crate::http) const fn of(members: &[Member]) -> Self {
        Self(0).and(members)
    }

    /// This set, and these.
    pub(in crate::http) const fn and(self, members: &[Member]) -> Self {
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

    pub(super) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether `member` is one of them.
    pub(in crate::http) const fn has(self, member: Member) -> bool {
        self.0 >> member as u32 & 1 == 1
    }

    pub(super) fn first(self) -> Option<Member> {
        // Their order is that of the bits.
        usize::try_from(self.0.trailing_zeros()).ok().and_then(|index| Member::ALL.get(index).copied())
    }

    /// The members, in the order of the rows.
    pub(in crate::http) fn iter(self) -> impl Iterator<Item = Member> {
        Member::ALL.iter().copied().filter(move |member| self.has(*member))
    }

    /// Their names, for a sentence.
    pub(super) fn names(self) -> String {
        self.iter().map(Member::name).collect::<Vec<_>>().join(", ")
    }
}
