//! What each call does.

use std::time::Duration;

use bytes::Bytes;
use tokend::store::{BreakerState, Claim, Epoch, Holder, Index, Mark, Note, Placed, Put, Raised, Removed, ReturnedLease, Shared};
use tokio::sync::mpsc;

use super::{LONG, PATIENCE, Store, standalone};
use crate::support::eventually;
use crate::support::redis::{Flavour, RedisServer};

const OWNER: [u8; 16] = *b"owner-0123456789";
const OTHER: [u8; 16] = *b"other-0123456789";
const KEY: &str = "tokend:{p}:k";
const LEASE: &str = "tokend:{p}:l";
const OUTCOME: &str = "tokend:{p}:o";
const EPOCH: &str = "tokend:{p}:e";
const INDEX: &str = "tokend:{p}:i";
/// Epochs: none, and two of which the second is higher.
const NONE: [u8; 8] = [0; 8];
const OLD: [u8; 8] = [0, 0, 0, 0, 1, 200, 0, 255];
const NEW: [u8; 8] = [0, 0, 0, 0, 2, 100, 0, 0];

fn value(generation: u64, text: &str) -> Vec<u8> {
    format!("{generation:016x}{text}").into_bytes()
}

fn put<'a>(value: &'a [u8], base: Option<u64>) -> Put<'a> {
    Put { key: KEY, value, ttl: LONG, base, epoch: None, index: None, lease: None, grant: false }
}

fn claim<'a>(owner: &'a [u8; 16], followed: &'a [[u8; 16]]) -> Claim<'a> {
    Claim { lease: LEASE, outcome: OUTCOME, reads: &[KEY, EPOCH], owner, lapsed: None, ttl: LONG, followed }
}

fn note<'a>(key: &'a str, value: &'a [u8]) -> Note<'a> {
    Note { key, value, ttl: LONG }
}

fn held(owner: [u8; 16]) -> Holder {
    Holder::new(owner)
}

/// Every call does the same on Redis and on Valkey.
async fn on_both(test: impl AsyncFn(Store, RedisServer)) {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = RedisServer::options().flavour(flavour).start().await;
        test(Store::open(&standalone(&server.url())), server).await;
    }
}

#[tokio::test]
async fn nothing_is_connected_before_the_first_call() {
    let server = RedisServer::start().await;
    let store = Store::open(&standalone(&server.url()));
    tokio::task::yield_now().await;
    assert_eq!(server.client_count().await, 0);
    assert_eq!(store.get(KEY).await, None);
    assert_eq!(server.client_count().await, 1);
}

#[tokio::test]
async fn reads_in_the_order_of_the_keys() {
    on_both(async |store, _server| {
        assert!(store.set("tokend:{p}:a", b"1").await && store.set("tokend:{q}:b", &[0, 255]).await);
        let read = store.shared.read(&["tokend:{p}:x", "tokend:{p}:a"]).await;
        assert_eq!(read, Ok(vec![None, Some(Bytes::from_static(b"1"))]));
        assert_eq!(store.shared.read(&[]).await, Ok(vec![]));
        let keys: Vec<String> =
            (0..600).map(|number| format!("tokend:{{{number}}}:x")).chain(["tokend:{q}:b".to_owned()]).collect();
        let read = store.shared.read_each(&keys).await.expect("an answer");
        assert_eq!(read.len(), 601);
        assert_eq!(read.last(), Some(&Some(Bytes::from_static(&[0, 255]))));
        store.shared.clear(&["tokend:{p}:a", "tokend:{p}:x"]).await.expect("an answer");
        assert_eq!(store.get("tokend:{p}:a").await, None);
    })
    .await;
}

#[tokio::test]
async fn puts_only_what_is_newer() {
    on_both(async |store, server| {
        let (first, second, third) = (value(1, "first"), value(2, "second"), value(3, "third"));
        assert_eq!(store.shared.put(&put(&first, None)).await, Ok(Placed::Stored));
        assert_eq!(store.shared.put(&put(&second, Some(1))).await, Ok(Placed::Stored));
        // Who had not seen the second, and who had seen none.
        for base in [Some(1), None, Some(7)] {
            assert_eq!(store.shared.put(&put(&third, base)).await, Ok(Placed::Stale(Bytes::from(second.clone()))), "{base:?}");
        }
        // Once more, as if the answer had been lost.
        assert_eq!(store.shared.put(&put(&second, Some(1))).await, Ok(Placed::Stored));
        assert_eq!(store.get(KEY).await, Some(second));
        // The largest one: numbers in scripts would not tell them apart.
        let (large, larger) = (value(u64::MAX - 1, "large"), value(u64::MAX, "larger"));
        server.flush().await;
        assert_eq!(store.shared.put(&put(&large, Some(u64::MAX))).await, Ok(Placed::Stored), "nothing is there");
        assert_eq!(store.shared.put(&put(&larger, Some(u64::MAX))).await, Ok(Placed::Stale(Bytes::from(large))));
        // What has no generation is in nobody's way.
        for garbage in [&b"garbage"[..], b"", b"not-hexadecimal-and-long"] {
            assert!(store.set(KEY, garbage).await);
            assert_eq!(store.shared.put(&put(&first, None)).await, Ok(Placed::Stored));
        }
    })
    .await;
}

#[tokio::test]
async fn a_put_is_refused_after_a_sign_out() {
    on_both(async |store, _server| {
        let (first, second) = (value(1, "first"), value(2, "second"));
        let named = |named| Put { epoch: Some(Epoch { key: EPOCH, named }), ..put(&first, None) };
        assert_eq!(store.shared.put(&named(&NONE)).await, Ok(Placed::Stored), "there is no epoch");
        assert_eq!(store.shared.remove(note(EPOCH, &OLD), &[KEY, LEASE, INDEX], false).await, Ok(Removed::Done(1)));
        assert_eq!(store.shared.put(&named(&NONE)).await, Ok(Placed::SignedOut));
        assert_eq!(
            store.shared.remove(note(EPOCH, &NEW), &[KEY, LEASE, INDEX], false).await,
            Ok(Removed::Done(1)),
            "the epoch itself"
        );
        for old in [&NONE, &OLD] {
            assert_eq!(store.shared.put(&named(old)).await, Ok(Placed::SignedOut));
        }
        assert_eq!(store.get(KEY).await, None);
        assert_eq!(store.shared.put(&named(&NEW)).await, Ok(Placed::Stored));
        assert_eq!(store.shared.put(&Put { base: Some(1), value: &second, ..named(&NEW) }).await, Ok(Placed::Stored));
    })
    .await;
}

/// Redis has lost what was read there: that is no match, and nothing is done.
#[tokio::test]
async fn a_put_finds_that_an_epoch_is_lost() {
    on_both(async |store, _server| {
        let value = value(1, "first");
        let lease = ReturnedLease { key: LEASE, owner: &OWNER, outcome: None };
        let named = Put { epoch: Some(Epoch { key: EPOCH, named: &NEW }), lease: Some(lease), ..put(&value, None) };
        assert!(store.set(LEASE, &OWNER).await);
        assert_eq!(store.shared.put(&named).await, Ok(Placed::Lost), "there is none");
        assert!(store.set(EPOCH, &OLD).await);
        assert_eq!(store.shared.put(&named).await, Ok(Placed::Lost), "there is one of before");
        assert_eq!((store.get(KEY).await, store.get(LEASE).await), (None, Some(OWNER.to_vec())));
        assert_eq!(store.shared.raise(note(EPOCH, &NEW)).await, Ok(Raised::Raised));
        assert_eq!(store.shared.put(&named).await, Ok(Placed::Stored));
        assert!(store.set(EPOCH, b"garbage").await);
        assert_eq!(store.shared.put(&named).await, Ok(Placed::SignedOut));
    })
    .await;
}

#[tokio::test]
async fn an_epoch_only_rises() {
    on_both(async |store, server| {
        assert_eq!(store.shared.raise(note(EPOCH, &OLD)).await, Ok(Raised::Raised), "there is none");
        assert_eq!(store.shared.raise(note(EPOCH, &OLD)).await, Ok(Raised::Stood));
        assert_eq!(store.shared.raise(note(EPOCH, &NEW)).await, Ok(Raised::Raised));
        let higher = || Bytes::copy_from_slice(&NEW);
        assert_eq!(store.shared.raise(note(EPOCH, &OLD)).await, Ok(Raised::Higher(higher())));
        // Nor does a sign-out lower it, or delete anything then.
        assert!(store.set(KEY, b"value").await);
        assert_eq!(store.shared.remove(note(EPOCH, &OLD), &[KEY], true).await, Ok(Removed::Higher(higher())));
        // Once more, as if the answer had been lost: what stands there came afterwards.
        assert_eq!(store.shared.remove(note(EPOCH, &NEW), &[KEY], true).await, Ok(Removed::Done(1)));
        assert_eq!((store.get(EPOCH).await, store.get(KEY).await), (Some(NEW.to_vec()), Some(b"value".to_vec())));
        // Each byte counts, and each as a number.
        let steps = [0x7f_u64 << 40, 0x80 << 40, (0x80 << 40) + 1, 0xff << 40, 0x0100 << 40, u64::MAX];
        server.flush().await;
        for step in steps {
            assert_eq!(store.shared.raise(note(EPOCH, &step.to_be_bytes())).await, Ok(Raised::Raised), "{step:x}");
        }
        for step in steps.iter().rev().skip(1) {
            assert!(matches!(store.shared.raise(note(EPOCH, &step.to_be_bytes())).await, Ok(Raised::Higher(_))), "{step:x}");
        }
        // What is none is written over, also by a server that is full.
        let mut admin = server.client().await;
        redis::cmd("DEL").arg(EPOCH).exec_async(&mut admin).await.expect("an answer");
        redis::cmd("LPUSH").arg(EPOCH).arg("x").exec_async(&mut admin).await.expect("an answer");
        assert_eq!(store.shared.raise(note(EPOCH, &OLD)).await, Ok(Raised::Raised));
        redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec_async(&mut admin).await.expect("an answer");
        assert_eq!(store.shared.raise(note(EPOCH, &NEW)).await, Ok(Raised::Raised));
        assert_eq!(store.shared.remove(note(EPOCH, &steps[5].to_be_bytes()), &[KEY], true).await, Ok(Removed::Done(1)));
    })
    .await;
}

#[tokio::test]
async fn where_nothing_stands_a_sign_out_leaves_nothing_unless_it_has_to() {
    on_both(async |store, _server| {
        assert_eq!(store.shared.remove(note(EPOCH, &NEW), &[KEY, INDEX], false).await, Ok(Removed::Done(0)));
        assert_eq!(store.get(EPOCH).await, None);
        assert_eq!(store.shared.remove(note(EPOCH, &NEW), &[KEY, INDEX], true).await, Ok(Removed::Done(0)));
        assert_eq!(store.get(EPOCH).await, Some(NEW.to_vec()));
    })
    .await;
}

#[tokio::test]
async fn a_value_is_withdrawn_while_it_is_the_same() {
    on_both(async |store, _server| {
        let (first, second) = (value(1, "first"), value(2, "second"));
        assert_eq!(store.shared.put(&put(&first, None)).await, Ok(Placed::Stored));
        assert_eq!(store.shared.put(&put(&second, Some(1))).await, Ok(Placed::Stored));
        assert_eq!(store.shared.withdraw(KEY, 1).await, Ok(()));
        assert_eq!(store.get(KEY).await, Some(second));
        assert_eq!(store.shared.withdraw(KEY, 2).await, Ok(()));
        assert_eq!(store.get(KEY).await, None);
        assert_eq!(store.shared.withdraw(KEY, 2).await, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn a_put_gives_the_lease_back_and_tells_the_followers() {
    on_both(async |store, server| {
        let (first, second) = (value(1, "first"), value(2, "second"));
        let told = [&OWNER[..], b"told"].concat();
        let lease = ReturnedLease { key: LEASE, owner: &OWNER, outcome: Some(note(OUTCOME, &told)) };
        let stored = Put { lease: Some(lease), ..put(&first, None) };
        assert!(store.shared.claim(&claim(&OWNER, &[])).await.is_ok_and(|claimed| claimed.won));
        assert_eq!(store.shared.put(&stored).await, Ok(Placed::Stored));
        assert_eq!((store.get(LEASE).await, store.get(OUTCOME).await), (None, Some(told.clone())));
        // Refused for its generation: told all the same.
        store.shared.clear(&[OUTCOME]).await.expect("an answer");
        assert!(store.set(LEASE, &held(OWNER).bytes()).await);
        let stale = Put { value: &second, base: Some(9), ..stored };
        assert!(matches!(store.shared.put(&stale).await, Ok(Placed::Stale(_))));
        assert_eq!((store.get(LEASE).await, store.get(OUTCOME).await), (None, Some(told.clone())));
        // Refused for a sign-out: not told. Somebody else's lease: left alone.
        store.shared.clear(&[OUTCOME]).await.expect("an answer");
        assert!(store.set(EPOCH, &NEW).await && store.set(LEASE, &held(OWNER).bytes()).await);
        let refused = Put { epoch: Some(Epoch { key: EPOCH, named: &OLD }), ..stored };
        assert_eq!(store.shared.put(&refused).await, Ok(Placed::SignedOut));
        assert_eq!((store.get(LEASE).await, store.get(OUTCOME).await), (None, None));
        assert!(store.set(LEASE, &held(OTHER).bytes()).await);
        assert_eq!(store.shared.put(&stored).await, Ok(Placed::Stored));
        assert_eq!((store.get(LEASE).await, store.get(OUTCOME).await), (Some(held(OTHER).bytes().to_vec()), None));
        server.flush().await;
    })
    .await;
}

#[tokio::test]
async fn a_put_keeps_the_index_short_and_alive() {
    on_both(async |store, server| {
        let mut connection = server.client().await;
        for (number, (expires_on, ttl)) in [(100, 100), (300, 300), (200, 200), (400, 10)].into_iter().enumerate() {
            let (generation, member) = (u64::try_from(number).expect("small"), format!("member {expires_on}"));
            let index = Index { key: INDEX, member: member.as_bytes(), expires_on, now: 50, most: 3 };
            let value = value(generation + 1, "");
            let base = generation.checked_sub(0).filter(|generation| *generation > 0);
            let put = Put { index: Some(index), ttl: Duration::from_secs(ttl), ..put(&value, base) };
            assert_eq!(store.shared.put(&put).await, Ok(Placed::Stored));
        }
        let newest = |members: &[&'static str]| Ok(members.iter().map(|member| Bytes::from_static(member.as_bytes())).collect());
        assert_eq!(store.shared.members(INDEX, 9).await, newest(&["member 400", "member 300", "member 200"]));
        assert_eq!(store.shared.members(INDEX, 1).await, newest(&["member 400"]));
        assert_eq!(store.shared.members(INDEX, 0).await, newest(&[]));
        let left: i64 = redis::cmd("TTL").arg(INDEX).query_async(&mut connection).await.expect("an answer");
        assert!((290..=300).contains(&left), "it lives as long as the longest: {left}");
        // What has expired leaves with the next.
        let index = Index { key: INDEX, member: b"member 500", expires_on: 500, now: 300, most: 3 };
        let value = value(5, "");
        assert_eq!(store.shared.put(&Put { index: Some(index), ..put(&value, Some(4)) }).await, Ok(Placed::Stored));
        assert_eq!(store.shared.members(INDEX, 9).await, newest(&["member 500", "member 400"]));
        // A put that is refused is not listed.
        let index = Index { key: INDEX, member: b"member 600", expires_on: 600, now: 300, most: 3 };
        assert!(matches!(store.shared.put(&Put { index: Some(index), ..put(&value, None) }).await, Ok(Placed::Stored)), "the same");
        assert!(matches!(store.shared.put(&Put { index: Some(index), ..put(b"0", None) }).await, Ok(Placed::Stale(_))));
    })
    .await;
}

#[tokio::test]
async fn a_set_spares_what_is_there() {
    on_both(async |store, server| {
        let marker = store.shared.markers().pop().expect("one");
        assert_eq!(store.shared.markers(), ["tokend:m"]);
        assert_eq!(store.shared.set_if_absent(note(&marker, b"first")).await, Ok(true));
        assert_eq!(store.shared.set_if_absent(note(&marker, b"second")).await, Ok(false));
        assert_eq!(store.get(&marker).await, Some(b"first".to_vec()));
        let left: i64 = server.admin().ask(&["TTL", &marker]).await.expect("an answer");
        assert!((1..=60).contains(&left), "{left}");
    })
    .await;
}

#[tokio::test]
async fn one_wins_a_claim_and_the_others_hear_what_came_of_it() {
    on_both(async |store, _server| {
        assert!(store.set(KEY, b"value").await);
        let won = store.shared.claim(&claim(&OWNER, &[])).await.expect("an answer");
        assert!(won.won && won.holder == Some(held(OWNER)) && won.outcome.is_none());
        assert_eq!(won.values, [Some(Bytes::from_static(b"value")), None]);
        // Once more, as if the answer had been lost.
        assert!(store.shared.claim(&claim(&OWNER, &[])).await.is_ok_and(|claimed| claimed.won));
        let lost = store.shared.claim(&claim(&OTHER, &[])).await.expect("an answer");
        assert!(!lost.won && lost.holder == Some(held(OWNER)) && lost.outcome.is_none());
        assert_eq!(lost.values, won.values);
        assert_eq!(store.shared.extend(LEASE, &held(OTHER), LONG, true).await, Ok(false));
        assert_eq!(store.shared.extend(LEASE, &held(OWNER), LONG, false).await, Ok(true));
        let told = [&OWNER[..], b"told"].concat();
        store.shared.release(LEASE, &OTHER, Some(note(OUTCOME, b"lies"))).await.expect("an answer");
        assert_eq!((store.get(LEASE).await, store.get(OUTCOME).await), (Some(held(OWNER).bytes().to_vec()), None));
        store.shared.release(LEASE, &OWNER, Some(note(OUTCOME, &told))).await.expect("an answer");
        assert_eq!(store.get(LEASE).await, None);
        // Who followed hears, and takes no lease; who did not takes it.
        let heard = store.shared.claim(&claim(&OTHER, &[[0; 16], OWNER])).await.expect("an answer");
        assert!(!heard.won && heard.holder.is_none());
        assert_eq!(heard.outcome, Some(Bytes::from(told)));
        assert_eq!(store.get(LEASE).await, None);
        assert!(store.shared.claim(&claim(&OTHER, &[[0; 16]])).await.is_ok_and(|claimed| claimed.won && claimed.outcome.is_none()));
        store.shared.release(LEASE, &OTHER, None).await.expect("an answer");
        assert_eq!(store.shared.extend(LEASE, &held(OTHER), LONG, false).await, Ok(false));
        // Nothing to read is fine.
        let bare = Claim { reads: &[], ..claim(&OWNER, &[]) };
        assert!(store.shared.claim(&bare).await.is_ok_and(|claimed| claimed.won && claimed.values.is_empty()));
        // What is no owner has no lease.
        assert!(store.set(LEASE, b"garbage").await);
        assert!(store.shared.claim(&bare).await.is_ok_and(|claimed| claimed.won));
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_renewed_in_order_and_by_its_holder_alone() {
    on_both(async |store, server| {
        let renewed = |renewed, sending| Holder { owner: OWNER, renewed, sending };
        let stands = async || Holder::read(&store.get(LEASE).await.expect("a lease")).expect("somebody's");
        assert!(store.shared.claim(&claim(&OWNER, &[])).await.is_ok_and(|claimed| claimed.won));
        // The largest ones: numbers in scripts would not tell them apart, and a byte of a number is no letter.
        for count in [1, 2, 255, 256, 1 << 32, u64::MAX - 1, u64::MAX] {
            assert_eq!(store.shared.extend(LEASE, &renewed(count, 7), LONG, false).await, Ok(true));
            assert_eq!(stands().await, renewed(count, 7));
            // One that was sent before and comes after changes nothing, the mark least of all.
            assert_eq!(store.shared.extend(LEASE, &renewed(count - 1, 0), LONG, true).await, Ok(true));
            assert_eq!(stands().await, renewed(count, 7));
            // Nor does a claim whose answer was lost.
            assert!(store.shared.claim(&claim(&OWNER, &[])).await.is_ok_and(|claimed| claimed.won));
            assert_eq!(stands().await, renewed(count, 7));
        }
        let left: i64 = redis::cmd("TTL").arg(LEASE).query_async(&mut server.client().await).await.expect("an answer");
        assert!(left > 50, "it lives on: {left}");
        // What was lost with the store is written again only where it has to be.
        server.flush().await;
        assert_eq!(store.shared.extend(LEASE, &renewed(3, 7), LONG, false).await, Ok(false));
        assert_eq!(store.get(LEASE).await, None);
        assert_eq!(store.shared.extend(LEASE, &renewed(3, 7), LONG, true).await, Ok(true));
        assert_eq!(stands().await, renewed(3, 7));
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_has_lapsed_is_taken_by_one_of_those_who_saw_it() {
    on_both(async |store, server| {
        let first = Holder { owner: OWNER, renewed: 5, sending: 9 };
        assert!(store.set(LEASE, &first.bytes()).await);
        // Renewed since, or another's: it has not lapsed.
        for seen in [Holder { renewed: 4, ..first }, Holder { sending: 0, ..first }, Holder { owner: OTHER, ..first }] {
            let owner: [u8; 16] = rand::random();
            let claimed = store.shared.claim(&Claim { lapsed: Some(seen), ..claim(&owner, &[]) }).await.expect("an answer");
            assert!(!claimed.won && claimed.holder == Some(first), "{seen:?}");
        }
        let owners: Vec<[u8; 16]> = (0..50_u128).map(u128::to_be_bytes).collect();
        let claims: Vec<_> = owners.iter().map(|owner| Claim { lapsed: Some(first), ..claim(owner, &[]) }).collect();
        let claimed = futures_util::future::join_all(claims.iter().map(|claim| store.shared.claim(claim))).await;
        assert_eq!(claimed.iter().filter(|claimed| claimed.as_ref().is_ok_and(|claimed| claimed.won)).count(), 1);
        // Who had it has lost it for good.
        assert_eq!(store.shared.extend(LEASE, &Holder { renewed: 6, ..first }, LONG, true).await, Ok(false));
        store.shared.release(LEASE, &OWNER, Some(note(OUTCOME, b"lies"))).await.expect("an answer");
        assert_eq!(store.get(OUTCOME).await, None);
        // What is of another type is nobody's, an outcome too.
        let mut admin = server.client().await;
        for key in [LEASE, OUTCOME] {
            redis::cmd("DEL").arg(key).exec_async(&mut admin).await.expect("an answer");
            redis::cmd("LPUSH").arg(key).arg("x").exec_async(&mut admin).await.expect("an answer");
        }
        assert!(store.shared.claim(&claim(&OWNER, &[OTHER])).await.is_ok_and(|claimed| claimed.won && claimed.outcome.is_none()));
        let told = [&OWNER[..], b"told"].concat();
        store.shared.release(LEASE, &OWNER, Some(note(OUTCOME, &told))).await.expect("an answer");
        assert_eq!((store.get(LEASE).await, store.get(OUTCOME).await), (None, Some(told)));
    })
    .await;
}

#[tokio::test]
async fn remembers_with_times() {
    on_both(async |store, _server| {
        assert!(store.set(KEY, b"held").await);
        let held = store.shared.holds(&["tokend:{p}:none", KEY]).await.expect("an answer");
        assert!(held[0].is_none());
        let (text, left) = held[1].clone().expect("it is held");
        assert!(text == "held" && left <= LONG && left > LONG - Duration::from_secs(10), "{left:?}");
        assert_eq!(store.shared.holds(&[]).await, Ok(vec![]));
    })
    .await;
}

#[tokio::test]
async fn sets_are_listed_bit_by_bit() {
    on_both(async |store, server| {
        let set = "tokend:{s}:s";
        for number in 0..300_u32 {
            // Long enough to be there when all are: members whose time is over leave.
            let ttl = if number == 0 { LONG } else { Duration::from_secs(8) };
            store.shared.join(set, &number.to_be_bytes(), ttl).await.expect("an answer");
        }
        let left: i64 = redis::cmd("TTL").arg(set).query_async(&mut server.client().await).await.expect("an answer");
        assert!(left > 10, "a shorter time does not shorten it: {left}");
        let mut found = paged(&store.shared, set, 50, async || {}).await;
        found.sort_by(|one, other| one.member.cmp(&other.member));
        let found: Vec<Bytes> = found.into_iter().map(|mark| mark.member).collect();
        assert_eq!(found, (0..300_u32).map(|number| Bytes::from(number.to_be_bytes().to_vec())).collect::<Vec<_>>());
        store.shared.leave(set, &found[..299]).await.expect("an answer");
        assert_eq!(members_of(&store.shared, set).await, found[299..]);
        store.shared.leave(set, &[]).await.expect("an answer");
    })
    .await;
}

/// All members of a set, so many at a time; something happens after each page.
async fn paged(shared: &Shared, set: &str, count: usize, between: impl AsyncFn()) -> Vec<Mark> {
    let mut all: Vec<Mark> = Vec::new();
    loop {
        let page = shared.page(set, all.last(), count).await.expect("an answer");
        assert!(page.marks.len() <= count && (page.is_last || !page.marks.is_empty()), "{page:?}");
        all.extend(page.marks);
        if page.is_last {
            return all;
        }
        between().await;
    }
}

async fn members_of(shared: &Shared, set: &str) -> Vec<Bytes> {
    paged(shared, set, 50, async || {}).await.into_iter().map(|mark| mark.member).collect()
}

/// Whatever their scores are, and however many have the same one.
#[tokio::test]
async fn pages_neither_omit_nor_repeat_a_member() {
    on_both(async |store, server| {
        let set = "tokend:{s}:s";
        let mut admin = server.client().await;
        let mut expected = Vec::new();
        for number in 0..700_u32 {
            // Most of them at once, some each on its own, and what nobody writes.
            let score = match number {
                0..500 => "1795300000".to_owned(),
                500..698 => (1_795_300_000 - 600 + i64::from(number)).to_string(),
                698 => "-inf".to_owned(),
                _ => "0.5".to_owned(),
            };
            let member =
                [&number.wrapping_mul(2_654_435_761).to_be_bytes()[..], &b"longer"[..usize::try_from(number % 6).expect("few")]]
                    .concat();
            redis::cmd("ZADD").arg(set).arg(&score).arg(&member).exec_async(&mut admin).await.expect("an answer");
            expected.push(Bytes::from(member));
        }
        expected.sort();
        for count in [1, 7, 31, 32, 33, 499, 500, 501, 5000] {
            let all = paged(&store.shared, set, count, async || {}).await;
            assert!(all.is_sorted_by(|one, other| other.is_after(one)), "by {count}");
            let mut members: Vec<Bytes> = all.into_iter().map(|mark| mark.member).collect();
            members.sort();
            assert!(members == expected, "by {count}: {} of {}", members.len(), expected.len());
        }
        // Who leaves meanwhile is no reason for another to be omitted.
        let left = paged(&store.shared, set, 10, async || {
            let first: Vec<Bytes> = redis::cmd("ZRANGE")
                .arg(set)
                .arg(0)
                .arg(0)
                .query_async::<Vec<Vec<u8>>>(&mut server.client().await)
                .await
                .expect("an answer")
                .into_iter()
                .map(Bytes::from)
                .collect();
            store.shared.leave(set, &first).await.expect("an answer");
        });
        assert_eq!(left.await.len(), 700);
    })
    .await;
}

#[tokio::test]
async fn a_set_goes_on_where_it_was_after_a_restart() {
    let options = RedisServer::options().config("appendonly", "yes").config("appendfsync", "no");
    // As in a large set: the order of its table depends on the process.
    let mut server = options.config("zset-max-listpack-entries", "0").start().await;
    let store = Store::open(&standalone(&server.url()));
    let set = "tokend:{s}:s";
    for number in 0..300_u32 {
        store.shared.join(set, &number.to_be_bytes(), LONG).await.expect("an answer");
    }
    let mut all: Vec<Mark> = Vec::new();
    for page in 0.. {
        if page % 10 == 3 {
            server.restart().await;
            eventually(PATIENCE, async || store.shared.page(set, None, 1).await.is_ok()).await;
        }
        let page = store.shared.page(set, all.last(), 7).await.expect("an answer");
        all.extend(page.marks);
        if page.is_last {
            break;
        }
    }
    all.sort_by(|one, other| one.member.cmp(&other.member));
    let found: Vec<Bytes> = all.into_iter().map(|mark| mark.member).collect();
    assert_eq!(found, (0..300_u32).map(|number| Bytes::from(number.to_be_bytes().to_vec())).collect::<Vec<_>>());
}

/// What goes through a set from its lowest score to its highest passes nobody by whose end comes nearer.
#[tokio::test]
async fn a_member_never_moves_towards_the_beginning() {
    on_both(async |store, _server| {
        let set = "tokend:{s}:s";
        let score = async || store.shared.page(set, None, 9).await.expect("an answer").marks[0].score;
        store.shared.join(set, b"member", LONG).await.expect("an answer");
        let first = score().await;
        store.shared.join(set, b"member", LONG / 2).await.expect("an answer");
        assert_eq!(score().await, first);
        store.shared.join(set, b"member", LONG * 2).await.expect("an answer");
        assert!(score().await >= first + 59.0);
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_a_key_is_read_with_it() {
    on_both(async |store, server| {
        assert!(store.set(KEY, b"value").await);
        let (values, left) = store.shared.read_timed(&[KEY]).await.expect("an answer");
        let near = |left: Option<Duration>| left.is_some_and(|left| left <= LONG && left > LONG - Duration::from_secs(10));
        assert!(values == [Some(Bytes::from_static(b"value"))] && near(left), "{left:?}");
        let (values, left) = store.shared.read_timed(&[KEY, EPOCH]).await.expect("an answer");
        assert!(values == [Some(Bytes::from_static(b"value")), None] && near(left), "{left:?}");
        assert_eq!(store.shared.read_timed(&[EPOCH, KEY]).await.expect("an answer").1, None);
        // What has no end.
        redis::cmd("PERSIST").arg(KEY).exec_async(&mut server.client().await).await.expect("an answer");
        assert_eq!(store.shared.read_timed(&[KEY]).await.expect("an answer").1, None);
        let groups = [[EPOCH, LEASE], [KEY, EPOCH], [EPOCH, KEY]].map(|group| group.map(str::to_owned));
        assert_eq!(store.shared.any_there(&groups).await, Ok(vec![false, true, true]));
        let value = || Some(Bytes::from_static(b"value"));
        assert_eq!(store.shared.read_groups(&groups).await, Ok(vec![[None, None], [value(), None], [None, value()]]));
        assert_eq!(store.shared.any_there::<2>(&[]).await, Ok(vec![]));
    })
    .await;
}

#[tokio::test]
async fn messages_are_heard_by_all_who_listen() {
    on_both(async |store, server| {
        let other = Store::open(&standalone(&server.url()));
        let (sender, mut heard) = mpsc::unbounded_channel();
        for listening in [&store, &other] {
            let sender = sender.clone();
            listening.shared.listen(move |event| drop(sender.send(event)));
        }
        let mut next = async || tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time").expect("an event");
        assert_eq!([next().await, next().await], [tokend::store::Event::Subscribed, tokend::store::Event::Subscribed]);
        store.shared.publish(&[1, 0, 255]).await.expect("an answer");
        for _ in 0..2 {
            assert_eq!(next().await, tokend::store::Event::Message(Bytes::from_static(&[1, 0, 255])));
        }
        assert!(server.client_count().await <= 4, "two each at most");
    })
    .await;
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    on_both(async |store, server| {
        assert!(store.shared.claim(&claim(&OWNER, &[])).await.is_ok());
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut server.client().await).await.expect("an answer");
        assert!(store.shared.claim(&claim(&OWNER, &[])).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_is_of_another_type_is_a_miss_and_is_written_over() {
    on_both(async |store, server| {
        let mut admin = server.client().await;
        assert_eq!(store.shared.read_timed(&[KEY, EPOCH]).await, Ok((vec![None, None], None)));
        for key in [KEY, INDEX, "tokend:{p}:s"] {
            redis::cmd("LPUSH").arg(key).arg("x").exec_async(&mut admin).await.expect("an answer");
        }
        for _ in 0..20 {
            assert_eq!(store.shared.read(&[KEY]).await, Ok(vec![None]));
            assert_eq!(store.shared.members(INDEX, 9).await, Ok(vec![]));
            assert_eq!(store.shared.read_timed(&[KEY]).await, Ok((vec![None], None)));
            assert!(members_of(&store.shared, "tokend:{p}:s").await.is_empty());
        }
        assert_eq!(store.shared.state().reads, BreakerState::Closed);
        let index = Index { key: INDEX, member: b"member", expires_on: 100, now: 50, most: 3 };
        let value = value(1, "");
        assert_eq!(store.shared.put(&Put { index: Some(index), ..put(&value, None) }).await, Ok(Placed::Stored));
        assert_eq!(store.get(KEY).await, Some(value));
        assert_eq!(store.shared.members(INDEX, 9).await, Ok(vec![Bytes::from_static(b"member")]));
        store.shared.join("tokend:{p}:s", b"member", LONG).await.expect("an answer");
        assert_eq!(members_of(&store.shared, "tokend:{p}:s").await, [Bytes::from_static(b"member")]);
        assert!(store.metric(r#"tokend_redis_requests_total{op="put",outcome="ok"}"#) >= 1.0);
        assert!(store.metric(r#"tokend_redis_requests_total{op="read",outcome="error"}"#) >= 20.0);
    })
    .await;
}
