//! Reads members that are form-encoded: of a query, or of a body that is a form; and a segment of the path. All are
//! percent-decoded strictly: what a lenient reader would make of a mistake is another account than was meant.

use std::borrow::Cow;

use super::explain::{is_showable, meant, too_long};
use super::table::{LONGEST, Member, MemberKind, MemberSet, Members, Placing};
use crate::http::fault::{Fault, FaultKind};

/// What becomes of a parameter that a route does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Foreign {
    /// It is an error, as in tokend's own API.
    Refused,
    /// It is as good as absent, and so is one that is empty (RFC 6749 §3.2).
    Ignored,
}

/// More parameters than any client sends.
pub(super) const MOST_PAIRS: usize = 64;

/// Reads the parameters of a request, of its query or of its body.
///
/// # Errors
/// One is unknown where that is an error, there twice, no percent-encoded UTF-8, too long, or not what its value has to be.
pub(in crate::http) fn read(pairs: &str, takes: MemberSet, foreign: Foreign) -> Result<Members<'_>, Fault> {
    let mut members = Members::default();
    let mut pairs = pairs.split('&').filter(|pair| !pair.is_empty());
    // Each is looked up, before it is known who sent them.
    if pairs.clone().nth(MOST_PAIRS).is_some() {
        return Err(invalid(format!("there are more than {MOST_PAIRS} parameters; send those that are needed")));
    }
    for pair in &mut pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if foreign == Foreign::Ignored && value.is_empty() {
            continue;
        }
        let Some(member) = named(name, takes, foreign)? else { continue };
        let value = decode_form(value).ok_or_else(|| undecodable(member.name()))?;
        if value.len() > LONGEST && member.kind() != MemberKind::Token {
            return Err(too_long(member));
        }
        match members.put(member, value) {
            Placing::Done | Placing::Misplaced => {}
            // RFC 8707 §2 and RFC 8693 §2.1 allow several of these; one token is for one of them.
            Placing::Twice if foreign == Foreign::Ignored && matches!(member, Member::Resource | Member::Audience) => {
                let detail = format!("`{}` stands twice; a token is for one target: ask for each by itself", member.name());
                return Err(Fault::new(FaultKind::InvalidTarget, detail));
            }
            Placing::Twice => return Err(invalid(format!("`{}` stands twice; give each parameter once", member.name()))),
            Placing::Misshapen => return Err(invalid(format!("`{}` is neither `true` nor `false`", member.name()))),
        }
    }
    if members.limit.is_some_and(|limit| limit.get().is_none()) {
        return Err(invalid(format!("`{}` is no number; write it in digits", Member::Limit.name())));
    }
    Ok(members)
}

/// The last segment of a path, decoded; `name` is what the route's template calls it.
///
/// # Errors
/// It is no percent-encoded UTF-8.
pub(in crate::http) fn last_segment<'a>(path: &'a str, name: &'static str) -> Result<Cow<'a, str>, Fault> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    decode(segment.into()).ok_or_else(|| undecodable(name))
}

fn named(name: &str, takes: MemberSet, foreign: Foreign) -> Result<Option<Member>, Fault> {
    let decoded = decode_form(name);
    let name = decoded.as_deref().unwrap_or_default();
    let found = takes.iter().find(|member| member.name() == name);
    if found.is_some() || foreign == Foreign::Ignored {
        return Ok(found);
    }
    let list = takes.names();
    Err(if is_showable(name) {
        invalid(format!("`{name}` is no parameter of this route; it takes {list}{}", meant(name, takes)))
    } else {
        invalid(format!("a parameter is unknown, and its name is not repeated as it may be a secret; this route takes {list}"))
    })
}

fn undecodable(name: &str) -> Fault {
    invalid(format!("`{name}` is no percent-encoded UTF-8; write `%` and two hexadecimal digits for each byte that needs it"))
}

fn invalid(detail: String) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}

/// As forms are encoded, and as every client library writes a query: `+` is a space.
pub(in crate::http) fn decode_form(text: &str) -> Option<Cow<'_, str>> {
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

#[cfg(test)]
mod tests {
    use super::super::table::{Member, MemberSet, Members};
    use super::super::values::{Number, Text};
    use super::Foreign;
    use super::last_segment;

    const LISTING: MemberSet = MemberSet::of(&[Member::App, Member::Cursor, Member::Limit]);
    const ACCOUNT: MemberSet = MemberSet::of(&[Member::App]);

    fn read(query: Option<&str>, takes: MemberSet) -> Result<Members<'_>, crate::http::fault::Fault> {
        super::read(query.unwrap_or_default(), takes, Foreign::Refused)
    }

    fn detail(query: &str, takes: MemberSet) -> String {
        read(Some(query), takes).err().map(|fault| fault.detail.into_owned()).unwrap_or_default()
    }

    fn values<'a>(members: &'a Members<'_>) -> (Option<&'a str>, Option<&'a str>, Option<usize>) {
        let text = |member: &'a Option<Text<'_>>| member.as_ref().map(Text::as_str);
        (text(&members.app), members.cursor.as_ref().map(|text| text.as_str()), members.limit.and_then(Number::get))
    }

    #[test]
    fn reads_what_a_route_takes() {
        let query = read(Some("limit=25&app=my%20app&&cur%73or=a-b_"), LISTING).unwrap();
        assert_eq!(values(&query), (Some("my app"), Some("a-b_"), Some(25)));
        let query = read(Some("app=a+b%2Bc=d"), ACCOUNT).unwrap();
        assert_eq!(values(&query), (Some("a b+c=d"), None, None));
        for nothing in [None, Some(""), Some("&")] {
            assert_eq!(values(&read(nothing, LISTING).unwrap()), (None, None, None));
        }
        assert_eq!(values(&read(Some("app"), ACCOUNT).unwrap()).0, Some(""), "there, and empty: no app is called that");
        let query = read(Some("limit=99999999999999999999"), LISTING).unwrap();
        assert_eq!(values(&query).2, Some(usize::MAX));
    }

    #[test]
    fn names_the_parameter_and_never_the_value() {
        for (query, want) in [
            ("apps=canary", "it takes app, cursor, limit; did you mean `app`?"),
            ("Limit=canary", "did you mean `limit`?"),
            ("cursors=canary", "did you mean `cursor`?"),
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
            assert_eq!(last_segment(path, "home_account_id").as_deref().ok(), Some(want), "{path}");
        }
        for bad in ["%", "canary%2", "canary%zz", "%ff", "%C3", "%+1", "%é", "a%2é", "%%41"] {
            let detail = last_segment(&format!("/accounts/{bad}"), "home_account_id").err().map(|fault| fault.detail.into_owned());
            assert!(
                detail.is_some_and(|detail| detail.starts_with("`home_account_id` is no percent") && !detail.contains("canary")),
                "{bad}"
            );
        }
    }
}
