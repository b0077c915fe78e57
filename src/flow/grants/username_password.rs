//! A user's name and password (RFC 6749 §4.3): for apps that cannot send their users anywhere. A wrong password is counted, and
//! after five of them in five minutes nobody may try that user's.

use crate::flow::catalogue::Flow;
use crate::flow::plan::{Asker, Plan, TriedGrant};
use crate::flow::refusal::Refusal;
use crate::flow::request::UsernamePassword;
use crate::oauth::GRANT_PASSWORD;
use crate::secret::Secret;
use crate::token::HoldKey;

use super::sign_in::{SignInAsked, SignInGrant, not_allowed};

/// More than any user's name has, in bytes, and more than any password.
const LONGEST_NAME: usize = 1024;
const LONGEST_PASSWORD: usize = 4096;

/// The tenants that take no passwords: none of them says whose the user is.
const NO_PASSWORDS: [&str; 2] = ["common", "consumers"];

/// What is to be done.
pub(super) async fn plan<'a>(asker: Asker<'a>, request: &'a UsernamePassword<'a>) -> Result<Plan<'a>, Refusal> {
    let asked = SignInAsked::read(asker, &request.common)?;
    if !asked.asker.app.username_password {
        return Err(not_allowed("apps.*.username_password"));
    }
    if asked.tenant().is_some_and(|tenant| NO_PASSWORDS.contains(&tenant.as_str())) {
        let detail = "passwords are taken by one tenant, or by `organizations`: name one as `tenant`, or in the app's `authority`";
        return Err(Refusal::member(detail));
    }
    let username = given(request.username, "username", LONGEST_NAME)?;
    let password = given(request.password, "password", LONGEST_PASSWORD)?;
    let form = asked.form(GRANT_PASSWORD).with_secret("username", Secret::new(username));
    let form = form.with_secret("password", Secret::new(password)).about(Some(format!("UPN:{username}")));
    // Authorities compare names without case: another spelling is no other user.
    let tried = TriedGrant::Password(HoldKey::of(&[b"password", username.trim().to_lowercase().as_bytes()]));
    let members = [username, password];
    asked.plan(SignInGrant { flow: Flow::UsernamePassword, form, members: &members, tried: Some(tried) }).await
}

fn given<'a>(given: Option<&'a str>, member: &str, most: usize) -> Result<&'a str, Refusal> {
    match given {
        None | Some("") => Err(Refusal::member(format!("`{member}` is missing: give the user's"))),
        Some(text) if text.len() > most => Err(Refusal::member(format!("`{member}` is over {most} bytes, which none has"))),
        Some(text) => Ok(text),
    }
}
