//! How the clients of a door are made: the same each time, so that one can take the place of another.

use std::time::Duration;

use reqwest::redirect::Policy;

use super::settings::Settings;
use crate::finding::Complaint;

/// Which connection a request goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// One that was used before, if there is one. It may be dead.
    Kept,
    /// One that is made for this request and closed after it. That it could be made proves that the other end is alive.
    Fresh,
}

/// Hosts that no proxy is asked for: this machine, and the metadata address of clouds.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.169.254";

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// How long an HTTP/2 connection may be silent before the other end is asked whether it is there, and how long that may take to say
/// so. TCP may go on acknowledging for a peer that is gone, because what acknowledges is a device in between.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Makes the clients of one door.
pub(super) struct Maker {
    tls: rustls::ClientConfig,
    proxy: Option<reqwest::Proxy>,
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
        // The client takes `*` for every name, and for no address.
        let everywhere = settings.no_proxy.iter().any(|host| host == "*");
        let proxy = settings.proxy.as_ref().filter(|_| !loopback && !everywhere).map(|proxy| {
            let proxy = reqwest::Proxy::all(proxy.clone())
                .map_err(|_| Complaint::new("the proxy cannot be used", "write `outbound.proxy` as http://HOST:PORT"))?;
            Ok(proxy.no_proxy(reqwest::NoProxy::from_string(&exempt(settings))))
        });
        Ok(Self { tls, proxy: proxy.transpose()?, connect_timeout })
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
            builder = builder.proxy(proxy.clone());
        }
        builder.build().map_err(|_| Complaint::new("no client can be made", "report this as a defect of tokend"))
    }
}

/// The hosts that no proxy is asked for, as NO_PROXY has them.
fn exempt(settings: &Settings) -> String {
    settings.no_proxy.iter().map(String::as_str).chain([NEVER_PROXIED]).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use hyper_util::client::proxy::matcher::Matcher;

    use super::{Settings, exempt};

    #[test]
    fn some_hosts_are_never_proxied() {
        let settings = Settings { no_proxy: vec!["10.0.0.0/8".to_owned(), ".corp.example".to_owned()], ..Settings::default() };
        // What stands behind the client's own judgement of such a list.
        let matcher = Matcher::builder().all("http://proxy.example:3128").no(exempt(&settings)).build();
        let proxied = |host: &str| matcher.intercept(&format!("https://{host}/t").parse().unwrap()).is_some();
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "169.254.169.254", "10.1.2.3", "id.corp.example"] {
            assert!(!proxied(host), "{host}");
        }
        for host in ["login.microsoftonline.com", "169.254.169.253", "11.1.2.3"] {
            assert!(proxied(host), "{host}");
        }
    }
}
