//! What every authorize endpoint has: the request, who signs in, and the way back with a code or a refusal.

use hyper::Method;
use url::Url;

use crate::{
    answer::Answer,
    call::Call,
    fault::Fault,
    issued::{Challenge, Code, Person, Session},
    jose, page,
    world::World,
};

/// Seconds that a code waits for its redemption.
const LIFETIME: i64 = 600;
/// The members of the page's own form, which are no part of the request.
const ANSWERS: [&str; 3] = ["user", "consent", "cancel"];

/// An authorization request together with what the page's form answered.
pub(crate) struct Wish<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call,
    fields: Vec<(String, String)>,
    /// What an answer with a code has beside it.
    pub(crate) more: Vec<(String, String)>,
    /// Who answers (RFC 9207), where the authority says so.
    issuer: Option<String>,
}

// === impl Wish ===

impl<'a> Wish<'a> {
    pub(crate) fn new(world: &'a World, call: &'a Call, issuer: Option<String>) -> Self {
        Self { world, call, fields: call.query_or_form(), more: Vec::new(), issuer }
    }

    /// This with the fields of a request that came before the browser did.
    pub(crate) fn with(self, fields: Vec<(String, String)>) -> Self {
        Self { fields, ..self }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    /// Whether the redirect URI is one of those that are registered, as the authority compares them.
    pub(crate) fn may_go_to(&self, registered: &[String], is: impl Fn(&str, &str) -> bool) -> bool {
        self.get("redirect_uri").is_some_and(|uri| registered.iter().any(|one| is(one, uri)) && Url::parse(uri).is_ok())
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.get("prompt") == Some("none")
    }

    /// Who signs in: whom the page's form named, or at `prompt=none` whom the hint means.
    pub(crate) fn user(&self) -> Option<&str> {
        if self.call.method == Method::POST && self.get("user").is_some() {
            return self.get("user");
        }
        if self.is_silent() { self.get("login_hint") } else { None }
    }

    /// The request alone, for the page to send it back.
    pub(crate) fn request(&self) -> Vec<(String, String)> {
        // A browser posts to the same address, query included: what stands there must not come twice.
        let in_query = |name: &str| url::form_urlencoded::parse(self.call.query.as_bytes()).any(|(key, _)| key == name);
        let fields = self.fields.iter().filter(|(name, _)| !ANSWERS.contains(&name.as_str()) && !in_query(name));
        fields.cloned().collect()
    }

    pub(crate) fn issue(&self, client_id: &str, place: String, person: Person) -> Answer {
        let owned = |name: &str| self.get(name).map(str::to_owned);
        let challenge =
            owned("code_challenge").map(|value| Challenge { value, hashed: self.get("code_challenge_method") == Some("S256") });
        let session = Session {
            client_id: client_id.to_owned(),
            place,
            person,
            scope: owned("scope").unwrap_or_default(),
            nonce: owned("nonce"),
            sid: jose::random(),
            ..Session::default()
        };
        let now = self.world.now();
        let code = Code {
            session,
            redirect_uri: owned("redirect_uri").unwrap_or_default(),
            challenge,
            expires: now + LIFETIME,
            used: false,
        };
        let code = self.world.issued().add_code(code, now);
        let answer = vec![("code".to_owned(), code), ("session_state".to_owned(), jose::random())];
        self.respond(answer.into_iter().chain(self.more.clone()).collect())
    }

    pub(crate) fn refuse(&self, fault: &Fault) -> Answer {
        let mut fields = vec![("error".to_owned(), fault.error.clone())];
        fields.push(("error_description".to_owned(), fault.description(self.world, self.call)));
        for (name, value) in [("error_subcode", &fault.suberror), ("claims", &fault.claims)] {
            fields.extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        self.respond(fields)
    }

    fn respond(&self, mut fields: Vec<(String, String)>) -> Answer {
        fields.extend(self.get("state").map(|state| ("state".to_owned(), state.to_owned())));
        fields.extend(self.issuer.clone().map(|issuer| ("iss".to_owned(), issuer)));
        let to = self.get("redirect_uri").unwrap_or_default();
        let mode = self.get("response_mode").unwrap_or("query");
        if mode == "form_post" {
            return page::form_post(to, &fields);
        }
        let Ok(mut url) = Url::parse(to) else { return page::problem("The redirect_uri is no URL.") };
        if mode == "fragment" {
            let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            url.set_fragment(Some(&encoded));
        } else {
            url.query_pairs_mut().extend_pairs(&fields);
        }
        Answer::redirect(url.as_str()).no_store()
    }
}
