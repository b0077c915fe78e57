//! What a request shows of its caller, and what is wrong with it.

use crate::listen::Connection;

/// What a request shows of its caller. Each part that is there is a proof, and all of them have to be one caller's.
// No `Debug`: it would show a token.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// `X-Tokend-Token`, or the header that a door takes in its place: a token or a JWT.
    pub header: HeaderToken<'a>,
    /// A client secret, as it can be read: as it came, and form-decoded where that differs. A token or a JWT. Empty: none is shown.
    /// It is one proof, however many readings it has.
    pub secrets: &'a [&'a [u8]],
    /// A client assertion (RFC 7521 §4.2): a JWT.
    pub assertion: Option<&'a [u8]>,
    /// What the connection itself proves: an extension of its requests.
    pub connection: Option<&'a Connection>,
}

/// What the header for tokens has.
#[derive(Clone, Copy)]
pub enum HeaderToken<'a> {
    /// The header is not there.
    Missing,
    /// This value.
    One(&'a [u8]),
    /// Several values.
    Several,
}

/// Why a request is of no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// It shows no proof.
    #[error("the request shows no proof of a caller")]
    Missing,
    /// It has the header for proofs more than once.
    #[error("the request has several tokens of callers")]
    Repeated,
    /// A proof that it shows is nobody's.
    #[error("the request shows a proof that is no caller's")]
    Unknown,
    /// A JWT that it shows is not accepted, and why, for the log.
    #[error("the request shows a JWT that is not accepted: {0}")]
    Rejected(&'static str),
    /// Its proofs are those of different callers.
    #[error("the request shows proofs of several callers")]
    Several,
    /// The keys that would verify a JWT of it cannot be had now, so that nothing can be said about it.
    #[error("the keys that verify a caller's JWT cannot be had")]
    KeysUnavailable,
}

/// What the proofs of a request come to.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    caller: Option<u16>,
    error: Option<CallerError>,
}

// === impl Presented ===

impl Presented<'_> {
    /// Whether there is a proof in what was sent. What the connection proves is not asked.
    pub fn shows_proof(&self) -> bool {
        !matches!(self.header, HeaderToken::Missing) || !self.secrets.is_empty() || self.assertion.is_some()
    }
}

// === impl HeaderToken ===

impl<'a> HeaderToken<'a> {
    /// What the values of the header come to.
    pub fn of(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(token), None) => Self::One(token),
            (None, _) => Self::Missing,
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

// === impl Sum ===

impl Sum {
    /// Adds what a proof came to.
    pub(super) fn add(&mut self, found: Result<u16, CallerError>) {
        let error = match (found, self.caller) {
            (Ok(caller), None) => {
                self.caller = Some(caller);
                return;
            }
            (Ok(caller), Some(other)) if caller == other => return,
            (Ok(_), Some(_)) => CallerError::Several,
            (Err(error), _) => error,
        };
        // What cannot be told now says less than what is wrong for certain.
        if self.error.is_none_or(|known| known == CallerError::KeysUnavailable) {
            self.error = Some(error);
        }
    }

    /// Whether a proof is wrong already: no other one can mend that.
    pub(super) fn is_wrong(&self) -> bool {
        self.error.is_some_and(|error| error != CallerError::KeysUnavailable)
    }

    /// Whose the request is.
    pub(super) fn caller(self) -> Result<u16, CallerError> {
        match self.error {
            Some(error) => Err(error),
            None => self.caller.ok_or(CallerError::Missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CallerError, Sum};

    #[test]
    fn every_proof_counts_and_all_name_one_caller() {
        use CallerError::{KeysUnavailable, Missing, Several, Unknown};
        for (proofs, expected) in [
            (&[][..], Err(Missing)),
            (&[Ok(1)], Ok(1)),
            (&[Ok(1), Ok(1)], Ok(1)),
            (&[Ok(1), Ok(2)], Err(Several)),
            (&[Ok(1), Ok(2), Ok(1)], Err(Several)),
            (&[Ok(1), Err(Unknown)], Err(Unknown)),
            (&[Err(Unknown), Ok(1)], Err(Unknown)),
            (&[Err(KeysUnavailable), Ok(1)], Err(KeysUnavailable)),
            (&[Err(KeysUnavailable), Err(Unknown)], Err(Unknown)),
            (&[Err(KeysUnavailable), Ok(1), Ok(2)], Err(Several)),
        ] {
            let mut sum = Sum::default();
            proofs.iter().for_each(|proof| sum.add(*proof));
            assert_eq!(sum.caller(), expected, "{proofs:?}");
        }
    }
}
