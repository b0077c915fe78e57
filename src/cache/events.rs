//! What replicas tell each other: a user signed out, a token was replaced before its time, a credential is new. Never a token: whoever
//! wants it reads it from the store.
//!
//! Messages are sealed like everything else. One that is lost costs a delay of `recheck`.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::fleet::Fleet;
use super::{Cache, Partition, Variant};
use crate::store::Event;
use crate::token::{CredentialName, Epoch, Stored};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Message {
    sender: [u8; 16],
    news: News,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum News {
    /// Without an epoch: nothing stood of the account.
    SignedOut {
        partition: Partition,
        epoch: Epoch,
    },
    Replaced {
        partition: Partition,
        variant: Variant,
        generation: u64,
    },
    Credential(CredentialName),
    /// A sign-in that the store had lost is there again, with this generation.
    PutBack {
        partition: Partition,
        generation: u64,
    },
}

// === impl News ===

impl News {
    fn kind(&self) -> &'static str {
        match self {
            Self::SignedOut { .. } => "signed_out",
            Self::Replaced { .. } => "replaced",
            Self::Credential(_) => "credential",
            Self::PutBack { .. } => "put_back",
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Listens to the other replicas, and brings to the store what it missed, until the soft stop. `renewed` is called for the app,
    /// as [`Cache::tell_credential`] names it, whose credential another replica found to be new.
    pub fn join_fleet(self: &Arc<Self>, renewed: impl Fn(CredentialName) + Send + Sync + 'static) {
        let Some(fleet) = &self.fleet else { return };
        self.push_back(fleet);
        self.restore(fleet);
        let beating = Arc::clone(fleet);
        self.tasks.background("pulse", async move { beating.keep_pulse().await });
        let (this, inner, renewed) = (Arc::clone(self), Arc::clone(fleet), Arc::new(renewed));
        fleet.store.listen(move |event| match event {
            // What was said before nobody here has heard.
            Event::Subscribed => {
                inner.suspect_all();
                this.memory.clear_sign_ins();
                inner.subscribed();
            }
            Event::Message(message) if inner.ring.knows(&message) => this.heed(&inner, &message, &*renewed),
            // Nobody waits here for a file.
            Event::Message(message) => {
                let (heeding, inner, renewed) = (Arc::clone(&this), Arc::clone(&inner), Arc::clone(&renewed));
                this.tasks.background("events", async move {
                    inner.meet([&message]).await;
                    heeding.heed(&inner, &message, &*renewed);
                });
            }
        });
    }

    fn heed(&self, fleet: &Fleet, message: &Bytes, renewed: &impl Fn(CredentialName)) {
        let Some(message) = fleet.read(message).filter(|message| message.sender != fleet.sender) else { return };
        fleet.metrics.invalidation("received", message.news.kind());
        match message.news {
            News::SignedOut { partition, epoch } => {
                self.forget(&partition, epoch);
                // Whoever signed it out may not know, where the store has lost it, that this replica has tokens of it elsewhere.
                for elsewhere in self.links.take(&partition) {
                    self.forget(&elsewhere, None);
                }
            }
            News::Replaced { partition, variant, generation } => {
                // Whatever was good for what has been replaced, under whichever scopes; the new one may be here already.
                let old = |stored: &Stored| stored.facts.variant == variant && stored.facts.shared != generation;
                self.memory.remove_tokens(&partition, old);
            }
            News::Credential(app) => renewed(app),
            News::PutBack { partition, generation } => {
                // Whoever knows a later one, or sends this one, is given the time to say so.
                fleet.restore.settle_account(&partition);
                if fleet.recent.sign_in(&partition).is_some_and(|known| known.shared > generation) {
                    fleet.restore.one(&partition);
                }
            }
        }
    }

    /// Tells the other replicas that an app has a new credential, so that they look at their files at once.
    pub async fn tell_credential(&self, app: CredentialName) {
        if let Some(fleet) = &self.fleet {
            fleet.tell(News::Credential(app)).await;
        }
    }
}

// === impl Fleet ===

impl Fleet {
    /// `epoch`: what the account's is now; none where nothing stood.
    pub(super) async fn tell_signed_out(&self, partition: &Partition, epoch: Epoch) {
        self.tell(News::SignedOut { partition: *partition, epoch }).await;
    }

    pub(super) async fn tell_put_back(&self, partition: &Partition, generation: u64) {
        self.tell(News::PutBack { partition: *partition, generation }).await;
    }

    pub(super) async fn tell_replaced(&self, partition: &Partition, variant: &Variant, generation: u64) {
        self.tell(News::Replaced { partition: *partition, variant: *variant, generation }).await;
    }

    async fn tell(&self, news: News) {
        let kind = news.kind();
        let message = Message { sender: self.sender, news };
        let Ok(payload) = postcard::to_stdvec(&message) else { return };
        let Some(sealed) = self.ring.seal(&self.names.events(), 0, self.version, &payload) else { return };
        // Whoever does not hear it finds out within `recheck`.
        // A sign-out of which nothing stands in the store is this message alone.
        if self.store.patient().publish(&sealed).await.is_ok() {
            self.metrics.invalidation("sent", kind);
        }
    }

    fn read(&self, message: &[u8]) -> Option<Message> {
        let opened = self.ring.open(&self.names.events(), message, self.versions).ok()?;
        postcard::from_bytes(&opened.payload).ok()
    }
}
