//! All secrets of a run, all texts of it that must not have one, and the search for the ones in the others.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::Answer;

/// Every secret that was used, and every text that must not have one.
#[derive(Debug, Default)]
pub(super) struct Canaries {
    pub(super) secrets: Vec<(String, String)>,
    pub(super) texts: Vec<(String, Vec<u8>)>,
}

// === impl Canaries ===

impl Canaries {
    pub(super) fn secret(&mut self, name: &str, secret: impl Into<String>) {
        self.secrets.push((name.to_owned(), secret.into()));
    }

    pub(super) fn text(&mut self, name: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.texts.push((name.into(), text.into()));
    }

    /// Takes over an answer: the tokens of a success are secrets, a failure is a text without any.
    pub(super) fn answer(&mut self, name: &str, answer: &Answer) {
        self.text(format!("{name}: headers"), format!("{:?}", answer.headers));
        if answer.status != 200 {
            self.text(format!("{name}: body"), answer.text.clone());
        }
        for member in ["access_token", "id_token", "refresh_token", "code_verifier", "nonce", "state", "session"] {
            if let Some(token) = answer.json[member].as_str() {
                self.secret(&format!("{member} of {name}"), token);
            }
        }
    }

    /// Looks for every secret in every text, in every usual writing.
    pub(super) fn check(&self) {
        for (name, text) in &self.texts {
            for (what, secret) in &self.secrets {
                let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                // The middle of a base64 text is the same wherever it begins, but for three ways to be shifted.
                let shifted = (0..3).map(|shift| {
                    let whole = [vec![0; shift], secret.as_bytes().to_vec()].concat();
                    URL_SAFE_NO_PAD.encode(whole).chars().skip(4).take(secret.len()).collect::<String>()
                });
                let tail = secret.split('.').next_back().unwrap_or_default().to_owned();
                let mut forms = vec![secret.clone(), form.clone(), form.replace('+', "%20"), STANDARD.encode(secret), tail];
                forms.extend(shifted);
                for form in forms.iter().filter(|form| form.len() >= 16) {
                    let found = text.windows(form.len()).position(|window| window == form.as_bytes());
                    let near = found.map(|at| String::from_utf8_lossy(&text[at.saturating_sub(200)..at]).into_owned());
                    assert_eq!(near, None, "the {what} is in the {name}, behind this");
                }
            }
        }
    }
}

#[test]
fn the_search_finds_a_secret_in_every_writing() {
    let secret = "q~8 +canary/0123=456789";
    let encoded = STANDARD.encode(format!("shop:{secret}"));
    for text in [format!("x {secret} y"), "q%7E8+%2Bcanary%2F0123%3D456789".to_owned(), STANDARD.encode(secret), encoded] {
        let mut all = Canaries::default();
        all.secret("secret", secret);
        all.text("text", format!("before {text} after"));
        assert!(std::panic::catch_unwind(|| all.check()).is_err(), "{text}");
    }
}
