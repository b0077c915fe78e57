//! More idle connections than the usual soft limit of descriptors allows.

use std::path::Path;
use std::time::Duration;

use super::authority::Authority;
use super::probe::{self, LIVEZ};
use super::process::Tokend;

/// The usual soft limit is 1,024.
const CONNECTIONS: usize = 1100;
const SPAN: Duration = Duration::from_secs(8);

pub(crate) fn few(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::limited(binary, &authority, "", "ulimit -S -n 1024");
    let (port, admin) = (tokend.port, tokend.admin);
    super::run(async move {
        let all = futures_util::future::join_all((0..CONNECTIONS).map(|index| probe::connect(index, port))).await;
        let token = probe::token("stock.read");
        let (probes, tokens) = tokio::join!(probe::ask(admin, LIVEZ, SPAN), probe::ask(port, &token, SPAN));
        drop(all);
        format!("probes: {probes}; tokens: {tokens}")
    })
}
