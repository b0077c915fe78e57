//! One token past the cache: proves the address, the credential and the registration together.

use std::sync::Arc;

use super::app::App;
use super::catalogue::Flow;
use super::refusal::Refusal;
use super::request::Call;
use super::spine::failure::{refuse_at, unavailable};
use super::spine::send::{self, SendError};
use crate::authority::{OwnToken, TokenVersion};
use crate::oauth::Form;
use crate::source::Repeat;
use crate::token::Tenant;

/// Asks for it.
pub(super) async fn run(app: &App, call: Call) -> Result<(), Arc<Refusal>> {
    let profile = app.authority.profile();
    if app.has_credential().is_err() || profile.own_token == OwnToken::None {
        // Nothing is sure to be given without a user. That its authority answers is all that can be tried.
        let document = app.authority.document(TokenVersion::Current, call.for_app(&app.label)).await;
        return document.map(drop).map_err(|failure| refuse_at(Flow::AuthCode, None, failure, None).into());
    }
    // An app may always have a token for itself, so that this needs no api.
    let scope = match profile.own_token {
        OwnToken::Default => Some(format!("{}/.default", app.client_id)),
        OwnToken::Scope(scope) => scope.map(str::to_owned),
        OwnToken::None => None,
    };
    let form = Form::default().with("grant_type", "client_credentials").with_some("scope", scope);
    let tenant = app.tenants.first().filter(|_| app.authority.tenant().is_some_and(Tenant::is_any));
    match send::run(app, &form, tenant, Repeat::Once, call).await.outcome {
        Ok(_) => Ok(()),
        Err(SendError::Turn(why)) => Err(unavailable(why).into()),
        Err(SendError::Credential(problem)) => Err(send::unusable(&problem).into()),
        Err(SendError::Before(failure) | SendError::Authority(failure)) => {
            Err(refuse_at(Flow::ClientCredentials, tenant, failure, None).into())
        }
    }
}
