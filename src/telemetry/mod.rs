//! What tokend says of itself: logs, spans, metrics. A leaf: it knows nothing of the rest.
//!
//! Whether a request is traced is decided before a span exists (`sampler`); an unsampled one makes none (`spans`, `calls`). Log
//! lines are made from events alone (`logging`), so a span costs nothing there;
//! they leave through `lines`, sampled spans through `otlp`.

mod calls;
mod json;
mod lines;
mod logging;
mod metrics;
mod otlp;
mod panics;
mod process;
mod sampler;
mod settings;
mod spans;
mod trace;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::clock::Clock;
use crate::finding::Complaint;
use crate::reload::{OuterBlanks, Source};

use lines::Lines;

pub use calls::{call_answered, call_explained, call_failed, call_span, redis_span};
pub use metrics::{DURATION_BUCKETS, Metrics};
pub use process::observe_process;
pub use sampler::Sampler;
pub use settings::{Format, Level, Otlp, Settings};
pub use spans::{Came, asked_for, finish_flow, finish_request, flow_span, joined, outgoing, request_span};
pub use trace::{Context, Trace, state_of};

/// How long the last spans and the last log lines may take to leave, together.
const FLUSH: Duration = Duration::from_secs(2);

/// What of that belongs to the log alone: there is a line to write where the spans used up theirs.
const FLUSH_LOG: Duration = Duration::from_millis(250);

/// What is left to hold once logs and spans are set up: the sampler for the edge, and the ways out of both, to flush last.
#[must_use = "spans and log lines that are not flushed are lost"]
pub struct Telemetry {
    /// Decides for each request whether it is traced.
    pub sampler: Sampler,
    provider: Option<SdkTracerProvider>,
    lines: Option<Lines>,
}

/// Sets up logs and spans for the whole process, and logs panics. Only `serve` and its like call it, and once. From then on nothing
/// else may write to `sink`, and nobody waits for what is written there. `tls` says whom a collector is trusted by; without it the
/// system's roots do.
///
/// # Errors
/// The exporter's headers cannot be read, the exporter cannot be made, there is no thread for the log, or this was called before.
pub fn init(
    settings: &Settings,
    tls: Option<rustls::ClientConfig>,
    sink: impl Write + Send + 'static,
) -> Result<Telemetry, Complaint> {
    let provider = settings.otlp.as_ref().map(|otlp| otlp::provider(otlp, tls)).transpose()?;
    let lines = Lines::start(settings.format, sink).map_err(|error| {
        Complaint::new(format!("there is no thread for the log: {error}"), "raise the limit on threads or processes of this user")
    })?;
    let writer = lines.clone();
    let (subscriber, telemetry) = assemble(settings, move || writer.clone(), provider);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| Complaint::new("logging is set up twice in one process", "report this as a defect of tokend"))?;
    panics::log();
    Ok(Telemetry { lines: Some(lines), ..telemetry })
}

/// Reads the headers for the collector and forgets them: what is wrong with them is a finding before anything starts. Returns what
/// they hold that is hardly meant.
///
/// # Errors
/// They cannot be read, or are not what they should be.
pub fn check_headers(source: &Source) -> Result<Option<Complaint>, Complaint> {
    otlp::headers(source)?;
    Ok(source.read()?.oddity(OuterBlanks::Passed))
}

/// Makes the subscriber of [`init`] without installing it, for tests that set it for a thread, and with the system's roots.
///
/// # Errors
/// The exporter's headers cannot be read, or the exporter cannot be made.
pub fn subscriber(
    settings: &Settings,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), Complaint> {
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
    (subscriber, Telemetry { sampler, provider, lines: None })
}

// === impl Telemetry ===

impl Telemetry {
    /// Shows what became of log lines.
    pub fn observe(&self, metrics: &Metrics) {
        if let Some(lines) = &self.lines {
            lines.observe(metrics);
        }
    }

    /// Writes a line to where the log goes, as it is.
    pub fn say(&self, line: &str) {
        if let Some(lines) = &self.lines {
            lines.push(line.as_bytes());
        }
    }

    /// Sends the last spans and writes the last log lines, for at most two seconds. It blocks: call it last of all, when the
    /// runtime has ended.
    pub fn flush(self) {
        let clock = Clock::system();
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(FLUSH - FLUSH_LOG)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
        if let Some(lines) = self.lines {
            lines.close(FLUSH.saturating_sub(clock.precise()));
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The provider's own Debug shows the exporter with its headers.
        f.debug_struct("Telemetry").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}
