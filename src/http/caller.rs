//! Who sends a request: what stands in its head says it, before the body is read. Without callers in the configuration nobody is
//! asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use futures_util::future::{Either, Ready, ready};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::asked::Asked;
use super::fault::{Fault, FaultKind};
use super::proof::BasicProof;
use super::routes::ProofPlace;
use super::settings::ClientDoor;
use crate::caller::{Caller, CallerError, Callers, HeaderToken, Identified, Presented};
use crate::listen::Connection;

/// The header of the caller's token.
pub(super) const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-tokend-token");

/// The header of clients that ask for a managed identity's tokens.
const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");

/// Asks who sends each request.
#[derive(Clone, Debug)]
pub(super) struct CallerLayer {
    pub(super) callers: Option<Arc<Callers>>,
    /// Where there are no callers: what clients of a managed identity show, as a caller's tokens.
    pub(super) msi: Option<Arc<Callers>>,
    /// Who asks where clients can show nothing.
    pub(super) imds: Option<Caller>,
    /// The doors that are open: of whoever comes to another one nothing is asked, since nothing is there.
    pub(super) open: Arc<[ClientDoor]>,
}

/// What becomes of the question.
enum Looking {
    /// It is not asked, or not now.
    Nobody,
    /// What is shown cannot be read.
    Refused(Fault),
    /// It is asked.
    For(Identified),
}

/// The service behind the question.
#[derive(Clone, Debug)]
pub(super) struct CallerService<S> {
    inner: S,
    known: CallerLayer,
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
        CallerService { inner, known: self.clone() }
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
        let path = request.extensions().get::<Asked>().map(|asked| asked.path);
        let is_open = path.is_none_or(|path| self.known.open.contains(&path.door));
        let place = path.map_or(ProofPlace::Header, |path| if is_open { path.proof } else { ProofPlace::Open });
        let is_named = self.known.callers.is_some();
        match self.known.look(place, &request) {
            Looking::Nobody => Either::Left(Either::Right(self.inner.call(request))),
            Looking::Refused(fault) => Either::Left(Either::Left(ready(Err(fault.into())))),
            Looking::For(Either::Left(known)) => match known.into_inner() {
                Ok(caller) => {
                    note(&mut request, if is_named { caller } else { Caller::ANYONE });
                    Either::Left(Either::Right(self.inner.call(request)))
                }
                Err(error) => {
                    let fault = fault(error, place).basic(is_basic(place, request.headers()));
                    Either::Left(Either::Left(ready(Err(fault.into()))))
                }
            },
            // A clone that has no place yet: a caller that is not known must take none from the others meanwhile.
            Looking::For(Either::Right(looking)) => {
                Either::Right(Box::pin(after(looking, place, is_named, self.inner.clone(), request)))
            }
        }
    }
}

impl CallerLayer {
    /// Asks about what the head and the connection show, where that is to be asked now.
    fn look(&self, place: ProofPlace, request: &Request) -> Looking {
        let (headers, extensions) = (request.headers(), request.extensions());
        match (place, &self.callers) {
            (ProofPlace::Open, _) | (ProofPlace::Named, None) => Looking::Nobody,
            (ProofPlace::Named, Some(callers)) => {
                let Some(named) = self.imds else { return Looking::Nobody };
                Looking::For(callers.identify_named(&presented_by(headers, &CALLER_TOKEN, extensions), named))
            }
            (ProofPlace::IdentityHeader, callers) => {
                let Some(callers) = callers.as_ref().or(self.msi.as_ref()) else {
                    return Looking::Refused(fault(CallerError::Missing, place));
                };
                let shown = presented_by(headers, &IDENTITY_HEADER, extensions);
                // It is always needed, whatever the connection proves; and the other header is a proof wherever it stands.
                let is_missing = !headers.contains_key(&IDENTITY_HEADER);
                let others: Vec<&[u8]> = headers.get_all(&CALLER_TOKEN).iter().map(HeaderValue::as_bytes).collect();
                let shown = match &*others {
                    _ if is_missing => Presented { connection: None, ..shown },
                    [] => shown,
                    [other] => Presented { secrets: std::slice::from_ref(other), ..shown },
                    _ => Presented { header: HeaderToken::Several, ..shown },
                };
                Looking::For(callers.identify(&shown))
            }
            (_, None) => Looking::Nobody,
            (ProofPlace::Header, Some(callers)) => {
                Looking::For(callers.identify(&presented_by(headers, &CALLER_TOKEN, extensions)))
            }
            (ProofPlace::Form, Some(callers)) => {
                let basic = match BasicProof::read(headers) {
                    Ok(basic) => basic,
                    Err(fault) => return Looking::Refused(fault),
                };
                let readings = basic.as_ref().map(BasicProof::secrets).unwrap_or_default();
                if readings.is_empty() && !headers.contains_key(&CALLER_TOKEN) {
                    // The form may have it.
                    return Looking::Nobody;
                }
                let secrets: Vec<&[u8]> = readings.iter().map(|text| text.as_bytes()).collect();
                let shown = Presented { secrets: &secrets, ..presented_by(headers, &CALLER_TOKEN, extensions) };
                Looking::For(callers.identify(&shown))
            }
        }
    }
}

/// Whether a request shows its caller's proof as `Authorization: Basic`.
fn is_basic(place: ProofPlace, headers: &HeaderMap) -> bool {
    place == ProofPlace::Form && headers.contains_key(AUTHORIZATION)
}

/// Passes a request on once its caller is known.
async fn after<S>(
    looking: impl Future<Output = Result<Caller, CallerError>>,
    place: ProofPlace,
    is_named: bool,
    mut inner: S,
    mut request: Request,
) -> Result<S::Response, BoxError>
where
    S: Service<Request, Error = BoxError>,
{
    let basic = is_basic(place, request.headers());
    let caller = looking.await.map_err(|error| fault(error, place).basic(basic))?;
    note(&mut request, if is_named { caller } else { Caller::ANYONE });
    inner.ready().await?.call(request).await
}

/// What the head of a request shows of its caller: this header, and the connection. A door whose proofs stand in the body too adds
/// them: `Presented { secrets, assertion, ..presented_by(…) }`.
fn presented_by<'a>(headers: &'a HeaderMap, name: &HeaderName, extensions: &'a Extensions) -> Presented<'a> {
    Presented {
        header: HeaderToken::of(headers.get_all(name).iter().map(HeaderValue::as_bytes)),
        secrets: &[],
        assertion: None,
        connection: Connection::of(extensions),
    }
}

/// What a request that is of no caller is told, by where its proof has to stand.
pub(super) fn fault(error: CallerError, place: ProofPlace) -> Fault {
    let kind = match error {
        CallerError::KeysUnavailable => FaultKind::CallerKeysUnavailable,
        _ => FaultKind::CallerNotAuthenticated,
    };
    let detail = match (error, place) {
        (CallerError::Missing, ProofPlace::Form) => {
            "the caller's proof is missing: send its token as `client_secret`, in the form or by `Authorization: Basic`, or its JWT \
             as `client_assertion`"
        }
        (CallerError::Unknown, ProofPlace::Form) => {
            "the client secret is no caller's token: send one that stands in `callers.*.token` now, and never the app's own secret"
        }
        (CallerError::Rejected(_), ProofPlace::Form) => {
            "the JWT is no caller's; send one as an entry of `callers.*.jwt` asks for it (the log says which check it failed)"
        }
        (CallerError::Missing, ProofPlace::IdentityHeader) => {
            "the header `X-IDENTITY-HEADER` is missing; send what IDENTITY_HEADER has in it"
        }
        (CallerError::Repeated, ProofPlace::IdentityHeader) => "the header `X-IDENTITY-HEADER` is there twice; send it once",
        (CallerError::Unknown | CallerError::Rejected(_), ProofPlace::IdentityHeader) => {
            "the header `X-IDENTITY-HEADER` has the token of no caller; send one that stands in `callers.*.token`, or in `msi.secret`, now"
        }
        (CallerError::Missing, _) => {
            "the header `X-Tokend-Token` is missing, and the connection proves no caller either; send the caller's token or JWT in it"
        }
        (CallerError::Repeated, _) => "the header `X-Tokend-Token` is there twice; send it once",
        (CallerError::Unknown, _) => {
            "the header `X-Tokend-Token` has the token of no caller; send one that stands in `callers.*.token` now"
        }
        (CallerError::Rejected(_), _) => {
            "the header `X-Tokend-Token` has a JWT that is no caller's; send one as an entry of `callers.*.jwt` asks for it (the log \
             says which check it failed)"
        }
        (CallerError::Several, _) => "the request shows proofs of several callers; show those of one only",
        (CallerError::KeysUnavailable, _) => "the keys that verify the caller's JWT cannot be had; try again",
    };
    match error {
        CallerError::Rejected(reason) => Fault::new(kind, detail).because(reason),
        _ => Fault::new(kind, detail),
    }
}

/// It travels with what else is known of the request.
fn note(request: &mut Request, caller: Caller) {
    if let Some(asked) = request.extensions_mut().get_mut::<Asked>() {
        (asked.caller, asked.is_proven) = (caller, true);
    }
}
