//! What could not be stored while Redis was away goes there when it is back: slowly, and only where nothing newer stands.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::fleet::Fleet;
use super::{Base, Cache, Kept, Partition, Unavailable};
use crate::store::{BreakerState, Placed};
use crate::token::Stored;

/// At most fifty a second per replica.
const EVERY: Duration = Duration::from_millis(20);
/// How often it is looked at where nothing announced a recovery: a single call that failed opens no breaker.
const LOOK: Duration = Duration::from_secs(5);
/// What memory may spend on it; whatever finds no room is stored at its next renewal.
const MOST: usize = 20_000;
/// How often a new sign-in yields to one that came between.
const ATTEMPTS: usize = 3;

/// What has to be stored, each once.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Item>,
    known: HashSet<Item>,
}

/// Where it is found in memory when its turn comes: by then it may be newer, or gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Token {
        partition: Partition,
        variant: [u8; 32],
        asked: Box<str>,
    },
    /// `new`: the user signed in, and it goes before whatever stands there; else it renews what was read.
    SignIn {
        partition: Partition,
        new: bool,
    },
}

// === impl Queue ===

impl Queue {
    pub(super) fn token(&self, partition: Partition, stored: &Stored) {
        self.push(Item::Token { partition, variant: stored.facts.variant, asked: stored.facts.asked.clone() });
    }

    /// A sign-in goes before all tokens: its refresh token may be the only good one.
    pub(super) fn sign_in(&self, partition: Partition, new: bool) {
        self.push(Item::SignIn { partition, new });
    }

    /// Takes a sign-in out of its turn.
    fn take_sign_in(&self, partition: &Partition) -> Option<Item> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A new one first: what renews an older one is of no use any more.
        let both = [true, false].map(|new| Item::SignIn { partition: *partition, new });
        let item = both.into_iter().find(|item| waiting.known.remove(item))?;
        waiting.order.retain(|other| *other != item);
        Some(item)
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).order.len()
    }

    fn push(&self, item: Item) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = matches!(item, Item::SignIn { .. });
        if (!first && waiting.order.len() >= MOST) || !waiting.known.insert(item.clone()) {
            return;
        }
        if first { waiting.order.push_front(item) } else { waiting.order.push_back(item) }
    }

    fn pop(&self) -> Option<Item> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let item = waiting.order.pop_front()?;
        waiting.known.remove(&item);
        Some(item)
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Pushes back whenever the store can be written to again, until the soft stop.
    pub(super) fn push_back(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        let (this, fleet) = (Arc::clone(self), Arc::clone(fleet));
        let mut recoveries = fleet.store.recoveries();
        self.tasks.background("push back", async move {
            loop {
                // Either way: the end of the channel would only mean that nothing announces recoveries any more.
                let _announced = tokio::time::timeout(LOOK, recoveries.changed()).await;
                while fleet.queue.len() > 0 && fleet.store.state().writes == BreakerState::Closed {
                    tokio::time::sleep(EVERY).await;
                    let Some(item) = fleet.queue.pop() else { break };
                    if !this.bring(&fleet, &item).await {
                        fleet.queue.push(item);
                        break;
                    }
                }
            }
        });
    }

    /// Brings one item to the store. Returns whether it is done with, stored or not.
    async fn bring(&self, fleet: &Fleet, item: &Item) -> bool {
        let done = match item {
            Item::Token { partition, variant, asked } => self.bring_token(fleet, partition, variant, asked).await,
            Item::SignIn { partition, new } => self.bring_sign_in(fleet, partition, *new).await,
        };
        if let Some(outcome) = done {
            fleet.metrics.pushed_back(outcome);
        }
        done.is_some()
    }

    async fn bring_token(&self, fleet: &Fleet, partition: &Partition, variant: &[u8; 32], asked: &str) -> Option<&'static str> {
        let same = |stored: &Stored| (stored.facts.variant == *variant && *stored.facts.asked == *asked).then(|| stored.clone());
        let Some(stored) = self.memory.find_map(partition, same).filter(|stored| stored.expires_on > self.clock.unix()) else {
            return Some("gone");
        };
        let place = fleet.names.place(partition);
        let base = Some(stored.facts.shared).filter(|base| *base > 0);
        // The epoch is named for an app's own token too: there it is never there, and nothing is refused.
        match fleet.put_token(&place, partition, true, base, &stored, None).await {
            Ok(Placed::Stored) => Some("stored"),
            Ok(Placed::Stale(_)) => Some("stale"),
            Ok(Placed::SignedOut) => {
                self.forget(partition);
                Some("signed_out")
            }
            Err(_) => None,
        }
    }

    /// Brings the sign-ins of an account that wait, before anything is read of it. Returns whether there is none left.
    pub(super) async fn bring_first(&self, fleet: &Fleet, partition: &Partition) -> bool {
        while let Some(item) = fleet.queue.take_sign_in(partition) {
            if !self.bring(fleet, &item).await {
                fleet.queue.push(item);
                return false;
            }
        }
        true
    }

    async fn bring_sign_in(&self, fleet: &Fleet, partition: &Partition, new: bool) -> Option<&'static str> {
        let Some(sign_in) = self.memory.sign_in(partition, self.clock.unix()) else { return Some("gone") };
        let mut base = Base { generation: Some(sign_in.shared).filter(|base| *base > 0), epoch: sign_in.epoch };
        for _ in 0..ATTEMPTS {
            match self.put_sign_in(fleet, partition, &sign_in, base).await {
                Kept::Stored => return Some("stored"),
                Kept::SignedOut => {
                    self.forget(partition);
                    return Some("signed_out");
                }
                Kept::Later => return None,
                Kept::Stale if new => match self.read_signed(fleet, &sign_in.space, partition).await {
                    Ok((_, theirs)) => base.generation = theirs.generation,
                    Err(Unavailable::Unreachable) => return None,
                    Err(Unavailable::Unreadable) => break,
                },
                Kept::Stale => break,
            }
        }
        // Somebody signed in or renewed meanwhile; what stands there is newer.
        self.memory.remove_sign_in(partition, &sign_in);
        Some("stale")
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, Queue};

    #[test]
    fn each_once_and_sign_ins_first() {
        let queue = Queue::default();
        let token = |asked: &str| Item::Token { partition: [1; 32], variant: [0; 32], asked: asked.into() };
        queue.push(token("a"));
        queue.push(token("b"));
        queue.push(token("a"));
        queue.sign_in([2; 32], true);
        assert_eq!(queue.len(), 3);
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop(), queue.pop()],
            [Some(Item::SignIn { partition: [2; 32], new: true }), Some(token("a")), Some(token("b")), None]
        );
    }
}
