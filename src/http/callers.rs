//! Who sends a request: the token in its head says it, before the body is read. Without callers in the configuration nobody is asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use futures_util::future::{Either, Ready, ready};
use http::HeaderName;
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::asked::Asked;
use super::problem::{Fault, FaultKind};
use crate::flow::{Caller, Callers};

/// The header of the caller's token.
pub(super) const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-tokend-token");

/// How long a request waits for files that are being compared: a disk may hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks who sends each request.
#[derive(Clone, Debug)]
pub(super) struct CallerLayer(pub(super) Option<Arc<Callers>>);

/// The service behind the question.
#[derive(Clone, Debug)]
pub(super) struct Known<S> {
    inner: S,
    callers: Option<Arc<Callers>>,
}

/// Answered at once, passed on, or looked at again after the files were compared.
type Answering<S> = Either<
    Either<Ready<Result<<S as Service<Request>>::Response, BoxError>>, <S as Service<Request>>::Future>,
    Pin<Box<dyn Future<Output = Result<<S as Service<Request>>::Response, BoxError>> + Send>>,
>;

// === impl CallerLayer ===

impl<S> Layer<S> for CallerLayer {
    type Service = Known<S>;

    fn layer(&self, inner: S) -> Known<S> {
        Known { inner, callers: self.0.clone() }
    }
}

// === impl Known ===

impl<S> Service<Request> for Known<S>
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
        let token = match token(&request) {
            Ok(token) => token,
            Err(fault) => {
                callers.not_authenticated();
                return Either::Left(Either::Left(ready(Err(fault.into()))));
            }
        };
        if let Some(caller) = callers.authenticate(token) {
            note(&mut request, caller);
            return Either::Left(Either::Right(self.inner.call(request)));
        }
        // A clone that has no place yet: whoever is not known takes none from the others while files are compared.
        Either::Right(Box::pin(again(Arc::clone(callers), self.inner.clone(), request)))
    }
}

/// A token that nobody has may stand in a new file.
async fn again<S>(callers: Arc<Callers>, mut inner: S, mut request: Request) -> Result<S::Response, BoxError>
where
    S: Service<Request, Error = BoxError>,
{
    // Whether they were compared or not: what is known now decides.
    let _in_time = tokio::time::timeout(PATIENCE, callers.compare()).await;
    let caller = token(&request).ok().and_then(|token| callers.authenticate(token));
    let Some(caller) = caller else {
        callers.not_authenticated();
        return Err(
            fault("the header `X-Tokend-Token` has the token of no caller; send one that stands in `callers.*.token` now").into()
        );
    };
    note(&mut request, caller);
    inner.ready().await?.call(request).await
}

/// The one token of a request.
fn token(request: &Request) -> Result<&[u8], Fault> {
    let mut values = request.headers().get_all(CALLER_TOKEN).iter();
    match (values.next(), values.next()) {
        (Some(token), None) => Ok(token.as_bytes()),
        (None, _) => Err(fault("the header `X-Tokend-Token` is missing; send the caller's token in it")),
        (Some(_), Some(_)) => Err(fault("the header `X-Tokend-Token` is there twice; send it once")),
    }
}

fn fault(detail: &'static str) -> Fault {
    Fault::new(FaultKind::CallerNotAuthenticated, detail)
}

/// It travels with what else is known of the request.
fn note(request: &mut Request, caller: Caller) {
    if let Some(asked) = request.extensions_mut().get_mut::<Asked>() {
        asked.caller = caller;
    }
}
