//! The TLS accept loop. It owns every task it starts, so that nothing outlives [`crate::Emulator::run`].

use std::{convert::Infallible, future::Future, sync::Arc};

use hyper::service::service_fn;
use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{certificate::Authority, error::StartError, oidc::AnyClient, serve, world::World};

/// TLS 1.2 and 1.3, HTTP/2 and 1.1. The provider is named here: an installed default might be another one. Clients are asked for a
/// certificate where some realm looks at it.
pub(crate) fn acceptor(authority: &Authority, asks_clients: bool) -> Result<TlsAcceptor, StartError> {
    let failed = |error: rustls::Error| StartError::Certificate(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = if asks_clients {
        builder.with_client_cert_verifier(Arc::new(AnyClient::default()))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(authority.chain.clone(), authority.key.clone_key()).map_err(failed)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Tasks that end with the emulator: hyper asks for one per HTTP/2 stream.
#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

pub(crate) async fn run(listener: TcpListener, tls: TlsAcceptor, world: Arc<World>, shutdown: CancellationToken) {
    // Its own token: dropping this future must end the tasks too.
    let shutdown = shutdown.child_token();
    let _ended = shutdown.clone().drop_guard();
    let tasks = Tasks { tracker: TaskTracker::new(), shutdown: shutdown.clone() };
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_connection(stream, tls.clone(), Arc::clone(&world), tasks.clone());
                tasks.start(connection);
            }
            // Out of file descriptors, or a client that left already; neither may end the loop or spin it.
            Err(error) => {
                tracing::warn!(target: "tokend::emulator", %error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
    // Requests that are held or hung wait for ever: their tasks end by the token.
    tasks.tracker.close();
    tasks.tracker.wait().await;
}

async fn serve_connection(stream: TcpStream, tls: TlsAcceptor, world: Arc<World>, tasks: Tasks) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else { return };
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let shown: Arc<[Vec<u8>]> = shown.iter().map(|certificate| certificate.to_vec()).collect();
    let dropped = CancellationToken::new();
    let service = service_fn(|request| {
        let answer = serve::serve(Arc::clone(&world), request, dropped.clone(), Arc::clone(&shown));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let builder = Builder::new(tasks);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A script's `close`: the socket goes without an answer and without TLS saying goodbye.
        () = dropped.cancelled() => {}
        _ = connection => {}
    }
}

// === impl Tasks ===

impl Tasks {
    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = task => {}
            }
        });
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.start(task);
    }
}
