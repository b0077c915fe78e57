//! A request's body: JSON or a form by its own word, bounded alone and together with all others that are in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes, HttpBody as _};
use bytes::BytesMut;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt as _;

use super::fault::{Fault, FaultKind};

/// The bounds of bodies; clones share the total.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    each: usize,
    all: usize,
    /// Whether room is taken for what has come only, and not for what was announced.
    as_they_come: bool,
    held: Arc<AtomicUsize>,
}

/// A body and its part of the total, given back when it is dropped.
#[derive(Debug)]
pub(super) struct HeldBody {
    /// The body.
    pub(super) bytes: Bytes,
    _share: Share,
}

#[derive(Debug)]
struct Share {
    size: usize,
    held: Arc<AtomicUsize>,
}

/// What a body has to call itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/json` (RFC 8259).
    Json,
    /// `application/x-www-form-urlencoded`, as RFC 6749 has it.
    Form,
}

// === impl MediaType ===

impl MediaType {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Json => b"application/json",
            Self::Form => b"application/x-www-form-urlencoded",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Json => "the body has to be JSON; send `Content-Type: application/json`",
            Self::Form => "the body has to be a form; send `Content-Type: application/x-www-form-urlencoded`",
        }
    }
}

// === impl Bodies ===

impl Bodies {
    /// At most `each` bytes a body, and `all` together.
    pub(super) fn new(each: usize, all: usize) -> Self {
        Self { each, all, as_they_come: false, held: Arc::default() }
    }

    /// These bounds for senders who are not known yet: what they announce and do not send takes no room.
    pub(super) fn charged_on_arrival(self) -> Self {
        Self { as_they_come: true, ..self }
    }

    /// Reads a body of this type.
    ///
    /// # Errors
    /// It calls itself something else, is too large, finds no room beside the others, or breaks off.
    pub(super) async fn take(&self, media: MediaType, headers: &HeaderMap, body: Body) -> Result<HeldBody, Fault> {
        let announced = body.size_hint().exact().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        judge_type(media, headers, announced == Some(0))?;
        // Without a length nothing is known, and room for the largest is kept.
        let size = announced.unwrap_or(self.each);
        if size > self.each {
            return Err(self.too_large());
        }
        let mut share = self.share(if self.as_they_come { 0 } else { size })?;
        let bytes = self.read(body, &mut share).await?;
        Ok(HeldBody { bytes, _share: share })
    }

    /// Frame by frame into one buffer: kept as they come, many small frames would hold many times what they weigh. The usual body
    /// is one frame, and is not copied.
    async fn read(&self, mut body: Body, share: &mut Share) -> Result<Bytes, Fault> {
        let (mut only, mut whole) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
            if only.len() + whole.len() + data.len() > self.each {
                return Err(self.too_large());
            }
            if self.as_they_come {
                share.grow(data.len(), self.all)?;
            }
            if only.is_empty() && whole.is_empty() {
                only = data;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut only));
                whole.extend_from_slice(&data);
            }
        }
        Ok(if whole.is_empty() { only } else { whole.freeze() })
    }

    fn share(&self, size: usize) -> Result<Share, Fault> {
        // Made first: it gives back what it took even if that was too much.
        let mut share = Share { size: 0, held: Arc::clone(&self.held) };
        share.grow(size, self.all)?;
        Ok(share)
    }

    fn too_large(&self) -> Fault {
        let detail = if self.as_they_come {
            format!(
                "the body is over {} bytes; send the caller's proof in the head, and it may be as long as `limits.body`",
                self.each
            )
        } else {
            format!("the body is over {} bytes (`limits.body`); no request of this API needs as much", self.each)
        };
        Fault::new(FaultKind::PayloadTooLarge, detail)
    }
}

/// Takes a body only if there is nothing in it: passed over, `{"app": …}` would be answered for another app than the caller means.
///
/// # Errors
/// There is something in it, or it breaks off.
pub(super) async fn refuse(mut body: Body) -> Result<(), Fault> {
    while let Some(frame) = body.frame().await {
        if frame.map_err(broke)?.data_ref().is_some_and(|data| !data.is_empty()) {
            let detail = "this route takes no body; give its parameters in the query";
            return Err(Fault::new(FaultKind::InvalidRequest, detail));
        }
    }
    Ok(())
}

fn broke(_: axum::Error) -> Fault {
    Fault::new(FaultKind::InvalidRequest, "the body broke off before its end; send all of it")
}

/// A request without a body and without a type is told that its body is missing, not that its type is wrong.
fn judge_type(media: MediaType, headers: &HeaderMap, empty: bool) -> Result<(), Fault> {
    let wrong = |detail| Err(Fault::new(FaultKind::UnsupportedMediaType, detail));
    if !headers.get_all(CONTENT_ENCODING).iter().all(|value| is_identity(value.as_bytes())) {
        return wrong("the body is compressed; send it as it is, without `Content-Encoding`");
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(only), None) if is_of(media, only.as_bytes()) => Ok(()),
        (None, _) if empty => Ok(()),
        _ => wrong(media.remedy()),
    }
}

/// Codings that change nothing (RFC 9110 §8.4), which some clients name.
fn is_identity(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

/// RFC 9110 §8.3.1. JSON has no parameters (RFC 8259 §11), and forms have none: those that are given say nothing, except that a
/// charset has to be what both are written in.
fn is_of(wanted: MediaType, value: &[u8]) -> bool {
    if value == wanted.name() {
        return true;
    }
    let (media, parameters) = value.split_at(value.iter().position(|byte| *byte == b';').unwrap_or(value.len()));
    media.trim_ascii().eq_ignore_ascii_case(wanted.name()) && are_harmless(parameters)
}

/// `;` and `name=value` as often as one likes, with nothing after a `;` as well (RFC 9110 §5.6.6).
fn are_harmless(mut rest: &[u8]) -> bool {
    const CHARSETS: [&[u8]; 3] = [b"utf-8", b"utf8", b"us-ascii"];
    loop {
        rest = rest.trim_ascii_start();
        let Some((b';', after)) = rest.split_first() else { return rest.is_empty() };
        rest = after.trim_ascii_start();
        if rest.first().is_none_or(|byte| *byte == b';') {
            continue;
        }
        let Some((name, after)) = token(rest) else { return false };
        let Some((b'=', after)) = after.split_first() else { return false };
        let Some((value, after)) = quoted(after).or_else(|| token(after)) else { return false };
        if name.eq_ignore_ascii_case(b"charset") && !CHARSETS.iter().any(|charset| value.eq_ignore_ascii_case(charset)) {
            return false;
        }
        rest = after;
    }
}

/// A token (RFC 9110 §5.6.2), and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_token(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The inside of a quoted string (RFC 9110 §5.6.4) with its escapes, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (b'"', inside) = text.split_first()? else { return None };
    let mut escaped = false;
    let end = inside.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

// === impl Share ===

impl Share {
    /// Takes so much more, if there is room.
    fn grow(&mut self, more: usize, all: usize) -> Result<(), Fault> {
        // Noted first: it gives back what it took even if that was too much.
        self.size += more;
        if self.held.fetch_add(more, Ordering::Relaxed).saturating_add(more) > all {
            let detail =
                "the bodies of other requests fill the memory set aside for them (`limits.inflight`); try again in a second";
            return Err(Fault::new(FaultKind::Overloaded, detail));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{HeaderMap, HeaderValue};

    use super::super::fault::FaultKind;
    use super::{Bodies, MediaType, is_of, refuse};

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn endless(size: usize) -> Body {
        Body::from_stream(futures_util::stream::iter((0..size).map(|_| Ok::<_, std::io::Error>("x"))))
    }

    #[test]
    fn takes_json_only() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;CHARSET=\"UTF-8\"",
            "application/json;",
            "application/json ; ",
            "application/json;;charset=utf8;",
            "application/json; charset=us-ascii",
            "application/json; odata.metadata=minimal; charset=utf-8",
            "application/json; version=1.0",
            "application/json; profile=\"https://a.example/b;c=\\\"d\\\"\"",
        ] {
            assert!(is_of(MediaType::Json, good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/json",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/json, text/plain",
            "application/json; charset",
            "application/json; charset=",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset=\"utf-16\"",
            "application/json; a=\"b",
            "application/json; a=b c",
            "application/json; a=b, text/plain",
            "application/json charset=utf-8",
            ";application/json",
        ] {
            assert!(!is_of(MediaType::Json, bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn takes_forms_where_forms_are_taken() {
        for good in ["application/x-www-form-urlencoded", "Application/x-www-form-urlencoded;charset=UTF-8"] {
            assert!(is_of(MediaType::Form, good.as_bytes()), "{good}");
        }
        for bad in ["application/json", "multipart/form-data", "application/x-www-form-urlencoded; charset=latin1", ""] {
            assert!(!is_of(MediaType::Form, bad.as_bytes()), "{bad}");
        }
    }

    #[tokio::test]
    async fn many_small_frames_become_one_buffer_of_their_size() {
        let bodies = Bodies::new(100, 1000);
        let json = headers(&[("content-type", "application/json")]);
        let held = bodies.take(MediaType::Json, &json, endless(100)).await.ok().map(|held| held.bytes);
        assert_eq!(held.as_deref(), Some("x".repeat(100).as_bytes()));
        let fault = bodies.take(MediaType::Json, &json, endless(101)).await.err().map(|fault| fault.kind);
        assert_eq!(fault, Some(FaultKind::PayloadTooLarge));
    }

    #[tokio::test]
    async fn judges_types_and_encodings() {
        let bodies = Bodies::new(100, 1000);
        let json = ("content-type", "application/json");
        for (list, body, want) in [
            (&[json][..], "{}", None),
            (&[], "", None),
            (&[], "{}", Some(FaultKind::UnsupportedMediaType)),
            (&[("content-type", "text/plain")], "", Some(FaultKind::UnsupportedMediaType)),
            (&[json, json], "{}", Some(FaultKind::UnsupportedMediaType)),
            (&[json, ("content-encoding", "gzip")], "{}", Some(FaultKind::UnsupportedMediaType)),
            (&[json, ("content-encoding", "identity, gzip")], "{}", Some(FaultKind::UnsupportedMediaType)),
            (&[json, ("content-encoding", "identity"), ("content-encoding", "br")], "{}", Some(FaultKind::UnsupportedMediaType)),
            (&[json, ("content-encoding", "identity")], "{}", None),
            (&[json, ("content-encoding", "Identity, identity")], "{}", None),
            (&[json, ("content-encoding", "")], "{}", None),
        ] {
            let read = bodies.take(MediaType::Json, &headers(list), Body::from(body)).await;
            assert_eq!(read.err().map(|fault| fault.kind), want, "{list:?}");
        }
    }

    #[tokio::test]
    async fn where_none_is_taken_only_an_empty_one_is() {
        let frames = |frames: &'static [&str]| {
            Body::from_stream(futures_util::stream::iter(frames.iter().map(|frame| Ok::<_, std::io::Error>(*frame))))
        };
        for empty in [Body::empty(), Body::from(""), frames(&[]), frames(&["", ""])] {
            assert!(refuse(empty).await.is_ok());
        }
        for full in [Body::from("{}"), Body::from(" "), frames(&["", "x"]), endless(1_000_000)] {
            assert_eq!(refuse(full).await.unwrap_err().kind, FaultKind::InvalidRequest);
        }
        let broken = Body::from_stream(futures_util::stream::iter([Err::<&str, _>(std::io::Error::other("canary"))]));
        assert!(refuse(broken).await.is_err_and(|fault| fault.detail.contains("broke off")));
    }

    #[tokio::test]
    async fn bounds_each_and_all() {
        let bodies = Bodies::new(100, 250);
        let json = headers(&[("content-type", "application/json")]);
        let read = |size: usize| bodies.take(MediaType::Json, &json, Body::from("x".repeat(size)));
        assert_eq!(read(101).await.unwrap_err().kind, FaultKind::PayloadTooLarge);
        assert_eq!(bodies.take(MediaType::Json, &json, endless(101)).await.unwrap_err().kind, FaultKind::PayloadTooLarge);
        let held = (read(100).await.unwrap(), read(100).await.unwrap());
        assert_eq!(read(100).await.unwrap_err().kind, FaultKind::Overloaded);
        assert_eq!(bodies.take(MediaType::Json, &json, endless(1)).await.unwrap_err().kind, FaultKind::Overloaded);
        assert_eq!(read(50).await.unwrap().bytes.len(), 50);
        drop(held);
        assert_eq!(bodies.take(MediaType::Json, &json, endless(100)).await.unwrap().bytes.len(), 100);
    }
}
