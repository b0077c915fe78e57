//! Who is signed in, and signing out: every token of the account is gone from every replica. Nothing is revoked at the authority.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use tracing::Instrument as _;

use super::app::App;
use super::members::account;
use super::refusal::{Refusal, RefusalKind, overloaded};
use super::request::{Accounts, Listing};
use super::spine::failure::{broken_off, unavailable};
use super::state::FlowState;
use crate::cache::{Cursor, Known, Mark, Work};
use crate::caller::Caller;
use crate::token::{KeySpace, Partition, PartitionOwner, SignedInAccount, SpaceId, Turn};

/// How many accounts a listing brings if nothing else is said, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// Of how many owners accounts are listed at once.
const OWNERS: usize = 16;

/// How much of a space's id stands in a cursor: enough to tell its owners apart.
const TAG: usize = 8;

/// Where a listing goes on: the owner by its place in their order, and the place among this owner's accounts.
type Position = (usize, Option<Cursor>);

/// About so many accounts of an app.
pub(super) async fn list(state: &FlowState, app: &App, caller: Caller, listing: &Listing<'_>) -> Result<Accounts, Refusal> {
    let limit = listing.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::member(format!("`limit` is not from 1 to {MOST}")));
    }
    let spaces = spaces(state, app, caller);
    let wrong = || Refusal::member("`cursor` is none: give the `next` of the listing before, or leave it out");
    let (first, mut cursor) = listing.cursor.map_or(Some((0, None)), |text| read(text, &spaces)).ok_or_else(wrong)?;
    let mut asked = Vec::new();
    for (index, space) in spaces.iter().enumerate().skip(first) {
        let (space, cursor) = (*space, cursor.take());
        asked.push(async move { (index, space, state.cache.accounts().page(space.id(), cursor, limit).await) }.boxed());
    }
    let mut pages = stream::iter(asked).buffered(OWNERS);
    let (mut accounts, mut complete): (Vec<SignedInAccount>, bool) = (Vec::new(), true);
    while let Some((index, space, page)) = pages.next().await {
        let room = limit - accounts.len();
        if room == 0 {
            return Ok(Accounts { accounts, next: Some(write((index, None), &spaces)), complete });
        }
        let mut page = page.map_err(unavailable)?;
        if page.accounts.len() > room {
            // It was asked before it was known how much room those before it leave.
            page = state.cache.accounts().page(space.id(), None, room).await.map_err(unavailable)?;
        }
        complete &= page.complete;
        for listed in page.accounts {
            // One user may have signed in through several callers.
            let id = &listed.account.home_account_id;
            match accounts.iter_mut().find(|known| index > 0 && known.account.home_account_id == *id) {
                Some(known) => known.join(&listed),
                None => accounts.push(listed),
            }
        }
        if page.next.is_some() {
            return Ok(Accounts { accounts, next: Some(write((index, page.next), &spaces)), complete });
        }
    }
    Ok(Accounts { accounts, next: None, complete })
}

/// One account.
pub(super) async fn one(state: &FlowState, app: &App, caller: Caller, id: &str) -> Result<SignedInAccount, Refusal> {
    let id = account(app, Some(id), "home_account_id")?;
    let mut places: Vec<_> =
        spaces(state, app, caller).into_iter().map(|space| (*space.id(), space.partition(PartitionOwner::Account(id)))).collect();
    if places.len() > 1 {
        let partitions: Vec<Partition> = places.iter().map(|(_, partition)| *partition).collect();
        let Known { known, unsure } = state.cache.accounts().known(&partitions).await;
        if let Some(why) = unsure {
            return Err(unavailable(why));
        }
        let mut known = known.into_iter();
        places.retain(|_| known.next() == Some(true));
    }
    for (space, partition) in &places {
        let signed = state.cache.accounts().signed(space, partition).await.map_err(unavailable)?;
        if let Some(sign_in) = signed.sign_in {
            return Ok(sign_in.listed());
        }
    }
    Err(unknown())
}

/// By what the authority knows an account that is to sign out, where its id token said it. Accounts that the caller may not use say
/// nothing.
pub(super) async fn login_hint(state: &FlowState, app: &App, caller: Caller, id: &str) -> Result<Option<String>, Refusal> {
    for space in spaces(state, app, caller) {
        let partition = space.partition(PartitionOwner::Account(id));
        let signed = state.cache.accounts().signed(space.id(), &partition).await.map_err(unavailable)?;
        if let Some(hint) = signed.sign_in.as_ref().and_then(|sign_in| sign_in.login_hint()) {
            return Ok(Some(hint.to_owned()));
        }
    }
    Ok(None)
}

/// Signs an account out in every place that the caller may use, whether or not anything is known of it. It goes on when the caller
/// leaves: half a sign-out would be none.
pub(super) async fn sign_out(state: &Arc<FlowState>, app: &Arc<App>, caller: Caller, id: &str) -> Result<(), Refusal> {
    let id = account(app, Some(id), "home_account_id")?;
    let places: Vec<_> =
        spaces(state, app, caller).iter().map(|space| (*space.id(), space.partition(PartitionOwner::Account(id)))).collect();
    sign_out_at(state, places, id.len()).await
}

/// Signs an account out in these places: each is a space and a partition of it. It goes on when the caller leaves. `carried`: what
/// it keeps of the request, in bytes.
pub(super) async fn sign_out_at(state: &Arc<FlowState>, places: Vec<(SpaceId, Partition)>, carried: usize) -> Result<(), Refusal> {
    let permit = state.cache.budget().take(Work::SignOut, carried).ok_or_else(|| overloaded("limits.flights", &state.clock))?;
    let (sender, outcome) = tokio::sync::oneshot::channel();
    let detached = Arc::clone(state);
    let work = async move {
        let signed_out = detached.cache.accounts().sign_out_each(&places).await;
        drop(permit);
        let _gone = sender.send(signed_out);
    };
    // Part of the request, whose span ends with it.
    state.tasks.awaited("sign-out", work.in_current_span());
    outcome.await.map_err(|_| broken_off())?.map_err(unavailable)
}

/// Where the accounts are that a caller may use, its own first.
fn spaces<'a>(state: &FlowState, app: &'a App, caller: Caller) -> Vec<&'a KeySpace> {
    state.owners(caller).unwrap_or_else(|| vec![caller]).into_iter().map(|owner| app.space_of(owner)).collect()
}

fn unknown() -> Refusal {
    let detail = "there is no such account: `GET /accounts` lists those that there are";
    Refusal::new(Turn::Configuration, RefusalKind::UnknownAccount, detail)
}

fn write((index, cursor): Position, spaces: &[&KeySpace]) -> String {
    let cursor = cursor.map(|cursor| match cursor {
        Cursor::Shared(shard, None) => vec![b's', shard],
        Cursor::Shared(shard, Some(mark)) => [&[b's', shard], &mark.score.to_be_bytes()[..], &mark.member].concat(),
        Cursor::Memory(partition) => [&b"m"[..], &partition].concat(),
    });
    // By its tag, and not by its number: replicas may differ for a while in which callers they know.
    let other = spaces.get(index).filter(|_| index > 0).map(|space| [&b"o"[..], tag(space)].concat());
    URL_SAFE_NO_PAD.encode([other.unwrap_or_default(), cursor.unwrap_or_default()].concat())
}

fn read(text: &str, spaces: &[&KeySpace]) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let Some(rest) = bytes.strip_prefix(b"o") else { return Some((0, Some(cursor(&bytes)?))) };
    let (owner, rest) = rest.split_at_checked(TAG)?;
    let index = spaces.iter().position(|space| tag(space) == owner)?;
    let cursor = if rest.is_empty() { None } else { Some(cursor(rest)?) };
    Some((index, cursor))
}

fn cursor(bytes: &[u8]) -> Option<Cursor> {
    match bytes.split_first()? {
        (b's', rest) => {
            let (shard, rest) = rest.split_first()?;
            if rest.is_empty() {
                return Some(Cursor::Shared(*shard, None));
            }
            let (score, member) = rest.split_first_chunk()?;
            let score = Some(f64::from_be_bytes(*score)).filter(|score| !score.is_nan())?;
            Some(Cursor::Shared(*shard, Some(Mark { score, member: Bytes::copy_from_slice(member) })))
        }
        (b'm', rest) => Some(Cursor::Memory(Partition::new(rest.try_into().ok()?))),
        _ => None,
    }
}

fn tag(space: &KeySpace) -> &[u8] {
    space.id().get(..TAG).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use bytes::Bytes;

    use super::{Cursor, KeySpace, Mark, Partition, read, write};

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let space = KeySpace::new("host", "client");
        let (own, other) = (space.of_caller("a"), space.of_caller("b"));
        let (spaces, fewer) = ([&own, &other, &space], [&own]);
        let mark = |score, member| Some(Mark { score, member: Bytes::from_static(member) });
        let marks = [None, mark(1_795_300_000.0, &[7; 16][..]), mark(-1.5, b""), mark(f64::INFINITY, b"x")];
        for cursor in marks
            .map(|mark| Cursor::Shared(63, mark))
            .into_iter()
            .chain([Cursor::Shared(0, None), Cursor::Memory(Partition::new([7; 32]))])
        {
            for index in 0..spaces.len() {
                let text = write((index, Some(cursor.clone())), &spaces);
                assert_eq!(read(&text, &spaces), Some((index, Some(cursor.clone()))));
                // Who may not use the others' accounts cannot use their cursors.
                assert_eq!(read(&text, &fewer).is_some(), index == 0);
            }
        }
        assert_eq!(read(&write((2, None), &spaces), &spaces), Some((2, None)));
        let nan = URL_SAFE_NO_PAD.encode([&b"s\0"[..], &f64::NAN.to_be_bytes(), b"member"].concat());
        for bad in ["", "!", "cw", "cwAA", "bQ", "eAAA", "bw", "b28", &nan] {
            assert_eq!(read(bad, &spaces), None, "{bad}");
        }
    }
}
