//! The trace that a request belongs to, as a small value that travels as an argument: it costs nothing where nothing is sampled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

/// How much of a `tracestate` is passed on, in bytes: as much as everybody has to take (W3C Trace Context §3.3.1.5).
const STATE_LIMIT: usize = 512;

/// A W3C trace context (`traceparent`), and whether it is sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The trace; zero where there is none.
    pub trace_id: u128,
    /// The span that outgoing calls name as their parent.
    pub span_id: u64,
    /// Whether spans are made for it.
    pub sampled: bool,
}

/// What travels with a request through every layer, down to the calls it makes.
#[derive(Clone, Debug)]
pub struct Context {
    /// The caller's `x-correlation-id`, or one made for it: the authority's `client-request-id`.
    pub correlation_id: Uuid,
    /// The trace that the request belongs to.
    pub trace: Trace,
    /// The caller's `tracestate`, passed on as it came: nothing of ours is added.
    pub state: Option<Arc<str>>,
    /// When the edge took the request, by `Clock::precise`.
    pub arrived: Duration,
    /// The app that a call is made for, once that is known, for the log.
    pub app: Option<Arc<str>>,
}

// === impl Context ===

impl Context {
    /// A request that belongs to no trace.
    pub fn untraced(correlation_id: Uuid) -> Self {
        Self { correlation_id, trace: Trace::default(), state: None, arrived: Duration::ZERO, app: None }
    }

    /// This context for calls that are made for an app.
    #[must_use]
    pub fn for_app(self, app: &Arc<str>) -> Self {
        Self { app: Some(Arc::clone(app)), ..self }
    }

    /// This context for calls that are made inside another span of the trace.
    #[must_use]
    pub fn inside(&self, trace: Trace) -> Self {
        Self { trace, ..self.clone() }
    }
}

/// Puts the `tracestate` headers of a request together, as many whole members as there is room for. It means nothing without a
/// `traceparent`, so whoever asks has one.
pub fn state_of<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Arc<str>> {
    let mut state = String::new();
    for member in headers.flat_map(|header| header.split(',')).map(str::trim).filter(|member| !member.is_empty()) {
        if state.len() + member.len() + usize::from(!state.is_empty()) > STATE_LIMIT {
            break;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(member);
    }
    (!state.is_empty()).then(|| state.into())
}

// === impl Trace ===

impl Trace {
    /// Reads a `traceparent` header of version 00, or the first four fields of a later one. `None`: it is not one, and is ignored.
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.trim().split('-');
        let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let lower_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        if !(lower_hex(version, 2) && lower_hex(trace_id, 32) && lower_hex(span_id, 16) && lower_hex(flags, 2)) {
            return None;
        }
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok()?;
        let span_id = u64::from_str_radix(span_id, 16).ok()?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// Whether there is a trace at all.
    pub fn is_some(self) -> bool {
        self.trace_id != 0
    }
}

/// The `traceparent` of an outgoing call.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::{Trace, state_of};

    #[test]
    fn reads_and_writes_the_w3c_form() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::parse(text);
        assert_eq!(trace.map(|trace| trace.to_string()).as_deref(), Some(text));
        assert!(trace.is_some_and(|trace| trace.sampled));
        for bad in [
            "",
            "00-0-0-0",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(Trace::parse(bad).is_none(), "{bad}");
        }
    }
    #[test]
    fn a_state_is_cut_between_its_members() {
        assert_eq!(state_of([].into_iter()), None);
        assert_eq!(state_of(["", " , "].into_iter()), None);
        assert_eq!(state_of(["a=1, b=2", "c=3"].into_iter()).as_deref(), Some("a=1,b=2,c=3"));
        let long = format!("a=1,b={},c=3", "x".repeat(507));
        assert_eq!(state_of([long.as_str()].into_iter()).as_deref(), Some("a=1"));
        let fits = format!("a={}", "x".repeat(510));
        assert_eq!(state_of([fits.as_str()].into_iter()).as_deref(), Some(fits.as_str()));
    }
}
