//! One address for several replicas, as a Service of Kubernetes has it.

use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::Client;

/// Passes connections on to the replica that it was told last.
pub(crate) struct Front {
    /// `http://127.0.0.1:port`.
    pub(crate) base: String,
    behind: Arc<Mutex<Behind>>,
    running: JoinHandle<()>,
}

/// Who is behind it, and what ends the connections to it.
#[derive(Clone, Default)]
struct Behind {
    target: String,
    gone: CancellationToken,
}

// === impl Front ===

impl Front {
    /// Takes an address; nobody is behind it yet.
    #[expect(clippy::disallowed_methods, reason = "a network runs beside the test")]
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let behind = Arc::<Mutex<Behind>>::default();
        let told = Arc::clone(&behind);
        let running = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let behind = told.lock().expect("no panic").clone();
                tokio::spawn(async move {
                    let passed = async {
                        let mut far = TcpStream::connect(behind.target).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    // Either end may break it off: that is what connections do.
                    let _done = behind.gone.run_until_cancelled(passed).await;
                });
            }
        });
        Self { base, behind, running }
    }

    /// Connections go to this replica from now on; those to another one end.
    pub(crate) fn to(&self, replica: &Client) {
        let target = replica.base.trim_start_matches("http://").to_owned();
        let before = std::mem::replace(&mut *self.behind.lock().expect("no panic"), Behind { target, ..Behind::default() });
        before.gone.cancel();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.running.abort();
    }
}
