//! The schemas of the API document that no type of the program has: requests, by the members that their routes take, and the token
//! answer, which is written by hand.

use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, Schema};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};

use super::super::members::{LONGEST, Member, MemberKind, MemberSet};
use crate::token::Account;

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
    /// The session that the request named, or began: its key is a secret. Null where the authority gave nothing to continue with;
    /// absent where no session was named.
    #[schema(required = false)]
    session: Option<String>,
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

/// A JSON body of these members, and no others.
pub(super) fn request(takes: MemberSet, description: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    takes.iter().fold(object, |object, member| object.property(member.name(), value(member, member.in_body()))).into()
}

/// A form of these members.
pub(super) fn form(takes: MemberSet, description: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::Object).description(Some(description));
    takes.iter().fold(object, |object, member| object.property(member.name(), value(member, member.in_form()))).into()
}

/// The answer of introspection (RFC 7662 §2.2).
pub(super) fn introspection() -> RefOr<Schema> {
    let text = |description: &'static str| ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    let active = ObjectBuilder::new().schema_type(Type::Boolean).description(Some("If it is not, nothing else is said."));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Whether a token is active. All claims of an active one stand beside these members."))
        .property("active", active)
        .required("active")
        .property("scope", text("What it is good for, space-separated."))
        .property("client_id", text("To whom it was given."))
        .property("username", text("Whose it is, for display only."))
        .property("token_type", text("`Bearer`."))
        .property("iss", text("Who issued it."))
        .property("exp", ObjectBuilder::new().schema_type(Type::Integer).description(Some("When it ends, in seconds since 1970.")))
        .into()
}

/// What the value of a member has to be.
pub(super) fn value(member: Member, description: Option<&'static str>) -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    match member.kind() {
        MemberKind::Text | MemberKind::Rare | MemberKind::Word => text().max_length(Some(LONGEST)).description(description).into(),
        MemberKind::Token => text().description(description).into(),
        MemberKind::Flag => ObjectBuilder::new().schema_type(Type::Boolean).description(description).into(),
        MemberKind::Number => ObjectBuilder::new().schema_type(Type::Integer).description(description).into(),
        MemberKind::Scopes | MemberKind::RareScopes => {
            let list = ArrayBuilder::new().items(text()).min_items(Some(1)).unique_items(true);
            let one = text().description(Some("Space-separated."));
            AnyOfBuilder::new().item(list).item(one).description(description).into()
        }
    }
}
