//! The body of a token answer: its written first part, and the members that differ from request to request, put behind it by hand.

use std::borrow::Cow;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::flow::Answer;
use crate::secret::Secret;

/// Room for the digits of any `i64`.
pub(super) const DIGITS: usize = 20;

/// Writes the body into one buffer of exactly its size, so that the token is copied once and nothing grows.
pub(super) fn body(answer: &Answer, correlation_id: Uuid, now: i64) -> Vec<u8> {
    let mut digits = [0; DIGITS];
    let expires_in = match answer.head.expires_on {
        Some(expires_on) => decimal(expires_on.saturating_sub(now).max(0).unsigned_abs(), &mut digits),
        None => b"null",
    };
    // The closed sets need no escaping.
    let level: [&[u8]; 3] = match answer.source.level() {
        Some(level) => [b"\"", level.as_bytes(), b"\""],
        None => [b"null", b"", b""],
    };
    let mut id = [0; Hyphenated::LENGTH];
    let id = correlation_id.as_hyphenated().encode_lower(&mut id);
    let [quote, level, unquote] = level;
    let parts: [&[u8]; 13] = [
        &answer.head.text,
        b",\"expires_in\":",
        expires_in,
        b",\"token_source\":\"",
        answer.source.as_str().as_bytes(),
        b"\",\"cache_level\":",
        quote,
        level,
        unquote,
        b",\"refresh_reason\":\"",
        answer.reason.as_str().as_bytes(),
        b"\",\"correlation_id\":\"",
        id.as_bytes(),
    ];
    // Few answers have one; a caller's own key may need escapes.
    let end = answer.session.as_deref().map_or_else(
        || Cow::Borrowed("\"}"),
        |session| {
            let key = serde_json::to_string(&session.0.as_ref().map(Secret::expose)).unwrap_or_else(|_| "null".to_owned());
            Cow::Owned(format!("\",\"session\":{key}}}"))
        },
    );
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + end.len());
    for part in parts {
        body.extend_from_slice(part);
    }
    body.extend_from_slice(end.as_bytes());
    body
}

/// The decimal digits of a number, at the end of `buffer`.
pub(super) fn decimal(mut number: u64, buffer: &mut [u8; DIGITS]) -> &[u8] {
    let mut start = buffer.len();
    for (index, place) in buffer.iter_mut().enumerate().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        start = index;
        if number == 0 {
            break;
        }
    }
    buffer.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{body, decimal};
    use crate::flow::{Answer, AnswerSession, RefreshReason, TokenSource};
    use crate::secret::Secret;
    use crate::token::{IssuedToken, Times};

    fn answer(source: TokenSource, expires_on: Option<i64>) -> Answer {
        let grant = IssuedToken {
            access_token: Secret::new("eyJ.a.b"),
            token_type: "Bearer".to_owned(),
            scope: "a".to_owned(),
            times: Times { received_on: 0, expires_on, ext_expires_on: None, refresh_on: None },
            tenant_id: None,
            account: None,
            id_token: None,
            issued_token_type: None,
        };
        Answer { head: grant.write(), source, reason: RefreshReason::NotApplicable, handle: None, session: None }
    }

    #[test]
    fn writes_one_object_of_exactly_its_size() {
        let body = body(&answer(TokenSource::Memory, Some(4600)), Uuid::nil(), 1001);
        assert_eq!(body.capacity(), body.len());
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            value,
            json!({
                "access_token": "eyJ.a.b", "token_type": "Bearer", "scope": "a", "expires_on": 4600, "expires_in": 3599,
                "token_source": "cache", "cache_level": "memory", "refresh_reason": "not_applicable",
                "correlation_id": "00000000-0000-0000-0000-000000000000"
            })
        );
    }

    #[test]
    fn says_null_where_nothing_is_known() {
        let value: Value = serde_json::from_slice(&body(&answer(TokenSource::IdentityProvider, None), Uuid::nil(), 0)).unwrap();
        assert_eq!((&value["expires_in"], &value["cache_level"]), (&Value::Null, &Value::Null));
        assert_eq!(value["token_source"], "identity_provider");
        let value: Value = serde_json::from_slice(&body(&answer(TokenSource::Memory, Some(5)), Uuid::nil(), 9)).unwrap();
        assert_eq!(value["expires_in"], 0);
    }

    #[test]
    fn a_session_is_said_where_one_was_named_and_its_key_is_escaped() {
        for key in [None, Some("a-key-of-22-characters"), Some(r#"a"\key"\of"\characters""#)] {
            let session = Some(Box::new(AnswerSession(key.map(Secret::new))));
            let body = body(&Answer { session, ..answer(TokenSource::Memory, None) }, Uuid::nil(), 0);
            assert_eq!(body.capacity(), body.len());
            let value: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((value.get("session"), value["correlation_id"].is_string()), (Some(&json!(key)), true));
        }
    }

    #[test]
    fn writes_every_number() {
        for number in [0, 9, 10, 3599, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
