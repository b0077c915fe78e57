//! What a caller may ask for: a pure function over the rights that the configuration gives it and what a request names.
//!
//! A caller that may not use every app learns nothing of the others, not even whether they are there.

use super::settings::{INTROSPECT, Rights};

/// What a request needs the right to.
#[derive(Clone, Copy, Debug, Default)]
pub struct WantedRights<'a> {
    /// The name of the flow; none where no token is asked for.
    pub flow: Option<&'static str>,
    /// The app that is named, the api's, and the one that it comes to.
    pub apps: [Option<&'a str>; 3],
    /// Whether an api is named that is not there: whose it would be is not known.
    pub unknown_api: bool,
    /// The api that is named.
    pub api: Option<&'a str>,
    /// What is named that a caller with `callers.*.apis` may not name.
    pub beyond: Beyond,
}

/// What a request names that may make a token good for more than a named api.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beyond {
    /// Nobody has looked, and a caller with `callers.*.apis` is refused: a door that forgets to look gives nothing away.
    #[default]
    Unknown,
    /// Nothing.
    Nothing,
    /// This member.
    Member(&'static str),
}

/// A right that a caller lacks, and how it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightError {
    /// `callers.*.apps`.
    #[error(
        "this caller may not use this app, or there is none of this name: name one of its own as `app`, or extend `callers.*.apps`"
    )]
    App,
    /// `callers.*.apis`: no api, or one that is not listed.
    #[error(
        "this caller may have tokens for certain apis only: name one of them as `api` in place of `scopes`, `audience` and \
         `resource`, or extend `callers.*.apis`"
    )]
    Api,
    /// `callers.*.apis`: a member that only callers without it may name.
    #[error(
        "this caller may have tokens for certain apis only, and may not say by `{0}` what they are good for: leave it out, or \
         remove `callers.*.apis`"
    )]
    Member(&'static str),
    /// `callers.*.flows`.
    #[error("this caller may not use this flow: extend `callers.*.flows`")]
    Flow,
    /// `callers.*.doors`.
    #[error("this caller may not use this door: extend `callers.*.doors`")]
    Door,
}

/// Whether a caller may have what is wanted.
///
/// # Errors
/// It lacks a right, and which.
pub(super) fn judge(rights: &Rights, wanted: &WantedRights<'_>) -> Result<(), RightError> {
    if let Some(apps) = &rights.apps {
        let mut named = wanted.apps.iter().flatten().peekable();
        let none = named.peek().is_none();
        if none || wanted.unknown_api || named.any(|name| !apps.iter().any(|app| app == name)) {
            return Err(RightError::App);
        }
    }
    let Some(flow) = wanted.flow else { return Ok(()) };
    // No token comes of an introspection: there is nothing that could be good for too much.
    if let Some(apis) = rights.apis.as_ref().filter(|_| flow != INTROSPECT) {
        let listed = wanted.api.is_some_and(|name| apis.iter().any(|api| api == name));
        match wanted.beyond {
            Beyond::Nothing if listed => {}
            // Whoever may name scopes or a resource beside the api is not bound to it.
            Beyond::Member(member) if listed => return Err(RightError::Member(member)),
            _ => return Err(RightError::Api),
        }
    }
    if rights.may_use(flow) { Ok(()) } else { Err(RightError::Flow) }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{AccountRights, INTROSPECT, Rights, USUAL_FLOWS};
    use super::{Beyond, RightError, WantedRights, judge};

    fn rights(apps: Option<&[&str]>, apis: Option<&[&str]>, flows: Option<&[&'static str]>) -> Rights {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let flows = flows.map(<[_]>::to_vec);
        Rights { apps: apps.map(list), apis: apis.map(list), flows, doors: vec!["rest"], accounts: AccountRights::Own }
    }

    const FLOW: Option<&str> = Some("on_behalf_of");

    #[test]
    fn who_has_no_list_may_have_all_but_what_is_had_by_name_only() {
        let all = rights(None, None, None);
        for wanted in [
            WantedRights::default(),
            WantedRights { flow: FLOW, api: Some("g"), beyond: Beyond::Member("m"), unknown_api: true, ..WantedRights::default() },
            WantedRights { flow: FLOW, apps: [Some("x"), Some("y"), None], ..WantedRights::default() },
        ] {
            assert_eq!(judge(&all, &wanted), Ok(()), "{wanted:?}");
        }
        let judged = |flow: &'static str| judge(&all, &WantedRights { flow: Some(flow), ..WantedRights::default() });
        for usual in USUAL_FLOWS {
            assert_eq!(judged(usual), Ok(()), "{usual}");
        }
        for named in [INTROSPECT, "device_code"] {
            assert_eq!(judged(named), Err(RightError::Flow), "{named}");
        }
    }

    #[test]
    fn introspection_is_a_right_of_its_own_and_no_matter_of_apis() {
        let some = rights(None, Some(&["g"]), Some(&[INTROSPECT]));
        let wanted = WantedRights { flow: Some(INTROSPECT), ..WantedRights::default() };
        assert_eq!(judge(&some, &wanted), Ok(()));
        let token = WantedRights { flow: FLOW, api: Some("g"), beyond: Beyond::Nothing, ..WantedRights::default() };
        assert_eq!(judge(&some, &token), Err(RightError::Flow));
        let bound = rights(Some(&["a"]), None, Some(&[INTROSPECT]));
        assert_eq!(judge(&bound, &WantedRights { apps: [Some("b"), None, None], ..wanted }), Err(RightError::App));
    }

    #[test]
    fn every_app_that_is_named_or_meant_has_to_be_listed() {
        let some = rights(Some(&["a", "b"]), None, None);
        let judged = |apps, unknown_api| judge(&some, &WantedRights { flow: FLOW, apps, unknown_api, ..WantedRights::default() });
        assert_eq!(judged([Some("a"), Some("b"), Some("a")], false), Ok(()));
        assert_eq!(judged([None, None, Some("b")], false), Ok(()));
        // Of what it may not use it does not learn whether it is there.
        for apps in [[Some("c"), None, None], [Some("a"), Some("c"), None], [None, None, Some("c")], [None, None, None]] {
            assert_eq!(judged(apps, false), Err(RightError::App), "{apps:?}");
        }
        assert_eq!(judged([Some("a"), None, Some("a")], true), Err(RightError::App));
    }

    #[test]
    fn a_listed_api_says_all_of_what_the_token_is_for() {
        let some = rights(None, Some(&["g"]), None);
        let judged = |flow, api, beyond| judge(&some, &WantedRights { flow, api, beyond, ..WantedRights::default() });
        assert_eq!(judged(FLOW, Some("g"), Beyond::Nothing), Ok(()));
        for (api, beyond) in [
            (None, Beyond::Nothing),
            (None, Beyond::Member("m")),
            (Some("h"), Beyond::Nothing),
            (Some("h"), Beyond::Member("m")),
            (Some("g"), Beyond::Unknown),
        ] {
            assert_eq!(judged(FLOW, api, beyond), Err(RightError::Api), "{api:?} {beyond:?}");
        }
        assert_eq!(judged(FLOW, Some("g"), Beyond::Member("m")), Err(RightError::Member("m")));
        assert!(RightError::Member("m").to_string().contains("`m`"));
        assert_eq!(judged(None, None, Beyond::Unknown), Ok(()), "no token is asked for");
    }

    #[test]
    fn only_listed_flows_are_for_it() {
        let some = rights(None, None, Some(&["silent", "auth_code"]));
        for (flow, expected) in [
            ("silent", Ok(())),
            ("auth_code", Ok(())),
            ("client_credentials", Err(RightError::Flow)),
            ("on_behalf_of", Err(RightError::Flow)),
        ] {
            assert_eq!(judge(&some, &WantedRights { flow: Some(flow), ..WantedRights::default() }), expected, "{flow}");
        }
        assert_eq!(judge(&some, &WantedRights::default()), Ok(()));
    }
}
