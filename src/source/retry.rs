//! Whether a grant is sent again, and how: pure, from what came of the last attempt (ERR-1, ERR-2, ASN-6).

use std::time::Duration;

use crate::authority::AuthorityError;

/// Whether a grant may be sent again when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// TokenClient credentials, on-behalf-of, token exchange: once more (ERR-1, ERR-2).
    Once,
    /// A code, device code or refresh token: sent once, whatever happens.
    Never,
}

/// One attempt of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// How often it was sent before with the same credential.
    pub(super) resend: i64,
    /// Whether it goes over a connection of its own.
    pub(super) fresh: bool,
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
    /// The credential is read again. If it is another one, and the grant may be sent again, the attempt follows.
    Reread(Option<Attempt>),
}

// === impl Attempt ===

impl Attempt {
    /// The first one. What has no second try goes over a connection of its own: a kept one that is dead must not cost the only one.
    pub(super) fn first(repeat: Repeat) -> Self {
        Self { resend: 0, fresh: repeat == Repeat::Never, repeat, reread: false }
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
        if !self.reread && is_credential_refused(failure) {
            return NextStep::Reread(may_repeat.then(|| Self { reread: true, ..Self::first(self.repeat) }));
        }
        NextStep::GiveUp
    }

    /// How long its answer is waited for: one that may be repeated leaves time for that.
    pub(super) fn patience(self, whole: Duration, half: Duration) -> Duration {
        match self.repeat {
            Repeat::Once => half,
            Repeat::Never => whole,
        }
    }
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

    use super::{Attempt, NextStep, Repeat};
    use crate::authority::AuthorityError;
    use crate::oauth::ErrorBody;
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
            let NextStep::Reread(Some(attempt)) = first.next(&failure, LEFT) else { panic!("{failure:?}") };
            assert!(attempt.resend == 0 && !attempt.fresh);
            assert_eq!(attempt.next(&failure, LEFT), NextStep::GiveUp);
            // A new credential is tried like the one before it, also if that needed its repetition.
            assert!(matches!(attempt.next(&unavailable(None), LEFT), NextStep::Repeat { pauses: true, .. }));
            let NextStep::Repeat { attempt, .. } = first.next(&unavailable(None), LEFT) else { panic!("worth repeating") };
            assert!(matches!(attempt.next(&failure, LEFT), NextStep::Reread(Some(_))));
            // The next grant of its kind profits.
            assert_eq!(Attempt::first(Repeat::Never).next(&failure, LEFT), NextStep::Reread(None));
        }
        assert_eq!(Attempt::first(Repeat::Once).next(&refused(400, "unauthorized_client"), LEFT), NextStep::GiveUp);
    }
}
