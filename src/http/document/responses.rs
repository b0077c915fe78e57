//! The answers of the API document: what each route gives, and the problems that routes share.

use http::StatusCode;
use utoipa::ToSchema as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Header, ObjectBuilder, Ref, RefOr, Response, Responses, ResponsesBuilder, Type};

use super::super::asked::CORRELATION_ID;
use super::super::dialect::{
    AppServiceError, AppServiceToken, AuthorizationHeader, Dialect, Document, ImdsError, ImdsToken, OAuthDevice, OAuthError,
    OAuthToken, PassageError, ValidatedToken,
};
use super::super::routes::{BodyKind, Gives, Route};
use super::super::server_metadata::ServerMetadata;
use super::parameters::{text, uuid};
use super::schemas::TokenAnswer;
use crate::flow::{Accounts, AuthorizationUrl, DeviceAuthorization, EndSessionUrl};
use crate::token::SignedInAccount;

/// The statuses of problems, and when they are given.
pub(super) const STATUSES: [(StatusCode, &str); 12] = [
    (StatusCode::BAD_REQUEST, "The caller's request is wrong."),
    (StatusCode::UNAUTHORIZED, "The user has to sign in again, or the inbound token is not accepted."),
    (
        StatusCode::FORBIDDEN,
        "The caller is not known or may not do this, the authority does not let the app act for this user (`suberror` `client_mismatch` or \
         `protection_policy_required`), or the request comes from a web page or by a foreign host name.",
    ),
    (StatusCode::NOT_FOUND, "There is no such app, api, account or route."),
    (StatusCode::METHOD_NOT_ALLOWED, "The route does not take this method; `Allow` names those it takes."),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON."),
    (StatusCode::TOO_MANY_REQUESTS, "The authority asks for fewer requests."),
    (
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The head is too large; one of more than twice the bound is answered without a body.",
    ),
    (StatusCode::BAD_GATEWAY, "The authority refused the app's credential or configuration, or answered garbage."),
    (StatusCode::SERVICE_UNAVAILABLE, "The authority or the shared cache cannot be reached, or tokend has too much to do."),
    (StatusCode::GATEWAY_TIMEOUT, "There was no answer in time."),
];

/// Statuses that a route without a body cannot give, since it asks neither a user nor the authority.
const ELSEWHERE: [StatusCode; 5] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
];

/// Those of bodies.
const OF_BODIES: [StatusCode; 2] = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNSUPPORTED_MEDIA_TYPE];

/// What fails at the routes of OAuth 2.0.
const OAUTH: [(StatusCode, &str); 6] = [
    (StatusCode::BAD_REQUEST, "The request is wrong, a right is missing, or it is the user's turn: `error` says which."),
    (StatusCode::UNAUTHORIZED, "`invalid_client`: the caller is not known."),
    (StatusCode::TOO_MANY_REQUESTS, "The authority asks for fewer requests; `Retry-After` says until when."),
    (StatusCode::BAD_GATEWAY, "The authority refused the app's credential or configuration, or answered garbage."),
    (StatusCode::SERVICE_UNAVAILABLE, "What is needed cannot be reached now, or tokend has too much to do; with `Retry-After`."),
    (StatusCode::GATEWAY_TIMEOUT, "There was no answer in time."),
];

/// What fails at the routes of managed identities.
const IDENTITY: [(StatusCode, &str); 5] = [
    (StatusCode::BAD_REQUEST, "Whatever does not get better by itself: SDKs repeat other statuses."),
    (StatusCode::UNAUTHORIZED, "`X-IDENTITY-HEADER` is missing, or no caller's."),
    (StatusCode::TOO_MANY_REQUESTS, "The authority asks for fewer requests; `Retry-After` says until when."),
    (StatusCode::SERVICE_UNAVAILABLE, "What is needed cannot be reached now, or tokend has too much to do; with `Retry-After`."),
    (StatusCode::GATEWAY_TIMEOUT, "There was no answer in time; with `Retry-After`."),
];

/// What fails at the routes of proxies.
const PROXIES: [(StatusCode, &str); 5] = [
    (StatusCode::UNAUTHORIZED, "It is the user's turn; `WWW-Authenticate` is for the proxy's client."),
    (StatusCode::FORBIDDEN, "A right is missing, or the caller is not known."),
    (StatusCode::TOO_MANY_REQUESTS, "The authority asks for fewer requests; `Retry-After` says until when."),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head is too large."),
    (StatusCode::SERVICE_UNAVAILABLE, "Everything else, also what the operator has to fix; with `Retry-After`."),
];

fn header(description: &str, schema: ObjectBuilder) -> Header {
    HeaderBuilder::new().description(Some(description)).schema(Some(schema)).build()
}

/// An answer with what every answer carries.
fn answer(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header(CORRELATION_ID.as_str(), header("The request's id, here and in the authority's logs.", uuid()))
        .header("cache-control", header("Always `no-store`.", text().enum_values(Some(["no-store"]))))
}

/// What a route answers.
pub(super) fn of(route: &Route) -> Responses {
    let foreign = match route.path.dialect {
        Dialect::Problem | Dialect::MsSidecar => None,
        Dialect::AuthRequest => Some((PassageError::name(), &PROXIES[..])),
        Dialect::OAuth => Some((OAuthError::name(), &OAUTH[..])),
        Dialect::AppService => Some((AppServiceError::name(), &IDENTITY[..])),
        Dialect::Imds => Some((ImdsError::name(), &IDENTITY[..])),
    };
    if let Some((schema, statuses)) = foreign {
        let (status, success) = success(route.operation.gives);
        let responses = ResponsesBuilder::new().response(status.as_str(), success);
        let error = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema.clone()))).build();
            answer(description).content("application/json", content).build()
        };
        return statuses
            .iter()
            .fold(responses, |responses, (status, description)| responses.response(status.as_str(), error(description)))
            .build();
    }
    let (status, success) = success(route.operation.gives);
    let asks = |status: &StatusCode| match route.body {
        BodyKind::Json(..) => true,
        BodyKind::Sidecar => !OF_BODIES.contains(status),
        _ => !ELSEWHERE.contains(status) || (route.bearer && *status == StatusCode::UNAUTHORIZED),
    };
    let given = |status: &StatusCode| !route.path.unlimited && asks(status);
    let problems = STATUSES.iter().map(|(status, _)| *status).filter(given);
    let reference = |status: StatusCode| RefOr::Ref(Ref::from_response_name(component(status)));
    let responses = ResponsesBuilder::new().response(status.as_str(), success);
    problems.fold(responses, |responses, status| responses.response(status.as_str(), reference(status))).build()
}

fn success(gives: Gives) -> (StatusCode, Response) {
    let (schema, description) = match gives {
        Gives::Token => (TokenAnswer::name(), "A token."),
        Gives::Url => (AuthorizationUrl::name(), "The URL, and what has to be kept until the code comes back."),
        Gives::SignOutUrl => (EndSessionUrl::name(), "The URL."),
        Gives::Accounts => (Accounts::name(), "Some accounts, and where the listing goes on."),
        Gives::Account => (SignedInAccount::name(), "The account."),
        Gives::OAuthToken => (OAuthToken::name(), "A token."),
        Gives::DeviceAuthorization => (DeviceAuthorization::name(), "The codes, and where the user enters one."),
        Gives::OAuthDeviceAuthorization => (OAuthDevice::name(), "The codes, and where the user enters one."),
        Gives::Introspection => ("Introspection".into(), "Whether the token is active, and its claims if it is."),
        Gives::ServerMetadata => (ServerMetadata::name(), "The metadata."),
        Gives::ManagedIdentity => (AppServiceToken::name(), "A token."),
        Gives::InstanceMetadata => (ImdsToken::name(), "A token."),
        Gives::AuthorizationHeader => (AuthorizationHeader::name(), "The header."),
        Gives::Validation => (ValidatedToken::name(), "The token and its claims."),
        Gives::Passage => return (StatusCode::OK, passage()),
        Gives::Health => return (StatusCode::OK, answer("`Healthy`.").build()),
        Gives::Revocation => return (StatusCode::OK, answer("It is revoked, or was nothing to revoke.").build()),
        Gives::SessionEnd => return (StatusCode::NO_CONTENT, answer("The session has ended, or there was none.").build()),
        Gives::Nothing => return (StatusCode::NO_CONTENT, answer("The account is signed out.").build()),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    (StatusCode::OK, answer(description).content("application/json", content).build())
}

/// What a proxy gets for a request that may pass.
fn passage() -> Response {
    answer("The request may pass. What `apis.*.identity_headers` names is there too, empty where the token has no such claim.")
        .header("authorization", header("The scheme and the token; absent with `exchange: false`.", text()))
        .header("vary", header("Always `Authorization`.", text()))
        .build()
}

/// The name of a status's answer among the components, which all routes share.
pub(super) fn component(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or_default().replace(' ', "")
}

/// The answer with a status that is a problem.
pub(super) fn problem(status: StatusCode, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Document::name()))).build();
    let mut answer = answer(description).content("application/problem+json", content);
    let may_wait = [
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if may_wait.contains(&status) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        answer = answer.header("retry-after", header("Seconds until the request may succeed, where that is known.", seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        let description = "`Bearer`, with `error` `invalid_token`, `interaction_required` or `insufficient_claims`; the last with `claims` \
                           in base64 and `authorization_uri`. Ready to be forwarded.";
        answer = answer.header("www-authenticate", header(description, text()));
    }
    if status == StatusCode::FORBIDDEN {
        let description = "`Bearer error=\"insufficient_scope\"` where the user's token lacks a scope; else it is not there.";
        answer = answer.header("www-authenticate", header(description, text()));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer = answer.header("allow", header("The methods that the route takes.", text()));
    }
    answer.build()
}
