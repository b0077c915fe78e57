//! What a client's certificate says of it, and the end that it sets to its connection.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;

use crate::clock::Clock;

/// The certificate that a client has shown in the handshake. TLS has judged it before: it is of a CA of ours, it held, and it is
/// for clients.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    uris: Box<[Box<str>]>,
    dns: Box<[Box<str>]>,
    /// The last second in which it holds, since the Unix epoch.
    ends: i64,
}

/// When a connection ends because its client's certificate does.
#[derive(Clone, Debug)]
pub(super) struct CertificateEnd {
    ends: SystemTime,
    clock: Clock,
    /// Set when a request came too late: clocks may be set, and timers come late.
    late: CancellationToken,
}

/// How often the clock is looked at while a connection waits for its end: it may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);

// === impl ClientCertificate ===

impl ClientCertificate {
    /// Reads a certificate in DER; `None`: it cannot be read.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        for name in parsed.subject_alternative_name().ok()?.iter().flat_map(|names| &names.value.general_names) {
            match *name {
                GeneralName::URI(uri) => uris.push(uri.into()),
                GeneralName::DNSName(name) => dns.push(name.into()),
                _ => {}
            }
        }
        Some(Self { uris: uris.into(), dns: dns.into(), ends: parsed.validity().not_after.timestamp() })
    }

    /// Its one URI. A certificate with several is nobody's: SPIFFE allows one only (X.509-SVID §2).
    pub fn uri(&self) -> Option<&str> {
        match &*self.uris {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Its DNS names, as they stand there.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(|name| &**name)
    }

    /// When its connection ends.
    pub(super) fn end(&self, clock: &Clock) -> CertificateEnd {
        // It holds through its last second (RFC 5280 §4.1.2.5).
        let ends = UNIX_EPOCH + Duration::from_secs(u64::try_from(self.ends.saturating_add(1)).unwrap_or(0));
        CertificateEnd { ends, clock: clock.clone(), late: CancellationToken::new() }
    }
}

// === impl CertificateEnd ===

impl CertificateEnd {
    /// Whether it is over. If it is, whoever waits for that is told.
    pub(super) fn is_over(&self) -> bool {
        let over = self.clock.wall() >= self.ends;
        if over {
            self.late.cancel();
        }
        over
    }

    /// Waits until it is over.
    pub(super) async fn passed(&self) {
        let timer = async {
            while let Ok(left) = self.ends.duration_since(self.clock.wall())
                && !left.is_zero()
            {
                tokio::time::sleep(left.min(LOOK)).await;
            }
        };
        tokio::select! {
            () = timer => {}
            () = self.late.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::ClientCertificate;
    use crate::clock::Clock;

    fn certificate(uris: &[&str], names: &[&str]) -> ClientCertificate {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.not_after = date_time_ymd(2027, 1, 1);
        ClientCertificate::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
    }

    #[test]
    fn it_names_a_client_by_one_uri_or_by_dns_names() {
        let (one, other) = ("spiffe://prod.example/orders", "spiffe://prod.example/shop");
        assert_eq!(certificate(&[one], &[]).uri(), Some(one));
        assert_eq!(certificate(&[one, other], &[]).uri(), None);
        assert_eq!(certificate(&[], &["a.example"]).uri(), None);
        let both = certificate(&[one], &["a.example", "10.0.0.1", "*.b.example"]);
        assert_eq!(both.dns_names().collect::<Vec<_>>(), ["a.example", "*.b.example"]);
        assert_eq!(ClientCertificate::of(b"nothing"), None);
    }

    #[tokio::test]
    async fn its_last_second_is_its_own() {
        // The first second of 2027.
        let ends = 1_798_761_600;
        let clock = Clock::manual(ends);
        let end = certificate(&[], &[]).end(&clock);
        clock.advance(Duration::from_millis(999));
        assert!(!end.is_over() && end.passed().now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert_eq!(end.clone().passed().now_or_never(), Some(()));
        assert!(end.is_over());
        // Whoever waits for it is told, although the timer is far from its end.
        let clock = Clock::manual(ends - 1000);
        let end = certificate(&[], &[]).end(&clock);
        let waiting = end.passed();
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(2000));
        assert!(end.is_over());
        waiting.await;
    }
}
