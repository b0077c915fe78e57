//! What a failure stops, and for how long (contract, cache point 11): a throttled app, one partition, one request, or a credential.

use std::sync::Arc;
use std::time::Duration;

use super::refusal::{Kind, Refusal};
use crate::authority::{Failure, Hold, Holds, Stops};
use crate::cache::Key;
use crate::clock::{Clock, Moment};
use crate::oauth::ErrorBody;
use crate::token::{Retry, Turn};

/// For a 429 that names no time.
const UNNAMED_PAUSE: Duration = Duration::from_secs(5);
/// For a refused grant.
const REFUSED: Duration = Duration::from_secs(5);
/// For a refused credential; a new one is tried at once.
const CREDENTIAL: Duration = Duration::from_secs(60);
/// The first and the longest pause of a partition whose calls fail.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Remembered refusals.
pub(super) type Remembered = Holds<Arc<Refusal>>;

/// Everything that a failure of one request may stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pause: Key,
    partition: Key,
    request: Key,
    credential: Key,
}

/// What a request is, as far as holds go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) authority: &'a str,
    pub(super) client_id: &'a str,
    pub(super) app: &'a str,
    pub(super) credential_version: u64,
    /// What backs off together: a partition, or the part of it that concerns one inbound token.
    pub(super) lane: &'a [u8; 32],
    pub(super) variant: &'a [u8; 32],
    pub(super) asked: &'a str,
    pub(super) challenge: u64,
}

/// Which hold a failure makes, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    key: Key,
    stops: Stops,
    /// Where what was said to one user is remembered for that user, if `key` concerns others too.
    own: Option<Key>,
    pub(super) until: Moment,
    failures: u32,
    /// Whether it concerns every request of the app, and not one partition or request.
    pub(super) concerns_app: bool,
}

// === impl Keys ===

impl Keys {
    pub(super) fn of(subject: &Subject<'_>) -> Self {
        let app = [subject.authority.as_bytes(), subject.client_id.as_bytes()];
        let version = subject.credential_version.to_be_bytes();
        let challenge = subject.challenge.to_be_bytes();
        Self {
            pause: Key::of(&[b"pause", app[0], app[1], subject.asked.as_bytes()]),
            partition: Key::of(&[b"partition", subject.lane]),
            // By app, because a locally unusable credential is one app's own.
            request: Key::of(&[
                b"request",
                subject.app.as_bytes(),
                subject.lane,
                subject.variant,
                subject.asked.as_bytes(),
                &challenge,
            ]),
            // By app, because another app of the same client has a credential of its own; and by version: a new credential is not
            // stopped by what was said of the old one.
            credential: Key::of(&[b"credential", subject.app.as_bytes(), &version]),
        }
    }

    /// The refusal that stands for this request now.
    pub(super) fn standing(&self, remembered: &Remembered, now: Moment) -> Option<Arc<Refusal>> {
        self.all().iter().find_map(|(key, _)| remembered.standing(&key.0, now)).map(|hold| hold.failure)
    }

    /// All of them; what was said to this very request comes before what others were told, because it says most.
    pub(super) fn all(&self) -> [(Key, Stops); 4] {
        [
            (self.credential, Stops::Credential),
            (self.request, Stops::Request),
            (self.pause, Stops::Pause),
            (self.partition, Stops::Partition),
        ]
    }

    /// The refusal that stands for every request of this app and these scopes now.
    pub(super) fn standing_for_app(&self, remembered: &Remembered, now: Moment) -> Option<Arc<Refusal>> {
        [self.credential, self.pause].iter().find_map(|key| remembered.standing(&key.0, now)).map(|hold| hold.failure)
    }

    /// What a failure stops, if anything.
    pub(super) fn stop(&self, failure: &Failure, remembered: &Remembered, clock: &Clock, jitter: f64) -> Option<Stop> {
        // Zero would stop nothing: a second keeps a broken server from being hammered.
        let asked = failure.retry_after().map(|pause| pause.max(Duration::from_secs(1)));
        let (key, stops, pause) = match (failure, asked) {
            (_, Some(pause)) => (self.pause, Stops::Pause, pause),
            (Failure::Throttled { .. }, None) => (self.pause, Stops::Pause, UNNAMED_PAUSE),
            (Failure::Refused { status, body, .. }, None) if concerns_credential(*status, &body.error) => {
                (self.credential, Stops::Credential, CREDENTIAL)
            }
            // Garbage says nothing of other requests.
            (Failure::Refused { .. } | Failure::Invalid(_), None) => (self.request, Stops::Request, REFUSED),
            (Failure::Unavailable { .. } | Failure::NotSent | Failure::Broken | Failure::TimedOut, None) => {
                (self.partition, Stops::Partition, backoff(remembered.failures(&self.partition.0), jitter))
            }
            // It was not the authority's doing, and the next turn may come at once.
            (Failure::Busy, _) => return None,
        };
        Some(Stop {
            key,
            stops,
            own: (stops == Stops::Pause && matches!(failure, Failure::Refused { .. })).then_some(self.request),
            until: clock.moment().after(pause),
            failures: remembered.failures(&key.0).saturating_add(1),
            concerns_app: matches!(stops, Stops::Pause | Stops::Credential),
        })
    }

    /// A failure before the authority was asked: this request alone waits.
    pub(super) fn stop_request(&self, clock: &Clock) -> Stop {
        let until = clock.moment().after(REFUSED);
        Stop { key: self.request, stops: Stops::Request, own: None, until, failures: 1, concerns_app: false }
    }

    /// Holds this request alone, here alone.
    pub(super) fn hold_request(&self, remembered: &Remembered, until: Moment, refusal: &Arc<Refusal>) {
        remembered.hold(self.request.0, Hold { until, failures: 1, failure: Arc::clone(refusal), stops: Stops::Request });
    }

    /// A success clears its partition and its request (ERR-8). Returns those of which something was remembered.
    pub(super) fn clear(&self, remembered: &Remembered) -> Vec<[u8; 32]> {
        let keys = [self.partition.0, self.request.0].into_iter().filter(|key| remembered.failures(key) > 0);
        keys.inspect(|key| remembered.clear(key)).collect()
    }
}

// === impl Stop ===

impl Stop {
    /// Remembers a refusal, and returns under which keys and as what. What concerns everybody is told without what the authority said
    /// to one: that may name the user.
    pub(super) fn remember(self, remembered: &Remembered, refusal: &Arc<Refusal>) -> Vec<(Key, Arc<Refusal>)> {
        let told = if self.concerns_app { Arc::new(self.for_everybody(refusal)) } else { Arc::clone(refusal) };
        let own = self.own.map(|own| (own, Stops::Request, Arc::clone(refusal)));
        let all = own.into_iter().chain([(self.key, self.stops, told)]);
        all.map(|(key, stops, said)| {
            remembered.hold(key.0, Hold { until: self.until, failures: self.failures, failure: Arc::clone(&said), stops });
            (key, said)
        })
        .collect()
    }

    fn for_everybody(self, refusal: &Refusal) -> Refusal {
        let said = |turn, kind, detail: &str| Refusal::new(turn, kind, detail).retrying(Retry::At(self.until));
        match refusal.turn {
            Turn::Unavailable => {
                said(refusal.turn, refusal.kind, "the authority asked for a pause: wait as long as Retry-After says")
            }
            // A refused credential: its `error` says so, and nothing else of the answer is needed.
            Turn::Operator => {
                let error = refusal.answer.as_ref().map(|answer| answer.error.clone()).unwrap_or_default();
                let answer = Some(Box::new(ErrorBody { error, ..ErrorBody::default() }));
                Refusal { answer, ..Refusal::new(refusal.turn, refusal.kind, refusal.detail.clone()) }.retrying(refusal.retry)
            }
            _ => said(Turn::Throttled, Kind::Throttled, "the authority asked for a pause: wait as long as Retry-After says"),
        }
    }
}

/// Whether the client itself was refused. Keycloak says `invalid_client` with 400 of an unknown audience, and `unauthorized_client`
/// with 401 of a wrong secret: the status tells the two apart (RFC 6749 §5.2).
pub(super) fn concerns_credential(status: u16, error: &str) -> bool {
    status == 401 && matches!(error, "invalid_client" | "unauthorized_client")
}

fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF * 2_u32.saturating_pow(failures.min(10));
    doubled.min(LONGEST_BACKOFF).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}
