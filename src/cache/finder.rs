//! A token of the shared store as the answer: looked for before a flight begins and on its way, judged, and kept in memory.

use std::sync::Arc;

use super::flight::FlightKind;
use super::freshness::{Freshness, judge};
use super::level::SharedLevel;
use super::local::LocalLevel;
use super::lookup::Lookup;
use super::outcome::{CacheLevel, FlightOutcome};
use super::publish::LeaderOutcome;
use super::query::OwnedQuery;
use super::way::{EarlierLookup, Way};
use crate::token::CachedToken;

/// Finds tokens in the shared store.
#[derive(Clone, Debug)]
pub(super) struct TokenFinder {
    local: Arc<LocalLevel>,
    shared: Arc<SharedLevel>,
}

// === impl TokenFinder ===

impl TokenFinder {
    pub(super) fn new(local: Arc<LocalLevel>, shared: Arc<SharedLevel>) -> Self {
        Self { local, shared }
    }

    /// Looks into the shared store for whoever waits. What was found there instead of a token is handed on to the flight.
    pub(super) async fn look_first(&self, wanted: &OwnedQuery) -> Result<FlightOutcome, EarlierLookup> {
        let since = self.local.since(&wanted.partition, wanted.owned);
        let mut way = Way::new(&self.shared.fleet, wanted.clone(), since, FlightKind::Awaited, None, false);
        let lookup = self.shared.lookups.look(&way.wanted, &way.token, &way.epoch, way.since.began()).await;
        if let Ok(lookup) = &lookup {
            way.first = lookup.base;
            let found = match self.adopt(&way, lookup, None) {
                None => Box::pin(self.given_again(&way, lookup)).await,
                found => found,
            };
            if let Some(flown) = found {
                self.shared.fleet.metrics().hit.inc();
                return Ok(flown);
            }
        }
        Err(EarlierLookup { lookup, since: way.since })
    }

    /// A found token as the answer, if it is one; memory keeps it. `first` as in [`super::query::Bypass::skips_shared`].
    pub(super) fn adopt(&self, way: &Way<'_>, lookup: &Lookup, first: Option<Option<u64>>) -> Option<FlightOutcome> {
        let stored = lookup.stored.as_ref()?;
        if way.wanted.bypass.skips_shared(stored, first) {
            return None;
        }
        self.adopted_at(way, stored, first.is_some() && way.wanted.bypass.is_forced(), lookup.read_on())
    }

    /// The rejected token itself, if the authority has just given it again to somebody who named it: it would once more.
    async fn given_again(&self, way: &Way<'_>, lookup: &Lookup) -> Option<FlightOutcome> {
        let stored = lookup.stored.as_ref().filter(|stored| way.wanted.bypass.rejects(&stored.head()))?;
        let lease = self.shared.leases.of_flight(&way.wanted.partition, &way.wanted.flight);
        let payload = self.shared.leases.left_outcome(&lease).await?;
        let LeaderOutcome::Again { sha256 } = postcard::from_bytes(&payload).ok()? else { return None };
        // It may have been another one, which stood there before.
        way.wanted.bypass.rejected().filter(|rejected| **rejected == sha256)?;
        self.local.note_again(&way.wanted.bypass);
        self.adopted(way, stored, false)
    }

    /// As [`TokenFinder::adopt`], for a token that is known to be wanted. `fresh`: it was stored after whoever waits here had
    /// asked.
    pub(super) fn adopted(&self, way: &Way<'_>, stored: &CachedToken, fresh: bool) -> Option<FlightOutcome> {
        self.adopted_at(way, stored, fresh, self.shared.fleet.now())
    }

    fn adopted_at(&self, way: &Way<'_>, stored: &CachedToken, fresh: bool, now: i64) -> Option<FlightOutcome> {
        match judge(stored.expires_on, stored.received_on, stored.refresh_on, now) {
            Freshness::Expired => return None,
            Freshness::RefreshDue if way.kind == FlightKind::Background => return None,
            Freshness::RefreshDue | Freshness::Fresh => {}
        }
        // If nobody here knows when a token was stored, it counts as older than every request.
        let generation = if fresh { self.local.next() } else { 0 };
        let found = stored.clone().asked_by(way.wanted.taker);
        self.local.remember(&way.wanted.partition, found, generation, &way.since);
        let exact = stored.facts.asked == way.wanted.asked;
        Some(FlightOutcome { head: stored.head(), level: CacheLevel::Shared, exact, generation })
    }

    /// What memory knows of what stands in the store, where that cannot be asked.
    pub(super) fn lookup_of_memory(&self, wanted: &OwnedQuery) -> Lookup {
        let identical = |stored: &CachedToken| {
            let same = stored.facts.variant == wanted.variant && stored.facts.asked == wanted.asked;
            same.then(|| (Some(stored.facts.shared).filter(|shared| *shared > 0), stored.facts.epoch))
        };
        let (base, epoch) = self.local.memory().find_map(&wanted.partition, identical).unwrap_or_default();
        Lookup::unknown(base, epoch.max(self.shared.known_epoch(wanted)))
    }
}
