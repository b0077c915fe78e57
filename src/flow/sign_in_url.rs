//! Authorization codes (RFC 6749 §4.1) with PKCE (RFC 7636): the URL that starts a sign-in. `grants::auth_code` ends it.
//!
//! tokend keeps nothing between the two: the caller holds state, nonce and verifier in the browser's own session.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::app::App;
use super::catalogue::Flow;
use super::members::{self, ClaimsMember, random};
use super::refusal::{Refusal, RefusalKind};
use super::request::{AuthCodeUrl, AuthorizationUrl, Call};
use super::spine::failure::refuse;
use super::spine::{Beginning, pushed};
use super::state::FlowState;
use crate::oauth::Form;
use crate::source::ClientProof;
use crate::token::{Scopes, Turn};

/// The authorize URL for a request.
pub(super) async fn url(
    state: &FlowState,
    app: &Arc<App>,
    call: Call,
    request: &AuthCodeUrl<'_>,
) -> Result<AuthorizationUrl, Arc<Refusal>> {
    let common = &request.common;
    let scopes = members::scopes(state, common)?;
    members::user_target(app, common, scopes)?;
    let redirect_uri = members::redirect_uri(request.redirect_uri)?;
    response_type(request.response_type)?;
    response_mode(request.response_mode)?;
    let claims = ClaimsMember::read(common)?;
    let tenant = app.tenant(common.tenant)?;
    let endpoint = app.authority.authorization_endpoint(tenant.as_ref(), call.clone().for_app(&app.label)).await;
    let mut url = endpoint.map_err(|failure| refuse(Flow::AuthCode, failure, None))?;
    let pushes = app.pushes_requests || wants_pushed(app, &call).await?;
    let (given, nonce) = (given_or_random(request.state, "state")?, given_or_random(request.nonce, "nonce")?);
    let code_verifier = random()?;
    let sent = members::sign_in_scopes(app, scopes);
    let extra: Vec<&str> = request.extra_scopes_to_consent.iter().flat_map(Scopes::iter).collect();
    let scope = sent.with(&extra).to_string();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, code_verifier.as_bytes()));
    let (merged, variant) = (claims.merged(app), app.usual.variant_of(&claims.variant(app, common, tenant.as_ref())));
    let members = [
        ("client_id", Some(app.client_id.as_str())),
        ("response_type", Some("code")),
        ("redirect_uri", Some(redirect_uri)),
        ("scope", Some(&scope)),
        ("state", Some(&given)),
        ("nonce", Some(&nonce)),
        ("code_challenge", Some(&challenge)),
        ("code_challenge_method", Some("S256")),
        ("response_mode", request.response_mode),
        ("prompt", request.prompt),
        ("login_hint", request.login_hint),
        ("domain_hint", request.domain_hint),
        ("audience", common.audience),
        ("resource", common.resource),
        ("claims", merged.as_deref()),
    ]
    .map(|(name, value)| value.map(|value| (name, value)));
    let members = members.into_iter().flatten();
    if pushes {
        // RFC 9126 §2.1: as it would stand in the URL, which then has nothing but its name.
        let own = members.filter(|(name, _)| *name != "client_id");
        let form = own.fold(Form::of_call(PURPOSE), |form, (name, value)| form.with(name, value));
        let beginning = Beginning {
            flow: Flow::AuthCode,
            app,
            call,
            tenant: tenant.as_ref(),
            client: ClientProof::Usual,
            form,
            scopes,
            variant: &variant,
            challenge: claims.challenge(),
        };
        let request = pushed(state, &beginning).await?.ok_or_else(takes_none)?;
        let named = [("client_id", app.client_id.as_str()), ("request_uri", request.request_uri.as_str())];
        url.query_pairs_mut().extend_pairs(named);
    } else {
        url.query_pairs_mut().extend_pairs(members);
    }
    let (state, redirect_uri) = (given, redirect_uri.to_owned());
    Ok(AuthorizationUrl { authorization_url: url.into(), state, nonce, code_verifier, redirect_uri, scope: sent.to_string() })
}

/// What a pushed request is called where calls are counted.
const PURPOSE: &str = "pushed_authorization";

async fn wants_pushed(app: &App, call: &Call) -> Result<bool, Refusal> {
    let wants = app.authority.wants_pushed_requests(call.clone().for_app(&app.label)).await;
    wants.map_err(|failure| refuse(Flow::AuthCode, failure, None))
}

fn takes_none() -> Refusal {
    let detail = "the app pushes its authorization requests (`par: true`), and the authority's metadata has no \
                  `pushed_authorization_request_endpoint`: remove `par`, or switch them on at the authority";
    Refusal::new(Turn::Operator, RefusalKind::InvalidAuthorityResponse, detail)
}

/// Implicit and hybrid answers have tokens in a URL or a page (RFC 9700 §2.1.2).
fn response_type(given: Option<&str>) -> Result<(), Refusal> {
    match given {
        None | Some("code") => Ok(()),
        Some(_) => Err(Refusal::member(
            "`response_type` is another one than code, and neither implicit nor hybrid answers are served: leave it out; the code \
             comes with PKCE, and `/auth-code` redeems it for the tokens",
        )),
    }
}

fn response_mode(given: Option<&str>) -> Result<(), Refusal> {
    match given {
        None | Some("query" | "form_post") => Ok(()),
        Some("fragment") => Err(Refusal::member(
            "`response_mode` is fragment, which never reaches a server: use query or form_post; the code comes with PKCE, and \
                 `/auth-code` redeems it for the tokens",
        )),
        Some(_) => Err(Refusal::member("`response_mode` is neither query nor form_post")),
    }
}

fn given_or_random(given: Option<&str>, member: &str) -> Result<String, Refusal> {
    match given {
        None => random(),
        Some(text) if (1..=1024).contains(&text.len()) => Ok(text.to_owned()),
        Some(_) => Err(Refusal::member(format!("`{member}` has no or over 1024 characters: shorten it, or leave it out"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{response_mode, response_type};
    use crate::flow::members::{is_verifier, random};

    #[test]
    fn a_random_text_is_a_code_verifier() {
        let text = random().unwrap();
        assert!(is_verifier(&text), "{text}");
        assert_ne!(random().unwrap(), text);
    }

    #[test]
    fn members_of_the_url_are_checked() {
        assert!(response_mode(Some("fragment")).is_err_and(|refusal| refusal.detail.contains("fragment")));
        assert!(response_mode(Some("form_post")).is_ok());
        assert!(response_type(Some("code")).is_ok() && response_type(None).is_ok());
        for implicit in ["", "token", "id_token", "id_token token", "code id_token", "code token", "none", "Code"] {
            assert!(response_type(Some(implicit)).is_err_and(|refusal| refusal.detail.contains("PKCE")), "{implicit}");
        }
    }
}
