//! What a run found, for people: a line for the table, and for each violation what led to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::history::{History, Span};
use super::invariants::{Invariant, Violation};
use super::plan::Plan;
use crate::support::Fleet;

/// Violations that are shown in full; the others are counted.
const SHOWN: usize = 12;
/// Requests of the account before a violation, and how long before it faults are shown.
const BEFORE: usize = 14;
const FAULTS: u64 = 30_000;

/// The columns of [`Report::row`].
pub(crate) const HEAD: &str = "topology    seed        seconds  requests  calls  faults  violations";

/// A run and what did not hold in it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) history: History,
    pub(crate) violations: Vec<Violation>,
}

// === impl Report ===

impl Report {
    /// A line of the table.
    pub(crate) fn row(&self) -> String {
        let (plan, history) = (&self.plan, &self.history);
        format!(
            "{:<11} {:<11} {:>7}  {:>8}  {:>5}  {:>6}  {:>10}{}",
            plan.topology.name(),
            plan.seed,
            history.length / 1_000,
            history.ops.len(),
            history.calls.len(),
            history.faults.len(),
            self.violations.len(),
            if history.skewed.is_empty() { "" } else { "  (one clock ahead)" },
        )
    }

    /// How to run it again.
    pub(crate) fn again(&self) -> String {
        let plan = &self.plan;
        let only = plan.only.map(|only| format!(" HISTORIES_ONLY={only:?}")).unwrap_or_default();
        let skew =
            if plan.skew > 0 && Fleet::faketime().is_some() { format!(" HISTORIES_SKEW={}", plan.skew) } else { String::new() };
        let (topology, seed, seconds) = (plan.topology.name(), plan.seed, plan.length.as_secs());
        format!("HISTORIES_TOPOLOGY={topology} HISTORIES_SEED={seed} HISTORIES_SECONDS={seconds}{only}{skew} {}", plan.command)
    }

    /// All that did not hold, with what led to it; empty if everything did.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.violations.is_empty() {
            return text;
        }
        let mut counts: BTreeMap<Invariant, usize> = BTreeMap::new();
        for violation in &self.violations {
            *counts.entry(violation.invariant).or_default() += 1;
        }
        let _ = writeln!(text, "violations: {counts:?}\nagain: {}", self.again());
        // Some of each kind.
        let mut shown: BTreeMap<Invariant, usize> = BTreeMap::new();
        for violation in &self.violations {
            let so_far = shown.entry(violation.invariant).or_default();
            *so_far += 1;
            if *so_far <= (SHOWN / counts.len()).max(2) {
                self.excerpt(&mut text, violation);
            }
        }
        text
    }

    fn excerpt(&self, text: &mut String, violation: &Violation) {
        let _ = writeln!(text, "\n{violation}");
        let around = Span { begin: violation.at.saturating_sub(FAULTS), end: violation.at + 1_000 };
        for fault in self.history.faults.iter().filter(|fault| around.meets(fault.span, 0, 0)) {
            let _ = writeln!(text, "    {fault}");
        }
        let Some(account) = violation.account else { return };
        let before: Vec<_> = self.history.ops.iter().filter(|op| is_of(op, account) && op.span.begin <= violation.at).collect();
        for op in &before[before.len().saturating_sub(BEFORE)..] {
            let _ = writeln!(text, "    {op}");
        }
    }
}

fn is_of(op: &super::history::Op, account: usize) -> bool {
    use super::history::Kind::{SignIn, SignOut, Silent};
    op.account == account && matches!(op.kind, Silent { .. } | SignIn | SignOut)
}
