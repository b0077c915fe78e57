//! Whom an answer is about: an authority that mixes up two users must not mix up their tokens here (OpenID Connect Core §12.2).
//!
//! The signature needs no check where the answer comes straight from the token endpoint over TLS (§3.1.3.7, point 6). But that does
//! not make it an answer about the right user.

use std::sync::Arc;

use super::app::App;
use crate::authority::{AuthorityError, UserIds};
use crate::inbound::is_of_policy;
use crate::oauth::{Claims, ClientInfo, TokenResponse, unverified};
use crate::secret::Secret;
use crate::token::Account;

/// Whose a grant is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// The app's own.
    App,
    /// A user's; the claims of the validated inbound token.
    User(Arc<Claims>),
    /// A user's who signs in with it; the claims of its validated id token.
    SignedIn(Arc<Claims>),
    /// A user's who signs in with it, and of whom nothing but the answer says who it is.
    Unnamed,
    /// A user's whom an assertion names that nobody here can verify: the answer says who it is, if it says that.
    Asserted,
    /// A user's who signed in before.
    Known(Account),
}

// === impl Owner ===

impl Owner {
    /// By what the authority knows the user at a sign-out, as a verified id token says it.
    pub(super) fn login_hint(&self) -> Option<&str> {
        match self {
            Self::SignedIn(claims) => claims.login_hint.as_deref(),
            _ => None,
        }
    }
}

/// Compares whom an answer is about with the user for whom it was asked, as far as the answer says. Token exchange is not compared:
/// there the issuer decides whom the token is about (RFC 8693 §1.1).
///
/// # Errors
/// It is about somebody else, and then nothing of it may be served or kept.
pub(super) fn check(app: &App, owner: &Owner, response: &TokenResponse) -> Result<(), AuthorityError> {
    let id = || response.id_token.as_ref().map(Secret::expose).and_then(unverified);
    let info = || response.client_info.as_deref().and_then(ClientInfo::parse);
    let same = match (owner, app.authority.profile().user_ids) {
        // Nobody was known before it, or nobody is concerned.
        (Owner::App | Owner::SignedIn(_) | Owner::Unnamed, _)
        | (Owner::User(_), UserIds::Subject)
        | (Owner::Asserted, UserIds::Subject | UserIds::SubjectOrName) => true,
        // Access tokens there have no id, and what they say of the user is all that can be compared.
        (Owner::User(user), UserIds::SubjectOrName) => id().is_none_or(|id| is_called_alike(user, &id)),
        // All that can be compared is what the answer itself says.
        (Owner::Asserted, UserIds::ObjectInTenant | UserIds::ObjectInPolicy) => {
            id().zip(info()).is_none_or(|(id, info)| is_asserted_at_home(&id, &info))
        }
        (Owner::User(user), UserIds::ObjectInTenant | UserIds::ObjectInPolicy) => {
            info().is_none_or(|info| is_asserted_at_home(user, &info)) && id().is_none_or(|id| is_asserted(user, &id))
        }
        (Owner::Known(account), UserIds::ObjectInTenant) => {
            info().is_none_or(|info| is_at_home(account, &info)) && id().is_none_or(|id| is_local(account, &id))
        }
        (Owner::Known(account), UserIds::ObjectInPolicy) => {
            let is_here = |id: &Claims| id.oid.as_ref().or(id.sub.as_ref()).is_none_or(|id| *id == account.local_account_id);
            let is_its = |info: &ClientInfo| app.home_of(info).eq_ignore_ascii_case(&account.home_account_id);
            let of_policy = |id: &Claims| is_of_policy(id, app.policy()).is_none();
            info().is_none_or(|info| is_its(&info)) && id().is_none_or(|id| is_here(&id) && of_policy(&id))
        }
        (Owner::Known(account), UserIds::Subject | UserIds::SubjectOrName) if response.id_token.is_some() => {
            let id = id().ok_or(AuthorityError::Invalid("its id_token cannot be read"))?;
            let is_account = id.sub.as_ref() == Some(&account.home_account_id);
            app.is_its_issuer(id.iss.as_deref()) && is_account && id.aud.has(&app.client_id)
        }
        (Owner::Known(_), UserIds::Subject | UserIds::SubjectOrName) => true,
    };
    if same { Ok(()) } else { Err(AuthorityError::Invalid("it is about somebody else than the user for whom it was asked")) }
}

/// In the user's home tenant the object id is the one in the inbound token. A guest has another id at home.
fn is_asserted_at_home(user: &Claims, info: &ClientInfo) -> bool {
    let at_home = user.tid.as_ref().is_some_and(|tid| tid.eq_ignore_ascii_case(&info.utid));
    !at_home || user.oid.as_ref().is_none_or(|oid| oid.eq_ignore_ascii_case(&info.uid))
}

/// In one tenant a user has one object id. Subjects are not compared: a user has another one at each app.
fn is_asserted(user: &Claims, id: &Claims) -> bool {
    let pairs = [user.tid.as_ref().zip(id.tid.as_ref()), user.oid.as_ref().zip(id.oid.as_ref())];
    let [tids, oids] = pairs.map(|pair| pair.map(|(mine, theirs)| mine.eq_ignore_ascii_case(theirs)));
    tids != Some(true) || oids != Some(false)
}

/// Of two names that a user signs in with, both said, letters' case aside.
fn is_called_alike(user: &Claims, id: &Claims) -> bool {
    let called = |claims: &Claims| claims.upn.clone().or_else(|| claims.unique_name.clone());
    called(user).zip(called(id)).is_none_or(|(mine, theirs)| mine.eq_ignore_ascii_case(&theirs))
}

fn is_at_home(account: &Account, info: &ClientInfo) -> bool {
    format!("{}.{}", info.uid, info.utid).eq_ignore_ascii_case(&account.home_account_id)
}

/// In the tenant where the account signed in, it is the same local user. In another one the user is a guest under another id, and
/// `client_info` alone tells.
fn is_local(account: &Account, id: &Claims) -> bool {
    let local = account.local_account_id.as_str();
    if id.tid.is_some() && id.tid != account.tenant_id {
        return true;
    }
    match (&id.oid, &id.tid, &id.sub) {
        (Some(oid), _, sub) => oid.eq_ignore_ascii_case(local) || sub.as_deref() == Some(local),
        // AD FS: it knows neither tenants nor object ids.
        (None, None, Some(sub)) => sub == local,
        (None, ..) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_asserted, is_asserted_at_home, is_at_home, is_called_alike, is_local};
    use crate::oauth::{Claims, ClientInfo};
    use crate::token::Account;

    fn claims(oid: Option<&str>, tid: Option<&str>, sub: Option<&str>) -> Claims {
        let [oid, tid, sub] = [oid, tid, sub].map(|text| text.map(str::to_owned));
        Claims { oid, tid, sub, ..Claims::default() }
    }

    fn info(uid: &str, utid: &str) -> ClientInfo {
        ClientInfo { uid: uid.to_owned(), utid: utid.to_owned() }
    }

    fn account(home: &str, local: &str, tenant: Option<&str>) -> Account {
        Account {
            home_account_id: home.to_owned(),
            local_account_id: local.to_owned(),
            username: None,
            environment: "host".to_owned(),
            tenant_id: tenant.map(str::to_owned),
        }
    }

    #[test]
    fn an_assertions_user_is_the_same_where_both_say_the_tenant() {
        let user = claims(Some("ana"), Some("home"), Some("s"));
        assert!(is_asserted_at_home(&user, &info("ana", "home")) && is_asserted_at_home(&user, &info("ANA", "HOME")));
        assert!(!is_asserted_at_home(&user, &info("ben", "home")) && !is_asserted_at_home(&user, &info("ben", "HOME")));
        assert!(is_asserted_at_home(&user, &info("other", "elsewhere")), "a guest");
        for (id, same) in [
            (claims(Some("ana"), Some("home"), Some("another")), true),
            (claims(Some("ben"), Some("home"), Some("s")), false),
            (claims(Some("ben"), Some("elsewhere"), None), true),
            (claims(None, Some("home"), Some("another")), true),
            (claims(None, None, Some("another")), true),
        ] {
            assert_eq!(is_asserted(&user, &id), same, "{id:?}");
        }
    }

    #[test]
    fn a_user_without_an_id_is_compared_by_name() {
        let called = |upn: Option<&str>, unique_name: Option<&str>| {
            let [upn, unique_name] = [upn, unique_name].map(|text| text.map(str::to_owned));
            Claims { upn, unique_name, ..Claims::default() }
        };
        let nia = called(Some("nia@contoso.test"), None);
        assert!(is_called_alike(&nia, &called(Some("NIA@contoso.test"), None)));
        assert!(is_called_alike(&nia, &called(None, Some("nia@contoso.test"))) && is_called_alike(&nia, &called(None, None)));
        assert!(!is_called_alike(&nia, &called(Some("oli@contoso.test"), None)));
    }

    #[test]
    fn an_account_is_the_same_at_home_and_where_it_signed_in() {
        let guest = account("ana.home", "guest-ana", Some("here"));
        assert!(is_at_home(&guest, &info("ana", "home")));
        assert!(!is_at_home(&guest, &info("ben", "home")) && !is_at_home(&guest, &info("guest-ana", "here")));
        for (id, same) in [
            (claims(Some("guest-ana"), Some("here"), Some("s")), true),
            (claims(Some("guest-ben"), Some("here"), Some("s")), false),
            (claims(Some("ana"), Some("home"), Some("s")), true),
            (claims(None, Some("here"), Some("s")), true),
        ] {
            assert_eq!(is_local(&guest, &id), same, "{id:?}");
        }
        let adfs = account("sub-of-ana", "sub-of-ana", None);
        assert!(is_local(&adfs, &claims(None, None, Some("sub-of-ana"))));
        assert!(!is_local(&adfs, &claims(None, None, Some("sub-of-ben"))));
    }
}
