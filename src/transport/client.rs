//! How the clients of a door are made: the same each time, so that one can take the place of another.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use url::Url;

use super::cause::Cause;
use super::proxy::Proxy;
use super::settings::Settings;
use super::why::Why;
use crate::finding::Complaint;

/// Which connection a request goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// One that was used before, if there is one. It may be dead.
    Kept,
    /// One that is made for this request and closed after it. That it could be made proves that the other end is alive.
    Fresh,
}

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// How long an HTTP/2 connection may be silent before the other end is asked whether it is there, and how long that may take to say
/// so. TCP may go on acknowledging for a peer that is gone, because what acknowledges is a device in between.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Makes the clients of one door.
pub(super) struct Maker {
    tls: rustls::ClientConfig,
    proxy: Option<Arc<Proxy>>,
    connect_timeout: Duration,
}

// === impl Maker ===

impl Maker {
    pub(super) fn new(
        settings: &Settings,
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        loopback: bool,
    ) -> Result<Self, Complaint> {
        let proxy = if loopback { None } else { Proxy::of(settings)? };
        Ok(Self { tls, proxy, connect_timeout })
    }

    /// Makes the clients of a door that shows a certificate, with TLS sessions of their own: one that is resumed proves whoever
    /// began it.
    pub(super) fn showing(&self, certificate: &CertifiedKey) -> Self {
        let mut tls = self.tls.clone();
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certificate.clone()));
        tls.resumption = Resumption::default();
        Self { tls, proxy: self.proxy.clone(), connect_timeout: self.connect_timeout }
    }

    /// A cause with what the proxy says by itself, where the client knows only that it made no way.
    pub(super) async fn explained(&self, cause: Cause, url: &Url) -> Cause {
        match (cause.why(), &self.proxy) {
            (Why::Proxy(None), Some(proxy)) => match proxy.status(url).await {
                Some(status) => Cause::at(url.host_str().unwrap_or_default(), Why::Proxy(Some(status)), "no tunnel"),
                None => cause,
            },
            _ => cause,
        }
    }

    /// Makes a client that keeps its connections, or one that has a new one for each request. TLS sessions are shared by all: they
    /// belong to the TLS configuration.
    pub(super) fn make(&self, over: Over) -> Result<reqwest::Client, Complaint> {
        let (ping, pong) = PING;
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(ping)
            .http2_keep_alive_timeout(pong)
            .http2_keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .user_agent(concat!("tokend/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(self.tls.clone())
            // The variables of the environment are among the settings already, with the hosts that no proxy is asked for.
            .no_proxy();
        builder = match over {
            Over::Kept => builder.pool_idle_timeout(IDLE),
            // Without a pool no two requests share a connection, over HTTP/2 either.
            Over::Fresh => builder.pool_max_idle_per_host(0),
        };
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.for_client());
        }
        builder.build().map_err(|_| Complaint::new("no client can be made", "report this as a defect of tokend"))
    }
}
