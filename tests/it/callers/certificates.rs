//! Callers that are known by their certificates, over real handshakes.

use std::time::Duration;

use crate::tls::authority::{LATER, Pair};
use crate::tls::clients::showing;
use crate::tls::{Connection, Stage, trusting};

const TOKEN: &str = "x-tokend-token";
const ALPHA: &str = "canary-of-alpha-0123456789-abcdefghij";
const ORDERS: &str = "spiffe://prod.example/ns/shop/sa/orders";

/// One caller by a SPIFFE ID, one by a DNS name, one by a token.
const THREE: &str = "callers:\n  - {name: orders, certificate: {spiffe_ids: ['spiffe://prod.example/ns/shop/sa/orders']}}\n  \
                     - {name: desk, certificate: {dns_names: [desk.internal, desk-2.internal]}}\n  \
                     - {name: alpha, token: {file: FILES/token}}\n";

async fn stage() -> Stage {
    Stage::calling(", client_certificates: optional", THREE).await
}

async fn connected(stage: &Stage, pair: Option<&Pair>) -> Connection {
    let config = pair.map_or_else(|| trusting(&stage.authority), |pair| showing(&stage.authority, pair));
    Connection::over(stage.shake(config).await.expect("a handshake")).await.expect("a connection")
}

/// The status of a request, and the body if it was refused.
async fn asked(stage: &Stage, pair: Option<&Pair>, headers: &[(&str, &str)]) -> (u16, String) {
    connected(stage, pair).await.ask_with(headers).await.expect("an answer")
}

#[track_caller]
fn is_refused((status, text): (u16, String), word: &str) {
    assert!(status == 403 && text.contains("caller_not_authenticated") && text.contains(word), "{status} {text}");
    assert!(!text.contains("canary") && !text.contains("spiffe"), "{text}");
}

#[tokio::test]
async fn a_caller_is_known_by_the_name_in_its_certificate() {
    let stage = stage().await;
    let ca = &stage.authority;
    // 404: it is known, and there is nothing at that path.
    for (uris, names, caller) in [
        (&[ORDERS][..], &[][..], "orders"),
        (&[ORDERS], &["other.internal"], "orders"),
        (&[], &["desk.internal"], "desk"),
        (&["spiffe://prod.example/other"], &["x.internal", "desk-2.internal"], "desk"),
    ] {
        let before = stage.sidecar.metric(&counted(caller)).await;
        let pair = ca.client_named(uris, names, LATER);
        assert_eq!(asked(&stage, Some(&pair), &[]).await.0, 404, "{uris:?} {names:?}");
        let counted = stage.sidecar.metric(&counted(caller)).await - before;
        assert!((counted - 1.0).abs() < f64::EPSILON, "{caller}: {counted}");
    }
}

fn counted(caller: &str) -> String {
    format!("tokend_caller_requests_total{{caller=\"{caller}\",outcome=\"authenticated\"}}")
}

#[tokio::test]
async fn a_certificate_of_the_right_ca_for_another_name_is_no_proof() {
    let stage = stage().await;
    let ca = &stage.authority;
    for (uris, names) in [
        (&[][..], &[][..]),
        (&["spiffe://prod.example/ns/shop/sa/order"], &[]),
        (&["spiffe://prod.example/ns/shop/sa/orders/x"], &[]),
        (&["spiffe://PROD.example/ns/shop/sa/orders"], &[]),
        // Several URIs make it nobody's, whatever they are.
        (&[ORDERS, "spiffe://prod.example/other"], &[]),
        (&[], &["*.internal"]),
        (&[], &["Desk.internal"]),
        (&[], &["desk.internal.example"]),
        // A name of the other kind.
        (&["spiffe://desk.internal/x"], &[]),
    ] {
        let pair = ca.client_named(uris, names, LATER);
        is_refused(asked(&stage, Some(&pair), &[]).await, "missing");
        // Nor does it say anything against a proof beside it.
        assert_eq!(asked(&stage, Some(&pair), &[(TOKEN, ALPHA)]).await.0, 404, "{uris:?} {names:?}");
    }
    is_refused(asked(&stage, None, &[]).await, "missing");
    assert_eq!(asked(&stage, None, &[(TOKEN, ALPHA)]).await.0, 404);
}

#[tokio::test]
async fn what_is_shown_beside_a_certificate_is_looked_at() {
    let stage = stage().await;
    let orders = stage.authority.client_named(&[ORDERS], &[], LATER);
    is_refused(asked(&stage, Some(&orders), &[(TOKEN, ALPHA)]).await, "several callers");
    is_refused(asked(&stage, Some(&orders), &[(TOKEN, "canary-of-nobody-0123456789")]).await, "no caller");
    is_refused(asked(&stage, Some(&orders), &[(TOKEN, ALPHA), (TOKEN, ALPHA)]).await, "twice");
    let both = stage.authority.client_named(&[ORDERS], &["desk.internal"], LATER);
    is_refused(asked(&stage, Some(&both), &[]).await, "several callers");
}

#[tokio::test]
async fn a_certificate_that_a_header_tells_of_is_never_read() {
    let stage = stage().await;
    let pem = stage.authority.client_named(&[ORDERS], &[], LATER).cert.replace('\n', "%0A");
    for name in
        ["client-cert", "client-cert-chain", "ssl-client-cert", "x-client-cert", "x-ssl-client-cert", "x-amzn-mtls-clientcert"]
    {
        is_refused(asked(&stage, None, &[(name, &pem)]).await, "missing");
    }
    let envoy = format!("URI={ORDERS}");
    let (status, text) = asked(&stage, None, &[("x-forwarded-client-cert", &envoy)]).await;
    assert!(status == 400 && text.contains("forwarded_header"), "{status} {text}");
}

#[tokio::test]
async fn another_cas_certificate_gets_no_further_although_none_is_required() {
    let stage = stage().await;
    let other = crate::tls::authority::Authority::new();
    for pair in [
        other.client_named(&[ORDERS], &[], LATER),
        stage.authority.client_named(&[ORDERS], &[], 2026),
        // One for servers.
        stage.authority.listener(&["desk.internal"], LATER),
    ] {
        let config = showing(&stage.authority, &pair);
        let served = async {
            let stream = stage.shake(config).await.ok()?;
            Connection::over(stream).await.ok()?.ask_with(&[(TOKEN, ALPHA)]).await.ok()
        };
        assert_eq!(served.await, None, "with TLS 1.3 the refusal may come after the handshake");
    }
}

#[tokio::test]
async fn where_one_is_required_a_token_alone_is_not_enough() {
    let stage = Stage::calling("", THREE).await;
    let served = async {
        let stream = stage.shake(trusting(&stage.authority)).await.ok()?;
        Connection::over(stream).await.ok()?.ask_with(&[(TOKEN, ALPHA)]).await.ok()
    };
    assert_eq!(served.await, None);
    let nobodys = stage.authority.client_named(&[], &["x.internal"], LATER);
    assert_eq!(asked(&stage, Some(&nobodys), &[(TOKEN, ALPHA)]).await.0, 404);
    is_refused(asked(&stage, Some(&nobodys), &[]).await, "missing");
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let stage = stage().await;
    // The clock stands in November 2026.
    let pair = stage.authority.client_named(&[ORDERS], &[], 2027);
    let mut connection = connected(&stage, Some(&pair)).await;
    let mut idle = connected(&stage, Some(&pair)).await;
    assert_eq!(connection.ask_with(&[]).await.expect("an answer").0, 404);
    assert_eq!(idle.ask_with(&[]).await.expect("an answer").0, 404);
    stage.clock.advance(Duration::from_secs(90 * 86_400));
    // Whatever else it shows.
    is_refused(connection.ask_with(&[(TOKEN, ALPHA)]).await.expect("an answer"), "has ended");
    assert!(connection.closes().await && connection.ask_with(&[]).await.is_err());
    is_refused(idle.ask_with(&[]).await.expect("an answer"), "has ended");
    let again = async {
        let stream = stage.shake(showing(&stage.authority, &pair)).await.ok()?;
        Connection::over(stream).await.ok()?.ask_with(&[]).await.ok()
    };
    assert_eq!(again.await, None);
}

#[tokio::test]
async fn a_connection_that_asks_nothing_ends_with_its_certificate_too() {
    let stage = stage().await;
    let pair = stage.authority.client_named(&[ORDERS], &[], 2027);
    // The first second after it is that of 2027.
    const ENDS: i64 = 1_798_761_601;
    let left = u64::try_from(ENDS - crate::support::NOW).expect("a time");
    stage.clock.advance(Duration::from_millis(left * 1000 - 50));
    let mut connection = connected(&stage, Some(&pair)).await;
    assert_eq!(connection.ask_with(&[]).await.expect("an answer").0, 404);
    // Its timer was set for the 50 milliseconds that are left, and looks again.
    stage.clock.advance(Duration::from_millis(50));
    assert!(connection.closes().await);
}
