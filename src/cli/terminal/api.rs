//! One request to the REST API at a time, over loopback or a Unix socket. It is spoken by hyper itself: the door that tokend has to
//! authorities knows no sockets, and has proxies, roots and traces that a client on this machine must not ask.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::args::{Reach, TokenFor};
use super::failure::{ApiProblem, CommandFailure};
use super::place::TokendPlace;
use crate::secret::Secret;

/// The header of the caller's token.
const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-tokend-token");

/// How long an answer may take: longer than tokend lets any request take by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The largest file with a caller's tokens, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;

/// A client of one running tokend.
#[derive(Clone, Debug)]
pub(super) struct ApiClient {
    place: TokendPlace,
    caller: Option<Secret>,
}

/// What came back, whatever its status.
// No `Debug`: it would show tokens.
pub(super) struct ApiReply {
    pub(super) status: StatusCode,
    /// In how many seconds to try again, where that is known.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Bytes,
}

// === impl ApiClient ===

impl ApiClient {
    /// A client as the arguments say, its caller's token read.
    pub(super) fn new(reach: &Reach) -> Result<Self, CommandFailure> {
        let caller = reach.caller_token_file.as_deref().map(|file| {
            let read = std::fs::metadata(file).and_then(|metadata| {
                if metadata.len() > LARGEST_FILE { Err(ErrorKind::FileTooLarge.into()) } else { std::fs::read_to_string(file) }
            });
            let text = read.map_err(|error| {
                let what = format!("--caller-token-file {}: {error}", file.display());
                CommandFailure::usage(&what, "name a file that you may read, with your caller's token")
            })?;
            caller_token(&text).ok_or_else(|| {
                let what = format!("--caller-token-file {} has no token", file.display());
                CommandFailure::usage(&what, "write the token on a line of its own, in visible ASCII")
            })
        });
        Ok(Self { place: reach.url.clone().unwrap_or_default(), caller: caller.transpose()? })
    }

    /// Where it asks.
    pub(super) fn place(&self) -> &TokendPlace {
        &self.place
    }

    /// Whether tokend wants to know who asks it: a path that is no route is refused then before it is looked up.
    pub(super) async fn wants_callers(&self) -> Result<bool, CommandFailure> {
        let stranger = Self { place: self.place.clone(), caller: None };
        let reply = stranger.ask(Method::GET, "/", None).await?;
        let problem = reply.problem().unwrap_or_default();
        Ok(problem.is("caller_not_authenticated") || problem.is("caller_keys_unavailable"))
    }

    /// `GET`.
    pub(super) async fn get(&self, path: &str) -> Result<ApiReply, CommandFailure> {
        self.ask(Method::GET, path, None).await
    }

    /// `POST` of a JSON body.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<ApiReply, CommandFailure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// `DELETE`.
    pub(super) async fn delete(&self, path: &str) -> Result<ApiReply, CommandFailure> {
        self.ask(Method::DELETE, path, None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<ApiReply, CommandFailure> {
        let request = self.request(method, path, body).map_err(|error| {
            CommandFailure::failed(&format!("no request can be made: {error}"), "report this as a defect of tokend")
        })?;
        let answered = tokio::time::timeout(PATIENCE, async {
            match &self.place {
                TokendPlace::Tcp { addresses, .. } => {
                    exchange(self.connect(TcpStream::connect(&**addresses).await)?, request).await
                }
                TokendPlace::Unix(path) => exchange(self.connect(UnixStream::connect(path).await)?, request).await,
            }
        });
        answered.await.unwrap_or_else(|_| {
            let what = format!("{} gives no answer within {} s", self.place, PATIENCE.as_secs());
            Err(CommandFailure::failed(&what, "see whether it is tokend that listens there, and what its log says"))
        })
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.place.authority())
            .header(USER_AGENT, concat!("tokend/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(caller) = &self.caller {
            let mut value = HeaderValue::from_str(caller.expose())?;
            value.set_sensitive(true);
            request = request.header(CALLER_TOKEN, value);
        }
        request.body(Full::from(body.map(Value::to_string).unwrap_or_default()))
    }

    fn connect<S>(&self, connected: std::io::Result<S>) -> Result<S, CommandFailure> {
        connected.map_err(|error| {
            let what = format!("{} cannot be reached: {error}", self.place);
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => "ask whoever runs tokend for the right to use its socket",
                _ => "start `tokend serve`, or say by --url or TOKEND_URL where it listens",
            };
            CommandFailure::failed(&what, remedy)
        })
    }
}

/// Sends a request over a new connection and reads the whole answer.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<ApiReply, CommandFailure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error.to_string()))?;
    let asking = async move {
        let response = sender.send_request(request).await.map_err(|error| broken(&error.to_string()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| broken(&error.to_string()))?.to_bytes();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        Ok(ApiReply { status: head.status, retry_after, body })
    };
    // The connection ends when the sender is gone; how it ends says nothing once the answer is here.
    let (reply, _ended) = tokio::join!(asking, connection);
    reply
}

fn broken(error: &str) -> CommandFailure {
    CommandFailure::failed(&format!("the connection to tokend broke: {error}"), "try again; tokend's log may say why")
}

/// The first token of a file that has them as `callers.*.token` has: one on each line, `#` begins a comment.
fn caller_token(text: &str) -> Option<Secret> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Secret::new(line))
}

// === impl ApiReply ===

impl ApiReply {
    /// The answer if it is a success, else what is said about it.
    pub(super) fn success(self) -> Result<Self, CommandFailure> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(self.failure())
    }

    /// What is said about an answer that is no success.
    pub(super) fn failure(&self) -> CommandFailure {
        match self.problem() {
            Some(problem) => CommandFailure::of_problem(self.status, &problem, self.retry_after),
            None => strange(),
        }
    }

    /// The problem that it is; none if it is nothing that tokend says.
    pub(super) fn problem(&self) -> Option<ApiProblem> {
        if self.status.is_success() {
            return None;
        }
        serde_json::from_slice(&self.body).ok()
    }

    /// What a success says.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, CommandFailure> {
        serde_json::from_slice(&self.body).map_err(|_| strange())
    }
}

fn strange() -> CommandFailure {
    CommandFailure::failed(
        "the answer is none that tokend gives",
        "say by --url or TOKEND_URL where its token listener is: not the admin listener, and no other server",
    )
}

/// The members that a request says what its token is for by.
pub(super) fn members(reach: &Reach, wanted: &TokenFor, tenant: Option<&str>, claims: Option<&str>) -> Value {
    let mut body = json!({"app": reach.app, "api": wanted.api, "tenant": tenant, "claims": claims});
    if wanted.api.is_none() {
        body["scopes"] = json!(wanted.scopes());
    }
    body
}

/// A text as one segment of a path, or as a value of a query (RFC 3986 §2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    // A segment of dots alone would be a step in the path.
    let is_step = !text.is_empty() && text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && !is_step);
        if plain { encoded.push(char::from(byte)) } else { encoded.push_str(&format!("%{byte:02X}")) }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{caller_token, encoded};

    #[test]
    fn a_callers_token_is_the_first_of_its_file() {
        let token = |text: &str| caller_token(text).map(|token| token.expose().to_owned());
        assert_eq!(token("# desk\n\n  abc-123 \nnext\n").as_deref(), Some("abc-123"));
        for bad in ["", "# only\n", "a b", "é", "a\u{7f}"] {
            assert_eq!(token(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn whatever_stands_in_an_id_stays_in_its_segment() {
        assert_eq!(encoded("9f4e-b1.8eaef023"), "9f4e-b1.8eaef023");
        assert_eq!(encoded("a/b?c#d%é ."), "a%2Fb%3Fc%23d%25%C3%A9%20.");
        assert_eq!((encoded(".."), encoded(".")), ("%2E%2E".to_owned(), "%2E".to_owned()));
    }
}
