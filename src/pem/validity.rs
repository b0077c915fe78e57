//! When a certificate holds.

use crate::finding::Complaint;

/// From when to when a certificate holds, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second (`notBefore`).
    pub begins: i64,
    /// The last second (`notAfter`).
    pub ends: i64,
}

const DAY: i64 = 86_400;
/// How long before its end a certificate is worth a finding, in seconds.
const ENDS_SOON: i64 = 30 * DAY;

// === impl Validity ===

impl Validity {
    /// That of a certificate in DER; `None`: it cannot be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let validity = parsed.validity();
        Some(Self { begins: validity.not_before.timestamp(), ends: validity.not_after.timestamp() })
    }

    /// Whether it holds at this time.
    pub fn holds(&self, now: i64) -> bool {
        (self.begins..=self.ends).contains(&now)
    }

    /// That it does not hold yet, has ended, or soon does; `remedy` is for the last two.
    pub fn problem(&self, now: i64, remedy: &str) -> Option<Complaint> {
        if now < self.begins {
            let wait = self.begins - now;
            let time = if wait < 2 * DAY { format!("{} minutes", wait / 60 + 1) } else { format!("{} days", wait / DAY) };
            return Some(Complaint::new(
                format!("the certificate is not valid yet: it begins in {time}"),
                "wait for that, put the one before back, or mend this machine's clock",
            ));
        }
        let left = self.ends - now;
        if left <= 0 {
            return Some(Complaint::new("the certificate has expired", remedy));
        }
        (left < ENDS_SOON).then(|| Complaint::new(format!("the certificate ends in {} days", left / DAY), remedy))
    }
}
