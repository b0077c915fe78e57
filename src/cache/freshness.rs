//! Whether a token may be used, as a value, from times alone. All times are seconds since the Unix epoch.

use crate::token::Times;

/// A token is not handed out in its last five minutes, or the last quarter of a shorter life.
const BUFFER: i64 = 300;

/// An end further away than this is a mistake of the authority (CCH-6).
const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;

/// What a token is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may be used.
    Fresh,
    /// It may be used, and it is time to renew it.
    RefreshDue,
    /// It is too close to its end.
    Expired,
}

/// Judges a token (contract, cache point 4).
pub fn judge(expires_on: i64, received_on: i64, refresh_on: i64, now: i64) -> Freshness {
    let lifetime = expires_on.saturating_sub(received_on);
    if expires_on <= now.saturating_add(buffer(lifetime)) {
        Freshness::Expired
    } else if now >= refresh_on {
        Freshness::RefreshDue
    } else {
        Freshness::Fresh
    }
}

/// Whether a token may be kept: it says when it ends, and that is neither past nor absurd.
pub fn lifetime_is_credible(times: &Times) -> bool {
    times.expires_on.is_some_and(|expires_on| (1..=TEN_YEARS).contains(&expires_on.saturating_sub(times.received_on)))
}

/// When a token is due for renewal, in seconds after it was received: what the authority asks for, else a point between 70 and
/// 90 % of its usable life, so that replicas that got it together do not renew it together (CCH-12). `jitter` is from 0 to 1.
pub fn refresh_point(lifetime: i64, refresh_in: Option<i64>, jitter: f64) -> i64 {
    let usable = lifetime.saturating_sub(buffer(lifetime));
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "lifetimes are far below 2^52 seconds")]
    let part = |share: f64| (usable as f64 * share) as i64;
    let latest = part(0.7 + 0.2 * jitter.clamp(0.0, 1.0));
    match refresh_in {
        Some(asked) if asked > 0 => asked.min(part(0.95)),
        _ => latest,
    }
}

fn buffer(lifetime: i64) -> i64 {
    BUFFER.min(lifetime / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Freshness, judge, lifetime_is_credible, refresh_point};
    use crate::token::Times;

    #[test]
    fn cch_5_the_last_five_minutes_are_not_used() {
        assert_eq!(judge(3600, 0, 3000, 3299), Freshness::RefreshDue);
        assert_eq!(judge(3600, 0, 3000, 3300), Freshness::Expired);
        assert_eq!(judge(3600, 0, 3000, 2999), Freshness::Fresh);
        // A life of 60 s: its last quarter.
        assert_eq!(judge(60, 0, 40, 44), Freshness::RefreshDue);
        assert_eq!(judge(60, 0, 40, 45), Freshness::Expired);
    }

    #[test]
    fn cch_6_and_rsp_1_what_may_be_kept() {
        let times = |expires_on| Times { received_on: 1000, expires_on, ext_expires_on: None, refresh_on: None };
        assert!(lifetime_is_credible(&times(Some(1001))));
        assert!(!lifetime_is_credible(&times(Some(1000))));
        assert!(!lifetime_is_credible(&times(Some(999))));
        assert!(!lifetime_is_credible(&times(None)));
        assert!(!lifetime_is_credible(&times(Some(1001 + 10 * 365 * 24 * 3600))));
    }

    proptest! {
        #[test]
        fn cch_12_renewal_is_due_before_the_token_is_useless(
            lifetime in 8_i64..1_000_000,
            asked in proptest::option::of(-5_i64..2_000_000),
            jitter in 0.0..=1.0,
        ) {
            let point = refresh_point(lifetime, asked, jitter);
            prop_assert!(point > 0);
            prop_assert_eq!(judge(lifetime, 0, point, point), Freshness::RefreshDue);
        }
    }
}
