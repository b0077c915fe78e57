//! How a refusal travels to the other replicas, so that one call's failure is told to all who waited for it, and holds for all.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, RefusalKind};
use crate::authority::Stops;
use crate::clock::Moment;
use crate::oauth::ErrorBody;
use crate::token::{Retry, Turn};

/// A refusal without what means something in one process only: kinds are written by name, moments as what is left until then.
#[derive(Serialize, Deserialize)]
struct Written {
    turn: Turn,
    kind: String,
    detail: String,
    retry: When,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Box<ErrorBody>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization_uri: Option<String>,
}

/// A refusal as it is remembered: with what it stops, which its key must agree with, and its own name.
#[derive(Serialize, Deserialize)]
struct Remembered {
    stops: String,
    record: u64,
    said: Written,
}

#[derive(Serialize, Deserialize)]
enum When {
    Never,
    In { millis: u64 },
    Backoff,
}

// === impl Written ===

impl Written {
    fn of(refusal: &Refusal, now: Moment) -> Option<Self> {
        (!refusal.local).then(|| Self {
            turn: refusal.turn,
            kind: refusal.kind.as_str().to_owned(),
            detail: refusal.detail.clone(),
            retry: match refusal.retry {
                Retry::Never => When::Never,
                Retry::Backoff => When::Backoff,
                Retry::At(at) => When::In { millis: u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX) },
            },
            answer: refusal.answer.clone(),
            authorization_uri: refusal.authorization_uri.clone(),
        })
    }

    fn refusal(self, now: Moment) -> Option<Arc<Refusal>> {
        let retry = match self.retry {
            When::Never => Retry::Never,
            When::Backoff => Retry::Backoff,
            When::In { millis } => Retry::At(now.after(Duration::from_millis(millis))),
        };
        let refusal = Refusal::new(self.turn, Refusal::kind_of(&self.kind)?, self.detail).retrying(retry);
        Some(Arc::new(Refusal { answer: self.answer, authorization_uri: self.authorization_uri, ..refusal }))
    }
}

/// Writes one; `None` if it concerns this replica alone.
pub(super) fn write(refusal: &Arc<Refusal>, now: Moment) -> Option<Vec<u8>> {
    serde_json::to_vec(&Written::of(refusal, now)?).ok()
}

/// Reads one; `None` if it is none, or of a kind that only a newer release knows.
pub(super) fn read(text: &[u8], now: Moment) -> Option<Arc<Refusal>> {
    serde_json::from_slice::<Written>(text).ok()?.refusal(now)
}

/// What is said where another replica asks the authority, and neither ends nor leaves the asking to others.
pub(super) fn late() -> Arc<Refusal> {
    let detail = "another replica asks the authority for the same, and did not come to an end in time: try again";
    Arc::new(Refusal::new(Turn::OutOfTime, RefusalKind::AuthorityTimeout, detail).retrying(Retry::Backoff).local())
}

/// Writes one that is remembered, as [`write`] does.
pub(super) fn write_hold(stops: Stops, record: u64, refusal: &Refusal, now: Moment) -> Option<Vec<u8>> {
    let said = Written::of(refusal, now)?;
    serde_json::to_vec(&Remembered { stops: stops.as_str().to_owned(), record, said }).ok()
}

/// Reads one that is remembered, and its name; `None` as for [`read`], or if it stops something else.
pub(super) fn read_hold(text: &[u8], stops: Stops, now: Moment) -> Option<(u64, Arc<Refusal>)> {
    let remembered: Remembered = serde_json::from_slice(text).ok()?;
    (remembered.stops == stops.as_str()).then_some(())?;
    Some((remembered.record, remembered.said.refusal(now)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{read, read_hold, write, write_hold};
    use crate::authority::Stops;
    use crate::clock::Clock;
    use crate::flow::{Refusal, RefusalKind};
    use crate::oauth::ErrorBody;
    use crate::token::{Retry, Turn};

    #[test]
    fn a_refusal_comes_back_as_it_was_and_its_time_is_what_is_left() {
        let (here, there) = (Clock::manual(1000), Clock::manual(5));
        let answer = ErrorBody { error: "interaction_required".to_owned(), claims: Some("{}".to_owned()), ..ErrorBody::default() };
        let until = here.moment().after(Duration::from_secs(30));
        let refusal = Refusal {
            answer: Some(Box::new(answer.clone())),
            authorization_uri: Some("https://a".to_owned()),
            ..Refusal::new(Turn::User, RefusalKind::Refused, "sign in").retrying(Retry::At(until))
        };
        let read = read(&write(&Arc::new(refusal), here.moment()).unwrap(), there.moment()).unwrap();
        assert_eq!((read.turn, read.kind, read.detail.as_str()), (Turn::User, RefusalKind::Refused, "sign in"));
        assert_eq!(read.answer.as_deref(), Some(&answer));
        assert_eq!(read.retry, Retry::At(there.moment().after(Duration::from_secs(30))));
    }

    #[test]
    fn what_one_replica_suffers_from_is_told_to_nobody() {
        let own = Arc::new(Refusal::new(Turn::Operator, RefusalKind::CredentialUnusable, "").local());
        assert!(write(&own, Clock::manual(0).moment()).is_none());
    }

    #[test]
    fn what_is_not_known_is_no_refusal() {
        assert!(read(b"{}", Clock::manual(0).moment()).is_none());
        let strange = br#"{"turn":"User","kind":"of_tomorrow","detail":"","retry":"Never"}"#;
        assert!(read(strange, Clock::manual(0).moment()).is_none());
    }

    #[test]
    fn a_remembered_refusal_stops_what_it_says_and_nothing_else() {
        let now = Clock::manual(0).moment();
        let refusal = Refusal::new(Turn::User, RefusalKind::Refused, "sign in");
        let written = write_hold(Stops::Request, 7, &refusal, now).unwrap();
        let (record, read) = read_hold(&written, Stops::Request, now).unwrap();
        assert_eq!((record, read.kind), (7, RefusalKind::Refused));
        assert!(read_hold(&written, Stops::Credential, now).is_none());
        assert!(read_hold(&write(&Arc::new(refusal), now).unwrap(), Stops::Request, now).is_none());
    }
}
