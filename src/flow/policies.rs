//! The policies of an app at Azure AD B2C: each is an authority of its own, at which the app is another one in everything but its
//! name, its credential and its switches. Their users are other users: an account's name ends with its policy's.

use std::sync::Arc;

use super::app::App;
use super::refusal::{Refusal, RefusalKind};
use super::spine::failure::no_tokens;
use crate::oauth::unverified;
use crate::token::{PolicyName, Turn};

/// The app at the policy that a request names, else at its own.
///
/// # Errors
/// It is no policy's name, or the app has none (400), or the app does not list it (403).
pub(super) fn named<'a>(app: &'a Arc<App>, policy: Option<&str>) -> Result<&'a Arc<App>, Refusal> {
    let Some(given) = policy else { return Ok(app) };
    if app.policy().is_none() {
        let title = app.authority.profile().title;
        return Err(Refusal::member(format!("`policy` has no meaning at {title}: leave it out")));
    }
    let given = PolicyName::parse(given)
        .ok_or_else(|| Refusal::member("`policy` is no name of a policy: write one of [A-Za-z0-9_-]{1,128}, without a path"))?;
    of(app, &given).ok_or_else(|| {
        let detail = "this `policy` is not one that the app lists: add it to `apps.*.policies`";
        Refusal::new(Turn::Rights, RefusalKind::PolicyNotAllowed, detail)
    })
}

/// The app at the policy by which an account signed in; `named` is the one that the request names.
///
/// # Errors
/// The account is another policy's than the named one's (400), or of none that the app lists (401).
pub(super) fn of_account<'a>(app: &'a Arc<App>, account: &str, named: Option<&str>) -> Result<&'a Arc<App>, Refusal> {
    if app.policy().is_none() {
        return Ok(app);
    }
    // One name may be the end of another: the longer one is meant. A policy that is named is the only one.
    let is_its = |at: &&Arc<App>| {
        let is_meant = named.is_none() || Arc::ptr_eq(at, app);
        is_meant && at.policy().is_some_and(|policy| is_of(policy, account))
    };
    let found = all(app).filter(is_its).max_by_key(|app| app.policy().map_or(0, |policy| policy.as_str().len()));
    found.ok_or_else(|| match named {
        Some(_) => Refusal::member("`policy` is not the one by which the account signed in: leave it out"),
        None => no_tokens(),
    })
}

/// The app at the policy that a token says of itself; at its own where it says none that the app lists, which refuses it.
pub(super) fn of_token<'a>(app: &'a Arc<App>, token: &str) -> &'a Arc<App> {
    if app.policies.is_empty() {
        return app;
    }
    let said = unverified(token).and_then(|claims| PolicyName::parse(claims.policy()?));
    said.and_then(|policy| of(app, &policy)).unwrap_or(app)
}

fn of<'a>(app: &'a Arc<App>, policy: &PolicyName) -> Option<&'a Arc<App>> {
    all(app).find(|app| app.policy() == Some(policy))
}

fn all(app: &Arc<App>) -> impl Iterator<Item = &Arc<App>> {
    std::iter::once(app).chain(&app.policies)
}

/// Whether an account's name is one of a policy: the user's part of it, before a dot and the tenant, ends with the policy's name.
fn is_of(policy: &PolicyName, account: &str) -> bool {
    let user = account.rsplit_once('.').map_or(account, |(user, _)| user);
    policy.stem(user).is_some()
}

#[cfg(test)]
mod tests {
    use super::is_of;
    use crate::token::PolicyName;

    #[test]
    fn an_accounts_name_ends_with_its_policy() {
        let policy = PolicyName::parse("B2C_1_susi").unwrap();
        for its in ["11b7-b2c_1_susi.8eaef023", "11b7-B2C_1_SUSI.8eaef023", "11b7-b2c_1_susi", "a.b-b2c_1_susi.t"] {
            assert!(is_of(&policy, its), "{its}");
        }
        for other in ["11b7-b2c_1_edit.8eaef023", "11b7.8eaef023", "", "b2c_1_susi", "11b7-b2c_1_susi.8eaef023.x"] {
            assert!(!is_of(&policy, other), "{other}");
        }
    }
}
