//! How a device code stands that is polled: when it was polled last, how long the next poll has to wait, and what came of it. All
//! replicas read and write it, under the turn of the code.

use serde::{Deserialize, Serialize};

use super::code::DeviceCodeRecord;
use crate::cache::{Freshness, NotedThing, judge};
use crate::flow::issue::Redeemed;
use crate::flow::refusal::RefusalKind;
use crate::token::AnswerHead;

/// What every "slow down" adds to the interval, in seconds (RFC 8628 §3.5).
pub(super) const SLOWER: u32 = 5;
/// How much earlier than the interval says a poll may come, in milliseconds: requests do not all take as long.
const EARLIER: i64 = 1000;
/// The interval that polls of our clients that come too early lead to at most, in seconds: two who poll the same code in turns must
/// not keep each other from it for good.
const SLOWEST: u32 = 60;

/// How a device code stands.
// No `Debug`: it may have a token. Its members and their order stand in notes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceStanding {
    /// Which code it is about: what lies under another's name says nothing.
    pub(super) id: [u8; 16],
    /// When the authority was asked last, in milliseconds since the Unix epoch.
    pub(super) called: i64,
    /// How many seconds the next poll has to come after that.
    pub(super) interval: u32,
    pub(super) came: PollCame,
}

/// What came of polls so far.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PollCame {
    /// The user has not come to an end.
    Pending,
    /// Somebody was told to slow down.
    Slowed,
    /// The code was over.
    Expired,
    /// The user said no.
    Denied,
    /// It became this account's token, whose sign-in is of this lineage; `renews`: something renews its tokens.
    Account { home_account_id: String, lineage: [u8; 16], renews: bool, answer: KeptAnswer },
    /// It became a token of which nothing says whose it is.
    Token(KeptAnswer),
}

/// An answer as it was written, for whoever polls again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptAnswer {
    text: Vec<u8>,
    /// Where the token stands in it.
    from: u32,
    to: u32,
    received_on: i64,
    expires_on: Option<i64>,
}

// === impl DeviceStanding ===

impl DeviceStanding {
    /// How a code stands that nobody has polled yet.
    pub(super) fn new(code: &DeviceCodeRecord) -> Self {
        // Its first poll may come at once.
        Self { id: code.id, called: i64::MIN, interval: code.interval, came: PollCame::Pending }
    }

    /// As it was noted of a code. `None`: another release has noted it, or it is about another code.
    pub(super) fn read(noted: &NotedThing, code: &DeviceCodeRecord) -> Option<Self> {
        postcard::from_bytes(&noted.said).ok().filter(|standing: &Self| standing.id == code.id)
    }

    /// As it is noted.
    pub(super) fn written(&self) -> Vec<u8> {
        // Numbers and bytes always can be.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Whether a poll at this time comes too early.
    pub(super) fn is_too_early(&self, now: i64) -> bool {
        let least = i64::from(self.interval).saturating_mul(1000).saturating_sub(EARLIER);
        now.saturating_sub(self.called) < least
    }

    /// After a poll that came too early.
    pub(super) fn slowed(&self) -> Self {
        let interval = self.interval.max(self.interval.saturating_add(SLOWER).min(SLOWEST));
        Self { interval, came: PollCame::Slowed, ..self.clone() }
    }

    /// After a call at this time of which this came. An authority that says "slow down" is heeded however often it does.
    pub(super) fn polled(&self, called: i64, came: PollCame) -> Self {
        let more = if came == PollCame::Slowed { SLOWER } else { 0 };
        Self { id: self.id, called, interval: self.interval.saturating_add(more), came }
    }
}

// === impl PollCame ===

impl PollCame {
    /// What came of a code that was redeemed at this time, in seconds since the Unix epoch.
    pub(super) fn of(redeemed: &Redeemed, now: i64) -> Self {
        let answer = KeptAnswer::of(&redeemed.head, now);
        match &redeemed.account {
            Some((home_account_id, lineage)) => {
                let (home_account_id, lineage) = (home_account_id.clone(), *lineage);
                Self::Account { home_account_id, lineage, renews: redeemed.signed_in.is_some(), answer }
            }
            None => Self::Token(answer),
        }
    }

    /// Whether no further poll changes it.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self, Self::Pending | Self::Slowed)
    }

    /// What of it an authority's `error` says: RFC 8628 §3.5, and what Entra has in place of these. Nothing else of an answer
    /// counts.
    pub(super) fn said(error: &str) -> Option<Self> {
        match error {
            "authorization_pending" => Some(Self::Pending),
            "slow_down" => Some(Self::Slowed),
            "expired_token" | "code_expired" | "bad_verification_code" => Some(Self::Expired),
            "access_denied" | "authorization_declined" => Some(Self::Denied),
            _ => None,
        }
    }

    /// What is told of it, where it brought no token.
    pub(super) fn kind(&self) -> Option<RefusalKind> {
        match self {
            Self::Pending => Some(RefusalKind::AuthorizationPending),
            Self::Slowed => Some(RefusalKind::SlowDown),
            Self::Expired => Some(RefusalKind::ExpiredToken),
            Self::Denied => Some(RefusalKind::AccessDenied),
            Self::Account { .. } | Self::Token(_) => None,
        }
    }
}

// === impl KeptAnswer ===

impl KeptAnswer {
    fn of(head: &AnswerHead, now: i64) -> Self {
        let range = head.range();
        Self { text: head.text.to_vec(), from: range.start, to: range.end, received_on: now, expires_on: head.expires_on }
    }

    /// Whether its token can be used at this time: one that does not say when it ends, as long as the code is good.
    pub(super) fn is_good(&self, now: i64) -> bool {
        let judged = self.expires_on.map(|ends| judge(ends, self.received_on, ends, now));
        judged != Some(Freshness::Expired)
    }

    /// The answer.
    pub(super) fn head(self) -> AnswerHead {
        let (text, token) = (self.text.into(), self.from..self.to);
        match self.expires_on {
            Some(expires_on) => AnswerHead::rewritten(text, token, expires_on),
            None => AnswerHead::once(text, token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceStanding, PollCame};

    fn standing(interval: u32) -> DeviceStanding {
        DeviceStanding { id: [0; 16], called: i64::MIN, interval, came: PollCame::Pending }
    }

    #[test]
    fn req_6_a_poll_waits_for_the_interval_less_a_second_and_five_more_after_each_slow_down() {
        let fresh = standing(5);
        assert!(!fresh.is_too_early(0), "the first one may come at once");
        let polled = fresh.polled(10_000, PollCame::Pending);
        assert!(polled.is_too_early(10_000) && polled.is_too_early(13_999) && !polled.is_too_early(14_000));
        let slowed = polled.slowed();
        assert!(slowed.is_too_early(18_999) && !slowed.is_too_early(19_000));
        let told = slowed.polled(20_000, PollCame::Slowed);
        assert_eq!((slowed.interval, told.interval, told.called), (10, 15, 20_000));
        // A replica whose clock is behind.
        assert!(told.is_too_early(19_000));
    }

    #[test]
    fn those_who_poll_in_turns_do_not_keep_each_other_from_it_for_good() {
        let mut standing = standing(5);
        for _ in 0..100 {
            standing = standing.slowed();
        }
        assert_eq!(standing.interval, 60);
        // What the authority asks for is not cut.
        assert_eq!(standing.polled(0, PollCame::Slowed).slowed().interval, 65);
    }

    #[test]
    fn req_6_the_words_of_entra_mean_those_of_the_rfc() {
        for (word, kind) in [
            ("authorization_pending", "authorization_pending"),
            ("slow_down", "slow_down"),
            ("expired_token", "expired_token"),
            ("code_expired", "expired_token"),
            ("bad_verification_code", "expired_token"),
            ("access_denied", "access_denied"),
            ("authorization_declined", "access_denied"),
        ] {
            let came = PollCame::said(word).unwrap();
            assert_eq!(came.kind().unwrap().as_str(), kind);
            assert_eq!(came.is_final(), !["authorization_pending", "slow_down"].contains(&kind));
        }
        for other in ["invalid_grant", "invalid_client", "", "70016"] {
            assert!(PollCame::said(other).is_none(), "{other}");
        }
    }
}
