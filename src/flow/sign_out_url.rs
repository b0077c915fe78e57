//! The URL at which a user signs out at the authority (OpenID Connect RP-Initiated Logout 1.0 §2), and the sign-out here that goes
//! with it.

use std::sync::Arc;

use url::Url;

use super::accounts;
use super::app::App;
use super::catalogue::Flow;
use super::members;
use super::policies;
use super::refusal::{Refusal, RefusalKind};
use super::request::{Call, EndSessionUrl, SignOutUrl};
use super::spine::failure::refuse;
use super::state::FlowState;
use crate::caller::Caller;
use crate::token::Turn;

/// The URL for a request. The account, if one is named, is signed out here when it is known that there is a URL.
pub(super) async fn url(
    state: &Arc<FlowState>,
    app: &Arc<App>,
    caller: Caller,
    call: Call,
    request: &SignOutUrl<'_>,
) -> Result<EndSessionUrl, Arc<Refusal>> {
    judge(request)?;
    let account = request.account.map(|account| members::account(app, Some(account), "account")).transpose()?;
    let at = account.and_then(|account| policies::of_account(app, account, None).ok()).unwrap_or(app);
    let endpoint = at.authority.end_session_endpoint(call.for_app(&app.label)).await;
    let endpoint = endpoint.map_err(|failure| refuse(Flow::AuthCode, failure, None))?;
    let mut url = endpoint.ok_or_else(|| {
        let detail = "the authority's metadata has no `end_session_endpoint`: users sign out there by its own pages, and here by \
                      `DELETE /accounts/{home_account_id}`";
        Refusal::new(Turn::Rights, RefusalKind::FlowNotAvailable, detail)
    })?;
    let mut kept = None;
    if let Some(account) = account {
        // Before the sign-out, which leaves nothing of it. A hint that cannot be read is not sent: that keeps nobody signed in.
        let hint = accounts::login_hint(state, app, caller, account).await;
        accounts::sign_out(state, app, caller, account).await?;
        kept = hint.unwrap_or_default();
    }
    let members = [
        ("client_id", Some(app.client_id.as_str())),
        ("post_logout_redirect_uri", request.post_logout_redirect_uri),
        ("state", request.state),
        ("logout_hint", request.logout_hint.or(kept.as_deref())),
        ("id_token_hint", request.id_token_hint),
    ];
    let given = members.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    url.query_pairs_mut().extend_pairs(given);
    Ok(EndSessionUrl { sign_out_url: url.into() })
}

/// What the members are by themselves, and together.
fn judge(request: &SignOutUrl<'_>) -> Result<(), Refusal> {
    let SignOutUrl { post_logout_redirect_uri, state, account, logout_hint, id_token_hint, .. } = *request;
    if account.is_some() && logout_hint.is_some() {
        let detail = "`account` and `logout_hint` exclude each other: leave `logout_hint` out, as the account's own is sent";
        return Err(Refusal::member(detail));
    }
    if post_logout_redirect_uri.is_some_and(|uri| !is_absolute(uri)) {
        return Err(Refusal::member(
            "`post_logout_redirect_uri` is no absolute URL without a fragment: give the one that is registered for the app",
        ));
    }
    if state.is_some() && post_logout_redirect_uri.is_none() {
        let detail = "`state` comes back with `post_logout_redirect_uri` alone: give that, or leave `state` out";
        return Err(Refusal::member(detail));
    }
    for (member, value) in [("state", state), ("logout_hint", logout_hint)] {
        if value.is_some_and(|text| !(1..=1024).contains(&text.len())) {
            return Err(Refusal::member(format!("`{member}` has no or over 1024 characters: shorten it, or leave it out")));
        }
    }
    if id_token_hint.is_some_and(|hint| !is_jwt(hint)) {
        let detail = "`id_token_hint` is no JWT: give the `id_token` of the answer to the sign-in, or leave it out";
        return Err(Refusal::member(detail));
    }
    Ok(())
}

/// What a browser runs or shows in place of going anywhere.
const NO_PLACES: [&str; 6] = ["about", "blob", "data", "file", "javascript", "vbscript"];

/// Whether a browser can be sent there. No host is as good as no place.
fn is_absolute(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let leads = |url: &Url| url.has_host() || !url.cannot_be_a_base();
    is_plain && Url::parse(text).is_ok_and(|url| url.fragment().is_none() && leads(&url) && !NO_PLACES.contains(&url.scheme()))
}

/// Whether it has the form of a signed JWT (RFC 7515 §7.1), or of an encrypted one (RFC 7516 §7.1).
fn is_jwt(text: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let parts: Vec<&str> = text.split('.').collect();
    matches!(parts.len(), 3 | 5) && text.starts_with("eyJ") && parts.into_iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::{SignOutUrl, is_absolute, is_jwt, judge};

    #[test]
    fn members_are_judged_by_themselves_and_together() {
        let (long, uri) = ("a".repeat(1025), Some("https://app.example/bye"));
        for (request, named) in [
            (SignOutUrl { account: Some("a.b"), logout_hint: Some("ana"), ..SignOutUrl::default() }, Some("`logout_hint`")),
            (SignOutUrl { state: Some("s"), ..SignOutUrl::default() }, Some("`state`")),
            (SignOutUrl { state: Some(""), post_logout_redirect_uri: uri, ..SignOutUrl::default() }, Some("`state`")),
            (SignOutUrl { state: Some(&long), post_logout_redirect_uri: uri, ..SignOutUrl::default() }, Some("`state`")),
            (SignOutUrl { logout_hint: Some(""), ..SignOutUrl::default() }, Some("`logout_hint`")),
            (SignOutUrl { logout_hint: Some(&long), ..SignOutUrl::default() }, Some("`logout_hint`")),
            (SignOutUrl { post_logout_redirect_uri: Some("/bye"), ..SignOutUrl::default() }, Some("`post_logout_redirect_uri`")),
            (SignOutUrl { id_token_hint: Some("canary"), ..SignOutUrl::default() }, Some("`id_token_hint`")),
            (SignOutUrl::default(), None),
            (
                SignOutUrl { state: Some("s"), post_logout_redirect_uri: uri, logout_hint: Some("ana"), ..SignOutUrl::default() },
                None,
            ),
            (SignOutUrl { id_token_hint: Some("eyJhbGciOiJub25lIn0.e30."), account: Some("a.b"), ..SignOutUrl::default() }, None),
        ] {
            match (judge(&request), named) {
                (Ok(()), None) => {}
                (Err(refusal), Some(named)) => assert!(refusal.detail.contains(named) && !refusal.detail.contains("canary")),
                (judged, named) => panic!("{named:?}: {:?}", judged.err()),
            }
        }
    }

    #[test]
    fn where_a_browser_comes_back_to_is_an_absolute_url() {
        for good in ["https://app.example/bye", "http://localhost:3000/bye?a=b", "com.example.app:/bye", "myapp://bye"] {
            assert!(is_absolute(good), "{good}");
        }
        for bad in [
            "",
            "/bye",
            "bye",
            "//app.example/bye",
            "https://app.example/#bye",
            "https://app.example/b y",
            "https://",
            "javascript:1",
            "JavaScript://app.example/%0aalert(1)",
            "data://app.example/x",
            "file:///etc/passwd",
            "mailto:a@b",
        ] {
            assert!(!is_absolute(bad), "{bad}");
        }
    }

    #[test]
    fn a_hint_has_the_form_of_a_jwt() {
        for good in ["eyJhbGciOiJub25lIn0.e30.", "eyJh.eyJp.c2ln", "eyJh.a.b.c.d"] {
            assert!(is_jwt(good), "{good}");
        }
        for bad in ["", "eyJ", "eyJh.eyJp", "eyJh.e.f.g", "abc.def.ghi", "eyJh.e&a=b.c", "eyJh.e=.c", "eyJh.é.c"] {
            assert!(!is_jwt(bad), "{bad}");
        }
    }
}
