//! Reads the members of a JSON body: borrowed from it, and each route says which of them it takes.
//!
//! The fast path is one pass of serde that copies nothing but scopes. Only a body that fails is looked at again, by `explain`:
//! serde stops at the first error and quotes values, which may be secrets.

use super::explain;
use super::table::{LONGEST, Member, MemberSet, Members};
use super::values::ScopeList;
use crate::http::fault::{Fault, FaultKind};

/// Reads the members of a request.
///
/// # Errors
/// The body is no JSON object, or a member is unknown, foreign to the route, there twice, of the wrong type, or no list of scopes.
pub(in crate::http) fn read(body: &[u8], takes: MemberSet) -> Result<Members<'_>, Fault> {
    // serde would take an array for the struct's fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(explain::explain(body, takes));
    }
    let mut members: Members<'_> = serde_json::from_slice(body).map_err(|_| explain::explain(body, takes))?;
    let present = members.present();
    if let Some(member) = present.without(takes).first() {
        return Err(explain::foreign(member, takes));
    }
    // No member is longer than the body, and few bodies are that long.
    if body.len() > LONGEST
        && let Some(member) = members.too_long()
    {
        return Err(explain::too_long(member));
    }
    judge_scopes(&members)?;
    members.beyond = members.beyond_but(MemberSet::of(&[]));
    Ok(members)
}

fn judge_scopes(members: &Members<'_>) -> Result<(), Fault> {
    let lists =
        [(Member::Scopes, members.scopes.as_ref()), (Member::ExtraScopesToConsent, members.extra_scopes_to_consent.as_deref())];
    for (member, list) in lists {
        if let Some(fault) = list.and_then(ScopeList::fault) {
            let text = format!("`{}` {fault}", member.name());
            return Err(Fault::new(FaultKind::InvalidRequest, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::table::MemberKind;
    use super::super::values::Text;
    use super::{LONGEST, Member, MemberSet, read};

    const OBO: MemberSet = MemberSet::CACHED.and(&[Member::SubjectTokenType, Member::RequestedTokenType]);
    const SILENT: MemberSet = MemberSet::CACHED.and(&[Member::Account]);
    const URL: MemberSet = MemberSet::COMMON.and(&[Member::RedirectUri, Member::ExtraScopesToConsent]);

    fn detail(body: &[u8], takes: MemberSet) -> String {
        read(body, takes).err().map(|fault| fault.detail.into_owned()).unwrap_or_default()
    }

    #[test]
    fn reads_what_a_route_takes() {
        let body = br#" {"app":"orders","scopes":["a","b"],"force_refresh":true,"tenant":null,"claims":"{\"a\":1}"}"#;
        let members = read(body, MemberSet::CACHED).unwrap();
        assert_eq!(members.app.as_ref().map(Text::as_str), Some("orders"));
        assert_eq!(members.claims.as_ref().map(|text| text.as_str()), Some(r#"{"a":1}"#));
        assert!(members.tenant.is_none() && members.force_refresh == Some(true));
        assert_eq!(members.scopes.unwrap().into_scopes().unwrap().to_string(), "a b");
        let members = read(br#"{"scopes":"a  b"}"#, OBO).unwrap();
        assert_eq!(members.scopes.unwrap().into_scopes().unwrap().to_string(), "a b");
    }

    #[test]
    fn borrows_from_the_body() {
        let body = br#"{"app":"orders"}"#.to_vec();
        let members = read(&body, OBO).unwrap();
        assert!(body.as_ptr_range().contains(&members.app.unwrap().as_str().as_ptr()));
    }

    #[test]
    fn says_what_is_wrong_with_a_body() {
        let deep = format!("{{\"app\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        for (body, want) in [
            (&b""[..], "no body"),
            (b"  \n", "no body"),
            (b"[]", "no object"),
            (b"[\"orders\"]", "no object"),
            (b"null", "no object"),
            (b"\"eyJhbGciOi\"", "no object"),
            (b"{", "not JSON at line 1"),
            (b"{\"app\":\"x\"} {}", "not JSON at line 1"),
            (b"{\"app\":\"x\"}x", "not JSON at line 1"),
            (b"{\"app\":\"\xff\"}", "not UTF-8"),
            (b"app=orders", "not JSON at line 1"),
            (deep.as_bytes(), "not JSON at line 1"),
        ] {
            let detail = detail(body, OBO);
            assert!(detail.contains(want) && detail.contains("a JSON object is expected"), "{detail}");
        }
    }

    #[test]
    fn names_the_member_and_the_remedy_and_never_the_value() {
        for (body, want) in [
            (r#"{"app":7}"#, r#"`app` has to be a string, and is a number; write "app": "…""#),
            (r#"{"claims":{"canary":1}}"#, "`claims` has to be a string, and is an object"),
            (r#"{"force_refresh":"canary"}"#, "`force_refresh` has to be true or false, and is a string"),
            (r#"{"force_refresh":1}"#, "`force_refresh` has to be true or false, and is a number"),
            (r#"{"scopes":{"canary":1}}"#, "`scopes` has to be an array of strings, or one string"),
            (r#"{"scopes":["canary",7]}"#, "is an array with something else than strings"),
            (r#"{"scopes":[null]}"#, "is an array with something else than strings"),
            (r#"{"app":"canary","app":"canary"}"#, "`app` stands twice"),
            (r#"{"app":null,"app":null}"#, "`app` stands twice"),
            (r#"{"scope":"canary"}"#, "`scope` is no member of any request; this route takes app, api, scopes"),
            (r#"{"scope":"canary"}"#, "; did you mean `scopes`?"),
            (r#"{"forceRefresh":true}"#, "; did you mean `force_refresh`?"),
            (r#"{"tennant":"canary"}"#, "; did you mean `tenant`?"),
            (r#"{"eyJhbGciOiJub25lIn0":1}"#, "its name is not repeated"),
            (r#"{"code":"canary"}"#, "this route does not take `code`; it takes app"),
            (r#"{"app":"x","code":"canary","app":"y"}"#, "this route does not take `code`"),
            (r#"{"scopes":[]}"#, "`scopes` is empty"),
            (r#"{"scopes":"  "}"#, "`scopes` is empty"),
            (r#"{"scopes":["canary",""]}"#, "`scopes` is empty or has an empty scope"),
            (r#"{"scopes":["canary b"]}"#, "`scopes` has a character"),
            (r#"{"scopes":"caf\u00e9"}"#, "`scopes` has a character"),
        ] {
            let detail = detail(body.as_bytes(), OBO);
            assert!(detail.contains(want), "{body}: {detail}");
            assert!(!detail.contains("canary") && !detail.contains("eyJ"), "{detail}");
        }
        for (body, takes, want) in [
            (r#"{"extra_scopes_to_consent":[]}"#, URL, "`extra_scopes_to_consent` is empty"),
            (r#"{"account":{"canary":1}}"#, SILENT, "`account` has to be a string, and is an object"),
            (r#"{"account":"canary","account":"canary"}"#, SILENT, "`account` stands twice"),
            (r#"{"account":"canary"}"#, OBO, "this route does not take `account`"),
            (r#"{"home_account_id":"canary"}"#, SILENT, "`home_account_id` is no member of any request"),
            (r#"{"redirect_uri":"canary"}"#, SILENT, "this route does not take `redirect_uri`"),
        ] {
            let detail = detail(body.as_bytes(), takes);
            assert!(detail.contains(want) && !detail.contains("canary"), "{body}: {detail}");
        }
    }

    #[test]
    fn bounds_the_scopes() {
        let list = |count: usize| format!("{{\"scopes\":\"{}\"}}", (0..count).map(|n| format!("s{n} ")).collect::<String>());
        assert!(read(list(256).as_bytes(), OBO).is_ok());
        assert!(detail(list(257).as_bytes(), OBO).contains("more than 256"));
    }

    #[test]
    fn bounds_every_string() {
        for member in Member::ALL
            .iter()
            .filter(|member| member.in_body().is_some() && matches!(member.kind(), MemberKind::Text | MemberKind::Rare))
        {
            let body = |length: usize| format!("{{\"{}\":\"{}\"}}", member.name(), "canary-x".repeat(length / 8) + "\u{e9}");
            let takes = MemberSet::of(&[*member]);
            assert!(read(body(LONGEST - 8).as_bytes(), takes).is_ok(), "{member:?}");
            let detail = detail(body(LONGEST).as_bytes(), takes);
            assert!(detail.contains(&format!("`{}` is longer than 8192 bytes", member.name())), "{detail}");
            assert!(!detail.contains("canary"), "{detail}");
        }
        let scopes = |length: usize| format!("{{\"scopes\":[\"{}\",\"{}\"]}}", "a".repeat(length / 2), "b".repeat(length / 2));
        assert!(read(scopes(16 * 1024).as_bytes(), OBO).is_ok());
        assert!(detail(scopes(16 * 1024 + 2).as_bytes(), OBO).contains("`scopes` is longer than 16384 bytes"));
        let text = format!("{{\"scopes\":\"{}\"}}", "a".repeat(16 * 1024 + 1));
        assert!(detail(text.as_bytes(), OBO).contains("`scopes` is longer than 16384 bytes"));
    }

    #[test]
    fn what_stands_in_a_query_alone_is_no_member_of_a_body() {
        for member in Member::ALL.iter().filter(|member| member.in_body().is_none()) {
            let detail = detail(format!("{{\"{}\":null}}", member.name()).as_bytes(), OBO);
            assert!(detail.contains("is no member of any request"), "{detail}");
        }
    }
}
