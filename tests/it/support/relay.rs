//! A way to the emulator that can be closed and opened: what stands before an authority that is down.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// A port on loopback at which nobody listens until [`Relay::open`].
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    // Bound and not listening: connections are refused, and nobody else gets the port.
    socket: Option<TcpSocket>,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    /// Takes a port.
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self { address: socket.local_addr().expect("an address"), socket: Some(socket), running: None }
    }

    /// Passes connections on to `target` (host and port) from now on.
    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    pub(crate) fn open(&mut self, target: &str) {
        let listener = self.socket.take().expect("a closed relay").listen(64).expect("a listener");
        self.running = Some(tokio::spawn(pass(listener, target.to_owned())));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
async fn pass(listener: TcpListener, target: String) {
    while let Ok((mut near, _)) = listener.accept().await {
        let target = target.clone();
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                // Either end may break it off: that is what connections do.
                let _done = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
