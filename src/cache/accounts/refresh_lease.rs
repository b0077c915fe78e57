//! The right to be the only one in the fleet who works on an account: what must not happen twice happens under it.
//!
//! Before a refresh token that is good for one use is sent, the lease says which generation of the sign-in that is. Others who wait
//! leave that generation alone, whatever becomes of the lease's holder, until what was sent is settled or cannot be under way any
//! more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::core::CachedAccounts;
use super::outcome::Unavailable;
use crate::cache::lease::{Claiming, Lease, Leases, SentUnderLease};
use crate::cache::level::SharedLevel;
use crate::store::{Names, Ring};
use crate::token::{FlightKey, Partition, SpaceId};

/// How long a sender has to write its lease anew if the store has lost the lease alone. It renews the lease each second.
const ANEW: Duration = Duration::from_millis(1500);
/// How often a lease is asked for that another replica has.
const ASKED: Duration = Duration::from_millis(50);
/// How often a store that becomes another one is waited for.
const ATTEMPTS: usize = 3;

/// The right to be the only one in the fleet who works on an account.
#[derive(Debug)]
pub struct RefreshLease(Option<HeldLeases>);

/// The leases, under the names of each version that this release knows.
#[derive(Debug)]
struct HeldLeases {
    shared: Arc<SharedLevel>,
    leases: Vec<Lease>,
}

// === impl CachedAccounts ===

impl CachedAccounts {
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
        let _turn = tokio::time::timeout_at(ends, self.using.lock(*partition)).await.map_err(|_| Unavailable::Busy)?;
        let Some(shared) = &self.shared else { return Ok(work(RefreshLease(None)).await) };
        let mut leases = Vec::new();
        // In one order, or two replicas of two releases would wait for each other.
        for names in shared.fleet.names_by_age() {
            match wait(shared, names, partition, ends).await {
                Ok(lease) => leases.push(lease),
                Err(why) => {
                    release_all(shared, &leases).await;
                    return Err(why);
                }
            }
        }
        let lease = RefreshLease(Some(HeldLeases { shared: Arc::clone(shared), leases: leases.clone() }));
        let held = shared.leases.hold(*partition, &leases);
        let outcome = shared.leases.holding(&leases, work(lease)).await;
        drop(held);
        if shared.queue.pending(partition).is_some() {
            // What came back is not in the store yet, and what stands there is used up: the mark says so until it is.
            leases.iter().for_each(|lease| shared.leases.not_given_back(lease));
        } else {
            release_all(shared, &leases).await;
        }
        Ok(outcome)
    }

    /// Whether the store knows of an account's sign-in all that the replicas know. It is asked while the account's turn is held,
    /// before what must not be sent twice. If the store became another one a moment ago, or had lost the sign-in, another replica
    /// may know of a later one, or be sending this one.
    ///
    /// # Errors
    /// As for [`CachedAccounts::signed`].
    pub async fn is_settled(&self, space: &SpaceId, partition: &Partition) -> Result<bool, Unavailable> {
        let Some(shared) = &self.shared else { return Ok(true) };
        self.signed(space, partition).await?;
        // Asked afterwards: the connection may have been made anew for this very look.
        Ok(shared.losses.settles_in(partition, shared.fleet.store().reconnects()).is_none())
    }

    /// Waits until the replicas that know more have brought it to the store. The account's turn is not held meanwhile: a replica
    /// that is sending has to write its lease anew.
    pub async fn settle(&self, partition: &Partition) {
        let Some(shared) = &self.shared else { return };
        // What is found meanwhile may lengthen it. A store that becomes another one again and again is not waited for.
        for _ in 0..ATTEMPTS {
            let Some(left) = shared.losses.settles_in(partition, shared.fleet.store().reconnects()) else { return };
            tokio::time::sleep(left).await;
        }
    }
}

// === impl RefreshLease ===

impl RefreshLease {
    /// Announces that this generation of the account's sign-in is about to be sent. It is asked directly before what must not
    /// happen twice. From then on nobody else sends it before twice the time that a call may take. So it has to be sent within once
    /// that time, counted from before this was asked: the moment that is returned, if any, is the latest. The process may be
    /// stopped before it is sent.
    ///
    /// # Errors
    /// The turn is not ours any more, or the shared store cannot say: it must not be sent.
    pub async fn sends(&self, generation: u64) -> Result<Option<Instant>, Unavailable> {
        let Some(HeldLeases { shared, leases }) = &self.0 else { return Ok(None) };
        let asked = Instant::now();
        for lease in leases {
            if shared.leases.mark(lease, generation).await != Ok(true) {
                return Err(Unavailable::Unreachable);
            }
        }
        Ok(Some(asked + shared.fleet.longest()))
    }
}

/// Takes the lease of an account's turn under the names of one version, or waits for whoever has it.
async fn wait(shared: &SharedLevel, names: &Names, partition: &Partition, ends: Instant) -> Result<Lease, Unavailable> {
    let lease = Leases::named(names, partition, &FlightKey::of(&[b"turn"]));
    let place = names.place(partition);
    let (sign_in, epoch) = (place.sign_in(), place.epoch());
    let longest = shared.fleet.longest() * 2;
    let (mut waited, mut waited_anew, mut lapsed) = (false, false, None);
    loop {
        let takes = lapsed.is_some();
        let claiming = Claiming { reads: &[&sign_in, &epoch], lapsed: lapsed.take(), followed: &[], patient: true };
        let Ok(claimed) = shared.leases.claim(&lease, claiming).await else {
            // It may have been given all the same.
            shared.leases.not_given_back(&lease);
            return Err(Unavailable::Unreachable);
        };
        let is_settled = |sending: u64| is_settled(shared, &claimed.values, sending);
        if claimed.won {
            match shared.leases.sends(&lease, longest) {
                // The store has lost the lease, and whoever sends has not written it anew yet; or what came of it is not known.
                Some(sending) if !is_settled(sending) && !waited_anew => {
                    shared.leases.release(&lease, None).await;
                    let stands = claimed.values.iter().any(Option::is_some);
                    let until = if stands { ends.min(Instant::now() + ANEW) } else { ends };
                    waited_anew = written_anew(shared, &lease, [&sign_in, &epoch], until).await?;
                    if !waited_anew && Instant::now() >= ends {
                        return Err(Unavailable::Busy);
                    }
                }
                _ => {
                    if takes {
                        shared.fleet.metrics().lease("taken_over");
                    }
                    return Ok(lease);
                }
            }
        } else if let Some(holder) = claimed.holder {
            let settled = is_settled(holder.sending);
            lapsed = shared.leases.lapsed(&lease, holder, SentUnderLease { settled, longest });
        }
        if lapsed.is_some() {
            continue;
        }
        if Instant::now() >= ends {
            return Err(Unavailable::Busy);
        }
        if !std::mem::replace(&mut waited, true) {
            shared.fleet.metrics().lease("waited");
        }
        tokio::time::sleep(shared.fleet.spread(ASKED)).await;
    }
}

/// Whether something else stands in the place of what was being sent: `values` are the account's sign-in and its epoch.
fn is_settled(shared: &SharedLevel, values: &[Option<Bytes>], sending: u64) -> bool {
    match values {
        [Some(value), _] => Ring::generation(value).is_some_and(|stands| stands > sending),
        // Signed out; but under the names of another version it may stand.
        [None, epoch] => shared.fleet.other_names().is_empty() && epoch.is_some(),
        _ => false,
    }
}

/// Waits until the lease under which something was being sent stands again, or until what stands beside it has changed. It waits no
/// longer than `until`: then the sending must have come to an end. Returns whether neither came in time.
async fn written_anew(shared: &SharedLevel, lease: &Lease, beside: [&str; 2], until: Instant) -> Result<bool, Unavailable> {
    let [sign_in, epoch] = beside;
    let mut before = None;
    while shared.leases.sends(lease, shared.fleet.longest() * 2).is_some() {
        if Instant::now() >= until {
            return Ok(true);
        }
        tokio::time::sleep(ASKED).await;
        let values =
            shared.fleet.store().patient().read(&[lease.name(), sign_in, epoch]).await.map_err(|_| Unavailable::Unreachable)?;
        let Some((standing, beside)) = values.split_first() else { break };
        if standing.is_some() || before.as_deref().is_some_and(|before: &[_]| before != beside) {
            break;
        }
        before = Some(beside.to_vec());
    }
    Ok(false)
}

async fn release_all(shared: &SharedLevel, leases: &[Lease]) {
    for lease in leases {
        shared.leases.release(lease, None).await;
    }
}
