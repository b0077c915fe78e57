//! By which names a listener over TLS may be asked, and that a proxy's claims change nothing.

use std::net::SocketAddr;

use super::Stage;
use crate::support::{Answer, Client};

async fn ask(client: &Client, host: &str, more: &[(&str, &str)]) -> Answer {
    let mut request = client.http.get(format!("{}/nothing", client.base)).header("host", host);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    Client::send(request).await
}

/// A client of one version of HTTP.
fn clients(stage: &Stage) -> [Client; 2] {
    let root = reqwest::Certificate::from_pem(stage.authority.pem.as_bytes()).expect("a CA");
    let client = || reqwest::Client::builder().no_proxy().tls_certs_only([root.clone()]);
    let base = format!("https://{}", stage.address());
    [client().http1_only(), client()].map(|http| Client { http: http.build().expect("a client"), base: base.clone() })
}

#[tokio::test]
async fn the_names_of_the_certificate_are_the_listeners() {
    let stage = Stage::with("", |settings| settings.http.hosts = vec!["orders.example".to_owned()]).await;
    for client in clients(&stage) {
        for host in ["localhost", "127.0.0.1", "tokend.internal", "Tokend.Internal:8650", "a.tokend.svc", "orders.example"] {
            ask(&client, host, &[]).await.refused(404, "not_found", "");
        }
        for host in ["evil.example", "tokend.svc", "a.b.tokend.svc", "10.0.0.9"] {
            ask(&client, host, &[]).await.refused(403, "host_not_allowed", "hosts");
        }
        ask(&client, "localhost", &[("x-forwarded-for", "1.2.3.4")]).await.refused(400, "forwarded_header", "proxy");
        ask(&client, "localhost", &[("origin", "https://localhost")]).await.refused(403, "origin_not_allowed", "page");
    }
    // The URL's own authority, as HTTP/2 sends it.
    let mut named = stage.client();
    let address = SocketAddr::from(([127, 0, 0, 1], stage.address().port()));
    let root = reqwest::Certificate::from_pem(stage.authority.pem.as_bytes()).expect("a CA");
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([root]).resolve("tokend.internal", address);
    named = Client { http: http.build().expect("a client"), base: named.base.replace("127.0.0.1", "tokend.internal") };
    named.get("/nothing").await.refused(404, "not_found", "");
}

#[tokio::test]
async fn beyond_loopback_a_proxys_claims_are_ignored() {
    let stage = Stage::with("", |settings| {
        settings.listen.addresses = vec![tokend::listen::Address::Tcp(SocketAddr::from(([0, 0, 0, 0], 0)))];
    })
    .await;
    for client in clients(&stage) {
        for header in
            [("forwarded", "for=1.2.3.4;host=evil.example"), ("x-forwarded-host", "evil.example"), ("x-real-ip", "1.2.3.4")]
        {
            ask(&client, "tokend.internal", &[header]).await.refused(404, "not_found", "");
        }
        ask(&client, "10.0.0.9", &[]).await.refused(404, "not_found", "");
        ask(&client, "evil.example", &[("x-forwarded-host", "localhost")]).await.refused(403, "host_not_allowed", "hosts");
        ask(&client, "localhost", &[("origin", "null")]).await.refused(403, "origin_not_allowed", "page");
    }
}
