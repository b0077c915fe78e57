//! The one door out: a client per trust root, with a deadline, a size cap and no redirects.

mod roots;
mod settings;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::redirect::Policy;
use tracing::Span;
use url::Url;

pub use roots::{Origin, Roots};
pub use settings::{NamedRoots, Settings};

use crate::finding::Problem;
use crate::secret::Secret;
use crate::telemetry::{self, Context};

/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// Hosts that no proxy is asked for: this machine, and the metadata address of clouds.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.169.254";

/// A way out that trusts one set of roots.
#[derive(Clone, Debug)]
pub struct Door {
    client: reqwest::Client,
}

/// A request to somebody else's server.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// GET or POST.
    pub method: Method,
    /// Where to.
    pub url: &'a Url,
    /// Headers beside those that the door adds.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Secret>,
    /// What it is for, in one word, for the span.
    pub purpose: &'a str,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made: name, TCP or TLS.
    Connect,
    /// The connection broke before the answer was complete.
    Broken,
    /// The deadline passed.
    TimedOut,
    /// The answer is larger than 1 MiB.
    TooLarge,
}

/// A call under way: dropped with it by whoever waits no longer, or at shutdown, its span says so.
struct Waiting<'a>(Option<&'a Span>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.0 {
            telemetry::call_failed(span, "cancelled");
        }
    }
}

// === impl Door ===

impl Door {
    /// Makes a door for one server, which is trusted as `tls` says.
    ///
    /// # Errors
    /// The proxy cannot be used.
    pub fn open(
        settings: &Settings,
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        loopback: bool,
    ) -> Result<Self, Problem> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .user_agent(concat!("tokend/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            // The variables of the environment are among the settings already, with the hosts that no proxy is asked for.
            .no_proxy();
        // The client takes `*` for every name, and for no address.
        let everywhere = settings.no_proxy.iter().any(|host| host == "*");
        if let Some(proxy) = settings.proxy.as_ref().filter(|_| !loopback && !everywhere) {
            let proxy = reqwest::Proxy::all(proxy.clone())
                .map_err(|_| Problem::new("the proxy cannot be used", "write `outbound.proxy` as http://HOST:PORT"))?;
            builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&exempt(settings))));
        }
        let client = builder.build().map_err(|_| Problem::new("no client can be made", "report this as a defect of tokend"))?;
        Ok(Self { client })
    }

    /// Sends a request and reads the whole answer before the deadline.
    ///
    /// # Errors
    /// Nothing complete came back. An answer with an error status is an answer.
    pub async fn send(&self, context: Context, outgoing: Outgoing<'_>, deadline: Duration) -> Result<Reply, Failure> {
        let span = outgoing.span(&context, 0);
        let outcome = self.send_in(&span, context, outgoing, deadline).await;
        outcome.inspect_err(|failure| telemetry::call_failed(&span, failure.as_str()))
    }

    /// The same inside a span that the caller made by [`Outgoing::span`], and to which it adds what is wrong with the answer, or why
    /// there is none.
    ///
    /// # Errors
    /// As [`Door::send`].
    pub async fn send_in(
        &self,
        span: &Span,
        mut context: Context,
        outgoing: Outgoing<'_>,
        deadline: Duration,
    ) -> Result<Reply, Failure> {
        context.trace = telemetry::outgoing(context.trace, span);
        // The client's futures are many kilobytes: on the heap, and not in every future that waits for this one.
        let exchange = Box::pin(self.exchange(span, context, outgoing));
        let mut waiting = Waiting(Some(span));
        let outcome = tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Failure::TimedOut));
        waiting.0 = None;
        outcome
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one door out")]
    async fn exchange(&self, span: &Span, context: Context, outgoing: Outgoing<'_>) -> Result<Reply, Failure> {
        let mut request = self.client.request(outgoing.method, outgoing.url.clone()).headers(outgoing.headers);
        if context.trace.is_some() {
            request = request.header("traceparent", context.trace.to_string());
            if let Some(state) = context.state {
                request = request.header("tracestate", &*state);
            }
        }
        if let Some(body) = outgoing.body {
            request = request.body(body.expose().to_owned());
        }
        let mut response = request.send().await.map_err(classify)?;
        telemetry::call_answered(span, response.status().as_u16());
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }
}

/// The hosts that no proxy is asked for, as NO_PROXY has them.
fn exempt(settings: &Settings) -> String {
    settings.no_proxy.iter().map(String::as_str).chain([NEVER_PROXIED]).collect::<Vec<_>>().join(",")
}

// === impl Outgoing ===

impl Outgoing<'_> {
    /// Its span, if it is traced. `resend`: how often it was sent before.
    pub fn span(&self, context: &Context, resend: i64) -> Span {
        let host = self.url.host_str().unwrap_or_default();
        telemetry::call_span(context, host, self.method.as_str(), self.purpose, resend)
    }
}

// === impl Failure ===

impl Failure {
    /// For spans; the labels of metrics say the same.
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "unreachable",
            Self::Broken => "broken",
            Self::TimedOut => "timeout",
            Self::TooLarge => "invalid_answer",
        }
    }
}

/// Reqwest's errors quote URLs: the log gets their causes without, and only their kind goes further.
fn classify(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut causes = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(deeper) = cause {
        causes += if causes.is_empty() { "" } else { ": " };
        causes += &deeper.to_string();
        cause = deeper.source();
    }
    tracing::warn!(causes, "a call to an authority failed");
    if error.is_timeout() && !error.is_connect() {
        Failure::TimedOut
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::client::proxy::matcher::Matcher;

    use super::{Settings, exempt};

    #[test]
    fn some_hosts_are_never_proxied() {
        let settings = Settings { no_proxy: vec!["10.0.0.0/8".to_owned(), ".corp.example".to_owned()], ..Settings::default() };
        // What stands behind the client's own judgement of such a list.
        let matcher = Matcher::builder().all("http://proxy.example:3128").no(exempt(&settings)).build();
        let proxied = |host: &str| matcher.intercept(&format!("https://{host}/t").parse().unwrap()).is_some();
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "169.254.169.254", "10.1.2.3", "id.corp.example"] {
            assert!(!proxied(host), "{host}");
        }
        for host in ["login.microsoftonline.com", "169.254.169.253", "11.1.2.3"] {
            assert!(proxied(host), "{host}");
        }
    }
}
