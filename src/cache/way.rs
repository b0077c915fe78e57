//! A flight on its way through the store that replicas share: what is wanted, what things are called there, and what was seen
//! first.

use super::fleet::Fleet;
use super::flight::FlightKind;
use super::local::Since;
use super::lookup::Lookup;
use super::query::OwnedQuery;
use crate::store::{SlotNames, Sought, StoreError};

/// A flight on its way.
pub(super) struct Way<'a> {
    pub(super) wanted: OwnedQuery,
    pub(super) kind: FlightKind,
    /// When it started.
    pub(super) since: Since,
    pub(super) place: SlotNames<'a>,
    pub(super) token: String,
    pub(super) epoch: String,
    /// What was there when this replica looked first.
    pub(super) first: Option<u64>,
    /// Whether the other replicas' tokens are not to be used any more once there is a new one.
    pub(super) tells: bool,
}

/// What a look brought that found no token, and when it began.
#[derive(Debug)]
pub(super) struct EarlierLookup {
    pub(super) lookup: Result<Lookup, StoreError>,
    pub(super) since: Since,
}

// === impl Way ===

impl<'a> Way<'a> {
    pub(super) fn new(
        fleet: &'a Fleet,
        wanted: OwnedQuery,
        since: Since,
        kind: FlightKind,
        first: Option<u64>,
        tells: bool,
    ) -> Self {
        let place = fleet.names().place(&wanted.partition);
        let token = place.token(&fleet.names().entry(&wanted.variant, &wanted.asked));
        Self { wanted, kind, since, token, epoch: place.epoch(), place, first, tells }
    }

    /// What the token is found by that is wanted.
    pub(super) fn sought(&self) -> Sought<'_> {
        Sought { partition: &self.wanted.partition, variant: &self.wanted.variant, asked: Some(&self.wanted.asked) }
    }
}
