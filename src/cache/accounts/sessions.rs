//! Long-running sessions: sign-ins that stand under a key of their own, and end with the account that they belong to.

use std::sync::Arc;

use super::core::CachedAccounts;
use super::guests::LinkedUntil;
use super::outcome::{Kept, KeptSignIn, Unavailable};
use crate::cache::level::SharedLevel;
use crate::cache::watches::OpenWatch;
use crate::token::{Epoch, Partition, SessionFacts, SignIn, SpaceId};

/// How much longer than a session lasts its home remembers it, in seconds: not every renewal has to say that it lasts longer now.
const AHEAD: i64 = 30 * 24 * 3600;

// === impl CachedAccounts ===

impl CachedAccounts {
    /// The epoch of an account, before something is asked for that its sign-out shall end. Where the store cannot say, it is what
    /// this process knows.
    pub async fn epoch(&self, partition: &Partition) -> Epoch {
        let Some(shared) = &self.shared else { return None };
        let read = self.home_epoch(shared, partition).await.unwrap_or_default();
        shared.epochs.known_epoch(partition, read, None)
    }

    /// Keeps a new session, as [`CachedAccounts::keep_sign_in`] does. `since`: when its call began. If its home was signed out
    /// or the session was ended since then, nothing is kept. `may_stand`: an older one of its key may be known to others.
    pub async fn keep_session(
        self: &Arc<Self>,
        space: &SpaceId,
        partition: &Partition,
        sign_in: SignIn,
        (since, may_stand): (&OpenWatch, bool),
    ) -> KeptSignIn {
        let home = sign_in.session().map(|session| session.home);
        let is_over = || home.is_some_and(|home| since.is_signed_out(&home)) || since.is_signed_out(partition);
        let over = KeptSignIn { kept: Kept::SignedOut, lineage: sign_in.lineage };
        if is_over() {
            return over;
        }
        let kept = self.keep_sign_in(space, partition, sign_in).await;
        if !is_over() {
            if may_stand && let Some(shared) = self.shared.as_ref().filter(|_| kept.kept == Kept::Stored) {
                shared.fleet.tell_begun(partition).await;
            }
            return kept;
        }
        // It was told while this was on its way. Where the store cannot be asked, memory has forgotten it, and nothing waits.
        let _away = self.sign_out(space, partition).await;
        over
    }

    /// Makes sure that the sign-out of its home ends a session, before that is stored: `Stored` if it does. `SignedOut`: the home
    /// was signed out after the session began.
    pub(super) async fn link_session(
        &self,
        shared: &SharedLevel,
        partition: &Partition,
        session: &SessionFacts,
        expires_on: i64,
    ) -> Kept {
        let SessionFacts { home, home_epoch, .. } = session;
        let until = LinkedUntil { needed: expires_on, written: expires_on.saturating_add(AHEAD) };
        match self.write_link(shared, home, partition, until).await {
            // Read after the link was written: a sign-out that has not seen that has raised the epoch before.
            Ok(epoch) if shared.recent.epoch(home).max(epoch) > *home_epoch => Kept::SignedOut,
            Ok(_) => Kept::Stored,
            Err(Unavailable::Unreadable) => Kept::Stale,
            Err(Unavailable::Unreachable | Unavailable::Busy) => Kept::Later,
        }
    }
}
