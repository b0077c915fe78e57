//! The sign-in of an account as it stands in the store that replicas share. What this process brought there and the store has lost
//! is put back before anybody uses what came before it.

use std::sync::Arc;
use std::time::Duration;

use super::core::CachedAccounts;
use super::outcome::{Base, Kept, Unavailable, is_ancestor};
use crate::cache::epochs::{epoch_bytes, epoch_of};
use crate::cache::level::SharedLevel;
use crate::store::{self, Names, Placed, Put, Ring, read_sign_in, write_sign_in};
use crate::token::{Epoch, Partition, SignIn, SpaceId};

/// How often a sign-in that is put back yields to one that came between.
const ATTEMPTS: usize = 3;

/// What stands in the store of an account's sign-in.
#[derive(Debug)]
struct StandingSignIn {
    /// What can be read of it.
    sign_in: Option<SignIn>,
    base: Base,
}

// === impl CachedAccounts ===

impl CachedAccounts {
    /// The sign-in of an account as the store has it. What this process brought there and the store has lost is put back first:
    /// nobody may use what came before it.
    pub(super) async fn read_signed(
        &self,
        shared: &SharedLevel,
        space: &SpaceId,
        partition: &Partition,
    ) -> Result<(Option<SignIn>, Base), Unavailable> {
        for _ in 0..ATTEMPTS {
            let since = self.local.watches().watch(*partition);
            let StandingSignIn { sign_in, base } = self.standing(shared, space, partition).await?;
            let now = self.clock.unix();
            let lost = self.known_sign_in(shared, partition, sign_in.is_some());
            let lost = lost.filter(|known| known.expires_on > now && is_lost(known, sign_in.as_ref(), base.epoch));
            let Some(known) = lost else {
                let is_over = sign_in.as_ref().is_some_and(|sign_in| sign_in.epoch < base.epoch);
                if let Some(generation) = base.generation.filter(|_| is_over) {
                    // An older snapshot brought it back, and nobody uses it any more.
                    shared.fleet.withdraw(&shared.fleet.names().place(partition).sign_in(), generation).await;
                }
                return Ok((sign_in.filter(|sign_in| !is_over && sign_in.expires_on > now), base));
            };
            let over = Base { generation: base.generation, epoch: known.epoch };
            // First, so that whoever finds it knows that others may know more, and who is sending it.
            shared.losses.settle_account(partition);
            shared.leases.mark_anew(partition).await;
            shared.fleet.tell_put_back(partition, known.shared).await;
            match self.put_sign_in(shared, partition, &known, over, known.shared).await {
                Kept::Stored if since.is_signed_out(known.epoch) => {
                    shared.fleet.withdraw(&shared.fleet.names().place(partition).sign_in(), known.shared).await;
                    shared.recent.signed_out(partition, None);
                }
                Kept::Stored => {
                    shared.fleet.metrics().restored_sign_ins.inc();
                    let base = Base { generation: Some(known.shared), epoch: known.epoch };
                    return Ok((Some(SignIn::clone(&known)), base));
                }
                Kept::Stale | Kept::SignedOut => {}
                Kept::Later => return Err(Unavailable::Unreachable),
            }
        }
        Err(Unavailable::Unreachable)
    }

    /// The latest sign-in of an account that this process knows. One that it has only read counts only if something stands, which
    /// may be an ancestor of it. If nothing stands, somebody may have ended it.
    fn known_sign_in(&self, shared: &SharedLevel, partition: &Partition, stands: bool) -> Option<Arc<SignIn>> {
        let remembered = self.local.memory().sign_in(partition, self.clock.unix()).filter(|_| stands);
        let place = |sign_in: &Arc<SignIn>| (sign_in.epoch, sign_in.shared);
        shared.recent.sign_in(partition).into_iter().chain(remembered).max_by_key(place)
    }

    async fn standing(&self, shared: &SharedLevel, space: &SpaceId, partition: &Partition) -> Result<StandingSignIn, Unavailable> {
        let (mut sign_in, mut base) = sign_in_at(shared, shared.fleet.names(), space, partition).await?;
        for names in shared.fleet.other_names() {
            let (other, otherwise) = sign_in_at(shared, names, space, partition).await?;
            base.epoch = base.epoch.max(otherwise.epoch);
            // What was written last has the highest generation, whatever it is called.
            sign_in = [sign_in, other].into_iter().flatten().max_by_key(|sign_in| (sign_in.epoch, sign_in.shared));
        }
        base.epoch = shared.epochs.known_epoch(partition, base.epoch, sign_in.as_ref().and_then(|sign_in| sign_in.epoch));
        Ok(StandingSignIn { sign_in, base })
    }

    /// Whether the sign-out of its home ends a session that is to be stored: `Stored` if it does, or if it is none.
    async fn linked(&self, shared: &SharedLevel, partition: &Partition, sign_in: &SignIn, base: Base) -> Kept {
        let Some(session) = sign_in.session() else { return Kept::Stored };
        let linked = self.link_session(shared, partition, &session, sign_in.expires_on).await;
        if linked == Kept::SignedOut {
            // Nobody brings it back, and nobody sends what it was made of.
            shared.recent.signed_out(partition, None);
            if let Some(generation) = base.generation {
                shared.fleet.withdraw(&shared.fleet.names().place(partition).sign_in(), generation).await;
            }
        }
        linked
    }

    /// Puts a sign-in over what was read, and lists its account.
    pub(super) async fn put_sign_in(
        &self,
        shared: &SharedLevel,
        partition: &Partition,
        sign_in: &SignIn,
        base: Base,
        generation: u64,
    ) -> Kept {
        let linked = Box::pin(self.linked(shared, partition, sign_in, base)).await;
        if linked != Kept::Stored {
            return linked;
        }
        let place = shared.fleet.names().place(partition);
        let (key, epoch) = (place.sign_in(), place.epoch());
        let sign_in = SignIn { epoch: base.epoch, shared: generation, ..sign_in.clone() };
        let sealed = write_sign_in(partition, &sign_in).and_then(|payload| shared.fleet.seal(&key, generation, &payload));
        let Some(value) = sealed else { return Kept::Later };
        let left = u64::try_from(sign_in.expires_on.saturating_sub(self.clock.unix())).unwrap_or(0).max(1);
        let ttl = Duration::from_secs(left);
        let named = epoch_bytes(base.epoch);
        let mut put = Put {
            key: &key,
            value: &value,
            ttl,
            base: base.generation,
            epoch: Some(store::Epoch { key: &epoch, named: &named }),
            index: None,
            lease: None,
            grant: true,
        };
        for _ in 0..ATTEMPTS {
            match shared.epochs.put_named(partition, base.epoch, &put).await {
                Ok(Placed::Stored) => {
                    for names in shared.fleet.other_names() {
                        // What another version has is older, which its generation says until it has gone.
                        let _older = shared.fleet.store().clear(&[&names.place(partition).sign_in()]).await;
                    }
                    self.list(shared, partition, &sign_in).await;
                    shared.recent.brought(partition, Arc::new(sign_in));
                    return Kept::Stored;
                }
                // The store has lost what was read there, and has again what came before that.
                Ok(Placed::Stale(theirs)) if is_before(shared, partition, &sign_in, &theirs, base) => {
                    put.base = Ring::generation(&theirs);
                }
                Ok(Placed::Stale(_)) => return Kept::Stale,
                Ok(Placed::SignedOut) => return Kept::SignedOut,
                Ok(Placed::Lost) | Err(_) => return Kept::Later,
            }
        }
        Kept::Later
    }
}

/// Whether the store has lost the sign-in that is known, by what stands there; none: nothing that can be read. `epoch` is the
/// account's.
fn is_lost(known: &SignIn, standing: Option<&SignIn>, epoch: Epoch) -> bool {
    known.epoch >= epoch && standing.is_none_or(|standing| standing.epoch < known.epoch || is_ancestor(standing, known))
}

/// The sign-in under the names of one version, whether or not it still stands, and the state that a change of it is compared with.
async fn sign_in_at(
    shared: &SharedLevel,
    names: &Names,
    space: &SpaceId,
    partition: &Partition,
) -> Result<(Option<SignIn>, Base), Unavailable> {
    let place = names.place(partition);
    let (name, epoch) = (place.sign_in(), place.epoch());
    let (values, left) = shared.fleet.store().patient().read_timed(&[&name, &epoch]).await.map_err(|_| Unavailable::Unreachable)?;
    let epoch = epoch_of(values.get(1));
    let Some(value) = values.first().and_then(Option::as_ref) else {
        return Ok((None, Base { generation: None, epoch }));
    };
    shared.fleet.meet([value]).await;
    let opened = shared.fleet.open_needed(&name, value).map_err(|_| Unavailable::Unreadable)?;
    let read = opened.and_then(|opened| read_sign_in(&opened.payload, opened.generation, space, Some(partition)));
    Ok((read.map(|(_, sign_in)| shared.fleet.sign_in_until(sign_in, left)), Base { generation: Ring::generation(value), epoch }))
}

/// Whether the store has gone back behind the state that this change of a sign-in was made over.
fn is_before(shared: &SharedLevel, partition: &Partition, sign_in: &SignIn, standing: &[u8], base: Base) -> bool {
    let Some(generation) = base.generation else { return false };
    let name = shared.fleet.names().place(partition).sign_in();
    let Ok(Some(opened)) = shared.fleet.open_needed(&name, standing) else { return false };
    let read = read_sign_in(&opened.payload, opened.generation, &sign_in.space, Some(partition));
    // What is put descends from what was read.
    let over = SignIn { epoch: base.epoch, shared: generation, ..sign_in.clone() };
    read.is_some_and(|(_, standing)| is_ancestor(&standing, &over))
}
