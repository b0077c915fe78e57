//! What a failure stops, and for how long (contract, cache point 11): exactly what it is about, and more only on proof.

use std::sync::Arc;
use std::time::Duration;

use super::evidence::{Standing, Witness};
use super::failure::is_about_the_user;
use crate::authority::{AuthorityError, Hold, Holds, Stops};
use crate::clock::{Clock, Moment};
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::refusal::{Refusal, RefusalKind};
use crate::oauth::ErrorBody;
use crate::token::{HoldKey, Lane, Retry, Tenant, Turn, Variant};

/// For a 429 that names no time.
const UNNAMED_PAUSE: Duration = Duration::from_secs(5);
/// For a refused grant.
const REFUSED: Duration = Duration::from_secs(5);
/// For a refused credential, and for a client that may not use a grant type; a new credential is tried at once.
const CLIENT: Duration = Duration::from_secs(60);
/// The first and the longest pause of a partition whose calls fail.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Remembered refusals.
pub(in crate::flow) type Remembered = Holds<Arc<Refusal>>;

/// Remembers nothing yet.
pub(in crate::flow) fn remembered() -> Remembered {
    Holds::new(|refusal| refusal.weight())
}

/// Everything that a failure of one request may stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    credential: HoldKey,
    tenant: HoldKey,
    grant: HoldKey,
    request: HoldKey,
    pause: HoldKey,
    partition: HoldKey,
    /// Where replicas share the evidence about the credential.
    pub(super) evidence: HoldKey,
    pub(super) witness: Witness,
    pub(super) version: u64,
}

/// What a request is, as far as holds go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) authority: &'a str,
    pub(super) client_id: &'a str,
    pub(super) app: &'a str,
    pub(super) credential_version: u64,
    /// The tenant that is asked (empty at issuers), and what its word is worth.
    pub(super) tenant: (&'a str, Standing),
    pub(super) flow: Flow,
    pub(super) asked: Asked<'a>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// What backs off together. For a user it is the partition, or the part of it for one inbound token; for an app it is the part
    /// of its partition for what is asked.
    pub(super) lane: &'a Lane,
    pub(super) variant: &'a Variant,
    pub(super) scopes: &'a str,
    pub(super) challenge: u64,
    /// Names the refresh token that is sent; zero for none.
    pub(super) refresh_token: u64,
    /// Whether an assertion is sent, which is another grant than the flow's usual one.
    pub(super) is_asserted: bool,
}

/// Which hold a failure makes, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    key: HoldKey,
    pub(super) stops: Stops,
    pub(super) until: Moment,
    failures: u32,
}

/// A refusal as it is remembered.
#[derive(Debug)]
pub(super) struct RememberedRefusal {
    pub(super) key: HoldKey,
    pub(super) stops: Stops,
    pub(super) until: Moment,
    /// The name of the record for other replicas.
    pub(super) record: u64,
    pub(super) refusal: Arc<Refusal>,
}

/// The keys of a request of an app. `tenant` is the one that is asked, where it is not the authority's own.
pub(super) fn keys(app: &App, (flow, tenant): (Flow, Option<&Tenant>), credential_version: u64, asked: Asked<'_>) -> Keys {
    let standing = match (tenant, app.authority.tenant()) {
        // An issuer has one endpoint for all.
        (None, None) => Standing::Own,
        (None, Some(own)) if !own.is_any() => Standing::Own,
        (Some(named), _) if named.is_guid() => Standing::Other,
        _ => Standing::Unknown,
    };
    Keys::of(&Subject {
        authority: app.canonical(),
        client_id: &app.client_id,
        app: &app.name,
        credential_version,
        tenant: (app.tenant_name(tenant), standing),
        flow,
        asked,
    })
}

// === impl Keys ===

impl Keys {
    pub(super) fn of(subject: &Subject<'_>) -> Self {
        let Subject { authority, client_id, app, tenant: (tenant, standing), asked, .. } = *subject;
        let version = subject.credential_version.to_be_bytes();
        let (challenge, refresh_token) = (asked.challenge.to_be_bytes(), asked.refresh_token.to_be_bytes());
        let scopes = asked.scopes.as_bytes();
        // By app and not by client id, because another app of the same client has a credential of its own; and by version: a new
        // credential is not stopped by what was said of the old one.
        let proved: [&[u8]; 3] = [authority.as_bytes(), app.as_bytes(), &version];
        let of_credential = |what: &[u8], more: &[&[u8]]| HoldKey::of(&[&[what][..], &proved[..], more].concat());
        let tenant_key = of_credential(b"tenant", &[tenant.as_bytes()]);
        let grant = if asked.is_asserted { "saml" } else { subject.flow.grant() };
        Self {
            credential: of_credential(b"credential", &[]),
            // Some servers say `unauthorized_client` of a wrong secret, too.
            grant: of_credential(b"grant", &[tenant.as_bytes(), grant.as_bytes()]),
            // By app, because a locally unusable credential is one app's own.
            request: HoldKey::of(&[b"request", app.as_bytes(), asked.lane, asked.variant, scopes, &challenge, &refresh_token]),
            pause: HoldKey::of(&[b"pause", authority.as_bytes(), tenant.as_bytes(), client_id.as_bytes(), scopes]),
            partition: HoldKey::of(&[b"partition", asked.lane]),
            evidence: of_credential(b"evidence", &[]),
            witness: Witness { id: tenant_key.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)), standing },
            version: subject.credential_version,
            tenant: tenant_key,
        }
    }

    /// What stands for this request now.
    pub(super) fn standing(&self, remembered: &Remembered, now: Moment) -> Option<Hold<Arc<Refusal>>> {
        self.all().iter().find_map(|(stops, key)| remembered.standing(*stops, key, now))
    }

    /// What stands now for every request of this app that uses this grant type in this tenant for these scopes.
    pub(super) fn standing_for_all(&self, remembered: &Remembered, now: Moment) -> Option<Hold<Arc<Refusal>>> {
        self.for_all().iter().find_map(|(stops, key)| remembered.standing(*stops, key, now))
    }

    /// All of them, those that stand longest first. What was said to this very request comes before the pauses, because it says
    /// more.
    pub(super) fn all(&self) -> [(Stops, HoldKey); 6] {
        Stops::ALL.map(|stops| (stops, self.key(stops)))
    }

    /// Those that are not about the grant that is sent.
    pub(super) fn for_all(&self) -> [(Stops, HoldKey); 4] {
        [Stops::Credential, Stops::Tenant, Stops::Grant, Stops::Pause].map(|stops| (stops, self.key(stops)))
    }

    fn key(&self, stops: Stops) -> HoldKey {
        match stops {
            Stops::Credential => self.credential,
            Stops::Tenant => self.tenant,
            Stops::Grant => self.grant,
            Stops::Request => self.request,
            Stops::Pause => self.pause,
            Stops::Partition => self.partition,
        }
    }

    /// What a failure stops, if anything.
    pub(super) fn stop(&self, failure: &AuthorityError, remembered: &Remembered, clock: &Clock, jitter: f64) -> Option<Stop> {
        // Zero would stop nothing: a second keeps a broken server from being hammered.
        let named = failure.retry_after().map(|pause| pause.max(Duration::from_secs(1)));
        let now = clock.moment();
        let (stops, pause) = match failure {
            AuthorityError::Throttled { .. } => (Stops::Pause, named.unwrap_or(UNNAMED_PAUSE)),
            AuthorityError::Unavailable { status: 500.., retry_after: Some(_), .. } => (Stops::Pause, Duration::ZERO),
            AuthorityError::Refused { status, body, .. } => {
                let stops = refused(*status, body);
                (stops, if stops == Stops::Request { REFUSED } else { CLIENT })
            }
            // Garbage says nothing of other requests.
            AuthorityError::Bound
            | AuthorityError::Invalid(_)
            | AuthorityError::OtherIssuer { .. }
            | AuthorityError::Strange(_) => (Stops::Request, REFUSED),
            AuthorityError::Unavailable { .. }
            | AuthorityError::NotSent(_)
            | AuthorityError::Broken(_)
            | AuthorityError::TimedOut => {
                let failures = remembered.failures(Stops::Partition, &self.partition, now);
                (Stops::Partition, backoff(failures, jitter))
            }
            // It was not the authority's doing, and the next turn may come at once.
            AuthorityError::Busy => return None,
        };
        let until = now.after(named.map_or(pause, |named| named.max(pause)));
        Some(self.stopping(stops, until, remembered.failures(stops, &self.key(stops), now)))
    }

    /// A failure before the authority was asked: this request alone waits.
    pub(super) fn stop_request(&self, clock: &Clock) -> Stop {
        self.stopping(Stops::Request, clock.moment().after(REFUSED), 0)
    }

    /// The failure as that of every request of the app: the credential is refused everywhere.
    pub(super) fn widened(&self, stop: Stop) -> Stop {
        Stop { key: self.credential, stops: Stops::Credential, ..stop }
    }

    fn stopping(&self, stops: Stops, until: Moment, failures: u32) -> Stop {
        Stop { key: self.key(stops), stops, until, failures: failures.saturating_add(1) }
    }

    /// Holds this request alone, here alone.
    pub(super) fn hold_request(&self, remembered: &Remembered, app: &Arc<str>, until: Moment, refusal: &Arc<Refusal>) {
        let failure = Arc::clone(refusal);
        remembered.hold(self.request, Hold { until, failures: 1, failure, stops: Stops::Request, record: 0, app: Arc::clone(app) });
    }

    /// A success clears what was remembered of its partition, of its request, and of the client here (ERR-8). A pause that the
    /// authority asked for stays. Returns the keys under which something was remembered.
    pub(super) fn clear(&self, remembered: &Remembered, now: Moment) -> Vec<HoldKey> {
        let disproved =
            self.all().into_iter().filter(|(stops, key)| *stops != Stops::Pause && remembered.failures(*stops, key, now) > 0);
        disproved.inspect(|(stops, key)| remembered.clear(*stops, key)).map(|(_, key)| key).collect()
    }
}

// === impl Stop ===

impl Stop {
    /// Whether it concerns others than the one who was refused: their requests, and what they are told.
    pub(super) fn concerns_others(self) -> bool {
        match self.stops {
            Stops::Credential | Stops::Tenant | Stops::Grant | Stops::Pause => true,
            Stops::Request | Stops::Partition => false,
        }
    }

    /// Remembers a refusal, and returns what was remembered. If it concerns others, they are not told what the authority said to
    /// this caller: that may name the user.
    pub(super) fn remember(self, remembered: &Remembered, app: &Arc<str>, refusal: &Arc<Refusal>) -> RememberedRefusal {
        let said = if self.concerns_others() { Arc::new(self.for_others(refusal)) } else { Arc::clone(refusal) };
        let Self { key, stops, until, failures } = self;
        let record = rand::random();
        remembered.hold(key, Hold { until, failures, failure: Arc::clone(&said), stops, record, app: Arc::clone(app) });
        RememberedRefusal { key, stops, until, record, refusal: said }
    }

    fn for_others(self, refusal: &Refusal) -> Refusal {
        let paused = "the authority asked for a pause: wait as long as Retry-After says";
        let said = |turn, kind| Refusal::new(turn, kind, paused).retrying(Retry::At(self.until));
        match refusal.turn {
            Turn::Unavailable => said(refusal.turn, refusal.kind),
            // A client that was refused: the `error` says so, and nothing else of the answer is needed.
            Turn::Operator => {
                let error = refusal.answer.as_ref().map(|answer| answer.error.clone()).unwrap_or_default();
                let answer = Some(Box::new(ErrorBody { error, ..ErrorBody::default() }));
                Refusal { answer, ..Refusal::new(refusal.turn, refusal.kind, refusal.detail.clone()) }.retrying(refusal.retry)
            }
            _ => said(Turn::Throttled, RefusalKind::Throttled),
        }
    }
}

/// What a refusal is about. Keycloak says `invalid_client` with 400 of an unknown audience: only with 401 it is about the client
/// itself (RFC 6749 §5.2).
fn refused(status: u16, body: &ErrorBody) -> Stops {
    match body.error.as_str() {
        _ if is_about_the_user(body) => Stops::Request,
        "invalid_client" if status == 401 => Stops::Tenant,
        "unauthorized_client" => Stops::Grant,
        _ => Stops::Request,
    }
}

fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF * 2_u32.saturating_pow(failures.min(10));
    doubled.min(LONGEST_BACKOFF).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Asked, Keys, Subject, remembered};
    use crate::authority::AuthorityError;
    use crate::clock::Clock;
    use crate::flow::catalogue::Flow;
    use crate::flow::refusal::{Refusal, RefusalKind};
    use crate::flow::spine::evidence::Standing;
    use crate::oauth::ErrorBody;
    use crate::token::{Lane, Turn, Variant};
    use crate::transport::Cause;

    const USUAL: Subject<'static> = Subject {
        authority: "https://id.example",
        client_id: "client",
        app: "app",
        credential_version: 1,
        tenant: ("contoso", Standing::Own),
        flow: Flow::OnBehalfOf,
        asked: Asked {
            lane: &Lane::new([1; 32]),
            variant: &Variant::new([0; 32]),
            scopes: "a",
            challenge: 0,
            refresh_token: 0,
            is_asserted: false,
        },
    };

    fn error(status: u16, error: &str) -> AuthorityError {
        refused(status, ErrorBody { error: error.to_owned(), ..ErrorBody::default() }, None)
    }

    fn refused(status: u16, body: ErrorBody, retry_after: Option<Duration>) -> AuthorityError {
        AuthorityError::Refused { status, body: Box::new(body), retry_after }
    }

    /// Which of these requests a failure of the usual one stops.
    fn stopped(failure: &AuthorityError, others: &[Subject<'_>]) -> Vec<bool> {
        let (clock, remembered) = (Clock::manual(0), remembered());
        let refusal = Arc::new(Refusal::new(Turn::Operator, RefusalKind::Refused, "no"));
        if let Some(stop) = Keys::of(&USUAL).stop(failure, &remembered, &clock, 0.5) {
            stop.remember(&remembered, &"app".into(), &refusal);
        }
        assert!(Keys::of(&USUAL).standing(&remembered, clock.moment()).is_some(), "{failure:?}");
        others.iter().map(|other| Keys::of(other).standing(&remembered, clock.moment()).is_some()).collect()
    }

    /// Other replicas, of other releases too, find by these what was said.
    #[test]
    fn remembered_failures_are_called_the_same_in_every_release() {
        let asked = Asked {
            lane: &Lane::new([1; 32]),
            variant: &Variant::new([2; 32]),
            scopes: "a b",
            challenge: 5,
            refresh_token: 7,
            is_asserted: false,
        };
        for (flow, expected) in [
            (
                Flow::ClientCredentials,
                [
                    "05f82bea0003794d",
                    "473384b33983f253",
                    "cfdfa26ce198ee07",
                    "10bf6cf7036da904",
                    "8db48e801b3cbf6e",
                    "b6ef9d59615a3994",
                    "350f6a1868fa254c",
                ],
            ),
            (
                Flow::OnBehalfOf,
                [
                    "05f82bea0003794d",
                    "473384b33983f253",
                    "d4b0b8655eaa3cb4",
                    "10bf6cf7036da904",
                    "8db48e801b3cbf6e",
                    "b6ef9d59615a3994",
                    "350f6a1868fa254c",
                ],
            ),
            (
                Flow::AuthCode,
                [
                    "05f82bea0003794d",
                    "473384b33983f253",
                    "20c2e5536dcade37",
                    "10bf6cf7036da904",
                    "8db48e801b3cbf6e",
                    "b6ef9d59615a3994",
                    "350f6a1868fa254c",
                ],
            ),
            (
                Flow::Silent,
                [
                    "05f82bea0003794d",
                    "473384b33983f253",
                    "b90ff01fb7f11a9a",
                    "10bf6cf7036da904",
                    "8db48e801b3cbf6e",
                    "b6ef9d59615a3994",
                    "350f6a1868fa254c",
                ],
            ),
        ] {
            let keys = Keys::of(&Subject { flow, asked, ..USUAL });
            let named = keys.all().map(|(_, key)| key).into_iter().chain([keys.evidence]);
            let named: Vec<String> = named.map(|key| key.iter().take(8).map(|byte| format!("{byte:02x}")).collect()).collect();
            assert_eq!(named, expected, "{flow:?}");
        }
    }

    #[test]
    fn a_failure_stops_what_it_is_about_and_nothing_else() {
        let asked = USUAL.asked;
        let others = [
            // 0: the same with another assertion or of another user; 1: other scopes of the same; 2: another challenge.
            Subject { asked: Asked { lane: &Lane::new([2; 32]), ..asked }, ..USUAL },
            Subject { asked: Asked { scopes: "b", ..asked }, ..USUAL },
            Subject { asked: Asked { challenge: 1, ..asked }, ..USUAL },
            // 3: another grant type, for something else; 4: another tenant; 5: another credential; 6: another app of the client.
            Subject { flow: Flow::AuthCode, asked: Asked { lane: &Lane::new([2; 32]), scopes: "b", ..asked }, ..USUAL },
            Subject { tenant: ("fabrikam", Standing::Other), asked: Asked { lane: &Lane::new([3; 32]), ..asked }, ..USUAL },
            Subject { credential_version: 2, asked: Asked { lane: &Lane::new([2; 32]), ..asked }, ..USUAL },
            Subject { app: "other", asked: Asked { lane: &Lane::new([2; 32]), ..asked }, ..USUAL },
            // 7: another client; 8: another refresh token; 9: an assertion.
            Subject { client_id: "other", app: "other", asked: Asked { lane: &Lane::new([4; 32]), ..asked }, ..USUAL },
            Subject { asked: Asked { refresh_token: 1, ..asked }, ..USUAL },
            Subject { asked: Asked { lane: &Lane::new([5; 32]), scopes: "b", is_asserted: true, ..asked }, ..USUAL },
        ];
        let second = Some(Duration::from_secs(1));
        let unavailable = |status, retry_after| AuthorityError::Unavailable { status, body: None, retry_after };
        let about_user = |error: &str, suberror: Option<&str>, claims: Option<&str>| {
            let (error, suberror, claims) = (error.to_owned(), suberror.map(str::to_owned), claims.map(str::to_owned));
            refused(401, ErrorBody { error, suberror, claims, ..ErrorBody::default() }, None)
        };
        let request = [false; 10];
        let lane = [false, true, true, false, false, false, false, false, true, false];
        let pause = [true, false, true, false, false, true, true, false, true, false];
        let grant = [true, true, true, false, false, false, false, false, true, false];
        let tenant = [true, true, true, true, false, false, false, false, true, true];
        for (failure, expected) in [
            (AuthorityError::Throttled { body: None, retry_after: None }, pause),
            (AuthorityError::Throttled { body: None, retry_after: second }, pause),
            (unavailable(503, second), pause),
            (unavailable(503, None), lane),
            (unavailable(400, second), lane),
            (AuthorityError::TimedOut, lane),
            (AuthorityError::Broken(Cause::new("reset")), lane),
            (AuthorityError::NotSent(Cause::new("refused")), lane),
            (AuthorityError::Invalid("no"), request),
            (error(400, "invalid_grant"), request),
            (error(400, "interaction_required"), request),
            (error(400, "invalid_client"), request),
            (refused(400, ErrorBody { error: "invalid_grant".to_owned(), ..ErrorBody::default() }, second), request),
            (about_user("invalid_client", Some("client_mismatch"), None), request),
            (about_user("unauthorized_client", Some("protection_policy_required"), None), request),
            (about_user("unauthorized_client", None, Some("{}")), request),
            (error(400, "unauthorized_client"), grant),
            (error(401, "unauthorized_client"), grant),
            (error(401, "invalid_client"), tenant),
        ] {
            assert_eq!(stopped(&failure, &others), expected, "{failure:?}");
        }
    }

    #[test]
    fn a_widened_stop_is_the_apps_with_this_credential() {
        let (clock, remembered) = (Clock::manual(0), remembered());
        let keys = Keys::of(&USUAL);
        let stop = keys.stop(&error(401, "invalid_client"), &remembered, &clock, 0.5).unwrap();
        keys.widened(stop).remember(
            &remembered,
            &"app".into(),
            &Arc::new(Refusal::new(Turn::Operator, RefusalKind::Refused, "no")),
        );
        let standing = |subject: Subject<'_>| Keys::of(&subject).standing(&remembered, clock.moment()).is_some();
        assert!(standing(Subject { tenant: ("fabrikam", Standing::Other), flow: Flow::AuthCode, ..USUAL }));
        assert!(!standing(Subject { credential_version: 2, ..USUAL }));
        assert!(!standing(Subject { app: "other", ..USUAL }));
        // It works after all.
        assert_eq!(keys.clear(&remembered, clock.moment()).len(), 1);
        assert!(!standing(USUAL));
    }

    #[test]
    fn retry_after_lengthens_a_refusal_and_shortens_none() {
        let (clock, remembered) = (Clock::manual(0), remembered());
        let until = |failure: &AuthorityError| {
            let stop = Keys::of(&USUAL).stop(failure, &remembered, &clock, 0.5).unwrap();
            stop.until.since(clock.moment()).as_secs()
        };
        let body = |error: &str| ErrorBody { error: error.to_owned(), ..ErrorBody::default() };
        let after = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(until(&refused(400, body("invalid_grant"), after(1))), 5);
        assert_eq!(until(&refused(400, body("invalid_grant"), after(9))), 9);
        assert_eq!(until(&refused(401, body("invalid_client"), after(9))), 60);
        assert_eq!(until(&refused(401, body("unauthorized_client"), after(600))), 600);
        assert_eq!(until(&AuthorityError::Throttled { body: None, retry_after: after(2) }), 2);
        assert_eq!(until(&AuthorityError::Throttled { body: None, retry_after: None }), 5);
        assert_eq!(until(&AuthorityError::Unavailable { status: 503, body: None, retry_after: after(0) }), 1);
        assert_eq!(until(&AuthorityError::Unavailable { status: 400, body: None, retry_after: after(9) }), 9);
    }
}
