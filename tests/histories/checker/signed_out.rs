//! Who is signed in, and who is not: a sign-out that was acknowledged is one everywhere, and nobody else is signed out.
//!
//! What is excused stands under "Known gaps" in `docs/cache.md`, and is not more than that: what nobody is left to know.

use super::history::{Fault, History, Kind, Millis, Op, Outcome, Span, What};
use super::invariants::{Bounds, Invariant, Violation};

/// A sign-out whose answer was no 204 may go on for this long, or begin anew.
const GOES_ON: Millis = 10_000;

pub(super) fn check(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let accounts = history.ops.iter().map(|op| op.account).max().map_or(0, |most| most + 1);
    let all: Vec<_> = (0..accounts).map(|account| Account::of(history, bounds, account)).collect();
    let mut found = Vec::new();
    for op in &history.ops {
        match (op.kind, &op.outcome) {
            (Kind::Silent { .. }, Outcome::Token(token)) => found.extend(all[op.account].outlived(op, &token.sid)),
            (Kind::Obo { .. }, Outcome::Token(token)) => found.extend(all[op.account].was_left(op, token.issued)),
            (Kind::Silent { .. }, Outcome::Refused { status: 401, .. }) => {
                if let Some(sign_in) = all[op.account].must_be_signed_in(op) {
                    let text = format!("nobody signed it out since\n    {sign_in}");
                    found.push(Violation::of(op, Invariant::SignedIn, text).since(op.account, sign_in));
                }
            }
            (Kind::List, Outcome::Accounts { accounts: listed, complete }) => {
                for account in &all {
                    found.extend(account.listed(op, listed.contains(&account.number), *complete));
                }
            }
            _ => {}
        }
    }
    found
}

/// The story of one account.
struct Account<'a> {
    history: &'a History,
    bounds: &'a Bounds,
    number: usize,
    sign_ins: Vec<&'a Op>,
    sign_outs: Vec<&'a Op>,
    /// Of the user with this number.
    leaves: Vec<&'a Op>,
    /// When a refresh token of it was first sent twice.
    revoked: Option<Millis>,
}

// === impl Account ===

impl<'a> Account<'a> {
    fn of(history: &'a History, bounds: &'a Bounds, number: usize) -> Self {
        let of = |kind| history.ops.iter().filter(move |op| op.account == number && op.kind == kind).collect();
        let families = history.families.iter().filter(|family| family.account == number);
        let reused = families.flat_map(|family| &family.redemptions).filter(|(_, reused)| *reused);
        let revoked = reused.map(|(at, _)| *at).min();
        let (sign_ins, sign_outs, leaves) = (of(Kind::SignIn), of(Kind::SignOut), of(Kind::Leave));
        Self { history, bounds, number, sign_ins, sign_outs, leaves, revoked }
    }

    /// A token of a sign-in that had been signed out for long enough.
    fn outlived(&self, op: &Op, sid: &str) -> Option<Violation> {
        let of = |sign_in: &&&Op| matches!(&sign_in.outcome, Outcome::Token(token) if token.sid == sid);
        // One whose answer never came is not known to have been before a sign-out.
        let sign_in = self.sign_ins.iter().find(of)?;
        let sign_out = self.acknowledged().find(|out| sign_in.span.end < out.span.begin && self.must_know(out, op))?;
        let text = format!("a token of a sign-in that was signed out\n    {sign_in}\n    {sign_out}");
        Some(Violation::of(op, Invariant::SignedOut, text).since(self.number, sign_out))
    }

    /// A user's token from before a sign-out: without a sign-in its date is all that tells.
    fn was_left(&self, op: &Op, issued: i64) -> Option<Violation> {
        let unix = |at: Millis| i64::try_from((self.history.epoch + at) / 1_000).unwrap_or(i64::MAX);
        let done = self.leaves.iter().copied().filter(|leave| matches!(leave.outcome, Outcome::Done));
        let leave = done.filter(|leave| issued + 1 < unix(leave.span.begin)).find(|leave| self.must_know(leave, op))?;
        let text = format!("a token from before the user was signed out\n    {leave}");
        Some(Violation::of(op, Invariant::SignedOut, text).since(self.number, leave))
    }

    fn listed(&self, op: &Op, is_listed: bool, complete: bool) -> Option<Violation> {
        if is_listed {
            let none_since = |out: &&&Op| {
                !self.sign_ins.iter().any(|sign_in| sign_in.span.end >= out.span.begin && sign_in.span.begin <= op.span.end)
            };
            let sign_out = self.acknowledged().find(|out| none_since(&out) && self.must_know(out, op))?;
            let text = format!("account {} is listed and was signed out\n    {sign_out}", self.number);
            return Some(Violation::of(op, Invariant::SignedOut, text).since(self.number, sign_out));
        }
        if !complete || self.history.is_troubled(op.replica, op.span, self.bounds.settle) {
            return None;
        }
        let sign_in = self.must_be_signed_in(op).filter(|sign_in| sign_in.span.end + self.bounds.settle < op.span.begin)?;
        let text = format!("account {} is signed in and not listed\n    {sign_in}", self.number);
        Some(Violation::of(op, Invariant::Listing, text).since(self.number, sign_in))
    }

    fn acknowledged(&self) -> impl Iterator<Item = &'a Op> {
        self.sign_outs.iter().copied().filter(|out| matches!(out.outcome, Outcome::Done))
    }

    /// Whether the replica that served `op` had to know the sign-out by then.
    fn must_know(&self, out: &Op, op: &Op) -> bool {
        let (history, Bounds { message, recheck, settle, .. }) = (self.history, *self.bounds);
        if op.span.begin <= out.span.end || self.is_forgotten(out, op.span.end) {
            return false;
        }
        let killed = |replica, span| history.kills(span).any(|(killed, _)| killed == replica);
        let is_new = killed(op.replica, Span { begin: out.span.begin, end: op.span.end });
        if out.replica == op.replica && !is_new {
            return true;
        }
        // Whoever was told knows, whatever becomes of Redis.
        let said = Span { begin: out.span.begin, end: out.span.end + message };
        let troubled = [out.replica, op.replica].iter().any(|replica| history.is_troubled(*replica, said, settle));
        if !troubled && !is_new && !killed(out.replica, said) {
            return op.span.begin > out.span.end + message;
        }
        // Else it asks Redis, as soon as it has one that knows.
        let unsure = |what: What| what.troubles(op.replica) || what.loses();
        op.span.begin > out.span.end + recheck + settle && history.faults_in(op.span, recheck + settle, unsure).next().is_none()
    }

    /// Redis lost it, and no replica is left that knew it.
    fn is_forgotten(&self, out: &Op, until: Millis) -> bool {
        let (history, Bounds { message, settle, .. }) = (self.history, *self.bounds);
        let heard = Span { begin: out.span.begin, end: out.span.end + message };
        let halted = |replica| history.faults_in(heard, settle, |what| what.halts() == Some(replica)).next().is_some();
        let knows =
            |replica: &usize| *replica == out.replica || (!halted(*replica) && !history.is_troubled(*replica, heard, settle));
        let knowers: Vec<_> = (0..history.replicas).filter(knows).collect();
        losses(history).filter(|loss| loss.span.begin <= until && loss.span.end + settle >= out.span.begin).any(|loss| {
            let span = Span { begin: out.span.begin, end: loss.span.end + settle };
            knowers.iter().all(|knower| history.kills(span).any(|(killed, _)| killed == *knower))
        })
    }

    /// The sign-in that must still stand when `op` is answered, if there is one.
    fn must_be_signed_in(&self, op: &Op) -> Option<&'a Op> {
        let before = self.sign_ins.iter().filter(|sign_in| matches!(sign_in.outcome, Outcome::Token(_)));
        let sign_in = *before.filter(|sign_in| sign_in.span.end < op.span.begin).max_by_key(|sign_in| sign_in.span.end)?;
        let (history, settle) = (self.history, self.bounds.settle);
        let since = Span { begin: sign_in.span.begin, end: op.span.end };
        let signed_out = self.sign_outs.iter().any(|out| {
            let goes_on = if matches!(out.outcome, Outcome::Done) { 0 } else { GOES_ON };
            since.meets(out.span, 0, goes_on + settle)
        });
        // That is a violation of its own.
        let revoked = self.revoked.is_some_and(|revoked| revoked <= op.span.end);
        let waits = history.is_troubled(sign_in.replica, sign_in.span, settle);
        // Redis refuses a sign-in that was made without it, if there is an epoch that its replica did not know.
        let refused = waits && self.sign_outs.iter().any(|out| out.span.begin < sign_in.span.begin);
        let killed = history.kills(since).next().is_some();
        let lost = losses(history).any(|loss| {
            let is_since = loss.span.begin <= op.span.end && loss.span.end + settle >= sign_in.span.begin;
            let is_now = op.span.meets(loss.span, 0, settle);
            is_since && (is_now || loss.what == What::Eviction || killed)
        });
        // A replica that does not know a sign-out, because it started since, cannot make a sign-in that is known to be a later one
        // while Redis does not know the sign-out either.
        let mistaken = losses(history).any(|loss| loss.span.meets(sign_in.span, 0, settle))
            && self.sign_outs.iter().any(|out| {
                let between = Span { begin: out.span.begin, end: sign_in.span.end };
                out.span.begin < sign_in.span.begin && history.kills(between).any(|(killed, _)| killed == sign_in.replica)
            });
        let excused = signed_out || revoked || refused || mistaken || (waits && killed) || lost;
        (!excused).then_some(sign_in)
    }
}

fn losses(history: &History) -> impl Iterator<Item = &Fault> {
    history.faults.iter().filter(|fault| fault.what.loses())
}
