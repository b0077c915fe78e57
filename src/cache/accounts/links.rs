//! Where else an account has tokens or sessions, as far as this process has them in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::token::Partition;

/// How long a token may be on its way into memory.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// The partitions that have something of an account, by its own.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<Partition, HashMap<Partition, Moment>>>);

// === impl Links ===

impl Links {
    /// A token or a session comes into a partition.
    pub(super) fn add(&self, home: Partition, partition: Partition, now: Moment) {
        self.links().entry(home).or_default().insert(partition, now);
    }

    /// The partitions that have something of an account.
    pub(super) fn of(&self, home: &Partition) -> Vec<Partition> {
        self.links().get(home).into_iter().flat_map(HashMap::keys).copied().collect()
    }

    /// There is nothing of it in a partition any more.
    pub(super) fn remove(&self, home: &Partition, partition: &Partition) {
        let mut links = self.links();
        if let Some(partitions) = links.get_mut(home) {
            partitions.remove(partition);
            if partitions.is_empty() {
                links.remove(home);
            }
        }
    }

    /// Takes the partitions that have something of an account.
    pub(super) fn take(&self, home: &Partition) -> Vec<Partition> {
        self.links().remove(home).into_iter().flat_map(HashMap::into_keys).collect()
    }

    /// Forgets what is in memory no more. What came a moment ago may be on its way there.
    pub(super) fn sweep(&self, now: Moment, is_there: impl Fn(&Partition) -> bool) {
        self.links().retain(|_, partitions| {
            partitions.retain(|partition, since| now.since(*since) < ON_ITS_WAY || is_there(partition));
            !partitions.is_empty()
        });
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Partition, HashMap<Partition, Moment>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::token::Partition;
    use std::time::Duration;

    use super::Links;
    use crate::clock::Clock;

    #[test]
    fn a_link_lasts_as_long_as_what_it_leads_to() {
        let (links, clock) = (Links::default(), Clock::manual(0));
        links.add(Partition::new([1; 32]), Partition::new([2; 32]), clock.moment());
        links.add(Partition::new([1; 32]), Partition::new([3; 32]), clock.moment());
        links.sweep(clock.moment(), |_| false);
        clock.advance(Duration::from_secs(120));
        links.sweep(clock.moment(), |partition| *partition == Partition::new([3; 32]));
        assert_eq!(links.of(&Partition::new([1; 32])), [Partition::new([3; 32])]);
        assert_eq!(
            (links.take(&Partition::new([1; 32])), links.take(&Partition::new([1; 32]))),
            (vec![Partition::new([3; 32])], vec![])
        );
    }

    #[test]
    fn what_has_ended_is_linked_no_more() {
        let (links, clock) = (Links::default(), Clock::manual(0));
        let home = Partition::new([1; 32]);
        for number in [2, 3] {
            links.add(home, Partition::new([number; 32]), clock.moment());
        }
        links.remove(&home, &Partition::new([2; 32]));
        links.remove(&Partition::new([9; 32]), &Partition::new([2; 32]));
        assert_eq!(links.of(&home), [Partition::new([3; 32])]);
        links.remove(&home, &Partition::new([3; 32]));
        assert!(links.links().is_empty());
    }
}
