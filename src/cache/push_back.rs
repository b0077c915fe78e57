//! What could not be stored while Redis was away goes there when it is back: slowly, and only where nothing newer stands.
//!
//! Tokens are looked up in memory when their turn comes: by then they may be newer, or gone. A sign-in waits in the queue itself: its
//! refresh token may be the only good one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fleet::Fleet;
use super::{Base, Cache, Kept, Partition, Unavailable};
use crate::store::{BreakerState, Placed};
use crate::token::{SignIn, Stored};

/// At most fifty a second per replica.
const EVERY: Duration = Duration::from_millis(20);
/// How often it is looked at where nothing announced a recovery: a single call that failed opens no breaker.
const LOOK: Duration = Duration::from_secs(5);
/// The same while a sign-in waits: until it is stored, another replica may send the refresh token that it replaces.
const SOON: Duration = Duration::from_millis(250);
/// How many tokens may wait; whatever finds no room is stored at its next renewal.
const MOST: usize = 20_000;
/// How often a new sign-in yields to one that came between.
const ATTEMPTS: usize = 3;

/// What has to be stored, each once.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Token>,
    tokens: HashSet<Token>,
    accounts: VecDeque<Partition>,
    sign_ins: HashMap<Partition, Pending>,
}

/// Where a token is found in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Token {
    partition: Partition,
    variant: [u8; 32],
    asked: Box<str>,
}

/// A sign-in that waits. `new`: the user signed in, and it goes before whatever stands there; else it renews what was read.
#[derive(Clone, Debug)]
struct Pending {
    sign_in: Arc<SignIn>,
    new: bool,
}

// === impl Queue ===

impl Queue {
    pub(super) fn token(&self, partition: Partition, stored: &Stored) {
        self.push(Token { partition, variant: stored.facts.variant, asked: stored.facts.asked.clone() });
    }

    /// Whether a token waits: what memory has is newer than what stands in the store.
    pub(super) fn has_token(&self, partition: &Partition, stored: &Stored) -> bool {
        let waiting = self.waiting();
        if waiting.tokens.is_empty() {
            return false;
        }
        let (variant, asked) = (stored.facts.variant, stored.facts.asked.clone());
        waiting.tokens.contains(&Token { partition: *partition, variant, asked })
    }

    /// A sign-in waits until it is stored, or refused.
    pub(super) fn sign_in(&self, partition: Partition, sign_in: Arc<SignIn>, new: bool) {
        let mut waiting = self.waiting();
        let older = waiting.sign_ins.insert(partition, Pending { sign_in, new });
        match older {
            // What renews one that was never stored goes where that would have gone.
            Some(older) => {
                if let Some(pending) = waiting.sign_ins.get_mut(&partition) {
                    pending.new |= older.new;
                }
            }
            None => waiting.accounts.push_back(partition),
        }
    }

    /// The sign-in of an account that waits.
    pub(super) fn waiting_sign_in(&self, partition: &Partition) -> Option<Arc<SignIn>> {
        self.waiting().sign_ins.get(partition).map(|pending| Arc::clone(&pending.sign_in))
    }

    /// A sign-out: nothing of the account may be stored any more.
    pub(super) fn forget(&self, partition: &Partition) -> bool {
        let mut waiting = self.waiting();
        waiting.accounts.retain(|account| account != partition);
        waiting.sign_ins.remove(partition).is_some()
    }

    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting();
        waiting.order.len() + waiting.accounts.len()
    }

    fn has_accounts(&self) -> bool {
        !self.waiting().accounts.is_empty()
    }

    fn push(&self, token: Token) {
        let mut waiting = self.waiting();
        if waiting.order.len() < MOST && waiting.tokens.insert(token.clone()) {
            waiting.order.push_back(token);
        }
    }

    fn next_token(&self) -> Option<Token> {
        let mut waiting = self.waiting();
        let token = waiting.order.pop_front()?;
        waiting.tokens.remove(&token);
        Some(token)
    }

    /// The account whose turn it is; it goes to the end, because it stays until it is done with.
    fn next_account(&self) -> Option<Partition> {
        let mut waiting = self.waiting();
        let partition = waiting.accounts.pop_front()?;
        waiting.accounts.push_back(partition);
        Some(partition)
    }

    fn pending(&self, partition: &Partition) -> Option<Pending> {
        self.waiting().sign_ins.get(partition).cloned()
    }

    /// A sign-in is stored or refused; a newer one of the same account waits on.
    fn done(&self, partition: &Partition, sign_in: &Arc<SignIn>) {
        let mut waiting = self.waiting();
        if waiting.sign_ins.get(partition).is_some_and(|pending| Arc::ptr_eq(&pending.sign_in, sign_in)) {
            waiting.sign_ins.remove(partition);
            waiting.accounts.retain(|account| account != partition);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Pushes back whenever the store can be written to again, until the soft stop; what must not be lost also then.
    pub(super) fn push_back(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        let (this, inner) = (Arc::clone(self), Arc::clone(fleet));
        let mut recoveries = fleet.store.recoveries();
        self.tasks.background("push back", async move {
            loop {
                // Either way: the end of the channel would only mean that nothing announces recoveries any more.
                let look = if inner.queue.has_accounts() { SOON } else { LOOK };
                let _announced = tokio::time::timeout(look, recoveries.changed()).await;
                while inner.queue.len() > 0 && inner.store.state().writes == BreakerState::Closed {
                    tokio::time::sleep(EVERY).await;
                    if !this.bring_next(&inner).await {
                        break;
                    }
                }
            }
        });
        let (this, inner, soft) = (Arc::clone(self), Arc::clone(fleet), self.tasks.soft().clone());
        self.tasks.awaited("last push back", async move {
            soft.cancelled().await;
            while let Some(partition) = inner.queue.next_account() {
                if !this.bring_first(&inner, &partition).await {
                    break;
                }
            }
        });
    }

    /// Brings what is next. Returns whether it is done with.
    async fn bring_next(&self, fleet: &Fleet) -> bool {
        if let Some(partition) = fleet.queue.next_account() {
            return self.bring_first(fleet, &partition).await;
        }
        let Some(token) = fleet.queue.next_token() else { return false };
        match self.bring_token(fleet, &token.partition, &token.variant, &token.asked).await {
            Some(outcome) => {
                fleet.metrics.pushed_back(outcome);
                true
            }
            None => {
                fleet.queue.push(token);
                false
            }
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
            Err(_) => None,
        }
    }

    /// Brings the sign-in of an account if one waits, before anything is read of it. Returns whether none waits any more.
    pub(super) async fn bring_first(&self, fleet: &Fleet, partition: &Partition) -> bool {
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
        for _ in 0..ATTEMPTS {
            let generation = Fleet::next_generation(base.generation);
            match self.put_sign_in(fleet, partition, sign_in, base, generation).await {
                Kept::Stored => return Some("stored"),
                Kept::SignedOut => {
                    self.memory.remove(partition);
                    return Some("signed_out");
                }
                Kept::Later => return None,
                Kept::Stale if pending.new => match self.read_signed(fleet, &sign_in.space, partition).await {
                    Ok((_, theirs)) => base.generation = theirs.generation,
                    Err(Unavailable::Unreachable) => return None,
                    Err(Unavailable::Unreadable) => break,
                },
                Kept::Stale => break,
            }
        }
        // Somebody signed in or renewed meanwhile; what stands there is newer.
        self.memory.remove_sign_in(partition, sign_in);
        Some("stale")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Queue, Token};
    use crate::token::{Account, SignIn};

    fn sign_in() -> Arc<SignIn> {
        let account = Account {
            home_account_id: "h".to_owned(),
            local_account_id: "l".to_owned(),
            username: None,
            environment: "e".to_owned(),
            tenant_id: None,
        };
        Arc::new(SignIn { account, refresh_token: None, expires_on: 9, space: [0; 32], epoch: None, shared: 0 })
    }

    #[test]
    fn tokens_wait_once_each_and_in_their_order() {
        let queue = Queue::default();
        let token = |asked: &str| Token { partition: [1; 32], variant: [0; 32], asked: asked.into() };
        for asked in ["a", "b", "a"] {
            queue.push(token(asked));
        }
        assert_eq!(queue.len(), 2);
        assert_eq!([queue.next_token(), queue.next_token(), queue.next_token()], [Some(token("a")), Some(token("b")), None]);
    }

    #[test]
    fn a_sign_in_waits_until_it_is_done_with_and_its_successor_takes_its_place() {
        let queue = Queue::default();
        let (first, second) = (sign_in(), sign_in());
        queue.sign_in([1; 32], Arc::clone(&first), true);
        assert_eq!(queue.next_account(), Some([1; 32]));
        assert!(queue.waiting_sign_in(&[1; 32]).is_some());
        queue.sign_in([1; 32], Arc::clone(&second), false);
        assert!(queue.pending(&[1; 32]).is_some_and(|pending| pending.new));
        queue.done(&[1; 32], &first);
        assert_eq!(queue.len(), 1);
        queue.done(&[1; 32], &second);
        assert_eq!((queue.len(), queue.next_account()), (0, None));
    }
}
