//! What the answers of all dialects are made from.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use uuid::Uuid;

/// What every answer is told.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct About {
    /// The request's id.
    pub(in crate::http) correlation_id: Uuid,
    /// The time, in seconds since 1970.
    pub(in crate::http) now: i64,
}

/// A value as JSON.
pub(super) fn written<T: Serialize>(value: &T) -> Vec<u8> {
    // Strings always become JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// A JSON body with status 200.
pub(super) fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
