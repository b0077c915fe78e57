//! `log` and `otlp`, and the variables of OpenTelemetry where `otlp` is not there.

use std::collections::BTreeMap;

use url::{Host, Url};

use super::apis::web_url;
use super::report::Report;
use super::scalar::{Form as _, Text};
use super::{raw, source};
use crate::finding::Complaint;
use crate::reload::{Place, Source};
use crate::secret::Secret;
use crate::telemetry;

/// The part of requests that is traced where nothing says otherwise.
const RATIO: f64 = 0.05;
/// The path that exporters append to a base URL.
const TRACES: &str = "/v1/traces";

/// Reads `log` and `otlp`.
pub(super) fn telemetry(
    log: Option<raw::Log>,
    otlp: Option<raw::Otlp>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> telemetry::Settings {
    let log = log.unwrap_or_default();
    let otlp = match otlp {
        Some(otlp) => configured(otlp, environment, report),
        None => standard(environment, report),
    };
    telemetry::Settings {
        level: log.level.map_or_else(Default::default, |scalar| scalar.0),
        format: log.format.map_or_else(Default::default, |scalar| scalar.0),
        otlp,
    }
}

fn configured(raw: raw::Otlp, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<telemetry::Otlp> {
    let endpoint = match raw.endpoint {
        Some(Text(text)) => report.take("otlp.endpoint", web_url(&text)),
        None => {
            let problem = Complaint::new(
                "there is no collector to send spans to",
                "write the collector's URL, such as http://127.0.0.1:4318, or remove `otlp`",
            );
            report.missing("otlp.endpoint", problem);
            None
        }
    };
    let sample_ratio = report.take("otlp.sample_ratio", ratio(raw.sample_ratio.map_or(RATIO, |scalar| scalar.0)));
    let headers = raw.headers.map(|place| source::source("otlp.headers", place, environment, report));
    if let (Some(Some(_)), Some(endpoint)) = (&headers, &endpoint)
        && is_readable_on_the_way(endpoint)
    {
        report.warning("otlp.endpoint", readable("`otlp.headers`"));
    }
    Some(telemetry::Otlp { endpoint: endpoint?, sample_ratio: sample_ratio?, headers: headers.flatten() })
}

/// What OpenTelemetry's own variables say; an empty one is one that is not set.
fn standard(environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<telemetry::Otlp> {
    let get = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let disabled = get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || get("OTEL_TRACES_EXPORTER") == Some("none");
    let (traces, base) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
    let (variable, text) = match (get(traces), get(base)) {
        _ if disabled => return None,
        (Some(text), _) => (traces, text),
        (None, Some(text)) => (base, text),
        (None, None) => return None,
    };
    let given = if variable == traces { without_path(text) } else { web_url(text) };
    let endpoint = given.map_err(|problem| report.error_at(None, variable, problem)).ok();
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        if get(name).is_some_and(|protocol| protocol != "http/protobuf") {
            let problem = Complaint::new(
                "spans are sent as http/protobuf, whatever it says",
                "name the collector's HTTP port, usually 4318, in the endpoint",
            );
            report.warning_at(name, problem);
        }
    }
    let headers = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"].into_iter().find_map(|name| {
        let place = Place::Value(Secret::new(get(name)?));
        Some(Source { key: name.to_owned(), file: None, place })
    });
    if let (Some(headers), Some(endpoint)) = (&headers, &endpoint)
        && is_readable_on_the_way(endpoint)
    {
        report.warning_at(variable, readable(&headers.key));
    }
    let sample_ratio = sampler(get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG"), report);
    Some(telemetry::Otlp { endpoint: endpoint?, sample_ratio: sample_ratio?, headers })
}

/// Whether what is sent there can be read by whoever is on the way.
fn is_readable_on_the_way(endpoint: &Url) -> bool {
    endpoint.scheme() == "http"
        && match endpoint.host() {
            Some(Host::Domain(name)) => name != "localhost" && !name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => !address.is_loopback(),
            Some(Host::Ipv6(address)) => !address.is_loopback(),
            None => false,
        }
}

fn readable(headers: &str) -> Complaint {
    Complaint::new(
        format!("{headers} go there over plain http beyond loopback, where anybody on the way can read them"),
        "write an https:// URL, send spans to a collector on this machine, or leave the headers out",
    )
}

/// The URL for traces is used as it is; ours gets its path appended, so the path is taken off.
fn without_path(text: &str) -> Result<Url, Complaint> {
    let base = text.strip_suffix(TRACES).ok_or_else(|| {
        Complaint::new(
            format!("it does not end in {TRACES}"),
            format!("end it in {TRACES}, or set OTEL_EXPORTER_OTLP_ENDPOINT to the base URL"),
        )
    })?;
    web_url(base)
}

/// The samplers that decide always or never need no argument; every other one has a ratio for us, or the usual one.
fn sampler(name: Option<&str>, argument: Option<&str>, report: &mut Report<'_>) -> Option<f64> {
    match name.map(|name| name.trim_start_matches("parentbased_")) {
        Some("always_on") => return Some(1.0),
        Some("always_off") => return Some(0.0),
        _ => {}
    }
    let Some(text) = argument else { return Some(RATIO) };
    let number = f64::text(text).unwrap_or(f64::NAN);
    ratio(number).map_err(|problem| report.error_at(None, "OTEL_TRACES_SAMPLER_ARG", problem)).ok()
}

fn ratio(number: f64) -> Result<f64, Complaint> {
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err(Complaint::new("it is not between 0 and 1", "write 0.05 for one request in twenty"))
    }
}
