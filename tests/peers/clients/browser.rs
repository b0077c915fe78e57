//! What a user does who is told to sign in or to approve a device, on the emulator's own pages.

use reqwest::header::{CONTENT_TYPE, LOCATION};
use url::form_urlencoded::Serializer;

use crate::support::{Client, Emulator};

const FORM: &str = "application/x-www-form-urlencoded";

/// One user at the emulator.
pub(crate) struct Browser<'a> {
    emulator: &'a Emulator,
    user: &'static str,
}

/// Where the browser is sent: to an address, or to one with a form (`response_mode=form_post`).
pub(crate) struct Back {
    to: url::Url,
    form: Vec<(String, String)>,
}

// === impl Browser ===

impl<'a> Browser<'a> {
    pub(crate) fn new(emulator: &'a Emulator, user: &'static str) -> Self {
        Self { emulator, user }
    }

    /// Signs in on the page at this address and consents; nothing is followed.
    pub(crate) async fn sign_in(&self, url: &str) -> Back {
        let page = Client::send(self.emulator.client.http.get(url)).await;
        assert!(page.text.contains(self.user), "no page to sign in: {} {}", page.status, page.text);
        let form = Serializer::new(String::new()).append_pair("user", self.user).append_pair("consent", "yes").finish();
        let answer = Client::send(self.emulator.client.http.post(url).header(CONTENT_TYPE, FORM).body(form)).await;
        if answer.headers.contains_key(LOCATION) {
            let to = answer.header(LOCATION.as_str()).parse().expect("an address");
            return Back { to, form: Vec::new() };
        }
        let to = attribute(&answer.text, "action").unwrap_or_else(|| panic!("sent nowhere: {}", answer.text));
        let fields = answer.text.split("<input").skip(1);
        let form = fields.filter_map(|field| Some((attribute(field, "name")?, attribute(field, "value")?))).collect();
        Back { to: to.parse().expect("an address"), form }
    }

    /// Goes where the browser was sent.
    pub(crate) async fn go(&self, back: Back) {
        let http = &self.emulator.client.http;
        let request = if back.form.is_empty() {
            http.get(back.to.clone())
        } else {
            let form = Serializer::new(String::new()).extend_pairs(&back.form).finish();
            http.post(back.to.clone()).header(CONTENT_TYPE, FORM).body(form)
        };
        let answer = Client::send(request).await;
        assert!(answer.status < 400, "{}: {} {}", back.to, answer.status, answer.text);
    }

    /// Types a device's code and approves.
    pub(crate) async fn approve(&self, user_code: &str) {
        let form = Serializer::new(String::new()).append_pair("user_code", user_code).append_pair("user", self.user).finish();
        let tenant = self.emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
        let url = format!("{}/{tenant}/deviceapprove", self.emulator.origin);
        let answer = Client::send(self.emulator.client.http.post(url).header(CONTENT_TYPE, FORM).body(form)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

// === impl Back ===

impl Back {
    /// The address, for a program that is handed it.
    pub(crate) fn url(&self) -> String {
        let mut url = self.to.clone();
        if !self.form.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.form);
        }
        url.into()
    }
}

/// The value of an attribute, of the first tag that has one of this name.
fn attribute(page: &str, name: &str) -> Option<String> {
    let value = page.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(value.to_owned(), |text, (written, meant)| text.replace(written, meant)))
}
