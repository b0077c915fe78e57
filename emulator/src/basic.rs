//! HTTP Basic as clients prove themselves by it (RFC 6749 §2.3.1).

use crate::{call::Call, jose};

/// Client id and secret of the request's header, if it has one of this scheme.
pub(crate) fn sent(call: &Call) -> Option<(String, String)> {
    basic(call.header("authorization")?)
}

/// Id and secret of a Basic header, each form-encoded before they were joined.
pub(crate) fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(jose::decode(encoded.trim())?).ok()?;
    let (id, secret) = joined.split_once(':')?;
    let decoded = |text: &str| {
        let pair = format!("v={}", text.replace('&', "%26"));
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

#[cfg(test)]
mod tests {
    use super::basic;
    use crate::jose::encode;

    #[test]
    fn basic_is_form_encoded() {
        let header = format!("Basic {}", encode("a%3Ab:s+1%2B%26"));
        assert_eq!(basic(&header), Some(("a:b".to_owned(), "s 1+&".to_owned())));
        assert_eq!(basic("Bearer x"), None);
    }
}
