//! What a device authorization endpoint answers (RFC 8628 §3.2), held to what people and devices can use: it goes on to a screen.

use url::Url;

use super::answer::AuthorityError;
use crate::oauth::DeviceResponse;
use crate::secret::Secret;

/// How long an authority's device code may be, in bytes: it travels inside ours.
pub const LONGEST_DEVICE_CODE: usize = 2048;
/// How long a user code may be, in bytes: a person types it.
const LONGEST_USER_CODE: usize = 64;
/// How long a URL or a message may be, in bytes.
const LONGEST_TEXT: usize = 2048;
/// For how many seconds a device may wait for its user.
const LONGEST_WAIT: i64 = 24 * 3600;
/// Seconds between two polls where nothing is said (RFC 8628 §3.2), or nothing that makes sense; and the most that is believed.
const USUAL_INTERVAL: u32 = 5;
const LONGEST_INTERVAL: u32 = 300;

/// A device that begins to wait for its user.
pub struct BegunDevice {
    /// What is polled with.
    pub device_code: Secret,
    /// What the user enters.
    pub user_code: String,
    /// Where the user enters it.
    pub verification_uri: String,
    /// The page with the code in it.
    pub verification_uri_complete: Option<String>,
    /// In how many seconds both codes end.
    pub expires_in: i64,
    /// How many seconds there have to be between two polls.
    pub interval: u32,
    /// What the authority would tell the user.
    pub message: Option<String>,
}

// === impl BegunDevice ===

impl BegunDevice {
    /// Reads an answer.
    ///
    /// # Errors
    /// It has not what a device needs.
    pub fn read(body: &[u8]) -> Result<Self, AuthorityError> {
        let invalid = AuthorityError::Invalid;
        let response: DeviceResponse = serde_json::from_slice(body).map_err(|_| invalid("the answer is no JSON object"))?;
        let device_code = response.device_code.ok_or(invalid("the answer has no device_code"))?;
        if device_code.expose().len() > LONGEST_DEVICE_CODE {
            return Err(invalid("its device_code is longer than 2048 bytes"));
        }
        let user_code = response.user_code.ok_or(invalid("the answer has no user_code"))?;
        let user_code = one_line(user_code.expose(), LONGEST_USER_CODE)
            .filter(|code| code.bytes().all(|byte| matches!(byte, b' '..=b'~')))
            .ok_or(invalid("its user_code is longer than 64 bytes, or has characters that not every keyboard has"))?;
        let verification_uri = response.verification_uri.ok_or(invalid("the answer has no verification_uri"))?;
        let verification_uri = page(&verification_uri).ok_or(invalid("its verification_uri is no plain http or https URL"))?;
        let expires_in = response.expires_in.filter(|seconds| *seconds > 0);
        let expires_in = expires_in.ok_or(invalid("the answer has no expires_in that is a number above 0"))?.min(LONGEST_WAIT);
        let interval = response.interval.filter(|seconds| *seconds > 0);
        let interval = interval.map_or(USUAL_INTERVAL, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        Ok(Self {
            device_code,
            user_code,
            verification_uri,
            // Without it the user types the code.
            verification_uri_complete: response.verification_uri_complete.and_then(|uri| page(uri.expose())),
            expires_in,
            interval: interval.min(LONGEST_INTERVAL),
            message: response.message.and_then(|message| one_line(message.expose(), LONGEST_TEXT)),
        })
    }
}

/// A text that can be shown on one line.
fn one_line(text: &str, longest: usize) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A page that a browser can be sent to.
fn page(text: &str) -> Option<String> {
    let text = one_line(text, LONGEST_TEXT)?;
    // What looks like another host on a screen would send the user there.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let url = Url::parse(&text).ok().filter(|url| url.username().is_empty() && url.password().is_none())?;
    (is_plain && matches!(url.scheme(), "https" | "http") && url.has_host()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{AuthorityError, BegunDevice, LONGEST_DEVICE_CODE};

    fn read(changed: &[(&str, Value)]) -> Result<BegunDevice, AuthorityError> {
        let mut body = json!({
            "device_code": "code", "user_code": "ABC-DEF", "verification_uri": "https://id.example/device", "expires_in": 900,
            "interval": 5, "message": "Open it.", "verification_uri_complete": "https://id.example/device?user_code=ABC-DEF"
        });
        for (name, value) in changed {
            body[name] = value.clone();
        }
        BegunDevice::read(body.to_string().as_bytes())
    }

    #[test]
    fn what_a_device_cannot_do_without_is_asked_for() {
        let long = "x".repeat(LONGEST_DEVICE_CODE + 1);
        for (name, value, word) in [
            ("device_code", Value::Null, "no device_code"),
            ("device_code", json!(long), "longer than 2048"),
            ("user_code", Value::Null, "no user_code"),
            ("user_code", json!("ABC\u{1b}[2J"), "not every keyboard"),
            ("user_code", json!("A\nB"), "not every keyboard"),
            ("user_code", json!("A\u{202e}B"), "not every keyboard"),
            ("user_code", json!("x".repeat(65)), "longer than 64"),
            ("verification_uri", Value::Null, "no verification_uri"),
            ("verification_uri", json!("javascript:alert(1)"), "no plain http or https URL"),
            ("verification_uri", json!("https://id.example@evil.example/"), "no plain http or https URL"),
            ("verification_uri", json!("https://id.example/\u{202e}"), "no plain http or https URL"),
            ("verification_uri", json!("/device"), "no plain http or https URL"),
            ("verification_uri", json!("https://id.example/\u{7}"), "no plain http or https URL"),
            ("expires_in", Value::Null, "expires_in"),
            ("expires_in", json!(0), "expires_in"),
            ("expires_in", json!(-900), "expires_in"),
            ("expires_in", json!("soon"), "expires_in"),
        ] {
            let why = read(&[(name, value)]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(why.contains(word), "{name}: {why}");
        }
        assert!(matches!(BegunDevice::read(b"<html>"), Err(AuthorityError::Invalid(_))));
    }

    #[test]
    fn what_is_absurd_or_not_needed_is_not_believed() {
        let interval = |value: Value| read(&[("interval", value)]).map(|begun| begun.interval).unwrap_or_default();
        for (value, expected) in [
            (Value::Null, 5),
            (json!(0), 5),
            (json!(-1), 5),
            (json!("7"), 7),
            (json!(1), 1),
            (json!(1_000_000_000_000_i64), 300),
            (json!([]), 5),
        ] {
            assert_eq!(interval(value.clone()), expected, "{value}");
        }
        assert_eq!(read(&[("expires_in", json!(i64::MAX))]).map(|begun| begun.expires_in).ok(), Some(24 * 3600));
        let odd = read(&[("verification_uri_complete", json!("data:text/html,x")), ("message", json!("a\u{1b}[31m"))]);
        assert!(odd.is_ok_and(|begun| begun.verification_uri_complete.is_none() && begun.message.is_none()));
        let plain = read(&[("verification_uri", json!(null)), ("verification_url", json!("http://127.0.0.1:1/device"))]);
        assert_eq!(plain.map(|begun| begun.verification_uri).ok().as_deref(), Some("http://127.0.0.1:1/device"));
    }
}
