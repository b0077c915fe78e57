//! Who may hold a listener's places, who gives one up when there are too many, and what may be in memory before there are requests.
//!
//! Nobody holds a place by saying nothing: where one is needed, the connection that has been longest without a complete head goes,
//! then the one that has been idle for longest. Whoever has a request running is left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Settings;
use super::meters::{Meters, Reason};
use super::seat::{Origin, Seat};

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    table: Mutex<Table>,
    /// A place is free, or a connection became idle.
    pub(super) freed: Notify,
    pub(super) waiting: AtomicUsize,
    epoch: Instant,
    open: IntGauge,
    heads: IntGauge,
    bytes: IntGauge,
    closed: [IntCounter; Reason::ALL.len()],
}

#[derive(Debug)]
struct Limits {
    places: usize,
    /// Places that only this machine gets.
    reserve: usize,
    /// Unfinished heads of one address.
    per_address: usize,
    /// What unfinished heads may take, in bytes.
    heads: usize,
}

#[derive(Debug, Default)]
struct Table {
    seats: HashMap<u64, Arc<Seat>>,
    /// The unfinished heads, the oldest first.
    unfinished: BTreeMap<u64, Arc<Seat>>,
    /// The numbers of all connections, by where they come from.
    origins: HashMap<Origin, BTreeSet<u64>>,
    /// How many come from other machines.
    remote: usize,
    /// Connections that were told to close and have not done so yet.
    closing: usize,
    bytes: usize,
    last: u64,
}

/// What a connection takes before anything is read, in bytes: measured, its task and the state of the protocol.
pub(super) const CONNECTION: usize = 3 * 1024;

// === impl Places ===

impl Places {
    pub(super) fn new(settings: &Settings, meters: &Meters, listener: &str) -> Arc<Self> {
        let places = settings.connections.max(1);
        let limits = Limits {
            places,
            reserve: settings.reserve.min(places - 1),
            per_address: settings.per_address.unwrap_or(places / 4).max(1),
            heads: settings.heads,
        };
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            epoch: Instant::now(),
            open: meters.open.with_label_values(&[listener]),
            heads: meters.heads.with_label_values(&[listener]),
            bytes: meters.bytes.with_label_values(&[listener]),
            closed: Reason::ALL.map(|reason| meters.closed.with_label_values(&[listener, reason.as_str()])),
        })
    }

    /// Milliseconds by the clock of all times here; never 0.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The moment that such a number stands for.
    pub(super) fn moment(&self, millis: u64) -> Instant {
        self.epoch + Duration::from_millis(millis)
    }

    /// A seat at once. Where there is none, a connection is told to close, if one can be; its place is free when it has.
    pub(super) fn seat(&self, origin: Origin) -> Option<Arc<Seat>> {
        let mut table = self.lock();
        if self.is_full(&table, origin) {
            if table.closing == 0
                && let Some(victim) = self.victim(&table, origin)
            {
                self.evict(&mut table, &victim, Reason::Places);
            }
            return None;
        }
        table.last += 1;
        let seat = Arc::new(Seat::new(table.last, origin, CONNECTION));
        table.seats.insert(seat.id, Arc::clone(&seat));
        table.remote += usize::from(origin != Origin::Here);
        self.begin(&mut table, &seat);
        self.weigh(&mut table, &seat, CONNECTION);
        drop(table);
        self.open.inc();
        Some(seat)
    }

    /// Whether somebody from this machine would get a place at once.
    pub(super) fn has_room(&self) -> bool {
        !self.is_full(&self.lock(), Origin::Here)
    }

    /// A request has ended.
    pub(super) fn passed(&self) {
        if self.waiting.load(Relaxed) != 0 {
            self.freed.notify_waiters();
        }
    }

    /// Counts a connection that closed.
    pub(super) fn count(&self, reason: Reason) {
        for (counted, counter) in Reason::ALL.iter().zip(&self.closed) {
            if *counted == reason {
                counter.inc();
            }
        }
    }

    /// A connection takes so much while its head is unfinished; does nothing if it is not.
    pub(super) fn charge(&self, seat: &Seat, charge: usize) {
        let mut table = self.lock();
        if seat.order.load(Relaxed) != 0 {
            self.weigh(&mut table, seat, charge);
        }
    }

    /// A connection has an unfinished head, which takes so much.
    pub(super) fn unfinished(&self, seat: &Seat, charge: usize) {
        let mut table = self.lock();
        // One that was told to close is in no list any more.
        if seat.is_closed() {
            return;
        }
        if seat.order.load(Relaxed) == 0
            && let Some(seat) = table.seats.get(&seat.id).cloned()
        {
            self.begin(&mut table, &seat);
        }
        self.weigh(&mut table, seat, charge);
    }

    /// A connection has nothing more to say for now: from now on it may have to give way, at once where a bound is passed already.
    pub(super) fn waits(&self, seat: &Seat) {
        let mut table = self.lock();
        self.share(&mut table, seat.origin);
        self.lighten(&mut table);
        self.show(&table);
        drop(table);
        self.passed();
    }

    /// A connection's head is complete.
    pub(super) fn finished(&self, seat: &Seat) {
        self.end(&mut self.lock(), seat);
    }

    fn is_full(&self, table: &Table, origin: Origin) -> bool {
        let Limits { places, reserve, .. } = self.limits;
        table.seats.len() >= places || (origin != Origin::Here && table.remote >= places - reserve)
    }

    /// Whose place somebody who comes from there gets.
    fn victim(&self, table: &Table, origin: Origin) -> Option<Arc<Seat>> {
        let Limits { places, reserve, .. } = self.limits;
        // Where only the places for other machines are taken, one from this machine would free none of them.
        let among_remote = origin != Origin::Here && table.remote >= places - reserve;
        let fits = |seat: &&Arc<Seat>| !among_remote || seat.origin != Origin::Here;
        let silent = table.unfinished.values().filter(|seat| seat.may_give_way()).find(fits);
        let idle = || {
            let idle = table.seats.values().filter(fits).filter(|seat| !seat.is_closed());
            let idle = idle.filter_map(|seat| Some((seat.idle_since().filter(|since| *since != 0)?, seat)));
            idle.min_by_key(|(since, _)| *since).map(|(_, seat)| seat)
        };
        silent.or_else(idle).cloned()
    }

    fn evict(&self, table: &mut Table, seat: &Seat, reason: Reason) {
        self.end(table, seat);
        table.closing += 1;
        self.count(reason);
        seat.close();
    }

    fn begin(&self, table: &mut Table, seat: &Arc<Seat>) {
        table.last += 1;
        let order = table.last;
        seat.order.store(order, Relaxed);
        seat.head_since.store(self.now(), Relaxed);
        table.unfinished.insert(order, Arc::clone(seat));
        table.origins.entry(seat.origin).or_default().insert(order);
        self.share(table, seat.origin);
        self.show(table);
    }

    /// An address has no more unfinished heads than it may have, but for those that may have said all already.
    fn share(&self, table: &mut Table, origin: Origin) {
        let Some(same) = table.origins.get(&origin).filter(|same| same.len() > self.limits.per_address) else { return };
        let oldest = same.iter().filter_map(|order| table.unfinished.get(order)).find(|seat| seat.may_give_way());
        if let Some(oldest) = oldest.cloned() {
            self.evict(table, &oldest, Reason::Address);
        }
    }

    /// Unfinished heads take no more than they may. An HTTP/2 connection with a request running that begins further ones goes last.
    fn lighten(&self, table: &mut Table) {
        while table.bytes > self.limits.heads {
            let mut all = table.unfinished.values();
            let oldest = all.find(|seat| seat.may_give_way()).or_else(|| table.unfinished.values().find(|seat| seat.has_waited()));
            let Some(oldest) = oldest.cloned() else { return };
            self.evict(table, &oldest, Reason::Heads);
        }
    }

    fn end(&self, table: &mut Table, seat: &Seat) {
        let order = seat.order.swap(0, Relaxed);
        table.unfinished.remove(&order);
        if let Some(same) = table.origins.get_mut(&seat.origin) {
            same.remove(&order);
            if same.is_empty() {
                table.origins.remove(&seat.origin);
            }
        }
        table.bytes -= seat.charge.swap(0, Relaxed);
        self.show(table);
    }

    fn weigh(&self, table: &mut Table, seat: &Seat, charge: usize) {
        table.bytes = table.bytes - seat.charge.swap(charge, Relaxed) + charge;
        self.lighten(table);
        self.show(table);
    }

    /// A connection has ended.
    pub(super) fn leave(&self, seat: &Seat) {
        let mut table = self.lock();
        self.end(&mut table, seat);
        table.seats.remove(&seat.id);
        table.remote -= usize::from(seat.origin != Origin::Here);
        table.closing -= usize::from(seat.is_closed());
        drop(table);
        self.open.dec();
        self.freed.notify_waiters();
    }

    fn show(&self, table: &Table) {
        self.heads.set(i64::try_from(table.unfinished.len()).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(table.bytes).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::super::Settings;
    use super::super::occupant::{ConnectionPlace, Phase};
    use super::super::tests::usual;
    use super::{CONNECTION, Meters, Origin, Places};
    use crate::telemetry::Metrics;

    fn places(change: impl FnOnce(&mut Settings)) -> Arc<Places> {
        let mut settings = usual(Vec::new());
        change(&mut settings);
        Places::new(&settings, &Meters::new(&Metrics::default()), "admin")
    }

    fn there(last: u8) -> Origin {
        Origin::There(IpAddr::from([10, 0, 0, last]))
    }

    /// Takes a place that is there at once.
    fn take(places: &Arc<Places>, origin: Origin) -> ConnectionPlace {
        let place = places.try_enter(origin).unwrap();
        place.seat().waits();
        place
    }

    fn closed(all: &[ConnectionPlace]) -> Vec<usize> {
        all.iter().enumerate().filter(|(_, place)| place.seat().is_closed()).map(|(index, _)| index).collect()
    }

    #[test]
    fn a_reserve_is_for_this_machine() {
        let places = places(|settings| (settings.connections, settings.reserve) = (4, 1));
        let mut all = vec![take(&places, Origin::Here), take(&places, there(1)), take(&places, there(2))];
        // The place that is left is not for another machine while this one has but one.
        all.push(take(&places, there(3)));
        assert!(places.try_enter(there(4)).is_none());
        assert_eq!(closed(&all), [1], "the oldest of those from elsewhere, although one from here is older");
        drop(all.remove(1));
        all.push(take(&places, there(4)));
        // Three from elsewhere: one from here may have the last place, and then gives up none of its own to those.
        assert!(places.try_enter(Origin::Here).is_none());
        assert_eq!(closed(&all), [0], "the oldest of all");
        drop(all.remove(0));
        all.push(take(&places, Origin::Here));
        assert!(places.try_enter(there(5)).is_none());
        assert_eq!(closed(&all), [0]);
    }

    #[test]
    fn who_may_have_said_all_already_is_nobodys_victim() {
        let places = places(|settings| (settings.connections, settings.per_address) = (3, Some(1)));
        let fresh: Vec<_> = (0..3).map(|_| places.try_enter(there(1)).unwrap()).collect();
        assert!(places.try_enter(there(2)).is_none());
        assert!(closed(&fresh).is_empty(), "none was looked at yet");
        // It has nothing to say: its address has more than its share, and a place is needed.
        fresh[1].seat().waits();
        assert_eq!(closed(&fresh), [1]);
        // The request of another one was there all along.
        let _running = fresh[0].seat().begin();
        assert_eq!(closed(&fresh), [1]);
    }

    #[test]
    fn a_head_that_begins_while_a_request_runs_makes_nobody_a_victim() {
        let places = places(|settings| settings.connections = 2);
        let all = [take(&places, there(1)), take(&places, there(2))];
        let running = all.each_ref().map(|place| place.seat().begin());
        // HTTP/2: the next one arrives in parts.
        all[0].seat().unfinished(20);
        assert!(places.try_enter(there(3)).is_none());
        assert!(closed(&all).is_empty());
        assert_eq!(all[0].seat().phase(), Phase::Busy);
        drop(running);
        assert!(places.try_enter(there(3)).is_none());
        assert_eq!(closed(&all), [0]);
    }

    #[test]
    fn whoever_has_a_request_running_is_nobodys_victim() {
        let places = places(|settings| settings.connections = 2);
        let all = [take(&places, there(1)), take(&places, there(2))];
        let running = all.each_ref().map(|place| place.seat().begin());
        assert!(places.try_enter(there(3)).is_none());
        assert!(closed(&all).is_empty());
        let [first, second] = running;
        drop(second);
        // The look that a connection takes at itself after a request.
        all[1].seat().phase();
        assert!(places.try_enter(there(3)).is_none());
        assert_eq!(closed(&all), [1]);
        drop(first);
    }

    #[test]
    fn an_address_loses_its_own_oldest_and_nobody_elses() {
        let places = places(|settings| settings.per_address = Some(2));
        let all = [there(1), there(2), there(2), there(1), there(1), Origin::Here].map(|origin| take(&places, origin));
        assert_eq!(closed(&all), [0]);
        // A request counts no more.
        let _running = all[1].seat().begin();
        let _further = take(&places, there(2));
        assert_eq!(closed(&all), [0]);
    }

    #[test]
    fn a_quarter_is_for_one_address_unless_said_otherwise() {
        let places = places(|settings| (settings.connections, settings.per_address) = (16, None));
        let all: Vec<ConnectionPlace> = (0..6).map(|_| take(&places, there(1))).collect();
        assert_eq!(closed(&all), [0, 1]);
    }

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let places = places(|settings| settings.heads = 4 * CONNECTION);
        let mut all: Vec<ConnectionPlace> = (1..=4).map(|last| take(&places, there(last))).collect();
        assert!(closed(&all).is_empty());
        all[3].seat().unfinished(CONNECTION);
        assert_eq!(closed(&all), [0]);
        // More than there is for all of them ends them all, its own connection too.
        all[2].seat().unfinished(10 * CONNECTION);
        assert_eq!(closed(&all), [0, 1, 2]);
        all.clear();
        assert_eq!((places.heads.get(), places.bytes.get(), places.open.get()), (0, 0, 0));
    }
}
