//! The API document, made from the table of routes: its paths, methods and members are those that are served.

mod parameters;
mod responses;
mod schemas;

use utoipa::openapi::path::{Operation, OperationBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Ref, Required,
    ServerBuilder,
};

use super::dialect::{
    AppServiceError, AppServiceToken, AuthorizationHeader, Document, ErrorValue, ImdsError, ImdsToken, OAuthDevice, OAuthError,
    OAuthToken, PassageError, ValidatedToken,
};
use super::routes::{BodyKind, ProofPlace, ROUTES, Route};
use super::server_metadata::ServerMetadata;
use crate::flow::{Accounts, AuthorizationUrl, DeviceAuthorization, EndSessionUrl};
use crate::token::{Account, SignedInAccount};

use responses::{STATUSES, component, problem};
use schemas::TokenAnswer;

/// The security scheme of callers.
const CALLER: &str = "caller_token";

/// The security scheme of callers that speak OAuth 2.0.
const CLIENT: &str = "client_secret";

/// The security scheme of clients that ask for a managed identity's tokens.
const IDENTITY: &str = "identity_header";

/// The security scheme of users.
const USER: &str = "user_token";

/// The token listener's part of the API document.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("tokend")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("A token acquisition sidecar: OAuth 2.0 tokens for apps, over a local REST API."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let server = ServerBuilder::new().url("http://127.0.0.1:8650").description(Some("The token listener (`listen`)")).build();
    let mut paths = Paths::new();
    for route in &ROUTES {
        paths.add_path_operation(route.path.template, vec![route.method.documented()], operation(route));
    }
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components())).servers(Some([server])).build()
}

/// What a route does.
fn operation(route: &Route) -> Operation {
    let what = &route.operation;
    let body = match route.body {
        BodyKind::Json(schema, _) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
            Some(RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build())
        }
        BodyKind::Form(schema, _) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
            let body = RequestBodyBuilder::new().content("application/x-www-form-urlencoded", content);
            Some(body.required(Some(Required::True)).build())
        }
        BodyKind::Empty | BodyKind::Query | BodyKind::Sidecar | BodyKind::Unread => None,
    };
    let securities = securities(route);
    OperationBuilder::new()
        .tag(what.tag)
        .summary(Some(what.summary))
        .description(what.description)
        .operation_id(Some(what.id))
        .parameters(Some(parameters::of(route)))
        .request_body(body)
        .responses(responses::of(route))
        .securities(Some(securities))
        .build()
}

/// What proves its caller, and its user.
fn securities(route: &Route) -> Vec<SecurityRequirement> {
    let caller = |scheme: &str| SecurityRequirement::new(scheme, Vec::<String>::new());
    match route.path.proof {
        ProofPlace::Header => {}
        ProofPlace::Form => return vec![SecurityRequirement::default(), caller(CLIENT), caller(CALLER)],
        ProofPlace::IdentityHeader => return vec![caller(IDENTITY)],
        ProofPlace::Named | ProofPlace::Open => return vec![SecurityRequirement::default()],
    }
    let user = if route.bearer { SecurityRequirement::new(USER, Vec::<String>::new()) } else { SecurityRequirement::default() };
    let both = user.clone().add(CALLER, Vec::<String>::new());
    vec![user, both]
}

/// What routes share.
fn components() -> Components {
    let user_token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The user's access token for this app, as the app received it."))
        .build();
    let caller_token = ApiKeyValue::with_description(
        "X-Tokend-Token",
        "The caller's token, or its JWT. Needed on every route where the configuration has `callers`, ignored where it has none. A \
         caller that is known by its connection (a client certificate, its process at a Unix socket, an address of its own) leaves \
         it out.",
    );
    let client_secret = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("An app and the caller's token, as `client_id` and `client_secret`; they may stand in the form instead."))
        .build();
    let identity_header =
        ApiKeyValue::with_description("X-IDENTITY-HEADER", "The caller's token; where there are no `callers`, `msi.secret`.");
    let shared = ComponentsBuilder::new()
        .security_scheme(CLIENT, SecurityScheme::Http(client_secret))
        .security_scheme(IDENTITY, SecurityScheme::ApiKey(ApiKey::Header(identity_header)))
        .schema_from::<OAuthToken<'static>>()
        .schema_from::<OAuthError<'static>>()
        .schema_from::<OAuthDevice<'static>>()
        .schema_from::<ServerMetadata>()
        .schema_from::<AppServiceToken<'static>>()
        .schema_from::<AppServiceError>()
        .schema_from::<ImdsToken<'static>>()
        .schema_from::<ImdsError<'static>>()
        .schema_from::<PassageError<'static>>()
        .schema_from::<AuthorizationHeader<'static>>()
        .schema_from::<ValidatedToken<'static>>()
        .schema("Introspection", schemas::introspection())
        .security_scheme(USER, SecurityScheme::Http(user_token))
        .security_scheme(CALLER, SecurityScheme::ApiKey(ApiKey::Header(caller_token)))
        .schema_from::<TokenAnswer>()
        .schema_from::<AuthorizationUrl>()
        .schema_from::<EndSessionUrl>()
        .schema_from::<DeviceAuthorization>()
        .schema_from::<Account>()
        .schema_from::<SignedInAccount>()
        .schema_from::<Accounts>()
        .schema_from::<Document<'static>>()
        .schema_from::<ErrorValue>()
        .responses_from_iter(STATUSES.map(|(status, description)| (component(status), problem(status, description))));
    let bodies = ROUTES.iter().filter_map(|route| match route.body {
        BodyKind::Json(schema, description) => Some((schema, schemas::request(route.takes, description))),
        BodyKind::Form(schema, description) => Some((schema, schemas::form(route.takes, description))),
        BodyKind::Empty | BodyKind::Query | BodyKind::Sidecar | BodyKind::Unread => None,
    });
    bodies.fold(shared, |components, (name, schema)| components.schema(name, schema)).build()
}

/// The whole API document as YAML: the token listener's routes, and `admin`'s beside them.
///
/// # Errors
/// None that can happen: the document is plain data. The type is the writer's.
pub fn document(admin: OpenApi) -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    openapi().merge_from(admin).to_yaml()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::openapi;
    use crate::flow::RefusalKind;

    fn json() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    #[test]
    fn has_every_route_with_its_answers() {
        let document = json();
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let account = "/accounts/{home_account_id}";
        let metadata = "/.well-known/oauth-authorization-server/{app}";
        let imds = "/metadata/identity/oauth2/token";
        let rest =
            ["/accounts", account, "/auth-code", "/auth-code/url", "/client-credentials", "/obo", "/silent", "/sign-out/url"];
        let sign_ins = ["/device-code", "/device-code/poll", "/refresh-token", "/username-password"];
        let others = [
            metadata,
            "/introspect",
            imds,
            &format!("{imds}/"),
            "/msi/token",
            "/oauth2/device_authorization",
            "/oauth2/revoke",
            "/oauth2/token",
        ];
        let proxies = ["/auth/{api}"];
        let sidecar = ["/AuthorizationHeader/{apiName}", "/AuthorizationHeaderUnauthenticated/{apiName}", "/Validate", "/healthz"];
        let mut all = [&rest[..], &others, &sign_ins, &proxies, &sidecar].concat();
        all.sort_unstable();
        assert_eq!(paths, all);
        for path in ["/auth-code", "/auth-code/url", "/client-credentials", "/obo", "/silent"] {
            let responses = &document["paths"][path]["post"]["responses"];
            assert_eq!(responses.as_object().unwrap().len(), 13, "{path}");
            assert_eq!(responses["401"]["$ref"], "#/components/responses/Unauthorized");
        }
        for (path, method, status) in [("/accounts", "get", "200"), (account, "get", "200"), (account, "delete", "204")] {
            let responses = &document["paths"][path][method]["responses"];
            let statuses: Vec<_> = responses.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(statuses, [status, "400", "403", "404", "405", "431", "503", "504"], "{method} {path}");
            assert_eq!(responses[status]["content"].is_null(), status == "204", "{method} {path}");
        }
        assert!(document["components"]["responses"]["Unauthorized"]["headers"]["www-authenticate"].is_object());
    }

    #[test]
    fn the_parameters_are_those_that_the_routes_take() {
        let document = json();
        let account = "/accounts/{home_account_id}";
        for (path, method, want) in [
            ("/accounts", "get", &["app", "cursor", "limit"][..]),
            (account, "get", &["home_account_id", "app"]),
            (account, "delete", &["home_account_id", "app"]),
        ] {
            let parameters = document["paths"][path][method]["parameters"].as_array().unwrap();
            let all: Vec<_> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(all, [want, &["x-correlation-id", "traceparent"]].concat(), "{method} {path}");
            for parameter in parameters {
                assert_eq!(parameter["required"], parameter["in"] == "path", "{parameter}");
            }
        }
    }

    #[test]
    fn every_route_takes_a_callers_token_in_its_place() {
        let document = json();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let needs = operation["security"].as_array().unwrap();
                match path.as_str() {
                    "/msi/token" => assert!(needs.iter().all(|need| need["identity_header"].is_array()), "{path}"),
                    "/oauth2/token" | "/oauth2/revoke" | "/introspect" | "/oauth2/device_authorization" => {
                        assert!(needs.iter().any(|need| need["client_secret"].is_array()), "{path}");
                    }
                    _ => {}
                }
                if !["rest", "tokens", "sign-in", "accounts"].contains(&operation["tags"][0].as_str().unwrap()) {
                    continue;
                }
                let with = needs.iter().filter(|need| need["caller_token"].is_array()).count();
                assert!(with == 1 && needs.len() == 2, "{method} {path}: {needs:?}");
                let user = needs.iter().filter(|need| need["user_token"].is_array()).count();
                let reads_user = path == "/obo" && method == "post";
                assert_eq!(user, if reads_user { 2 } else { 0 }, "{method} {path}: {needs:?}");
            }
        }
        assert_eq!(document["components"]["securitySchemes"]["caller_token"]["name"], "X-Tokend-Token");
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
        for kind in RefusalKind::ALL {
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
