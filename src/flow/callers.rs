//! Who asks: the callers that the configuration knows, what they may do, and how often they did.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::Mutex;

use super::caller_tokens::CallerTokens;
use super::policy::{Missing, Wanted, judge};
use super::settings::{AccountRights, CallerSettings};
use crate::clock::{Clock, Moment};
use crate::finding::Problem;
use crate::reload::Reloads;
use crate::telemetry::Metrics;

/// How soon after a comparison of the files a refused token makes tokend compare them again.
const AGAIN: Duration = Duration::from_secs(1);

/// Who sent a request: small enough to travel with it. Without callers in the configuration it is [`Caller::ANYONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller(Option<u16>);

/// All callers that there are.
#[derive(Debug)]
pub struct Callers {
    tokens: CallerTokens,
    counters: Vec<[IntCounter; 2]>,
    unknown: IntCounter,
    /// When the files were compared because of a refused token.
    compared: Mutex<Option<Moment>>,
    clock: Clock,
}

// === impl Caller ===

impl Caller {
    /// Nobody in particular. Accounts that are nobody's were made before there were callers.
    pub const ANYONE: Self = Self(None);

    /// Its place in the configuration.
    pub(super) fn index(self) -> Option<usize> {
        self.0.map(usize::from)
    }
}

// === impl Callers ===

impl Callers {
    /// Callers whose tokens are loaded.
    pub fn new(tokens: CallerTokens, metrics: &Metrics, clock: Clock) -> Arc<Self> {
        let help = "Requests by caller: `authenticated`, of these `not_allowed` for want of a right, and under the caller `-` those \
                    `not_authenticated`.";
        let family: IntCounterVec = metrics.counters("caller_requests_total", help, &["caller", "outcome"]);
        let of = |caller: &CallerSettings| {
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

    /// Whose token this is. `None`: nobody's, as far as is known.
    pub fn authenticate(&self, token: &[u8]) -> Option<Caller> {
        let index = self.tokens.owner(token)?;
        if let Some([authenticated, _]) = self.counters.get(usize::from(index)) {
            authenticated.inc();
        }
        Some(Caller(Some(index)))
    }

    /// Counts a request that is nobody's.
    pub fn not_authenticated(&self) {
        self.unknown.inc();
    }

    /// Compares the files because a token was refused, which may stand in a new one; at most once a second, however many come. Who comes
    /// while that goes on waits for its end.
    pub async fn compare(&self) {
        let mut compared = self.compared.lock().await;
        let now = self.clock.moment();
        if compared.is_some_and(|compared| now.since(compared) < AGAIN) {
            return;
        }
        *compared = Some(now);
        self.tokens.reread().await;
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
    pub fn reload_states(&self) -> impl Iterator<Item = (&str, Option<Arc<Problem>>, u64)> {
        self.tokens.reload_states().map(|(caller, problem, failures)| (caller.name.as_str(), problem, failures))
    }

    /// Whether a caller may have what is wanted. Who is not known may have nothing.
    pub(super) fn judge(&self, caller: Caller, wanted: &Wanted<'_>) -> Result<(), Missing> {
        let judged = self.settings(caller).map_or(Err(Missing::App), |rights| judge(rights, wanted));
        if judged.is_err() {
            self.not_allowed(caller);
        }
        judged
    }

    /// Counts a request of a caller that lacks a right.
    pub(super) fn not_allowed(&self, caller: Caller) {
        if let Some([_, not_allowed]) = caller.index().and_then(|index| self.counters.get(index)) {
            not_allowed.inc();
        }
    }

    /// Whether a caller may have tokens for certain apis only. Who is not known may have nothing, let alone more.
    pub(super) fn is_bound(&self, caller: Caller) -> bool {
        self.settings(caller).is_none_or(|rights| rights.apis.is_some())
    }

    /// Whose accounts a caller may use, its own first; `None`: its own alone.
    pub(super) fn owners(&self, caller: Caller) -> Option<Vec<Caller>> {
        let sees_all = self.settings(caller).is_some_and(|rights| rights.accounts == AccountRights::All);
        let others = (0_u16..).zip(self.tokens.callers()).map(|(index, _)| Caller(Some(index))).chain([Caller::ANYONE]);
        sees_all.then(|| std::iter::once(caller).chain(others.filter(|other| *other != caller)).collect())
    }

    fn settings(&self, caller: Caller) -> Option<&CallerSettings> {
        caller.0.and_then(|index| self.tokens.caller(index))
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Flow;
    use super::super::policy::{Missing, Wanted};
    use super::{Caller, Callers};
    use crate::clock::Clock;
    use crate::finding::Findings;
    use crate::flow::{AccountRights, CallerSettings, CallerTokens};
    use crate::reload::{Place, Source};
    use crate::secret::Secret;
    use crate::telemetry::Metrics;

    #[test]
    fn whoever_is_not_known_may_have_nothing_and_sees_nothing() {
        let caller = |name: &str, accounts| {
            let token = Source { key: name.to_owned(), file: None, place: Place::Value(Secret::new(name.repeat(22))) };
            CallerSettings { name: name.to_owned(), token, apps: None, apis: None, flows: None, accounts }
        };
        let settings = [caller("a", AccountRights::Own), caller("b", AccountRights::All), caller("c", AccountRights::Own)];
        let tokens = CallerTokens::load(&settings, &mut Findings::default()).unwrap();
        let callers = Callers::new(tokens, &Metrics::default(), Clock::manual(0));
        let wanted = Wanted { flow: Some(Flow::Silent), ..Wanted::default() };
        assert_eq!(callers.judge(Caller::ANYONE, &wanted), Err(Missing::App));
        assert_eq!(callers.judge(Caller::ANYONE, &Wanted::default()), Err(Missing::App));
        assert_eq!((callers.owners(Caller::ANYONE), callers.name(Caller::ANYONE)), (None, None));
        let [a, b, c] = ["a", "b", "c"].map(|name| callers.authenticate(name.repeat(22).as_bytes()).unwrap());
        assert_eq!((callers.judge(a, &wanted), callers.name(a)), (Ok(()), Some("a")));
        assert_eq!((callers.owners(a), callers.owners(b)), (None, Some(vec![b, a, c, Caller::ANYONE])));
        assert_eq!(callers.authenticate(b"a"), None);
    }
}
