//! An authority's text that nearly repeats the secret of the request.

use std::path::Path;
use std::time::Duration;

use super::authority::Authority;
use super::probe::{self, LIVEZ};
use super::process::Tokend;

/// The largest code that is taken.
const CODE: usize = 8000;
const SPAN: Duration = Duration::from_secs(8);

pub(crate) fn inexact(binary: &Path) -> String {
    let authority = Authority::start();
    let tokend = Tokend::start(binary, &authority, "");
    let (port, admin) = (tokend.port, tokend.admin);
    super::run(async move {
        let code = format!("{}b", "a".repeat(CODE - 1));
        let body = format!(r#"{{"code":"{code}","redirect_uri":"https://shop.example/cb","scopes":["stock.read"]}}"#);
        let request = probe::post("/auth-code", &body);
        let clock = tokend::clock::Clock::system();
        // As many as there are workers.
        let codes = async {
            let both = futures_util::future::join_all((0..2).map(|_| probe::once(port, &request))).await;
            let seconds = clock.precise().as_secs_f64();
            (both, seconds)
        };
        let ((statuses, seconds), probes) = tokio::join!(codes, probe::ask(admin, LIVEZ, SPAN));
        format!("two refused codes ({statuses:?}) after {seconds:.2} s; probes meanwhile: {probes}")
    })
}
