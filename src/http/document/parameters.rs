//! The parameters of the API document: headers, the segment of a path, and members that stand in a query.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, SchemaFormat, Type};

use super::super::asked::CORRELATION_ID;
use super::super::doors::{accounts, oauth2};
use super::super::members::overrides::PARAMETERS;
use super::super::members::{Member, MemberKind};
use super::super::routes::{BodyKind, Gives, Route};

/// A string.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A UUID.
pub(super) fn uuid() -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom("uuid".to_owned())))
}

/// What a route takes outside its body.
pub(super) fn of(route: &Route) -> Vec<Parameter> {
    let segment = route.path.parameter().map(|name| {
        let description = match name {
            oauth2::APP => "The app's name, percent-encoded.",
            accounts::HOME_ACCOUNT_ID => "The account's `home_account_id`, percent-encoded.",
            _ => "The name of an api.",
        };
        parameter(name, ParameterIn::Path, description, text())
    });
    let query = match route.body {
        BodyKind::Json(..) | BodyKind::Form(..) | BodyKind::Unread => Vec::new(),
        BodyKind::Sidecar => PARAMETERS.iter().map(|known| parameter(known.name, ParameterIn::Query, known.says, text())).collect(),
        BodyKind::Empty | BodyKind::Query => route.takes.iter().map(in_query).collect(),
    };
    let own = match route.operation.gives {
        Gives::InstanceMetadata => Some(parameter("metadata", ParameterIn::Header, "`true`.", text())),
        _ => None,
    };
    segment.into_iter().chain(query).chain(own).chain(headers()).collect()
}

/// The headers that every route reads.
fn headers() -> [Parameter; 2] {
    let id = "An id for the request; it becomes the authority's `client-request-id`.";
    [
        parameter(CORRELATION_ID.as_str(), ParameterIn::Header, id, uuid()),
        parameter("traceparent", ParameterIn::Header, "The W3C trace context that the request belongs to.", text()),
    ]
}

fn in_query(member: Member) -> Parameter {
    let schema = match member.kind() {
        MemberKind::Number => {
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(1000)).default(Some(100.into()))
        }
        MemberKind::Text
        | MemberKind::Rare
        | MemberKind::Word
        | MemberKind::Token
        | MemberKind::Flag
        | MemberKind::Scopes
        | MemberKind::RareScopes => text(),
    };
    parameter(member.name(), ParameterIn::Query, member.in_query().unwrap_or_default(), schema)
}

fn parameter(name: &str, place: ParameterIn, description: &str, schema: ObjectBuilder) -> Parameter {
    // A route without its segment is another one; everything else may be left out.
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
