//! Whether what memory has still stands: asked of the shared store now and then, and after messages may have been missed.

use super::fleet::Lookup;
use super::{Cache, Key, Query};
use crate::store::Trouble;
use crate::token::Stored;

/// By how much a generation that is lower is still known to be of before; what is further away was stored after a loss.
const ANCESTORS: u64 = 1 << 16;

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Asks the shared store whether a token in memory still stands: nobody signed out, and nobody replaced it. One request asks. Where that
    /// is done now and then, the others go on meanwhile; where messages may have been missed, they wait for the answer. Where the store cannot
    /// say, the token stands, and is asked about again soon.
    pub async fn recheck(&self, query: &Query<'_>) {
        let Some(fleet) = &self.fleet else { return };
        let is_suspect = |stored: &Stored| query.is_answered_by(stored).then(|| fleet.is_suspect(stored.checked()));
        let suspect = self.memory.find_map(query.partition, is_suspect) == Some(true);
        let token = || Key::of(&[query.partition, query.variant, query.asked.as_bytes()]).0;
        let _one_looks = if suspect { Some(self.looking.lock(token()).await) } else { None };
        let now = fleet.check_moment();
        let mine = |stored: &Stored| {
            query.is_answered_by(stored).then(|| {
                let seen = stored.checked();
                // What is suspect is noted as checked when it is: until then nobody may be served it.
                let first = fleet.is_unchecked(seen) && (suspect || stored.check(seen, now));
                first.then(|| (seen, stored.facts.asked.clone(), stored.facts.shared, stored.facts.epoch))
            })
        };
        let Some(Some((seen, asked, shared, epoch))) = self.memory.find_map(query.partition, mine) else { return };
        let note = |checked| {
            let same = |stored: &Stored| stored.facts.variant == *query.variant && stored.facts.asked == asked;
            let _noted = self.memory.find_map(query.partition, |stored: &Stored| same(stored).then(|| stored.set_checked(checked)));
        };
        let since = self.since(query.partition, query.owned);
        match fleet.exact(query.partition, query.variant, &asked, query.owned).await {
            Err(Trouble::Open) => {
                fleet.ask_later();
                note(seen);
            }
            // This may be its slot's trouble alone: the others are asked about as before.
            Err(Trouble::Failed) => note(if suspect { seen } else { fleet.due_again(now) }),
            Ok(Lookup { epoch: Some(raised), .. }) if Some(raised) > epoch => {
                fleet.metrics.signed_out.inc();
                fleet.recent.note(query.partition, raised);
                self.memory.remove(query.partition);
            }
            Ok(lookup) => {
                if let Some(epoch) = epoch.filter(|_| lookup.epoch < epoch) {
                    fleet.lost(query.partition, epoch);
                }
                // What was replaced stands there again if the store has lost something, and what waits to be stored is newer.
                let is_newer = |stored: &Stored| {
                    let is_ancestor = shared.wrapping_sub(stored.facts.shared) < ANCESTORS;
                    stored.facts.shared != shared && !is_ancestor && !fleet.queue.has_token(query.partition, stored)
                };
                match lookup.stored.filter(is_newer) {
                    Some(stored) => self.remember(query.partition, stored, 0, &since),
                    None if suspect => note(now),
                    None => {}
                }
            }
        }
    }
}
