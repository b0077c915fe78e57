//! What replicas tell each other: a user signed out, a token was replaced before its time, a session began anew, a credential is
//! new. Never a token: whoever wants it reads it from the store.
//!
//! Messages are sealed like everything else. One that is lost costs a delay of `recheck`.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::core::Fleet;
use crate::store::Event;
use crate::token::{CredentialName, Epoch, Partition, Variant};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Message {
    sender: [u8; 16],
    news: News,
}

/// What is told. Its members and their order stand in messages.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cache) enum News {
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
    /// A session of this key began: what memory has of an earlier one is not to be used any more.
    Begun {
        partition: Partition,
    },
}

/// What the subscription brings.
pub(in crate::cache) enum Heard {
    /// It is there, for the first time or again: nobody here has heard what was said before.
    Subscribed,
    /// What another replica tells.
    News(News),
    /// What may be opened when the key ring's file has been read again: for [`Fleet::hear_late`].
    Sealed(Bytes),
}

// === impl News ===

impl News {
    fn kind(&self) -> &'static str {
        match self {
            Self::SignedOut { .. } => "signed_out",
            Self::Replaced { .. } => "replaced",
            Self::Credential(_) => "credential",
            Self::PutBack { .. } => "put_back",
            Self::Begun { .. } => "begun",
        }
    }
}

// === impl Fleet ===

impl Fleet {
    /// Listens to the other replicas until the soft stop.
    pub(in crate::cache) fn listen(self: &Arc<Self>, heard: impl Fn(Heard) + Send + Sync + 'static) {
        let this = Arc::clone(self);
        self.store.listen(move |event| match event {
            Event::Subscribed => heard(Heard::Subscribed),
            Event::Message(message) if this.ring.knows(&message) => {
                if let Some(news) = this.hear(&message) {
                    heard(Heard::News(news));
                }
            }
            Event::Message(message) => heard(Heard::Sealed(message)),
        });
    }

    /// Opens a message once the key ring's file has been read again.
    pub(in crate::cache) async fn hear_late(&self, message: &Bytes) -> Option<News> {
        self.meet([message]).await;
        self.hear(message)
    }

    /// `epoch`: what the account's is now; none where nothing stood.
    pub(in crate::cache) async fn tell_signed_out(&self, partition: &Partition, epoch: Epoch) {
        self.tell(News::SignedOut { partition: *partition, epoch }).await;
    }

    pub(in crate::cache) async fn tell_begun(&self, partition: &Partition) {
        self.tell(News::Begun { partition: *partition }).await;
    }

    pub(in crate::cache) async fn tell_put_back(&self, partition: &Partition, generation: u64) {
        self.tell(News::PutBack { partition: *partition, generation }).await;
    }

    pub(in crate::cache) async fn tell_replaced(&self, partition: &Partition, variant: &Variant, generation: u64) {
        self.tell(News::Replaced { partition: *partition, variant: *variant, generation }).await;
    }

    /// An app, as its credential's name says, has a new credential.
    pub(in crate::cache) async fn tell_credential(&self, app: CredentialName) {
        self.tell(News::Credential(app)).await;
    }

    async fn tell(&self, news: News) {
        let kind = news.kind();
        let message = Message { sender: self.sender, news };
        let Ok(payload) = postcard::to_stdvec(&message) else { return };
        let Some(sealed) = self.seal(&self.names.events(), 0, &payload) else { return };
        // Whoever does not hear it finds out within `recheck`.
        // A sign-out of which nothing stands in the store is this message alone.
        if self.store.patient().publish(&sealed).await.is_ok() {
            self.metrics.invalidation("sent", kind);
        }
    }

    /// What another replica tells; what this one told itself is nothing new.
    fn hear(&self, message: &[u8]) -> Option<News> {
        let payload = self.open(&self.names.events(), message)?;
        let message = postcard::from_bytes(&payload).ok().filter(|message: &Message| message.sender != self.sender)?;
        self.metrics.invalidation("received", message.news.kind());
        Some(message.news)
    }
}
