//! The API document, generated from the routes: their paths and methods are the router's own, their members those that the parser takes.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, Response, SchemaFormat, ServerBuilder, Type,
};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::asked::CORRELATION_ID;
use super::refusal::Document;
use super::routes;
use super::schemas::{ErrorValue, TokenAnswer};
use crate::flow::AuthorizationUrl;
use crate::token::Account;

pub(super) use super::schemas::{AuthCodeRequest, AuthCodeUrlRequest, ClientCredentialsRequest, OnBehalfOfRequest};

/// The tags of the token listener.
pub(super) const TOKENS: &str = "tokens";
pub(super) const SIGN_IN: &str = "sign-in";

/// The headers that every route reads.
pub(super) struct RequestHeaders;

/// The answers of routes that give a token.
pub(super) struct TokenAnswers;

/// The answers of the route that gives a URL.
pub(super) struct UrlAnswers;

/// The answers of every route that fails.
pub(super) struct Problems;

/// The statuses of problems, and when they are given.
const STATUSES: [(StatusCode, &str); 12] = [
    (StatusCode::BAD_REQUEST, "The caller's request is wrong."),
    (StatusCode::UNAUTHORIZED, "The user has to sign in again, or the inbound token is not accepted."),
    (StatusCode::FORBIDDEN, "The caller may not do this, or the request comes from a web page or by a foreign host name."),
    (StatusCode::NOT_FOUND, "There is no such app, api or route."),
    (StatusCode::METHOD_NOT_ALLOWED, "The route does not take this method; `Allow` names those it takes."),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON."),
    (StatusCode::TOO_MANY_REQUESTS, "The authority asks for fewer requests."),
    (
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The head is too large; one of more than twice the bound is answered without a body.",
    ),
    (StatusCode::BAD_GATEWAY, "The authority refused the app's credential or configuration, or answered garbage."),
    (StatusCode::SERVICE_UNAVAILABLE, "The authority cannot be reached, or tokend has too much to do."),
    (StatusCode::GATEWAY_TIMEOUT, "There was no answer in time."),
];

/// The token listener's part of the API document.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("tokend")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("A token acquisition sidecar: OAuth 2.0 tokens for apps, over a local REST API."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let user_token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The user's access token for this app, as the app received it."))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("user_token", SecurityScheme::Http(user_token))
        .schema_from::<TokenAnswer>()
        .schema_from::<AuthorizationUrl>()
        .schema_from::<Account>()
        .schema_from::<Document<'static>>()
        .schema_from::<ErrorValue>()
        .responses_from_iter(STATUSES.map(|(status, description)| (component(status), problem(status, description))))
        .build();
    let server = ServerBuilder::new().url("http://127.0.0.1:8650").description(Some("The token listener (`listen`)")).build();
    let document = OpenApiBuilder::new().info(info).components(Some(components)).servers(Some([server])).build();
    document.merge_from(routes().into_openapi())
}

/// The whole API document as YAML: the token listener's routes, and `admin`'s beside them.
///
/// # Errors
/// None that can happen: the document is plain data. The type is the writer's.
pub fn document(admin: OpenApi) -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    openapi().merge_from(admin).to_yaml()
}

fn header(description: &str, schema: ObjectBuilder) -> Header {
    HeaderBuilder::new().description(Some(description)).schema(Some(schema)).build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn uuid() -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom("uuid".to_owned())))
}

/// An answer with what every answer carries.
fn answer(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header(CORRELATION_ID.as_str(), header("The request's id, here and in the authority's logs.", uuid()))
        .header("cache-control", header("Always `no-store`.", text().enum_values(Some(["no-store"]))))
}

fn success<S: ToSchema>(description: &str) -> BTreeMap<String, RefOr<Response>> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(S::name()))).build();
    BTreeMap::from([("200".to_owned(), answer(description).content("application/json", content).build().into())])
}

// === impl RequestHeaders ===

impl IntoParams for RequestHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, description: &str, schema: ObjectBuilder| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(schema))
                .build()
        };
        vec![
            parameter(CORRELATION_ID.as_str(), "An id for the request; it becomes the authority's `client-request-id`.", uuid()),
            parameter("traceparent", "The W3C trace context that the request belongs to.", text()),
        ]
    }
}

// === impl TokenAnswers ===

impl IntoResponses for TokenAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        success::<TokenAnswer>("A token.")
    }
}

// === impl UrlAnswers ===

impl IntoResponses for UrlAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        success::<AuthorizationUrl>("The URL, and what has to be kept until the code comes back.")
    }
}

// === impl Problems ===

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let reference = |status: StatusCode| RefOr::Ref(Ref::from_response_name(component(status)));
        STATUSES.iter().map(|(status, _)| (status.as_str().to_owned(), reference(*status))).collect()
    }
}

/// The name of a status's answer among the components: it is the same for every route.
fn component(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or_default().replace(' ', "")
}

fn problem(status: StatusCode, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Document::name()))).build();
    let mut answer = answer(description).content("application/problem+json", content);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        answer = answer.header("retry-after", header("Seconds until the request may succeed, where that is known.", seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        let description = "`Bearer`, with `error` `invalid_token`, `interaction_required` or `insufficient_claims`; the last with `claims` \
                           in base64 and `authorization_uri`. Ready to be forwarded.";
        answer = answer.header("www-authenticate", header(description, text()));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer = answer.header("allow", header("The methods that the route takes.", text()));
    }
    answer.build()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::openapi;
    use crate::flow::Kind;

    fn json() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    #[test]
    fn has_every_route_with_its_answers() {
        let document = json();
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(paths, ["/auth-code", "/auth-code/url", "/client-credentials", "/obo"]);
        for path in paths {
            let responses = &document["paths"][path]["post"]["responses"];
            assert_eq!(responses.as_object().unwrap().len(), 13, "{path}");
            assert_eq!(responses["401"]["$ref"], "#/components/responses/Unauthorized");
        }
        assert!(document["components"]["responses"]["Unauthorized"]["headers"]["www-authenticate"].is_object());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = json();
        let text = document.to_string();
        for part in text.split("\"#/").skip(1) {
            let pointer = format!("/{}", part.split('"').next().unwrap());
            assert!(document.pointer(&pointer).is_some_and(Value::is_object), "{pointer}");
        }
    }

    #[test]
    fn the_error_values_are_a_closed_set() {
        let document = json();
        let values = document["components"]["schemas"]["ErrorValue"]["anyOf"][0]["enum"].as_array().unwrap().clone();
        for kind in Kind::ALL {
            assert!(values.contains(&Value::from(kind.as_str())), "{kind:?}");
        }
        assert!(values.contains(&Value::from("overloaded")) && values.contains(&Value::from("host_not_allowed")));
        let mut unique = values.clone();
        unique.dedup();
        assert_eq!(unique, values);
    }

    #[test]
    fn the_members_are_those_that_the_parser_takes() {
        let document = json();
        let schema = &document["components"]["schemas"]["OnBehalfOfRequest"];
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["properties"]["requested_token_type"].is_object() && schema["properties"]["code"].is_null());
        assert!(document["components"]["schemas"]["Problem"]["properties"]["error_codes"].is_object());
    }
}
