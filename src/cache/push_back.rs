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
/// How many generations after its own a sign-in may have been renewed to and still be known.
const DESCENDANTS: u64 = 1 << 16;

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

/// A sign-in that waits.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) sign_in: Arc<SignIn>,
    /// The user signed in, and it goes before whatever stands there; else it renews what was read.
    pub(super) new: bool,
    /// The generation that it has wherever it is tried to be stored: an answer that was lost is known by it.
    pub(super) generation: u64,
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

    /// A sign-in waits until it is stored, or refused. One that renews `over` takes the place of that one, or of its own earlier try; where
    /// the user signed in meanwhile, that stays.
    pub(super) fn sign_in(&self, partition: Partition, mut pending: Pending, over: Option<&Arc<SignIn>>) {
        let mut waiting = self.waiting();
        match waiting.sign_ins.get(&partition) {
            None => waiting.accounts.push_back(partition),
            Some(_) if pending.new => {}
            // What renews one that was never stored goes where that would have gone.
            Some(older) if over.is_some_and(|over| Arc::ptr_eq(over, &older.sign_in)) => {
                pending.new = older.new;
                pending.generation = older.generation.wrapping_add(1);
            }
            Some(older) if older.is_same_as(&pending) => {}
            Some(_) => return,
        }
        waiting.sign_ins.insert(partition, pending);
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
        self.accounts() > 0
    }

    fn accounts(&self) -> usize {
        self.waiting().accounts.len()
    }

    fn push(&self, token: Token) {
        let mut waiting = self.waiting();
        if waiting.order.len() < MOST && waiting.tokens.insert(token.clone()) {
            waiting.order.push_back(token);
        }
    }

    /// The token whose turn it is; it stays until it is done with.
    fn next_token(&self) -> Option<Token> {
        self.waiting().order.front().cloned()
    }

    fn done_token(&self, token: &Token) {
        let mut waiting = self.waiting();
        waiting.tokens.remove(token);
        if waiting.order.front() == Some(token) {
            waiting.order.pop_front();
        }
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
    pub(super) fn done(&self, partition: &Partition, sign_in: &Arc<SignIn>) {
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

// === impl Pending ===

impl Pending {
    fn is_same_as(&self, other: &Self) -> bool {
        let token = |pending: &Self| pending.sign_in.refresh_token.as_ref().map(|token| token.expose().to_owned());
        token(self) == token(other)
    }

    /// Whether what stands in the store is this one, or what renewed it.
    fn is_ancestor_of(&self, generation: Option<u64>) -> bool {
        generation.is_some_and(|generation| generation.wrapping_sub(self.generation) < DESCENDANTS)
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
                this.bring_waiting(&inner).await;
            }
        });
        let (this, inner, soft) = (Arc::clone(self), Arc::clone(fleet), self.tasks.soft().clone());
        self.tasks.awaited("last push back", async move {
            soft.cancelled().await;
            this.bring_sign_ins(&inner).await;
        });
    }

    /// Brings the sign-ins at the end, until none waits or the process has to end.
    pub(super) async fn bring_sign_ins(&self, fleet: &Fleet) {
        while fleet.queue.has_accounts() {
            self.bring_round(fleet).await;
            if fleet.queue.has_accounts() {
                tokio::time::sleep(SOON).await;
            }
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
            Err(_) => None,
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
        for _ in 0..ATTEMPTS {
            match self.put_sign_in(fleet, partition, sign_in, base, pending.generation).await {
                Kept::Stored => return Some("stored"),
                Kept::SignedOut => {
                    self.memory.remove(partition);
                    return Some("signed_out");
                }
                Kept::Later => return None,
                Kept::Stale => match self.read_signed(fleet, &sign_in.space, partition).await {
                    // The answer was lost, or somebody has renewed it by now.
                    Ok((_, theirs)) if pending.is_ancestor_of(theirs.generation) => return Some("stored"),
                    Ok((_, theirs)) if pending.new => base.generation = theirs.generation,
                    Ok(_) => break,
                    Err(Unavailable::Unreachable) => return None,
                    Err(Unavailable::Unreadable) => break,
                },
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

    use super::{Pending, Queue, Token};
    use crate::secret::Secret;
    use crate::token::{Account, SignIn};

    fn sign_in(token: &str) -> Arc<SignIn> {
        let account = Account {
            home_account_id: "h".to_owned(),
            local_account_id: "l".to_owned(),
            username: None,
            environment: "e".to_owned(),
            tenant_id: None,
        };
        let refresh_token = Some(Secret::new(token));
        Arc::new(SignIn { account, refresh_token, expires_on: 9, space: [0; 32], epoch: None, shared: 0 })
    }

    #[test]
    fn tokens_wait_once_each_and_in_their_order() {
        let queue = Queue::default();
        let token = |asked: &str| Token { partition: [1; 32], variant: [0; 32], asked: asked.into() };
        for asked in ["a", "b", "a"] {
            queue.push(token(asked));
        }
        assert_eq!(queue.len(), 2);
        assert_eq!([queue.next_token(), queue.next_token()], [Some(token("a")), Some(token("a"))]);
        queue.done_token(&token("a"));
        assert_eq!((queue.next_token(), queue.len()), (Some(token("b")), 1));
    }

    #[test]
    fn a_sign_in_waits_until_it_is_done_with_and_its_successor_takes_its_place() {
        let queue = Queue::default();
        let (first, second) = (sign_in("first"), sign_in("second"));
        let pending = |sign_in: &Arc<SignIn>, new| Pending { sign_in: Arc::clone(sign_in), new, generation: 7 };
        queue.sign_in([1; 32], pending(&first, true), None);
        assert_eq!(queue.next_account(), Some([1; 32]));
        assert!(queue.waiting_sign_in(&[1; 32]).is_some_and(|waiting| Arc::ptr_eq(&waiting, &first)));
        // It renews an older one than the one that waits.
        queue.sign_in([1; 32], pending(&sign_in("other"), false), None);
        assert!(queue.waiting_sign_in(&[1; 32]).is_some_and(|waiting| Arc::ptr_eq(&waiting, &first)));
        queue.sign_in([1; 32], pending(&second, false), Some(&first));
        assert!(queue.pending(&[1; 32]).is_some_and(|pending| pending.new && pending.generation == 8));
        queue.done(&[1; 32], &first);
        assert_eq!(queue.len(), 1);
        queue.done(&[1; 32], &second);
        assert_eq!((queue.len(), queue.next_account()), (0, None));
    }
}
