//! How often the authority is asked: once for each token's life, whatever the number of replicas; and a bounded number more for
//! each trouble in which they cannot agree.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{History, Key, Kind, Millis, Op, Span};
use super::invariants::{Bounds, Invariant, Violation};

/// A shorter time without trouble says nothing.
const WORTH_A_LOOK: Millis = 3_000;

pub(super) fn check(history: &History, bounds: &Bounds) -> Vec<Violation> {
    // A replica with another clock takes the tokens of the others for ended.
    if !history.skewed.is_empty() {
        return Vec::new();
    }
    let mut calls: BTreeMap<&Key, Vec<Millis>> = BTreeMap::new();
    for call in &history.calls {
        calls.entry(&call.key).or_default().push(call.at);
    }
    let calm = calm(history, bounds);
    let mut found = Vec::new();
    for (key, times) in calls {
        let all = Span { begin: 0, end: history.length };
        let troubles: usize = history
            .faults
            .iter()
            .map(|fault| history.replicas * (2 + lives(fault.span.end - fault.span.begin + bounds.settle, bounds)))
            .sum();
        let scopes = if matches!(key, Key::Account(_)) { bounds.scopes } else { 1 };
        let mut windows = vec![(all, allowed(history, bounds, key, all) + troubles * scopes)];
        windows.extend(calm.iter().map(|window| (*window, allowed(history, bounds, key, *window))));
        for (window, allowed) in windows {
            let made = times.iter().filter(|at| window.begin <= **at && **at <= window.end).count();
            if made > allowed {
                let text = format!("{made} calls for {key:?} where {allowed} are enough, in {window}");
                let account = if let Key::Account(account) = key { Some(*account) } else { None };
                found.push(Violation { invariant: Invariant::Calls, at: window.begin, account, cause: window.end, text });
            }
        }
    }
    found
}

/// How many lives of a token fit into a time.
fn lives(length: Millis, bounds: &Bounds) -> usize {
    usize::try_from(length / bounds.renewal.max(1)).unwrap_or(usize::MAX)
}

/// The calls that a window needs, without any trouble.
fn allowed(history: &History, bounds: &Bounds, key: &Key, window: Span) -> usize {
    let scopes = if matches!(key, Key::Account(_)) { bounds.scopes } else { 1 };
    let is_mine = |op: &Op| match (key, op.kind) {
        (Key::App(scope), Kind::App { .. }) => op.asked.scopes == BTreeSet::from([scope.clone()]),
        (Key::Obo(user), Kind::Obo { .. } | Kind::Leave) => op.account == *user,
        (Key::Account(account), Kind::Silent { .. } | Kind::SignIn | Kind::SignOut) => op.account == *account,
        _ => false,
    };
    let extra = history.ops.iter().filter(|op| is_mine(op) && op.span.meets(window, 0, 0)).map(|op| match op.kind {
        Kind::App { forced: true } | Kind::Obo { forced: true } | Kind::Silent { forced: true } => 1,
        Kind::Leave => 1,
        // What was cached of the account is no more.
        Kind::SignIn | Kind::SignOut => scopes,
        _ => 0,
    });
    scopes * (1 + lives(window.end - window.begin, bounds)) + extra.sum::<usize>()
}

/// The times in which nothing was wrong, and nothing had been for a while.
fn calm(history: &History, bounds: &Bounds) -> Vec<Span> {
    let mut troubles: Vec<_> = history.faults.iter().map(|fault| fault.span).collect();
    troubles.sort_by_key(|span| span.begin);
    let (mut windows, mut from) = (Vec::new(), 0);
    for trouble in troubles {
        if trouble.begin > from + WORTH_A_LOOK {
            windows.push(Span { begin: from, end: trouble.begin });
        }
        from = from.max(trouble.end + bounds.settle);
    }
    if history.length > from + WORTH_A_LOOK {
        windows.push(Span { begin: from, end: history.length });
    }
    windows
}
