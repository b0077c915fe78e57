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

use super::asked::Asked;
use super::doors::FlowReply;
use super::fault::RequestError;
use super::frame::Frame;
use super::routes::{ROUTES, Route};
use crate::flow;

/// What answers requests to one route. A service and not a handler: axum would box its future once more.
#[derive(Clone)]
struct RouteService {
    route: &'static Route,
    desk: Arc<Desk>,
}

/// What all routes are served with.
struct Desk {
    flows: flow::Service,
    frame: Arc<Frame>,
}

/// The router of all routes.
pub(super) fn router(flows: flow::Service, frame: &Arc<Frame>) -> Router {
    let desk = Arc::new(Desk { flows, frame: Arc::clone(frame) });
    ROUTES.iter().fold(Router::new(), |router, route| {
        let service = RouteService { route, desk: Arc::clone(&desk) };
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

    fn call(&mut self, mut request: Request) -> Self::Future {
        let (route, desk) = (self.route, Arc::clone(&self.desk));
        Box::pin(async move {
            let asked = desk.frame.asked(&mut request);
            let outcome = desk.serve(route, &asked, request).await;
            Ok(desk.frame.respond(&asked, outcome))
        })
    }
}

// === impl Desk ===

impl Desk {
    async fn serve(&self, route: &'static Route, asked: &Asked, request: Request) -> Result<FlowReply, RequestError> {
        let opened = self.frame.open(route, request).await?;
        let mut given = opened.given()?;
        let call = (route.door)(&mut given)?;
        call.ask(&self.flows, asked.caller, asked.call()).await.map_err(RequestError::Refused)
    }
}
