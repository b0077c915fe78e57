//! The way of a request to one route: all of it is read, its door says what is asked, the flows are asked, and the frame answers.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{any_service, on_service};

use super::fault::RequestError;
use super::frame::Frame;
use super::routes::{ProofPlace, ROUTES, Route, Spelling};
use crate::flow;

/// What answers requests to one route. A service and not a handler: axum would box its future once more.
#[derive(Clone)]
struct RouteService {
    route: &'static Route,
    state: Arc<RouteState>,
}

/// What all routes are served with.
struct RouteState {
    flows: flow::Service,
    frame: Arc<Frame>,
}

/// The router of all routes.
pub(super) fn router(flows: flow::Service, frame: &Arc<Frame>) -> Router {
    let state = Arc::new(RouteState { flows, frame: Arc::clone(frame) });
    let is_open = |route: &&Route| frame.doors.open.contains(&route.path.door);
    ROUTES.iter().filter(is_open).fold(Router::new(), |router, route| {
        let service = RouteService { route, state: Arc::clone(&state) };
        let served = match route.method.filter() {
            Some(filter) => on_service(filter, service),
            None => any_service(service),
        };
        let template = route.path.template;
        match route.path.spelling {
            // The router takes a path without a segment below for another one.
            Spelling::Below => router
                .route(&format!("{template}/"), served.clone())
                .route(&format!("{template}/{{*below}}"), served.clone())
                .route(template, served),
            Spelling::Exact | Spelling::AnyCase => router.route(template, served),
        }
    })
}

// === impl RouteService ===

impl tower::Service<Request> for RouteService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(Arc::clone(&self.state).serve(self.route, request))
    }
}

// === impl RouteState ===

impl RouteState {
    async fn serve(self: Arc<Self>, route: &'static Route, mut request: Request) -> Result<Response, Infallible> {
        let mut asked = self.frame.asked(&mut request);
        let opened = match self.frame.open(route, &asked, request).await {
            Ok(opened) => opened,
            Err(fault) => return Ok(self.frame.respond(&asked, Err(fault.into()))),
        };
        let mut given = match opened.given(&self.frame.doors) {
            Ok(given) => given,
            Err(error) => return Ok(self.frame.respond(&asked, Err(error))),
        };
        let client;
        if route.path.proof == ProofPlace::Form {
            // On the heap: other routes have no need of it.
            match Box::pin(self.frame.proven_by_form(&mut asked, &opened, &given)).await {
                Ok(named) => client = named,
                Err(fault) => return Ok(self.frame.respond(&asked, Err(fault.basic(opened.is_basic()).into()))),
            }
            given.client = client.as_deref();
        }
        if let Err(fault) = self.frame.may_pass(&asked) {
            return Ok(self.frame.respond(&asked, Err(fault.into())));
        }
        let call = match (route.door)(&mut given) {
            Ok(call) => call,
            Err(fault) => return Ok(self.frame.respond(&asked, Err(fault.into()))),
        };
        match call.ask(&self.flows, asked.caller, asked.call()).await {
            Ok(reply) => Ok(self.frame.respond(&asked, Ok(reply))),
            Err(refusal) => {
                let app = call.app(&self.flows, asked.caller);
                let app = app.as_ref().map(|app| app.name.as_str());
                Ok(self.frame.respond_about(&asked, app, Err(RequestError::Refused(refusal))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::extract::Request;

    use super::RouteState;
    use crate::http::routes::Route;

    /// Each request makes this future, moves it and has room allocated for it.
    const MOST: usize = 2656;

    fn size_of_output<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_a_hit_makes_and_moves_is_small() {
        let size = size_of_output(|state: Arc<RouteState>, route: &'static Route, request: Request| state.serve(route, request));
        assert!(size <= MOST, "{size} bytes: is something large awaited that belongs on the heap?");
    }
}
