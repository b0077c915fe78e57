//! The schemas of the API document that no type of the program has: requests, by the members that the parser takes, the token answer, which is
//! written by hand, and the closed set of error values.

use std::borrow::Cow;

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, Schema};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use super::members::{AUTH_CODE, AUTH_CODE_URL, CLIENT_CREDENTIALS, Expected, LONGEST, Member, OBO, SILENT, Takes};
use super::problem::FaultKind;
use crate::flow::Kind;
use crate::token::Account;

/// Declares a request's schema by the members that its route takes.
macro_rules! requests {
    ($($name:ident: $takes:ident, $description:literal;)*) => {$(
        #[doc = $description]
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                request($takes, $description)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

requests! {
    ClientCredentialsRequest: CLIENT_CREDENTIALS, "What `/client-credentials` takes. `scopes` or `api` is needed, unless `audience` or `resource` is given.";
    OnBehalfOfRequest: OBO, "What `/obo` takes. `scopes` or `api` is needed, unless `audience` or `resource` is given.";
    AuthCodeUrlRequest: AUTH_CODE_URL, "What `/auth-code/url` takes. `redirect_uri` is needed.";
    AuthCodeRequest: AUTH_CODE, "What `/auth-code` takes. `code` and `redirect_uri` are needed.";
    SilentRequest: SILENT, "What `/silent` takes. `account` is needed, and `scopes` or `api` at Entra-style authorities.";
}

/// A token, and where it came from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the answer is written by hand; this describes it")]
pub(super) struct TokenAnswer {
    /// The token.
    access_token: String,
    /// `Bearer`, or another scheme as the authority spells it.
    token_type: String,
    /// Seconds until the token ends; null if the authority did not say so credibly.
    #[schema(required = true)]
    expires_in: Option<i64>,
    /// When the token ends, in seconds since 1970.
    #[schema(required = true)]
    expires_on: Option<i64>,
    /// From when on tokend renews it.
    #[schema(required = false)]
    refresh_on: i64,
    /// Until when a resource may accept it in an outage.
    #[schema(required = false)]
    ext_expires_on: i64,
    /// What it is good for, space-separated; absent where an issuer does not say it of a code.
    #[schema(required = false)]
    scope: String,
    /// The tenant that issued it.
    #[schema(required = false)]
    tenant_id: String,
    /// The user; app tokens have none.
    #[schema(required = false, inline = false)]
    account: Account,
    /// The id token, where the flow has one.
    #[schema(required = false)]
    id_token: String,
    /// RFC 8693 §2.2.1.
    #[schema(required = false)]
    issued_token_type: String,
    /// Where the token came from.
    #[schema(pattern = "^(cache|identity_provider)$")]
    token_source: String,
    /// Which level of the cache, if any: `memory` or `redis`.
    #[schema(required = true)]
    cache_level: Option<String>,
    /// Why the authority was asked, if it was.
    #[schema(pattern = "^(not_applicable|force_refresh_or_claims|no_cached_access_token|expired|proactively_refreshed)$")]
    refresh_reason: String,
    /// The request's id.
    #[schema(format = "uuid")]
    correlation_id: String,
}

/// `error` of a problem.
pub(super) struct ErrorValue;

fn request(takes: Takes, description: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    takes.iter().fold(object, |object, member| object.property(member.name(), value(member))).into()
}

fn value(member: Member) -> RefOr<Schema> {
    let description = Some(describe(member));
    let text = || ObjectBuilder::new().schema_type(Type::String);
    match member.expected() {
        Expected::Text => text().max_length(Some(LONGEST)).description(description).into(),
        Expected::Flag => ObjectBuilder::new().schema_type(Type::Boolean).description(description).into(),
        Expected::Scopes => {
            let list = ArrayBuilder::new().items(text()).min_items(Some(1)).unique_items(true);
            let one = text().description(Some("Space-separated."));
            AnyOfBuilder::new().item(list).item(one).description(description).into()
        }
    }
}

fn describe(member: Member) -> &'static str {
    match member {
        Member::App => "The app; without it the api's, `default`, or the only one.",
        Member::Api => "A named api, in place of `scopes`.",
        Member::Scopes => "What the token shall be good for.",
        Member::Tenant => "Another tenant than the authority's own: a GUID or a DNS name. The app has to list it.",
        Member::Claims => "A claims challenge: JSON text, or its base64 or base64url. It bypasses the cached token.",
        Member::ClientClaims => "Claims that key the cache instead of bypassing it: JSON text, or its base64 or base64url.",
        Member::ForceRefresh => "Do not answer from the cache.",
        Member::AccessTokenSha256 => "Do not answer with the token that has this SHA-256: the one that a resource just rejected.",
        Member::Audience => "RFC 8693 §2.1; OIDC issuers only.",
        Member::Resource => "RFC 8707; OIDC issuers only.",
        Member::SubjectTokenType => "RFC 8693 §2.1; OIDC issuers only. An access token, if absent.",
        Member::RequestedTokenType => "RFC 8693 §2.1; OIDC issuers only. An access token, if absent; never a refresh token.",
        Member::Account => "Whose token: the `home_account_id` of the answer to the sign-in, never a username.",
        Member::RedirectUri => "Where the authority sends the code; the same for `/auth-code/url` and `/auth-code`.",
        Member::Prompt => "OpenID Connect Core §3.1.2.1.",
        Member::LoginHint => "Who is likely to sign in (OpenID Connect Core §3.1.2.1).",
        Member::DomainHint => "Entra: which home realm the user is likely to come from.",
        Member::ExtraScopesToConsent => "Scopes that the user is asked to consent to now; they are not redeemed with the code.",
        Member::ResponseMode => "`query` or `form_post`.",
        Member::State => "To be compared with what comes back; made by tokend if absent.",
        Member::Nonce => {
            "Ties the id token to the sign-in; made by `/auth-code/url` if absent, and checked by `/auth-code` if given."
        }
        Member::Code => "The authorization code.",
        Member::CodeVerifier => "What `/auth-code/url` gave (RFC 7636).",
        Member::Iss => "The `iss` that came with the code (RFC 9207).",
    }
}

// === impl ErrorValue ===

impl PartialSchema for ErrorValue {
    fn schema() -> RefOr<Schema> {
        let mut values: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
        values.extend(Kind::ALL.iter().map(|kind| kind.as_str()));
        // Said by the admin listener alone.
        values.push("peer_not_allowed");
        values.sort_unstable();
        values.dedup();
        let own = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("tokend's own values."))
            .enum_values(Some(values.into_iter().map(Value::from)));
        let theirs =
            ObjectBuilder::new().schema_type(Type::String).description(Some("The authority's own `error`, where it refused."));
        AnyOfBuilder::new().item(own).item(theirs).description(Some("What happened.")).into()
    }
}

impl ToSchema for ErrorValue {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ErrorValue")
    }
}
