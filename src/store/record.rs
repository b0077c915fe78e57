//! What a record in Redis says, and how it is written: one format per kind.
//!
//! A record repeats what it is found by, and that is compared when it is read: a value under a wrong name is no value. It ends with
//! a map of names to bytes, where later releases put what they add: a release keeps the names that it does not know when it
//! rewrites a record.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::Secret;
use crate::token::{Account, AnswerHead, CachedToken, Epoch, Facts, Partition, SignIn, SpaceId, Times, Variant};

/// What a token is found by.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Its partition.
    pub partition: &'a Partition,
    /// The hash of its key's members beside the scopes.
    pub variant: &'a Variant,
    /// The folded scopes that were asked for, where the exact record is wanted.
    pub asked: Option<&'a str>,
}

/// The name of the clock that a process stores by, until that clock is set:
/// whether two clocks agree is found out once for all records.
pub type ClockName = [u8; 8];

#[derive(Serialize, Deserialize)]
struct TokenRecord<'a> {
    partition: Partition,
    variant: Variant,
    epoch: Epoch,
    /// By whose clock it says when it ends.
    clock: ClockName,
    #[serde(borrow)]
    asked: &'a str,
    #[serde(borrow)]
    granted: &'a str,
    expires_on: i64,
    received_on: i64,
    refresh_on: i64,
    /// Which claims challenge it answered.
    challenge: u64,
    token: (u32, u32),
    #[serde(borrow)]
    head: Blob<'a>,
    /// A token is never rewritten: what a later release says of it here is of no use.
    #[serde(borrow)]
    more: BTreeMap<&'a str, Blob<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SignInRecord<'a> {
    partition: Partition,
    space: SpaceId,
    epoch: Epoch,
    lineage: [u8; 16],
    #[serde(borrow)]
    home_account_id: Cow<'a, str>,
    #[serde(borrow)]
    local_account_id: Cow<'a, str>,
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    environment: Cow<'a, str>,
    #[serde(borrow)]
    tenant_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    refresh_token: Option<Cow<'a, str>>,
    expires_on: i64,
    more: Cow<'a, BTreeMap<String, Vec<u8>>>,
}

/// Bytes in one piece: serde would write a slice one number at a time.
struct Blob<'a>(&'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blob<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self)
    }
}

/// Writes a token, whose times are by this clock. `None`: serialization failed.
pub fn write_token(partition: &Partition, stored: &CachedToken, clock: ClockName) -> Option<Vec<u8>> {
    let (head, facts) = (stored.head(), &stored.facts);
    let range = head.range();
    let record = TokenRecord {
        partition: *partition,
        variant: facts.variant,
        epoch: facts.epoch,
        clock,
        asked: &facts.asked,
        granted: &facts.granted,
        expires_on: stored.expires_on,
        received_on: stored.received_on,
        refresh_on: stored.refresh_on,
        challenge: facts.challenge,
        token: (range.start, range.end),
        head: Blob(&head.text),
        more: BTreeMap::new(),
    };
    postcard::to_stdvec(&record).ok()
}

/// Reads a token and by whose clock its times are; `None` if it is not one, or not the one that is sought.
pub fn read_token(payload: &[u8], generation: u64, sought: &Sought<'_>) -> Option<(CachedToken, ClockName)> {
    let record: TokenRecord<'_> = postcard::from_bytes(payload).ok()?;
    let is_sought = record.partition == *sought.partition
        && record.variant == *sought.variant
        && sought.asked.is_none_or(|asked| asked == record.asked);
    if !is_sought {
        return None;
    }
    let facts = Facts {
        asked: record.asked.into(),
        granted: record.granted.into(),
        variant: record.variant,
        challenge: record.challenge,
        generation: 0,
        shared: generation,
        epoch: record.epoch,
    };
    let times = Times {
        received_on: record.received_on,
        expires_on: Some(record.expires_on),
        ext_expires_on: None,
        refresh_on: Some(record.refresh_on),
    };
    // A copy of exactly its size: the record around it would stay in memory with it.
    let text = Bytes::copy_from_slice(record.head.0);
    let stored = AnswerHead::rewritten(text, record.token.0..record.token.1, record.expires_on).keep(&times, facts)?;
    Some((stored, record.clock))
}

/// Writes a sign-in.
pub fn write_sign_in(partition: &Partition, sign_in: &SignIn) -> Option<Vec<u8>> {
    let account = &sign_in.account;
    let record = SignInRecord {
        partition: *partition,
        space: sign_in.space,
        epoch: sign_in.epoch,
        lineage: sign_in.lineage,
        home_account_id: Cow::Borrowed(&account.home_account_id),
        local_account_id: Cow::Borrowed(&account.local_account_id),
        username: account.username.as_deref().map(Cow::Borrowed),
        environment: Cow::Borrowed(&account.environment),
        tenant_id: account.tenant_id.as_deref().map(Cow::Borrowed),
        refresh_token: sign_in.refresh_token.as_ref().map(|token| Cow::Borrowed(token.expose())),
        expires_on: sign_in.expires_on,
        more: Cow::Borrowed(&sign_in.more),
    };
    postcard::to_stdvec(&record).ok()
}

/// The epoch of a sign-in, whoever's it is; `None` if it is not one.
pub fn sign_in_epoch(payload: &[u8]) -> Option<Epoch> {
    let record: SignInRecord<'_> = postcard::from_bytes(payload).ok()?;
    Some(record.epoch)
}

/// Reads a sign-in; `None` if it is not one, or not of this app's account. The partition is compared where it is known.
pub fn read_sign_in(
    payload: &[u8],
    generation: u64,
    space: &SpaceId,
    partition: Option<&Partition>,
) -> Option<(Partition, SignIn)> {
    let record: SignInRecord<'_> = postcard::from_bytes(payload).ok()?;
    if record.space != *space || partition.is_some_and(|partition| *partition != record.partition) {
        return None;
    }
    let account = Account {
        home_account_id: record.home_account_id.into_owned(),
        local_account_id: record.local_account_id.into_owned(),
        username: record.username.map(Cow::into_owned),
        environment: record.environment.into_owned(),
        tenant_id: record.tenant_id.map(Cow::into_owned),
    };
    let sign_in = SignIn {
        account,
        refresh_token: record.refresh_token.map(|token| Secret::new(token.into_owned())),
        expires_on: record.expires_on,
        space: record.space,
        epoch: record.epoch,
        lineage: record.lineage,
        more: record.more.into_owned(),
        shared: generation,
    };
    Some((record.partition, sign_in))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Sought, read_sign_in, read_token, write_sign_in, write_token};
    use crate::secret::Secret;
    use crate::token::{Account, CachedToken, Facts, IssuedToken, Partition, SignIn, SpaceId, Times, Variant};

    fn stored() -> CachedToken {
        let times = Times { received_on: 10, expires_on: Some(3610), ext_expires_on: None, refresh_on: Some(2800) };
        let grant = IssuedToken {
            access_token: Secret::new("eyJ.a.b"),
            token_type: "Bearer".to_owned(),
            scope: "a".to_owned(),
            times,
            tenant_id: None,
            account: None,
            id_token: None,
            issued_token_type: None,
        };
        let facts = Facts {
            asked: "a".into(),
            granted: "a b".into(),
            variant: Variant::new([7; 32]),
            challenge: 9,
            epoch: std::num::NonZeroU64::new(3),
            ..Facts::default()
        };
        grant.write().keep(&times, facts).unwrap()
    }

    #[test]
    fn a_token_comes_back_as_it_was() {
        let sought = Sought { partition: &Partition::new([1; 32]), variant: &Variant::new([7; 32]), asked: Some("a") };
        let payload = write_token(&Partition::new([1; 32]), &stored(), [8; 8]).unwrap();
        let (read, clock) = read_token(&payload, 5, &sought).unwrap();
        assert_eq!(clock, [8; 8]);
        let expected = Facts { generation: 0, shared: 5, ..stored().facts };
        assert_eq!((&read.facts, read.expires_on, read.refresh_on), (&expected, 3610, 2800));
        assert_eq!(read.head().text, stored().head().text);
        assert_eq!(read.head().token(), Some("eyJ.a.b"));
        // A later release has put something there.
        let mut more = payload.clone();
        assert_eq!(more.pop(), Some(0), "an empty map");
        more.extend_from_slice(b"\x01\x03new\x02xy");
        assert_eq!(read_token(&more, 5, &sought).unwrap().0.facts, expected);
    }

    #[test]
    fn what_is_not_sought_is_not_read() {
        let payload = write_token(&Partition::new([1; 32]), &stored(), [8; 8]).unwrap();
        let is_read = |payload: &[u8], partition: u8, variant: u8, asked| {
            let (partition, variant) = (Partition::new([partition; 32]), Variant::new([variant; 32]));
            read_token(payload, 1, &Sought { partition: &partition, variant: &variant, asked }).is_some()
        };
        assert!(is_read(&payload, 1, 7, None));
        assert!(!is_read(&payload, 2, 7, None));
        assert!(!is_read(&payload, 1, 8, None));
        assert!(!is_read(&payload, 1, 7, Some("b")));
        assert!(!is_read(&payload[..20], 1, 7, None));
    }

    #[test]
    fn a_sign_in_comes_back_as_it_was() {
        let account = Account {
            home_account_id: "oid.tid".to_owned(),
            local_account_id: "oid".to_owned(),
            username: Some("ana".to_owned()),
            environment: "host".to_owned(),
            tenant_id: None,
        };
        let refresh_token = Some(Secret::new("rt"));
        // A name that this release does not know is kept.
        let more = BTreeMap::from([("of_tomorrow".to_owned(), vec![0, 255])]);
        let (space, lineage) = (SpaceId::new([4; 32]), [6; 16]);
        let sign_in = SignIn { account, refresh_token, expires_on: 99, space, epoch: None, lineage, more, shared: 0 };
        let payload = write_sign_in(&Partition::new([1; 32]), &sign_in).unwrap();
        let (partition, read) = read_sign_in(&payload, 3, &SpaceId::new([4; 32]), Some(&Partition::new([1; 32]))).unwrap();
        assert_eq!((partition, read.shared, read.expires_on), (Partition::new([1; 32]), 3, 99));
        assert_eq!((&read.account, read.lineage, &read.more), (&sign_in.account, [6; 16], &sign_in.more));
        assert!(read.refresh_token.is_some_and(|token| token.expose() == "rt"));
        assert!(read_sign_in(&payload, 3, &SpaceId::new([5; 32]), None).is_none());
        assert!(read_sign_in(&payload, 3, &SpaceId::new([4; 32]), Some(&Partition::new([2; 32]))).is_none());
    }
}
