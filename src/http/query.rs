//! What the routes without a body take: parameters in the query, each at most once, and an account's id in the path. Both are
//! percent-decoded strictly: what a lenient reader would make of a mistake is another account than was meant.

use std::borrow::Cow;

use super::diagnose::is_showable;
use super::problem::{Fault, FaultKind};
use crate::flow::Listing;

/// A parameter's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    App,
    Cursor,
    Limit,
}

/// The parameters of a request, decoded.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    app: Option<Cow<'a, str>>,
    cursor: Option<Cow<'a, str>>,
    limit: Option<Cow<'a, str>>,
}

/// `GET /accounts`.
pub(super) const LISTING: &[Parameter] = &[Parameter::App, Parameter::Cursor, Parameter::Limit];

/// `GET` and `DELETE /accounts/{home_account_id}`.
pub(super) const ACCOUNT: &[Parameter] = &[Parameter::App];

/// Reads the parameters of a request.
///
/// # Errors
/// One is unknown, there twice, or no percent-encoded UTF-8.
pub(super) fn read<'a>(query: Option<&'a str>, takes: &[Parameter]) -> Result<Query<'a>, Fault> {
    let mut found = Query::default();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let parameter = named(name, takes)?;
        let value = decode_form(value).ok_or_else(|| undecodable(parameter.name()))?;
        if found.place(parameter).replace(value).is_some() {
            return Err(invalid(format!("`{}` stands twice; give each parameter once", parameter.name())));
        }
    }
    Ok(found)
}

/// The account that a path of `/accounts/{home_account_id}` names.
///
/// # Errors
/// It is no percent-encoded UTF-8.
pub(super) fn account(path: &str) -> Result<Cow<'_, str>, Fault> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    decode(segment.into()).ok_or_else(|| undecodable("home_account_id"))
}

fn named(name: &str, takes: &[Parameter]) -> Result<Parameter, Fault> {
    let decoded = decode_form(name);
    let name = decoded.as_deref().unwrap_or_default();
    takes.iter().copied().find(|parameter| parameter.name() == name).ok_or_else(|| {
        let list = takes.iter().map(|parameter| parameter.name()).collect::<Vec<_>>().join(", ");
        if is_showable(name) {
            invalid(format!("`{name}` is no parameter of this route; it takes {list}"))
        } else {
            invalid(format!("a parameter is unknown, and its name is not repeated as it may be a secret; this route takes {list}"))
        }
    })
}

fn undecodable(name: &str) -> Fault {
    invalid(format!("`{name}` is no percent-encoded UTF-8; write `%` and two hexadecimal digits for each byte that needs it"))
}

fn invalid(detail: String) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}

/// As forms are encoded, and as every client library writes a query: `+` is a space.
fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    decode(if text.contains('+') { text.replace('+', " ").into() } else { text.into() })
}

/// RFC 3986 §2.1. `None`: a `%` without two digits, or bytes that are no UTF-8.
fn decode(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text);
    }
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at_checked(2)?;
        let [high, low] = digits else { return None };
        bytes.push(hex(*high)? << 4 | hex(*low)?);
        bytes.extend_from_slice(rest);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

// === impl Parameter ===

impl Parameter {
    /// The name as requests spell it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Cursor => "cursor",
            Self::Limit => "limit",
        }
    }
}

// === impl Query ===

impl<'a> Query<'a> {
    /// The app.
    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }

    /// The parameters of `GET /accounts`.
    ///
    /// # Errors
    /// `limit` is no number.
    pub(super) fn listing(&self) -> Result<Listing<'_>, Fault> {
        Ok(Listing { app: self.app(), cursor: self.cursor.as_deref(), limit: self.limit.as_deref().map(number).transpose()? })
    }

    fn place(&mut self, parameter: Parameter) -> &mut Option<Cow<'a, str>> {
        match parameter {
            Parameter::App => &mut self.app,
            Parameter::Cursor => &mut self.cursor,
            Parameter::Limit => &mut self.limit,
        }
    }
}

/// Digits only: Rust would take a sign too. One that is too large for a number is too large for a limit as well.
fn number(text: &str) -> Result<usize, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("`limit` is no number; write it in digits".to_owned()));
    }
    Ok(text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{ACCOUNT, LISTING, Parameter, account, read};

    fn detail(query: &str, takes: &[Parameter]) -> String {
        let fault = read(Some(query), takes).and_then(|query| query.listing().map(drop)).err();
        fault.map(|fault| fault.detail.into_owned()).unwrap_or_default()
    }

    #[test]
    fn reads_what_a_route_takes() {
        let query = read(Some("limit=25&app=my%20app&&cur%73or=a-b_"), LISTING).unwrap();
        let listing = query.listing().unwrap();
        assert_eq!((listing.app, listing.cursor, listing.limit), (Some("my app"), Some("a-b_"), Some(25)));
        let query = read(Some("app=a+b%2Bc=d"), ACCOUNT).unwrap();
        assert_eq!(query.app(), Some("a b+c=d"));
        for nothing in [None, Some(""), Some("&")] {
            let query = read(nothing, LISTING).unwrap();
            let listing = query.listing().unwrap();
            assert_eq!((listing.app, listing.cursor, listing.limit), (None, None, None));
        }
        assert_eq!(read(Some("app"), ACCOUNT).unwrap().app(), Some(""), "there, and empty: no app is called that");
        let query = read(Some("limit=99999999999999999999"), LISTING).unwrap();
        assert_eq!(query.listing().unwrap().limit, Some(usize::MAX));
    }

    #[test]
    fn names_the_parameter_and_never_the_value() {
        for (query, want) in [
            ("page=canary", "`page` is no parameter of this route; it takes app, cursor, limit"),
            ("App=canary", "`App` is no parameter"),
            ("=canary", "its name is not repeated"),
            ("eyJhbGciOiJub25lIn0=1", "its name is not repeated"),
            ("canary%zz=1", "its name is not repeated"),
            ("app=canary&app=canary", "`app` stands twice"),
            ("app=canary&%61pp=canary", "`app` stands twice"),
            ("limit=1&limit=1", "`limit` stands twice"),
            ("cursor=canary%", "`cursor` is no percent-encoded UTF-8"),
            ("app=canary%ff", "`app` is no percent-encoded UTF-8"),
            ("app=canary%+1", "`app` is no percent-encoded UTF-8"),
            ("limit=", "`limit` is no number"),
            ("limit=canary", "`limit` is no number"),
            ("limit=-1", "`limit` is no number"),
            ("limit=%2B1", "`limit` is no number"),
            ("limit=1.5", "`limit` is no number"),
            ("limit=٣", "`limit` is no number"),
        ] {
            let detail = detail(query, LISTING);
            assert!(detail.contains(want) && !detail.contains("canary") && !detail.contains("eyJ"), "{query}: {detail}");
        }
        assert_eq!(detail("limit=canary", ACCOUNT), "`limit` is no parameter of this route; it takes app");
    }

    #[test]
    fn an_account_is_decoded_once_and_strictly() {
        for (path, want) in [
            ("/accounts/oid.tid", "oid.tid"),
            ("/accounts/a%2Fb", "a/b"),
            ("/accounts/a%252Fb", "a%2Fb"),
            ("/accounts/a+b%20c", "a+b c"),
            ("/accounts/%C3%A9%c3%a9", "éé"),
            ("/accounts/auth0|5f", "auth0|5f"),
        ] {
            assert_eq!(account(path).as_deref().ok(), Some(want), "{path}");
        }
        for bad in ["%", "canary%2", "canary%zz", "%ff", "%C3", "%+1", "%é", "a%2é", "%%41"] {
            let detail = account(&format!("/accounts/{bad}")).err().map(|fault| fault.detail.into_owned());
            assert!(
                detail.is_some_and(|detail| detail.starts_with("`home_account_id` is no percent") && !detail.contains("canary")),
                "{bad}"
            );
        }
    }
}
