//! Connections that say nothing, or half of something, and are opened again whenever they are closed.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::authority::Authority;
use super::probe::{self, LIVEZ};
use super::process::Tokend;

const SPAN: Duration = Duration::from_secs(15);
/// What a hostile client waits before it opens a closed connection again.
const AGAIN: Duration = Duration::from_millis(200);

/// 300 silent connections to the admin listener, whose cap is 256.
pub(crate) fn admin(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::start(binary, &authority, "");
    let (hostile, port) = (tokend.admin, tokend.admin);
    super::run(besieged(300, hostile, b"", port, LIVEZ)).to_string()
}

/// 5,000 half heads at the token listener, whose cap is 4,096.
pub(crate) fn token(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::start(binary, &authority, "");
    let half = b"POST /client-credentials HTTP/1.1\r\nhost: loc";
    super::run(besieged(5000, tokend.port, half, tokend.port, &probe::token("stock.read"))).to_string()
}

async fn besieged(count: usize, port: u16, says: &'static [u8], probed: u16, request: &str) -> probe::Answered {
    let holders: Vec<_> = (0..count).map(|index| tokio::spawn(hold(index, port, says))).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let answered = probe::ask(probed, request, SPAN).await;
    for holder in holders {
        holder.abort();
    }
    answered
}

#[expect(clippy::infinite_loop, reason = "it is aborted")]
async fn hold(index: usize, port: u16, says: &[u8]) {
    loop {
        if let Some(mut stream) = probe::connect(index, port).await {
            let _sent = stream.write_all(says).await;
            let _closed = stream.read(&mut [0; 64]).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
