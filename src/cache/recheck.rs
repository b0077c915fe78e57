//! Whether what memory has still stands: asked of the shared store now and then, and after messages may have been missed.

use std::sync::Arc;

use super::level::SharedLevel;
use super::local::LocalLevel;
use super::locks::KeyLocks;
use super::lookup::Lookup;
use super::query::Query;
use crate::store::StoreError;
use crate::token::{CachedToken, FlightKey};

/// How much lower the generation of an earlier token can be. One that is lower by more was stored after a loss.
const ANCESTORS: u64 = 1 << 16;

/// Asks about tokens in memory.
#[derive(Debug)]
pub(super) struct Recheck {
    local: Arc<LocalLevel>,
    shared: Arc<SharedLevel>,
    /// One look at a time per token, where everybody has to wait for it.
    looking: KeyLocks<FlightKey>,
}

// === impl Recheck ===

impl Recheck {
    pub(super) fn new(local: Arc<LocalLevel>, shared: Arc<SharedLevel>) -> Self {
        Self { local, shared, looking: KeyLocks::default() }
    }

    /// Whether what stands there came after the generation in memory: what was replaced stands there again if the store has lost
    /// something, and what waits to be stored is newer.
    fn is_newer(&self, query: &Query<'_>, stored: &CachedToken, remembered: u64) -> bool {
        let is_ancestor = remembered.wrapping_sub(stored.facts.shared) < ANCESTORS;
        stored.facts.shared != remembered && !is_ancestor && !self.shared.queue.has_token(&query.key.partition, stored)
    }

    /// Asks the shared store whether a token in memory still stands: nobody signed out, and nobody replaced it. One request asks.
    /// Where that is done now and then, the others go on meanwhile; where messages may have been missed, they wait for the answer.
    /// Where the store cannot say, the token stands, and is asked about again soon.
    pub(super) async fn ask(&self, query: &Query<'_>) {
        let checks = self.shared.fleet.checks();
        let is_suspect = |stored: &CachedToken| query.is_answered_by(stored).then(|| checks.is_suspect(stored.checked()));
        let suspect = self.local.memory().find_map(&query.key.partition, is_suspect) == Some(true);
        let token = || FlightKey::of(&[&query.key.partition, &query.key.variant, query.key.scopes.as_bytes()]);
        let _one_looks = if suspect { Some(self.looking.lock(token()).await) } else { None };
        let now = checks.check_moment();
        let mine = |stored: &CachedToken| {
            query.is_answered_by(stored).then(|| {
                let seen = stored.checked();
                // What is suspect is noted as checked when it is: until then nobody may be served it.
                let first = checks.is_unchecked(seen) && (suspect || stored.check(seen, now));
                first.then(|| (seen, stored.facts.asked.clone(), stored.facts.shared, stored.facts.epoch))
            })
        };
        let Some(Some((seen, asked, shared, epoch))) = self.local.memory().find_map(&query.key.partition, mine) else { return };
        let note = |checked| {
            let same = |stored: &CachedToken| stored.facts.variant == query.key.variant && stored.facts.asked == asked;
            let _noted = self
                .local
                .memory()
                .find_map(&query.key.partition, |stored: &CachedToken| same(stored).then(|| stored.set_checked(checked)));
        };
        let since = self.local.since(&query.key.partition, query.owned);
        match self.shared.lookups.exact(&query.key.partition, &query.key.variant, &asked, query.owned).await {
            Err(StoreError::Open) => {
                checks.ask_later();
                note(seen);
            }
            // This may be its slot's trouble alone: the others are asked about as before.
            Err(StoreError::Failed) => note(if suspect { seen } else { checks.due_again(now) }),
            Ok(Lookup { epoch: Some(raised), .. }) if Some(raised) > epoch => {
                self.shared.fleet.metrics().signed_out.inc();
                self.shared.recent.note(&query.key.partition, raised);
                self.local.memory().remove(&query.key.partition);
            }
            Ok(lookup) => {
                if let Some(epoch) = epoch.filter(|_| lookup.epoch < epoch) {
                    self.shared.epochs.lost(&query.key.partition, epoch);
                }
                match lookup.stored.filter(|stored| self.is_newer(query, stored, shared)) {
                    Some(stored) => self.local.remember(&query.key.partition, stored, 0, &since),
                    None if suspect => note(now),
                    None => {}
                }
            }
        }
    }
}
