//! A refresh token's way (RFC 6749 §6): looked up, sent once, and its successor kept before anybody is answered.
//!
//! Where it is good for one use only, one call at a time is made per account in the whole fleet, and none where the fleet cannot
//! agree on whose turn it is (RFC 9700 §4.14: a second use may end the session).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::failure::{broken_off, no_session, no_tokens, refuse, unavailable};
use super::job::Job;
use super::outcome::{MayStop, SentOnce};
use super::send::{self, SendError};
use crate::authority::AuthorityError;
use crate::cache::{Kept, Loaded, RefreshLease, Renewed, Room, Signed, Unavailable};
use crate::flow::about::{self, Owner};
use crate::flow::app::App;
use crate::flow::issue::{Exchanged, Expected, granted, issue};
use crate::flow::plan::Refresh;
use crate::flow::refusal::{Refusal, RefusalKind, overloaded};
use crate::flow::settings::{RefreshTokens, SessionAsk};
use crate::oauth::{ErrorBody, Form, GRANT_REFRESH_TOKEN, TokenResponse, unverified};
use crate::secret::Secret;
use crate::source::ClientProof;
use crate::token::{Account, IssuedToken, Matching, Scopes, SignIn, SpaceId, Turn};

/// How long a refresh token is kept if its server does not say how long it lasts, in seconds: as long as Entra's.
const USUAL_LIFETIME: i64 = 90 * 24 * 3600;
/// How often and after which pause it is tried again to store the successor of a refresh token that is used up.
const PATIENCE: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How often a turn is asked for while the shared store does not say yet what replicas know.
const SETTLES: u32 = 3;
/// How long a request is held after an answer of no use: each further one would cost a refresh token.
const UNUSABLE: Duration = Duration::from_secs(5);
/// What tokend itself adds to a sign-in at an issuer.
const OF_SIGN_IN: [&str; 2] = ["openid", "offline_access"];
/// How long a request is held if the shared store could not answer it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A refresh token as an answer brings it.
#[derive(Debug)]
pub(super) struct Renewal {
    token: Option<Secret>,
    lifetime: Option<i64>,
}

// === impl Renewal ===

impl Renewal {
    /// Takes it out of an answer.
    pub(super) fn take(response: &mut TokenResponse) -> Self {
        Self { token: response.refresh_token.take(), lifetime: response.refresh_expires_in.filter(|seconds| *seconds > 0) }
    }

    /// The refresh token, if the answer brought one.
    pub(super) fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }
}

/// What a refresh asks an issuer for (RFC 6749 §6).
#[derive(Debug, PartialEq, Eq)]
enum RefreshScope {
    /// What the sign-in was for: nothing is said of it, and this is granted again as far as that is known.
    Own(Option<Scopes>),
    /// These of it, and what else is sent for them to stay what the sign-in was granted.
    Part { meant: Scopes, sent: Scopes },
    /// Nothing that is asked for was granted.
    Nothing,
}

/// What is kept of a sign-in. `old` is the refresh token that stays good if the answer brings none (REQ-5).
pub(super) fn sign_in(space: &SpaceId, account: Account, renewal: &Renewal, grant: &IssuedToken, old: Option<&SignIn>) -> SignIn {
    let now = grant.times.received_on;
    let (refresh_token, expires_on) = match (&renewal.token, old) {
        (Some(token), _) => (Some(token.clone()), now.saturating_add(renewal.lifetime.unwrap_or(USUAL_LIFETIME))),
        (None, Some(old)) => (old.refresh_token.clone(), old.expires_on),
        // Nothing renews it: it lasts as long as its token.
        (None, None) => (None, grant.times.expires_on.unwrap_or(now)),
    };
    let space = *space;
    let mut sign_in =
        SignIn { account, refresh_token, expires_on, space, epoch: None, lineage: [0; 16], more: BTreeMap::new(), shared: 0 };
    if let Some(old) = old {
        sign_in.descend_from(old);
    }
    sign_in
}

// === impl RefreshScope ===

impl RefreshScope {
    /// What is asked for with the refresh token of a sign-in; `offline` says whether the app asks for refresh tokens by a scope,
    /// and `bound` whether what is more than was asked for now is of no use.
    ///
    /// No more than was granted: servers refuse what the user did not agree to. And `offline_access` with it, where it was granted:
    /// some servers take a list without it for a wish to give it up.
    fn of(asked: &Scopes, sign_in: &SignIn, offline: bool, bound: bool) -> Self {
        let granted = sign_in.granted();
        let is_more = |granted: &Scopes| !asked.contain(&granted.to_string(), Matching::Identical);
        let is_too_much = bound && granted.as_ref().is_none_or(is_more);
        let is_own = asked.is_empty() || (!is_too_much && sign_in.asked().is_some_and(|own| own.are(asked)));
        let of_sign_in: &[&str] = if offline { &OF_SIGN_IN } else { &OF_SIGN_IN[..1] };
        let Some(granted) = granted else {
            let (meant, sent) = (asked.clone(), asked.with(of_sign_in));
            return if is_own { Self::Own(None) } else { Self::Part { meant, sent } };
        };
        let meant = asked.within(&granted);
        let of_sign_in = Scopes::granted(&OF_SIGN_IN.join(" ")).within(&granted);
        let sent = meant.with(&of_sign_in.iter().collect::<Vec<_>>());
        if is_own || sent.are(&granted) {
            Self::Own(Some(granted))
        } else if meant.is_empty() {
            Self::Nothing
        } else {
            Self::Part { meant, sent }
        }
    }

    /// What stands in the request.
    fn sent(&self) -> Option<String> {
        match self {
            Self::Part { sent, .. } => Some(sent.to_string()),
            Self::Own(_) | Self::Nothing => None,
        }
    }
}

// === impl Refresh ===

impl Refresh {
    /// Redeems the account's refresh token. From the moment it is sent until its successor is kept nothing may break this off,
    /// neither a caller that leaves, nor a shutdown, which drops renewals.
    pub(super) async fn run(self, job: Job) -> Result<Loaded, Arc<Refusal>> {
        let (sender, outcome) = tokio::sync::oneshot::channel();
        let tasks = job.state.tasks.clone();
        let turn = async move {
            let outcome = self.in_turn(&job, &|| sender.is_closed()).await;
            // With its permit.
            drop(job);
            let _gone = sender.send(outcome);
        };
        tasks.awaited("refresh", Box::pin(turn).in_current_span());
        outcome.await.unwrap_or_else(|_| Err(broken_off().into()))
    }

    async fn in_turn(&self, job: &Job, is_unwanted: &(dyn Fn() -> bool + Sync)) -> Result<Loaded, Arc<Refusal>> {
        if job.app.refresh_tokens == RefreshTokens::Reusable {
            return self.redeem(job, None, is_unwanted).await;
        }
        let (cache, space) = (&job.state.cache, &self.space);
        for _ in 0..SETTLES {
            // Before the turn is asked for: who is sending says so there again, and nobody must stand in the way.
            cache.accounts().settle(&job.key.partition).await;
            let work = |turn| async move {
                match cache.accounts().is_settled(space, &job.key.partition).await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(why) => return Some(Err(self.unavailable(job, why))),
                }
                // Its type is left out: the compiler would have to look through all of it.
                Some(self.redeem(job, Some(&turn), is_unwanted).boxed().await)
            };
            match cache.accounts().in_turn(&job.key.partition, job.app.authority.timeout(), work).await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(Unavailable::Busy) => return Err(refuse(job.sends, AuthorityError::Busy, None).into()),
                Err(why) => return Err(self.unavailable(job, why)),
            }
        }
        // The store becomes another one again and again.
        Err(self.unavailable(job, Unavailable::Unreachable))
    }

    async fn redeem(
        &self,
        job: &Job,
        turn: Option<&RefreshLease>,
        is_unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Loaded, Arc<Refusal>> {
        let mut signed = self.signed(job).await?;
        if let Some(refusal) = job.held_now().await {
            return Err(refusal);
        }
        loop {
            let Some(sign_in) = signed.sign_in.clone() else { return Err(self.unknown().into()) };
            let Some(token) = sign_in.refresh_token.clone() else { return Err(self.unknown().into()) };
            let scope = self.scope(job, &sign_in);
            if scope == Some(RefreshScope::Nothing) {
                return Err(not_granted().into());
            }
            // The process ends, and nobody waits any more: there may be no time left to keep what would come back.
            if job.state.tasks.soft().is_cancelled() && is_unwanted() {
                return Err(broken_off().into());
            }
            let _room = room(job)?;
            let form = self.form(&job.app, scope.as_ref(), token.clone()).about(user_at_home(&sign_in.account));
            let turn = turn.map(|turn| (turn, sign_in.shared));
            let client = if sign_in.is_public() { ClientProof::Public } else { ClientProof::Usual };
            let sent = send::run_in(&job.app, &form, self.tenant.as_ref(), client, turn, job.call.clone()).await;
            let trouble = match sent.outcome {
                Ok(response) => return self.keep(job, (&signed, &sign_in), scope, (response, sent.version)).await,
                Err(SendError::Turn(why)) => return Err(self.unavailable(job, why)),
                Err(trouble) => trouble,
            };
            // Another replica may have renewed it a moment ago; what it left is tried in place of the used one.
            if is_invalid_grant(&trouble) {
                let again = self.signed(job).await?;
                let newer = again.sign_in.as_ref().and_then(|sign_in| sign_in.refresh_token.as_ref());
                if newer.is_some_and(|newer| newer.expose() != token.expose()) {
                    signed = again;
                    continue;
                }
            }
            return Err(self.once(job, sent.version).failed(&job.state, trouble).await);
        }
    }

    /// The refusal where nothing renews what is asked for.
    fn unknown(&self) -> Refusal {
        if self.of_session { no_session() } else { no_tokens() }
    }

    /// The shared store cannot say: for a second nobody asks it again for this, least of all a renewal on every request.
    fn unavailable(&self, job: &Job, why: Unavailable) -> Arc<Refusal> {
        let refusal = Arc::new(unavailable(why));
        let until = job.state.clock.moment().after(ASK_AGAIN);
        job.keys(job.app.credential.version()).hold_request(&job.state.remembered, &job.app.label, until, &refusal);
        refusal
    }

    async fn signed(&self, job: &Job) -> Result<Signed, Arc<Refusal>> {
        let (cache, space) = (&job.state.cache, &self.space);
        let signed = match job.app.refresh_tokens {
            RefreshTokens::Reusable => cache.accounts().signed_or_remembered(space, &job.key.partition).await,
            RefreshTokens::SingleUse => cache.accounts().signed(space, &job.key.partition).await,
        };
        signed.map_err(|why| self.unavailable(job, why))
    }

    /// Keeps what came back, the refresh token first.
    async fn keep(
        &self,
        job: &Job,
        (over, old): (&Signed, &SignIn),
        scope: Option<RefreshScope>,
        (mut response, version): (TokenResponse, u64),
    ) -> Result<Loaded, Arc<Refusal>> {
        let (state, app) = (&job.state, &job.app);
        let renewal = Renewal::take(&mut response);
        // Of a session that an import began nobody is known.
        let is_nobodys = old.account.home_account_id.is_empty();
        let owner = if is_nobodys { Owner::Unnamed } else { Owner::Known(old.account.clone()) };
        if let Err(failure) = about::check(app, &owner, &response) {
            // Not even its refresh token is kept. If the one that was sent is void now, the user has to sign in again.
            return Err(self.once(job, version).failed(state, SendError::Authority(failure)).await);
        }
        let is_said = response.scope.is_some();
        let (asked, is_own) = match scope {
            // RFC 6749 §5.1: what is not said is as it was asked for.
            Some(RefreshScope::Own(granted)) => (granted.unwrap_or_else(|| self.scopes.clone()), true),
            Some(RefreshScope::Part { meant, .. }) => (meant, false),
            Some(RefreshScope::Nothing) | None => (self.scopes.clone(), false),
        };
        let expected = Expected { asked, tenant: self.tenant.clone(), owner, exchange: Exchanged::No };
        let issued = issue(app, &expected, response, state.received());
        let kept = match &issued {
            Ok(grant) => {
                let mut sign_in = sign_in(&self.space, self.account(old, grant), &renewal, grant, Some(old));
                if is_own && is_said {
                    sign_in.set_granted(Some(&Scopes::granted(&grant.scope)));
                }
                grant.tenant_id.iter().for_each(|tenant| sign_in.add_tenant(tenant));
                // It came straight from the token endpoint (OpenID Connect Core §3.1.3.7, point 6), and is about this account.
                let id = grant.id_token.as_ref().map(Secret::expose).and_then(unverified);
                sign_in.set_login_hint(id.as_ref().and_then(|id| id.login_hint.as_deref()));
                self.kept(job, sign_in, over).await
            }
            // The rest of the answer is no good, but the old refresh token may be spent all the same.
            Err(_) => match renewal.token {
                Some(token) => {
                    let sign_in = SignIn { refresh_token: Some(token), ..old.clone() };
                    self.kept(job, sign_in, over).await
                }
                None => Kept::Stored,
            },
        };
        if kept == Kept::SignedOut {
            return Err(self.unknown().into());
        }
        match issued {
            Ok(grant) => {
                state.succeeded(app, &job.keys(version)).await;
                let granted = granted(app.authority.matching(), &self.scopes, &grant);
                let kept = grant.has_access_token() && job.may_be_kept(&self.scopes, &grant);
                Ok(Loaded { grant, granted, kept })
            }
            Err(failure) => Err(Self::unusable(job, version, failure)),
        }
    }

    /// The refusal of an answer that is of no use, also for whoever asks again in a moment.
    fn unusable(job: &Job, version: u64, failure: AuthorityError) -> Arc<Refusal> {
        let refusal = Arc::new(refuse(job.sends, failure, None));
        // Of the successor, which is what the next one would send.
        let until = job.state.clock.moment().after(UNUSABLE);
        job.keys(version).hold_request(&job.state.remembered, &job.app.label, until, &refusal);
        refusal
    }

    /// Stores the sign-in. The only good refresh token is worth some patience: while this replica has the turn, no other one reads
    /// the used token. If the store stays away, memory has the new one until it can be stored.
    async fn kept(&self, job: &Job, sign_in: SignIn, over: &Signed) -> Kept {
        let cache = &job.state.cache;
        let renewed = match job.app.refresh_tokens {
            RefreshTokens::Reusable => Renewed::Reusable,
            RefreshTokens::SingleUse => Renewed::SingleUse,
        };
        let mut kept = cache.accounts().renew_sign_in(&job.key.partition, sign_in.clone(), over, renewed).await;
        for _ in 0..PATIENCE {
            if kept != Kept::Later || job.app.refresh_tokens == RefreshTokens::Reusable {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            kept = cache.accounts().renew_sign_in(&job.key.partition, sign_in.clone(), over, renewed).await;
        }
        kept
    }

    /// The account as it is known by where it signed in: this token may be another tenant's, where the user has another id. What
    /// the user is called now is what it is called.
    fn account(&self, old: &SignIn, grant: &IssuedToken) -> Account {
        let username = grant.account.as_ref().and_then(|account| account.username.clone());
        Account { username: username.or_else(|| old.account.username.clone()), ..old.account.clone() }
    }

    /// What an issuer is asked for; `None` where all that was ever consented to can be asked for.
    fn scope(&self, job: &Job, sign_in: &SignIn) -> Option<RefreshScope> {
        let is_issuer = !job.app.authority.profile().reserved_scopes;
        let app = &job.app;
        let offline = if self.of_session { app.session_ask == Some(SessionAsk::OfflineAccess) } else { app.offline_access };
        is_issuer.then(|| RefreshScope::of(&self.scopes, sign_in, offline, job.bound))
    }

    fn form(&self, app: &App, scope: Option<&RefreshScope>, token: Secret) -> Form {
        let profile = app.authority.profile();
        let scope = match scope {
            Some(scope) => scope.sent(),
            None => Some(self.scopes.with_reserved().to_string()),
        };
        Form::default()
            .with("grant_type", GRANT_REFRESH_TOKEN)
            .with_some("scope", scope)
            .with_some("client_info", profile.client_info.then_some("1"))
            .with_some("audience", self.audience.clone())
            .with_some("resource", self.resource.clone())
            .with_some("claims", self.claims.clone())
            .with_secret("refresh_token", token)
    }

    fn once<'a>(&'a self, job: &'a Job, version: u64) -> SentOnce<'a> {
        SentOnce {
            flow: job.sends,
            app: &job.app,
            tenant: self.tenant.as_ref(),
            keys: job.keys(version),
            lost: job.sends.lost().filter(|_| job.app.refresh_tokens == RefreshTokens::SingleUse),
            may_stop: MayStop::All,
        }
    }
}

/// Room for the successor of a refresh token that is used up by being sent, in case the shared store does not take it. A token that
/// stays good after its use needs no room: nothing is lost with its successor.
fn room(job: &Job) -> Result<Option<Room>, Arc<Refusal>> {
    if job.app.refresh_tokens == RefreshTokens::Reusable {
        return Ok(None);
    }
    let state = &job.state;
    let room = state.cache.accounts().room_for_sign_in();
    room.map(Some).ok_or_else(|| Arc::new(overloaded("limits.queue", &state.clock)))
}

/// The refusal of a request for nothing that the user agreed to, as the authority would refuse it (RFC 6749 §6).
fn not_granted() -> Refusal {
    let detail = "the authority granted none of these `scopes` when the user signed in: leave `scopes` out for those that it did \
                  grant, or sign the user in for these";
    let answer = ErrorBody { error: "invalid_scope".to_owned(), ..ErrorBody::default() };
    Refusal { answer: Some(Box::new(answer)), ..Refusal::new(Turn::Caller, RefusalKind::Refused, detail) }
}

/// How an Entra-style authority finds the user's home (REQ-12); accounts of others are called otherwise.
fn user_at_home(account: &Account) -> Option<String> {
    let (oid, tid) = account.home_account_id.split_once('.')?;
    Some(format!("Oid:{oid}@{tid}"))
}

fn is_invalid_grant(trouble: &SendError) -> bool {
    matches!(trouble, SendError::Authority(AuthorityError::Refused { body, .. }) if body.error == "invalid_grant")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{RefreshScope, Scopes, SignIn};
    use crate::token::{Account, SpaceId};

    fn sign_in(asked: Option<&str>, granted: Option<&str>) -> SignIn {
        let account = Account {
            home_account_id: "sub".to_owned(),
            local_account_id: "sub".to_owned(),
            username: None,
            environment: "host".to_owned(),
            tenant_id: None,
        };
        let (space, more) = (SpaceId::new([4; 32]), BTreeMap::new());
        let mut sign_in =
            SignIn { account, refresh_token: None, expires_on: 0, space, epoch: None, lineage: [0; 16], more, shared: 0 };
        if let Some(asked) = asked {
            sign_in.set_scopes(&Scopes::granted(asked), granted.map(Scopes::granted).as_ref());
        }
        sign_in
    }

    /// What stands in the request: `-` for no scope, `!` for no request.
    fn sent(asked: &str, sign_in: &SignIn, offline: bool) -> String {
        match RefreshScope::of(&Scopes::granted(asked), sign_in, offline, false) {
            RefreshScope::Nothing => "!".to_owned(),
            scope => scope.sent().unwrap_or_else(|| "-".to_owned()),
        }
    }

    #[test]
    fn req_15_a_refresh_asks_for_no_more_than_was_granted() {
        let less = sign_in(Some("a b"), Some("openid offline_access a"));
        let all = sign_in(Some("a b"), Some("openid offline_access a b c"));
        let plain = sign_in(Some("a b"), Some("a b"));
        for (asked, sign_in, expected) in [
            // The sign-in's own, in any order, and whatever was granted of it.
            ("b a", &less, "-"),
            ("", &less, "-"),
            ("a b", &all, "-"),
            ("a b", &plain, "-"),
            // All that was granted, by other words.
            ("a", &less, "-"),
            ("a b c", &all, "-"),
            // A part of it, with what keeps the refresh token what it is.
            ("a", &all, "a openid offline_access"),
            ("c x", &all, "c openid offline_access"),
            ("a openid", &all, "a openid offline_access"),
            ("a", &plain, "a"),
            // Letter by letter.
            ("A b", &all, "b openid offline_access"),
            ("b", &less, "!"),
            ("x y", &all, "!"),
        ] {
            assert_eq!(sent(asked, sign_in, true), expected, "{asked}");
            assert_eq!(sent(asked, sign_in, false), expected, "{asked}");
        }
    }

    #[test]
    fn req_15_a_caller_that_may_have_certain_apis_alone_names_their_scopes_where_more_was_granted() {
        let bound = |sign_in: &SignIn| RefreshScope::of(&Scopes::granted("a b"), sign_in, true, true).sent();
        assert_eq!(bound(&sign_in(Some("a b"), Some("openid offline_access a"))), None);
        let (more, unknown) = (sign_in(Some("a b"), Some("openid offline_access a b c")), sign_in(Some("a b"), None));
        for sign_in in [more, unknown] {
            assert_eq!(bound(&sign_in).as_deref(), Some("a b openid offline_access"));
        }
    }

    #[test]
    fn req_15_where_the_grant_is_not_known_the_scopes_go_as_they_came_and_offline_access_is_not_lost() {
        for sign_in in [sign_in(Some("a b"), None), sign_in(None, None)] {
            assert_eq!(sent("a", &sign_in, true), "a openid offline_access");
            assert_eq!(sent("a", &sign_in, false), "a openid");
            assert_eq!(sent("", &sign_in, true), "-");
        }
        assert_eq!(sent("b a", &sign_in(Some("a b"), None), true), "-");
        assert_eq!(sent("b a", &sign_in(None, None), true), "b a openid offline_access");
    }
}
