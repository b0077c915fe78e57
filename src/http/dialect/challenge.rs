//! `WWW-Authenticate` of every 401 (RFC 6750 §3), in a form that an API can forward to its own client as it stands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::flow::{Refusal, RefusalKind};

/// The challenge for a refusal that is the user's turn.
pub(super) fn challenge(refusal: &Refusal) -> HeaderValue {
    const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
    let claims = refusal.answer.as_ref().and_then(|answer| answer.claims.as_deref());
    let mut text = match (refusal.kind, claims) {
        // Without a token there is nothing to say an error about (RFC 6750 §3.1).
        (RefusalKind::TokenMissing, _) => return BEARER,
        (RefusalKind::InvalidToken, _) => "Bearer error=\"invalid_token\"".to_owned(),
        (_, Some(claims)) => format!("Bearer error=\"insufficient_claims\", claims=\"{}\"", STANDARD.encode(claims)),
        (_, None) => "Bearer error=\"interaction_required\"".to_owned(),
    };
    if let Some(uri) = refusal.authorization_uri.as_deref().filter(|uri| claims.is_some() && is_quotable(uri)) {
        text.push_str(", authorization_uri=\"");
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
    fn nothing_breaks_out_of_the_quotes() {
        for uri in ["https://a/\", error=\"x", "https://a/\\", "https://a/\r\nset-cookie: x", "https://a/ b", "https://é/"] {
            let text = challenge(&refusal(RefusalKind::Refused, Some("{\"a\r\n\":\"\\\"é\"}"), Some(uri)));
            assert!(!text.to_str().unwrap().contains("authorization_uri"), "{uri}");
            assert_eq!(text.to_str().unwrap().matches('"').count(), 4);
        }
    }
}
