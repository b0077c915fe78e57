//! Which failures are allowed: those that the contract names, and only while what it names is there.

use super::history::{History, Kind, Millis, Op, Outcome, Span, What};
use super::invariants::{Bounds, Invariant, Violation};

/// How long a follower may wait for a replica that stands still, and others for what it holds.
const TURN: Millis = 12_000;

pub(super) fn check(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let judged = history.ops.iter().filter(|op| !is_allowed(history, bounds, op));
    judged.map(|op| Violation::of(op, Invariant::Status, "a failure that the contract does not allow".to_owned())).collect()
}

fn is_allowed(history: &History, bounds: &Bounds, op: &Op) -> bool {
    let (status, retryable) = match &op.outcome {
        Outcome::Token(_) | Outcome::Done | Outcome::Accounts { .. } => return true,
        Outcome::Nothing(_) => {
            return history.faults_in(op.span, 0, |what| what == What::Kill(op.replica)).next().is_some();
        }
        // Whether it was right is another question.
        Outcome::Refused { status: 401, .. } if matches!(op.kind, Kind::Silent { .. }) => return true,
        Outcome::Refused { status, retryable, .. } => (*status, *retryable),
    };
    if !retryable || !matches!(status, 503 | 504) {
        return false;
    }
    let settle = bounds.settle;
    let among = |before: Millis, after: Millis, is: &dyn Fn(What) -> bool| {
        let span = Span { begin: op.span.begin.saturating_sub(before), end: op.span.end };
        history.faults_in(span, after, is).next().is_some()
    };
    let itself = among(0, settle, &|what| what.halts() == Some(op.replica));
    let machine = among(0, settle, &|what| what == What::Machine);
    let troubled = history.is_troubled(op.replica, op.span, settle);
    let slow = among(0, ON_ITS_WAY, &|what| what == What::Authority);
    let others = |after: Millis| among(0, after, &|what| what.halts().is_some());
    let allowed = match op.kind {
        // A token that the authority can give is given, whatever becomes of Redis.
        Kind::App { .. } | Kind::Obo { .. } => status == 504 && (others(TURN) || slow),
        // The refresh token may be on its way, and nobody but a replica that stands still knows; or whose turn it was is forgotten.
        Kind::Silent { .. } => among(0, settle, &|what| what == What::Flush) || troubled || slow || others(bounds.mark + TURN),
        Kind::SignIn => troubled || slow,
        Kind::SignOut | Kind::Leave | Kind::List => status == 503 && troubled,
    };
    allowed || itself || machine
}

/// How long a slow answer is felt by those who wait in line.
const ON_ITS_WAY: Millis = 3_000;
