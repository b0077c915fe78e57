//! A caller of tokend: no redirects, no proxy, and every part of the answer at hand.

use std::time::Duration;

use serde_json::Value;

/// Sends requests to one base URL.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    /// The body as JSON; null if it is none.
    pub(crate) json: Value,
}

impl Client {
    /// A client for a base URL; `ca` is trusted if there is one.
    pub(crate) fn new(base: &str, ca: Option<&str>) -> Self {
        Self::with(base, ca, reqwest::header::HeaderMap::new())
    }

    /// This client for a caller with this token; it trusts no CA of its own.
    pub(crate) fn calling(&self, token: &str) -> Self {
        let token = token.parse().expect("a header's value");
        Self::with(&self.base, None, [(reqwest::header::HeaderName::from_static("x-tokend-token"), token)].into_iter().collect())
    }

    /// A client that sends these headers with everything.
    pub(crate) fn with(base: &str, ca: Option<&str>, headers: reqwest::header::HeaderMap) -> Self {
        let mut builder =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(Duration::from_secs(30));
        builder = builder.default_headers(headers);
        if let Some(ca) = ca {
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).expect("a CA in PEM")]);
        }
        Self { http: builder.build().expect("a client"), base: base.trim_end_matches('/').to_owned() }
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// POST of a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(path, body)).await
    }

    /// POST of a JSON body with a user's token.
    pub(crate) async fn post_as(&self, path: &str, bearer: &str, body: &Value) -> Answer {
        Self::send(self.request(path, body).bearer_auth(bearer)).await
    }

    /// A POST to be changed before it is sent.
    pub(crate) fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.raw(path).header("content-type", "application/json").body(body.to_string())
    }

    /// A POST without content type and body.
    pub(crate) fn raw(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// Sends and reads everything.
    #[expect(clippy::disallowed_methods, reason = "a test is a caller of the sidecar, not a part of it")]
    pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, text, json }
    }
}

impl Answer {
    /// A header's text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A member of the body as text; empty if it is none.
    pub(crate) fn member(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    /// The access token, of an answer that must have one.
    #[track_caller]
    pub(crate) fn token(&self) -> &str {
        assert_eq!(self.status, 200, "{}", self.text);
        self.member("access_token")
    }

    /// Where the token of a success came from.
    #[track_caller]
    pub(crate) fn source(&self) -> &str {
        self.token();
        self.member("token_source")
    }

    /// The value of one sample of metrics, by its name and labels as they are written; 0 if it is not there.
    pub(crate) fn sample(&self, sample: &str) -> f64 {
        let line = self.text.lines().find_map(|line| line.strip_prefix(sample).filter(|rest| rest.starts_with(' ')));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }

    /// Checks a refusal: status, `error`, and a word of its `detail`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str, word: &str) {
        assert_eq!((self.status, self.member("error")), (status, error), "{}", self.text);
        assert!(self.member("detail").contains(word), "no {word:?} in {}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
    }
}
