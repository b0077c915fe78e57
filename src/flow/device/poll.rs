//! One poll of a device flow (RFC 8628 §3.4): who may poll the code, and whether the authority is asked.
//!
//! All who poll one code share one call, in the process by a flight and in the fleet by a turn. The flight is detached: a code that
//! was redeemed is good for nothing any more, so what came of it is noted under its name until its end, and who polls again gets
//! that.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt as _;

use super::code::DeviceCodeRecord;
use super::standing::{DeviceStanding, PollCame};
use crate::authority::AuthorityError;
use crate::cache::{NotedThing, Notes, RefreshLease, Unavailable, Work, Writing};
use crate::caller::Caller;
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::grants;
use crate::flow::handle::{BadHandle, HandleSubject, WantedHandle};
use crate::flow::issue::Redeemed;
use crate::flow::members::ClaimsMember;
use crate::flow::plan::{Asker, ExpectedIdToken, OncePlan, partition_of};
use crate::flow::redeem::owner;
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::flow::request::{Answer, Call, Common, DevicePoll, NamedApp, Outcome, Silent, TokenSource};
use crate::flow::spine::carry_out;
use crate::flow::spine::failure::{refuse, unavailable};
use crate::flow::spine::once::{Redemption, fly};
use crate::flow::spine::send::{SendError, Sent};
use crate::flow::state::{FlowState, lacking};
use crate::flow::timed::Timed;
use crate::oauth::{ErrorBody, Form, GRANT_DEVICE_CODE};
use crate::secret::Secret;
use crate::token::{AnswerHead, Partition, Retry, Turn};

const FLOW: Flow = Flow::DeviceCode;
/// After which pause it is worth to ask again for what is on its way.
const PAUSE: Duration = Duration::from_secs(5);
/// How often, and after which pause, it is tried again to note what a code became.
const PATIENCE: u32 = 300;
const AGAIN: Duration = Duration::from_secs(1);

/// A code that this caller may poll.
struct Polled {
    record: DeviceCodeRecord,
    app: Arc<App>,
    /// Whose account it becomes.
    owner: Caller,
}

/// What a turn has brought.
enum TurnOutcome {
    /// An answer.
    Said(Result<Redeemed, Arc<Refusal>>),
    /// Somebody has got it already.
    Settled(PollCame),
}

/// A poll on its way, with all that it needs to run without its request.
struct Polling {
    state: Arc<FlowState>,
    code: Arc<Polled>,
    caller: Caller,
    call: Call,
    partition: Partition,
}

/// Polls once. With the answer: whether an OAuth client asked for an id token at the start.
pub(in crate::flow) async fn poll(
    state: &Arc<FlowState>,
    caller: Caller,
    call: Call,
    request: &DevicePoll<'_>,
) -> Result<(Answer, bool), Arc<Refusal>> {
    let polled = match polled(state, caller, request).await {
        Ok(polled) => Arc::new(polled),
        Err(refusal) => {
            state.counted_unknown(FLOW, &refusal);
            return Err(refusal);
        }
    };
    let common = polled.record.common(request.common.wants_handle);
    // What the code says may have been taken from its caller since the start.
    let app = state.asked_of(caller, FLOW, &common)?;
    let timed = Timed::begin(state, &app, FLOW, &call);
    let outcome = asked(state, &polled, (caller, call), request.common.wants_handle).await;
    timed.end(caller, &common, outcome).map(|answer| (answer, polled.record.has_openid))
}

/// The code that a request polls, if its caller may.
async fn polled(state: &FlowState, caller: Caller, request: &DevicePoll<'_>) -> Result<Polled, Arc<Refusal>> {
    if let Some(callers) = &state.callers {
        let may = callers.may_use_flow(caller, FLOW.as_str());
        may.inspect_err(|_| callers.not_allowed(caller)).map_err(lacking)?;
    }
    if request.common.app.is_some() {
        state.allowed(caller, None, &Common { app: request.common.app, ..Common::default() })?;
    }
    let missing = || Refusal::member("`device_code` is missing: give the one that the start was answered with");
    let text = request.device_code.filter(|text| !text.is_empty()).ok_or_else(missing)?;
    let opened = DeviceCodeRecord::open(state.cache.handles(), text, state.clock.unix()).await;
    let record = opened.map_err(|why| match why {
        BadHandle::Invalid => expired(),
        BadHandle::NotYet => not_yet(state),
        BadHandle::Unavailable(why) => unavailable(why),
    })?;
    let app = state.apps.get(&record.app).ok_or_else(expired)?;
    if !is_named(state, caller, &request.common, app)? {
        return Err(expired().into());
    }
    let owner = owner(state, app, caller, (&record.space, record.caller.as_deref())).ok_or_else(expired)?;
    Ok(Polled { app: Arc::clone(app), owner, record })
}

/// Whether a request names the app of the code, or none.
fn is_named(state: &FlowState, caller: Caller, common: &Common<'_>, app: &App) -> Result<bool, Arc<Refusal>> {
    if common.app.is_some_and(|named| named != app.name) {
        return Ok(false);
    }
    let Some(client) = common.client.filter(|client| *client != NamedApp::Only) else { return Ok(true) };
    let named = Common { client: Some(client), ..Common::default() };
    let meant = state.meant(caller, &named);
    let meant = meant.inspect_err(|refusal| state.not_allowed(caller, refusal))?;
    Ok(meant.is_some_and(|meant| meant.app == Some(&app.name)))
}

/// Asks the authority, or whoever asks it already.
async fn asked(state: &Arc<FlowState>, code: &Arc<Polled>, (caller, call): (Caller, Call), wants_handle: bool) -> Outcome {
    grants::handle_ready(state, wants_handle).await?;
    let plan = plan(state, code, (caller, call.clone()), wants_handle)?;
    let partition = code.record.partition();
    let polling = Polling { state: Arc::clone(state), code: Arc::clone(code), caller, call, partition };
    fly(state, plan, move |redemption| polling.run(redemption).boxed()).await
}

fn plan(state: &FlowState, code: &Polled, (caller, call): (Caller, Call), wants_handle: bool) -> Result<OncePlan, Refusal> {
    let Polled { record, app, owner } = code;
    let common = record.common(wants_handle);
    let claims = ClaimsMember::read(&Common { claims: record.claims.as_deref(), ..common.clone() })?;
    let tenant = app.tenant(common.tenant)?;
    let scopes = record.asked.scopes();
    let form = Form::default()
        .with("grant_type", GRANT_DEVICE_CODE)
        .with_some("client_info", app.authority.profile().client_info.then_some("1"))
        .with_some("audience", common.audience)
        .with_some("resource", common.resource)
        .with_some("claims", claims.merged(app))
        .with_secret("device_code", Secret::new(record.code.as_str()));
    Ok(OncePlan {
        flow: FLOW,
        app: Arc::clone(app),
        call,
        owner: *owner,
        bound: state.is_bound(caller),
        variant: app.usual.variant_of(&claims.variant(app, &common, tenant.as_ref())),
        flight: record.flight(),
        form,
        id_token: ExpectedIdToken::Optional,
        // At the start: the same scopes go with every code.
        sends_scope: true,
        client: app.device_client,
        tried: None,
        asks_whose: false,
        carried: record.code.len() + scopes.weight() + claims.carried(),
        handle: wants_handle.then(|| WantedHandle {
            space: record.space,
            caller: record.caller.clone(),
            asked: record.asked.clone(),
        }),
        tenant,
        scopes,
    })
}

// === impl Polling ===

impl Polling {
    async fn run(self, redemption: Redemption) -> Result<Redeemed, Arc<Refusal>> {
        let (state, notes) = (&self.state, self.state.cache.notes());
        // What this process knows needs no store.
        let known = notes.remembered(&self.partition).and_then(|noted| DeviceStanding::read(&noted, &self.code.record));
        if let Some(known) = known.filter(|known| known.came.is_final()) {
            return self.settled(known.came, TokenSource::Memory).await;
        }
        let before = self.noted().await?;
        if let Some((_, standing)) = before.as_ref().filter(|(_, standing)| standing.came.is_final()) {
            return self.settled(standing.came.clone(), TokenSource::Redis).await;
        }
        let before = before.map(|(generation, _)| generation);
        let work = |lease| self.in_turn(lease, &redemption, before).boxed();
        let turn = state.cache.accounts().in_turn(&self.partition, self.code.app.authority.timeout(), work).await;
        match turn {
            Ok(TurnOutcome::Said(outcome)) => outcome,
            Ok(TurnOutcome::Settled(came)) => self.settled(came, TokenSource::Redis).await,
            Err(Unavailable::Busy) => Err(refuse(FLOW, AuthorityError::Busy, None).into()),
            Err(why) => Err(unavailable(why).into()),
        }
    }

    /// What is done while nobody else in the fleet polls the code. `before`: what was noted of it when this poll came.
    async fn in_turn(&self, lease: RefreshLease, redemption: &Redemption, before: Option<u64>) -> TurnOutcome {
        let noted = match self.noted().await {
            Ok(noted) => noted,
            Err(refusal) => return TurnOutcome::Said(Err(refusal)),
        };
        let generation = noted.as_ref().map(|(generation, _)| *generation);
        let standing = noted.map_or_else(|| DeviceStanding::new(&self.code.record), |(_, standing)| standing);
        if standing.came.is_final() {
            return TurnOutcome::Settled(standing.came);
        }
        if generation != before {
            // Another replica has asked meanwhile: this is the answer to all who waited.
            return TurnOutcome::Said(Err(self.told(&standing, None)));
        }
        let now = self.now();
        if standing.is_too_early(now) {
            let slowed = standing.slowed();
            self.note(generation, &slowed).await;
            return TurnOutcome::Said(Err(self.told(&slowed, None)));
        }
        let _room = match redemption.ready().await {
            Ok(room) => room,
            Err(refusal) => return TurnOutcome::Said(Err(refusal)),
        };
        let sent = redemption.send(Some((&lease, Notes::sending(generation)))).await;
        self.sent(redemption, sent, (generation, &standing.polled(now, PollCame::Pending))).await
    }

    /// What becomes of an answer. `standing`: how the code stands if that changed nothing.
    async fn sent(&self, redemption: &Redemption, sent: Sent, (over, standing): (Option<u64>, &DeviceStanding)) -> TurnOutcome {
        if let Some((came, body)) = said(&sent) {
            let standing = standing.polled(standing.called, came);
            if standing.came.is_final()
                && let Ok(Some((_, other))) = self.noted().await
                && other.came.is_final()
            {
                // Another replica had the turn as well, which a store that lost it may bring about.
                return TurnOutcome::Settled(other.came);
            }
            self.note(over, &standing).await;
            return TurnOutcome::Said(Err(self.told(&standing, Some(body))));
        }
        let outcome = redemption.ended(sent).await;
        match &outcome {
            Ok(redeemed) => {
                self.note_for_good(
                    DeviceStanding { came: PollCame::of(redeemed, self.state.clock.unix()), ..standing.clone() },
                    over,
                )
                .await;
                TurnOutcome::Said(outcome)
            }
            Err(refusal) => {
                self.note(over, standing).await;
                let unknown = matches!(refusal.kind, RefusalKind::AuthorityUnavailable | RefusalKind::AuthorityTimeout);
                if unknown && refusal.retry == Retry::Never {
                    // A poll more can tell whether the code was redeemed.
                    let told = (**refusal).clone().retrying(Retry::Backoff);
                    return TurnOutcome::Said(Err(told.into()));
                }
                TurnOutcome::Said(outcome)
            }
        }
    }

    /// How the code stands, and the place of that in the order in which it was noted.
    async fn noted(&self) -> Result<Option<(u64, DeviceStanding)>, Arc<Refusal>> {
        let noted = self.state.cache.notes().read(&self.partition).await.map_err(unavailable)?;
        let read = |noted: NotedThing| DeviceStanding::read(&noted, &self.code.record).map(|standing| (noted.generation, standing));
        match noted {
            None => Ok(None),
            Some(noted) => read(noted).map(Some).ok_or_else(|| unavailable(Unavailable::Unreadable).into()),
        }
    }

    /// Notes how the code stands. Where it cannot be noted, the next poll comes too early at worst.
    async fn note(&self, over: Option<u64>, standing: &DeviceStanding) {
        let said = standing.written();
        let writing = Writing { over, said: &said, stands: self.lasts(), always: false };
        let _noted = self.state.cache.notes().write(&self.partition, writing).await;
    }

    /// Notes what the code became. Whoever polls it again finds its token by that alone, so that a store which is away is tried
    /// again until it is there or the code is over.
    async fn note_for_good(&self, standing: DeviceStanding, over: Option<u64>) {
        let said = standing.written();
        let (state, partition, stands) = (Arc::clone(&self.state), self.partition, self.lasts());
        let write = move || {
            let (state, said) = (Arc::clone(&state), said.clone());
            async move {
                let writing = Writing { over, said: &said, stands, always: true };
                state.cache.notes().write(&partition, writing).await
            }
        };
        if write().await.is_ok() {
            return;
        }
        let Some(permit) = self.state.cache.budget().take(Work::Redemption, standing.written().len()) else { return };
        self.state.tasks.background("device code", async move {
            let _until_it_ends = permit;
            for _ in 0..PATIENCE {
                tokio::time::sleep(AGAIN).await;
                if write().await.is_ok() {
                    return;
                }
            }
        });
    }

    /// How long the code will be good.
    fn lasts(&self) -> Duration {
        let left = self.code.record.ends.saturating_sub(self.state.clock.unix());
        Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1))
    }

    /// The time, in milliseconds since the Unix epoch.
    fn now(&self) -> i64 {
        let since = self.state.clock.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// The refusal of a poll that brought no token, with what the authority said if it was asked.
    fn told(&self, standing: &DeviceStanding, body: Option<Box<ErrorBody>>) -> Arc<Refusal> {
        let kind = standing.came.kind().unwrap_or(RefusalKind::ExpiredToken);
        let detail = match kind {
            RefusalKind::AuthorizationPending => "the user has not come to an end yet: poll again after `interval` seconds",
            RefusalKind::SlowDown => "the code is polled too often: wait five seconds longer than before between two polls",
            RefusalKind::AccessDenied => "the user said no: start again if the user wants to",
            _ => return Arc::new(Refusal { answer: spelt(body, kind), ..expired() }),
        };
        let refusal = Refusal { answer: spelt(body, kind), ..Refusal::new(Turn::Caller, kind, detail) };
        let waits = !standing.came.is_final();
        let at = || {
            let due = standing.called.saturating_add(i64::from(standing.interval).saturating_mul(1000));
            let left = u64::try_from(due.saturating_sub(self.now())).unwrap_or(0);
            self.state.clock.moment().after(Duration::from_millis(left.max(1)))
        };
        Arc::new(refusal.retrying(if waits { Retry::At(at()) } else { Retry::Never }))
    }

    /// What whoever polls again is told of a code that came to an end.
    async fn settled(&self, came: PollCame, source: TokenSource) -> Result<Redeemed, Arc<Refusal>> {
        match came {
            PollCame::Account { home_account_id, lineage, renews, answer } => {
                self.stands(&home_account_id, &lineage).await?;
                let (head, source) = if answer.is_good(self.state.clock.unix()) {
                    (answer.head(), source)
                } else {
                    self.renewed(&home_account_id).await?
                };
                let account = Some((home_account_id, lineage));
                let subject = account.clone().filter(|_| renews);
                let subject = subject.map(|(home_account_id, lineage)| HandleSubject::Account { home_account_id, lineage });
                Ok(Redeemed { head, source, signed_in: subject, account, session: None })
            }
            PollCame::Token(answer) => Ok(Redeemed { head: answer.head(), source, signed_in: None, account: None, session: None }),
            came => {
                let standing = DeviceStanding { came, ..DeviceStanding::new(&self.code.record) };
                Err(self.told(&standing, None))
            }
        }
    }

    /// Whether the account that a code became is signed in since then.
    async fn stands(&self, home: &str, lineage: &[u8; 16]) -> Result<(), Arc<Refusal>> {
        let (state, Polled { record, app, owner }) = (&self.state, &*self.code);
        let (cache, partition) = (&state.cache, partition_of(app, *owner, home));
        let signed = cache.accounts().signed_or_remembered(&record.space, &partition).await.map_err(unavailable)?;
        match &signed.sign_in {
            Some(sign_in) if sign_in.is_of(lineage) => Ok(()),
            // It is on its way to the store still; a sign-out would have left an epoch.
            None if cache.fleet().is_some() && signed.base.epoch.is_none() => Err(not_yet(state).into()),
            _ => Err(expired().into()),
        }
    }

    /// A token of the account that a code became, as `/silent` has it: the one that came is too old.
    async fn renewed(&self, home: &str) -> Result<(AnswerHead, TokenSource), Arc<Refusal>> {
        let (state, Polled { record, app, owner }) = (&self.state, &*self.code);
        let silent = Silent { common: record.common(false), account: Some(home) };
        let asker = Asker { state, app, caller: self.caller, call: self.call.clone() };
        let plan = grants::silent_of(asker, &silent, *owner)?;
        let Answer { head, source, .. } = carry_out(state, plan).await?;
        Ok((head, source))
    }
}

/// What an authority said of the user or of the polls, if it did.
fn said(sent: &Sent) -> Option<(PollCame, Box<ErrorBody>)> {
    let Err(SendError::Authority(failure)) = &sent.outcome else { return None };
    let body = match failure {
        AuthorityError::Refused { body, .. } => body,
        // Some say `slow_down` so.
        AuthorityError::Throttled { body: Some(body), .. } => body,
        _ => return None,
    };
    PollCame::said(&body.error).map(|came| (came, body.clone()))
}

/// What an authority said, in the words of RFC 8628.
fn spelt(body: Option<Box<ErrorBody>>, kind: RefusalKind) -> Option<Box<ErrorBody>> {
    body.map(|body| Box::new(ErrorBody { error: kind.as_str().to_owned(), ..*body }))
}

fn expired() -> Refusal {
    let detail = "the device code is none of this app and caller, is over, or its user has signed out: start again";
    Refusal::new(Turn::Caller, RefusalKind::ExpiredToken, detail)
}

fn not_yet(state: &FlowState) -> Refusal {
    let detail = "the device code was issued a moment ago, and what tells how it stands has not arrived here yet: try again later";
    let until = state.clock.moment().after(PAUSE);
    Refusal::new(Turn::Unavailable, RefusalKind::CacheUnavailable, detail).retrying(Retry::At(until)).local()
}
