//! The grants of Entra's token endpoint that have no file of their own.

use serde_json::Value;

use super::{
    client_auth,
    entra::{Ask, Home, needed, person, user_at},
    fault::{Fault, Outcome},
    grants::{CodeProblem, Session},
    jose,
    registration::UserState,
    scopes,
};

pub(super) fn client_credentials(ask: &Ask<'_>) -> Outcome<Value> {
    client_auth::required(ask.proof)?;
    let tenant = match ask.home {
        Home::Many => {
            return Err(Fault::says(
                50059,
                "No tenant-identifying information found in the request: client credentials need a tenant.",
            ));
        }
        Home::Tenant(tenant) => tenant.id.as_str(),
        Home::Adfs => ask.client.tenant.as_str(),
    };
    let scope = needed(ask.call, "scope")?;
    let resource = scopes::default_of(ask.world, tenant, scope)?;
    Ok(ask.app_answer(tenant, resource))
}

pub(super) fn authorization_code(ask: &Ask<'_>) -> Outcome<Value> {
    if !ask.client.public {
        client_auth::required(ask.proof)?;
    }
    let code = needed(ask.call, "code")?;
    let redirect_uri = needed(ask.call, "redirect_uri")?;
    let verifier = ask.call.param("code_verifier");
    let now = ask.world.now();
    let session = ask.world.grants().redeem(code, &ask.client.client_id, redirect_uri, verifier, now);
    let session = session.map_err(|problem| match problem {
        CodeProblem::Unknown => Fault::says(70000, "The provided value for the 'code' parameter is not valid."),
        CodeProblem::Expired => Fault::aadsts(70008),
        CodeProblem::Used => Fault::aadsts(54005),
        CodeProblem::RedirectUri => Fault::aadsts(500_112),
        CodeProblem::Verifier => Fault::aadsts(501_481),
    })?;
    ask.at_home(&session)?;
    // The scope of the redemption counts if it is sent, and may be another resource's.
    let scope = ask.call.param("scope").unwrap_or(&session.scope).to_owned();
    ask.user_answer(&Session { scope, ..session })
}

pub(super) fn refresh_token(ask: &Ask<'_>) -> Outcome<Value> {
    if !ask.client.public {
        client_auth::required(ask.proof)?;
    }
    let token = needed(ask.call, "refresh_token")?;
    let session = ask.world.grants().session(token, &ask.client.client_id);
    let session =
        session.ok_or_else(|| Fault::says(70000, "The provided value for the 'refresh_token' parameter is not valid."))?;
    ask.at_home(&session)?;
    ask.may(&session.person, "refresh")?;
    let scope = ask.call.param("scope").unwrap_or(&session.scope).to_owned();
    ask.user_answer(&Session { scope, nonce: None, ..session })
}

pub(super) fn password(ask: &Ask<'_>) -> Outcome<Value> {
    if !ask.client.public {
        client_auth::required(ask.proof)?;
    }
    let username = needed(ask.call, "username")?;
    let given = needed(ask.call, "password")?;
    let scope = needed(ask.call, "scope")?.to_owned();
    let user = user_at(ask.world, ask.home, username)
        .ok_or_else(|| Fault::says(50034, format!("The user account {username} does not exist in the directory.")))?;
    match user.state {
        UserState::Enabled if user.password == given => {}
        UserState::Enabled => return Err(Fault::aadsts(50126)),
        UserState::Disabled => return Err(Fault::aadsts(50057)),
        UserState::Locked => return Err(Fault::aadsts(50053)),
        UserState::PasswordExpired => return Err(Fault::aadsts(50055)),
    }
    let person = person(user);
    ask.may(&person, "password")?;
    let session = Session {
        client_id: ask.client.client_id.clone(),
        place: ask.place(&person),
        person,
        scope,
        nonce: None,
        sid: jose::random(),
    };
    ask.user_answer(&session)
}
