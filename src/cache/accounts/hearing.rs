//! Listening to the other replicas, and what follows from what they tell.

use std::sync::Arc;

use super::core::CachedAccounts;
use crate::cache::fleet::{Heard, News};
use crate::cache::level::SharedLevel;
use crate::token::{CachedToken, CredentialName, Epoch, Partition};

// === impl CachedAccounts ===

impl CachedAccounts {
    /// Listens to the other replicas, and brings to the store what it missed, until the soft stop. `renewed` is called when another
    /// replica found an app's credential to be new, with the name that [`CachedAccounts::tell_credential`] gives it.
    pub fn join_fleet(self: &Arc<Self>, renewed: impl Fn(CredentialName) + Send + Sync + 'static) {
        let Some(shared) = &self.shared else { return };
        self.push_back(shared);
        self.restore(shared);
        let beating = Arc::clone(&shared.fleet);
        self.tasks.background("pulse", async move { beating.checks().keep_pulse().await });
        let (this, inner, renewed) = (Arc::clone(self), Arc::clone(shared), Arc::new(renewed));
        shared.fleet.listen(move |heard| match heard {
            // What was said before nobody here has heard.
            Heard::Subscribed => {
                inner.fleet.checks().suspect_all();
                this.local.memory().clear_sign_ins();
                inner.losses.subscribed();
            }
            Heard::News(news) => this.heed(&inner, news, &*renewed),
            // Nobody waits here for a file.
            Heard::Sealed(message) => {
                let (heeding, inner, renewed) = (Arc::clone(&this), Arc::clone(&inner), Arc::clone(&renewed));
                this.tasks.background("events", async move {
                    if let Some(news) = inner.fleet.hear_late(&message).await {
                        heeding.heed(&inner, news, &*renewed);
                    }
                });
            }
        });
    }

    fn heed(&self, shared: &SharedLevel, news: News, renewed: &impl Fn(CredentialName)) {
        match news {
            News::SignedOut { partition, epoch } => {
                self.local.forget(&partition, epoch);
                // If the store has lost where this account has tokens, the replica that signed it out does not know of those here.
                for elsewhere in self.links.take(&partition) {
                    if self.began_after(&elsewhere, epoch) {
                        self.links.add(partition, elsewhere, self.clock.moment());
                    } else {
                        self.local.forget(&elsewhere, None);
                    }
                }
            }
            News::Replaced { partition, variant, generation } => {
                // All tokens of this variant are replaced, whatever their scopes. The new one stays: it may be here already.
                let old = |stored: &CachedToken| stored.facts.variant == variant && stored.facts.shared != generation;
                self.local.memory().remove_tokens(&partition, old);
            }
            News::Credential(app) => renewed(app),
            // What waits to be stored is looked at when its turn comes.
            News::Begun { partition } => {
                self.local.memory().remove(&partition);
            }
            News::PutBack { partition, generation } => {
                // Whoever knows a later one, or sends this one, is given the time to say so.
                shared.losses.settle_account(&partition);
                if shared.recent.sign_in(&partition).is_some_and(|known| known.shared > generation) {
                    shared.losses.one(&partition);
                }
            }
        }
    }

    /// Whether a session began after this sign-out of its home, whose message is late.
    fn began_after(&self, partition: &Partition, epoch: Epoch) -> bool {
        let session = self.remembered(partition).and_then(|sign_in| sign_in.session());
        epoch.is_some() && session.is_some_and(|session| session.home_epoch >= epoch)
    }

    /// Tells the other replicas that an app has a new credential, so that they look at their files at once.
    pub async fn tell_credential(&self, app: CredentialName) {
        if let Some(shared) = &self.shared {
            shared.fleet.tell_credential(app).await;
        }
    }
}
