//! What a caller may ask for: a pure function over the rights that the configuration gives it and what a request names.
//!
//! A caller that may not use every app learns nothing of the others, not even whether they are there.

use super::catalogue::Flow;
use super::refusal::{Kind, Refusal};
use super::request::Beyond;
use super::settings::CallerSettings;
use crate::token::Turn;

/// What a request needs the right to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The flow; none where no token is asked for.
    pub(super) flow: Option<Flow>,
    /// The app that is named, the api's, and the one that it comes to.
    pub(super) apps: [Option<&'a str>; 3],
    /// Whether an api is named that is not there: whose it would be is not known.
    pub(super) unknown_api: bool,
    /// The api that is named.
    pub(super) api: Option<&'a str>,
    /// What is named that a caller with `callers.*.apis` may not name.
    pub(super) beyond: Beyond,
}

/// A right that a caller lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// `callers.*.apps`.
    App,
    /// `callers.*.apis`: no api, or one that is not listed.
    Api,
    /// `callers.*.apis`: a member that only callers without it may name.
    Member(&'static str),
    /// `callers.*.flows`.
    Flow,
}

/// Whether a caller may have what is wanted.
///
/// # Errors
/// It lacks a right, and which.
pub(super) fn judge(rights: &CallerSettings, wanted: &Wanted<'_>) -> Result<(), Missing> {
    if let Some(apps) = &rights.apps {
        let mut named = wanted.apps.iter().flatten().peekable();
        let none = named.peek().is_none();
        if none || wanted.unknown_api || named.any(|name| !apps.iter().any(|app| app == name)) {
            return Err(Missing::App);
        }
    }
    let Some(flow) = wanted.flow else { return Ok(()) };
    if let Some(apis) = &rights.apis {
        let listed = wanted.api.is_some_and(|name| apis.iter().any(|api| api == name));
        match wanted.beyond {
            Beyond::Nothing if listed => {}
            // Whoever may name scopes or a resource beside the api is not bound to it.
            Beyond::Member(member) if listed => return Err(Missing::Member(member)),
            _ => return Err(Missing::Api),
        }
    }
    match &rights.flows {
        Some(flows) if !flows.contains(&flow) => Err(Missing::Flow),
        _ => Ok(()),
    }
}

// === impl Missing ===

impl Missing {
    /// The refusal that names the right.
    pub(super) fn refusal(self) -> Refusal {
        let detail = match self {
            Self::App => {
                "this caller may not use this app, or there is none of this name: name one of its own as `app`, or extend `callers.*.apps`"
            }
            Self::Api => {
                "this caller may have tokens for certain apis only: name one of them as `api` in place of `scopes`, `audience` and \
                 `resource`, or extend `callers.*.apis`"
            }
            Self::Member(member) => {
                let detail = format!(
                    "this caller may have tokens for certain apis only, and may not say by `{member}` what they are good for: leave it \
                     out, or remove `callers.*.apis`"
                );
                return Refusal::new(Turn::Rights, Kind::CallerNotAllowed, detail);
            }
            Self::Flow => "this caller may not use this flow: extend `callers.*.flows`",
        };
        Refusal::new(Turn::Rights, Kind::CallerNotAllowed, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::{Missing, Wanted, judge};
    use crate::flow::{AccountRights, Beyond, CallerSettings, Flow};
    use crate::reload::{Place, Source};
    use crate::secret::Secret;

    fn rights(apps: Option<&[&str]>, apis: Option<&[&str]>, flows: Option<&[Flow]>) -> CallerSettings {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        CallerSettings {
            name: "c".to_owned(),
            token: Source { key: "k".to_owned(), file: None, place: Place::Value(Secret::new("")) },
            apps: apps.map(list),
            apis: apis.map(list),
            flows: flows.map(<[Flow]>::to_vec),
            accounts: AccountRights::Own,
        }
    }

    const FLOW: Option<Flow> = Some(Flow::OnBehalfOf);

    #[test]
    fn who_has_no_list_may_have_all() {
        let all = rights(None, None, None);
        for wanted in [
            Wanted::default(),
            Wanted { flow: FLOW, api: Some("g"), beyond: Beyond::Member("m"), unknown_api: true, ..Wanted::default() },
            Wanted { flow: FLOW, apps: [Some("x"), Some("y"), None], ..Wanted::default() },
        ] {
            assert_eq!(judge(&all, &wanted), Ok(()), "{wanted:?}");
        }
    }

    #[test]
    fn every_app_that_is_named_or_meant_has_to_be_listed() {
        let some = rights(Some(&["a", "b"]), None, None);
        let judged = |apps, unknown_api| judge(&some, &Wanted { flow: FLOW, apps, unknown_api, ..Wanted::default() });
        assert_eq!(judged([Some("a"), Some("b"), Some("a")], false), Ok(()));
        assert_eq!(judged([None, None, Some("b")], false), Ok(()));
        // Of what it may not use it does not learn whether it is there.
        for apps in [[Some("c"), None, None], [Some("a"), Some("c"), None], [None, None, Some("c")], [None, None, None]] {
            assert_eq!(judged(apps, false), Err(Missing::App), "{apps:?}");
        }
        assert_eq!(judged([Some("a"), None, Some("a")], true), Err(Missing::App));
    }

    #[test]
    fn a_listed_api_says_all_of_what_the_token_is_for() {
        let some = rights(None, Some(&["g"]), None);
        let judged = |flow, api, beyond| judge(&some, &Wanted { flow, api, beyond, ..Wanted::default() });
        assert_eq!(judged(FLOW, Some("g"), Beyond::Nothing), Ok(()));
        for (api, beyond) in [
            (None, Beyond::Nothing),
            (None, Beyond::Member("m")),
            (Some("h"), Beyond::Nothing),
            (Some("h"), Beyond::Member("m")),
            (Some("g"), Beyond::Unknown),
        ] {
            assert_eq!(judged(FLOW, api, beyond), Err(Missing::Api), "{api:?} {beyond:?}");
        }
        assert_eq!(judged(FLOW, Some("g"), Beyond::Member("m")), Err(Missing::Member("m")));
        assert!(Missing::Member("m").refusal().detail.contains("`m`"));
        assert_eq!(judged(None, None, Beyond::Unknown), Ok(()), "no token is asked for");
    }

    #[test]
    fn only_listed_flows_are_for_it() {
        let some = rights(None, None, Some(&[Flow::Silent, Flow::AuthCode]));
        for flow in Flow::ALL {
            let expected = if matches!(flow, Flow::Silent | Flow::AuthCode) { Ok(()) } else { Err(Missing::Flow) };
            assert_eq!(judge(&some, &Wanted { flow: Some(flow), ..Wanted::default() }), expected, "{flow:?}");
        }
        assert_eq!(judge(&some, &Wanted::default()), Ok(()));
    }
}
