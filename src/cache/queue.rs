//! What waits in memory to be stored in Redis, bounded in bytes.
//!
//! Tokens wait by name: they are looked up in memory when their turn comes, and by then they may be newer, or gone. A sign-in waits
//! in the queue itself: its refresh token may be the only good one. Where there is no room what can be had again is dropped; what
//! cannot has its room before it comes into being.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntCounter;

use crate::telemetry::Metrics;
use crate::token::{CachedToken, Partition, SignIn, SpaceId, Variant};

/// Room for a sign-in that is still to come: a refresh token of 1.5 kB, its account, and the queue's own part, in bytes.
const ROOM: usize = 4 * 1024;
/// What the queue spends on one entry besides, in bytes.
const OVERHEAD: usize = 96;
/// How many generations after its own a sign-in may have been renewed to and still be known.
const DESCENDANTS: u64 = 1 << 16;

/// What has to be stored, each once.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    max: usize,
    dropped_tokens: IntCounter,
    dropped_sign_ins: IntCounter,
    refused: IntCounter,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Arc<Token>>,
    tokens: HashSet<Arc<Token>>,
    /// By their turns; the next one gets the number `turns`.
    accounts: BTreeMap<u64, Partition>,
    turns: u64,
    sign_ins: HashMap<Partition, (u64, Pending)>,
    /// What all of it weighs, in bytes, and the part of it that cannot be had again.
    bytes: usize,
    lasting: usize,
    /// What is kept free for sign-ins that are still to come.
    reserved: usize,
    /// Whether somebody brings the sign-ins at the end.
    ending: bool,
}

/// Where a token is found in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token {
    pub(super) partition: Partition,
    pub(super) variant: Variant,
    pub(super) asked: Box<str>,
}

/// A sign-in that waits.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) sign_in: Arc<SignIn>,
    /// The user signed in, and it goes before whatever stands there; else it renews what was read.
    pub(super) new: bool,
    /// Whether what it renews is as good: then it can be had again.
    pub(super) spare: bool,
    /// The generation that it has wherever it is tried to be stored: an answer that was lost is known by it.
    pub(super) generation: u64,
}

/// Room in the queue for one sign-in, should it have to wait; it is free again when this is dropped.
#[derive(Debug)]
pub struct Room(Option<Arc<Queue>>);

// === impl Queue ===

impl Queue {
    /// A queue of `max` bytes (`limits.queue`).
    pub(super) fn new(max: usize, metrics: &Metrics) -> Arc<Self> {
        let help =
            "What did not wait to be stored in Redis, or no longer, because limits.queue had no room for it; it can be had again.";
        let dropped = metrics.counters("cache_push_back_dropped_total", help, &["kind"]);
        let help = "Codes and refresh tokens that were not sent because limits.queue had no room for what they would have brought.";
        let refused = metrics.counters("cache_push_back_refused_total", help, &[]);
        Arc::new(Self {
            waiting: Mutex::default(),
            max,
            dropped_tokens: dropped.with_label_values(&["token"]),
            dropped_sign_ins: dropped.with_label_values(&["sign_in"]),
            refused: refused.with_label_values(&[] as &[&str]),
        })
    }

    /// Keeps room for a sign-in, before what brings it is sent. `None`: what waits already cannot be had again, and fills the
    /// queue.
    pub(super) fn room(self: &Arc<Self>) -> Option<Room> {
        let mut waiting = self.waiting();
        if waiting.lasting + waiting.reserved + ROOM > self.max {
            self.refused.inc();
            return None;
        }
        waiting.reserved += ROOM;
        Some(Room(Some(Arc::clone(self))))
    }

    pub(super) fn token(&self, partition: Partition, stored: &CachedToken) {
        self.push(Token { partition, variant: stored.facts.variant, asked: stored.facts.asked.clone() });
    }

    /// Whether a token waits: what memory has is newer than what stands in the store.
    pub(super) fn has_token(&self, partition: &Partition, stored: &CachedToken) -> bool {
        let waiting = self.waiting();
        if waiting.tokens.is_empty() {
            return false;
        }
        let (variant, asked) = (stored.facts.variant, stored.facts.asked.clone());
        waiting.tokens.contains(&Token { partition: *partition, variant, asked })
    }

    /// A sign-in waits until it is stored, or refused. One that renews `over` takes the place of that one, or of its own earlier
    /// try; where the user signed in meanwhile, that stays.
    pub(super) fn sign_in(&self, partition: Partition, mut pending: Pending, over: Option<&Arc<SignIn>>) {
        let mut waiting = self.waiting();
        match waiting.sign_ins.get(&partition).map(|(_, older)| older) {
            None => {}
            Some(_) if pending.new => {}
            // What renews one that was never stored goes where that would have gone.
            Some(older) if over.is_some_and(|over| Arc::ptr_eq(over, &older.sign_in)) => {
                pending.new = older.new;
                pending.spare &= older.spare;
                pending.generation = older.generation.wrapping_add(1);
            }
            Some(older) if older.is_same_as(&pending) => {
                pending.new = older.new;
                pending.spare &= older.spare;
            }
            Some(_) => return,
        }
        waiting.charge(&pending);
        let turn = match waiting.sign_ins.get(&partition) {
            Some((turn, _)) => *turn,
            None => waiting.line_up(partition),
        };
        if let Some((_, older)) = waiting.sign_ins.insert(partition, (turn, pending)) {
            waiting.discharge(&older);
        }
        self.make_room(&mut waiting);
    }

    /// Drops what can be had again until the rest fits: tokens first, which cost a call, and then sign-ins whose older state is as
    /// good.
    fn make_room(&self, waiting: &mut Waiting) {
        while waiting.bytes > self.max {
            if let Some(token) = waiting.order.pop_front() {
                waiting.tokens.remove(&token);
                waiting.bytes -= token.weight();
                self.dropped_tokens.inc();
                continue;
            }
            let spare = waiting.sign_ins.iter().find(|(_, (_, pending))| pending.spare).map(|(partition, _)| *partition);
            let Some(partition) = spare else { break };
            waiting.take(&partition);
            self.dropped_sign_ins.inc();
        }
    }

    /// The sign-in of an account that waits.
    pub(super) fn waiting_sign_in(&self, partition: &Partition) -> Option<Arc<SignIn>> {
        self.waiting().sign_ins.get(partition).map(|(_, pending)| Arc::clone(&pending.sign_in))
    }

    /// Whether a sign-in waits that is to be listed among these accounts.
    pub(super) fn has_account_of(&self, space: &SpaceId) -> bool {
        self.waiting().sign_ins.values().any(|(_, pending)| pending.sign_in.space == *space)
    }

    /// A sign-out: nothing of the account may be stored any more.
    pub(super) fn forget(&self, partition: &Partition) -> bool {
        self.waiting().take(partition)
    }

    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting();
        waiting.order.len() + waiting.accounts.len()
    }

    /// What waits weighs so many bytes.
    pub(super) fn bytes(&self) -> usize {
        self.waiting().bytes
    }

    pub(super) fn has_accounts(&self) -> bool {
        self.accounts() > 0
    }

    pub(super) fn accounts(&self) -> usize {
        self.waiting().accounts.len()
    }

    fn push(&self, token: Token) {
        let (mut waiting, weight) = (self.waiting(), token.weight());
        if waiting.tokens.contains(&token) {
            return;
        }
        if waiting.bytes + weight > self.max {
            self.dropped_tokens.inc();
            return;
        }
        let token = Arc::new(token);
        waiting.tokens.insert(Arc::clone(&token));
        waiting.order.push_back(token);
        waiting.bytes += weight;
    }

    /// How many tokens wait.
    pub(super) fn tokens(&self) -> usize {
        self.waiting().order.len()
    }

    /// The tokens whose turn it is, so many at most; they go to the end, because they stay until they are done with.
    pub(super) fn next_tokens(&self, most: usize) -> Vec<Arc<Token>> {
        let mut waiting = self.waiting();
        let most = most.min(waiting.order.len());
        let tokens = waiting.order.iter().take(most).cloned().collect();
        waiting.order.rotate_left(most);
        tokens
    }

    /// A token is stored, or of no use any more.
    pub(super) fn done_token(&self, token: &Arc<Token>) {
        let mut waiting = self.waiting();
        // Near the end of the line, because its turn was a moment ago; unless it was dropped meanwhile.
        let Some(at) = waiting.order.iter().rposition(|waits| Arc::ptr_eq(waits, token)) else { return };
        waiting.order.remove(at);
        waiting.tokens.remove(token);
        waiting.bytes -= token.weight();
    }

    /// The accounts whose turn it is, so many at most; they go to the end, because they stay until they are done with.
    pub(super) fn next_accounts(&self, most: usize) -> Vec<Partition> {
        let mut waiting = self.waiting();
        let next: Vec<(u64, Partition)> = waiting.accounts.iter().take(most).map(|(turn, account)| (*turn, *account)).collect();
        for (turn, account) in &next {
            waiting.accounts.remove(turn);
            let later = waiting.line_up(*account);
            if let Some((turn, _)) = waiting.sign_ins.get_mut(account) {
                *turn = later;
            }
        }
        next.into_iter().map(|(_, account)| account).collect()
    }

    pub(super) fn pending(&self, partition: &Partition) -> Option<Pending> {
        self.waiting().sign_ins.get(partition).map(|(_, pending)| pending.clone())
    }

    /// Notes the generation that a waiting sign-in is tried to be stored with from now on.
    pub(super) fn tried_as(&self, partition: &Partition, sign_in: &Arc<SignIn>, generation: u64) {
        let mut waiting = self.waiting();
        if let Some((_, pending)) = waiting.sign_ins.get_mut(partition)
            && Arc::ptr_eq(&pending.sign_in, sign_in)
        {
            pending.generation = generation;
        }
    }

    /// A sign-in is stored or refused; a newer one of the same account waits on.
    pub(super) fn done(&self, partition: &Partition, sign_in: &Arc<SignIn>) {
        let mut waiting = self.waiting();
        if waiting.sign_ins.get(partition).is_some_and(|(_, pending)| Arc::ptr_eq(&pending.sign_in, sign_in)) {
            waiting.take(partition);
        }
    }

    /// Whether there are sign-ins to bring at the end that nobody else brings.
    pub(super) fn begin_ending(&self) -> bool {
        let mut waiting = self.waiting();
        let begins = !waiting.ending && !waiting.accounts.is_empty();
        waiting.ending |= begins;
        begins
    }

    /// Nobody brings them any more.
    pub(super) fn end_ending(&self) {
        self.waiting().ending = false;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting {
    fn charge(&mut self, pending: &Pending) {
        self.bytes += pending.weight();
        self.lasting += if pending.spare { 0 } else { pending.weight() };
    }

    fn discharge(&mut self, pending: &Pending) {
        self.bytes -= pending.weight();
        self.lasting -= if pending.spare { 0 } else { pending.weight() };
    }

    /// Takes a sign-in out. Returns whether there was one.
    fn take(&mut self, partition: &Partition) -> bool {
        let Some((turn, pending)) = self.sign_ins.remove(partition) else { return false };
        self.discharge(&pending);
        self.accounts.remove(&turn);
        true
    }

    /// Puts an account at the end of the line; returns its turn.
    fn line_up(&mut self, account: Partition) -> u64 {
        let turn = self.turns;
        self.turns += 1;
        self.accounts.insert(turn, account);
        turn
    }
}

// === impl Token ===

impl Token {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.asked.len() + OVERHEAD
    }
}

// === impl Pending ===

impl Pending {
    fn weight(&self) -> usize {
        2 * size_of::<Partition>() + size_of::<Self>() + self.sign_in.weight() + OVERHEAD
    }

    fn is_same_as(&self, other: &Self) -> bool {
        let token = |pending: &Self| pending.sign_in.refresh_token.as_ref().map(|token| token.expose().to_owned());
        token(self) == token(other)
    }

    /// Whether what stands in the store is this one, or what renewed it.
    pub(super) fn is_ancestor_of(&self, generation: Option<u64>) -> bool {
        generation.is_some_and(|generation| generation.wrapping_sub(self.generation) < DESCENDANTS)
    }
}

// === impl Room ===

impl Room {
    /// Where nothing ever waits.
    pub(super) fn unbounded() -> Self {
        Self(None)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.waiting().reserved -= ROOM;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::token::Partition;
    use crate::token::SpaceId;
    use crate::token::Variant;
    use std::sync::Arc;

    use super::{Pending, Queue, ROOM, Token};
    use crate::secret::Secret;
    use crate::telemetry::Metrics;
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
        Arc::new(SignIn {
            account,
            refresh_token,
            expires_on: 9,
            space: SpaceId::new([0; 32]),
            epoch: None,
            lineage: [0; 16],
            more: Default::default(),
            shared: 0,
        })
    }

    fn token(asked: &str) -> Token {
        Token { partition: Partition::new([1; 32]), variant: Variant::new([0; 32]), asked: asked.into() }
    }

    fn pending(sign_in: &Arc<SignIn>, new: bool) -> Pending {
        Pending { sign_in: Arc::clone(sign_in), new, spare: !new, generation: 7 }
    }

    #[test]
    fn tokens_wait_once_each_and_in_their_order() {
        let queue = Queue::new(1 << 20, &Metrics::default());
        for asked in ["a", "b", "a"] {
            queue.push(token(asked));
        }
        assert_eq!(queue.len(), 2);
        let next = |most| queue.next_tokens(most).iter().map(|token| token.asked.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (next(1), next(2), next(9), next(0)),
            (vec!["a".to_owned()], vec!["b".to_owned(), "a".to_owned()], vec!["b".to_owned(), "a".to_owned()], vec![])
        );
        queue.done_token(&queue.next_tokens(1)[0]);
        assert_eq!((next(2), queue.len()), (vec!["a".to_owned()], 1));
        queue.done_token(&queue.next_tokens(1)[0]);
        assert_eq!((queue.len(), queue.bytes(), next(2)), (0, 0, vec![]));
    }

    #[test]
    fn accounts_have_their_turns_one_after_the_other() {
        let queue = Queue::new(1 << 20, &Metrics::default());
        for number in 1..=3 {
            queue.sign_in(Partition::new([number; 32]), pending(&sign_in("first"), true), None);
        }
        assert_eq!(queue.next_accounts(2), [1, 2].map(|n| Partition::new([n; 32])));
        // Another sign-in of the same account has that one's turn.
        queue.sign_in(Partition::new([3; 32]), pending(&sign_in("second"), true), None);
        assert_eq!(queue.next_accounts(2), [3, 1].map(|n| Partition::new([n; 32])));
        assert!(queue.forget(&Partition::new([2; 32])));
        assert_eq!((queue.next_accounts(9), queue.accounts()), ([3, 1].map(|n| Partition::new([n; 32])).to_vec(), 2));
        assert!(queue.has_account_of(&SpaceId::new([0; 32])) && !queue.has_account_of(&SpaceId::new([1; 32])));
    }

    #[test]
    fn a_sign_in_waits_until_it_is_done_with_and_its_successor_takes_its_place() {
        let queue = Queue::new(1 << 20, &Metrics::default());
        let (first, second) = (sign_in("first"), sign_in("second"));
        queue.sign_in(Partition::new([1; 32]), pending(&first, true), None);
        assert_eq!(queue.next_accounts(1), [Partition::new([1; 32])]);
        assert!(queue.waiting_sign_in(&Partition::new([1; 32])).is_some_and(|waiting| Arc::ptr_eq(&waiting, &first)));
        // It renews an older one than the one that waits.
        queue.sign_in(Partition::new([1; 32]), pending(&sign_in("other"), false), None);
        assert!(queue.waiting_sign_in(&Partition::new([1; 32])).is_some_and(|waiting| Arc::ptr_eq(&waiting, &first)));
        queue.sign_in(Partition::new([1; 32]), pending(&second, false), Some(&first));
        assert!(
            queue.pending(&Partition::new([1; 32])).is_some_and(|pending| pending.new && !pending.spare && pending.generation == 8)
        );
        // Its own second try.
        queue.sign_in(Partition::new([1; 32]), pending(&sign_in("second"), false), Some(&first));
        assert!(queue.pending(&Partition::new([1; 32])).is_some_and(|pending| pending.new && !pending.spare));
        queue.done(&Partition::new([1; 32]), &first);
        assert_eq!(queue.len(), 1);
        assert!(queue.forget(&Partition::new([1; 32])));
        assert_eq!((queue.len(), queue.next_accounts(1), queue.bytes()), (0, vec![], 0));
    }

    #[test]
    fn what_can_be_had_again_goes_first_and_what_cannot_has_its_room_beforehand() {
        let metrics = Metrics::default();
        let queue = Queue::new(4 * ROOM, &metrics);
        let count = |sample: &str| {
            let text = String::from_utf8(metrics.render()).unwrap();
            text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse::<usize>().ok()).unwrap_or_default()
        };
        let dropped = |kind: &str| count(&format!("tokend_cache_push_back_dropped_total{{kind=\"{kind}\"}}"));
        let mut tokens = 0;
        while dropped("token") == 0 {
            queue.push(token(&format!("token {tokens}")));
            tokens += 1;
        }
        assert!(queue.bytes() <= 4 * ROOM && queue.len() == tokens - 1, "a token that finds no room is dropped");
        // Room is kept whatever tokens wait.
        let rooms: Vec<_> = std::iter::from_fn(|| queue.room()).collect();
        assert_eq!((rooms.len(), count("tokend_cache_push_back_refused_total")), (4, 1));
        let large = "x".repeat(ROOM - 1024);
        for number in 0..4 {
            queue.sign_in(Partition::new([number; 32]), pending(&sign_in(&format!("{number} {large}")), number > 0), None);
        }
        drop(rooms);
        assert_eq!((dropped("token") > 1, dropped("sign_in")), (true, 0));
        assert!(queue.bytes() <= 4 * ROOM);
        // Only one of these may go; and room is kept for one more, not for two.
        let room = queue.room().unwrap();
        assert!(queue.room().is_none());
        queue.sign_in(Partition::new([9; 32]), pending(&sign_in(&format!("9 {large}{large}")), true), None);
        drop(room);
        assert_eq!((dropped("sign_in"), queue.pending(&Partition::new([0; 32])).is_none()), (1, true));
        assert!((1..4).chain([9]).all(|number| queue.pending(&Partition::new([number; 32])).is_some()));
        assert!(queue.room().is_none());
    }
}
