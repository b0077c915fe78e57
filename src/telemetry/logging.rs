//! Log lines, from events alone: spans are for the exporter, and a request without a log line pays nothing here.
//!
//! Dependencies are held at `warn` whatever level is configured: below it hyper, h2 or reqwest may print header values, and a
//! header value is where tokens are.

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use super::json::JsonLines;
use super::settings::{Format, Level, Settings};

/// The name that our own log lines and spans carry as the first part of their target.
pub(super) const OURS: &str = "tokend";

/// The log layer.
pub(super) fn layer<S>(
    settings: &Settings,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // A line that cannot be written is lost: reporting that on standard error would panic when standard error is what broke.
    let base = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).log_internal_errors(false);
    let lines: Box<dyn Layer<S> + Send + Sync> = match settings.format {
        Format::Json => Box::new(base.event_format(JsonLines)),
        Format::Text => Box::new(base.compact()),
    };
    let ours = LevelFilter::from(settings.level);
    lines.with_filter(filter_fn(move |metadata| metadata.is_event() && wanted(metadata, ours)).with_max_level_hint(ours))
}

fn wanted(metadata: &Metadata<'_>, ours: LevelFilter) -> bool {
    let limit = if is_ours(metadata.target()) { ours } else { ours.min(LevelFilter::WARN) };
    *metadata.level() <= limit
}

/// Whether a target names our crate or a module of it.
pub(super) fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

// === impl Level ===

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}
