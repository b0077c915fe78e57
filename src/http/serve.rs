//! The way of a request to one route: all of it is read, its door says what is asked, the flows are asked, and the frame answers.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::on_service;

use super::fault::RequestError;
use super::frame::Frame;
use super::routes::{ROUTES, Route};
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
    ROUTES.iter().fold(Router::new(), |router, route| {
        let service = RouteService { route, state: Arc::clone(&state) };
        router.route(route.path.template, on_service(route.method.filter(), service))
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
        let asked = self.frame.asked(&mut request);
        let opened = match self.frame.open(route, request).await {
            Ok(opened) => opened,
            Err(fault) => return Ok(self.frame.respond(&asked, Err(fault.into()))),
        };
        let given = opened.given();
        let outcome = match given {
            Ok(mut given) => match (route.door)(&mut given) {
                Ok(call) => match call.ask(&self.flows, asked.caller, asked.call()).await {
                    Ok(reply) => Ok(reply),
                    Err(refusal) => {
                        let app = call.app(&self.flows);
                        let app = app.as_ref().map(|app| app.name.as_str());
                        return Ok(self.frame.respond_about(&asked, app, Err(RequestError::Refused(refusal))));
                    }
                },
                Err(fault) => Err(fault.into()),
            },
            Err(error) => Err(error),
        };
        Ok(self.frame.respond(&asked, outcome))
    }
}
