//! The right to be the only one in the fleet who works on an account: what must not happen twice happens under it.
//!
//! Before a refresh token is sent that is good for one use, the lease says which generation of the sign-in that is. Whoever waits leaves it
//! alone then, whatever becomes of its holder, until what was sent is settled or cannot be under way any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::Fleet;
use super::lease::{KEPT, Lease, Sent};
use super::sign_ins::Unavailable;
use super::{Cache, Key, Partition};
use crate::store::{Claim, Names, Ring};

/// How long whoever sends something has to write its lease anew, which it renews each second, where the store has lost that alone.
const ANEW: Duration = Duration::from_millis(1500);
/// How often a turn is asked for that another replica has.
const TURN: Duration = Duration::from_millis(50);

/// The right to be the only one in the fleet who works on an account.
#[derive(Debug)]
pub struct RefreshLease(Option<Shared>);

/// The leases, under the names of each version that this release knows.
#[derive(Debug)]
struct Shared {
    fleet: Arc<Fleet>,
    leases: Vec<Lease>,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Does some work on an account while nobody else in the fleet does, which is waited for no longer than `patience`.
    ///
    /// # Errors
    /// The shared store cannot give the turn, or it did not come in time; the work was not begun.
    pub async fn in_turn<T, F: Future<Output = T>>(
        &self,
        partition: &Partition,
        patience: Duration,
        work: impl FnOnce(RefreshLease) -> F,
    ) -> Result<T, Unavailable> {
        let ends = Instant::now() + patience;
        // Without an end those who wait would be as many as callers like, one call of the authority after the other.
        let _turn = tokio::time::timeout_at(ends, self.turns.lock(*partition)).await.map_err(|_| Unavailable::Busy)?;
        let Some(fleet) = &self.fleet else { return Ok(work(RefreshLease(None)).await) };
        let mut leases = Vec::new();
        // In one order, or two replicas of two releases would wait for each other.
        for names in fleet.by_age() {
            match fleet.turn(names, partition, ends).await {
                Ok(lease) => leases.push(lease),
                Err(why) => {
                    fleet.release_all(&leases).await;
                    return Err(why);
                }
            }
        }
        let turn = RefreshLease(Some(Shared { fleet: Arc::clone(fleet), leases: leases.clone() }));
        let held = fleet.leases.hold(*partition, &leases);
        let outcome = fleet.holding(&leases, work(turn)).await;
        drop(held);
        if fleet.queue.pending(partition).is_some() {
            // What came back is not in the store yet, and what stands there is used up: the mark says so until it is.
            leases.iter().for_each(|lease| fleet.not_given_back(lease));
        } else {
            fleet.release_all(&leases).await;
        }
        Ok(outcome)
    }
}

// === impl Fleet ===

impl Fleet {
    /// Takes the lease of an account's turn under the names of one version, or waits for whoever has it.
    async fn turn(&self, names: &Names, partition: &Partition, ends: Instant) -> Result<Lease, Unavailable> {
        let lease = Self::lease_at(names, partition, &Key::of(&[b"turn"]).0);
        let place = names.place(partition);
        let (sign_in, epoch) = (place.sign_in(), place.epoch());
        let longest = self.longest * 2;
        let (mut waited, mut waited_anew, mut lapsed) = (false, false, None);
        loop {
            let takes = lapsed.is_some();
            let claim = Claim {
                lease: &lease.name,
                outcome: &lease.outcome,
                reads: &[&sign_in, &epoch],
                owner: &lease.owner,
                lapsed: lapsed.take(),
                ttl: KEPT,
                followed: &[],
            };
            let Ok(claimed) = self.store.patient().claim(&claim).await else {
                // It may have been given all the same.
                self.not_given_back(&lease);
                return Err(Unavailable::Unreachable);
            };
            let is_settled = |sending: u64| match claimed.values.as_slice() {
                [Some(value), _] => Ring::generation(value).is_some_and(|stands| stands > sending),
                // Signed out; but under the names of another version it may stand.
                [None, epoch] => self.others.is_empty() && epoch.is_some(),
                _ => false,
            };
            if claimed.won {
                match self.leases.sends(&lease.name, longest) {
                    // The store has lost the lease, and whoever sends has not written it anew yet; or what came of it is not known.
                    Some(sending) if !is_settled(sending) && !waited_anew => {
                        self.release(&lease, None).await;
                        let stands = claimed.values.iter().any(Option::is_some);
                        let until = if stands { ends.min(Instant::now() + ANEW) } else { ends };
                        waited_anew = self.written_anew([&lease.name, &sign_in, &epoch], longest, until).await?;
                        if !waited_anew && Instant::now() >= ends {
                            return Err(Unavailable::Busy);
                        }
                    }
                    _ => {
                        if takes {
                            self.metrics.lease("taken_over");
                        }
                        return Ok(lease);
                    }
                }
            } else if let Some(holder) = claimed.holder {
                let settled = is_settled(holder.sending);
                lapsed = self.leases.lapsed(&lease.name, holder, Sent { settled, longest });
            }
            if lapsed.is_some() {
                continue;
            }
            if Instant::now() >= ends {
                return Err(Unavailable::Busy);
            }
            if !std::mem::replace(&mut waited, true) {
                self.metrics.lease("waited");
            }
            tokio::time::sleep(TURN.mul_f64(0.5 + (self.jitter)())).await;
        }
    }

    /// Waits until a lease stands again under which something was being sent, until what stands beside it has changed, or until that must have
    /// come to an end. Returns whether nothing of that came in time.
    async fn written_anew(&self, keys: [&str; 3], longest: Duration, until: Instant) -> Result<bool, Unavailable> {
        let [lease, ..] = keys;
        let mut before = None;
        while self.leases.sends(lease, longest).is_some() {
            if Instant::now() >= until {
                return Ok(true);
            }
            tokio::time::sleep(TURN).await;
            let values = self.store.patient().read(&keys).await.map_err(|_| Unavailable::Unreachable)?;
            let Some((lease, beside)) = values.split_first() else { break };
            if lease.is_some() || before.as_deref().is_some_and(|before: &[_]| before != beside) {
                break;
            }
            before = Some(beside.to_vec());
        }
        Ok(false)
    }

    async fn release_all(&self, leases: &[Lease]) {
        for lease in leases {
            self.release(lease, None).await;
        }
    }
}

// === impl RefreshLease ===

impl RefreshLease {
    /// Announces that this generation of the account's sign-in is about to be sent: asked directly before what must not happen twice. From then on
    /// nobody else sends it before twice the time that a call may take; so it has to be sent within once that time, counted from before this
    /// was asked: until the moment that is returned, where there is one. The process may be stopped before it is sent.
    ///
    /// # Errors
    /// The turn is not ours any more, or the shared store cannot say: it must not be sent.
    pub async fn sends(&self, generation: u64) -> Result<Option<Instant>, Unavailable> {
        let Some(Shared { fleet, leases }) = &self.0 else { return Ok(None) };
        let asked = Instant::now();
        for lease in leases {
            let holder = lease.mark(generation).ok_or(Unavailable::Unreachable)?;
            match fleet.store.patient().extend(&lease.name, &holder, KEPT, false).await {
                Ok(true) => {}
                Ok(false) => {
                    lease.lose();
                    return Err(Unavailable::Unreachable);
                }
                Err(_) => return Err(Unavailable::Unreachable),
            }
        }
        Ok(Some(asked + fleet.longest))
    }
}
