//! What is remembered of failures, here and in the replicas that share a store.

use std::sync::Arc;
use std::time::Duration;

use super::evidence::Evidence;
use super::holds::{Keys, RememberedRefusal, Stop};
use crate::authority::{Hold, Stops};
use crate::cache::Fleet;
use crate::flow::app::App;
use crate::flow::refusal::Refusal;
use crate::flow::state::FlowState;
use crate::flow::wire;
use crate::token::{HoldKey, Retry};

/// How long replicas remember what tenants said of a credential.
const EVIDENCE: Duration = Duration::from_secs(24 * 3600);

impl FlowState {
    /// The refusal that stands for a request here now, as it is told.
    pub(super) fn standing(&self, keys: &Keys) -> Option<Arc<Refusal>> {
        self.told(keys.standing(&self.remembered, self.clock.moment()))
    }

    /// The refusal that stands here now for a grant that nothing was said of yet.
    pub(super) fn standing_for_all(&self, keys: &Keys) -> Option<Arc<Refusal>> {
        self.told(keys.standing_for_all(&self.remembered, self.clock.moment()))
    }

    fn told(&self, hold: Option<Hold<Arc<Refusal>>>) -> Option<Arc<Refusal>> {
        hold.map(|hold| Arc::new(hold.failure.remembered(hold.until, self.clock.moment())))
    }

    /// Remembers a refusal for as long as it stops what it stops, here and in the other replicas.
    pub(super) async fn remember(&self, app: &App, keys: &Keys, stop: Stop, refusal: &Arc<Refusal>) {
        let stop = if stop.stops == Stops::Tenant && self.proves(app, keys).await { keys.widened(stop) } else { stop };
        let RememberedRefusal { key, stops, until, record, refusal } = stop.remember(&self.remembered, &app.label, refusal);
        let now = self.clock.moment();
        if let Some(fleet) = self.cache.fleet()
            && let Some(written) = wire::write_hold(stops, record, &refusal, now)
        {
            let stands = until.since(now).min(stops.longest());
            fleet.hold(app.space.id(), &key, &written, stands).await;
        }
    }

    /// Whether it is proven that the credential is refused everywhere, now that one more tenant has refused it.
    async fn proves(&self, app: &App, keys: &Keys) -> bool {
        let fleet = self.cache.fleet().filter(|_| app.is_in_many_tenants());
        if let Some(fleet) = fleet {
            let found = fleet.holds(app.space.id(), &[keys.evidence]).await;
            self.heard(app, keys, found.into_iter().next().flatten());
        }
        let (proven, known) =
            app.ledger(keys.version).of(keys.version, |evidence| (evidence.refused_by(keys.witness), evidence.clone()));
        if let Some(fleet) = fleet {
            tell(fleet, app, keys, &known).await;
        }
        proven
    }

    /// Takes over what other replicas know of a credential.
    fn heard(&self, app: &App, keys: &Keys, found: Option<(bytes::Bytes, Duration)>) {
        let common = found.and_then(|(said, _)| serde_json::from_slice::<Evidence>(&said).ok());
        if let Some(common) = common {
            app.ledger(keys.version).of(keys.version, |evidence| evidence.heard(common));
        }
    }

    /// Forgets here and in the other replicas what a success disproves.
    pub(super) async fn succeeded(&self, app: &App, keys: &Keys) {
        let cleared = keys.clear(&self.remembered, self.clock.moment());
        let news = app.ledger(keys.version).of(keys.version, |evidence| evidence.worked_at(keys.witness).then(|| evidence.clone()));
        let Some(fleet) = self.cache.fleet() else { return };
        if !cleared.is_empty() {
            fleet.clear_holds(app.space.id(), &cleared).await;
        }
        if let Some(known) = news.filter(|_| app.is_in_many_tenants()) {
            tell(fleet, app, keys, &known).await;
        }
    }

    /// What another replica remembers against a request. It is remembered here too, for no longer than such a failure may stand,
    /// and only once: a record that stays in the store for longer than it should is not heeded again. A pause lasts up to a fifth
    /// longer: replicas that were stopped together must not come back together.
    pub(super) async fn held_elsewhere(&self, app: &App, keys: &Keys, of: &[(Stops, HoldKey)]) -> Option<Arc<Refusal>> {
        let fleet = self.cache.fleet()?;
        let mut names: Vec<HoldKey> = of.iter().map(|(_, key)| *key).collect();
        if app.is_in_many_tenants() {
            names.push(keys.evidence);
        }
        let mut found = fleet.holds(app.space.id(), &names).await;
        if found.len() > of.len() {
            self.heard(app, keys, found.pop().flatten());
        }
        let now = self.clock.moment();
        of.iter().zip(found).find_map(|((stops, key), hold)| {
            let (said, left) = hold?;
            let (record, refusal) = wire::read_hold(&said, *stops, now)?;
            if left.is_zero() || self.remembered.was_heeded(*stops, key, record) {
                return None;
            }
            let spread = if *stops == Stops::Pause { 0.2 * (self.jitter)() } else { 0.0 };
            let until = now.after(left.min(stops.longest()).mul_f64(1.0 + spread));
            let failure = match refusal {
                // What was left when it was written is more than what is left now.
                refusal if matches!(refusal.retry, Retry::At(_)) => Arc::new((*refusal).clone().retrying(Retry::At(until))),
                refusal => refusal,
            };
            let failures = self.remembered.failures(*stops, key, now).saturating_add(1);
            let told = Arc::new(failure.remembered(until, now));
            self.remembered.hold(*key, Hold { until, failures, failure, stops: *stops, record, app: Arc::clone(&app.label) });
            Some(told)
        })
    }
}

/// Tells the other replicas what is known of a credential.
async fn tell(fleet: &Fleet, app: &App, keys: &Keys, known: &Evidence) {
    if let Ok(written) = serde_json::to_vec(known) {
        fleet.hold(app.space.id(), &keys.evidence, &written, EVIDENCE).await;
    }
}
