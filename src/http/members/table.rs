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
    /// Digits.
    Number,
}

/// A set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct MemberSet(u64);

/// The longest string that a member of a body may be, in bytes.
pub(in crate::http) const LONGEST: usize = 8 * 1024;

/// Makes everything out of the rows. A row that begins with `#[serde(skip)]` is no member of a body. `for_apis`: a caller with
/// `callers.*.apis` may name it, since it says nothing of what a token is good for. `body` and `query`: where it may stand, and
/// what the API document says of it there.
macro_rules! members {
    ($(
        $(#[$serde:meta])?
        $name:ident $variant:ident: $kind:ident $($for_apis:ident)? $(, body $body:literal)? $(, query $query:literal)?;
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
                    $(Self::$variant => stringify!($name),)*
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
            pub(super) fn present(&self) -> MemberSet {
                MemberSet(0 $(| (u64::from(self.$name.is_some()) << Member::$variant as u32))*)
            }

            /// A member whose string is too long.
            pub(super) fn too_long(&self) -> Option<Member> {
                $(members!(@too_long $kind self.$name, $variant);)*
                None
            }

            /// Puts the text of a query in. False: it was there before.
            pub(super) fn put(&mut self, member: Member, text: Cow<'a, str>) -> bool {
                $(members!(@put $($query)?; $kind self.$name, text, member == Member::$variant);)*
                false
            }
        }
    };
    (@type Text) => { Text<'a> };
    (@type Flag) => { bool };
    (@type Scopes) => { ScopeList };
    (@type Number) => { Number };
    (@option) => { None };
    (@option $text:literal) => { Some($text) };
    (@for_apis) => { false };
    (@for_apis for_apis) => { true };
    (@too_long Text $member:expr, $variant:ident) => {
        if $member.as_ref().is_some_and(|text| text.as_str().len() > LONGEST) {
            return Some(Member::$variant);
        }
    };
    (@too_long $kind:ident $member:expr, $variant:ident) => {};
    (@put ; $($rest:tt)*) => {};
    (@put $query:literal; $kind:ident $member:expr, $text:ident, $is_meant:expr) => {
        if $is_meant {
            return $member.replace($kind::from($text)).is_none();
        }
    };
}

members! {
    app App: Text for_apis, body "The app; without it the api's, `default`, or the only one.",
        query "The app; without it `default`, or the only one.";
    api Api: Text for_apis, body "A named api, in place of `scopes`.";
    scopes Scopes: Scopes, body "What the token shall be good for.";
    tenant Tenant: Text for_apis, body "Another tenant than the authority's own: a GUID or a DNS name. The app has to list it.";
    claims Claims: Text for_apis,
        body "A claims challenge: JSON text, or its base64 or base64url. It bypasses the cached token.";
    client_claims ClientClaims: Text,
        body "Claims that key the cache instead of bypassing it: JSON text, or its base64 or base64url.";
    force_refresh ForceRefresh: Flag for_apis, body "Do not answer from the cache.";
    access_token_sha256 AccessTokenSha256: Text for_apis,
        body "Do not answer with the token that has this SHA-256: the one that a resource just rejected.";
    audience Audience: Text, body "RFC 8693 §2.1; OIDC issuers only.";
    resource Resource: Text, body "RFC 8707; OIDC issuers only.";
    subject_token_type SubjectTokenType: Text, body "RFC 8693 §2.1; OIDC issuers only. An access token, if absent.";
    requested_token_type RequestedTokenType: Text,
        body "RFC 8693 §2.1; OIDC issuers only. An access token, if absent; never a refresh token.";
    account Account: Text for_apis, body "Whose token: the `home_account_id` of the answer to the sign-in, never a username.";
    redirect_uri RedirectUri: Text for_apis,
        body "Where the authority sends the code; the same for `/auth-code/url` and `/auth-code`.";
    prompt Prompt: Text for_apis, body "OpenID Connect Core §3.1.2.1.";
    login_hint LoginHint: Text for_apis, body "Who is likely to sign in (OpenID Connect Core §3.1.2.1).";
    domain_hint DomainHint: Text for_apis, body "Entra: which home realm the user is likely to come from.";
    extra_scopes_to_consent ExtraScopesToConsent: Scopes,
        body "Scopes that the user is asked to consent to now; they are not redeemed with the code.";
    response_mode ResponseMode: Text for_apis, body "`query` or `form_post`.";
    state State: Text for_apis, body "To be compared with what comes back; made by tokend if absent.";
    nonce Nonce: Text for_apis,
        body "Ties the id token to the sign-in; made by `/auth-code/url` if absent, and checked by `/auth-code` if given.";
    code Code: Text for_apis, body "The authorization code.";
    code_verifier CodeVerifier: Text for_apis, body "What `/auth-code/url` gave (RFC 7636).";
    iss Iss: Text for_apis, body "The `iss` that came with the code (RFC 9207).";
    #[serde(skip)]
    cursor Cursor: Text for_apis, query "The `next` of the listing before, as it came; without it the listing starts.";
    #[serde(skip)]
    limit Limit: Number for_apis, query "About how many accounts are wanted at once.";
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

    /// What a caller with `callers.*.apis` may name.
    pub(super) const FOR_APIS: Self = Self::for_apis();

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
