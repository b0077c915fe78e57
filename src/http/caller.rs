//! Who sends a request: what stands in its head says it, before the body is read. Without callers in the configuration nobody is
//! asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use futures_util::future::{Either, Ready, ready};
use http::{HeaderName, HeaderValue};
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::asked::Asked;
use super::fault::{Fault, FaultKind};
use super::routes::ProofPlace;
use crate::caller::{Caller, CallerError, Callers, HeaderToken, Presented};

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
        ProofPlace::Header => {
            Presented { header: HeaderToken::of(request.headers().get_all(CALLER_TOKEN).iter().map(HeaderValue::as_bytes)) }
        }
    }
}

fn fault(error: CallerError) -> Fault {
    let detail = match error {
        CallerError::TokenMissing => "the header `X-Tokend-Token` is missing; send the caller's token in it",
        CallerError::TokenRepeated => "the header `X-Tokend-Token` is there twice; send it once",
        CallerError::TokenUnknown => {
            "the header `X-Tokend-Token` has the token of no caller; send one that stands in `callers.*.token` now"
        }
    };
    Fault::new(FaultKind::CallerNotAuthenticated, detail)
}

/// It travels with what else is known of the request.
fn note(request: &mut Request, caller: Caller) {
    if let Some(asked) = request.extensions_mut().get_mut::<Asked>() {
        asked.caller = caller;
    }
}
