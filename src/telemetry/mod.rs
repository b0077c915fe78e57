//! What tokend says of itself: logs, spans, metrics. A leaf: it knows nothing of the rest.
//!
//! Whether a request is traced is decided before a span exists (`sampler`); an unsampled one makes none (`spans`, `calls`). Log lines are
//! made from events alone (`logging`), so a span costs nothing there; sampled spans leave through `otlp`.

mod calls;
mod logging;
mod metrics;
mod otlp;
mod process;
mod sampler;
mod settings;
mod spans;
mod trace;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::finding::Problem;
use crate::reload::Source;

pub use calls::{call_answered, call_explained, call_failed, call_span, redis_span};
pub use metrics::{DURATION_BUCKETS, Metrics};
pub use process::observe_process;
pub use sampler::Sampler;
pub use settings::{Format, Level, Otlp, Settings};
pub use spans::{Came, asked_for, finish_flow, finish_request, flow_span, joined, outgoing, request_span};
pub use trace::{Context, Trace, state_of};

/// The name that our own log lines and spans carry as the first part of their target.
const OURS: &str = "tokend";

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(2);

/// What is left to hold once logs and spans are set up: the sampler for the edge, and the exporter to flush last.
#[must_use = "spans that are not flushed are lost"]
pub struct Telemetry {
    /// Decides for each request whether it is traced.
    pub sampler: Sampler,
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs and spans for the whole process. Only `serve` and its like call it, and once. `tls` says whom a collector is trusted by;
/// without it the system's roots do.
///
/// # Errors
/// The exporter's headers cannot be read, the exporter cannot be made, or this was called before.
pub fn init(
    settings: &Settings,
    tls: Option<rustls::ClientConfig>,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<Telemetry, Problem> {
    let provider = settings.otlp.as_ref().map(|otlp| otlp::provider(otlp, tls)).transpose()?;
    let (subscriber, telemetry) = assemble(settings, writer, provider);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| Problem::new("logging is set up twice in one process", "report this as a defect of tokend"))?;
    Ok(telemetry)
}

/// Reads the headers for the collector and forgets them: what is wrong with them is a finding before anything starts.
///
/// # Errors
/// They cannot be read, or are not what they should be.
pub fn check_headers(source: &Source) -> Result<(), Problem> {
    otlp::headers(source).map(|_| ())
}

/// Makes the subscriber of [`init`] without installing it, for tests that set it for a thread, and with the system's roots.
///
/// # Errors
/// The exporter's headers cannot be read, or the exporter cannot be made.
pub fn subscriber(
    settings: &Settings,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), Problem> {
    let provider = settings.otlp.as_ref().map(|otlp| otlp::provider(otlp, None)).transpose()?;
    Ok(assemble(settings, writer, provider))
}

fn assemble(
    settings: &Settings,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    provider: Option<SdkTracerProvider>,
) -> (impl Subscriber + Send + Sync + 'static, Telemetry) {
    let subscriber = Registry::default().with(logging::layer(settings, writer)).with(provider.as_ref().map(otlp::layer));
    let sampler = Sampler::new(settings.otlp.as_ref().map(|otlp| otlp.sample_ratio));
    (subscriber, Telemetry { sampler, provider })
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends the last spans, for at most two seconds. It blocks: call it last of all, when the runtime has ended.
    pub fn flush(self) {
        let Some(provider) = self.provider else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The provider's own Debug shows the exporter with its headers.
        f.debug_struct("Telemetry").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}
