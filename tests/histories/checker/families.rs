//! No refresh token is sent twice: the authority would take that for theft, and end the session.

use super::history::{Family, History, Millis, Span, What};
use super::invariants::{Bounds, Invariant, Violation};

/// How long before it is used a refresh token may have been sent: the authority is as slow as that.
const ON_ITS_WAY: Millis = 4_000;

pub(super) fn check(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let mut found = Vec::new();
    for family in &history.families {
        let Some(reused) = family.redemptions.iter().position(|(_, reused)| *reused) else { continue };
        if !is_excused(history, bounds, family, reused) {
            let (at, sid) = (family.redemptions[reused].0, family.sid.get(..6).unwrap_or_default());
            let times: Vec<_> = family.redemptions.iter().take(reused + 1).map(|(at, _)| at.to_string()).collect();
            let text = format!(
                "account {}: a refresh token of the sign-in {sid} was sent twice; they were sent at {} ms",
                family.account,
                times.join(", ")
            );
            found.push(Violation { invariant: Invariant::Revoked, at, account: Some(family.account), cause: at, text });
        }
    }
    found
}

/// Nobody can know that a refresh token was sent, or has its successor: the replica that sent it was killed before Redis had that,
/// or Redis lost it and that replica is gone; or it could not tell for longer than a mark holds.
/// Or Redis evicts the lease while it is sent.
fn is_excused(history: &History, bounds: &Bounds, family: &Family, reused: usize) -> bool {
    let at = family.redemptions[reused].0;
    // Which successor was lost is not known: any since the one before could have been, where there was a loss.
    family.redemptions.iter().take(reused).filter(|(_, reused)| !reused).any(|(sent, _)| {
        let begin = sent.saturating_sub(ON_ITS_WAY);
        let stored = history.calm_since(*sent, bounds.settle);
        let killed = |end: Millis| history.kills(Span { begin, end: end.min(at) }).next().is_some();
        let lost = history.faults.iter().filter(|fault| matches!(fault.what, What::Loss | What::Flush));
        let mut lost = lost.filter(|loss| loss.span.begin <= at && loss.span.end + bounds.settle >= begin);
        let halted = |what: What| what.halts().is_some() || matches!(what, What::Path(_) | What::Redis | What::Loss);
        let span = Span { begin, end: stored.min(at) };
        let is_last = family.redemptions[..reused].iter().filter(|(_, reused)| !reused).all(|(other, _)| other <= sent);
        let too_long = history.faults_in(span, 0, halted).any(|fault| fault.span.end - fault.span.begin >= bounds.mark);
        // A Redis without room that gave up the lease under which it is being sent, and not the sign-in:
        // whoever comes finds nobody at work.
        let under_way = Span { begin, end: at };
        let evicted = at - sent <= ON_ITS_WAY && history.faults_in(under_way, 0, |what| what == What::Eviction).next().is_some();
        evicted || (is_last && (killed(stored) || too_long)) || lost.any(|loss| killed(loss.span.end + bounds.settle))
    })
}
