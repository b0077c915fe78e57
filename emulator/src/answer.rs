//! An answer before it is bytes, so that a script can still change its members, and its way to bytes.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, PRAGMA},
};
use serde_json::{Map, Value};

use crate::keys;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Body,
}

enum Body {
    Json(Value),
    Bytes(Vec<u8>),
}

/// What a script does to the bytes of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dress {
    pub(crate) gzip: bool,
    pub(crate) bom: bool,
    pub(crate) size: Option<usize>,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, headers: HeaderMap::new(), body: Body::Json(body) }.header("content-type", "application/json; charset=utf-8")
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn bytes(status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: HeaderMap::new(), body: Body::Bytes(body.into()) }
    }

    pub(crate) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self::bytes(status, body.into()).header("content-type", "text/plain; charset=utf-8")
    }

    /// A page: no script but the one that submits a form, and never in a frame.
    pub(crate) fn html(status: StatusCode, body: String) -> Self {
        Self::bytes(status, body)
            .header("content-type", "text/html; charset=utf-8")
            .header("x-frame-options", "DENY")
            .header("referrer-policy", "no-referrer")
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::bytes(StatusCode::FOUND, Vec::new()).header(LOCATION.as_str(), to)
    }

    pub(crate) fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "There is nothing here; GET /_emulator/directory tells what there is.\n")
    }

    /// Sets a header; one that HTTP cannot carry is left out.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Nothing that was issued may be kept by an HTTP cache.
    pub(crate) fn no_store(mut self) -> Self {
        self.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
        self.headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        self
    }

    /// Changes members of a successful JSON answer; null removes.
    pub(crate) fn set(&mut self, members: &Map<String, Value>) {
        if let Body::Json(Value::Object(body)) = &mut self.body
            && self.status.is_success()
        {
            keys::merge(body, members);
        }
    }

    pub(crate) fn finish(mut self, dress: Dress) -> Response<Full<Bytes>> {
        let mut bytes = match self.body {
            Body::Json(value) => value.to_string().into_bytes(),
            Body::Bytes(bytes) => bytes,
        };
        if let Some(size) = dress.size {
            // White space after a JSON text is of no meaning, so the answer stays a good one.
            bytes.resize(size.max(bytes.len()), b' ');
        }
        if dress.bom {
            bytes.splice(0..0, *b"\xef\xbb\xbf");
        }
        if dress.gzip {
            bytes = gzip(&bytes);
            self.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if bytes.is_empty() {
            self.headers.remove(CONTENT_TYPE);
        }
        let mut response = Response::new(Full::new(Bytes::from(bytes)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// A gzip member of stored blocks (RFC 1951 §3.2.4): well-formed, and not worth a dependency.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    out.extend(length.to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
