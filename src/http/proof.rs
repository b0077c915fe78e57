//! What a form's request shows of its caller beside its connection: `Authorization: Basic`, and members of the form (RFC 6749
//! §2.3.1, RFC 7523 §2.2). Both also name the app.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::fault::{Fault, FaultKind};
use super::members::{Members, form};
use crate::secret::Secret;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What `Authorization: Basic` says: an app, and its caller's token.
// No `Debug` of what it holds: `Secret` has none to show.
#[derive(Debug)]
pub(super) struct BasicProof {
    user: String,
    password: Secret,
}

// === impl Basic ===

impl BasicProof {
    /// Reads the header. `None`: it is not there.
    ///
    /// # Errors
    /// It is there twice, has another scheme, or is malformed.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(invalid("there are two `Authorization` headers; send the caller's token once"));
        }
        let (scheme, rest) = value.as_bytes().split_at_checked(6).unwrap_or((value.as_bytes(), &[]));
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            let detail =
                "the scheme of `Authorization` is not `Basic`; send the caller's token as its password, or as `client_secret`";
            return Err(invalid(detail));
        }
        let text = BASE64.decode(rest.trim_ascii()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let parts = text.as_deref().and_then(|text| text.split_once(':'));
        let (user, password) =
            parts.ok_or_else(|| invalid("what follows `Basic` is no base64 of `client_id:token` (RFC 6749 §2.3.1)").basic(true))?;
        Ok(Some(Self { user: user.to_owned(), password: Secret::new(password) }))
    }

    /// The app that it names, decoded as RFC 6749 has it. `None`: it names none.
    pub(super) fn client(&self) -> Option<Cow<'_, str>> {
        let user = form::decode_form(&self.user).unwrap_or(Cow::Borrowed(&self.user));
        Some(user).filter(|user| !user.is_empty())
    }

    /// The token, as it stands and as RFC 6749 encodes it, which not every client does. Empty: there is none.
    pub(super) fn secrets(&self) -> Vec<Cow<'_, str>> {
        let raw = self.password.expose();
        let decoded = form::decode_form(raw).filter(|decoded| decoded != raw);
        let all = std::iter::once(Cow::Borrowed(raw)).chain(decoded);
        all.filter(|text| !text.is_empty()).collect()
    }
}

/// The app that a form's request names, by either of its places.
///
/// # Errors
/// They contradict each other, or the caller's token stands in both.
pub(super) fn client<'a>(basic: Option<&'a BasicProof>, members: &'a Members<'_>) -> Result<Option<Cow<'a, str>>, Fault> {
    let named = members.client_id.as_ref().map(|client| client.as_str());
    let Some(basic) = basic else { return Ok(named.map(Cow::Borrowed)) };
    if members.client_secret.is_some() || members.client_assertion.is_some() {
        let detail = "the caller's proof stands in `Authorization` and in the form (RFC 6749 §2.3): send it once";
        return Err(invalid(detail));
    }
    match (named, basic.client()) {
        (Some(named), Some(client)) if named != client && named != basic.user => {
            Err(invalid("`client_id` is another one than in `Authorization`: send one of them"))
        }
        (_, Some(client)) => Ok(Some(client)),
        (named, None) => Ok(named.map(Cow::Borrowed)),
    }
}

fn invalid(detail: &'static str) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderMap, HeaderValue};

    use super::super::members::{Member, MemberSet, form};
    use super::{BasicProof, client};

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("authorization", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn basic(text: &str) -> BasicProof {
        BasicProof::read(&headers(&[&format!("basic {}", STANDARD.encode(text))])).unwrap().unwrap()
    }

    #[test]
    fn both_readings_of_a_password_are_given() {
        assert!(BasicProof::read(&headers(&[])).unwrap().is_none());
        let both = basic("my%20app:a%2Bb");
        assert_eq!((both.client().as_deref(), both.secrets().len()), (Some("my app"), 2));
        assert_eq!(both.secrets(), ["a%2Bb", "a+b"]);
        assert_eq!(basic("app:t%zz").secrets(), ["t%zz"]);
        assert_eq!((basic(":x:y").client(), basic(":x:y").secrets()), (None, vec!["x:y".into()]));
        assert!(basic("app:").secrets().is_empty());
        assert!(!format!("{:?}", basic("app:canary")).contains("canary"));
    }

    #[test]
    fn what_is_no_basic_is_refused_and_not_repeated() {
        for bad in [&["Bearer canary"][..], &["Basic canary!"], &["Basic"], &["Basic Y2FuYXJ5"], &["Basic YTpi", "Basic YTpi"]] {
            let fault = BasicProof::read(&headers(bad)).err().unwrap();
            assert!(!fault.detail.contains("canary"), "{bad:?}");
        }
    }

    #[test]
    fn an_app_is_named_once_or_twice_alike() {
        const TAKES: MemberSet = MemberSet::PROOFS;
        let read = |form: &'static str| form::read(form, TAKES, form::Foreign::Ignored).unwrap();
        let named = |text: Option<&str>, form| {
            let basic = text.map(basic);
            client(basic.as_ref(), &read(form)).map(|client| client.map(std::borrow::Cow::into_owned)).ok()
        };
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(named(None, ""), Some(None));
        assert_eq!(named(None, "client_id=orders"), some("orders"));
        assert_eq!(named(Some("orders:t"), ""), some("orders"));
        assert_eq!(named(Some("orders:t"), "client_id=orders"), some("orders"));
        assert_eq!(named(Some("my%20app:t"), "client_id=my+app"), some("my app"));
        assert_eq!(named(Some(":t"), "client_id=orders"), some("orders"));
        assert_eq!(named(Some("orders:t"), "client_id=other"), None);
        assert_eq!(named(Some("orders:t"), "client_secret=t"), None);
        assert_eq!(named(Some("orders:t"), "client_assertion=t"), None);
        assert!(Member::ClientSecret.in_form().is_some());
    }
}
