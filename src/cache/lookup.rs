//! What the shared store has of a token: under its exact name, under the names of other versions, or in the index of its partition,
//! where one for more scopes may stand.

use std::sync::Arc;

use bytes::Bytes;

use super::epochs::{Epochs, epoch_of};
use super::fleet::{Dated, Fleet, MOST_LISTED};
use super::freshness::{Freshness, judge};
use super::query::OwnedQuery;
use crate::clock::Moment;
use crate::store::{Names, Ring, Sought, StoreError};
use crate::token::{CachedToken, Epoch, Partition, Variant};

/// How many tokens for more scopes than asked are looked at before the authority is asked.
const MOST_COVERING: usize = 4;

/// What the store has of one token.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// The token: the very one, or one for more scopes.
    pub(super) stored: Option<CachedToken>,
    /// What that one said itself of its end.
    dated: Dated,
    /// The generation of what stands under the exact name, readable or not.
    pub(super) base: Option<u64>,
    /// The account's epoch.
    pub(super) epoch: Epoch,
}

/// Looks for tokens.
#[derive(Debug)]
pub(super) struct Lookups {
    fleet: Arc<Fleet>,
    epochs: Arc<Epochs>,
}

/// Whether a record was stored since the account's last sign-out. Only an epoch is a sign-out: where there is none, everything
/// stands.
fn is_of(stored: &CachedToken, epoch: Epoch) -> bool {
    stored.facts.epoch >= epoch
}

/// Whether a token may be handed out at this time, in seconds since 1970.
fn is_good_at(stored: &CachedToken, now: i64) -> bool {
    judge(stored.expires_on, stored.received_on, stored.refresh_on, now) != Freshness::Expired
}

// === impl Lookup ===

impl Lookup {
    /// When it was read, in seconds since 1970, if there is a token.
    pub(super) fn read_on(&self) -> i64 {
        self.dated.now
    }

    /// What is known of a token where the store says nothing.
    pub(super) fn unknown(base: Option<u64>, epoch: Epoch) -> Self {
        Self { base, epoch, ..Self::default() }
    }
}

// === impl Lookups ===

impl Lookups {
    pub(super) fn new(fleet: Arc<Fleet>, epochs: Arc<Epochs>) -> Self {
        Self { fleet, epochs }
    }

    /// Looks for a token: under its exact name, and then in the index for one that is good for more. `token` and `epoch` are the
    /// names of what is wanted, and `began` the moment that is noted of the look.
    pub(super) async fn look(&self, wanted: &OwnedQuery, token: &str, epoch: &str, began: Moment) -> Result<Lookup, StoreError> {
        let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: Some(&wanted.asked) };
        let mut lookup = self.named(token, wanted.owned.then_some(epoch), &sought, began).await?;
        if !self.fleet.other_names().is_empty() {
            lookup = Box::pin(self.named_otherwise(lookup, wanted.owned, &wanted.asked, &sought)).await?;
        }
        // Nothing at hand will do where a new token is wanted; one that has ended hides none that is good for more.
        let is_good = lookup.stored.as_ref().is_some_and(|stored| is_good_at(stored, lookup.dated.now));
        if !is_good && wanted.superset && !wanted.bypass.is_forced() {
            for names in self.fleet.all_names() {
                // On the heap: a hit has no need of it.
                let covering = Box::pin(self.covered(names, wanted, lookup.epoch)).await?;
                if covering.is_some() {
                    lookup.stored = covering;
                    break;
                }
            }
        }
        Ok(lookup)
    }

    async fn covered(&self, names: &Names, wanted: &OwnedQuery, epoch: Epoch) -> Result<Option<CachedToken>, StoreError> {
        let Some((stored, dated)) = self.covering(names, wanted, epoch).await? else { return Ok(None) };
        let facts = &stored.facts;
        let name = names.place(&wanted.partition).token(&names.entry(&facts.variant, &facts.asked));
        Ok(self.fleet.timed(&name, stored, dated).await)
    }

    /// Looks for a token under its exact name.
    pub(super) async fn exact(
        &self,
        partition: &Partition,
        variant: &Variant,
        asked: &str,
        owned: bool,
    ) -> Result<Lookup, StoreError> {
        let place = self.fleet.names().place(partition);
        let token = place.token(&self.fleet.names().entry(variant, asked));
        let epoch = owned.then(|| place.epoch());
        let sought = Sought { partition, variant, asked: Some(asked) };
        let lookup = self.named(&token, epoch.as_deref(), &sought, self.fleet.checks().check_moment()).await?;
        if self.fleet.other_names().is_empty() {
            Ok(lookup)
        } else {
            Box::pin(self.named_otherwise(lookup, owned, asked, &sought)).await
        }
    }

    /// What was seen under the names that are written, with what stands under those of the other versions: a token where there is
    /// none yet, and a sign-out whoever made it.
    async fn named_otherwise(
        &self,
        mut lookup: Lookup,
        owned: bool,
        asked: &str,
        sought: &Sought<'_>,
    ) -> Result<Lookup, StoreError> {
        for names in self.fleet.other_names() {
            let place = names.place(sought.partition);
            let token = place.token(&names.entry(sought.variant, asked));
            let epoch = owned.then(|| place.epoch());
            let other = self.named(&token, epoch.as_deref(), sought, self.fleet.checks().check_moment()).await?;
            lookup.epoch = lookup.epoch.max(other.epoch);
            let stored = lookup.stored.take().filter(|stored| self.is_good(stored));
            if stored.is_none() {
                lookup.dated = other.dated;
            }
            lookup.stored = stored.or(other.stored);
        }
        let epoch = lookup.epoch;
        lookup.stored = lookup.stored.filter(|stored| is_of(stored, epoch));
        Ok(lookup)
    }

    /// Whether a token may be handed out now.
    fn is_good(&self, stored: &CachedToken) -> bool {
        is_good_at(stored, self.fleet.now())
    }

    async fn named(&self, token: &str, epoch: Option<&str>, sought: &Sought<'_>, began: Moment) -> Result<Lookup, StoreError> {
        let mut values = self.read_with(token, epoch).await?;
        if self.fleet.checks().is_suspect(began) {
            // The process stood still meanwhile, or there is a new subscription: what was read may be of before.
            values = self.read_with(token, epoch).await?;
        }
        self.fleet.meet(values.first().into_iter().flatten()).await;
        let mut lookup = self.read_values(token, &values, sought);
        if lookup.stored.is_some() && !lookup.dated.holds {
            // On the heap: few hits have need of it.
            Box::pin(self.time(token, &mut lookup)).await;
        }
        Ok(lookup)
    }

    async fn read_with(&self, token: &str, epoch: Option<&str>) -> Result<Vec<Option<Bytes>>, StoreError> {
        match epoch {
            Some(epoch) => self.fleet.store().read(&[token, epoch]).await,
            None => self.fleet.store().read(&[token]).await,
        }
    }

    /// What values of a token and its account's epoch say, and what this process knows of that epoch.
    pub(super) fn read_values(&self, name: &str, values: &[Option<Bytes>], sought: &Sought<'_>) -> Lookup {
        let value = values.first().and_then(Option::as_ref);
        let base = value.and_then(|value| Ring::generation(value));
        let (stored, dated) = value.and_then(|value| self.fleet.open_token(name, value, sought)).unzip();
        let mut epoch = epoch_of(values.get(1));
        // Nobody signs an app out: its own tokens are read without an epoch.
        if values.len() > 1 {
            epoch = self.epochs.known_epoch(sought.partition, epoch, stored.as_ref().and_then(|stored| stored.facts.epoch));
        }
        Lookup { stored: stored.filter(|stored| is_of(stored, epoch)), dated: dated.unwrap_or_default(), base, epoch }
    }

    async fn covering(&self, names: &Names, wanted: &OwnedQuery, epoch: Epoch) -> Result<Option<(CachedToken, Dated)>, StoreError> {
        let place = names.place(&wanted.partition);
        let members = self.fleet.store().members(&place.index(), MOST_LISTED).await?;
        let covering = names.covering(&members, &wanted.variant, &wanted.asked).take(MOST_COVERING);
        let names: Vec<String> = covering.map(|entry| place.token(&entry)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let values = self.fleet.store().read(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.fleet.meet(values.iter().flatten()).await;
        let sought = Sought { partition: &wanted.partition, variant: &wanted.variant, asked: None };
        let opened = names.iter().zip(&values).filter_map(|(name, value)| self.fleet.open_token(name, value.as_ref()?, &sought));
        let answers = |stored: &CachedToken| self.is_good(stored) && stored.answers(&wanted.variant, &wanted.asked);
        let mut good = opened.filter(|(stored, _)| is_of(stored, epoch) && answers(stored));
        Ok(good.next())
    }

    /// A token that another replica stored by its own clock ends when its key does.
    pub(super) async fn time(&self, name: &str, lookup: &mut Lookup) {
        if let Some(stored) = lookup.stored.take() {
            lookup.stored = self.fleet.timed(name, stored, lookup.dated).await;
        }
    }
}
