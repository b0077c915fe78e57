//! A refresh token that another library got (RFC 6749 §6): redeemed once, so that its user is signed in here from now on. The token
//! itself is never kept.

use crate::flow::catalogue::Flow;
use crate::flow::handle::is_handle;
use crate::flow::plan::{Asker, Plan, TriedGrant};
use crate::flow::refusal::Refusal;
use crate::flow::request::ForeignRefreshToken;
use crate::flow::settings::RefreshTokens;
use crate::oauth::GRANT_REFRESH_TOKEN;
use crate::secret::Secret;
use crate::token::HoldKey;

use super::sign_in::{SignInAsked, SignInGrant, not_allowed};

/// More than any refresh token has, in bytes.
const LONGEST: usize = 32 * 1024;

/// What is to be done.
pub(super) async fn plan<'a>(asker: Asker<'a>, request: &'a ForeignRefreshToken<'a>) -> Result<Plan<'a>, Refusal> {
    let asked = SignInAsked::read(asker, &request.common)?;
    if !asked.asker.app.refresh_token {
        return Err(not_allowed("apps.*.refresh_token"));
    }
    let wanted = "give the one that the library has which signed the user in";
    let token = match request.refresh_token {
        None | Some("") => return Err(Refusal::member(format!("`refresh_token` is missing: {wanted}"))),
        Some(token) if is_handle(token) => {
            let detail = "`refresh_token` is a handle of tokend's own, which is redeemed at `/oauth2/token`";
            return Err(Refusal::member(detail));
        }
        Some(token) if token.len() > LONGEST || token.contains(|c: char| !matches!(c, ' '..='~')) => {
            return Err(Refusal::member(format!(
                "`refresh_token` is over {LONGEST} bytes, or has characters that none has: {wanted}"
            )));
        }
        Some(token) => token,
    };
    let is_single_use = asked.asker.app.refresh_tokens == RefreshTokens::SingleUse;
    let tried = is_single_use.then(|| TriedGrant::SingleUse(HoldKey::of(&[b"refresh token", token.as_bytes()])));
    let form = asked.form(GRANT_REFRESH_TOKEN).with_secret("refresh_token", Secret::new(token));
    asked.plan(SignInGrant { flow: Flow::RefreshToken, form, members: &[token], tried }).await
}
