//! What could not be stored while Redis was away goes there when it is back: slowly, and only where nothing newer stands.

use std::sync::Arc;
use std::time::Duration;

use super::fleet::Fleet;
use super::queue::{Pending, Room};
use super::{Base, Cache, Kept, Partition, Unavailable};
use crate::store::{BreakerState, Placed};
use crate::token::{SignIn, Stored};

/// At most fifty a second per replica.
const EVERY: Duration = Duration::from_millis(20);
/// How often it is looked at where nothing announced a recovery: a single call that failed opens no breaker.
const LOOK: Duration = Duration::from_secs(5);
/// The same while a sign-in waits: until it is stored, another replica may send the refresh token that it replaces.
const SOON: Duration = Duration::from_millis(250);
/// How often a new sign-in yields to one that came between.
const ATTEMPTS: usize = 3;

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Keeps room for a sign-in that may have to wait to be stored, before what brings it is sent. `None`: there is none, and it must not be
    /// sent, because what it brings could be lost.
    pub fn room_for_sign_in(&self) -> Option<Room> {
        self.fleet.as_ref().map_or_else(|| Some(Room::unbounded()), |fleet| fleet.queue.room())
    }

    /// Pushes back whenever the store can be written to again, until the soft stop; what must not be lost also then.
    pub(super) fn push_back(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        let (this, inner) = (Arc::clone(self), Arc::clone(fleet));
        let mut recoveries = fleet.store.recoveries();
        self.tasks.background("push back", async move {
            loop {
                // Either way: the end of the channel would only mean that nothing announces recoveries any more.
                let look = if inner.queue.has_accounts() { SOON } else { LOOK };
                let _announced = tokio::time::timeout(look, recoveries.changed()).await;
                this.bring_waiting(&inner).await;
            }
        });
        let (this, inner, soft) = (Arc::clone(self), Arc::clone(fleet), self.tasks.soft().clone());
        self.tasks.awaited("last push back", async move {
            soft.cancelled().await;
            this.bring_sign_ins(&inner).await;
        });
    }

    /// Brings the sign-ins at the end, until none waits or the process has to end; one task is enough for all.
    pub(super) async fn bring_sign_ins(&self, fleet: &Fleet) {
        while fleet.queue.begin_ending() {
            self.bring_round(fleet).await;
            while fleet.queue.has_accounts() {
                tokio::time::sleep(SOON).await;
                self.bring_round(fleet).await;
            }
            fleet.queue.end_ending();
        }
    }

    /// Brings what waits, each account once and then tokens, for as long as the store takes it.
    async fn bring_waiting(&self, fleet: &Fleet) {
        let works = || fleet.store.state().writes == BreakerState::Closed;
        if works() {
            self.bring_round(fleet).await;
        }
        while works() {
            let Some(token) = fleet.queue.next_token() else { break };
            tokio::time::sleep(EVERY).await;
            match self.bring_token(fleet, &token.partition, &token.variant, &token.asked).await {
                Some(outcome) => {
                    fleet.queue.done_token(&token);
                    fleet.metrics.pushed_back(outcome);
                }
                None => break,
            }
        }
    }

    /// Tries each account once, whatever comes of the others.
    async fn bring_round(&self, fleet: &Fleet) {
        for _ in 0..fleet.queue.accounts() {
            let Some(partition) = fleet.queue.next_account() else { break };
            tokio::time::sleep(EVERY).await;
            let _next_round = self.bring_first(fleet, &partition).await;
        }
    }

    async fn bring_token(&self, fleet: &Fleet, partition: &Partition, variant: &[u8; 32], asked: &str) -> Option<&'static str> {
        let same = |stored: &Stored| (stored.facts.variant == *variant && *stored.facts.asked == *asked).then(|| stored.clone());
        let Some(stored) = self.memory.find_map(partition, same).filter(|stored| stored.expires_on > self.clock.unix()) else {
            return Some("gone");
        };
        let place = fleet.names.place(partition);
        let base = Some(stored.facts.shared).filter(|base| *base > 0);
        let mut stored = stored;
        stored.facts.shared = Fleet::next_generation(base);
        // The epoch is named for an app's own token too: there it is never there, and nothing is refused.
        match fleet.put_token(&place, partition, true, base, &stored, None).await {
            Ok(Placed::Stored) => Some("stored"),
            Ok(Placed::Stale(_)) => Some("stale"),
            Ok(Placed::SignedOut) => {
                self.memory.remove(partition);
                Some("signed_out")
            }
            Ok(Placed::Lost) | Err(_) => None,
        }
    }

    /// Brings the sign-in of an account if one waits, before anything is read of it. Returns whether none waits any more.
    pub(super) async fn bring_first(&self, fleet: &Fleet, partition: &Partition) -> bool {
        if fleet.queue.pending(partition).is_none() {
            return true;
        }
        // One at a time: whoever is second would take what the first one stored for somebody else's.
        let _one = self.bringing.turn(*partition).await;
        let Some(pending) = fleet.queue.pending(partition) else { return true };
        let Some(outcome) = self.bring_sign_in(fleet, partition, &pending).await else { return false };
        fleet.metrics.pushed_back(outcome);
        fleet.queue.done(partition, &pending.sign_in);
        true
    }

    async fn bring_sign_in(&self, fleet: &Fleet, partition: &Partition, pending: &Pending) -> Option<&'static str> {
        let sign_in = &pending.sign_in;
        if sign_in.expires_on <= self.clock.unix() {
            return Some("gone");
        }
        let mut base = Base { generation: Some(sign_in.shared).filter(|base| *base > 0), epoch: sign_in.epoch };
        let (mut generation, mut descendant) = (pending.generation, None);
        for _ in 0..ATTEMPTS {
            let brought = descendant.as_ref().unwrap_or(&**sign_in);
            match self.put_sign_in(fleet, partition, brought, base, generation).await {
                Kept::Stored => {
                    if descendant.is_some() {
                        // Memory has another lineage.
                        self.memory.remove_sign_in(partition, sign_in);
                    }
                    return Some("stored");
                }
                Kept::SignedOut => {
                    self.memory.remove(partition);
                    return Some("signed_out");
                }
                Kept::Later => return None,
                Kept::Stale => match self.read_signed(fleet, &sign_in.space, partition).await {
                    // The answer was lost, or somebody has renewed it by now.
                    Ok((_, theirs)) if theirs.generation == Some(generation) || pending.is_ancestor_of(theirs.generation) => {
                        return Some("stored");
                    }
                    Ok((theirs, stands)) if pending.new => {
                        // A sign-in of which this replica knew nothing: the new one goes on with its lineage, above it. What is lower would be
                        // taken for what came before.
                        base.generation = stands.generation;
                        if stands.generation > Some(generation) {
                            generation = Fleet::next_sign_in(stands.generation);
                            fleet.queue.tried_as(partition, sign_in, generation);
                        }
                        descendant = theirs.map(|theirs| {
                            let mut descendant = SignIn::clone(sign_in);
                            descendant.descend_from(&theirs);
                            descendant
                        });
                    }
                    // The store had lost it, and has it again.
                    Ok((_, theirs)) if theirs.generation == base.generation => {}
                    Ok(_) => break,
                    Err(Unavailable::Unreachable | Unavailable::Busy) => return None,
                    Err(Unavailable::Unreadable) => break,
                },
            }
        }
        // Somebody signed in or renewed meanwhile; what stands there is newer.
        self.memory.remove_sign_in(partition, sign_in);
        Some("stale")
    }
}
