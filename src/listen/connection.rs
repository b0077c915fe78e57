//! One connection from its first byte to its last: protocol, bounds, requests.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::{Either, ready};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::certificate::CertificateNames;
use super::client::CertificateEnd;
use super::handshake::{HandshakeError, HandshakeResult};
use super::occupant::Occupant;
use super::pace::Pace;
use super::stream::{Protocol, peek};
use super::wire::{SeatedSocket, Socket};
use super::{Connection, Settings, Tls};
use crate::tasks::Tasks;

/// What a listener serves: a router, or one with layers around it. Every request gets a clone of it.
pub trait App:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// What every connection of a listener shares.
#[derive(Debug)]
pub(super) struct Connections<A> {
    app: A,
    http1: http1::Builder,
    /// The largest head that is kept, in bytes; one that is not much larger than allowed is answered with a problem.
    most: usize,
    header_timeout: Duration,
    keep_alive: Option<Duration>,
    /// What an answer says of it.
    kept: Option<HeaderValue>,
    stop: CancellationToken,
    tasks: Tasks,
}

/// Runs the requests of an HTTP/2 connection as tasks of ours.
#[derive(Clone, Debug)]
struct Streams {
    tasks: Tasks,
    seat: Arc<Occupant>,
}

/// A request's body, which tells when it is let go before its end.
#[derive(Debug)]
struct Given {
    body: Incoming,
    seat: Arc<Occupant>,
    /// Whether it was read to its end: of a chunked one nothing else tells.
    read: bool,
}

/// Requests of one HTTP/2 connection at a time: more than a client library opens by itself.
const STREAMS: u32 = 128;

/// What an HTTP/2 client may send of bodies, in bytes, before they are read: as much as the protocol gives every connection anyway.
const WINDOW: u32 = 65_535;

/// What may wait to be sent on one HTTP/2 stream, in bytes.
const SEND: usize = 64 * 1024;

/// Streams that a client opened and reset before they were looked at, and streams that were reset for its mistakes; one more ends
/// the connection.
const UNSEEN_RESETS: usize = 20;
const MISTAKES: usize = 64;

/// For how long after the stop a connection on which nothing is asked stays: a request may be on its way, and whoever sent it
/// cannot know whether it arrived. What is answered meanwhile ends its connection.
const LINGER: Duration = Duration::from_millis(100);

/// hyper's least buffer.
const LEAST_BUFFER: usize = 8192;

/// What a TLS connection takes after the handshake and before its first request, in bytes: measured.
const SESSION: usize = 12 * 1024;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What a request is told that comes after the end of its connection's client certificate, in the shape of any other problem.
const ENDED: &str = "{\"type\":\"urn:tokend:error:caller_not_authenticated\",\"title\":\"The caller is not known\",\"status\":403,\
\"detail\":\"the client certificate of this connection has ended: connect again with one that holds\",\
\"error\":\"caller_not_authenticated\",\
\"error_description\":\"the client certificate of this connection has ended: connect again with one that holds\",\
\"retryable\":false}";

/// What is known of a connection before its first request.
struct KnownConnection<'a> {
    connection: Connection,
    /// The names of the certificate that its client has seen; `None`: it saw none.
    names: Option<CertificateNames>,
    /// When it ends because its client's certificate does.
    end: Option<CertificateEnd>,
    seat: &'a Arc<Occupant>,
}

// === impl Connections ===

impl<A: App> Connections<A> {
    pub(super) fn new(app: A, settings: &Settings, tasks: &Tasks, stop: &CancellationToken) -> Self {
        // The edge answers heads over `header` with a problem; what is twice as large is not even kept.
        let most = settings.header.saturating_mul(2);
        let mut http1 = http1::Builder::new();
        http1.keep_alive(settings.keep_alive.is_some()).half_close(true);
        // Its clock for heads runs while a connection is idle, too: `Pace` has one for each.
        http1.header_read_timeout(None);
        // The size of a whole head is judged when it is complete, the buffer bounds one that never is. More than 100 headers are
        // refused by default, and saying so again would cost an allocation per request.
        http1.max_header_size(most).max_buf_size(most.max(LEAST_BUFFER));
        // Less than a second is nothing that a client could be told.
        let seconds = settings.keep_alive.map(|time| time.as_secs()).filter(|seconds| *seconds != 0);
        let kept = seconds.and_then(|seconds| HeaderValue::try_from(format!("timeout={seconds}")).ok());
        let (header_timeout, keep_alive) = (settings.header_timeout, settings.keep_alive);
        Self { app, http1, most, header_timeout, keep_alive, kept, stop: stop.clone(), tasks: tasks.clone() }
    }

    fn http2(&self, seat: &Arc<Occupant>) -> http2::Builder<Streams> {
        let mut http2 = http2::Builder::new(Streams { tasks: self.tasks.clone(), seat: Arc::clone(seat) });
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.most).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND)
            .max_pending_accept_reset_streams(UNSEEN_RESETS)
            .max_local_error_reset_streams(MISTAKES);
        // A peer that is gone without a word must not hold its place until the next write.
        http2.keep_alive_interval(self.header_timeout).keep_alive_timeout(self.header_timeout);
        http2
    }

    /// Agrees on TLS, in the time that a head may take, and serves the connection to its end.
    pub(super) async fn serve_tls(&self, tls: &Tls, stream: TcpStream, mut connection: Connection, seat: &Arc<Occupant>) {
        let wire = SeatedSocket::new(stream, Arc::clone(seat));
        let agreed = tokio::select! {
            agreed = tokio::time::timeout(self.header_timeout, tls.accept(wire)) => agreed,
            () = self.stopped_for(LINGER) => return,
        };
        match agreed.unwrap_or(Err(HandshakeError::Timeout)) {
            Ok(HandshakeResult { mut stream, names, client }) => {
                stream.get_mut().0.shaken();
                seat.shaken(SESSION);
                let (certificate, end) = client.unzip();
                connection.certificate = certificate;
                self.serve_known(stream, KnownConnection { connection, names: Some(names), end, seat }).await;
            }
            Err(failure) => tls.failed(failure),
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve<S: Socket>(&self, stream: S, connection: Connection, seat: &Arc<Occupant>) {
        let known = KnownConnection { connection, names: None, end: None, seat };
        self.serve_known(SeatedSocket::new(stream, Arc::clone(seat)), known).await;
    }

    async fn serve_known<S>(&self, stream: S, known: KnownConnection<'_>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let seat = known.seat;
        let mut pace = Pace::new(seat, self.header_timeout, self.keep_alive);
        let peeked = tokio::select! {
            peeked = peek(stream, Arc::clone(seat), self.most) => peeked,
            () = pace.over() => return,
            // Nothing was asked, so nothing is owed.
            () = self.stopped_for(LINGER) => return,
        };
        let Ok((protocol, stream)) = peeked else { return };
        let service = hyper::service::service_fn(|request| self.call(request, &known));
        let io = TokioIo::new(stream);
        match protocol {
            // Boxed, so that whoever has said nothing yet does not take what they need.
            Protocol::Http1 => {
                pace.drive(Box::pin(self.http1.serve_connection(io, service)), self.over(LINGER, known.end.as_ref())).await;
            }
            Protocol::Http2 => {
                let connection = Box::pin(self.http2(seat).serve_connection(io, service));
                pace.drive(connection, self.over(Duration::ZERO, known.end.as_ref())).await;
            }
        }
    }

    fn call(
        &self,
        request: Request<Incoming>,
        known: &KnownConnection<'_>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<A> {
        let running = known.seat.begin();
        let mut request = request.map(|body| Body::new(Given { body, seat: Arc::clone(known.seat), read: false }));
        request.extensions_mut().insert(known.connection.clone());
        if let Some(names) = &known.names {
            request.extensions_mut().insert(names.clone());
        }
        // HTTP/2 has a better way to say it, which leaves no request in doubt.
        let may_leave = request.version() < http::Version::HTTP_2;
        let kept = self.kept.as_ref().filter(|_| asks_to_stay(&request)).cloned();
        let tasks = self.tasks.clone();
        let is_late = known.end.as_ref().is_some_and(CertificateEnd::is_over);
        let answer = if is_late { Either::Left(ready(Ok(ended()))) } else { Either::Right(self.app.clone().oneshot(request)) };
        async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer {
                // Closed by both sides here, and not by us alone at the stop, when the next request may be under way.
                if may_leave && (is_late || tasks.is_leaving()) {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                } else if let Some(kept) = kept.filter(|_| !is_late) {
                    answer.headers_mut().insert(KEEP_ALIVE, kept);
                }
            }
            running.answered();
            answer
        }
    }

    /// Waits until so long after the stop, or for the end of the client's certificate.
    async fn over(&self, linger: Duration, end: Option<&CertificateEnd>) {
        match end {
            None => self.stopped_for(linger).await,
            // Boxed, so that the others do not take what it needs.
            Some(end) => {
                let end = Box::pin(async {
                    tokio::select! {
                        () = self.stopped_for(linger) => {}
                        () = end.passed() => {}
                    }
                });
                end.await;
            }
        }
    }

    /// Waits until so long after the stop.
    async fn stopped_for(&self, linger: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep(linger).await;
    }
}

/// The answer to a request that comes after the end of the client's certificate.
fn ended() -> Response<Body> {
    let mut answer = Response::new(Body::from(ENDED));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Whether the client means to use the connection again, which is HTTP/1.1's way unless it says so (RFC 9112 §9.3).
fn asks_to_stay(request: &Request<Body>) -> bool {
    let closes = |value: &HeaderValue| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    request.version() == http::Version::HTTP_11 && !request.headers().get_all(CONNECTION).iter().any(closes)
}

// === impl App ===

impl<A> App for A where
    A: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

// === impl Streams ===

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let open = self.seat.stream();
        self.tasks.awaited("stream", async move {
            stream.await;
            drop(open);
        });
    }
}

// === impl Given ===

impl hyper::body::Body for Given {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.read = true,
            Some(Ok(_)) => {}
            Some(Err(_)) => self.seat.breaks_off(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if !self.read && !self.body.is_end_stream() {
            self.seat.leaves_rest();
        }
    }
}
