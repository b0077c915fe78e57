//! The other proofs that the page says a proxy can have.

use super::proxy::{Proof, Proxy};
use super::stage::Stage;
use crate::page::PROXIES;
use crate::tree::text;

pub(super) async fn each_proof_of_the_page_is_one(shared: &Stage) {
    // Lines end on the page where there is room for no more.
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (proxy, page) = (shared.proxy, plain(&text(PROXIES)));
    let mut tried = 0;
    for proof in [Proof::Token, Proof::Certificate, Proof::Socket] {
        let Some(changes) = proxy.changes(proof) else { continue };
        for line in changes.iter().flat_map(|(_, to)| to.lines()).filter(|line| line.trim().len() > 1) {
            assert!(page.contains(&plain(line)), "the page does not say {line:?} for {proxy:?} by {proof:?}");
        }
        let stage = Stage::new(proxy, proof, &changes).await;
        let answer = stage.asked_as(&stage.user_token().await, "\nX-Tokend-Token: a-token-that-nobody-has").await;
        assert_eq!(answer.status, 200, "{proxy:?} by {proof:?}: {answer:?}");
        let seen = stage.api.one();
        assert!(seen.header("x-tokend-token").is_empty(), "{proxy:?} by {proof:?}: {seen:?}");
        tried += 1;
    }
    assert_eq!(tried, if proxy == Proxy::Traefik { 1 } else { 2 }, "Traefik asks over no socket");
}
