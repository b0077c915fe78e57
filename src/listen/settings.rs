//! Where a listener listens, as the configuration says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::finding::Complaint;
use crate::reload::Source;

/// One address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// Every address of the machine: dual-stack, and IPv4 alone where there is no IPv6.
    Any(u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What a listener takes from a connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// The mode of its Unix sockets.
    pub mode: u32,
    /// The bytes of a request's head.
    pub header: usize,
    /// Connections at a time. For a further one, one is closed on which nothing is asked; if there is none it waits to be accepted.
    pub connections: usize,
    /// How many of these are kept for connections from this machine.
    pub reserve: usize,
    /// Descriptors that are kept for further connections, for when the process has none left.
    pub spares: usize,
    /// Connections without a complete head that one remote address may have; all of this machine counts as one. `None`: a quarter
    /// of `connections`.
    pub per_address: Option<usize>,
    /// What connections without a complete head may take in memory altogether, in bytes, TLS handshakes included.
    pub heads: usize,
    /// How long a connection without a request stays. `None`: over HTTP/1 each brings one request alone, and over HTTP/2 it stays
    /// as long as a head may take.
    pub keep_alive: Option<Duration>,
    /// How long a request's head may take to arrive, and a TLS handshake.
    pub header_timeout: Duration,
    /// What its TCP addresses speak TLS with; `None`: they speak plain HTTP. A Unix socket never speaks TLS.
    pub tls: Option<TlsSettings>,
}

/// `tls`: PEM texts, followed when they change.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The certificate, with the chain after it.
    pub cert: Source,
    /// Its private key, not encrypted.
    pub key: Source,
    /// The CAs whose certificates clients show; `None`: clients show none.
    pub client_ca: Option<Source>,
    /// Whether each client has to show one. One that is shown has to be good either way.
    pub client_certificates: ClientCertificates,
}

/// `tls.client_certificates`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Who has none gets no further than the handshake.
    #[default]
    Required,
    /// Who has none proves itself otherwise.
    Optional,
}

// === impl Address ===

impl Address {
    /// Reads one address; `localhost` is both loopback addresses.
    ///
    /// # Errors
    /// It is no address with a port and no `unix:` path.
    pub fn parse(text: &str) -> Result<Vec<Self>, Complaint> {
        let remedy = "write 127.0.0.1:8650, [::1]:8650, localhost:8650, \"*:8650\" or unix:/run/tokend/tokend.sock";
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(vec![Self::Unix(PathBuf::from(path))])
            } else {
                Err(Complaint::new("the path of a Unix socket is absolute", remedy))
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(vec![Self::Tcp(address)]);
        }
        let port = |port: &str| {
            let digits = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|port| port.parse::<u16>().ok());
            number.ok_or_else(|| Complaint::new("the port is no number up to 65535", remedy))
        };
        match text.rsplit_once(':') {
            Some(("localhost", number)) => {
                let port = port(number)?;
                let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                Ok(both.map(|ip| Self::Tcp(SocketAddr::new(ip, port))).to_vec())
            }
            Some(("*", number)) => Ok(vec![Self::Any(port(number)?)]),
            _ => Err(Complaint::new("it is no address", remedy)),
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Any(_) => false,
            Self::Unix(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn reads_every_form() {
        assert_eq!(Address::parse("localhost:8650").map(|list| list.len()), Ok(2));
        assert_eq!(Address::parse("*:8651"), Ok(vec![Address::Any(8651)]));
        assert!(Address::parse("unix:/run/t.sock").is_ok_and(|list| list.iter().all(Address::is_local)));
        assert!(Address::parse("0.0.0.0:1").is_ok_and(|list| !list.iter().any(Address::is_local)));
        for bad in ["", "8650", "host:1", "unix:t.sock", "127.0.0.1", "localhost:99999", "*:x"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
