//! Who asks: the callers that the configuration knows, how a request proves to be of one of them, what they may do, and how often
//! they did.
//!
//! What a caller wants is described by whoever judges a request (`WantedRights`), so that this module knows no flow and no route.

mod connected;
mod jwt;
mod presented;
mod rights;
mod settings;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Ready, ready};
use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::Mutex;

pub use jwt::JwtCallers;
pub use presented::{CallerError, HeaderToken, Presented};
pub use rights::{Beyond, RightError, WantedRights};
pub use settings::{
    AccountRights, CallerProof, CertificateNamed, DOORS, INTROSPECT, JwtProof, PeerProof, Rights, Settings, USUAL_FLOWS, kept_names,
};
pub use token::CallerTokens;

use crate::authority::Authority;
use crate::clock::{Clock, Moment};
use crate::finding::{Complaint, Findings};
use crate::reload::Reloads;
use crate::telemetry::Metrics;
use crate::token::TokenDigest;

use connected::Connected;
use jwt::OpenJwt;
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
    jwts: JwtCallers,
    connected: Connected,
    /// For each caller: whose accounts it may use, its own first; `None`: its own alone.
    owners: Vec<Option<Vec<Caller>>>,
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
    /// Nothing: it may stand in a new file, or its issuer's keys have to say it.
    Open(OpenProof),
}

/// A proof that memory does not know.
enum OpenProof {
    /// It may be a token that stands in a new file, in one of these readings. If it does not, this is wrong with it.
    Token(Vec<TokenHash>, CallerError),
    /// It is a JWT that names a caller.
    Jwt(OpenJwt),
}

/// A file that callers are known by, and how it stands.
#[derive(Debug)]
pub struct CallerFile<'a> {
    /// The caller's name.
    pub caller: &'a str,
    /// The member of its entry.
    pub member: &'static str,
    /// Why its newest contents were not taken, if they were not.
    pub problem: Option<Arc<Complaint>>,
    /// How often that happened.
    pub failures: u64,
}

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
    /// Finds what is wrong with entries beside their files, where only this machine can tell it.
    pub fn check(settings: &[Settings], findings: &mut Findings) {
        connected::check_peers(settings, findings);
    }

    /// Callers whose files are loaded.
    pub fn new(settings: &[Settings], tokens: CallerTokens, jwts: JwtCallers, metrics: &Metrics, clock: Clock) -> Arc<Self> {
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
            connected: Connected::new(settings),
            owners: owners(settings),
            settings: settings.to_vec(),
            tokens,
            jwts,
            compared: Mutex::default(),
            clock,
        })
    }

    /// Whose request this is by all that it shows, and counts it. Every proof is looked at, and all have to be one caller's.
    pub fn identify(self: &Arc<Self>, presented: &Presented<'_>) -> Identified {
        self.identified(presented, None)
    }

    /// As [`Callers::identify`], where the configuration says who asks: nothing has to be shown, and what is shown has to be of
    /// that caller.
    pub fn identify_named(self: &Arc<Self>, presented: &Presented<'_>, named: Caller) -> Identified {
        self.identified(presented, named.0)
    }

    fn identified(self: &Arc<Self>, presented: &Presented<'_>, named: Option<u16>) -> Identified {
        let (mut sum, mut open) = (Sum::default(), Vec::new());
        if let Some(index) = named {
            sum.add(Ok(index));
        }
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
        if let Some(text) = presented.assertion {
            add(self.look_at_jwts(&[text]).unwrap_or(ProofLook::Known(Err(CallerError::Unknown))));
        }
        if let Some(connection) = presented.connection {
            self.connected.add(connection, &mut sum);
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

    /// What memory knows of a token or a JWT that may be read in these ways. No token is left out: how long it takes says nothing.
    fn look(&self, readings: &[&[u8]]) -> ProofLook {
        let hashes = || readings.iter().filter(|_| !self.tokens.is_empty()).filter_map(|text| TokenHash::of_shown(text));
        let known = self.owner_of(hashes());
        if known != Err(CallerError::Missing) {
            return ProofLook::Known(known);
        }
        let wrong = match self.look_at_jwts(readings) {
            None => CallerError::Unknown,
            Some(ProofLook::Known(Err(wrong @ CallerError::Rejected(_)))) => wrong,
            Some(found) => return found,
        };
        let hashes: Vec<TokenHash> = hashes().collect();
        // Longer than any token is, or there are none.
        if hashes.is_empty() { ProofLook::Known(Err(wrong)) } else { ProofLook::Open(OpenProof::Token(hashes, wrong)) }
    }

    /// What memory knows of the first reading that is a JWT; `None`: none is, or no caller has any.
    fn look_at_jwts(&self, readings: &[&[u8]]) -> Option<ProofLook> {
        if self.jwts.is_empty() {
            return None;
        }
        let text = readings.iter().find_map(|text| jwt::is_jwt(text))?;
        let digest = TokenDigest::of(text);
        if let Some(known) = self.jwts.remembered(&digest) {
            return Some(ProofLook::Known(known));
        }
        Some(match self.jwts.read(text, digest) {
            Ok(open) => ProofLook::Open(OpenProof::Jwt(open)),
            Err(error) => ProofLook::Known(Err(error)),
        })
    }

    /// Compares the files, or asks the issuer's keys, then says whose proof this is.
    async fn look_again(&self, proof: &OpenProof) -> Result<u16, CallerError> {
        let (hashes, wrong) = match proof {
            OpenProof::Token(hashes, wrong) => (hashes, *wrong),
            OpenProof::Jwt(jwt) => return self.jwts.verify(jwt).await,
        };
        // Whether they were compared or not: what is known now decides.
        let _in_time = tokio::time::timeout(PATIENCE, self.compare()).await;
        self.owner_of(hashes.iter().copied()).map_err(|error| if error == CallerError::Missing { wrong } else { error })
    }

    /// Whose token one of these is; two may not be different callers'.
    fn owner_of(&self, hashes: impl Iterator<Item = TokenHash>) -> Result<u16, CallerError> {
        let mut owners = Sum::default();
        hashes.filter_map(|hash| self.tokens.owner(&hash)).for_each(|owner| owners.add(Ok(owner)));
        owners.caller()
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
        self.jwts.watch(reloads);
    }

    /// Its name in the configuration.
    pub fn name(&self, caller: Caller) -> Option<&str> {
        self.settings(caller).map(|caller| caller.name.as_str())
    }

    /// The files that callers are known by.
    pub fn files(&self) -> impl Iterator<Item = CallerFile<'_>> {
        let tokens = self.tokens.reload_states().map(|(caller, problem, failures)| (caller, "token", problem, failures));
        let name = |index: u16| self.settings.get(usize::from(index)).map_or("", |caller| caller.name.as_str());
        let jwts = self.jwts.files().map(move |(index, (member, problem, failures))| (name(index), member, problem, failures));
        tokens.chain(jwts).map(|(caller, member, problem, failures)| CallerFile { caller, member, problem, failures })
    }

    /// The issuers whose JWTs are callers', each with the names of these callers.
    pub fn issuers(&self) -> impl Iterator<Item = (&Arc<Authority>, Vec<&str>)> {
        self.jwts.issuers().map(|(issuer, callers)| {
            let names = callers.filter_map(|index| self.settings.get(usize::from(index)).map(|caller| caller.name.as_str()));
            (issuer.authority(), names.collect())
        })
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

    /// Whether a caller may use this flow, before it is known for which app.
    ///
    /// # Errors
    /// It may not.
    pub fn may_use_flow(&self, caller: Caller, flow: &'static str) -> Result<(), RightError> {
        let may = self.rights(caller).is_some_and(|rights| rights.may_use(flow));
        if may { Ok(()) } else { Err(RightError::Flow) }
    }

    /// The caller at this place of the configuration; nobody where there is none.
    pub fn at(&self, index: usize) -> Caller {
        Caller(u16::try_from(index).ok().filter(|_| index < self.settings.len()))
    }

    /// The apps that a caller may use; `None`: all, or it is not known.
    pub fn apps(&self, caller: Caller) -> Option<&[String]> {
        self.rights(caller)?.apps.as_deref()
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

    /// Whose accounts a caller may use, its own first; `None`: its own alone. What a caller kept under a former name has a place of
    /// its own behind those of all callers, in the order of [`kept_names`].
    pub fn owners(&self, caller: Caller) -> Option<Vec<Caller>> {
        self.owners.get(caller.index()?)?.clone()
    }

    /// A caller under each of its names, the present one first: where what it kept under that name has its place, and the name.
    /// Whoever is not known has no name.
    pub fn selves(&self, caller: Caller) -> impl Iterator<Item = (Caller, Option<&str>)> {
        let settings = self.settings(caller);
        let places = caller.0.into_iter().flat_map(|index| former(&self.settings, index));
        let names = settings.into_iter().flat_map(|caller| &caller.former_names);
        let former = places.zip(names).map(|(place, name)| (place, Some(name.as_str())));
        std::iter::once((caller, settings.map(|caller| caller.name.as_str()))).chain(former)
    }

    fn rights(&self, caller: Caller) -> Option<&Rights> {
        self.settings(caller).map(|caller| &caller.rights)
    }

    fn settings(&self, caller: Caller) -> Option<&Settings> {
        self.settings.get(caller.index()?)
    }
}

/// The places of what a caller kept under its former names.
fn former(callers: &[Settings], index: u16) -> impl Iterator<Item = Caller> + use<> {
    let at = usize::from(index);
    let before: usize = callers.iter().take(at).map(|caller| caller.former_names.len()).sum();
    let count = callers.get(at).map_or(0, |caller| caller.former_names.len());
    let first = callers.len() + before;
    (first..first + count).filter_map(|place| u16::try_from(place).ok()).map(|place| Caller(Some(place)))
}

/// For each caller: whose accounts it may use, its own first; `None`: its own alone.
fn owners(callers: &[Settings]) -> Vec<Option<Vec<Caller>>> {
    let places = kept_names(callers).count();
    let all = (0_u16..).take(places).map(|place| Caller(Some(place))).chain([Caller::ANYONE]).collect::<Vec<_>>();
    let of_one = |(index, caller): (u16, &Settings)| {
        let own = std::iter::once(Caller(Some(index))).chain(former(callers, index)).collect::<Vec<_>>();
        match caller.rights.accounts {
            AccountRights::Own => (own.len() > 1).then_some(own),
            AccountRights::All => {
                let others = all.iter().filter(|other| !own.contains(other)).copied().collect::<Vec<_>>();
                Some([own, others].concat())
            }
        }
    };
    (0_u16..).zip(callers).map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        AccountRights, Caller, CallerError, CallerProof, CallerTokens, Callers, HeaderToken, JwtCallers, Presented, RightError,
        Rights, Settings, WantedRights, kept_names,
    };
    use crate::clock::Clock;
    use crate::finding::Findings;
    use crate::reload::{Place, Source};
    use crate::secret::Secret;
    use crate::telemetry::Metrics;

    fn caller(name: &str, accounts: AccountRights) -> Settings {
        let token = Source { key: name.to_owned(), file: None, place: Place::Value(Secret::new(name.repeat(22))) };
        let rights = Rights { apps: None, apis: None, flows: None, doors: vec!["rest", "msi"], accounts };
        Settings { name: name.to_owned(), former_names: Vec::new(), proof: CallerProof::Token(token), rights }
    }

    fn callers(settings: &[Settings], metrics: &Metrics) -> Arc<Callers> {
        let tokens = CallerTokens::load(settings, &mut Findings::default()).unwrap();
        let jwts = JwtCallers::none(&Clock::manual(0));
        Callers::new(settings, tokens, jwts, metrics, Clock::manual(0))
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
    #[test]
    fn what_was_kept_under_a_former_name_is_its_own_still() {
        let named = |name: &str, former: &[&str], accounts| Settings {
            former_names: former.iter().map(|name| (*name).to_owned()).collect(),
            ..caller(name, accounts)
        };
        let settings = [
            named("a", &["a1", "a2"], AccountRights::Own),
            named("b", &[], AccountRights::Own),
            named("c", &["c1"], AccountRights::All),
        ];
        let callers = callers(&settings, &Metrics::default());
        assert_eq!(kept_names(&settings).collect::<Vec<_>>(), ["a", "b", "c", "a1", "a2", "c1"]);
        let [a, b, c, a1, a2, c1] = [0, 1, 2, 3, 4, 5].map(|index| Caller(Some(index)));
        assert_eq!(callers.owners(a), Some(vec![a, a1, a2]));
        assert_eq!(callers.owners(b), None, "who has none pays nothing");
        assert_eq!(callers.owners(c), Some(vec![c, c1, a, b, a1, a2, Caller::ANYONE]));
        let selves = |caller| callers.selves(caller).collect::<Vec<_>>();
        assert_eq!(selves(a), [(a, Some("a")), (a1, Some("a1")), (a2, Some("a2"))]);
        assert_eq!(selves(b), [(b, Some("b"))]);
        assert_eq!(selves(c), [(c, Some("c")), (c1, Some("c1"))], "the accounts of others are not its own");
        assert_eq!(selves(Caller::ANYONE), [(Caller::ANYONE, None)]);
        // A former name is nobody who could ask.
        assert_eq!((callers.name(a1), callers.owners(a1)), (None, None));
        assert_eq!(callers.judge(a1, &WantedRights::default()), Err(RightError::App));
    }
}
