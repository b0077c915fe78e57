//! From what an authority said to a refusal: whose turn it is, decided by `error`, `suberror`, `claims` and flow, never by AADSTS
//! numbers (ERR-5, ERR-7, ERR-9).

use super::remedy::remedy;
use crate::authority::AuthorityError;
use crate::cache::{Lost, Unavailable};
use crate::clock::{Clock, Moment};
use crate::flow::catalogue::Flow;
use crate::flow::refusal::{Refusal, RefusalKind, overloaded};
use crate::oauth::ErrorBody;
use crate::token::{Retry, Tenant, Turn};

/// Entra's suberrors that ask for the user (RFC 6749 has none).
const INTERACTION: [&str; 6] =
    ["basic_action", "additional_action", "message_only", "consent_required", "user_password_expired", "interaction_required"];

/// Entra's suberrors that say what a client may not do for this user, whatever `error` they come with.
const RIGHTS: [&str; 2] = ["client_mismatch", "protection_policy_required"];

/// Whether an OAuth error is about the user of the request, also where its `error` is one about the app.
pub(in crate::flow) fn is_about_the_user(body: &ErrorBody) -> bool {
    body.claims.is_some() || lacks_rights(body)
}

fn lacks_rights(body: &ErrorBody) -> bool {
    body.suberror.as_deref().is_some_and(|suberror| RIGHTS.contains(&suberror))
}

/// Whose turn it is after an OAuth error. `named`: the request named a tenant other than the authority's own, which may be what is
/// wrong with it.
pub(in crate::flow) fn turn(flow: Flow, named: bool, body: &ErrorBody) -> Turn {
    let suberror = body.suberror.as_deref().unwrap_or_default();
    if body.claims.is_some() {
        return Turn::User;
    }
    if lacks_rights(body) {
        return Turn::Rights;
    }
    match body.error.as_str() {
        "interaction_required" | "login_required" | "consent_required" => Turn::User,
        "invalid_client" | "unauthorized_client" => Turn::Operator,
        "invalid_grant" => flow.turn_after_invalid_grant(INTERACTION.contains(&suberror)),
        "invalid_request" if flow.is_configured() && !named => Turn::Operator,
        "invalid_request" | "invalid_scope" | "invalid_resource" | "invalid_target" => Turn::Caller,
        _ => Turn::Operator,
    }
}

/// The refusal for a failed call. `until` is when a pause ends, where there is one.
pub(in crate::flow) fn refuse(flow: Flow, failure: AuthorityError, until: Option<Moment>) -> Refusal {
    refuse_at(flow, None, failure, until)
}

/// The refusal for a failed call whose request may have named a tenant.
pub(in crate::flow) fn refuse_at(flow: Flow, tenant: Option<&Tenant>, failure: AuthorityError, until: Option<Moment>) -> Refusal {
    let cause = failure.causes().map(String::into_boxed_str);
    Refusal { cause, ..refusal_of(flow, tenant, failure, until) }
}

fn refusal_of(flow: Flow, tenant: Option<&Tenant>, failure: AuthorityError, until: Option<Moment>) -> Refusal {
    let retry = until.map_or(Retry::Backoff, Retry::At);
    match failure {
        AuthorityError::Refused { body, .. } => {
            let turn = turn(flow, tenant.is_some(), &body);
            let detail = remedy(turn, &body);
            let retry = until.map_or(Retry::Never, Retry::At);
            Refusal { answer: Some(body), ..Refusal::new(turn, RefusalKind::Refused, detail) }.retrying(retry)
        }
        AuthorityError::Throttled { body, .. } => {
            let detail = "the authority asks for fewer requests: wait as long as Retry-After says";
            Refusal { answer: body, ..Refusal::new(Turn::Throttled, RefusalKind::Throttled, detail) }.retrying(retry)
        }
        AuthorityError::Unavailable { body, .. } => {
            let detail = "the authority cannot serve at the moment: try again later";
            Refusal { answer: body, ..Refusal::new(Turn::Unavailable, RefusalKind::AuthorityUnavailable, detail) }.retrying(retry)
        }
        AuthorityError::NotSent(_) => {
            let detail = "the authority cannot be reached: check the network, its address and `ca_file`";
            Refusal::new(Turn::Unavailable, RefusalKind::AuthorityUnavailable, detail).retrying(retry).local()
        }
        AuthorityError::Broken(_) => {
            let detail = "the connection to the authority broke before its answer was complete: try again later";
            Refusal::new(Turn::Unavailable, RefusalKind::AuthorityUnavailable, detail).retrying(retry)
        }
        AuthorityError::Busy => {
            let detail = "too many calls to the authority are under way, and no turn came in time: try again";
            Refusal::new(Turn::Unavailable, RefusalKind::AuthorityUnavailable, detail).retrying(Retry::Backoff).local()
        }
        AuthorityError::TimedOut => {
            let detail = "the authority did not answer in time: try again later";
            Refusal::new(Turn::OutOfTime, RefusalKind::AuthorityTimeout, detail).retrying(retry)
        }
        AuthorityError::Bound => {
            let detail = "the authority bound the token to the app's certificate (`cnf`), and no caller could use it: turn \
                          certificate-bound access tokens off for this client";
            Refusal::new(Turn::Operator, RefusalKind::TokenIsBound, detail).retrying(retry)
        }
        AuthorityError::Invalid(what) => {
            let detail = format!("the authority's answer cannot be used: {what}");
            Refusal::new(Turn::Operator, RefusalKind::InvalidAuthorityResponse, detail).retrying(retry)
        }
        other @ AuthorityError::OtherIssuer { .. } => {
            let detail = format!("the authority's answer cannot be used: {other}");
            Refusal::new(Turn::Operator, RefusalKind::InvalidAuthorityResponse, detail).retrying(retry)
        }
        AuthorityError::Strange(strange) => {
            let detail = format!("the authority's answer cannot be used: {strange}: {}", strange.remedy());
            let retry = if strange.is_final() { Retry::Never } else { retry };
            Refusal::new(Turn::Operator, RefusalKind::InvalidAuthorityResponse, detail).retrying(retry)
        }
    }
}

/// Nothing can be said of the token, so it is not the user's turn. `now` is given where the same request can succeed later.
pub(in crate::flow) fn no_keys(failure: AuthorityError, now: Option<Moment>) -> Refusal {
    let until = now.zip(failure.retry_after()).map(|(now, pause)| now.after(pause));
    let lower = refuse(Flow::OnBehalfOf, failure, None);
    let detail = format!("the authority's keys cannot be had: {}", lower.detail);
    let refusal = Refusal::new(Turn::Unavailable, RefusalKind::KeysUnavailable, detail);
    Refusal { cause: lower.cause, ..refusal }.retrying(until.map_or(Retry::Backoff, Retry::At))
}

/// The refusal where nothing is known of an account.
pub(in crate::flow) fn no_tokens() -> Refusal {
    let detail = "nothing is known of this `account`, or nothing renews its tokens: let the user sign in again";
    Refusal::new(Turn::User, RefusalKind::NoTokensFound, detail)
}

/// The refusal where there is no such session, or none that this caller may know of.
pub(in crate::flow) fn no_session() -> Refusal {
    let detail = "there is no such `session`, or it has ended: start one with the user's token as `Authorization: Bearer`";
    Refusal::new(Turn::User, RefusalKind::SessionNotFound, detail)
}

/// The refusal where what the answer depends on stands in a store that cannot be asked.
pub(in crate::flow) fn unavailable(why: Unavailable) -> Refusal {
    let detail = match why {
        Unavailable::Unreachable | Unavailable::Busy => "the cache that replicas share cannot be asked: try again later",
        Unavailable::Unreadable => {
            "what the shared cache has was written by a newer release or under a key that is not in the key ring"
        }
    };
    Refusal::new(Turn::Unavailable, RefusalKind::CacheUnavailable, detail).retrying(Retry::Backoff).local()
}

/// A flight that panicked, or was cut off at shutdown.
pub(in crate::flow) fn broken_off() -> Refusal {
    Refusal::new(Turn::Unavailable, RefusalKind::InternalError, "the request broke off: try again").retrying(Retry::Backoff)
}

/// What is said where a flight brought nothing.
pub(in crate::flow) fn lost(lost: Lost, clock: &Clock) -> Refusal {
    match lost {
        Lost::BrokenOff => broken_off(),
        Lost::NoRoom => overloaded("limits.flights", clock),
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, turn};
    use crate::oauth::ErrorBody;
    use crate::token::Turn;

    fn body(error: &str, suberror: Option<&str>, claims: bool) -> ErrorBody {
        ErrorBody {
            error: error.to_owned(),
            suberror: suberror.map(str::to_owned),
            claims: claims.then(|| "{}".to_owned()),
            ..ErrorBody::default()
        }
    }

    #[test]
    fn err_5_the_matrix_of_who_has_to_act() {
        use Flow::{AuthCode, ClientCredentials, OnBehalfOf};
        let cases = [
            ("invalid_grant", None, false, [Turn::Operator, Turn::User, Turn::Caller]),
            ("invalid_grant", Some("consent_required"), false, [Turn::Operator, Turn::User, Turn::User]),
            ("invalid_grant", Some("basic_action"), true, [Turn::User, Turn::User, Turn::User]),
            ("invalid_grant", Some("bad_token"), false, [Turn::Operator, Turn::User, Turn::Caller]),
            ("invalid_grant", Some("client_mismatch"), false, [Turn::Rights, Turn::Rights, Turn::Rights]),
            ("invalid_grant", Some("protection_policy_required"), false, [Turn::Rights, Turn::Rights, Turn::Rights]),
            ("interaction_required", None, false, [Turn::User, Turn::User, Turn::User]),
            ("interaction_required", Some("message_only"), true, [Turn::User, Turn::User, Turn::User]),
            ("login_required", None, false, [Turn::User, Turn::User, Turn::User]),
            ("consent_required", None, false, [Turn::User, Turn::User, Turn::User]),
            ("invalid_client", None, false, [Turn::Operator, Turn::Operator, Turn::Operator]),
            ("unauthorized_client", None, false, [Turn::Operator, Turn::Operator, Turn::Operator]),
            ("invalid_scope", None, false, [Turn::Caller, Turn::Caller, Turn::Caller]),
            ("invalid_resource", None, false, [Turn::Caller, Turn::Caller, Turn::Caller]),
            ("invalid_request", None, false, [Turn::Operator, Turn::Caller, Turn::Caller]),
            ("invalid_client", Some("client_mismatch"), false, [Turn::Rights, Turn::Rights, Turn::Rights]),
            ("unauthorized_client", Some("protection_policy_required"), false, [Turn::Rights, Turn::Rights, Turn::Rights]),
            ("interaction_required", Some("protection_policy_required"), false, [Turn::Rights, Turn::Rights, Turn::Rights]),
            ("something_new", Some("protection_policy_required"), false, [Turn::Rights, Turn::Rights, Turn::Rights]),
            ("unauthorized_client", Some("protection_policy_required"), true, [Turn::User, Turn::User, Turn::User]),
            ("something_new", None, false, [Turn::Operator, Turn::Operator, Turn::Operator]),
        ];
        for (error, suberror, claims, expected) in cases {
            let body = body(error, suberror, claims);
            let turns = [ClientCredentials, OnBehalfOf, AuthCode].map(|flow| turn(flow, false, &body));
            assert_eq!(turns, expected, "{error} {suberror:?} {claims}");
        }
    }

    #[test]
    fn a_named_tenant_may_be_what_is_wrong_with_a_request() {
        let body = body("invalid_request", None, false);
        assert_eq!(turn(Flow::ClientCredentials, true, &body), Turn::Caller);
        assert_eq!(turn(Flow::ClientCredentials, false, &body), Turn::Operator);
    }

    #[test]
    fn err_9_aadsts_numbers_change_nothing() {
        let mut with_numbers = body("invalid_grant", None, false);
        with_numbers.error_codes = vec![50076, 999_999];
        assert_eq!(
            turn(Flow::OnBehalfOf, false, &with_numbers),
            turn(Flow::OnBehalfOf, false, &body("invalid_grant", None, false))
        );
    }
}
