//! What a request to the address that the authority sends the browser to is worth: a pure judgement of its head.
//!
//! Whoever runs on this machine, and each page that its user visits, can send requests there. What they cannot know is `state`. So
//! nothing but an answer with the right one ends the wait, and all else is turned away without a trace.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::secret::Secret;

/// The longest value that is taken, in bytes: a code goes into a request whose members have bounds.
const LONGEST: usize = 8 * 1024;

/// What a browser is expected to bring, and where.
#[derive(Debug)]
pub(super) struct CallbackRules {
    /// What `Host` has to say.
    pub(super) host: String,
    /// The only path.
    pub(super) path: String,
    pub(super) state: Secret,
}

/// What the authority says by way of the browser.
#[derive(Debug)]
pub(super) enum AuthorityWord {
    /// Somebody signed in.
    Code {
        /// The authorization code.
        code: Secret,
        /// Who says so (RFC 9207).
        iss: Option<String>,
    },
    /// Nobody did.
    Refusal {
        /// RFC 6749 §4.1.2.1.
        error: String,
        /// In the authority's words.
        description: Option<String>,
    },
}

/// A request that is turned away: its status, and what its page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TurnedAway(pub(super) StatusCode, pub(super) &'static str);

// === impl CallbackRules ===

impl CallbackRules {
    /// Whether a request is a browser's that looks at this address and at no other.
    pub(super) fn admits(&self, head: &Parts) -> Result<(), TurnedAway> {
        let mut hosts = head.headers.get_all(HOST).iter();
        let is_ours = hosts.next().is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(self.host.as_bytes()));
        // A page whose name was made to point here by its DNS names that host; a proxy's request names one in its target.
        if !is_ours || hosts.next().is_some() || head.uri.authority().is_some() {
            return Err(TurnedAway(StatusCode::FORBIDDEN, "This address is not the one that was asked for."));
        }
        Ok(())
    }

    /// What the authority says, if it says it.
    pub(super) fn judge(&self, head: &Parts) -> Result<AuthorityWord, TurnedAway> {
        if head.uri.path() != self.path {
            return Err(TurnedAway(StatusCode::NOT_FOUND, "There is nothing here."));
        }
        if head.method != Method::GET {
            return Err(TurnedAway(StatusCode::METHOD_NOT_ALLOWED, "Only a browser that was sent here is answered."));
        }
        if !is_visit(head) {
            return Err(TurnedAway(StatusCode::FORBIDDEN, "Only a browser that was sent here is answered."));
        }
        let query = Answered::read(head.uri.query().unwrap_or_default())?;
        let state = query.state.as_deref().unwrap_or_default();
        if verify_slices_are_equal(state.as_bytes(), self.state.expose().as_bytes()).is_err() {
            return Err(TurnedAway(StatusCode::BAD_REQUEST, "This answer is of another sign-in, or of none."));
        }
        match (query.code, query.error) {
            (Some(code), None) => Ok(AuthorityWord::Code { code: Secret::new(code), iss: query.iss }),
            (None, Some(error)) => Ok(AuthorityWord::Refusal { error, description: query.description }),
            _ => Err(MALFORMED),
        }
    }
}

const MALFORMED: TurnedAway = TurnedAway(StatusCode::BAD_REQUEST, "This is no answer of a sign-in.");

/// Whether a browser says that it goes to the page itself. A page of another site that has it fetched, framed, or loaded ahead of
/// time shows by these headers, which it cannot change; a browser without them says nothing.
pub(super) fn is_visit(head: &Parts) -> bool {
    let headers = &head.headers;
    let says =
        |name: &str, word: &str| headers.get(name).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(word.as_bytes()));
    let ahead = headers.contains_key("sec-purpose") || headers.contains_key("purpose");
    head.method == Method::GET
        && !ahead
        && !headers.contains_key(ORIGIN)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

/// The parameters of an answer; each at most once.
#[derive(Default)]
struct Answered {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    description: Option<String>,
}

// === impl Answered ===

impl Answered {
    fn read(query: &str) -> Result<Self, TurnedAway> {
        let mut read = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut read.state,
                "code" => &mut read.code,
                "iss" => &mut read.iss,
                "error" => &mut read.error,
                "error_description" => &mut read.description,
                _ => continue,
            };
            if value.is_empty() || value.len() > LONGEST || place.replace(value.into_owned()).is_some() {
                return Err(MALFORMED);
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::{AuthorityWord, CallbackRules, TurnedAway};
    use crate::secret::Secret;

    fn rules() -> CallbackRules {
        CallbackRules { host: "localhost:5".to_owned(), path: "/callback".to_owned(), state: Secret::new("s1") }
    }

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn judge(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<AuthorityWord, TurnedAway> {
        let head = head(method, target, headers);
        rules().admits(&head).and_then(|()| rules().judge(&head))
    }

    const HOST: (&str, &str) = ("host", "localhost:5");

    #[test]
    fn a_code_with_the_right_state_is_taken() {
        let word = judge("GET", "/callback?code=c%2B1&state=s1&session_state=x&iss=https%3A%2F%2Fid", &[HOST]).unwrap();
        let AuthorityWord::Code { code, iss } = word else { panic!("a code") };
        assert_eq!((code.expose(), iss.as_deref()), ("c+1", Some("https://id")));
        let visit = [HOST, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "cross-site")];
        assert!(judge("GET", "/callback?code=c&state=s1", &visit).is_ok());
        assert!(judge("GET", "/callback?code=c&state=s1", &[("host", "LOCALHOST:5")]).is_ok());
    }

    #[test]
    fn a_refusal_with_the_right_state_is_taken() {
        let word = judge("GET", "/callback?error=access_denied&error_description=no&state=s1", &[HOST]).unwrap();
        let AuthorityWord::Refusal { error, description } = word else { panic!("a refusal") };
        assert_eq!((&*error, description.as_deref()), ("access_denied", Some("no")));
    }

    #[test]
    fn all_else_is_turned_away() {
        let good = "/callback?code=c&state=s1";
        for (status, method, target, headers) in [
            (400, "GET", "/callback", &[HOST][..]),
            (400, "GET", "/callback?code=c", &[HOST]),
            (400, "GET", "/callback?code=c&state=", &[HOST]),
            (400, "GET", "/callback?code=c&state=s2", &[HOST]),
            (400, "GET", "/callback?code=c&state=s11", &[HOST]),
            (400, "GET", "/callback?code=c&state=s1&state=s1", &[HOST]),
            (400, "GET", "/callback?code=c&code=d&state=s1", &[HOST]),
            (400, "GET", "/callback?code=&state=s1", &[HOST]),
            (400, "GET", "/callback?state=s1", &[HOST]),
            (400, "GET", "/callback?code=c&error=e&state=s1", &[HOST]),
            (404, "GET", "/?code=c&state=s1", &[HOST]),
            (404, "GET", "/callback/?code=c&state=s1", &[HOST]),
            (404, "POST", "/favicon.ico", &[HOST]),
            (405, "POST", good, &[HOST]),
            (405, "HEAD", good, &[HOST]),
            (403, "GET", good, &[]),
            (403, "GET", good, &[("host", "evil.example:5")]),
            (403, "GET", good, &[("host", "localhost")]),
            (403, "GET", good, &[("host", "127.0.0.1:5")]),
            (403, "GET", good, &[HOST, HOST]),
            (403, "GET", "http://localhost:5/callback?code=c&state=s1", &[HOST]),
            (403, "GET", good, &[HOST, ("origin", "https://evil.example")]),
            (403, "GET", good, &[HOST, ("sec-fetch-mode", "no-cors")]),
            (403, "GET", good, &[HOST, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]),
            (403, "GET", good, &[HOST, ("sec-purpose", "prefetch")]),
        ] {
            let away = judge(method, target, headers).map(|_| ()).unwrap_err();
            assert_eq!(away.0.as_u16(), status, "{method} {target} {headers:?}");
        }
        let long = format!("/callback?state=s1&code={}", "c".repeat(8 * 1024 + 1));
        assert_eq!(judge("GET", &long, &[HOST]).map(|_| ()).unwrap_err().0.as_u16(), 400);
    }
}
