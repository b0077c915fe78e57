//! A device authorization endpoint's answer, as real servers send it (RFC 8628 §3.2).

use serde::{Deserialize, Deserializer};

use super::members::members;
use crate::secret::Secret;

/// RFC 8628 §3.2, and Entra's `message`. What is missing or has another shape is for whoever needs it to say.
#[derive(Debug)]
pub struct DeviceResponse {
    /// What the device polls with.
    pub device_code: Option<Secret>,
    /// What the user enters.
    pub user_code: Option<Secret>,
    /// Where the user enters it. `verification_url` is what drafts of the RFC called it, and some servers do still.
    pub verification_uri: Option<String>,
    /// The page with the code in it.
    pub verification_uri_complete: Option<Secret>,
    /// Seconds until both codes end.
    pub expires_in: Option<i64>,
    /// Seconds between two polls.
    pub interval: Option<i64>,
    /// Entra: what the user may be told.
    pub message: Option<Secret>,
}

// === impl DeviceResponse ===

impl<'de> Deserialize<'de> for DeviceResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 8] = [
            "device_code",
            "user_code",
            "verification_uri",
            "verification_url",
            "verification_uri_complete",
            "expires_in",
            "interval",
            "message",
        ];
        let [device_code, user_code, uri, url, complete, expires_in, interval, message] = members(deserializer, NAMES)?;
        Ok(Self {
            device_code: device_code.secret(),
            user_code: user_code.secret(),
            verification_uri: uri.text().or_else(|| url.text()),
            verification_uri_complete: complete.secret(),
            expires_in: expires_in.seconds(),
            interval: interval.seconds(),
            message: message.secret(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceResponse;

    #[test]
    fn members_come_in_every_shape_and_nothing_is_shown() {
        let text = r#"{"device_code":"canary","user_code":"canary","verification_url":"https://a","expires_in":"900",
            "interval":5.5,"verification_uri_complete":"https://a/canary","message":"canary","new":[]}"#;
        let read: DeviceResponse = serde_json::from_str(text).unwrap();
        assert_eq!((read.expires_in, read.interval, read.verification_uri.as_deref()), (Some(900), Some(5), Some("https://a")));
        assert!(!format!("{read:?}").contains("canary"), "{read:?}");
        let odd: DeviceResponse =
            serde_json::from_str(r#"{"device_code":7,"user_code":null,"verification_uri":"","expires_in":"soon"}"#).unwrap();
        assert!(odd.device_code.is_none() && odd.user_code.is_none() && odd.verification_uri.is_none());
        assert_eq!((odd.expires_in, odd.interval), (None, None));
    }
}
