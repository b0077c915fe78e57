//! What is remembered of failures, so that a failing authority is not asked again before it makes sense (contract, cache point 11).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::clock::Moment;
use crate::token::HoldKey;

/// The longest pause that an authority can ask for (ERR-3).
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a failure that is over still counts when the next one comes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What a failure weighs besides what it says, in bytes: its key twice, itself, and its place in the queue.
const OVERHEAD: usize = 256;

/// Failures by the hash of what they concern. Each kind has room of its own, so that many failures of single requests never push
/// out a refusal of the credential.
pub struct Holds<E> {
    held: [Cache<HoldKey, Hold<E>, WeighHold<E>>; Stops::ALL.len()],
}

/// A failure and until when it stands for further requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold<E> {
    /// Until when.
    pub until: Moment,
    /// How many in a row, for growing pauses.
    pub failures: u32,
    /// What those who ask meanwhile are told.
    pub failure: E,
    /// What it stops.
    pub stops: Stops,
    /// Names the record that replicas share of it; zero if there is none. A record that was heeded once is not heeded again.
    pub record: u64,
    /// Whose request it was that failed: an app's name.
    pub app: Arc<str>,
}

/// A failure that stands, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingHold {
    /// What it stops.
    pub stops: Stops,
    /// Until when.
    pub until: Moment,
    /// Whose request it was that failed: an app's name.
    pub app: Arc<str>,
}

/// What a failure stops, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stops {
    /// An app: its credential was refused for good.
    Credential,
    /// An app in one tenant: its credential was refused there.
    Tenant,
    /// One grant type of an app in one tenant: the app may not use it.
    Grant,
    /// One request: its grant was refused.
    Request,
    /// All requests of a client for some scopes in one tenant: the authority asked for it.
    Pause,
    /// One partition, or the part of it that concerns one inbound token or the scopes of an app token: calls fail.
    Partition,
}

/// What a failure weighs.
#[derive(Clone)]
struct WeighHold<E>(fn(&E) -> usize);

impl<E> Weighter<HoldKey, Hold<E>> for WeighHold<E> {
    fn weight(&self, _: &HoldKey, hold: &Hold<E>) -> u64 {
        u64::try_from(OVERHEAD + (self.0)(&hold.failure)).unwrap_or(u64::MAX)
    }
}

// === impl Stops ===

impl Stops {
    /// Every value, in the order of their declaration.
    pub const ALL: [Self; 6] = [Self::Credential, Self::Tenant, Self::Grant, Self::Request, Self::Pause, Self::Partition];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Tenant => "tenant",
            Self::Grant => "grant",
            Self::Request => "request",
            Self::Pause => "pause",
            Self::Partition => "partition",
        }
    }

    /// How long such a failure may stand in replicas that did not meet it themselves, whatever its record says.
    pub fn longest(self) -> Duration {
        match self {
            Self::Credential | Self::Tenant | Self::Grant => Duration::from_secs(60),
            Self::Request => Duration::from_secs(5),
            Self::Pause => LONGEST,
            Self::Partition => Duration::from_secs(36),
        }
    }

    /// The most bytes of such failures that are remembered. Beyond them old ones are forgotten, which costs a call and nothing
    /// else.
    fn room(self) -> u64 {
        match self {
            Self::Credential | Self::Tenant | Self::Grant => 256 * 1024,
            Self::Pause | Self::Partition => 1024 * 1024,
            Self::Request => 2048 * 1024,
        }
    }
}

// === impl Holds ===

impl<E: Clone> Holds<E> {
    /// Remembers nothing yet. `weigh` says how many bytes a failure keeps in memory.
    pub fn new(weigh: fn(&E) -> usize) -> Self {
        Self { held: Stops::ALL.map(|stops| bounded(stops.room(), weigh)) }
    }

    fn of(&self, stops: Stops) -> &Cache<HoldKey, Hold<E>, WeighHold<E>> {
        let [credential, tenant, grant, request, pause, partition] = &self.held;
        match stops {
            Stops::Credential => credential,
            Stops::Tenant => tenant,
            Stops::Grant => grant,
            Stops::Request => request,
            Stops::Pause => pause,
            Stops::Partition => partition,
        }
    }

    /// The failure that stands for this key now; one whose time is over counts no more (ERR-8).
    pub fn standing(&self, stops: Stops, key: &HoldKey, now: Moment) -> Option<Hold<E>> {
        self.of(stops).get(key).filter(|hold| now < hold.until)
    }

    /// How many failures in a row there were for this key, also when the pause of the last one has been over for a minute at most.
    pub fn failures(&self, stops: Stops, key: &HoldKey, now: Moment) -> u32 {
        self.of(stops).peek(key).filter(|hold| now < hold.until.after(FORGOTTEN)).map_or(0, |hold| hold.failures)
    }

    /// Whether this record was heeded before.
    pub fn was_heeded(&self, stops: Stops, key: &HoldKey, record: u64) -> bool {
        record != 0 && self.of(stops).peek(key).is_some_and(|hold| hold.record == record)
    }

    /// Remembers a failure.
    pub fn hold(&self, key: HoldKey, hold: Hold<E>) {
        self.of(hold.stops).insert(key, hold);
    }

    /// Those that stand now, in no order.
    pub fn all_standing(&self, now: Moment) -> impl Iterator<Item = StandingHold> {
        let standing = self.held.iter().flat_map(Cache::iter).filter(move |(_, hold)| now < hold.until);
        standing.map(|(_, Hold { stops, until, app, .. })| StandingHold { stops, until, app })
    }

    /// Forgets: a success clears its key (ERR-8).
    pub fn clear(&self, stops: Stops, key: &HoldKey) {
        self.of(stops).remove(key);
    }

    /// Forgets a failure when it has been over for so long that it does not count any more when the next one comes. One with a
    /// record is remembered for longer, because the record may stay in the store for longer than it should.
    pub fn sweep(&self, now: Moment) {
        for held in &self.held {
            held.retain(|_, hold| now < hold.until.after(if hold.record == 0 { FORGOTTEN } else { LONGEST }));
        }
    }
}

fn bounded<E: Clone>(bytes: u64, weigh: fn(&E) -> usize) -> Cache<HoldKey, Hold<E>, WeighHold<E>> {
    // The heaviest failure has to fit into a shard several times.
    let shards = usize::try_from(bytes / (256 * 1024)).unwrap_or(1).clamp(1, 8);
    let items = usize::try_from(bytes / 512).unwrap_or(usize::MAX);
    match OptionsBuilder::new().estimated_items_capacity(items).weight_capacity(bytes).shards(shards).build() {
        Ok(options) => Cache::with_options(options, WeighHold(weigh), DefaultHashBuilder::default(), DefaultLifecycle::default()),
        Err(_) => Cache::with_weighter(items, bytes, WeighHold(weigh)),
    }
}

impl<E> fmt::Debug for Holds<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holds").finish_non_exhaustive()
    }
}

/// Reads `Retry-After` (RFC 9110 §10.2.3): seconds or a date, capped at an hour. `None`: it is neither, or negative.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More digits than fit are still «long».
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Hold, HoldKey, Holds, StandingHold, Stops, retry_after};
    use crate::clock::{Clock, Moment};

    #[test]
    fn err_3_retry_after_comes_as_seconds_or_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("7200", now), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("-5", now), None);
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("", now), None);
    }

    fn hold(until: Moment, stops: Stops, record: u64) -> Hold<&'static str> {
        Hold { until, failures: 1, failure: "no", stops, record, app: "app".into() }
    }

    #[test]
    fn err_8_a_hold_ends_by_time_or_by_success() {
        let (clock, holds) = (Clock::manual(0), Holds::new(|_| 0));
        holds.hold(HoldKey::new([1; 32]), hold(clock.moment().after(Duration::from_secs(5)), Stops::Pause, 0));
        let standing = |key: u8| holds.standing(Stops::Pause, &HoldKey::new([key; 32]), clock.moment()).is_some();
        assert_eq!((standing(1), standing(2)), (true, false));
        assert!(holds.standing(Stops::Request, &HoldKey::new([1; 32]), clock.moment()).is_none());
        let until = clock.moment().after(Duration::from_secs(5));
        let told = StandingHold { stops: Stops::Pause, until, app: "app".into() };
        assert_eq!(holds.all_standing(clock.moment()).collect::<Vec<_>>(), [told]);
        clock.advance(Duration::from_secs(5));
        assert!(!standing(1));
        assert_eq!(
            (holds.failures(Stops::Pause, &HoldKey::new([1; 32]), clock.moment()), holds.all_standing(clock.moment()).count()),
            (1, 0)
        );
        holds.clear(Stops::Pause, &HoldKey::new([1; 32]));
        assert_eq!(holds.failures(Stops::Pause, &HoldKey::new([1; 32]), clock.moment()), 0);
    }

    #[test]
    fn many_failures_of_one_kind_push_out_none_of_another() {
        let (clock, holds) = (Clock::manual(0), Holds::new(|_| 4096));
        let until = clock.moment().after(Duration::from_secs(60));
        for stops in [Stops::Credential, Stops::Tenant, Stops::Grant] {
            holds.hold(HoldKey::new([1; 32]), hold(until, stops, 0));
        }
        for index in 0..20_000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&index.to_le_bytes());
            let key = HoldKey::new(bytes);
            for stops in [Stops::Request, Stops::Pause, Stops::Partition] {
                holds.hold(key, hold(until, stops, 0));
                assert!(holds.standing(stops, &key, clock.moment()).is_some(), "{stops:?} {index} is taken in");
            }
        }
        for stops in [Stops::Credential, Stops::Tenant, Stops::Grant] {
            assert!(holds.standing(stops, &HoldKey::new([1; 32]), clock.moment()).is_some(), "{stops:?}");
        }
        // And what is remembered is bounded in bytes.
        assert!(holds.all_standing(clock.moment()).count() <= 4 * 1024 * 1024 / 4096 + 3);
    }

    #[test]
    fn a_record_that_was_heeded_is_known_for_as_long_as_any_hold_may_last() {
        let (clock, holds) = (Clock::manual(0), Holds::new(|_| 0));
        holds.hold(HoldKey::new([1; 32]), hold(clock.moment().after(Duration::from_secs(5)), Stops::Request, 7));
        holds.hold(HoldKey::new([2; 32]), hold(clock.moment().after(Duration::from_secs(5)), Stops::Request, 0));
        clock.advance(Duration::from_secs(3600));
        holds.sweep(clock.moment());
        assert!(holds.was_heeded(Stops::Request, &HoldKey::new([1; 32]), 7));
        assert!(!holds.was_heeded(Stops::Request, &HoldKey::new([1; 32]), 8));
        assert!(!holds.was_heeded(Stops::Request, &HoldKey::new([2; 32]), 0));
        assert_eq!(holds.failures(Stops::Request, &HoldKey::new([1; 32]), clock.moment()), 0, "it says nothing of the next one");
        clock.advance(Duration::from_secs(10));
        holds.sweep(clock.moment());
        assert!(!holds.was_heeded(Stops::Request, &HoldKey::new([1; 32]), 7));
    }
}
