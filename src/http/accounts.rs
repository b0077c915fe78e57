//! The routes of accounts: who is signed in, and signing out. They take no body, and no id leaves the path: logs and spans have the
//! route's template only.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::asked::Asked;
use super::frame::json;
use super::openapi;
use super::problem::Problem;
use super::query::{ACCOUNT, LISTING, account, read};
use super::rest::Door;

/// The accounts that are signed in at an app, a page at a time.
///
/// An account that signs in or out while the listing goes on may be listed or not; one that is renewed meanwhile may be listed twice.
#[utoipa::path(
    get, path = "/accounts", tag = openapi::ACCOUNTS, params(openapi::ListParameters, openapi::RequestHeaders),
    responses(openapi::AccountsAnswers, openapi::LocalProblems)
)]
pub(super) async fn list_accounts(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.list(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

/// One account.
#[utoipa::path(
    get, path = "/accounts/{home_account_id}", tag = openapi::ACCOUNTS, params(openapi::AccountParameters, openapi::RequestHeaders),
    responses(openapi::AccountAnswers, openapi::LocalProblems)
)]
pub(super) async fn get_account(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.one(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

/// Signs an account out: every token of it is gone from every replica. Nothing is revoked at the authority.
#[utoipa::path(
    delete, path = "/accounts/{home_account_id}", tag = openapi::ACCOUNTS,
    params(openapi::AccountParameters, openapi::RequestHeaders), responses(openapi::SignedOutAnswers, openapi::LocalProblems)
)]
pub(super) async fn sign_out(State(door): State<Arc<Door>>, request: Request) -> Response {
    let asked = door.frame.asked(&request);
    let outcome = door.sign_out(&asked, request).await;
    door.frame.respond(&asked, outcome)
}

// === impl Door ===

impl Door {
    async fn list(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let head = self.frame.bare(request).await?;
        let query = read(head.uri.query(), LISTING).map_err(Problem::Fault)?;
        let listing = query.listing().map_err(Problem::Fault)?;
        let accounts = self.service.accounts(asked.caller, &listing).await.map_err(Problem::Refused)?;
        Ok(json_of(&accounts))
    }

    async fn one(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let head = self.frame.bare(request).await?;
        let query = read(head.uri.query(), ACCOUNT).map_err(Problem::Fault)?;
        let id = account(head.uri.path()).map_err(Problem::Fault)?;
        let account = self.service.account(asked.caller, query.app(), &id).await.map_err(Problem::Refused)?;
        Ok(json_of(&account))
    }

    async fn sign_out(&self, asked: &Asked, request: Request) -> Result<Response, Problem> {
        let head = self.frame.bare(request).await?;
        let query = read(head.uri.query(), ACCOUNT).map_err(Problem::Fault)?;
        let id = account(head.uri.path()).map_err(Problem::Fault)?;
        self.service.sign_out(asked.caller, query.app(), &id).await.map_err(Problem::Refused)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

fn json_of<T: Serialize>(value: &T) -> Response {
    // Strings always become JSON.
    json(serde_json::to_vec(value).unwrap_or_default())
}
