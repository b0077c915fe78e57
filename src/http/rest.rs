//! The REST routes: each reads its members, calls its flow and renders the answer; nothing is decided here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::asked::Asked;
use super::bearer::bearer;
use super::frame::{Frame, json};
use super::members::{AUTH_CODE, AUTH_CODE_URL, CLIENT_CREDENTIALS, OBO, SILENT, read};
use super::openapi;
use super::problem::Problem;
use crate::flow::{self, AuthorizationUrl, Service};

/// The state of the routes: a flow for each, in the frame that all share.
pub(super) struct Door {
    pub(super) service: Service,
    pub(super) frame: Arc<Frame>,
}

/// A token for the app itself.
#[utoipa::path(
    post, path = "/client-credentials", tag = openapi::TOKENS, params(openapi::RequestHeaders),
    request_body = openapi::ClientCredentialsRequest, responses(openapi::TokenAnswers, openapi::Problems)
)]
pub(super) async fn client_credentials(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.client_credentials(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

/// A token on behalf of the user whose token comes as `Authorization: Bearer`.
#[utoipa::path(
    post, path = "/obo", tag = openapi::TOKENS, params(openapi::RequestHeaders), security(("user_token" = [])),
    request_body = openapi::OnBehalfOfRequest, responses(openapi::TokenAnswers, openapi::Problems)
)]
pub(super) async fn obo(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.obo(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

/// The URL at which a user signs in, with PKCE, state and nonce.
///
/// tokend keeps nothing: the caller stores the answer in the browser's server-side session, and compares `state` with what comes back.
#[utoipa::path(
    post, path = "/auth-code/url", tag = openapi::SIGN_IN, params(openapi::RequestHeaders),
    request_body = openapi::AuthCodeUrlRequest, responses(openapi::UrlAnswers, openapi::Problems)
)]
pub(super) async fn auth_code_url(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.auth_code_url(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

/// Redeems an authorization code: a token and the account that signed in.
#[utoipa::path(
    post, path = "/auth-code", tag = openapi::SIGN_IN, params(openapi::RequestHeaders),
    request_body = openapi::AuthCodeRequest, responses(openapi::TokenAnswers, openapi::Problems)
)]
pub(super) async fn auth_code(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.auth_code(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

/// A token for a user who signed in before: from the cache, else by the account's refresh token.
#[utoipa::path(
    post, path = "/silent", tag = openapi::TOKENS, params(openapi::RequestHeaders),
    request_body = openapi::SilentRequest, responses(openapi::TokenAnswers, openapi::Problems)
)]
pub(super) async fn silent(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.silent(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

// === impl Door ===

impl Door {
    async fn client_credentials(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let (_, body) = self.frame.open(request).await?;
        let mut members = read(&body.bytes, CLIENT_CREDENTIALS).map_err(Problem::Fault)?;
        self.token(asked, flow::Request::ClientCredentials(members.common())).await
    }

    async fn obo(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let (head, body) = self.frame.open(request).await?;
        let bearer = bearer(&head.headers)?;
        let mut members = read(&body.bytes, OBO).map_err(Problem::Fault)?;
        self.token(asked, flow::Request::OnBehalfOf(members.on_behalf_of(bearer))).await
    }

    async fn auth_code_url(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let (_, body) = self.frame.open(request).await?;
        let mut members = read(&body.bytes, AUTH_CODE_URL).map_err(Problem::Fault)?;
        let url: AuthorizationUrl =
            self.service.auth_code_url(asked.caller, asked.call(), &members.auth_code_url()).await.map_err(Problem::Refused)?;
        // Strings always become JSON.
        Ok(json(serde_json::to_vec(&url).unwrap_or_default()))
    }

    async fn auth_code(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let (_, body) = self.frame.open(request).await?;
        let mut members = read(&body.bytes, AUTH_CODE).map_err(Problem::Fault)?;
        self.token(asked, flow::Request::AuthCode(members.auth_code())).await
    }

    async fn silent(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let (_, body) = self.frame.open(request).await?;
        let mut members = read(&body.bytes, SILENT).map_err(Problem::Fault)?;
        self.token(asked, flow::Request::Silent(members.silent())).await
    }

    /// The answer to a request for a token.
    async fn token(&self, asked: &Asked, request: flow::Request<'_>) -> Result<Response, Problem> {
        let answer = self.service.token(asked.caller, asked.call(), &request).await.map_err(Problem::Refused)?;
        Ok(self.frame.token(asked, &answer))
    }
}
