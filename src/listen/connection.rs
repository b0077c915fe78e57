//! One connection from its first byte to its last: protocol, bounds, idleness, drain.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::certificate::Names;
use super::handshake::Failure;
use super::stream::{Protocol, peek};
use super::{Peer, Settings, Tls};
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
    http2: http2::Builder<Streams>,
    header_timeout: Duration,
    stop: CancellationToken,
    tasks: Tasks,
}

/// Runs the requests of an HTTP/2 connection as tasks of ours.
#[derive(Clone, Debug)]
struct Streams(Tasks);

/// Whether anything is going on, as far as requests tell.
#[derive(Debug)]
struct Activity {
    running: AtomicU32,
    begun: AtomicU64,
    /// Who knows whether the process is about to stop.
    tasks: Tasks,
}

/// A request that is being answered.
struct Running(Arc<Activity>);

/// Requests of one HTTP/2 connection at a time: no more than a client library opens by itself.
const STREAMS: u32 = 256;

/// For how long after the stop a connection on which nothing is asked stays: a request may be on its way, and whoever sent it cannot
/// know whether it arrived. What is answered meanwhile ends its connection.
const LINGER: Duration = Duration::from_millis(100);

/// hyper's least buffer.
const LEAST_BUFFER: usize = 8192;

// === impl Connections ===

impl<A: App> Connections<A> {
    pub(super) fn new(app: A, settings: &Settings, tasks: &Tasks, stop: &CancellationToken) -> Self {
        // The edge answers heads over `header` with a problem; what is twice as large is not even kept.
        let most = settings.header.saturating_mul(2);
        let mut http1 = http1::Builder::new();
        http1.keep_alive(settings.keep_alive).timer(TokioTimer::new()).header_read_timeout(settings.header_timeout);
        // The size of a whole head is judged when it is complete, the buffer bounds one that never is. More than 100 headers are
        // refused by default, and saying so again would cost an allocation per request.
        http1.max_header_size(most).max_buf_size(most.max(LEAST_BUFFER));
        let mut http2 = http2::Builder::new(Streams(tasks.clone()));
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS);
        // A peer that is gone without a word must not hold its place until the next write.
        http2.keep_alive_interval(settings.header_timeout).keep_alive_timeout(settings.header_timeout);
        Self { app, http1, http2, header_timeout: settings.header_timeout, stop: stop.clone(), tasks: tasks.clone() }
    }

    /// Agrees on TLS, in the time that a head may take, and serves the connection to its end.
    pub(super) async fn serve_tls(&self, tls: &Tls, stream: TcpStream, peer: Peer) {
        let agreed = tokio::select! {
            agreed = tokio::time::timeout(self.header_timeout, tls.accept(stream)) => agreed,
            () = self.stopped_for(LINGER) => return,
        };
        match agreed.unwrap_or(Err(Failure::Timeout)) {
            Ok((stream, names)) => self.serve_named(stream, peer, Some(names)).await,
            Err(failure) => tls.failed(failure),
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_named(stream, peer, None).await;
    }

    /// The same, by the names of the certificate that the client has seen.
    async fn serve_named<S>(&self, stream: S, peer: Peer, names: Option<Names>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peeked = tokio::select! {
            peeked = tokio::time::timeout(self.header_timeout, peek(stream)) => peeked,
            // Nothing was asked, so nothing is owed.
            () = self.stopped_for(LINGER) => return,
        };
        let Ok(Ok((protocol, stream))) = peeked else { return };
        let activity = Arc::new(Activity { running: AtomicU32::new(0), begun: AtomicU64::new(0), tasks: self.tasks.clone() });
        let service = hyper::service::service_fn(|request| self.call(request, peer, names.as_ref(), &activity));
        let io = TokioIo::new(stream);
        match protocol {
            Protocol::Http1 => self.drive(self.http1.serve_connection(io, service), &activity, LINGER).await,
            Protocol::Http2 => self.drive(self.http2.serve_connection(io, service), &activity, Duration::ZERO).await,
        }
    }

    fn call(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        names: Option<&Names>,
        activity: &Arc<Activity>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<A> {
        let running = Running::begin(activity);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        if let Some(names) = names {
            request.extensions_mut().insert(names.clone());
        }
        // HTTP/2 has a better way to say it, which leaves no request in doubt.
        let may_leave = request.version() < http::Version::HTTP_2;
        let answer = self.app.clone().oneshot(request);
        async move {
            let mut answer = answer.await;
            // Closed by both sides here, and not by us alone at the stop, when the next request may be under way.
            if may_leave
                && running.0.tasks.is_leaving()
                && let Ok(answer) = &mut answer
            {
                answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            }
            drop(running);
            answer
        }
    }

    /// Waits until so long after the stop.
    async fn stopped_for(&self, linger: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep(linger).await;
    }

    /// Polls a connection until it ends, is idle for too long, or is told to finish, which is `linger` after the stop.
    async fn drive<C: GracefulConnection>(&self, connection: C, activity: &Activity, linger: Duration) {
        let (mut connection, mut stopped) = (pin!(connection), pin!(self.stopped_for(linger)));
        let mut ticks = tokio::time::interval_at(Instant::now() + self.header_timeout, self.header_timeout);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        let mut warned = false;
        let mut begun = 0;
        loop {
            tokio::select! {
                biased;
                // How it ended is the client's affair: a broken connection is no failed request.
                _ = connection.as_mut() => return,
                () = stopped.as_mut(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                // HTTP/1 has its own time-out for heads; this one ends idle HTTP/2 connections, and clients that never read their answer.
                _ = ticks.tick() => {
                    let idle = activity.is_idle_since(&mut begun);
                    if idle && warned {
                        return;
                    }
                    if idle {
                        connection.as_mut().graceful_shutdown();
                    }
                    warned = idle;
                }
            }
        }
    }
}

// === impl App ===

impl<A> App for A where
    A: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

// === impl Streams ===

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.awaited("stream", stream);
    }
}

// === impl Activity ===

impl Activity {
    /// Whether no request runs and none has begun since `begun` was told last.
    fn is_idle_since(&self, begun: &mut u64) -> bool {
        let now = self.begun.load(Ordering::Relaxed);
        let quiet = now == *begun && self.running.load(Ordering::Relaxed) == 0;
        *begun = now;
        quiet
    }
}

// === impl Running ===

impl Running {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
