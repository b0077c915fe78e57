//! Turns requests away by their head alone, as a layer: the rules are `listen`'s, the sentences are the edge's.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use futures_util::future::{Either, Ready, ready};
use tower::{BoxError, Layer, Service};

use super::asked::Asked;
use super::fault::{Fault, FaultKind};
use crate::listen::{Gate, Peer, Trespass};

/// Judges each request whose path is judged.
#[derive(Clone, Debug)]
pub(super) struct GateLayer {
    pub(super) gate: Arc<Gate>,
    /// For the instance metadata route, whose clients ask for it by an address of their own.
    pub(super) imds: Arc<Gate>,
}

/// The service behind the rules.
#[derive(Clone, Debug)]
pub(super) struct Gated<S> {
    inner: S,
    gates: GateLayer,
}

/// What a request over no listener of ours counts as: the strictest rules there are.
const UNKNOWN: Peer = Peer::Tcp { address: LOOPBACK, listener: LOOPBACK, tls: false };
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

// === impl GateLayer ===

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gates: self.clone() }
    }
}

// === impl Gated ===

impl<S> Service<Request> for Gated<S>
where
    S: Service<Request, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (head, body) = request.into_parts();
        let path = head.extensions.get::<Asked>().map(|asked| asked.path);
        let judged = path.is_none_or(|path| path.judged);
        let gate = if path.is_some_and(|path| path.is_imds()) { &self.gates.imds } else { &self.gates.gate };
        let peer = Peer::of(&head.extensions).unwrap_or(UNKNOWN);
        let result = if judged { gate.judge(&head, &peer) } else { gate.judge_size(&head) };
        if let Err(trespass) = result {
            return Either::Left(ready(Err(fault(trespass).into())));
        }
        Either::Right(self.inner.call(Request::from_parts(head, body)))
    }
}

fn fault(trespass: Trespass) -> Fault {
    match trespass {
        Trespass::Origin => Fault::new(
            FaultKind::OriginNotAllowed,
            "the request comes from a web page (`Origin` or `Sec-Fetch-Site`); call tokend from the application's server side",
        ),
        Trespass::Host => Fault::new(
            FaultKind::HostNotAllowed,
            "`Host` names neither the listen address nor localhost; use one of them, or add the name to `hosts`",
        ),
        Trespass::BadHost => {
            Fault::new(FaultKind::InvalidRequest, "`Host` is missing, there twice, or no host name; send one (RFC 9112 §3.2)")
        }
        Trespass::Forwarded => Fault::new(
            FaultKind::ForwardedHeader,
            "`Forwarded`, `X-Forwarded-*` and `X-Real-IP` are not taken on a local listener; ask tokend directly and not through a proxy",
        ),
        Trespass::TooLarge => {
            Fault::new(FaultKind::HeaderTooLarge, "the head of the request is over `limits.header`; send fewer or shorter headers")
        }
    }
}
