//! What the token listener proves itself with: its files at start, and what is told of them later.

use crate::admin::{ReloadReport, TlsReport};
use crate::clock::Clock;
use crate::finding::Findings;
use crate::listen::{Bound, Certificate, Tls, TlsSettings};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Loads the certificate, its key and the clients' CAs.
pub(super) fn prepare(settings: &TlsSettings, clock: &Clock, findings: &mut Findings) -> Option<Certificate> {
    match Certificate::load(settings, clock) {
        Ok(certificate) => {
            const REMEDY: &str = "have it renewed, and replace the file and the key's: tokend follows them";
            if let Some(problem) = certificate.validity().problem(clock.unix(), REMEDY) {
                let source = &settings.cert;
                findings.warning(source.file.as_deref(), &source.key, problem);
            }
            Some(certificate)
        }
        Err(problems) => {
            for (source, problem) in problems {
                findings.error(source.file.as_deref(), &source.key, problem);
            }
            None
        }
    }
}

/// Has every TCP address of the listener speak TLS.
pub(super) fn secure(bound: Vec<Bound>, certificate: &Certificate, clock: &Clock, tasks: &Tasks, metrics: &Metrics) -> Vec<Bound> {
    let expiry = metrics.gauges(
        "listener_certificate_expiry_timestamp_seconds",
        "When the token listener's certificate ends, in seconds since the Unix epoch.",
        &[],
    );
    let shown = certificate.clone();
    metrics.before_render(move || expiry.with_label_values(&[] as &[&str]).set(shown.expires_on()));
    let tls = Tls::new(certificate.clone(), metrics, clock.clone(), tasks.clone());
    bound.into_iter().map(|bound| bound.secured(&tls)).collect()
}

/// What `/status` tells of it.
pub(super) fn report(certificate: &Certificate) -> TlsReport {
    let problem = certificate.reload_state().0.map(|problem| problem.reason.clone());
    TlsReport { expires_on: certificate.expires_on(), problem }
}

/// Why its newest files are not in force, if they are not.
pub(super) fn reload_report(certificate: &Certificate) -> Option<ReloadReport> {
    let (problem, failures) = certificate.reload_state();
    Some(ReloadReport { what: "tls".to_owned(), failures, problem: Some(problem?.reason.clone()) })
}
