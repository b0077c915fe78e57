//! The authorization code: redeemed once, by the client that it was issued to.

use serde_json::Value;

use crate::{
    entra::{
        ask::{Ask, needed},
        client,
    },
    fault::{Fault, Outcome},
    issued::{CodeProblem, Session},
};

pub(crate) fn redeem(ask: &Ask<'_>) -> Outcome<Value> {
    let public = client::comes_public(ask.client, ask.proof)?;
    let code = needed(ask.call, "code")?;
    let redirect_uri = needed(ask.call, "redirect_uri")?;
    let verifier = ask.call.param("code_verifier");
    let now = ask.world.now();
    let session = ask.world.issued().redeem(code, &ask.client.client_id, redirect_uri, verifier, now);
    let session = session.map_err(|problem| match problem {
        CodeProblem::Unknown => Fault::says(70000, "The provided value for the 'code' parameter is not valid."),
        CodeProblem::Expired => Fault::aadsts(70008),
        CodeProblem::Used => Fault::aadsts(54005),
        CodeProblem::RedirectUri => Fault::aadsts(500_112),
        CodeProblem::Verifier => Fault::aadsts(501_481),
    })?;
    ask.at_home(&session)?;
    ask.again(Session { public, ..session })
}
