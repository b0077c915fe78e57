//! Spans leave as OTLP over HTTP, in batches, from a thread of the exporter's own.
//!
//! Only spans that belong to a sampled request may reach the exporter: an inner span without its root would be a new trace.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::DynFilterFn;
use tracing_subscriber::registry::LookupSpan;
use url::{Host, Url};

use super::logging::{OURS, is_ours};
use super::settings::Otlp;
use super::spans;
use crate::finding::Complaint;
use crate::reload::Source;

/// OTLP's own default.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An exporter that says once when spans stop leaving, and once when they leave again.
#[derive(Debug)]
struct WatchedExporter {
    inner: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
}

/// The pipeline to the collector.
pub(super) fn provider(otlp: &Otlp, tls: Option<rustls::ClientConfig>) -> Result<SdkTracerProvider, Complaint> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client(&otlp.endpoint, tls)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces_url(&otlp.endpoint))
        .with_headers(otlp.headers.as_ref().map(headers).transpose()?.unwrap_or_default())
        .build()
        .map_err(|error| {
            Complaint::new(
                format!("spans cannot be exported: {error}"),
                "mend otlp.endpoint, or the OTEL_EXPORTER_OTLP_* variables in the environment",
            )
        })?;
    let exporter = WatchedExporter { inner: exporter, failing: AtomicBool::new(false) };
    Ok(with_processor(BatchSpanProcessor::builder(exporter).build()))
}

/// A provider whose spans are those that the edge has already decided to sample.
pub(super) fn with_processor(processor: impl opentelemetry_sdk::trace::SpanProcessor + 'static) -> SdkTracerProvider {
    let builder = Resource::builder();
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES name it first; the SDK says `unknown_service` where they do not.
    let named = Resource::builder().build().get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let builder = match named {
        Some(name) if !name.starts_with("unknown_service") => builder,
        _ => builder.with_service_name(OURS),
    };
    let resource = builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_resource(resource).with_span_processor(processor).build()
}

/// The layer that turns spans into exported ones. Events are left out: log lines are not span events.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    // `lookup_current` sees only spans that this very filter has kept.
    let keep =
        DynFilterFn::new(|metadata, context: &tracing_subscriber::layer::Context<'_, S>| {
            metadata.is_span()
                && (metadata.target() == spans::LINKED || (is_ours(metadata.target()) && context.lookup_current().is_some()))
        })
        .with_callsite_filter(|metadata| {
            if metadata.is_span() && is_ours(metadata.target()) { Interest::sometimes() } else { Interest::never() }
        })
        .with_max_level_hint(LevelFilter::INFO);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(OURS))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // Trace ids travel as arguments: nothing here asks OpenTelemetry for its current context.
        .with_context_activation(false)
        .with_filter(keep)
}

fn traces_url(endpoint: &Url) -> String {
    format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'))
}

/// The exporter's client. It never follows a redirect: its headers may hold the collector's key.
fn client(endpoint: &Url, tls: Option<rustls::ClientConfig>) -> Result<reqwest::blocking::Client, Complaint> {
    let loopback = match endpoint.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let mut builder = reqwest::blocking::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT);
    if loopback {
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // Plain HTTP needs no system certificates, and an image without them must still be able to trace.
        builder = builder.tls_certs_only([]);
    } else if let Some(tls) = tls {
        builder = builder.tls_backend_preconfigured(tls);
    }
    // The blocking client starts a runtime of its own, which must not happen on a thread of ours.
    let built = std::thread::spawn(move || builder.build()).join();
    built.ok().and_then(Result::ok).ok_or_else(|| {
        Complaint::new(
            "the client that exports spans cannot be made",
            "provide the system's CA certificates, or an http:// collector",
        )
    })
}

/// Reads `name=value` pairs, one per line or separated by commas; values may be percent-encoded, as in OTEL_EXPORTER_OTLP_HEADERS.
pub(super) fn headers(source: &Source) -> Result<HashMap<String, String>, Complaint> {
    source.parsed(parse)
}

/// A line that begins with `#` is a comment, though `#` may begin the name of a header.
fn parse(contents: &[u8]) -> Result<HashMap<String, String>, Complaint> {
    let text = std::str::from_utf8(contents).map_err(|_| Complaint::new("it is not UTF-8 text", "write it as text"))?;
    let mut headers = HashMap::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    for pair in lines.flat_map(|line| line.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
        let header = pair.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let Some((name, value)) = header.filter(|(name, value)| is_header(name, value)) else {
            return Err(Complaint::new(
                format!("the headers for the collector have an entry {} that is not `name=value`", headers.len() + 1),
                "write one `name=value` a line; percent-encode commas and other special characters of a value",
            ));
        };
        headers.insert(name.to_owned(), value.to_owned());
    }
    Ok(headers)
}

fn is_header(name: &str, value: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_str(value).is_ok()
}

// === impl WatchedExporter ===

impl SpanExporter for WatchedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        // The error's text may quote the endpoint, and with it a user's password: the log says only that it failed.
        match (self.failing.swap(result.is_err(), Ordering::Relaxed), result.is_err()) {
            (false, true) => tracing::warn!(spans, "spans cannot be exported; they are dropped until the collector answers"),
            (true, false) => tracing::info!("spans are exported again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::{headers, traces_url};
    use crate::reload::{Place, Source};
    use crate::secret::Secret;

    fn source(text: &str) -> Source {
        Source { key: "otlp.headers".to_owned(), file: None, place: Place::Value(Secret::new(text)) }
    }

    #[test]
    fn the_path_is_appended_to_the_base() {
        for (base, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/tenant/", "https://otel.example/tenant/v1/traces"),
        ] {
            assert_eq!(traces_url(&base.parse().expect("a URL")), whole);
        }
    }

    #[test]
    fn headers_are_pairs_by_line_or_comma() {
        let headers = headers(&source("api-key=a%2Cb==\nx-scope = one, x-other=two\n")).expect("good headers");
        assert_eq!(headers.get("api-key").map(String::as_str), Some("a%2Cb=="));
        assert_eq!((headers.get("x-scope").map(String::as_str), headers.len()), (Some("one"), 3));
    }

    #[test]
    fn a_line_that_is_commented_out_is_no_header() {
        let headers = headers(&source("#api-key=old\n  # x-old=1, x-older=2\napi-key=new\n")).expect("good headers");
        assert_eq!(headers.into_iter().collect::<Vec<_>>(), [("api-key".to_owned(), "new".to_owned())]);
    }

    #[test]
    fn a_bad_header_is_named_by_its_place_and_never_quoted() {
        for bad in ["api-key=x\ncanary-secret", "bad name=canary-secret", "api-key=canary\u{7}secret"] {
            let problem = headers(&source(bad)).expect_err("a problem");
            assert!(!problem.reason.contains("canary"), "{}", problem.reason);
        }
    }
}
