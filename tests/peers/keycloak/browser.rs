//! The little of a browser that Keycloak's login page needs.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Url};

use super::{execute, must};

/// Follows redirects inside Keycloak and keeps its cookies.
pub(super) struct Browser<'a> {
    http: &'a Client,
    cookies: BTreeMap<String, String>,
    /// Keycloak's address, with the slash at its end.
    home: String,
}

/// Where a browser came to rest.
pub(super) enum Page {
    /// A page of Keycloak.
    Html(String),
    /// The browser was sent away from Keycloak, to this address.
    Elsewhere(String),
}

// === impl Browser ===

impl<'a> Browser<'a> {
    /// A browser without cookies.
    pub(super) fn new(http: &'a Client, base: &str) -> Self {
        Self { http, cookies: BTreeMap::new(), home: format!("{base}/") }
    }

    /// Opens an address, or sends it a form, and follows until the last redirect.
    pub(super) async fn open(&mut self, url: &str, mut form: Option<String>) -> Page {
        let mut url = must("an address", Url::parse(url));
        for _ in 0..20 {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let request = match form.take() {
                Some(form) => self.http.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form),
                None => self.http.get(url.clone()),
            };
            let answer = must("a page", execute(self.http, request.header(COOKIE, cookies.join("; "))).await);
            self.keep_cookies(&answer);
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location else {
                return Page::Html(must("a page's text", answer.text().await));
            };
            url = must("a redirect", url.join(location));
            if !url.as_str().starts_with(&self.home) {
                return Page::Elsewhere(url.into());
            }
        }
        panic!("redirected in circles, last to {url}");
    }

    fn keep_cookies(&mut self, answer: &reqwest::Response) {
        for line in answer.headers().get_all(SET_COOKIE) {
            let pair = line.to_str().ok().and_then(|line| line.split(';').next()?.split_once('='));
            match pair {
                // An empty value is how Keycloak deletes one.
                Some((name, "")) => drop(self.cookies.remove(name)),
                Some((name, value)) => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
                None => {}
            }
        }
    }
}

/// The address that the form with this id is sent to.
pub(super) fn form_action(page: &str, id: &str) -> Option<String> {
    action(page, &format!("id=\"{id}\""))
}

/// The address that the form is sent to by which a user lets a client in; it has no id.
pub(super) fn consent_action(page: &str) -> Option<String> {
    action(page, "/login-actions/consent?")
}

fn action(page: &str, marker: &str) -> Option<String> {
    let form = page.split("<form").skip(1).find(|form| form.split('>').next().is_some_and(|tag| tag.contains(marker)))?;
    let action = form.split_once("action=\"")?.1.split('"').next()?;
    Some(action.replace("&amp;", "&"))
}
