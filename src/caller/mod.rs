//! Who asks: the callers that the configuration knows, how a request proves to be of one of them, what they may do, and how often
//! they did.
//!
//! What a caller wants is described by whoever judges a request (`WantedRights`), so that this module knows no flow and no route.

mod presented;
mod rights;
mod settings;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Ready, ready};
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::Mutex;

pub use presented::{CallerError, HeaderToken, Presented};
pub use rights::{Beyond, RightError, WantedRights};
pub use settings::{AccountRights, CallerProof, DOORS, INTROSPECT, Rights, Settings, USUAL_FLOWS};
pub use token::CallerTokens;

use crate::clock::{Clock, Moment};
use crate::finding::Complaint;
use crate::reload::Reloads;
use crate::telemetry::Metrics;

use presented::Sum;
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
    settings: Vec<Settings>,
    tokens: CallerTokens,
    counters: Vec<[IntCounter; 2]>,
    unknown: IntCounter,
    /// When the files were compared because of an unknown token.
    compared: Mutex<Option<Moment>>,
    clock: Clock,
}

/// Who asks, or why that is not known: at once where memory knows it, and nothing is allocated for that; else after a look at the
/// files, or at an issuer's keys.
pub type Identified = Either<Ready<Result<Caller, CallerError>>, BoxFuture<'static, Result<Caller, CallerError>>>;

/// What memory knows of a proof.
enum ProofLook {
    /// All there is to know.
    Known(Result<u16, CallerError>),
    /// Nothing: it may stand in a new file.
    Open(OpenProof),
}

/// A proof that memory does not know, in each of its readings.
struct OpenProof(Vec<TokenHash>);

// === impl Caller ===

impl Caller {
    /// Nobody in particular. Accounts that are nobody's were made before there were callers.
    pub const ANYONE: Self = Self(None);

    /// Its place in the configuration.
    pub fn index(self) -> Option<usize> {
        self.0.map(usize::from)
    }
}

// === impl Callers ===

impl Callers {
    /// Callers whose tokens are loaded.
    pub fn new(settings: &[Settings], tokens: CallerTokens, metrics: &Metrics, clock: Clock) -> Arc<Self> {
        let help = "Requests by caller: `authenticated`, of these `not_allowed` for want of a right, and under the caller `-` those \
                    `not_authenticated`.";
        let family: IntCounterVec = metrics.counters("caller_requests_total", help, &["caller", "outcome"]);
        let of = |caller: &Settings| {
            ["authenticated", "not_allowed"].map(|outcome| family.with_label_values(&[caller.name.as_str(), outcome]))
        };
        Arc::new(Self {
            counters: settings.iter().map(of).collect(),
            // No caller can be called so.
            unknown: family.with_label_values(&["-", "not_authenticated"]),
            settings: settings.to_vec(),
            tokens,
            compared: Mutex::default(),
            clock,
        })
    }

    /// Whose request this is by all that it shows, and counts it. Every proof is looked at, and all have to be one caller's.
    pub fn identify(self: &Arc<Self>, presented: &Presented<'_>) -> Identified {
        let (mut sum, mut open) = (Sum::default(), Vec::new());
        let mut add = |look: ProofLook| match look {
            ProofLook::Known(found) => sum.add(found),
            ProofLook::Open(proof) => open.push(proof),
        };
        match presented.header {
            HeaderToken::Missing => {}
            HeaderToken::One(text) => add(self.look(&[text])),
            HeaderToken::Several => add(ProofLook::Known(Err(CallerError::Repeated))),
        }
        if !presented.secrets.is_empty() {
            add(self.look(presented.secrets));
        }
        if presented.assertion.is_some() {
            add(ProofLook::Known(Err(CallerError::Unknown)));
        }
        if open.is_empty() || sum.is_wrong() {
            return Either::Left(ready(self.counted(sum.caller())));
        }
        let this = Arc::clone(self);
        Either::Right(Box::pin(async move {
            for proof in open {
                sum.add(this.look_again(&proof).await);
            }
            this.counted(sum.caller())
        }))
    }

    /// What memory knows of a token that may be read in these ways. None of them is left out: how long it takes says nothing.
    fn look(&self, readings: &[&[u8]]) -> ProofLook {
        let mut known = Sum::default();
        for hash in readings.iter().filter_map(|text| TokenHash::of_shown(text)) {
            if let Some(owner) = self.tokens.owner(&hash) {
                known.add(Ok(owner));
            }
        }
        match known.caller() {
            Err(CallerError::Missing) => {}
            found => return ProofLook::Known(found),
        }
        let hashes: Vec<TokenHash> = readings.iter().filter_map(|text| TokenHash::of_shown(text)).collect();
        // Longer than any token is, or there are none.
        if hashes.is_empty() || self.tokens.is_empty() {
            return ProofLook::Known(Err(CallerError::Unknown));
        }
        ProofLook::Open(OpenProof(hashes))
    }

    /// Compares the files, then asks once more whose proof this is.
    async fn look_again(&self, proof: &OpenProof) -> Result<u16, CallerError> {
        // Whether they were compared or not: what is known now decides.
        let _in_time = tokio::time::timeout(PATIENCE, self.compare()).await;
        let mut known = Sum::default();
        proof.0.iter().filter_map(|token| self.tokens.owner(token)).for_each(|owner| known.add(Ok(owner)));
        known.caller().map_err(|error| if error == CallerError::Missing { CallerError::Unknown } else { error })
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
        self.tokens.reload_states()
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

    /// Whether a caller may use this door, of [`DOORS`]; if it may not, that is counted. Who is not known may use none.
    pub fn may_use_door(&self, caller: Caller, door: &'static str) -> bool {
        let may = self.rights(caller).is_some_and(|rights| rights.doors.contains(&door));
        if !may {
            self.not_allowed(caller);
        }
        may
    }

    /// The apis that a caller may have tokens for; `None`: it is bound to none, or not known.
    pub fn apis(&self, caller: Caller) -> Option<&[String]> {
        self.rights(caller)?.apis.as_deref()
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
        let others = (0_u16..).zip(&self.settings).map(|(index, _)| Caller(Some(index))).chain([Caller::ANYONE]);
        sees_all.then(|| std::iter::once(caller).chain(others.filter(|other| *other != caller)).collect())
    }

    fn rights(&self, caller: Caller) -> Option<&Rights> {
        self.settings(caller).map(|caller| &caller.rights)
    }

    fn settings(&self, caller: Caller) -> Option<&Settings> {
        self.settings.get(caller.index()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        AccountRights, Caller, CallerError, CallerProof, CallerTokens, Callers, HeaderToken, Presented, RightError, Rights,
        Settings, WantedRights,
    };
    use crate::clock::Clock;
    use crate::finding::Findings;
    use crate::reload::{Place, Source};
    use crate::secret::Secret;
    use crate::telemetry::Metrics;

    fn caller(name: &str, accounts: AccountRights) -> Settings {
        let token = Source { key: name.to_owned(), file: None, place: Place::Value(Secret::new(name.repeat(22))) };
        let rights = Rights { apps: None, apis: None, flows: None, doors: vec!["rest", "msi"], accounts };
        Settings { name: name.to_owned(), proof: CallerProof::Token(token), rights }
    }

    fn callers(settings: &[Settings], metrics: &Metrics) -> Arc<Callers> {
        let tokens = CallerTokens::load(settings, &mut Findings::default()).unwrap();
        Callers::new(settings, tokens, metrics, Clock::manual(0))
    }

    /// Who shows these values of the header, and these readings of a secret.
    async fn identify(callers: &Arc<Callers>, values: &[&str], secrets: &[&str]) -> Result<Caller, CallerError> {
        let header = HeaderToken::of(values.iter().map(|value| value.as_bytes()));
        let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
        callers.identify(&Presented { header, secrets: &secrets, assertion: None, connection: None }).await
    }

    #[tokio::test]
    async fn whoever_is_not_known_may_have_nothing_and_sees_nothing() {
        let settings = [caller("a", AccountRights::Own), caller("b", AccountRights::All), caller("c", AccountRights::Own)];
        let metrics = Metrics::default();
        let callers = callers(&settings, &metrics);
        let wanted = WantedRights { flow: Some("silent"), ..WantedRights::default() };
        assert_eq!(callers.judge(Caller::ANYONE, &wanted), Err(RightError::App));
        assert_eq!(callers.judge(Caller::ANYONE, &WantedRights::default()), Err(RightError::App));
        assert_eq!((callers.owners(Caller::ANYONE), callers.name(Caller::ANYONE)), (None, None));
        assert!(!callers.may_use_door(Caller::ANYONE, "rest"));
        let [a, b, c] = [0, 1, 2].map(|index| Caller(Some(index)));
        for (name, caller) in [("a", a), ("b", b), ("c", c)] {
            assert_eq!(identify(&callers, &[&name.repeat(22)], &[]).await, Ok(caller));
        }
        assert_eq!((callers.judge(a, &wanted), callers.name(a)), (Ok(()), Some("a")));
        assert_eq!((callers.owners(a), callers.owners(b)), (None, Some(vec![b, a, c, Caller::ANYONE])));
        assert_eq!(["rest", "oauth2", "msi"].map(|door| callers.may_use_door(a, door)), [true, false, true]);
        let long = "a".repeat(2000);
        for (values, error) in [
            (&["a"][..], CallerError::Unknown),
            (&[&long], CallerError::Unknown),
            (&[], CallerError::Missing),
            (&["a", "a"], CallerError::Repeated),
        ] {
            assert_eq!(identify(&callers, values, &[]).await, Err(error));
        }
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in [
            "{caller=\"a\",outcome=\"authenticated\"} 1",
            "{caller=\"a\",outcome=\"not_allowed\"} 1",
            "{caller=\"-\",outcome=\"not_authenticated\"} 4",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[tokio::test]
    async fn every_proof_that_is_shown_is_looked_at() {
        let settings = ["a", "b"].map(|name| caller(name, AccountRights::Own));
        let callers = callers(&settings, &Metrics::default());
        let [a, b] = [0, 1].map(|index| Caller(Some(index)));
        let [of_a, of_b] = ["a", "b"].map(|name| name.repeat(22));
        let (of_a, of_b, wrong) = (of_a.as_str(), of_b.as_str(), "no-token-of-anybody-at-all");
        for (header, secrets, expected) in [
            (&[][..], &[of_a][..], Ok(a)),
            (&[], &[wrong, of_b], Ok(b)),
            (&[], &[of_b, wrong], Ok(b)),
            (&[of_a], &[wrong, of_a], Ok(a)),
            (&[], &[wrong], Err(CallerError::Unknown)),
            (&[], &[wrong, wrong], Err(CallerError::Unknown)),
            (&[], &[""], Err(CallerError::Unknown)),
            (&[], &[of_a, of_b], Err(CallerError::Several)),
            (&[of_a], &[of_b], Err(CallerError::Several)),
            (&[of_a], &[wrong], Err(CallerError::Unknown)),
            (&[wrong], &[of_a], Err(CallerError::Unknown)),
            (&[of_a, of_a], &[of_a], Err(CallerError::Repeated)),
        ] {
            assert_eq!(identify(&callers, header, secrets).await, expected, "{header:?} {secrets:?}");
        }
        let assertion =
            Presented { header: HeaderToken::Missing, secrets: &[], assertion: Some(of_a.as_bytes()), connection: None };
        assert_eq!(callers.identify(&assertion).await, Err(CallerError::Unknown), "a token is no assertion");
    }
}
