//! What stands in Redis, which anybody may have written: seals that open under their own name alone, and records that are read as
//! they were written. Refresh handles have the form of such a seal, and come from clients.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use tokend::clock::Clock;
use tokend::reload::{Place, Source};
use tokend::secret::Secret;
use tokend::store::{
    Encryption, HandleKeys, Ring, Sought, VERSIONS, read_sign_in, read_token, sign_in_epoch, write_sign_in, write_token,
};
use tokend::token::{Account, Facts, IssuedToken, Partition, SignIn, SpaceId, Times, Variant};

use super::holds;
use super::world::CANARY;
use crate::bench::Ready;

const NAME: &str = "tokend:{tag}:t:entry";

pub(super) fn ready() -> Ready {
    let (partition, variant, space) = (Partition::new([1; 32]), Variant::new([7; 32]), SpaceId::new([4; 32]));
    let [sealed, plain] = [ring(), Ring::load(&Encryption::Plaintext, &Clock::manual(0)).expect("no ring")];
    let (token, sign_in) = (token(&partition, variant), sign_in(&partition, space));
    let version = VERSIONS.newest();
    let mut seeds = vec![token.clone(), sign_in.clone()];
    let mut genuine = Vec::new();
    for ring in [&sealed, &plain] {
        for payload in [&token, &sign_in] {
            genuine.push(ring.seal(NAME, 5, version, payload).expect("a seal"));
        }
    }
    seeds.extend(genuine.iter().cloned());
    let handles = HandleKeys::of_process();
    let handle = handles.seal("refresh-handle", 5, &token).expect("a seal");
    seeds.push(handle.clone());
    let takes = move |input: &[u8]| {
        // Nothing opens but what was sealed under this name.
        let opened = sealed.open(NAME, input, VERSIONS);
        holds(opened.is_err() || genuine.iter().any(|genuine| genuine == input), || "what nobody sealed is opened".to_owned())?;
        holds(sealed.open("tokend:{tag}:t:other", input, VERSIONS).is_err(), || "it opens under another name".to_owned())?;
        let is_code = handles.open("device-code", input).now_or_never().is_some_and(|opened| opened.is_ok());
        holds(!is_code, || "a handle of another kind is opened".to_owned())?;
        let is_handle = handles.open("refresh-handle", input).now_or_never().is_some_and(|opened| opened.is_ok());
        holds(is_handle == (handle == input), || "another handle is opened than the one that was sealed".to_owned())?;
        let _generation = Ring::generation(input);
        let payload = plain.open(NAME, input, VERSIONS).map_or_else(|_| input.to_vec(), |opened| opened.payload.to_vec());
        let sought = Sought { partition: &partition, variant: &variant, asked: None };
        if let Some((token, clock)) = read_token(&payload, 5, &sought) {
            let head = token.head();
            let _parts = (head.token().map(str::len), head.scope().map(|scope| scope.len()), token.weight());
            holds(!format!("{head:?}").contains(CANARY), || "Debug shows a token".to_owned())?;
            let again = write_token(&partition, &token, clock).and_then(|text| read_token(&text, 5, &sought));
            let is_same = again.is_some_and(|(again, _)| again.facts == token.facts && again.head().text == head.text);
            holds(is_same, || "a token is written otherwise than it was read".to_owned())?;
            let _earlier = token.ending_by(0);
        }
        let _epoch = sign_in_epoch(&payload);
        if let Some((of, sign_in)) = read_sign_in(&payload, 5, &space, None) {
            holds(!format!("{:?}", sign_in.refresh_token).contains(CANARY), || "Debug shows a refresh token".to_owned())?;
            let _kept = (sign_in.asked(), sign_in.granted(), sign_in.listed(), sign_in.weight());
            let again = write_sign_in(&of, &sign_in).and_then(|text| read_sign_in(&text, 5, &space, Some(&of)));
            let is_same = again.is_some_and(|(_, again)| again.account == sign_in.account && again.more == sign_in.more);
            holds(is_same, || "a sign-in is written otherwise than it was read".to_owned())?;
        }
        Ok(())
    };
    Ready { seeds, takes: Box::new(takes) }
}

fn ring() -> Ring {
    let text = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
    let source = Source { key: "ring".to_owned(), file: None, place: Place::Value(Secret::new(text)) };
    Ring::load(&Encryption::KeyRing(source), &Clock::manual(0)).expect("a ring")
}

fn token(partition: &Partition, variant: Variant) -> Vec<u8> {
    let times = Times { received_on: 10, expires_on: Some(3610), ext_expires_on: Some(7210), refresh_on: Some(2800) };
    let grant = IssuedToken {
        access_token: Secret::new(CANARY),
        token_type: "Bearer".to_owned(),
        scope: "a b".to_owned(),
        times,
        tenant_id: Some("tenant".to_owned()),
        account: None,
        id_token: None,
        issued_token_type: None,
    };
    let facts = Facts { asked: "a".into(), granted: "a b".into(), variant, ..Facts::default() };
    let stored = grant.write().keep(&times, facts).expect("a token that ends");
    write_token(partition, &stored, [8; 8]).expect("a record")
}

fn sign_in(partition: &Partition, space: SpaceId) -> Vec<u8> {
    let account = Account {
        home_account_id: "oid.tid".to_owned(),
        local_account_id: "oid".to_owned(),
        username: Some("ana".to_owned()),
        environment: "host".to_owned(),
        tenant_id: Some("tid".to_owned()),
    };
    let more = BTreeMap::from([("granted".to_owned(), b"a b".to_vec()), ("tenants".to_owned(), b"tid other".to_vec())]);
    let refresh_token = Some(Secret::new(CANARY));
    let sign_in = SignIn { account, refresh_token, expires_on: 99, space, epoch: None, lineage: [6; 16], more, shared: 0 };
    write_sign_in(partition, &sign_in).expect("a record")
}
