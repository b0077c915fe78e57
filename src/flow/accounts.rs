//! Who is signed in, and signing out: every token of the account is gone from every replica. Nothing is revoked at the authority.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tracing::Instrument as _;

use super::Inner;
use super::app::App;
use super::callers::Caller;
use super::refresh::unavailable;
use super::refusal::{Kind, Refusal, overloaded};
use super::request::{Accounts, Listing};
use super::silent::account;
use crate::cache::{Cursor, KeySpace, Owner, Work};
use crate::token::{Account, Turn};

/// How many accounts a listing brings if nothing else is said, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// How much of a space's id stands in a cursor: enough to tell its owners apart.
const TAG: usize = 8;

/// Where a listing goes on: in the accounts of which owner, by their order, and where among these.
type Position = (usize, Option<Cursor>);

/// About so many accounts of an app.
pub(super) async fn list(inner: &Inner, app: &App, caller: Caller, listing: &Listing<'_>) -> Result<Accounts, Refusal> {
    let limit = listing.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::member(format!("`limit` is not from 1 to {MOST}")));
    }
    let spaces = spaces(inner, app, caller);
    let wrong = || Refusal::member("`cursor` is none: give the `next` of the listing before, or leave it out");
    let (first, mut cursor) = listing.cursor.map_or(Some((0, None)), |text| read(text, &spaces)).ok_or_else(wrong)?;
    let mut accounts: Vec<Account> = Vec::new();
    for (index, space) in spaces.iter().enumerate().skip(first) {
        if accounts.len() >= limit {
            return Ok(Accounts { accounts, next: Some(write((index, None), &spaces)) });
        }
        let (found, next) = inner.cache.accounts(space.id(), cursor.take(), limit - accounts.len()).await.map_err(unavailable)?;
        for account in found {
            // The same user may have signed in through several callers.
            if index == 0 || !accounts.iter().any(|known| known.home_account_id == account.home_account_id) {
                accounts.push(account);
            }
        }
        if next.is_some() {
            return Ok(Accounts { accounts, next: Some(write((index, next), &spaces)) });
        }
    }
    Ok(Accounts { accounts, next: None })
}

/// One account.
pub(super) async fn one(inner: &Inner, app: &App, caller: Caller, id: &str) -> Result<Account, Refusal> {
    let id = account(app, Some(id), "home_account_id")?;
    for space in spaces(inner, app, caller) {
        let signed = inner.cache.signed(space.id(), &space.partition(Owner::Account(id))).await.map_err(unavailable)?;
        if let Some(sign_in) = signed.sign_in {
            return Ok(sign_in.account.clone());
        }
    }
    Err(unknown())
}

/// Signs an account out, wherever the caller may, whether or not anything is known of it. It goes on when the caller leaves: half a sign-out
/// would be none.
pub(super) async fn sign_out(inner: &Arc<Inner>, app: &Arc<App>, caller: Caller, id: &str) -> Result<(), Refusal> {
    let id = account(app, Some(id), "home_account_id")?;
    let places: Vec<_> =
        spaces(inner, app, caller).iter().map(|space| (*space.id(), space.partition(Owner::Account(id)))).collect();
    let permit = inner.cache.budget().take(Work::SignOut, id.len()).ok_or_else(|| overloaded("limits.flights", &inner.clock))?;
    let (sender, outcome) = tokio::sync::oneshot::channel();
    let detached = Arc::clone(inner);
    let work = async move {
        let mut signed_out = Ok(());
        for (space, partition) in &places {
            // Each is tried, whatever came of the others: memory forgets it in any case.
            signed_out = signed_out.and(detached.cache.sign_out(space, partition).await);
        }
        drop(permit);
        let _gone = sender.send(signed_out);
    };
    // Part of the request, whose span ends with it.
    inner.tasks.awaited("sign-out", work.in_current_span());
    let broken_off = |_| super::acquire::broken_off();
    outcome.await.map_err(broken_off)?.map_err(unavailable)
}

/// Where the accounts are that a caller may use, its own first.
fn spaces<'a>(inner: &Inner, app: &'a App, caller: Caller) -> Vec<&'a KeySpace> {
    inner.owners(caller).unwrap_or_else(|| vec![caller]).into_iter().map(|owner| app.space_of(owner)).collect()
}

fn unknown() -> Refusal {
    let detail = "there is no such account: `GET /accounts` lists those that there are";
    Refusal::new(Turn::Configuration, Kind::UnknownAccount, detail)
}

fn write((index, cursor): Position, spaces: &[&KeySpace]) -> String {
    let cursor = cursor.map(|cursor| match cursor {
        Cursor::Shared(shard, place) => [&[b's', shard], &place.to_be_bytes()[..]].concat(),
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
            let (shard, place) = rest.split_first()?;
            Some(Cursor::Shared(*shard, u64::from_be_bytes(place.try_into().ok()?)))
        }
        (b'm', rest) => Some(Cursor::Memory(rest.try_into().ok()?)),
        _ => None,
    }
}

fn tag(space: &KeySpace) -> &[u8] {
    space.id().get(..TAG).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Cursor, KeySpace, read, write};

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let space = KeySpace::new("host", "client");
        let (own, other) = (space.of_caller("a"), space.of_caller("b"));
        let (spaces, fewer) = ([&own, &other, &space], [&own]);
        for cursor in [Cursor::Shared(63, u64::MAX), Cursor::Shared(0, 0), Cursor::Memory([7; 32])] {
            for index in 0..spaces.len() {
                let text = write((index, Some(cursor)), &spaces);
                assert_eq!(read(&text, &spaces), Some((index, Some(cursor))));
                // Who may not use the others' accounts cannot use their cursors.
                assert_eq!(read(&text, &fewer).is_some(), index == 0);
            }
        }
        assert_eq!(read(&write((2, None), &spaces), &spaces), Some((2, None)));
        for bad in ["", "!", "cw", "bQ", "eAAA", "bw", "b28"] {
            assert_eq!(read(bad, &spaces), None, "{bad}");
        }
    }
}
