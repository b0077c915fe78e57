//! Who sends a request: what stands in its head says it, before the body is read. Without callers in the configuration nobody is
//! asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use futures_util::future::{Either, Ready, ready};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::asked::Asked;
use super::fault::{Fault, FaultKind};
use super::routes::ProofPlace;
use crate::caller::{Caller, CallerError, Callers, HeaderToken, Presented};
use crate::listen::Connection;

/// The header of the caller's token.
const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-tokend-token");

/// Asks who sends each request.
#[derive(Clone, Debug)]
pub(super) struct CallerLayer(pub(super) Option<Arc<Callers>>);

/// The service behind the question.
#[derive(Clone, Debug)]
pub(super) struct CallerService<S> {
    inner: S,
    callers: Option<Arc<Callers>>,
}

/// Answered at once, passed on, or passed on after a longer look.
type Answering<S> = Either<
    Either<Ready<Result<<S as Service<Request>>::Response, BoxError>>, <S as Service<Request>>::Future>,
    Pin<Box<dyn Future<Output = Result<<S as Service<Request>>::Response, BoxError>> + Send>>,
>;

// === impl CallerLayer ===

impl<S> Layer<S> for CallerLayer {
    type Service = CallerService<S>;

    fn layer(&self, inner: S) -> CallerService<S> {
        CallerService { inner, callers: self.0.clone() }
    }
}

// === impl CallerService ===

impl<S> Service<Request> for CallerService<S>
where
    S: Service<Request, Error = BoxError> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answering<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(callers) = &self.callers else { return Either::Left(Either::Right(self.inner.call(request))) };
        match callers.identify(&presented(&request)) {
            Either::Left(known) => match known.into_inner() {
                Ok(caller) => {
                    note(&mut request, caller);
                    Either::Left(Either::Right(self.inner.call(request)))
                }
                Err(error) => Either::Left(Either::Left(ready(Err(fault(error).into())))),
            },
            // A clone that has no place yet: a caller that is not known must take none from the others meanwhile.
            Either::Right(looking) => Either::Right(Box::pin(after(looking, self.inner.clone(), request))),
        }
    }
}

/// Passes a request on once its caller is known.
async fn after<S>(
    looking: impl Future<Output = Result<Caller, CallerError>>,
    mut inner: S,
    mut request: Request,
) -> Result<S::Response, BoxError>
where
    S: Service<Request, Error = BoxError>,
{
    let caller = looking.await.map_err(fault)?;
    note(&mut request, caller);
    inner.ready().await?.call(request).await
}

/// What a request shows of its caller, where its path has that.
fn presented(request: &Request) -> Presented<'_> {
    let proof = request.extensions().get::<Asked>().map_or(ProofPlace::Header, |asked| asked.path.proof);
    match proof {
        ProofPlace::Header => presented_by(request.headers(), &CALLER_TOKEN, request.extensions()),
    }
}

/// What the head of a request shows of its caller: this header, and the connection. A door whose proofs stand in the body too adds
/// them: `Presented { secrets, assertion, ..presented_by(…) }`.
pub(super) fn presented_by<'a>(headers: &'a HeaderMap, name: &HeaderName, extensions: &'a Extensions) -> Presented<'a> {
    Presented {
        header: HeaderToken::of(headers.get_all(name).iter().map(HeaderValue::as_bytes)),
        secrets: &[],
        assertion: None,
        connection: Connection::of(extensions),
    }
}

/// What a request that is of no caller is told.
pub(super) fn fault(error: CallerError) -> Fault {
    let kind = match error {
        CallerError::KeysUnavailable => FaultKind::CallerKeysUnavailable,
        _ => FaultKind::CallerNotAuthenticated,
    };
    let detail = match error {
        CallerError::Missing => {
            "the header `X-Tokend-Token` is missing, and the connection proves no caller either; send the caller's token or JWT in it"
        }
        CallerError::Repeated => "the header `X-Tokend-Token` is there twice; send it once",
        CallerError::Unknown => {
            "the header `X-Tokend-Token` has the token of no caller; send one that stands in `callers.*.token` now"
        }
        CallerError::Rejected(_) => {
            "the header `X-Tokend-Token` has a JWT that is no caller's; send one as an entry of `callers.*.jwt` asks for it (the log \
             says which check it failed)"
        }
        CallerError::Several => "the request shows proofs of several callers; show those of one only",
        CallerError::KeysUnavailable => "the keys that verify the caller's JWT cannot be had; try again",
    };
    match error {
        CallerError::Rejected(reason) => Fault::new(kind, detail).because(reason),
        _ => Fault::new(kind, detail),
    }
}

/// It travels with what else is known of the request.
fn note(request: &mut Request, caller: Caller) {
    if let Some(asked) = request.extensions_mut().get_mut::<Asked>() {
        asked.caller = caller;
    }
}
