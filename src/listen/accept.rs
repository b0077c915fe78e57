//! The accept loops: one per socket, one cap on connections for all of a listener's sockets.
//!
//! axum's own `serve` has no time-out for heads, no bound on them and no cap:
//! half a header stayed open for as long as the client liked.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::bind::{Bound, Socket};
use super::connection::{App, Connections};
use super::meters::Meters;
use super::occupant::ConnectionPlace;
use super::places::Places;
use super::seat::Origin;
use super::spare::Spares;
use super::{Connection, Peer, Settings, Tls};
use crate::tasks::Tasks;

/// One accept loop.
struct Acceptor<A> {
    connections: Arc<Connections<A>>,
    places: Arc<Places>,
    /// Descriptors for those who come when there are none left.
    spares: Option<Arc<Spares>>,
    tasks: Tasks,
    stop: CancellationToken,
}

/// After an accept that failed for want of descriptors or memory: waiting is all that helps, and the next call fails at once.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
const MOST_PAUSE: Duration = Duration::from_secs(1);

/// Serves `app` over the sockets until `stop` fires: then the sockets are closed, and each connection ends with the request it is
/// at. All of it are awaited tasks, so [`Tasks::stop`] waits for them and bounds the wait.
pub fn serve<A: App>(
    bound: Vec<Bound>,
    app: A,
    settings: &Settings,
    tasks: &Tasks,
    stop: &CancellationToken,
    meters: &Meters,
    listener: &str,
) {
    let acceptor = Arc::new(Acceptor {
        connections: Arc::new(Connections::new(app, settings, tasks, stop)),
        places: Places::new(settings, meters, listener),
        spares: (settings.spares > 0).then(|| Arc::new(Spares::new(settings.spares))),
        tasks: tasks.clone(),
        stop: stop.clone(),
    });
    for socket in bound {
        tracing::info!(address = %socket.address(), listener, tls = socket.tls.is_some(), "listening");
        let acceptor = Arc::clone(&acceptor);
        tasks.awaited("listener", async move {
            let stop = acceptor.stop.clone();
            stop.run_until_cancelled(acceptor.run(&socket)).await;
            acceptor.take_queued(socket);
        });
    }
}

// === impl Acceptor ===

impl<A: App> Acceptor<A> {
    async fn run(&self, bound: &Bound) {
        match &bound.socket {
            Socket::Tcp(listener, address) => self.accept_tcp(listener, *address, bound).await,
            Socket::Unix(listener, _file) => self.accept_unix(listener, bound).await,
        }
    }

    async fn accept_tcp(&self, listener: &TcpListener, address: SocketAddr, bound: &Bound) {
        let mut pause = LEAST_PAUSE;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause = LEAST_PAUSE;
                    let peer = Peer::Tcp { address: peer, listener: address, tls: bound.tls.is_some() };
                    // Further ones wait in the system's queue while this one waits for its place.
                    let place = self.places.enter(Origin::of(&peer)).await;
                    self.take_tcp(stream, peer, place, (bound.tls.as_ref(), bound.owner));
                }
                Err(error) if self.gives_up_a_spare(&error) => {}
                Err(error) => back_off(&error, &mut pause).await,
            }
        }
    }

    async fn accept_unix(&self, listener: &UnixListener, bound: &Bound) {
        let mut pause = LEAST_PAUSE;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    pause = LEAST_PAUSE;
                    let place = self.places.enter(Origin::Here).await;
                    self.take_unix(stream, place, bound.owner);
                }
                Err(error) if self.gives_up_a_spare(&error) => {}
                Err(error) => back_off(&error, &mut pause).await,
            }
        }
    }

    /// The last thing before a socket is closed: whoever stands in the system's queue would be cut off with it, and may have asked
    /// already. As the rest, they are served and then sent away.
    fn take_queued(&self, bound: Bound) {
        match bound.socket {
            Socket::Tcp(listener, address) => {
                let Ok(listener) = listener.into_std() else { return };
                self.queued(
                    || listener.accept(),
                    |(stream, peer)| {
                        let peer = Peer::Tcp { address: peer, listener: address, tls: bound.tls.is_some() };
                        if stream.set_nonblocking(true).is_ok()
                            && let Ok(stream) = TcpStream::from_std(stream)
                            && let Some(place) = self.places.try_enter(Origin::of(&peer))
                        {
                            self.take_tcp(stream, peer, place, (bound.tls.as_ref(), bound.owner));
                        }
                    },
                );
            }
            Socket::Unix(listener, _file) => {
                let Ok(listener) = listener.into_std() else { return };
                self.queued(
                    || listener.accept(),
                    |(stream, _)| {
                        if stream.set_nonblocking(true).is_ok()
                            && let Ok(stream) = UnixStream::from_std(stream)
                            && let Some(place) = self.places.try_enter(Origin::Here)
                        {
                            self.take_unix(stream, place, bound.owner);
                        }
                    },
                );
            }
        }
    }

    /// Accepts without waiting, until nobody stands there or no place is left.
    fn queued<S>(&self, accept: impl Fn() -> io::Result<S>, take: impl Fn(S)) {
        while self.places.has_room() {
            match accept() {
                Ok(stream) => take(stream),
                // One that left while it stood there says nothing of the next.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
    }

    fn take_tcp(&self, stream: TcpStream, peer: Peer, place: ConnectionPlace, (tls, owner): (Option<&Tls>, Option<u16>)) {
        // An answer is one small write: nothing is gained by waiting for more. Where it cannot be set it is only slower.
        drop(stream.set_nodelay(true));
        let (connections, connection) = (Arc::clone(&self.connections), Connection { owner, ..Connection::from(peer) });
        // Two kinds of task and not one with a choice in it: a plain connection must not take the memory of one over TLS.
        match tls.cloned() {
            None => self.begin(async move {
                let mut served = pin!(connections.serve(stream, connection, place.seat()));
                poll_fn(|cx| place.poll_held(cx, served.as_mut())).await;
            }),
            Some(tls) => self.begin(async move {
                let mut served = pin!(connections.serve_tls(&tls, stream, connection, place.seat()));
                poll_fn(|cx| place.poll_held(cx, served.as_mut())).await;
            }),
        }
    }

    fn take_unix(&self, stream: UnixStream, place: ConnectionPlace, owner: Option<u16>) {
        // A peer that is gone already tells nothing, and asks nothing either.
        let Ok(credentials) = stream.peer_cred() else { return };
        let peer = Peer::Unix { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid() };
        let (connections, connection) = (Arc::clone(&self.connections), Connection { owner, ..Connection::from(peer) });
        self.begin(async move {
            let mut served = pin!(connections.serve(stream, connection, place.seat()));
            poll_fn(|cx| place.poll_held(cx, served.as_mut())).await;
        });
    }

    /// Runs a connection. It is boxed because a future that others are wrapped around is there twice, once before its first poll
    /// and once after; and this is what somebody takes who has done nothing but connect.
    fn begin(&self, connection: impl Future<Output = ()> + Send + 'static) {
        match self.spares.clone() {
            None => self.tasks.awaited("connection", Box::pin(connection)),
            Some(spares) => self.tasks.awaited(
                "connection",
                Box::pin(async move {
                    connection.await;
                    spares.refill();
                }),
            ),
        }
    }

    fn gives_up_a_spare(&self, error: &io::Error) -> bool {
        self.spares.as_ref().is_some_and(|spares| spares.give_up(error))
    }
}

/// A connection that broke before it was accepted says nothing of the next; anything else is a want that only time mends.
async fn back_off(error: &io::Error, pause: &mut Duration) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, pause_ms = pause.as_millis(), "no connection can be accepted for now");
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(MOST_PAUSE);
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{LEAST_PAUSE, back_off};

    #[tokio::test]
    async fn waits_longer_and_longer_for_descriptors_and_not_at_all_after_a_broken_connection() {
        let mut pause = LEAST_PAUSE;
        back_off(&io::Error::from(io::ErrorKind::ConnectionAborted), &mut pause).await;
        assert_eq!(pause, LEAST_PAUSE);
        const EMFILE: i32 = 24;
        back_off(&io::Error::from_raw_os_error(EMFILE), &mut pause).await;
        assert_eq!(pause, LEAST_PAUSE * 2);
    }
}
