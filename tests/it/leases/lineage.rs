//! What a sign-in is in Redis: whose successor it is, and in which order they come.

use tokend::cache::{Kept, Renewed, Signed};
use tokend::secret::Secret;
use tokend::token::{Account, PartitionOwner, SignIn};

use super::direct::{Replica, space};
use crate::support::redis::RedisServer;

fn sign_in(token: &str, expires_on: i64) -> SignIn {
    let account = Account {
        home_account_id: "oid.tid".to_owned(),
        local_account_id: "oid".to_owned(),
        username: None,
        environment: "host".to_owned(),
        tenant_id: None,
    };
    let refresh_token = Some(Secret::new(token));
    let space = *space().id();
    SignIn { account, refresh_token, expires_on, space, epoch: None, lineage: [0; 16], more: Default::default(), shared: 0 }
}

#[tokio::test]
async fn a_lineage_lasts_from_the_first_sign_in_to_the_sign_out() {
    let redis = RedisServer::start().await;
    let replicas = [Replica::on(&redis.url()), Replica::on(&redis.url())];
    let (space, partition) = (*space().id(), space().partition(PartitionOwner::Account("oid.tid")));
    let ends = replicas[0].now() + 3600;
    let read =
        async |index: usize| -> Signed { replicas[index].cache.accounts().signed(&space, &partition).await.expect("an answer") };
    let known = async |index: usize| read(index).await.sign_in.expect("a sign-in");
    let mut first = sign_in("first", ends);
    first.more.insert("of_tomorrow".to_owned(), b"kept".to_vec());
    assert_eq!(replicas[0].cache.accounts().keep_sign_in(&space, &partition, first).await.kept, Kept::Stored);
    let first = known(0).await;
    assert_ne!(first.lineage, [0; 16]);
    // Renewed: one generation more. Its caller brings the lineage and what it does not know along.
    let over = read(1).await;
    let mut renewed = sign_in("renewed", ends);
    renewed.descend_from(&first);
    assert_eq!(replicas[1].cache.accounts().renew_sign_in(&partition, renewed, &over, Renewed::SingleUse).await, Kept::Stored);
    let renewed = known(0).await;
    assert_eq!((renewed.lineage, renewed.shared), (first.lineage, first.shared + 1));
    assert_eq!(renewed.more, first.more);
    // A later sign-in belongs to it, and stands above all renewals of the one before.
    assert_eq!(replicas[1].cache.accounts().keep_sign_in(&space, &partition, sign_in("second", ends)).await.kept, Kept::Stored);
    let second = known(0).await;
    assert_eq!((second.lineage, &second.more), (first.lineage, &first.more));
    assert_eq!(second.shared >> 20, (renewed.shared >> 20) + 1);
    // Two sign-ins over the same one are told apart.
    let late = replicas[0].cache.accounts().renew_sign_in(&partition, sign_in("late", ends), &over, Renewed::SingleUse).await;
    assert_eq!(late, Kept::Stale);
    // A sign-out ends it.
    replicas[0].cache.accounts().sign_out(&space, &partition).await.expect("an answer");
    assert_eq!(replicas[1].cache.accounts().keep_sign_in(&space, &partition, sign_in("third", ends)).await.kept, Kept::Stored);
    let third = known(0).await;
    assert_ne!(third.lineage, first.lineage);
    assert!(third.more.is_empty());
    // So does its loss, where nobody who knew it is there any more.
    redis.flush().await;
    let newcomer = Replica::on(&redis.url());
    assert_eq!(newcomer.cache.accounts().keep_sign_in(&space, &partition, sign_in("fourth", ends)).await.kept, Kept::Stored);
    let fourth = newcomer.cache.accounts().signed(&space, &partition).await.expect("an answer").sign_in.expect("a sign-in");
    assert_ne!(fourth.lineage, third.lineage);
}

#[tokio::test]
async fn in_memory_alone_it_is_the_same() {
    let replica = Replica::alone();
    let (space, partition) = (*space().id(), space().partition(PartitionOwner::Account("oid.tid")));
    let ends = replica.now() + 3600;
    let known =
        async || replica.cache.accounts().signed(&space, &partition).await.expect("an answer").sign_in.expect("a sign-in").lineage;
    assert_eq!(replica.cache.accounts().keep_sign_in(&space, &partition, sign_in("first", ends)).await.kept, Kept::Stored);
    let first = known().await;
    assert_eq!(replica.cache.accounts().keep_sign_in(&space, &partition, sign_in("second", ends)).await.kept, Kept::Stored);
    assert_eq!(known().await, first);
    replica.cache.accounts().sign_out(&space, &partition).await.expect("an answer");
    assert_eq!(replica.cache.accounts().keep_sign_in(&space, &partition, sign_in("third", ends)).await.kept, Kept::Stored);
    assert_ne!(known().await, first);
}
