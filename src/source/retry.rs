//! Whether a grant is sent again, and how: pure, from what came of the last attempt (ERR-1, ERR-2, ASN-6, ASN-8).

use std::time::Duration;

use crate::authority::AuthorityError;
use crate::oauth::SecretPlace;

/// Whether a grant may be sent again when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// TokenClient credentials, on-behalf-of, token exchange: once more (ERR-1, ERR-2).
    Once,
    /// A code, device code or refresh token: sent once, whatever becomes of it. Where the client was refused nothing became of it.
    Never,
}

/// One attempt of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// How often it was sent before with the same credential.
    pub(super) resend: i64,
    /// Whether it goes over a connection of its own.
    pub(super) fresh: bool,
    /// Where the secret stands, because it was refused where it stood before.
    pub(super) place: Option<SecretPlace>,
    repeat: Repeat,
    /// Whether the credential was read again before it.
    reread: bool,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Nothing: it is what is told.
    GiveUp,
    /// The attempt, at once or after a pause.
    Repeat { pauses: bool, attempt: Attempt },
    /// The client was refused: another proof may do, if there is one.
    Reprove,
}

// === impl Attempt ===

impl Attempt {
    /// The first one. What has no second try goes over a connection of its own: a kept one that is dead must not cost the only one.
    pub(super) fn first(repeat: Repeat) -> Self {
        Self { resend: 0, fresh: repeat == Repeat::Never, place: None, repeat, reread: false }
    }

    /// What follows when this attempt has failed and `left` is left of the time for the call.
    pub(super) fn next(self, failure: &AuthorityError, left: Duration) -> NextStep {
        let may_repeat = self.repeat == Repeat::Once;
        if may_repeat && self.resend == 0 && failure.is_worth_repeating() && !left.is_zero() {
            // Without an answer at once, but over a new connection: others may have had the kept connections replaced before, and
            // these may be dead, too.
            let answered = failure.is_answer();
            let attempt = Self { resend: 1, fresh: !answered, ..self };
            return NextStep::Repeat { pauses: answered, attempt };
        }
        if is_credential_refused(failure) { NextStep::Reprove } else { NextStep::GiveUp }
    }

    /// Whether the credential is to be read again after it was refused: once.
    pub(super) fn may_reread(self) -> bool {
        !self.reread
    }

    /// What follows if it is another one by then. `None`: the grant is not sent again, and the next of its kind profits.
    pub(super) fn with_new_credential(self) -> Option<Self> {
        (self.repeat == Repeat::Once).then(|| Self { reread: true, ..Self::first(self.repeat) })
    }

    /// What follows with the secret elsewhere: once.
    pub(super) fn with_secret_in(self, place: SecretPlace) -> Option<Self> {
        self.place.is_none().then(|| Self { place: Some(place), reread: true, ..Self::first(self.repeat) })
    }

    /// How long its answer is waited for: one that may be repeated leaves time for that.
    pub(super) fn patience(self, whole: Duration, half: Duration) -> Duration {
        match self.repeat {
            Repeat::Once => half,
            Repeat::Never => whole,
        }
    }
}

/// Whether the authority took the client's proof, whatever it said of the grant.
pub(super) fn is_client_taken<T>(outcome: &Result<T, AuthorityError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(failure) => matches!(failure, AuthorityError::Refused { .. }) && !is_credential_refused(failure),
    }
}

/// Whether a refusal of the client is about how it proved itself. Keycloak says `invalid_client` with 400 of an unknown audience:
/// where a target is named, only 401 says so.
pub(super) fn is_about_client(failure: &AuthorityError, names_target: bool) -> bool {
    is_credential_refused(failure) && (!names_target || matches!(failure, AuthorityError::Refused { status: 401, .. }))
}

/// Whether the authority refused the client's proof.
fn is_credential_refused(failure: &AuthorityError) -> bool {
    let AuthorityError::Refused { status, body, .. } = failure else { return false };
    // Keycloak says `unauthorized_client` with 401 of a wrong secret.
    body.error == "invalid_client" || (*status == 401 && body.error == "unauthorized_client")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attempt, NextStep, Repeat, is_about_client, is_client_taken};
    use crate::authority::AuthorityError;
    use crate::oauth::{ErrorBody, SecretPlace};
    use crate::transport::Cause;

    const LEFT: Duration = Duration::from_secs(1);

    fn refused(status: u16, error: &str) -> AuthorityError {
        let body = ErrorBody { error: error.to_owned(), ..ErrorBody::default() };
        AuthorityError::Refused { status, body: Box::new(body), retry_after: None }
    }

    fn unavailable(retry_after: Option<Duration>) -> AuthorityError {
        AuthorityError::Unavailable { status: 503, body: None, retry_after }
    }

    fn not_sent() -> AuthorityError {
        AuthorityError::NotSent(Cause::new("refused"))
    }

    fn broken() -> AuthorityError {
        AuthorityError::Broken(Cause::new("reset"))
    }

    #[test]
    fn err_1_and_2_one_repetition_after_a_pause_or_over_a_new_connection() {
        let first = Attempt::first(Repeat::Once);
        assert!(!first.fresh && first.resend == 0);
        let NextStep::Repeat { pauses: true, attempt } = first.next(&unavailable(None), LEFT) else { panic!("an answer") };
        assert!(!attempt.fresh && attempt.resend == 1);
        assert_eq!(attempt.next(&unavailable(None), LEFT), NextStep::GiveUp);
        for silence in [not_sent(), broken(), AuthorityError::TimedOut] {
            let NextStep::Repeat { pauses: false, attempt } = first.next(&silence, LEFT) else { panic!("{silence:?}") };
            assert!(attempt.fresh && attempt.resend == 1);
            assert_eq!(attempt.next(&silence, LEFT), NextStep::GiveUp);
            assert_eq!(first.next(&silence, Duration::ZERO), NextStep::GiveUp, "there is no time for it");
        }
        let throttled = AuthorityError::Throttled { body: None, retry_after: None };
        for no in
            [unavailable(Some(LEFT)), throttled, AuthorityError::Busy, AuthorityError::Invalid("x"), refused(400, "invalid_grant")]
        {
            assert_eq!(first.next(&no, LEFT), NextStep::GiveUp, "{no:?}");
        }
    }

    #[test]
    fn what_is_sent_once_has_a_connection_of_its_own_and_all_the_time() {
        let only = Attempt::first(Repeat::Never);
        assert!(only.fresh);
        for failure in [unavailable(None), not_sent(), broken(), AuthorityError::TimedOut] {
            assert_eq!(only.next(&failure, LEFT), NextStep::GiveUp, "{failure:?}");
        }
        let (whole, half) = (Duration::from_secs(8), Duration::from_secs(3));
        assert_eq!((only.patience(whole, half), Attempt::first(Repeat::Once).patience(whole, half)), (whole, half));
    }

    #[test]
    fn asn_6_a_refused_credential_is_read_again_once() {
        for failure in [refused(400, "invalid_client"), refused(401, "invalid_client"), refused(401, "unauthorized_client")] {
            let first = Attempt::first(Repeat::Once);
            assert!(first.next(&failure, LEFT) == NextStep::Reprove && first.may_reread(), "{failure:?}");
            let attempt = first.with_new_credential().unwrap();
            assert!(attempt.resend == 0 && !attempt.fresh && !attempt.may_reread());
            // A new credential is tried like the one before it, also if that needed its repetition.
            assert!(matches!(attempt.next(&unavailable(None), LEFT), NextStep::Repeat { pauses: true, .. }));
            let NextStep::Repeat { attempt, .. } = first.next(&unavailable(None), LEFT) else { panic!("worth repeating") };
            assert!(attempt.next(&failure, LEFT) == NextStep::Reprove && attempt.may_reread());
            // The next grant of its kind profits.
            assert_eq!(Attempt::first(Repeat::Never).with_new_credential(), None);
        }
        assert_eq!(Attempt::first(Repeat::Once).next(&refused(400, "unauthorized_client"), LEFT), NextStep::GiveUp);
    }

    #[test]
    fn asn_8_a_secret_that_is_refused_is_tried_elsewhere_once() {
        for repeat in [Repeat::Once, Repeat::Never] {
            let first = Attempt::first(repeat);
            let other = first.with_secret_in(SecretPlace::Header).unwrap();
            assert_eq!((other.place, other.resend, other.fresh), (Some(SecretPlace::Header), 0, first.fresh));
            assert_eq!(other.with_secret_in(SecretPlace::Body), None);
            assert!(!other.may_reread(), "it was read already");
        }
        // A new credential may have the other place as well.
        let new = Attempt::first(Repeat::Once).with_new_credential().unwrap();
        assert_eq!(new.with_secret_in(SecretPlace::Header).map(|attempt| attempt.place), Some(Some(SecretPlace::Header)));
    }

    #[test]
    fn asn_8_what_may_be_about_the_target_says_nothing_of_the_secret() {
        for (failure, anyhow, with_target) in [
            (refused(401, "invalid_client"), true, true),
            (refused(401, "unauthorized_client"), true, true),
            (refused(400, "invalid_client"), true, false),
            (refused(400, "invalid_target"), false, false),
            (broken(), false, false),
        ] {
            assert_eq!((is_about_client(&failure, false), is_about_client(&failure, true)), (anyhow, with_target), "{failure:?}");
        }
    }

    #[test]
    fn asn_8_a_place_has_worked_where_the_client_was_taken() {
        for taken in [refused(400, "invalid_grant"), refused(400, "unauthorized_client"), refused(400, "invalid_scope")] {
            assert!(is_client_taken::<()>(&Err(taken)));
        }
        for not in [refused(401, "invalid_client"), refused(401, "unauthorized_client"), broken(), unavailable(None), not_sent()] {
            assert!(!is_client_taken::<()>(&Err(not)));
        }
    }
}
