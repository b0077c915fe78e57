//! The budget of work that outlives the request that asked for it: flights, redemptions, refreshes, sign-outs, renewals. A piece of
//! work takes a permit before it begins and gives it back when it has ended, whether or not somebody still waits for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::{IntCounter, IntGauge};

use crate::telemetry::Metrics;

/// What a piece of work weighs besides the texts that it carries, in bytes: its futures and its task, its place among the flights,
/// and what its call to the authority keeps while it waits. Measured as resident memory, without the texts: 8 KiB for a flight that
/// waits for its turn at the authority, 14 KiB where it has a lease in Redis.
pub(super) const PIECE: usize = 16 * 1024;

/// How often a text that came with a request is in memory at a time while its call is made: in the form, in the form with the app's
/// proof, in the encoded body, and in the client.
const COPIES: usize = 4;

/// The budget; clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    max: usize,
    used: AtomicUsize,
    pieces: IntGauge,
    bytes: IntGauge,
    refused: [IntCounter; Work::ALL.len()],
}

/// What kind of work is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A token is loaded for somebody who waits.
    Flight,
    /// A token that is still valid is renewed.
    Renewal,
    /// A code is redeemed.
    Redemption,
    /// An account is signed out.
    SignOut,
}

/// A place in the budget, given back when the last clone is dropped.
#[derive(Clone)]
pub struct Permit(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Piece>);

struct Piece {
    weight: usize,
    budget: Budget,
}

// === impl Work ===

impl Work {
    /// Every value.
    const ALL: [Self; 4] = [Self::Flight, Self::Renewal, Self::Redemption, Self::SignOut];

    /// The label.
    fn as_str(self) -> &'static str {
        match self {
            Self::Flight => "flight",
            Self::Renewal => "renewal",
            Self::Redemption => "redemption",
            Self::SignOut => "sign_out",
        }
    }

    /// What part of the budget it may fill. Renewals stop at one half: nobody waits for them, and callers who do must find room.
    /// Sign-outs find room where nothing else does.
    fn share(self, max: usize) -> usize {
        match self {
            Self::Renewal => max / 2,
            Self::Flight | Self::Redemption => max - max / 16,
            Self::SignOut => max,
        }
    }
}

// === impl Budget ===

impl Budget {
    /// A budget of `max` bytes (`limits.flights`).
    pub fn new(max: usize, metrics: &Metrics) -> Self {
        let help = "Work under way that outlives its request: calls to authorities, renewals, sign-outs.";
        let pieces = metrics.gauges("flights", help, &[]).with_label_values(&[] as &[&str]);
        let help =
            "What the work under way is charged for, of limits.flights: a fixed part for each and the texts that it carries.";
        let bytes = metrics.gauges("flight_bytes", help, &[]).with_label_values(&[] as &[&str]);
        let help = "Work that was not begun because limits.flights had no room for it.";
        let refused = metrics.counters("flights_refused_total", help, &["work"]);
        let refused = Work::ALL.map(|work| refused.with_label_values(&[work.as_str()]));
        Self(Arc::new(Inner { max, used: AtomicUsize::new(0), pieces, bytes, refused }))
    }

    /// A permit for work that carries so many bytes of a request's texts. `None`: there is no room, and the work must not begin.
    pub fn take(&self, work: Work, carried: usize) -> Option<Permit> {
        let weight = weight(carried);
        let most = work.share(self.0.max);
        let fits = |used: usize| used.checked_add(weight).filter(|sum| *sum <= most);
        if self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            if let Some(refused) = self.0.refused.get(work as usize) {
                refused.inc();
            }
            return None;
        }
        self.0.pieces.inc();
        self.0.bytes.add(i64::try_from(weight).unwrap_or(i64::MAX));
        Some(Permit(Arc::new(Piece { weight, budget: self.clone() })))
    }
}

/// What work that carries so many bytes of a request's texts is charged, in bytes.
fn weight(carried: usize) -> usize {
    carried.saturating_mul(COPIES).saturating_add(PIECE)
}

/// The least that a budget may be, in bytes, for work that carries so many bytes of a request's texts.
pub(super) fn least(carried: usize) -> usize {
    // A flight may fill fifteen parts of sixteen.
    weight(carried).saturating_add(weight(carried) / 15 + 1)
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.weight, Ordering::Relaxed);
        self.budget.0.pieces.dec();
        self.budget.0.bytes.sub(i64::try_from(self.weight).unwrap_or(i64::MAX));
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("max", &self.0.max).field("used", &self.0.used).finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, COPIES, PIECE, Work, least};
    use crate::telemetry::Metrics;

    #[test]
    fn a_permit_is_given_back_with_its_last_clone() {
        let metrics = Metrics::default();
        let budget = Budget::new(2 * PIECE + PIECE / 4, &metrics);
        let shown = || String::from_utf8(metrics.render()).unwrap();
        let first = budget.take(Work::Flight, 0).unwrap();
        let second = budget.take(Work::SignOut, 10).unwrap();
        assert!(budget.take(Work::Flight, 0).is_none() && budget.take(Work::SignOut, 0).is_none());
        let bytes = 2 * PIECE + 10 * COPIES;
        for line in ["tokend_flights 2".to_owned(), format!("tokend_flight_bytes {bytes}")] {
            assert!(shown().lines().any(|shown| shown == line), "{line}");
        }
        assert!(shown().contains("tokend_flights_refused_total{work=\"flight\"} 1"));
        let clone = second.clone();
        drop(second);
        assert!(budget.take(Work::Flight, 0).is_none());
        drop(clone);
        assert!(budget.take(Work::Flight, 0).is_some());
        drop(first);
        for line in ["tokend_flights 0", "tokend_flight_bytes 0"] {
            assert!(shown().lines().any(|shown| shown == line), "{line}");
        }
    }

    #[test]
    fn renewals_leave_room_for_those_who_wait_and_those_for_sign_outs() {
        let budget = Budget::new(16 * PIECE, &Metrics::default());
        let renewals: Vec<_> = std::iter::from_fn(|| budget.take(Work::Renewal, 0)).collect();
        let flights: Vec<_> = std::iter::from_fn(|| budget.take(Work::Flight, 0)).collect();
        let sign_outs: Vec<_> = std::iter::from_fn(|| budget.take(Work::SignOut, 0)).collect();
        assert_eq!((renewals.len(), flights.len(), sign_outs.len()), (8, 7, 1));
    }

    #[test]
    fn the_largest_request_fits_the_least_budget() {
        let least = least(320 * 1024);
        assert!(Budget::new(least, &Metrics::default()).take(Work::Flight, 320 * 1024).is_some());
        assert!(Budget::new(usize::MAX, &Metrics::default()).take(Work::Flight, usize::MAX).is_none());
    }
}
