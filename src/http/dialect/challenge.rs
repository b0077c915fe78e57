//! `WWW-Authenticate` of every 401, and of a 403 for want of a scope (RFC 6750 §3), in a form that an API can forward to its own
//! client as it stands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::flow::{Refusal, RefusalKind};

/// The longest challenge, in bytes: many servers and proxies take no more than 4 or 8 KiB of header in all. What is left out of it
/// stands in the body.
const LONGEST: usize = 3 * 1024;

/// The challenge for a refusal that is the user's turn, or that a scope mends.
pub(super) fn challenge(refusal: &Refusal) -> HeaderValue {
    const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
    const URI: &str = ", authorization_uri=\"";
    let claims = refusal.answer.as_ref().and_then(|answer| answer.claims.as_deref());
    let mut text = match (refusal.kind, claims) {
        // Without a token there is nothing to say an error about (RFC 6750 §3.1).
        (RefusalKind::TokenMissing, _) => return BEARER,
        (RefusalKind::InvalidToken, _) => "Bearer error=\"invalid_token\"".to_owned(),
        (RefusalKind::InsufficientScope, _) => "Bearer error=\"insufficient_scope\"".to_owned(),
        (_, Some(claims)) => {
            let text = format!("Bearer error=\"insufficient_claims\", claims=\"{}\"", STANDARD.encode(claims));
            if text.len() <= LONGEST { text } else { "Bearer error=\"insufficient_claims\"".to_owned() }
        }
        (_, None) => "Bearer error=\"interaction_required\"".to_owned(),
    };
    if let Some(uri) = refusal.authorization_uri.as_deref().filter(|uri| claims.is_some() && is_quotable(uri))
        && text.len() + uri.len() + URI.len() < LONGEST
    {
        text.push_str(URI);
        text.push_str(uri);
        text.push('"');
    }
    HeaderValue::try_from(text).unwrap_or(BEARER)
}

/// Whether a text stands in a quoted string as it is (RFC 9110 §5.6.4). A URI always does; what does not is left out, not repaired.
fn is_quotable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::challenge;
    use crate::flow::{Refusal, RefusalKind};
    use crate::oauth::ErrorBody;
    use crate::token::Turn;

    fn refusal(kind: RefusalKind, claims: Option<&str>, uri: Option<&str>) -> Refusal {
        let mut refusal = Refusal::new(Turn::User, kind, "detail");
        refusal.answer =
            Some(Box::new(ErrorBody { error: "e".to_owned(), claims: claims.map(str::to_owned), ..ErrorBody::default() }));
        refusal.authorization_uri = uri.map(str::to_owned);
        refusal
    }

    #[test]
    fn says_what_the_contract_says() {
        let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
        let uri = "https://login.example/t/oauth2/v2.0/authorize";
        for (refusal, want) in [
            (refusal(RefusalKind::TokenMissing, None, None), "Bearer".to_owned()),
            (refusal(RefusalKind::InvalidToken, None, None), "Bearer error=\"invalid_token\"".to_owned()),
            (refusal(RefusalKind::InsufficientScope, None, None), "Bearer error=\"insufficient_scope\"".to_owned()),
            (refusal(RefusalKind::NoTokensFound, None, None), "Bearer error=\"interaction_required\"".to_owned()),
            (refusal(RefusalKind::Refused, None, Some(uri)), "Bearer error=\"interaction_required\"".to_owned()),
            (
                refusal(RefusalKind::Refused, Some(claims), Some(uri)),
                format!(
                    "Bearer error=\"insufficient_claims\", claims=\"{}\", authorization_uri=\"{uri}\"",
                    "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"
                ),
            ),
        ] {
            assert_eq!(challenge(&refusal).to_str().unwrap(), want);
        }
    }

    #[test]
    fn what_is_too_long_for_a_header_is_left_to_the_body() {
        let uri = "https://login.example/t/oauth2/v2.0/authorize";
        for (length, has_claims, has_uri) in
            [(10, true, true), (2150, true, true), (2230, true, false), (2350, false, true), (8000, false, true)]
        {
            let text = challenge(&refusal(RefusalKind::Refused, Some(&"c".repeat(length)), Some(uri)));
            let text = text.to_str().unwrap();
            assert!(text.starts_with("Bearer error=\"insufficient_claims\"") && text.len() <= 3 * 1024, "{length}: {}", text.len());
            assert_eq!((text.contains("claims=\"Y2"), text.contains(uri)), (has_claims, has_uri), "{length}: {}", text.len());
        }
        let text = challenge(&refusal(RefusalKind::Refused, Some("{}"), Some(&format!("https://{}", "a".repeat(4000)))));
        assert!(!text.to_str().unwrap().contains("authorization_uri"));
    }

    #[test]
    fn nothing_breaks_out_of_the_quotes() {
        for uri in ["https://a/\", error=\"x", "https://a/\\", "https://a/\r\nset-cookie: x", "https://a/ b", "https://é/"] {
            let text = challenge(&refusal(RefusalKind::Refused, Some("{\"a\r\n\":\"\\\"é\"}"), Some(uri)));
            assert!(!text.to_str().unwrap().contains("authorization_uri"), "{uri}");
            assert_eq!(text.to_str().unwrap().matches('"').count(), 4);
        }
    }
}
