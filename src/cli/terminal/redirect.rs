//! Where the authority sends the browser: an address of this machine, and the sockets that are bound before it is told to anybody.
//!
//! Entra compares `http://localhost` without the port and takes `http://127.0.0.1` only where a registration was edited by hand;
//! RFC 8252 §7.3 asks every other server for any port of `http://127.0.0.1`. A browser that is sent to `localhost` may try either
//! loopback, so that both are bound: what is free on one of them is for any user of the machine to take.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use url::{Host, Url};

/// How often another port is tried where a free one of one loopback is taken on the other.
const TRIES: usize = 20;

/// An address on loopback that a browser is sent back to; without a port until one is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackUri {
    /// As it is sent, the port apart.
    before: String,
    after: String,
    /// What the browser's `Host` says, without the port.
    host: String,
    path: String,
    port: Option<u16>,
    /// What it is reached at; both for a name.
    addresses: Vec<IpAddr>,
}

/// Sockets that nobody is served over yet, all of one port.
#[derive(Debug)]
pub(super) struct BoundLoopback {
    pub(super) sockets: Vec<TcpListener>,
    pub(super) port: u16,
}

// === impl LoopbackUri ===

impl LoopbackUri {
    /// Entra's: no path, and a name.
    pub(super) fn at_entra() -> Self {
        Self {
            before: "http://localhost".to_owned(),
            after: String::new(),
            host: "localhost".to_owned(),
            path: "/".to_owned(),
            port: None,
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }

    /// That of any other server.
    pub(super) fn at_issuer() -> Self {
        Self {
            before: "http://127.0.0.1".to_owned(),
            after: "/".to_owned(),
            host: "127.0.0.1".to_owned(),
            path: "/".to_owned(),
            port: None,
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
        }
    }

    /// As the authority is told it.
    pub(super) fn with_port(&self, port: u16) -> String {
        format!("{}:{port}{}", self.before, self.after)
    }

    /// What `Host` says of a browser that was sent there.
    pub(super) fn host(&self, port: u16) -> String {
        // A browser leaves the scheme's own port out.
        if port == 80 { self.host.clone() } else { format!("{}:{port}", self.host) }
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Binds it: its own port, else one that is free on all that it is reached at.
    pub(super) fn bind(&self) -> io::Result<BoundLoopback> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.bind_at(self.port.unwrap_or(0)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && self.port.is_none() && tried < TRIES => {}
                bound => return bound,
            }
        }
    }

    fn bind_at(&self, mut port: u16) -> io::Result<BoundLoopback> {
        let mut sockets: Vec<TcpListener> = Vec::new();
        for address in &self.addresses {
            match TcpListener::bind(SocketAddr::new(*address, port)) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    port = socket.local_addr()?.port();
                    sockets.push(socket);
                }
                // The machine has no IPv6, or none on loopback: then no browser goes there either.
                Err(error) if !sockets.is_empty() && !is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(BoundLoopback { sockets, port })
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

impl fmt::Display for LoopbackUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => f.write_str(&self.with_port(port)),
            None => write!(f, "{}{}", self.before, self.after),
        }
    }
}

impl FromStr for LoopbackUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write http://localhost, http://127.0.0.1 or http://[::1], with a port or without, and a path".to_owned();
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let url = Url::parse(text).map_err(|_| wrong())?;
        let addresses = match url.host() {
            Some(Host::Ipv4(Ipv4Addr::LOCALHOST)) => vec![Ipv4Addr::LOCALHOST.into()],
            Some(Host::Ipv6(Ipv6Addr::LOCALHOST)) => vec![Ipv6Addr::LOCALHOST.into()],
            Some(Host::Domain("localhost")) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            _ => return Err(wrong()),
        };
        if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err("it has a fragment or a user, which no redirect URI has".to_owned());
        }
        // The text is kept as it was written: authorities compare letters. The port alone may be put in.
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let host = url.host_str().unwrap_or_default().to_owned();
        let written = authority.strip_prefix(&*host).ok_or_else(|| format!("write the host as `{host}`"))?;
        let port = match written.strip_prefix(':') {
            Some("0") => return Err("the port is 0: leave it out, and a free one is put in".to_owned()),
            Some(digits) => Some(digits.parse().map_err(|_| wrong())?),
            None if written.is_empty() => None,
            None => return Err(wrong()),
        };
        let (before, after, path) = (format!("http://{host}"), after.to_owned(), url.path().to_owned());
        Ok(Self { before, after, host, path, port, addresses })
    }
}

/// Whether an authorization endpoint is Entra's, B2C's, CIAM's or AD FS's, by the path that all of those have and no issuer's has
/// to. The authority decides what it takes, whatever the configuration calls it.
pub(super) fn is_entra_style(authorization: &Url) -> bool {
    let path = authorization.path().trim_end_matches('/');
    path.ends_with("/oauth2/v2.0/authorize") || path.ends_with("/adfs/oauth2/authorize")
}

#[cfg(test)]
mod tests {
    use super::{LoopbackUri, is_entra_style};

    #[test]
    fn a_port_is_put_in_where_there_is_none() {
        for (text, sent, host, path) in [
            ("http://localhost", "http://localhost:5", "localhost:5", "/"),
            ("http://localhost/callback", "http://localhost:5/callback", "localhost:5", "/callback"),
            ("http://127.0.0.1/", "http://127.0.0.1:5/", "127.0.0.1:5", "/"),
            ("http://[::1]/a?b=c", "http://[::1]:5/a?b=c", "[::1]:5", "/a"),
        ] {
            let uri: LoopbackUri = text.parse().unwrap();
            assert_eq!((&*uri.with_port(5), &*uri.host(5), uri.path(), uri.port), (sent, host, path, None), "{text}");
        }
        let fixed: LoopbackUri = "http://localhost:3000/callback".parse().unwrap();
        assert_eq!((fixed.port, fixed.to_string()), (Some(3000), "http://localhost:3000/callback".to_owned()));
        assert_eq!("http://localhost:80".parse::<LoopbackUri>().unwrap().host(80), "localhost");
        assert_eq!(LoopbackUri::at_entra(), "http://localhost".parse().unwrap());
        assert_eq!(LoopbackUri::at_issuer(), "http://127.0.0.1/".parse().unwrap());
    }

    #[test]
    fn nothing_beyond_this_machine_is_taken() {
        for bad in [
            "",
            "https://localhost",
            "http://127.0.0.2/",
            "http://app.example/callback",
            "http://localhost.evil.example/",
            "http://localhost:0",
            "http://localhost:99999",
            "http://LOCALHOST/",
            "http://127.1/",
            "http://me@localhost/",
            "http://localhost/#a",
            "http://localhost:3000x/",
            "tokend://callback",
        ] {
            assert!(bad.parse::<LoopbackUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_bound_on_both_loopbacks_or_not_at_all() {
        let bound = LoopbackUri::at_entra().bind().unwrap();
        assert_eq!(bound.sockets.first().unwrap().local_addr().unwrap().port(), bound.port);
        let taken = format!("http://localhost:{}", bound.port).parse::<LoopbackUri>().unwrap();
        assert!(taken.bind().is_err());
        // On one of the two it is as bad.
        let Some(six) = bound.sockets.into_iter().find(|socket| socket.local_addr().unwrap().is_ipv6()) else { return };
        assert!(taken.bind().is_err());
        drop(six);
        assert_eq!(taken.bind().unwrap().sockets.len(), 2);
        assert_eq!(LoopbackUri::at_issuer().bind().unwrap().sockets.len(), 1);
    }

    #[test]
    fn entra_is_told_from_issuers() {
        let is = |url: &str| is_entra_style(&url.parse().unwrap());
        for entra in [
            "https://login.microsoftonline.com/t/oauth2/v2.0/authorize?a=b",
            "https://x.b2clogin.com/t/policy/oauth2/v2.0/authorize",
            "https://sts.contoso.example/adfs/oauth2/authorize",
        ] {
            assert!(is(entra), "{entra}");
        }
        for issuer in [
            "https://id.example/realms/shop/protocol/openid-connect/auth",
            "https://x.okta.example/oauth2/default/v1/authorize",
            "https://id.example/auth?next=/oauth2/v2.0/authorize",
        ] {
            assert!(!is(issuer), "{issuer}");
        }
    }
}
