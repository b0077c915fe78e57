//! Who asks: the callers that the configuration knows, how a request proves to be of one of them, what they may do, and how often
//! they did.
//!
//! What a caller wants is described by whoever judges a request (`WantedRights`), so that this module knows no flow and no route.

mod rights;
mod settings;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Ready, ready};
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::Mutex;

pub use rights::{Beyond, RightError, WantedRights};
pub use settings::{AccountRights, Rights, Settings};
pub use token::CallerTokens;

use crate::clock::{Clock, Moment};
use crate::finding::Complaint;
use crate::reload::Reloads;
use crate::telemetry::Metrics;

use token::TokenHash;

/// How soon after a comparison of the files an unknown token makes tokend compare them again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a request waits for files that are being compared: a disk may hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who sent a request: small enough to travel with it. Without callers in the configuration it is [`Caller::ANYONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller(Option<u16>);

/// All callers that there are.
#[derive(Debug)]
pub struct Callers {
    tokens: CallerTokens,
    counters: Vec<[IntCounter; 2]>,
    unknown: IntCounter,
    /// When the files were compared because of an unknown token.
    compared: Mutex<Option<Moment>>,
    clock: Clock,
}

/// What a request shows of its caller.
// No `Debug`: it would show a token.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The header for tokens.
    pub header: HeaderToken<'a>,
}

/// What the header for tokens has.
#[derive(Clone, Copy)]
pub enum HeaderToken<'a> {
    /// The header is not there.
    Missing,
    /// This value.
    One(&'a [u8]),
    /// Several values.
    Several,
}

/// Why a request is of no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// It shows no proof.
    #[error("the request has no token of a caller")]
    TokenMissing,
    /// It shows several tokens.
    #[error("the request has several tokens of callers")]
    TokenRepeated,
    /// Nobody has this token.
    #[error("the request has the token of no caller")]
    TokenUnknown,
}

/// Who asks, or why that is not known: at once where memory knows it, and nothing is allocated for that; else after a look at the
/// files.
pub type Identified = Either<Ready<Result<Caller, CallerError>>, BoxFuture<'static, Result<Caller, CallerError>>>;

// === impl Caller ===

impl Caller {
    /// Nobody in particular. Accounts that are nobody's were made before there were callers.
    pub const ANYONE: Self = Self(None);

    /// Its place in the configuration.
    pub fn index(self) -> Option<usize> {
        self.0.map(usize::from)
    }
}

// === impl HeaderToken ===

impl<'a> HeaderToken<'a> {
    /// What the values of the header come to.
    pub fn of(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(token), None) => Self::One(token),
            (None, _) => Self::Missing,
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

// === impl Callers ===

impl Callers {
    /// Callers whose tokens are loaded.
    pub fn new(tokens: CallerTokens, metrics: &Metrics, clock: Clock) -> Arc<Self> {
        let help = "Requests by caller: `authenticated`, of these `not_allowed` for want of a right, and under the caller `-` those \
                    `not_authenticated`.";
        let family: IntCounterVec = metrics.counters("caller_requests_total", help, &["caller", "outcome"]);
        let of = |caller: &Settings| {
            ["authenticated", "not_allowed"].map(|outcome| family.with_label_values(&[caller.name.as_str(), outcome]))
        };
        Arc::new(Self {
            counters: tokens.callers().map(of).collect(),
            // No caller can be called so.
            unknown: family.with_label_values(&["-", "not_authenticated"]),
            tokens,
            compared: Mutex::default(),
            clock,
        })
    }

    /// Whose request this is by what it shows, and counts it.
    pub fn identify(self: &Arc<Self>, presented: &Presented<'_>) -> Identified {
        let shown = match presented.header {
            HeaderToken::One(token) => TokenHash::of_shown(token).ok_or(CallerError::TokenUnknown),
            HeaderToken::Missing => Err(CallerError::TokenMissing),
            HeaderToken::Several => Err(CallerError::TokenRepeated),
        };
        match shown.map(|token| (self.tokens.owner(&token), token)) {
            Ok((Some(index), _)) => Either::Left(ready(self.counted(Ok(index)))),
            // It may stand in a new file.
            Ok((None, token)) => {
                let this = Arc::clone(self);
                Either::Right(Box::pin(async move { this.look_again(&token).await }))
            }
            Err(error) => Either::Left(ready(self.counted(Err(error)))),
        }
    }

    /// Compares the files, then asks once more whose token this is.
    async fn look_again(&self, token: &TokenHash) -> Result<Caller, CallerError> {
        // Whether they were compared or not: what is known now decides.
        let _in_time = tokio::time::timeout(PATIENCE, self.compare()).await;
        self.counted(self.tokens.owner(token).ok_or(CallerError::TokenUnknown))
    }

    /// Compares the files with what is in force; at most once a second, however many unknown tokens come. Who comes while that goes
    /// on waits for its end.
    async fn compare(&self) {
        let mut compared = self.compared.lock().await;
        let now = self.clock.moment();
        if compared.is_some_and(|compared| now.since(compared) < AGAIN) {
            return;
        }
        *compared = Some(now);
        self.tokens.reread().await;
    }

    fn counted(&self, found: Result<u16, CallerError>) -> Result<Caller, CallerError> {
        let caller = found.map(|index| Caller(Some(index)));
        match caller {
            Ok(caller) => self.count(caller, 0),
            Err(_) => self.unknown.inc(),
        }
        caller
    }

    /// Counts an outcome of a caller's request: 0 for one that is authenticated, 1 for one that is not allowed.
    fn count(&self, caller: Caller, outcome: usize) {
        if let Some(counter) = caller.index().and_then(|index| self.counters.get(index)?.get(outcome)) {
            counter.inc();
        }
    }

    /// Follows the files.
    pub fn watch(&self, reloads: &Reloads) {
        let tokens = self.tokens.clone();
        reloads.follow_by(move || {
            let tokens = tokens.clone();
            async move { tokens.reread().await }
        });
    }

    /// Its name in the configuration.
    pub fn name(&self, caller: Caller) -> Option<&str> {
        self.settings(caller).map(|caller| caller.name.as_str())
    }

    /// Of each caller: its name, why the newest contents of its file were refused, if they were, and how often that happened.
    pub fn reload_states(&self) -> impl Iterator<Item = (&str, Option<Arc<Complaint>>, u64)> {
        self.tokens.reload_states().map(|(caller, problem, failures)| (caller.name.as_str(), problem, failures))
    }

    /// Whether a caller may have what is wanted. Who is not known may have nothing.
    ///
    /// # Errors
    /// It lacks a right, and which.
    pub fn judge(&self, caller: Caller, wanted: &WantedRights<'_>) -> Result<(), RightError> {
        let judged = self.rights(caller).map_or(Err(RightError::App), |rights| rights::judge(rights, wanted));
        if judged.is_err() {
            self.not_allowed(caller);
        }
        judged
    }

    /// Counts a request of a caller that lacks a right.
    pub fn not_allowed(&self, caller: Caller) {
        self.count(caller, 1);
    }

    /// Whether a caller may have tokens for certain apis only. Who is not known may have nothing, let alone more.
    pub fn is_bound(&self, caller: Caller) -> bool {
        self.rights(caller).is_none_or(|rights| rights.apis.is_some())
    }

    /// Whose accounts a caller may use, its own first; `None`: its own alone.
    pub fn owners(&self, caller: Caller) -> Option<Vec<Caller>> {
        let sees_all = self.rights(caller).is_some_and(|rights| rights.accounts == AccountRights::All);
        let others = (0_u16..).zip(self.tokens.callers()).map(|(index, _)| Caller(Some(index))).chain([Caller::ANYONE]);
        sees_all.then(|| std::iter::once(caller).chain(others.filter(|other| *other != caller)).collect())
    }

    fn rights(&self, caller: Caller) -> Option<&Rights> {
        self.settings(caller).map(|caller| &caller.rights)
    }

    fn settings(&self, caller: Caller) -> Option<&Settings> {
        caller.0.and_then(|index| self.tokens.caller(index))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        AccountRights, Caller, CallerError, CallerTokens, Callers, HeaderToken, Presented, RightError, Rights, Settings,
        WantedRights,
    };
    use crate::clock::Clock;
    use crate::finding::Findings;
    use crate::reload::{Place, Source};
    use crate::secret::Secret;
    use crate::telemetry::Metrics;

    async fn identify(callers: &std::sync::Arc<Callers>, values: &[&str]) -> Result<Caller, CallerError> {
        let header = HeaderToken::of(values.iter().map(|value| value.as_bytes()));
        callers.identify(&Presented { header }).await
    }

    #[tokio::test]
    async fn whoever_is_not_known_may_have_nothing_and_sees_nothing() {
        let caller = |name: &str, accounts| {
            let token = Source { key: name.to_owned(), file: None, place: Place::Value(Secret::new(name.repeat(22))) };
            Settings { name: name.to_owned(), token, rights: Rights { apps: None, apis: None, flows: None, accounts } }
        };
        let settings = [caller("a", AccountRights::Own), caller("b", AccountRights::All), caller("c", AccountRights::Own)];
        let tokens = CallerTokens::load(&settings, &mut Findings::default()).unwrap();
        let metrics = Metrics::default();
        let callers = Callers::new(tokens, &metrics, Clock::manual(0));
        let wanted = WantedRights { flow: Some("silent"), ..WantedRights::default() };
        assert_eq!(callers.judge(Caller::ANYONE, &wanted), Err(RightError::App));
        assert_eq!(callers.judge(Caller::ANYONE, &WantedRights::default()), Err(RightError::App));
        assert_eq!((callers.owners(Caller::ANYONE), callers.name(Caller::ANYONE)), (None, None));
        let [a, b, c] = [0, 1, 2].map(|index| Caller(Some(index)));
        for (name, caller) in [("a", a), ("b", b), ("c", c)] {
            assert_eq!(identify(&callers, &[&name.repeat(22)]).await, Ok(caller));
        }
        assert_eq!((callers.judge(a, &wanted), callers.name(a)), (Ok(()), Some("a")));
        assert_eq!((callers.owners(a), callers.owners(b)), (None, Some(vec![b, a, c, Caller::ANYONE])));
        let long = "a".repeat(2000);
        for (values, error) in [
            (&["a"][..], CallerError::TokenUnknown),
            (&[&long], CallerError::TokenUnknown),
            (&[], CallerError::TokenMissing),
            (&["a", "a"], CallerError::TokenRepeated),
        ] {
            assert_eq!(identify(&callers, values).await, Err(error));
        }
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in ["{caller=\"a\",outcome=\"authenticated\"} 1", "{caller=\"-\",outcome=\"not_authenticated\"} 4"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
