//! From a token endpoint's answer to a grant: checked, dated and with its owner (RSP-1 to RSP-7).

use super::about::{self, Owner};
use super::app::App;
use super::handle::HandleSubject;
use super::request::TokenSource;
use crate::authority::{AuthorityError, UserIds};
use crate::cache::{lifetime_is_credible, refresh_point};
use crate::inbound::is_encoded_xml;
use crate::oauth::{Claims, ClientInfo, SamlVersion, TokenResponse, is_refresh_token_type, unverified};
use crate::secret::Secret;
use crate::token::{Account, AnswerHead, IssuedToken, Matching, Scopes, Tenant, Times, id_at_home};

/// What is known of a grant before its answer comes.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The scopes that were asked for, as the caller wrote them.
    pub(super) asked: Scopes,
    /// The tenant that was named, where one was.
    pub(super) tenant: Option<Tenant>,
    /// Whose it is: nobody's, or a user's, with what the inbound token says of the user.
    pub(super) owner: Owner,
    /// Which kind of token may come.
    pub(super) exchange: Exchanged,
}

/// Which kind of token a grant may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchanged {
    /// An access token.
    No,
    /// By token exchange, any: a `token_type` of `N_A` is fine (RFC 8693 §2.2.1).
    Any,
    /// An assertion, which was asked for.
    Saml(SamlVersion),
}

/// What a grant that is sent once has brought.
#[derive(Clone)]
pub(super) struct Redeemed {
    pub(super) head: AnswerHead,
    /// Where it was found: most often it was asked for.
    pub(super) source: TokenSource,
    /// The sign-in that was kept with it, if something renews its tokens.
    pub(super) signed_in: Option<HandleSubject>,
    /// Whose it is, and the lineage of the sign-in, if that was kept.
    pub(super) account: Option<(String, [u8; 16])>,
    /// The key of the session that it became, because it names nobody.
    pub(super) session: Option<Secret>,
}

/// When an answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// In seconds since the Unix epoch.
    pub(super) on: i64,
    /// From 0 to 1: where in its span the renewal of what it brings begins.
    pub(super) jitter: f64,
}

/// The `token_type` of what is no access token (RFC 8693 §2.2.1).
const NOT_APPLICABLE: &str = "N_A";

/// The longest list of scopes that an answer may have, in bytes: Entra lists everything that was ever consented to.
const LONGEST_SCOPE: usize = 32 * 1024;

/// Reads an answer.
///
/// # Errors
/// It is none, or it is about somebody else.
pub(super) fn issue(
    app: &App,
    expected: &Expected,
    response: TokenResponse,
    received: Received,
) -> Result<IssuedToken, AuthorityError> {
    about::check(app, &expected.owner, &response)?;
    let token_type = token_type(response.token_type.as_deref(), expected.exchange)?;
    let access_token = match response.access_token {
        Some(token) => token,
        // Where no resource was asked for, who signed in is all that there is to say.
        None if is_id_token_alone(app, expected, response.id_token.is_some()) => Secret::new(""),
        None => return Err(AuthorityError::Invalid("it has no access_token")),
    };
    // RFC 8705 §3: it is good for nobody but us. Only who shows a certificate gets such tokens.
    let is_bound = || response.is_bound || unverified(access_token.expose()).is_some_and(|claims| claims.is_key_bound);
    if app.credential.is_shown_by_tls() && is_bound() {
        return Err(AuthorityError::Bound);
    }
    let (token_type, issued_token_type) = assertion_type(expected.exchange, token_type, response.issued_token_type, &access_token)?;
    // RFC 8693 §2.2.1: what it calls `access_token` may be any token. A refresh token is nobody's but ours.
    if issued_token_type.as_deref().is_some_and(is_refresh_token_type) {
        return Err(AuthorityError::Invalid("its issued_token_type is a refresh token's"));
    }
    // RFC 6749 appendix A.12; assertions are XML.
    let is_token = access_token.expose().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !is_token && !matches!(expected.exchange, Exchanged::Saml(_)) {
        return Err(AuthorityError::Invalid("its access_token has characters that no token has"));
    }
    let scope = scope(response.scope, &expected.asked)?;
    let lifetime = response.expires_in.or_else(|| response.expires_on.map(|ends| ends.saturating_sub(received.on)));
    let times = times([lifetime, response.ext_expires_in, response.refresh_in], received);
    let id_claims = response.id_token.as_ref().map(Secret::expose).and_then(unverified);
    let info = response.client_info.as_deref().and_then(ClientInfo::parse);
    let (account, tenant_id) = whose(app, expected, info, id_claims);
    Ok(IssuedToken { access_token, token_type, scope, times, tenant_id, account, id_token: response.id_token, issued_token_type })
}

/// Whether an answer may be an id token and nothing else: a user's, for whom no resource was asked.
fn is_id_token_alone(app: &App, expected: &Expected, has_id_token: bool) -> bool {
    let is_signed_in = matches!(expected.owner, Owner::SignedIn(_) | Owner::Known(_));
    app.authority.profile().id_token_alone && is_signed_in && has_id_token && expected.asked.of_apis().is_empty()
}

/// The account that an answer is for, and the tenant that it is of.
fn whose(app: &App, expected: &Expected, info: Option<ClientInfo>, id_claims: Option<Claims>) -> (Option<Account>, Option<String>) {
    match &expected.owner {
        Owner::App => (None, tenant_of(app, expected, None)),
        Owner::Known(account) => {
            let tenant = tenant_of(app, expected, id_claims.as_ref()).or_else(|| account.tenant_id.clone());
            (Some(known(account, id_claims.as_ref(), tenant.clone())), tenant)
        }
        Owner::Unnamed => {
            let tenant = tenant_of(app, expected, None);
            (info.and_then(|info| account(app, Some(info), None, &Claims::default(), tenant.clone())), tenant)
        }
        Owner::Asserted => {
            let id = id_claims.filter(|id| names_its_user(app, id));
            let tenant = tenant_of(app, expected, id.as_ref());
            let says = id.clone().unwrap_or_default();
            (account(app, info, id.as_ref(), &says, tenant.clone()), tenant)
        }
        Owner::User(inbound) | Owner::SignedIn(inbound) => {
            // Where another tenant is asked than the inbound token's own, that one says nothing of it.
            let inbound_says = expected.tenant.is_none().then_some(&**inbound);
            let says = id_claims.as_ref().filter(|id| id.tid.is_some()).or(inbound_says);
            let tenant = tenant_of(app, expected, says);
            (account(app, info, id_claims.as_ref(), inbound, tenant.clone()), tenant)
        }
    }
}

/// Under which folded scopes a grant can be found besides the ones asked for (contract, cache point 3).
pub(super) fn granted(matching: Matching, asked: &Scopes, grant: &IssuedToken) -> Box<str> {
    if matching == Matching::Identical {
        return "".into();
    }
    let defaults: Vec<&str> = asked.iter().filter(|scope| scope.ends_with("/.default")).collect();
    let granted = Scopes::granted(&grant.scope).with(&defaults);
    let (folded, same) = (granted.folded(matching), asked.folded(matching));
    // One scope that is the one asked for is found by the identical request already.
    if folded == same && !folded.contains(' ') { "".into() } else { folded.into() }
}

/// An access token that comes without its type is a bearer token: there is no other kind that would not have to say so.
fn token_type(answered: Option<&str>, exchange: Exchanged) -> Result<String, AuthorityError> {
    match answered.map(str::trim) {
        None => Ok("Bearer".to_owned()),
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => Ok("Bearer".to_owned()),
        Some(kind) if exchange != Exchanged::No && kind.eq_ignore_ascii_case(NOT_APPLICABLE) => Ok(NOT_APPLICABLE.to_owned()),
        Some(_) => Err(AuthorityError::Invalid("its token_type is not the one asked for")),
    }
}

/// The types of an answer where an assertion was asked for. Entra calls one a bearer token, which no resource would take it for
/// (RFC 8693 §2.2.1); a server that issued something else says so itself, and one that says nothing is believed by what it issued.
fn assertion_type(
    exchange: Exchanged,
    token_type: String,
    issued: Option<String>,
    token: &Secret,
) -> Result<(String, Option<String>), AuthorityError> {
    let Exchanged::Saml(asked) = exchange else { return Ok((token_type, issued)) };
    match issued {
        Some(issued) if SamlVersion::of_type(&issued).is_some() => Ok((NOT_APPLICABLE.to_owned(), Some(issued))),
        Some(issued) => Ok((token_type, Some(issued))),
        None if is_encoded_xml(token.expose()) => Ok((NOT_APPLICABLE.to_owned(), Some(asked.token_type().to_owned()))),
        None => Err(AuthorityError::Invalid("its access_token is no assertion, which was asked for")),
    }
}

/// Whether an id token that came straight from the token endpoint (OpenID Connect Core §3.1.3.7, point 6) is the app's own, so that
/// what it calls its user is a name of the app's authority.
fn names_its_user(app: &App, id: &Claims) -> bool {
    app.is_its_issuer(id.iss.as_deref()) && id.aud.has(&app.client_id)
}

/// An absent scope means the one that was asked for (RFC 6749 §5.1).
fn scope(answered: Option<String>, asked: &Scopes) -> Result<String, AuthorityError> {
    match answered {
        Some(scope) if scope.len() > LONGEST_SCOPE => Err(AuthorityError::Invalid("its scope is longer than 32 KiB")),
        Some(scope) => Ok(scope),
        None => Ok(asked.to_string()),
    }
}

fn times([expires_in, ext_expires_in, refresh_in]: [Option<i64>; 3], Received { on: now, jitter }: Received) -> Times {
    let after = |seconds: Option<i64>| seconds.filter(|seconds| *seconds > 0).map(|seconds| now.saturating_add(seconds));
    let times = Times { received_on: now, expires_on: after(expires_in), ext_expires_on: after(ext_expires_in), refresh_on: None };
    match expires_in {
        Some(lifetime) if lifetime_is_credible(&times) => {
            Times { refresh_on: Some(now + refresh_point(lifetime, refresh_in, jitter)), ..times }
        }
        // Said not, or not credibly: the caller is told nothing rather than something wrong.
        _ => Times { expires_on: None, ext_expires_on: None, ..times },
    }
}

fn tenant_of(app: &App, expected: &Expected, claims: Option<&Claims>) -> Option<String> {
    if !app.authority.profile().tenants {
        return None;
    }
    let own = app.authority.tenant().filter(|tenant| !tenant.is_any()).map(Tenant::to_string);
    claims.and_then(|claims| claims.tid.clone()).or_else(|| expected.tenant.as_ref().map(Tenant::to_string)).or(own)
}

/// The account of a user who signed in before, as the tenant knows it that issued the token: a guest has another id in each.
fn known(account: &Account, id: Option<&Claims>, tenant_id: Option<String>) -> Account {
    let said = id.filter(|id| id.tid.is_some()).and_then(|id| id.oid.clone().or_else(|| id.sub.clone()));
    let elsewhere = tenant_id.as_deref().filter(|tenant| account.tenant_id.as_deref() != Some(*tenant));
    let local = said.or_else(|| id_at_home(&account.home_account_id, elsewhere?));
    Account {
        local_account_id: local.unwrap_or_else(|| account.local_account_id.clone()),
        username: id.and_then(username).or_else(|| account.username.clone()),
        tenant_id,
        ..account.clone()
    }
}

/// The account. On where the user is at home, `client_info` is trusted first, then the id token, then the validated inbound token.
fn account(
    app: &App,
    info: Option<ClientInfo>,
    id: Option<&Claims>,
    inbound: &Claims,
    tenant_id: Option<String>,
) -> Option<Account> {
    let ids = app.authority.profile().user_ids;
    let of_user = |claims: &Claims| claims.oid.clone().or_else(|| claims.sub.clone());
    let (home, local) = if ids == UserIds::ObjectInPolicy {
        let local = id.and_then(of_user).or_else(|| of_user(inbound));
        let home = match (&info, app.policy(), &local) {
            (Some(info), ..) => Some(app.home_of(info)),
            (None, Some(policy), Some(local)) => Some(policy.user(local)),
            (None, ..) => None,
        };
        (home, local)
    } else if ids == UserIds::ObjectInTenant {
        let home = match (info, &inbound.oid, &inbound.tid) {
            (Some(info), ..) => Some(format!("{}.{}", info.uid, info.utid)),
            (None, Some(oid), Some(tid)) => Some(format!("{oid}.{tid}")),
            (None, ..) => inbound.sub.clone(),
        };
        // In its own tenant a token is about the user's id there; at home that is the one in the account's name.
        let at_home = home.as_deref().and_then(|home| id_at_home(home, tenant_id.as_deref()?));
        let is_here = tenant_id.is_none() || inbound.tid == tenant_id;
        let inbound = is_here.then(|| of_user(inbound)).flatten().or(at_home).or_else(|| of_user(inbound));
        (home, id.and_then(of_user).or(inbound))
    } else {
        // Nothing but `sub` is sure to be the server's own word: other claims may be what users wrote. Where access tokens have
        // none, the id token of the answer says whom the app knows.
        let said = id.filter(|_| ids == UserIds::SubjectOrName).and_then(|id| id.sub.clone());
        let sub = said.or_else(|| inbound.sub.clone());
        (sub.clone(), sub)
    };
    Some(Account {
        local_account_id: local.or_else(|| home.clone())?,
        home_account_id: home?,
        username: id.and_then(username).or_else(|| username(inbound)),
        environment: app.environment(),
        tenant_id,
    })
}

/// The account that claims are about that an issuer has said of its user.
pub(super) fn account_of(app: &App, claims: &Claims) -> Option<Account> {
    account(app, None, None, claims, None)
}

fn username(claims: &Claims) -> Option<String> {
    let names = [&claims.preferred_username, &claims.upn, &claims.unique_name, &claims.first_email, &claims.email, &claims.name];
    names.into_iter().find_map(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::{Exchanged, Received, assertion_type, scope, times, token_type};
    use crate::oauth::{SamlVersion, TOKEN_TYPE_ACCESS, TOKEN_TYPE_SAML1, TOKEN_TYPE_SAML2};
    use crate::secret::Secret;
    use crate::token::Scopes;

    #[test]
    fn rsp_2_token_type_comes_in_any_case_or_not_at_all() {
        let exchanges = [Exchanged::No, Exchanged::Any, Exchanged::Saml(SamlVersion::V2)];
        for exchange in exchanges {
            assert_eq!(token_type(Some("bEARER"), exchange), Ok("Bearer".to_owned()));
            assert_eq!(token_type(None, exchange), Ok("Bearer".to_owned()));
            assert_eq!(token_type(Some("N_A"), exchange).is_ok(), exchange != Exchanged::No);
            assert!(token_type(Some("pop"), exchange).is_err() && token_type(Some(""), exchange).is_err());
        }
    }

    #[test]
    fn req_8_an_assertion_that_was_asked_for_is_called_one() {
        let (xml, jwt) = (Secret::new("PHNhbWw6QXNzZXJ0aW9uLz4"), Secret::new("eyJhbGciOiJub25lIn0.e30."));
        let typed = |asked, issued: Option<&str>, token: &Secret| {
            assertion_type(asked, "Bearer".to_owned(), issued.map(str::to_owned), token)
        };
        let (asked, other) = (Exchanged::Saml(SamlVersion::V2), Exchanged::Any);
        let both = |kind: &str, issued: &str| Ok((kind.to_owned(), Some(issued.to_owned())));
        assert_eq!(typed(asked, Some(TOKEN_TYPE_SAML2), &xml), both("N_A", TOKEN_TYPE_SAML2));
        assert_eq!(typed(asked, Some(TOKEN_TYPE_SAML1), &xml), both("N_A", TOKEN_TYPE_SAML1));
        assert_eq!(typed(asked, None, &xml), both("N_A", TOKEN_TYPE_SAML2));
        assert_eq!(typed(asked, Some(TOKEN_TYPE_ACCESS), &jwt), both("Bearer", TOKEN_TYPE_ACCESS));
        assert!(typed(asked, None, &jwt).is_err());
        assert_eq!(typed(other, None, &xml), Ok(("Bearer".to_owned(), None)));
    }

    #[test]
    fn rsp_3_an_absent_scope_is_the_one_asked_for_and_a_flood_is_none() {
        let asked = Scopes::from_text("a b").unwrap();
        assert_eq!(scope(None, &asked).as_deref(), Ok("a b"));
        assert_eq!(scope(Some("c".to_owned()), &asked).as_deref(), Ok("c"));
        assert!(scope(Some("a ".repeat(16 * 1024)), &asked).is_ok());
        assert!(scope(Some("a ".repeat(16 * 1024) + "b"), &asked).is_err());
    }

    #[test]
    fn rsp_1_and_7_times_are_absolute_or_not_said() {
        let received = Received { on: 1000, jitter: 0.5 };
        let good = times([Some(3600), Some(7200), Some(1800)], received);
        assert_eq!((good.expires_on, good.ext_expires_on, good.refresh_on), (Some(4600), Some(8200), Some(2800)));
        for odd in [None, Some(0), Some(-1), Some(i64::MAX), Some(11 * 365 * 24 * 3600)] {
            assert_eq!(times([odd, Some(1), Some(1)], received).expires_on, None, "{odd:?}");
        }
    }
}
