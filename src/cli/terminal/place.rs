//! Where tokend is: an address on loopback, or a Unix socket. Beyond the machine a token would travel in the clear.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where a running tokend is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokendPlace {
    /// An address on loopback.
    Tcp {
        /// Where to connect, in this order.
        addresses: Vec<SocketAddr>,
        /// What `Host` says.
        authority: String,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

// === impl TokendPlace ===

impl TokendPlace {
    /// What `Host` says there.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Tcp { authority, .. } => authority,
            // No host is judged on a socket.
            Self::Unix(_) => "localhost",
        }
    }
}

impl Default for TokendPlace {
    /// Where tokend listens if nothing else is configured.
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8650));
        Self::Tcp { addresses: vec![address], authority: address.to_string() }
    }
}

impl fmt::Display for TokendPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { authority, .. } => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl FromStr for TokendPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let whole = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
            return if whole {
                Ok(Self::Unix(path.into()))
            } else {
                Err("a socket is written unix:///PATH, with its whole path".into())
            };
        }
        let url = Url::parse(text).map_err(|_| "write http://127.0.0.1:PORT, or unix:///PATH of a socket".to_owned())?;
        if url.scheme() != "http" {
            return Err("tokend is asked over loopback or a socket alone: write http://127.0.0.1:PORT, or unix:///PATH; what is \
                        elsewhere can be brought here by a tunnel"
                .to_owned());
        }
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err("it has more than a host and a port: write http://127.0.0.1:PORT".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let hosts: Vec<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) if address.is_loopback() => vec![address.into()],
            Some(Host::Ipv6(address)) if address.is_loopback() => vec![address.into()],
            // Both by number: a name is whatever a file of the machine says.
            Some(Host::Domain(name)) if name.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            _ => {
                return Err("the host is not this machine's loopback, and a token would travel in the clear: write \
                            http://127.0.0.1:PORT, or unix:///PATH; what is elsewhere can be brought here by a tunnel"
                    .to_owned());
            }
        };
        let authority = format!("{}:{port}", url.host_str().unwrap_or_default());
        Ok(Self::Tcp { addresses: hosts.into_iter().map(|host| SocketAddr::new(host, port)).collect(), authority })
    }
}

#[cfg(test)]
mod tests {
    use super::TokendPlace;

    #[test]
    fn loopback_and_sockets_are_places() {
        let shown = |text: &str| text.parse::<TokendPlace>().unwrap().to_string();
        assert_eq!(shown("http://127.0.0.1:8650"), "http://127.0.0.1:8650");
        assert_eq!(shown("http://127.9.9.9:1/"), "http://127.9.9.9:1");
        assert_eq!(shown("http://[::1]:8650"), "http://[::1]:8650");
        assert_eq!(shown("HTTP://LocalHost:5"), "http://localhost:5");
        assert_eq!(shown("http://localhost"), "http://localhost:80");
        assert_eq!(shown("unix:///run/tokend/tokend.sock"), "unix:///run/tokend/tokend.sock");
        assert_eq!(shown("unix:/run/tokend/tokend.sock"), "unix:///run/tokend/tokend.sock");
        assert_eq!(TokendPlace::default().to_string(), "http://127.0.0.1:8650");
        let TokendPlace::Tcp { addresses, .. } = "http://localhost:5".parse().unwrap() else { panic!("TCP") };
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn nothing_else_is_one() {
        for (bad, word) in [
            ("", "http://127.0.0.1:PORT"),
            ("127.0.0.1:8650", "http://127.0.0.1:PORT"),
            ("https://127.0.0.1:8650", "loopback or a socket alone"),
            ("http://tokend.example:8650", "in the clear"),
            ("http://10.0.0.1:8650", "in the clear"),
            ("http://0.0.0.0:8650", "in the clear"),
            ("http://localhost.evil.example:8650", "in the clear"),
            ("http://me@127.0.0.1:8650", "more than a host"),
            ("http://127.0.0.1:8650/silent", "more than a host"),
            ("http://127.0.0.1:8650/?a=b", "more than a host"),
            ("unix:tokend.sock", "whole path"),
            ("unix://", "whole path"),
            ("unix:///", "whole path"),
        ] {
            let error = bad.parse::<TokendPlace>().unwrap_err();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
