//! Why no connection was made: one cause for each failure, with what to do about it. The client has no types for most of them: what
//! it wraps has, and where that has none either its own words tell (tests hold it to them).

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Why no connection was made, or why one broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The name of the server leads nowhere.
    Name,
    /// Nothing listens there, or something refuses for it.
    Refused,
    /// There is no way there.
    Unroutable,
    /// Nobody answered in time.
    ConnectTimeout,
    /// The certificate is of a CA that is not trusted.
    UnknownCa,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for other names.
    WrongName,
    /// The certificate is a CA's own.
    CaAsServer,
    /// The certificate is no good for another reason.
    Certificate,
    /// What listens there speaks no TLS.
    NoTls,
    /// The server does not take the certificate that it was shown.
    OwnCertificate,
    /// The two found no way to speak TLS.
    Tls,
    /// The proxy made no way to the server, and said so by this status, if it is known.
    Proxy(Option<u16>),
    /// The proxy itself cannot be reached.
    ProxyAway,
    /// The other end closed the connection.
    Closed,
    /// Anything else.
    Other,
}

// === impl Why ===

impl Why {
    /// The cause of an error, which is the innermost that is known.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let (mut found, mut cause) = (Self::Other, Some(error));
        while let Some(error) = cause {
            match (Self::at(error), found) {
                // A proxy that is away is that, whatever keeps it away.
                (_, Self::ProxyAway) | (Self::Other, _) => {}
                (closer, _) => found = closer,
            }
            cause = error.source();
        }
        found
    }

    fn at(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Self::of_tls(error);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // What it wraps is not its source.
            return match error.get_ref() {
                Some(inner) => match Self::of(inner) {
                    Self::Other => Self::of_io(error.kind()),
                    inner => inner,
                },
                None => Self::of_io(error.kind()),
            };
        }
        let text = error.to_string();
        match text.as_str() {
            "dns error" => Self::Name,
            "operation timed out" => Self::ConnectTimeout,
            "tunnel error: proxy authorization required" => Self::Proxy(Some(407)),
            "tunnel error: failed to create underlying connection" => Self::ProxyAway,
            _ if text.starts_with("tunnel error: ") => Self::Proxy(None),
            _ => Self::Other,
        }
    }

    fn of_io(kind: io::ErrorKind) -> Self {
        use io::ErrorKind::{
            AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
            NetworkUnreachable, TimedOut, UnexpectedEof,
        };
        match kind {
            ConnectionRefused => Self::Refused,
            HostUnreachable | NetworkUnreachable | AddrNotAvailable => Self::Unroutable,
            TimedOut => Self::ConnectTimeout,
            ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => Self::Closed,
            _ => Self::Other,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
            UnknownIssuer,
        };
        use rustls::AlertDescription::{
            AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
            UnknownCA, UnsupportedCertificate,
        };
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                // A CA of the same name and with another key is another CA.
                UnknownIssuer | BadSignature => Self::UnknownCa,
                Expired | ExpiredContext { .. } => Self::Expired,
                NotValidYet | NotValidYetContext { .. } => Self::NotYetValid,
                NotValidForName | NotValidForNameContext { .. } => Self::WrongName,
                // The verifier's own error has no type here.
                CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => Self::CaAsServer,
                _ => Self::Certificate,
            },
            rustls::Error::InvalidMessage(_) => Self::NoTls,
            rustls::Error::AlertReceived(
                AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                | UnknownCA
                | UnsupportedCertificate,
            ) => Self::OwnCertificate,
            _ => Self::Tls,
        }
    }

    /// One word for it, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "dns",
            Self::Refused => "refused",
            Self::Unroutable => "unroutable",
            Self::ConnectTimeout => "connect_timeout",
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::WrongName => "wrong_name",
            Self::CaAsServer => "ca_as_server",
            Self::Certificate => "certificate",
            Self::NoTls => "no_tls",
            Self::OwnCertificate => "own_certificate",
            Self::Tls => "tls",
            Self::Proxy(_) => "proxy",
            Self::ProxyAway => "proxy_unreachable",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }

    /// What is wrong and what to do about it; nothing where no more is known than the error says itself.
    pub(super) fn sentence(self) -> Option<String> {
        let sentence = match self {
            Self::Name => "its name is not known: check the host, and the name servers of this machine",
            Self::Refused => "the connection was refused: check host and port, and whether a firewall stands between",
            Self::Unroutable => "there is no route to it: check the network of this machine, and whether a proxy is needed",
            Self::ConnectTimeout => {
                "no connection was made in time: a firewall drops what is sent there, or it is down; check whether a proxy is needed"
            }
            Self::UnknownCa => "its certificate is of a CA that is not trusted: name the CA's certificate as `ca_file`",
            Self::Expired => "its certificate has expired: have it renewed, and check the clock of this machine",
            Self::NotYetValid => "its certificate is not valid yet: check the clock of this machine",
            Self::WrongName => "its certificate is for other names: name a host that stands in the certificate",
            Self::CaAsServer => {
                "it shows a CA's own certificate as the server's: have one made that is no CA's (basicConstraints CA:FALSE), and name \
                 that, or the CA that issued it, as `ca_file`"
            }
            Self::Certificate => "its certificate is not accepted: have a proper one made for a server",
            Self::NoTls => "what listens there speaks no TLS: check the port",
            Self::OwnCertificate => {
                "it does not take the certificate that this connection showed, or wants one: have that of `credential.tls_certificate` \
                 registered with the app, issued by a CA that it trusts"
            }
            Self::Tls => "no way was found to speak TLS with it: it has to speak TLS 1.2 or 1.3",
            Self::Proxy(Some(407)) => {
                "the proxy wants a user and a password (status 407): write them into `outbound.proxy` or HTTPS_PROXY, as \
                 http://USER:PASSWORD@HOST:PORT"
            }
            Self::Proxy(Some(status)) => {
                return Some(format!(
                    "the proxy makes no way to it (status {status}): have it allowed there, or name it in `no_proxy`"
                ));
            }
            Self::Proxy(None) => "the proxy makes no way to it: have it allowed there, or name it in `no_proxy`",
            Self::ProxyAway => "the proxy cannot be reached: check `outbound.proxy` or HTTPS_PROXY",
            Self::Closed => "the connection was closed at the other end",
            Self::Other => return None,
        };
        Some(sentence.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustls::{CertificateError, OtherError};

    use super::Why;

    #[derive(Debug)]
    struct CaUsedAsEndEntity;

    impl std::fmt::Display for CaUsedAsEndEntity {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no")
        }
    }

    impl std::error::Error for CaUsedAsEndEntity {}

    #[test]
    fn the_innermost_cause_that_is_known_is_the_cause() {
        let tls = |error: CertificateError| io::Error::other(rustls::Error::InvalidCertificate(error));
        let named = CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity)));
        for (error, why) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), Why::Refused),
            (io::Error::from_raw_os_error(113), Why::Unroutable),
            (io::Error::from(io::ErrorKind::UnexpectedEof), Why::Closed),
            (io::Error::other("something new"), Why::Other),
            (io::Error::other(tls(CertificateError::UnknownIssuer)), Why::UnknownCa),
            (tls(CertificateError::Expired), Why::Expired),
            (tls(CertificateError::NotValidYet), Why::NotYetValid),
            (tls(CertificateError::NotValidForName), Why::WrongName),
            (tls(named), Why::CaAsServer),
            (tls(CertificateError::BadSignature), Why::UnknownCa),
            (tls(CertificateError::Revoked), Why::Certificate),
            (io::Error::from(io::ErrorKind::TimedOut), Why::ConnectTimeout),
            (io::Error::other(rustls::Error::HandshakeNotComplete), Why::Tls),
            (io::Error::other(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)), Why::OwnCertificate),
        ] {
            assert_eq!(Why::of(&error), why, "{error:?}");
        }
    }

    #[test]
    fn every_cause_that_is_known_has_a_remedy_of_its_own() {
        let all = [
            Why::Name,
            Why::Refused,
            Why::Unroutable,
            Why::ConnectTimeout,
            Why::UnknownCa,
            Why::Expired,
            Why::NotYetValid,
            Why::WrongName,
            Why::CaAsServer,
            Why::Certificate,
            Why::NoTls,
            Why::OwnCertificate,
            Why::Tls,
            Why::Proxy(Some(407)),
            Why::Proxy(Some(403)),
            Why::Proxy(None),
            Why::ProxyAway,
            Why::Closed,
        ];
        let mut said: Vec<String> = all.iter().filter_map(|why| why.sentence()).collect();
        said.sort();
        said.dedup();
        assert_eq!(said.len(), all.len());
        assert!(said.iter().any(|text| text.contains("403")) && Why::Other.sentence().is_none());
    }
}
