//! From a TCP connection to one over TLS: what a client may do until then, and how it is told apart from one that speaks no TLS.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{Certificate, CertificateNames};
use super::client::{CertificateEnd, ClientCertificate};
use super::wire::SeatedSocket;
use crate::clock::{Clock, Moment};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// A connection over TLS: boxed, because it is large and handed on often.
pub(super) type Agreed = Box<TlsStream<SeatedSocket<TcpStream>>>;

/// What both sides of a handshake have shown.
pub(super) struct HandshakeResult {
    pub(super) stream: Agreed,
    /// The names of our certificate.
    pub(super) names: CertificateNames,
    /// The client's certificate, if it has shown one, and when its connection ends for that.
    pub(super) client: Option<(Arc<ClientCertificate>, CertificateEnd)>,
}

/// TLS for the connections of a listener; clones share it.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificate: Certificate,
    failures: IntCounterVec,
    clock: Clock,
    tasks: Tasks,
    /// When the files were looked at last for the sake of a handshake, and whether somebody is at it.
    looked: AtomicU64,
    looking: AtomicBool,
}

/// Why a connection came to nothing: the closed list of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// It took too long.
    Timeout,
    /// The client went away, perhaps without a word: port probes do.
    Closed,
    /// The client speaks something else, plain HTTP as a rule.
    NotTls,
    /// No version, cipher or application protocol in common, or a message that is none.
    Protocol,
    /// The client's certificate is missing, or from no CA of ours, or not valid.
    ClientCertificate,
    /// The client takes our certificate for none that it trusts, or breaks off for another reason of its own.
    RefusedByClient,
    /// Anything else.
    Other,
}

/// New files are taken a second after they were written, if somebody comes, and not only at the next look by the clock.
const LOOK: Duration = Duration::from_secs(1);

/// The first byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// What a client that speaks plain HTTP is told, in the shape of any other problem.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: 255\r\ncache-control: no-store\r\n\
connection: close\r\n\r\n\
{\"type\":\"urn:tokend:error:invalid_request\",\"title\":\"Bad Request\",\"status\":400,\
\"detail\":\"this address speaks TLS: write https:// before it\",\"error\":\"invalid_request\",\
\"error_description\":\"this address speaks TLS: write https:// before it\",\"retryable\":false}";

/// What such a client may still send before its connection is reset, in bytes.
const TAIL: u64 = 64 * 1024;

// === impl Tls ===

impl Tls {
    /// TLS with this certificate.
    pub fn new(certificate: Certificate, metrics: &Metrics, clock: Clock, tasks: Tasks) -> Self {
        let failures = metrics.counters(
            "tls_handshake_failures_total",
            "Connections to the token listener that ended before TLS was agreed on, by reason.",
            &["reason"],
        );
        let looked = AtomicU64::new(clock.moment().millis());
        Self(Arc::new(Inner { certificate, failures, clock, tasks, looked, looking: AtomicBool::new(false) }))
    }

    /// Agrees on TLS with a client. Returns the stream, and what was shown.
    /// The caller bounds the time.
    pub(super) async fn accept(&self, mut wire: SeatedSocket<TcpStream>) -> Result<HandshakeResult, HandshakeError> {
        self.look();
        let mut first = [0];
        match wire.inner().peek(&mut first).await {
            Ok(0) | Err(_) => return Err(HandshakeError::Closed),
            Ok(_) if first == [HANDSHAKE] => {}
            Ok(_) => {
                if first[0].is_ascii_uppercase() {
                    // Whether it hears the answer is the client's affair.
                    drop(answer_plain(wire.into_inner()).await);
                }
                return Err(HandshakeError::NotTls);
            }
        }
        // Only now: a client may have connected long before it speaks.
        let identity = self.0.certificate.identity();
        wire.shake();
        // Boxed, so that whoever has said nothing yet does not take what it needs.
        let stream = Box::pin(TlsAcceptor::from(Arc::clone(&identity.value.config)).accept(wire)).await;
        let stream = Box::new(stream.map_err(|error| HandshakeError::of(&error))?);
        let names = identity.value.names.clone();
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let client = shown.map(|der| {
            let certificate = ClientCertificate::of(der).ok_or(HandshakeError::ClientCertificate)?;
            let end = certificate.end(&self.0.clock);
            Ok((Arc::new(certificate), end))
        });
        Ok(HandshakeResult { names, client: client.transpose()?, stream })
    }

    /// Counts a connection that came to nothing.
    pub(super) fn failed(&self, failure: HandshakeError) {
        let reason = failure.as_str();
        self.0.failures.with_label_values(&[reason]).inc();
        // Nothing of what the client said: names in a certificate are people's, too.
        tracing::debug!(reason, "no TLS was agreed on");
    }

    /// Has the files compared if that was not done within the last second. Nobody waits for it: file systems may hang.
    fn look(&self) {
        let inner = &self.0;
        let now = inner.clock.moment();
        let fresh = now.since(Moment::of_millis(inner.looked.load(Ordering::Relaxed))) < LOOK;
        if fresh || inner.certificate.is_fixed() || inner.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        inner.looked.store(now.millis(), Ordering::Relaxed);
        let this = self.clone();
        inner.tasks.background("reload", async move {
            let certificate = this.0.certificate.clone();
            certificate.reread().await;
            this.0.looking.store(false, Ordering::Release);
        });
    }
}

/// Answers, and reads on for a while: a connection that is closed with unread bytes is reset,
/// and the client would never see the answer.
async fn answer_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(TAIL);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

// === impl HandshakeError ===

impl HandshakeError {
    fn of(error: &io::Error) -> Self {
        use rustls::Error::{
            AlertReceived, InappropriateHandshakeMessage, InappropriateMessage, InvalidCertificate, InvalidMessage,
            NoApplicationProtocol, NoCertificatesPresented, PeerIncompatible, PeerMisbehaved, PeerSentOversizedRecord,
        };
        let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match said {
            None => match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Other,
            },
            Some(AlertReceived(_)) => Self::RefusedByClient,
            Some(NoCertificatesPresented | InvalidCertificate(_)) => Self::ClientCertificate,
            Some(
                PeerIncompatible(_)
                | PeerMisbehaved(_)
                | InvalidMessage(_)
                | InappropriateMessage { .. }
                | InappropriateHandshakeMessage { .. }
                | NoApplicationProtocol
                | PeerSentOversizedRecord,
            ) => Self::Protocol,
            Some(_) => Self::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Protocol => "protocol",
            Self::ClientCertificate => "client_certificate",
            Self::RefusedByClient => "refused_by_client",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PLAIN;

    #[test]
    fn the_plain_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 400);
    }
}
