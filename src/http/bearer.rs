//! The user's token of a request, from `Authorization` (RFC 6750 §2.1).

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::fault::{Fault, FaultKind, RequestError};
use crate::flow::{Refusal, RefusalKind};
use crate::token::Turn;

/// The bearer token. `None`: there is no `Authorization` at all, and the flow says what that means.
///
/// # Errors
/// Another scheme is a missing token (401); two headers, or what is no token, is a malformed request (400, RFC 6750 §3.1).
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, RequestError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("there are two `Authorization` headers; send the user's token once"));
    }
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        let detail = "the scheme of `Authorization` is not `Bearer`; send the user's access token as `Authorization: Bearer …`";
        return Err(RequestError::Refused(Arc::new(Refusal::new(Turn::User, RefusalKind::TokenMissing, detail))));
    }
    let token = token.trim_ascii();
    let text = if is_token(token) { std::str::from_utf8(token).ok() } else { None };
    text.map(Some).ok_or_else(|| {
        malformed("what follows `Bearer` is no token (RFC 6750 §2.1); send the user's access token as it was received")
    })
}

/// As [`bearer`], where it is not known yet whether the user's token is needed: what is wrong is kept beside it, as a token that is
/// not accepted.
pub(super) fn bearer_if_needed(headers: &HeaderMap) -> (Option<&str>, Option<Arc<Refusal>>) {
    match bearer(headers) {
        Ok(token) => (token, None),
        Err(RequestError::Refused(refusal)) => (None, Some(refusal)),
        Err(RequestError::Fault(fault)) => {
            let refusal = Refusal::new(Turn::User, RefusalKind::InvalidToken, fault.detail.into_owned());
            (None, Some(Arc::new(refusal)))
        }
    }
}

/// RFC 6750 §2.1 `b64token`. Every byte is looked at, also behind a wrong one, so that the compiler can look at many at a time.
fn is_token(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = text.get(..text.len() - padding).unwrap_or_default();
    let fits = |byte: u8| {
        (byte.wrapping_sub(b'0') < 10)
            | ((byte | 0x20).wrapping_sub(b'a') < 26)
            | (byte == b'-')
            | (byte == b'.')
            | (byte == b'_')
            | (byte == b'~')
            | (byte == b'+')
            | (byte == b'/')
    };
    !body.is_empty() && body.iter().fold(true, |all, byte| all & fits(*byte))
}

fn malformed(detail: &'static str) -> RequestError {
    RequestError::Fault(Fault::new(FaultKind::InvalidRequest, detail))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::super::fault::RequestError;
    use super::bearer;

    fn read(values: &[&str]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("authorization", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned)).map_err(|problem| match problem {
            RequestError::Refused(_) => 401,
            RequestError::Fault(_) => 400,
        })
    }

    #[test]
    fn reads_the_token_in_any_case_of_the_scheme() {
        assert_eq!(read(&[]), Ok(None));
        for value in ["Bearer eyJ.a_b-c~+/.d==", "bearer eyJ.a_b-c~+/.d==", "BEARER  eyJ.a_b-c~+/.d== "] {
            assert_eq!(read(&[value]), Ok(Some("eyJ.a_b-c~+/.d==".to_owned())), "{value}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for value in ["Basic dTpw", "", "eyJ.a.b", "Bearereyj a"] {
            assert_eq!(read(&[value]), Err(401), "{value}");
        }
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer =", "Bearer é", "Bearer \"a\""] {
            assert_eq!(read(&[value]), Err(400), "{value}");
        }
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(400));
    }
}
