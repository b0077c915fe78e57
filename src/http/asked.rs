//! What is known of a request before it is routed, and travels with it as one small extension: ids, trace, path.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Uri};
use tracing::Span;
use uuid::Uuid;

use super::fault::{Fault, FaultKind};
use super::members::overrides;
use super::routes::Path;
use super::settings::ClientDoor;
use crate::caller::Caller;
use crate::flow::Call;
use crate::telemetry::{Sampler, outgoing, request_span, state_of};

/// What the edge knows of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The caller's id for it, or ours.
    pub(super) correlation_id: Uuid,
    /// What travels on into a flow: the id, and its trace for calls made below it.
    call: Call,
    /// Its path.
    pub(super) path: Path,
    /// Who sent it, once that is known.
    pub(super) caller: Caller,
    /// Whether its head or its connection has proven that already.
    pub(super) is_proven: bool,
}

/// The header of the correlation id, in requests and in answers.
pub(super) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

// === impl Asked ===

impl Asked {
    /// Reads the head of a request that arrived then, and makes its span if it is sampled. The ids are good even where the result
    /// is a fault.
    pub(super) fn read<B>(request: &Request<B>, sampler: Sampler, arrived: Duration) -> (Self, Span, Result<(), Fault>) {
        let path = Path::of(request.uri().path());
        let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let trace = sampler.decide(traceparent);
        // It belongs to a `traceparent`, and means nothing without.
        let state = if trace.is_some() { state(request.headers()) } else { None };
        let (correlation_id, fault) = match correlation_id(request.headers()) {
            Ok(Some(correlation_id)) => (correlation_id, Ok(())),
            Ok(None) => (named_by_query(&path, request.uri()).unwrap_or_else(new_id), Ok(())),
            // What a proxy's client has sent is no fault of the proxy.
            Err(_) if !path.judged => (new_id(), Ok(())),
            Err(fault) => (new_id(), Err(fault)),
        };
        let mut call = Call { correlation_id, trace, state, arrived, app: None };
        let span = request_span(&call, path.template, request.method().as_str());
        call.trace = outgoing(trace, &span);
        (Self { correlation_id, call, path, caller: Caller::ANYONE, is_proven: false }, span, fault)
    }

    /// What travels on into a flow.
    pub(super) fn call(&self) -> Call {
        self.call.clone()
    }
}

fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    state_of(headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()))
}

/// The id that a client of Microsoft's sidecar names in its query.
fn named_by_query(path: &Path, uri: &Uri) -> Option<Uuid> {
    uri.query().filter(|_| path.door == ClientDoor::MsSidecar).and_then(overrides::correlation_id)
}

fn correlation_id(headers: &HeaderMap) -> Result<Option<Uuid>, Fault> {
    let mut values = headers.get_all(CORRELATION_ID).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    // The hyphenated form only: it goes to the authority, whose logs know no other.
    let id = value.to_str().ok().filter(|text| text.len() == 36).and_then(|text| Uuid::try_parse(text).ok());
    match (id, second) {
        (Some(id), None) => Ok(Some(id)),
        _ => {
            Err(Fault::new(FaultKind::InvalidRequest, "the header `x-correlation-id` has to be one UUID; send one, or none at all"))
        }
    }
}

/// A new version 4 UUID from the thread's generator (35 ns): `Uuid::new_v4` asks the kernel each time (390 ns).
fn new_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::{Asked, CORRELATION_ID};
    use crate::telemetry::Sampler;

    const ID: &str = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";

    fn read(ids: &[&str]) -> Result<String, String> {
        let mut request = Request::builder().uri("/obo");
        for id in ids {
            request = request.header(CORRELATION_ID, *id);
        }
        let (asked, _, fault) = Asked::read(&request.body(()).unwrap(), Sampler::new(None), Duration::ZERO);
        fault.map(|()| asked.correlation_id.to_string()).map_err(|fault| fault.detail.into_owned())
    }

    #[test]
    fn keeps_the_callers_id_or_makes_one() {
        assert_eq!(read(&[ID]).as_deref(), Ok(ID));
        assert_eq!(read(&[&ID.to_uppercase()]).as_deref(), Ok(ID));
        let made = uuid::Uuid::try_parse(&read(&[]).unwrap()).unwrap();
        assert_eq!(made.get_version_num(), 4);
        assert_ne!(read(&[]), read(&[]));
    }

    #[test]
    fn an_id_that_is_none_is_named() {
        for ids in [
            &["x"][..],
            &[""],
            &["6f0a4f0e9d5b4a4f8f3f9b110a4f5f3f"],
            &["{6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f}"],
            &[ID, ID],
            &["é"],
        ] {
            assert!(read(ids).is_err_and(|detail| detail.contains("`x-correlation-id`")), "{ids:?}");
        }
    }

    #[test]
    fn knows_its_routes_by_template() {
        let account = "/accounts/{home_account_id}";
        for (path, template) in [
            ("/obo", "/obo"),
            ("/auth-code/url", "/auth-code/url"),
            ("/obo/", "unmatched"),
            ("/secret", "unmatched"),
            ("/accounts", "/accounts"),
            ("/accounts?app=canary", "/accounts"),
            ("/accounts/oid.tid", account),
            ("/accounts/oid.tid?app=canary", account),
            ("/accounts/a%2Fb%00%ff", account),
            ("/accounts/é{x}~!$&'()*+,;=:@%zz", account),
            ("/accounts/..", account),
            ("/accounts/", "unmatched"),
            ("/accounts//", "unmatched"),
            ("/accounts/canary/", "unmatched"),
            ("/accounts/canary/more", "unmatched"),
            ("/Accounts/canary", "unmatched"),
        ] {
            let request = Request::builder().uri(path).body(()).unwrap();
            assert_eq!(Asked::read(&request, Sampler::new(None), Duration::ZERO).0.path.template, template);
        }
    }
}
