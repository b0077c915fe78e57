//! Who is signed in, and signing out: every token of the account is gone from every replica. Nothing is revoked at the authority.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tracing::Instrument as _;

use super::Inner;
use super::app::App;
use super::refresh::unavailable;
use super::refusal::{Kind, Refusal};
use super::request::{Accounts, Listing};
use super::silent::account;
use crate::cache::{Cursor, Owner};
use crate::token::{Account, Turn};

/// How many accounts a listing brings if nothing else is said, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// About so many accounts of an app.
pub(super) async fn list(inner: &Inner, app: &App, listing: &Listing<'_>) -> Result<Accounts, Refusal> {
    let limit = listing.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::member(format!("`limit` is not from 1 to {MOST}")));
    }
    let wrong = || Refusal::member("`cursor` is none: give the `next` of the listing before, or leave it out");
    let cursor = listing.cursor.map(|text| read(text).ok_or_else(wrong)).transpose()?;
    let (accounts, next) = inner.cache.accounts(app.space.id(), cursor, limit).await.map_err(unavailable)?;
    Ok(Accounts { accounts, next: next.map(write) })
}

/// One account.
pub(super) async fn one(inner: &Inner, app: &App, id: &str) -> Result<Account, Refusal> {
    let partition = app.space.partition(Owner::Account(account(app, Some(id), "home_account_id")?));
    let signed = inner.cache.signed(app.space.id(), &partition).await.map_err(unavailable)?;
    signed.sign_in.map(|sign_in| sign_in.account.clone()).ok_or_else(unknown)
}

/// Signs an account out. It goes on when the caller leaves: half a sign-out would be none.
pub(super) async fn sign_out(inner: &Arc<Inner>, app: &Arc<App>, id: &str) -> Result<(), Refusal> {
    let partition = app.space.partition(Owner::Account(account(app, Some(id), "home_account_id")?));
    let (sender, outcome) = tokio::sync::oneshot::channel();
    let (detached, space) = (Arc::clone(inner), *app.space.id());
    let work = async move {
        let _gone = sender.send(detached.cache.sign_out(&space, &partition).await);
    };
    // Part of the request, whose span ends with it.
    inner.tasks.awaited("sign-out", work.in_current_span());
    let broken_off = |_| super::acquire::broken_off();
    let removed = outcome.await.map_err(broken_off)?.map_err(unavailable)?;
    if removed { Ok(()) } else { Err(unknown()) }
}

fn unknown() -> Refusal {
    let detail = "there is no such account: `GET /accounts` lists those that there are";
    Refusal::new(Turn::Configuration, Kind::UnknownAccount, detail)
}

fn write(cursor: Cursor) -> String {
    let bytes = match cursor {
        Cursor::Shared(shard, place) => [&[b's', shard], &place.to_be_bytes()[..]].concat(),
        Cursor::Memory(partition) => [&b"m"[..], &partition].concat(),
    };
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    match bytes.split_first()? {
        (b's', rest) => {
            let (shard, place) = rest.split_first()?;
            Some(Cursor::Shared(*shard, u64::from_be_bytes(place.try_into().ok()?)))
        }
        (b'm', rest) => Some(Cursor::Memory(rest.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, read, write};

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        for cursor in [Cursor::Shared(63, u64::MAX), Cursor::Shared(0, 0), Cursor::Memory([7; 32])] {
            assert_eq!(read(&write(cursor)), Some(cursor));
        }
        for bad in ["", "!", "cw", "bQ", "eAAA"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
