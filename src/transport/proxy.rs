//! The proxy for calls beyond loopback: whom it is asked for, and what it says where it makes no way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::settings::Settings;
use crate::finding::Complaint;

/// Hosts that no proxy is asked for: this machine, and the metadata address of clouds.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.169.254";

/// How long a proxy may take to say why it makes no way.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of its answer is read: the status line comes first.
const STATUS_LINE: usize = 64;

/// The proxy, and who is reached without it.
pub(super) struct Proxy {
    url: Url,
    matcher: Matcher,
    /// Hosts that are reached without it at one port only.
    ports: Vec<(u16, Matcher)>,
}

// === impl Proxy ===

impl Proxy {
    /// The proxy of the settings, if there is one.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn of(settings: &Settings) -> Result<Option<Arc<Self>>, Complaint> {
        // The client takes `*` for every name, and for no address.
        let Some(url) = settings.proxy.as_ref().filter(|_| settings.no_proxy.iter().all(|host| host != "*")) else {
            return Ok(None);
        };
        let unusable = || Complaint::new("the proxy cannot be used", "write `outbound.proxy` as http://HOST:PORT");
        reqwest::Proxy::all(url.clone()).map_err(|_| unusable())?;
        let matching = |list: &str| Matcher::builder().all(url.as_str()).no(list).build();
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for entry in &settings.no_proxy {
            // What other programs write for a name and all below it.
            let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
            match with_port(entry) {
                Some((host, port)) => ports.push((port, matching(host))),
                None => hosts.push(entry.trim_matches(['[', ']'])),
            }
        }
        hosts.push(NEVER_PROXIED);
        Ok(Some(Arc::new(Self { url: url.clone(), matcher: matching(&hosts.join(",")), ports })))
    }

    /// The proxy as the client takes it.
    pub(super) fn for_client(self: &Arc<Self>) -> reqwest::Proxy {
        let this = Arc::clone(self);
        reqwest::Proxy::custom(move |url| this.intercepts(url).map(|_| this.url.clone()))
    }

    fn intercepts(&self, url: &Url) -> Option<Intercept> {
        let uri: http::Uri = url.as_str().parse().ok()?;
        let port = url.port_or_known_default();
        if self.ports.iter().any(|(exempt, hosts)| Some(*exempt) == port && hosts.intercept(&uri).is_none()) {
            return None;
        }
        self.matcher.intercept(&uri)
    }

    /// Asks the proxy once more for a way to a server, only to hear the status by which it refuses: the client does not tell.
    /// `None`: nothing more can be known. One that is spoken to over TLS is not asked.
    pub(super) async fn status(&self, url: &Url) -> Option<u16> {
        let proxy = self.intercepts(url).filter(|_| self.url.scheme() == "http")?;
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let authorization = proxy.basic_auth().and_then(|value| value.to_str().ok());
        let authorization = authorization.map_or(String::new(), |value| format!("Proxy-Authorization: {value}\r\n"));
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n");
        let near = (self.url.host_str()?.trim_matches(['[', ']']).to_owned(), self.url.port_or_known_default()?);
        timeout(PATIENCE, answered(near, request)).await.ok()?
    }
}

/// The status of what comes back, unless that is a way.
async fn answered(near: (String, u16), request: String) -> Option<u16> {
    let mut stream = TcpStream::connect(near).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::with_capacity(STATUS_LINE);
    while head.len() < STATUS_LINE && !head.contains(&b'\n') {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            break;
        }
    }
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r' || *byte == b'\n').next()?).ok()?;
    let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    (300..600).contains(&status).then_some(status)
}

/// Host and port of an entry that has a port. The colons of an address are no port's.
fn with_port(entry: &str) -> Option<(&str, u16)> {
    let (host, port) = entry.rsplit_once(':')?;
    let port = port.parse().ok()?;
    match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').map(|address| (address, port)),
        None => (!host.contains(':')).then_some((host, port)),
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its URL may hold a password.
        f.debug_struct("Proxy").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::Proxy;
    use crate::transport::settings::Settings;

    fn proxied(no_proxy: &[&str], url: &str) -> bool {
        let settings = Settings {
            proxy: Some(Url::parse("http://proxy.example:3128").unwrap()),
            no_proxy: no_proxy.iter().map(|host| (*host).to_owned()).collect(),
            ..Settings::default()
        };
        let proxy = Proxy::of(&settings).unwrap();
        proxy.is_some_and(|proxy| proxy.intercepts(&Url::parse(url).unwrap()).is_some())
    }

    #[test]
    fn some_hosts_are_never_proxied() {
        let exempt = ["10.0.0.0/8", ".corp.example"];
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "169.254.169.254", "10.1.2.3", "id.corp.example"] {
            assert!(!proxied(&exempt, &format!("https://{host}/t")), "{host}");
        }
        for host in ["login.microsoftonline.com", "169.254.169.253", "11.1.2.3"] {
            assert!(proxied(&exempt, &format!("https://{host}/t")), "{host}");
        }
    }

    #[test]
    fn a_star_before_a_name_is_all_below_it_and_a_port_is_that_port_alone() {
        for (entry, url, through) in [
            ("*.corp.example", "https://id.corp.example/t", false),
            ("*.corp.example", "https://a.b.corp.example/t", false),
            ("*.corp.example", "https://id.other.example/t", true),
            ("*.corp.example:8443", "https://id.corp.example:8443/t", false),
            ("*.corp.example:8443", "https://id.corp.example/t", true),
            ("id.corp.example:443", "https://id.corp.example/t", false),
            ("id.corp.example:443", "https://id.corp.example:8443/t", true),
            (".corp.example:80", "http://id.corp.example/t", false),
            ("10.1.2.3:8443", "https://10.1.2.3:8443/t", false),
            ("10.1.2.3:8443", "https://10.1.2.3/t", true),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443/t", false),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]/t", true),
            ("2001:db8::1", "https://[2001:db8::1]/t", false),
            ("[2001:db8::1]", "https://[2001:db8::1]/t", false),
            ("*", "https://10.1.2.3/t", false),
        ] {
            assert_eq!(proxied(&[entry], url), through, "{entry} {url}");
        }
    }
}
