//! Bodies that are no JSON objects, or are too large to be looked at.

use super::{is_refused, leaving_no_trace};
use crate::support::Client;

#[tokio::test]
async fn no_body_is_400() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            is_refused(route, "none", &Client::send(route.bare(world)).await, (400, "invalid_request", "no body"));
            for blank in ["", "  \r\n"] {
                let answer = Client::send(route.request(world, blank)).await;
                is_refused(route, "blank", &answer, (400, "invalid_request", "no body"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn another_content_type_is_415() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let body = route.with(&serde_json::json!({})).to_string();
            for kind in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "application/jsonp",
                "application/json; charset=utf-16",
                "application/problem+json",
                "",
            ] {
                let answer = Client::send(route.bare(world).header("content-type", kind).body(body.clone())).await;
                is_refused(route, kind, &answer, (415, "unsupported_media_type", "`Content-Type: application/json`"));
            }
            let none = Client::send(route.bare(world).body(body.clone())).await;
            is_refused(route, "no type", &none, (415, "unsupported_media_type", "application/json"));
            let packed = route.request(world, body.clone()).header("content-encoding", "gzip");
            is_refused(route, "gzip", &Client::send(packed).await, (415, "unsupported_media_type", "`Content-Encoding`"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_json_object_is_400() {
    leaving_no_trace(async |world, routes| {
        let deep = format!("{{\"app\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        for route in routes {
            let good = route.with(&serde_json::json!({})).to_string();
            let cases: [(Vec<u8>, &str); 13] = [
                (b"[]".to_vec(), "no object"),
                (format!("[{good}]").into_bytes(), "no object"),
                (b"null".to_vec(), "no object"),
                (b"7".to_vec(), "no object"),
                (b"\"canary\"".to_vec(), "no object"),
                (b"{".to_vec(), "not JSON"),
                (b"app=canary".to_vec(), "not JSON"),
                (format!("{good} {{}}").into_bytes(), "not JSON"),
                (format!("{good}canary").into_bytes(), "not JSON"),
                (deep.clone().into_bytes(), "not JSON"),
                (b"{\"app\":\"\xff\xfe\"}".to_vec(), "UTF-8"),
                (good.encode_utf16().flat_map(u16::to_le_bytes).collect(), "JSON"),
                ([b"\xef\xbb\xbf".as_slice(), good.as_bytes()].concat(), "JSON"),
            ];
            for (body, word) in cases {
                let what = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
                let answer = Client::send(route.request(world, body)).await;
                is_refused(route, &what, &answer, (400, "invalid_request", word));
                assert!(!answer.text.contains("canary"), "{}", answer.text);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_megabyte_of_body_is_413() {
    leaving_no_trace(async |world, routes| {
        for route in routes {
            let large = format!("{{\"app\":\"{}\"}}", "x".repeat(1024 * 1024));
            let answer = Client::send(route.request(world, large.clone())).await;
            is_refused(route, "1 MiB", &answer, (413, "payload_too_large", "`limits.body`"));
            // Of a length that nobody announced.
            let chunks = large.into_bytes().chunks(8192).map(bytes::Bytes::copy_from_slice).collect::<Vec<_>>();
            let frames = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(hyper::body::Frame::data(chunk)));
            let stream = reqwest::Body::wrap(http_body_util::StreamBody::new(futures_util::stream::iter(frames)));
            let answer = Client::send(route.request(world, stream)).await;
            is_refused(route, "chunked", &answer, (413, "payload_too_large", "`limits.body`"));
        }
    })
    .await;
}
