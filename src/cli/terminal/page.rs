//! What the browser is shown: fixed texts, which say nothing of what was asked or answered, and ask for nothing from anywhere.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use url::Url;

use super::callback::TurnedAway;

/// No script, no style, no frame around it, nothing loaded.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignInEnd {
    Good,
    Bad,
}

/// Where the browser goes at the end: away from the address with the code in it, which its history would keep.
#[derive(Clone, Debug)]
pub(super) struct EndPages {
    /// The path of the page here, which the authority's answer does not have.
    path: &'static str,
    good: Option<Url>,
    bad: Option<Url>,
}

// === impl EndPages ===

impl EndPages {
    /// Pages of others where there are any, beside a callback at this path.
    pub(super) fn beside(callback: &str, good: Option<&Url>, bad: Option<&Url>) -> Self {
        let path = if callback == "/done" { "/ended" } else { "/done" };
        Self { path, good: good.cloned(), bad: bad.cloned() }
    }

    /// Whether this is the path of the page here.
    pub(super) fn is_here(&self, path: &str) -> bool {
        path == self.path
    }

    /// Sends the browser on. Returns whether that is the last that it asks for here.
    pub(super) fn send_on(&self, end: SignInEnd) -> (Response<Full<Bytes>>, bool) {
        let other = match end {
            SignInEnd::Good => self.good.as_ref(),
            SignInEnd::Bad => self.bad.as_ref(),
        };
        let mut response = page(StatusCode::SEE_OTHER, "The sign-in has ended.");
        let to = HeaderValue::from_str(other.map_or(self.path, Url::as_str));
        response.headers_mut().insert(LOCATION, to.unwrap_or(HeaderValue::from_static("/done")));
        (response, other.is_some())
    }

    /// The page here.
    pub(super) fn ended(end: SignInEnd) -> Response<Full<Bytes>> {
        page(
            StatusCode::OK,
            match end {
                SignInEnd::Good => "You are signed in. You can close this page and go back to the terminal.",
                SignInEnd::Bad => "The sign-in failed. The terminal says why; you can close this page.",
            },
        )
    }
}

/// The answer to a request that is turned away.
pub(super) fn turned_away(TurnedAway(status, text): TurnedAway) -> Response<Full<Bytes>> {
    let mut response = page(status, text);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// The texts are ours and have no character that means something in HTML.
fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>tokend</title></head>\n<body><p>{text}</p></body>\n\
         </html>\n"
    );
    let mut response = Response::new(Full::from(html));
    *response.status_mut() = status;
    secure(response.headers_mut());
    response
}

/// The address may have a code in it: nobody that the browser goes to from here is told it, and nothing keeps it.
fn secure(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

#[cfg(test)]
mod tests {
    use super::{EndPages, SignInEnd};

    #[test]
    fn the_browser_goes_to_a_clean_page() {
        let own: url::Url = "https://intranet.example/done?a=b".parse().unwrap();
        let pages = EndPages::beside("/done", Some(&own), None);
        let to = |end| {
            let (response, last) = pages.send_on(end);
            (response.status().as_u16(), response.headers()["location"].to_str().unwrap().to_owned(), last)
        };
        assert_eq!(to(SignInEnd::Good), (303, own.to_string(), true));
        assert_eq!(to(SignInEnd::Bad), (303, "/ended".to_owned(), false));
        assert!(pages.is_here("/ended") && !pages.is_here("/done"));
        assert!(EndPages::beside("/", None, None).is_here("/done"));
    }
}
