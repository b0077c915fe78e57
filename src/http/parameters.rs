//! The parameters of the API document: headers, and those of the routes without a body, by the names that the parser takes.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, SchemaFormat, Type};

use super::asked::CORRELATION_ID;
use super::query::{ACCOUNT, LISTING, Parameter as QueryParameter};

/// The headers that every route reads.
pub(super) struct RequestHeaders;

/// What `GET /accounts` takes.
pub(super) struct ListParameters;

/// What `GET` and `DELETE /accounts/{home_account_id}` take.
pub(super) struct AccountParameters;

/// A string.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A UUID.
pub(super) fn uuid() -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom("uuid".to_owned())))
}

// === impl RequestHeaders ===

impl IntoParams for RequestHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter =
            |name: &str, description: &str, schema| parameter(name, ParameterIn::Header, Required::False, description, schema);
        vec![
            parameter(CORRELATION_ID.as_str(), "An id for the request; it becomes the authority's `client-request-id`.", uuid()),
            parameter("traceparent", "The W3C trace context that the request belongs to.", text()),
        ]
    }
}

fn parameter(name: &str, place: ParameterIn, required: Required, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

// === impl ListParameters ===

impl IntoParams for ListParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        LISTING.iter().copied().map(query_parameter).collect()
    }
}

// === impl AccountParameters ===

impl IntoParams for AccountParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The account's `home_account_id`, percent-encoded.";
        let id = parameter("home_account_id", ParameterIn::Path, Required::True, description, text());
        std::iter::once(id).chain(ACCOUNT.iter().copied().map(query_parameter)).collect()
    }
}

fn query_parameter(of: QueryParameter) -> Parameter {
    let (description, schema) = match of {
        QueryParameter::App => ("The app; without it `default`, or the only one.", text()),
        QueryParameter::Cursor => ("The `next` of the listing before, as it came; without it the listing starts.", text()),
        QueryParameter::Limit => {
            let number =
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(1000)).default(Some(100.into()));
            ("About how many accounts are wanted at once.", number)
        }
    };
    parameter(of.name(), ParameterIn::Query, Required::False, description, schema)
}
