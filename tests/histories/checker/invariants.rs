//! What must hold in every history. Each rule reads the history alone, so that a made-up one can break it.

use std::collections::BTreeSet;
use std::fmt;

use super::calls;
use super::families;
use super::history::{History, Kind, Millis, Op, Outcome, Span, Token, What};
use super::signed_out;
use super::statuses;

/// How far what is right may be away, on the machine that the run is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// After which a sign-out has reached every replica by a message.
    pub(crate) message: Millis,
    /// After which it is known without one.
    pub(crate) recheck: Millis,
    /// After which a Redis that works again is used again, and what it lost is back.
    pub(crate) settle: Millis,
    /// How long nobody else sends a refresh token that a replica said it sends: twice `authority.timeout`.
    pub(crate) mark: Millis,
    /// How long a token is in use before anybody may renew it.
    pub(crate) renewal: Millis,
    /// Sets of scopes that an account's tokens are asked for.
    pub(crate) scopes: usize,
    /// Bytes of a process.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    /// At one server, of one replica.
    pub(crate) connections: usize,
    pub(crate) keys: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// A token is of the client, the user and for the scopes that were asked.
    Identity,
    /// A token had not ended when it was asked for, its answer says no longer life than it has, and a forced one is new.
    Freshness,
    /// Nothing of an account that was signed out is served or listed once the sign-out must be known.
    SignedOut,
    /// Who signed in stays so.
    SignedIn,
    /// A listing that says it is complete is.
    Listing,
    /// No refresh token was sent twice.
    Revoked,
    /// Nothing fails that may not.
    Status,
    /// The authority is asked no more than it has to be.
    Calls,
    /// Memory, descriptors, connections and keys are bounded.
    Resources,
    /// Every key has an end.
    Ends,
}

/// That one did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) at: Millis,
    pub(crate) account: Option<usize>,
    /// What it goes back to: one violation is reported, however many requests show it.
    pub(crate) cause: Millis,
    pub(crate) text: String,
}

/// A forced token may be one of a flight that was on its way when it was asked for.
const FLIGHT: i64 = 4;

/// Everything that did not hold, the oldest first.
pub(crate) fn check(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let mut found = Vec::new();
    for op in &history.ops {
        if let Outcome::Token(token) = &op.outcome {
            found.extend(identity(op, token));
            found.extend(freshness(history, op, token));
        }
    }
    found.extend(signed_out::check(history, bounds));
    found.extend(families::check(history, bounds));
    found.extend(statuses::check(history, bounds));
    found.extend(calls::check(history, bounds));
    found.extend(resources(history, bounds));
    found.sort_by_key(|violation| violation.at);
    let mut known = BTreeSet::new();
    found.retain(|violation| known.insert((violation.invariant, violation.account, violation.cause)));
    found
}

fn identity(op: &Op, token: &Token) -> Option<Violation> {
    let (asked, got) = (&op.asked, &token.identity);
    if asked.client == got.client && asked.subject == got.subject && asked.scopes.is_subset(&got.scopes) {
        return None;
    }
    Some(Violation::of(op, Invariant::Identity, format!("{asked:?} was asked for, and {got:?} was got")))
}

fn freshness(history: &History, op: &Op, token: &Token) -> Option<Violation> {
    let unix = |at: Millis| i64::try_from((history.epoch + at) / 1_000).unwrap_or(i64::MAX);
    let asked = unix(op.span.begin);
    // Times are counted from the receipt of an answer: one that a replica got while it stood still was received later.
    let issued = u64::try_from(token.issued).unwrap_or_default().saturating_mul(1_000).saturating_sub(history.epoch);
    let still =
        history.faults_in(Span { begin: issued, end: issued + 1_000 }, 0, |what| matches!(what, What::Stop(_) | What::Machine));
    let late = still.map(|fault| fault.span.end.saturating_sub(issued)).max().unwrap_or_default();
    let late = i64::try_from(late.div_ceil(1_000)).unwrap_or_default();
    if token.ends + late < asked {
        return Some(Violation::of(
            op,
            Invariant::Freshness,
            format!("it had ended {} s before it was asked for", asked - token.ends),
        ));
    }
    // Both are rounded to seconds.
    if token.expires_in > token.ends - asked + 2 + late {
        let text = format!("it lasts {} s, and the answer says {} s", token.ends - asked, token.expires_in);
        return Some(Violation::of(op, Invariant::Freshness, text));
    }
    let forced = matches!(op.kind, Kind::App { forced: true } | Kind::Obo { forced: true } | Kind::Silent { forced: true });
    if forced && token.issued + FLIGHT < asked {
        let text = format!("a new one was asked for, and this one was {} s old", asked - token.issued);
        return Some(Violation::of(op, Invariant::Freshness, text));
    }
    None
}

fn resources(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let mut found = Vec::new();
    for sample in &history.samples {
        if sample.memory > bounds.memory || sample.descriptors > bounds.descriptors {
            let text = format!("replica {} has {} bytes and {} descriptors", sample.replica, sample.memory, sample.descriptors);
            found.push(Violation { invariant: Invariant::Resources, at: sample.at, account: None, cause: sample.at, text });
        }
    }
    for store in &history.stores {
        if store.connections > bounds.connections * history.replicas || store.keys > bounds.keys {
            let text = format!("Redis has {} connections of tokend and {} keys", store.connections, store.keys);
            found.push(Violation { invariant: Invariant::Resources, at: store.at, account: None, cause: store.at, text });
        }
        if !store.without_end.is_empty() {
            let text = format!("keys without an end: {}", store.without_end.join(" "));
            found.push(Violation { invariant: Invariant::Ends, at: store.at, account: None, cause: store.at, text });
        }
    }
    found
}

// === impl Violation ===

impl Violation {
    /// This violation, of an account, and going back to what happened to it.
    pub(super) fn since(self, account: usize, cause: &Op) -> Self {
        Self { account: Some(account), cause: cause.span.begin, ..self }
    }

    pub(super) fn of(op: &Op, invariant: Invariant, text: String) -> Self {
        let account = matches!(op.kind, Kind::Silent { .. } | Kind::SignIn | Kind::SignOut).then_some(op.account);
        Self { invariant, at: op.span.begin, account, cause: op.span.begin, text: format!("{text}\n    {op}") }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}
