//! Refresh handles: what a client keeps to have a signed-in user's tokens later, in place of the authority's refresh token.
//!
//! A handle is a text: its kind, the id of the key and the time of issue in clear, and sealed behind that whose sign-in it is for
//! and what was asked for. Nothing of it is stored. It is good for as long as the account's lineage lasts, which a sign-out ends.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::request::Common;
use crate::cache::{HandleKind, Handles, Unavailable, Unopened};
use crate::secret::Secret;
use crate::token::{Partition, Scopes, SpaceId};

/// What every handle begins with.
const KIND: &str = "tkd1.";
/// How long a handle may be, in bytes: clients keep them in cookies and columns.
const LONGEST: usize = 2048;
/// How far the clocks of replicas may differ, in seconds.
const SKEW: i64 = 60;
/// For how long after its issue what a handle needs may still be on its way, in seconds: a key ring's new file, or a sign-in that
/// could not be stored at once.
const ON_ITS_WAY: i64 = 15 * 60;

/// What a handle says.
// No `Debug`: it would show the user. Its members and their order stand in handles.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandleRecord {
    /// The key space of the account: of the app, and of the caller that it belongs to.
    pub(super) space: SpaceId,
    /// The caller's name; `None`: there were no callers.
    pub(super) caller: Option<String>,
    pub(super) subject: HandleSubject,
    pub(super) asked: HandleAsked,
    /// What later releases say, by name: it stays as it is.
    more: BTreeMap<String, Vec<u8>>,
}

/// Whose tokens a handle is for. Another kind of subject is one more variant, which older releases do not take.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HandleSubject {
    /// An account, and the lineage of its sign-in.
    Account { home_account_id: String, lineage: [u8; 16] },
    /// A long-running session by its partition, which is a hash of its key, and its lineage.
    Session { partition: Partition, lineage: [u8; 16] },
}

/// What was asked for when the user signed in.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandleAsked {
    scopes: String,
    audience: Option<String>,
    resource: Option<String>,
    tenant: Option<String>,
}

/// A handle that is wanted for a sign-in, as far as it can be said before the user is known.
#[derive(Clone)]
pub(super) struct WantedHandle {
    pub(super) space: SpaceId,
    pub(super) caller: Option<String>,
    pub(super) asked: HandleAsked,
}

/// A handle that was opened, and is not too old.
pub(super) struct Handle {
    pub(super) record: HandleRecord,
    /// Whether what it needs may still be on its way.
    pub(super) is_fresh: bool,
}

/// Why a text is no handle that can be redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHandle {
    /// It never will be, or is not any more.
    Invalid,
    /// What opens it may still arrive.
    NotYet,
    /// What opens it cannot be asked for.
    Unavailable(Unavailable),
}

// === impl BadHandle ===

impl BadHandle {
    /// Why a sealed text cannot be opened at this time, in seconds since the Unix epoch.
    pub(super) fn of(why: Unopened, now: i64) -> Self {
        match why {
            Unopened::Unknown(issued) if is_on_its_way(issued, now) => Self::NotYet,
            Unopened::Foreign | Unopened::Unknown(_) => Self::Invalid,
            Unopened::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Whether what opens a handle that was issued then may still be on its way.
fn is_on_its_way(issued: i64, now: i64) -> bool {
    is_within(issued, ON_ITS_WAY, now)
}

fn is_within(issued: i64, age: i64, now: i64) -> bool {
    issued <= now.saturating_add(SKEW) && now <= issued.saturating_add(age).saturating_add(SKEW)
}

/// Whether a text is a handle by its form.
pub(super) fn is_handle(text: &str) -> bool {
    text.starts_with(KIND)
}

// === impl Handle ===

impl Handle {
    /// What a request with it asks for.
    pub(super) fn asked_by<'a>(&'a self, request: &Common<'a>) -> Common<'a> {
        self.record.asked.with(request)
    }

    /// Opens a handle at this time, in seconds since the Unix epoch, if it is no older than `lifetime`.
    ///
    /// # Errors
    /// It is none that can be redeemed here and now.
    pub(super) async fn open(handles: &Handles, text: &str, now: i64, lifetime: Duration) -> Result<Self, BadHandle> {
        let sealed = decoded(text).ok_or(BadHandle::Invalid)?;
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let (issued, payload) = handles.open(HandleKind::Refresh, &sealed).await.map_err(|why| BadHandle::of(why, now))?;
        let record = postcard::from_bytes(&payload).ok().filter(|_| is_within(issued, lifetime, now)).ok_or(BadHandle::Invalid)?;
        Ok(Self { record, is_fresh: is_on_its_way(issued, now) })
    }
}

/// What is sealed in a text that has the form of a handle.
fn decoded(text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text.strip_prefix(KIND)?).ok()
}

// === impl HandleRecord ===

impl HandleRecord {
    /// In which key space it is good, and for which caller.
    pub(super) fn whose(&self) -> (&SpaceId, Option<&str>) {
        (&self.space, self.caller.as_deref())
    }

    /// The handle that says this, issued at this time, in seconds since the Unix epoch. `None`: it would be too long to be kept by
    /// every client, or there is nothing to seal it with.
    pub(super) fn seal(&self, handles: &Handles, now: i64) -> Option<Secret> {
        let sealed = handles.seal(HandleKind::Refresh, now, &postcard::to_stdvec(self).ok()?)?;
        let text = KIND.to_owned() + &URL_SAFE_NO_PAD.encode(sealed);
        Some(Secret::new(text)).filter(|text| text.expose().len() <= LONGEST)
    }
}

// === impl WantedHandle ===

impl WantedHandle {
    /// What the handle says of the user who signed in.
    pub(super) fn of(self, subject: HandleSubject) -> HandleRecord {
        let Self { space, caller, asked } = self;
        HandleRecord { space, caller, subject, asked, more: BTreeMap::new() }
    }
}

// === impl HandleAsked ===

impl HandleAsked {
    /// What a request for these scopes asks for.
    pub(super) fn of(scopes: &Scopes, common: &Common<'_>) -> Self {
        let text = |member: Option<&str>| member.map(str::to_owned);
        Self {
            scopes: scopes.to_string(),
            audience: text(common.audience),
            resource: text(common.resource),
            tenant: text(common.tenant),
        }
    }

    /// The scopes that were asked for.
    pub(super) fn scopes(&self) -> Scopes {
        Scopes::granted(&self.scopes)
    }

    /// What a request with the handle asks for: what it does not say is as it was. One that names an `api` says by that what the
    /// token is good for, and one that names an audience or a resource means no other.
    pub(super) fn with<'a>(&'a self, request: &Common<'a>) -> Common<'a> {
        let own = Some(Scopes::granted(&self.scopes)).filter(|own| !own.is_empty() && request.api.is_none());
        let names_target = request.api.is_some() || request.audience.is_some() || request.resource.is_some();
        let target = |named: Option<&'a str>, own: &'a Option<String>| if names_target { named } else { own.as_deref() };
        Common {
            scopes: request.scopes.clone().or(own),
            audience: target(request.audience, &self.audience),
            resource: target(request.resource, &self.resource),
            tenant: request.tenant.or(self.tenant.as_deref()),
            ..request.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::any;
    use proptest::sample::Index;

    use super::{BadHandle, Handle, HandleAsked, HandleRecord, HandleSubject, LONGEST, WantedHandle, is_handle};
    use crate::cache::{Cache, HandleKind, Handles, Settings};
    use crate::clock::Clock;
    use crate::flow::{Common, WIRE};
    use crate::tasks::Tasks;
    use crate::telemetry::Metrics;
    use crate::token::{Partition, Scopes, SpaceId};

    const NOW: i64 = 1_795_300_000;
    const DAYS: Duration = Duration::from_secs(90 * 24 * 3600);

    fn handles() -> Handles {
        let metrics = Metrics::default();
        Cache::new(&Settings::default(), None, WIRE, &metrics, Clock::manual(NOW), Tasks::default()).handles().clone()
    }

    fn record(scopes: &str) -> HandleRecord {
        let common = Common { tenant: Some("contoso.example"), resource: Some("urn:r"), ..Common::default() };
        let asked = HandleAsked::of(&Scopes::granted(scopes), &common);
        let wanted = WantedHandle { space: SpaceId::new([4; 32]), caller: Some("alpha".to_owned()), asked };
        wanted.of(HandleSubject::Account { home_account_id: "oid.tid".to_owned(), lineage: [6; 16] })
    }

    fn sealed(handles: &Handles, record: &HandleRecord, at: i64) -> String {
        record.seal(handles, at).unwrap().expose().to_owned()
    }

    async fn open(handles: &Handles, text: &str, now: i64) -> Result<(HandleRecord, bool), BadHandle> {
        let opened = Handle::open(handles, text, now, DAYS).await;
        opened.map(|handle| (handle.record, handle.is_fresh))
    }

    #[tokio::test]
    async fn a_handle_comes_back_as_it_was_and_says_nothing_in_clear() {
        let (handles, record) = (handles(), record("a b"));
        let text = sealed(&handles, &record, NOW);
        assert!(is_handle(&text) && open(&handles, &text, NOW).await == Ok((record.clone(), true)));
        let clear = URL_SAFE_NO_PAD.decode(&text[5..]).unwrap();
        for hidden in [&b"oid"[..], b"alpha", b"contoso", b"urn:r", &[4; 8], &[6; 8]] {
            assert!(!clear.windows(hidden.len()).any(|part| part == hidden));
        }
        assert_ne!(sealed(&handles, &record, NOW), text, "no two are the same");
        for other in ["", "tkd1", "eyJ.a.b", "tkd2.", "Tkd1."] {
            assert!(!is_handle(other) && open(&handles, other, NOW).await == Err(BadHandle::Invalid));
        }
    }

    #[tokio::test]
    async fn a_sessions_handle_comes_back_as_it_was() {
        let (handles, mut record) = (handles(), record("a"));
        record.subject = HandleSubject::Session { partition: Partition::new([5; 32]), lineage: [6; 16] };
        let text = sealed(&handles, &record, NOW);
        assert!(open(&handles, &text, NOW).await == Ok((record, true)));
        let clear = URL_SAFE_NO_PAD.decode(&text[5..]).unwrap();
        assert!([&[5; 8], &[6; 8]].iter().all(|hidden| !clear.windows(8).any(|part| part == *hidden)));
    }

    #[tokio::test]
    async fn it_lasts_as_long_as_it_may_and_clocks_may_differ_by_a_minute() {
        let (handles, lifetime) = (handles(), i64::try_from(DAYS.as_secs()).unwrap());
        let text = sealed(&handles, &record("a"), NOW);
        for (age, expected) in [
            (-61, Err(BadHandle::Invalid)),
            (-60, Ok(true)),
            (960, Ok(true)),
            (961, Ok(false)),
            (lifetime + 60, Ok(false)),
            (lifetime + 61, Err(BadHandle::Invalid)),
        ] {
            assert_eq!(open(&handles, &text, NOW + age).await.map(|(_, is_fresh)| is_fresh), expected, "{age}");
        }
        // A shorter lifetime is one for those that were issued before as well.
        let hour = Duration::from_secs(3600);
        assert!(Handle::open(&handles, &text, NOW + 3600, hour).await.is_ok());
        assert!(Handle::open(&handles, &text, NOW + 3661, hour).await.is_err());
    }

    #[tokio::test]
    async fn one_that_would_be_too_long_is_none() {
        let handles = handles();
        let longest = (1..LONGEST).rev().find_map(|length| record(&"s".repeat(length)).seal(&handles, NOW)).unwrap();
        assert!((LONGEST - 3..=LONGEST).contains(&longest.expose().len()), "{}", longest.expose().len());
        assert!(open(&handles, longest.expose(), NOW).await.is_ok());
        assert!(record(&"s".repeat(9000)).seal(&handles, NOW).is_none());
    }

    #[tokio::test]
    async fn what_is_sealed_and_says_something_else_is_none() {
        let handles = handles();
        for payload in [&b""[..], b"text", &[255; 200]] {
            let sealed = handles.seal(HandleKind::Refresh, NOW, payload).unwrap();
            let text = format!("tkd1.{}", URL_SAFE_NO_PAD.encode(sealed));
            assert!(open(&handles, &text, NOW).await == Err(BadHandle::Invalid));
        }
        // Another kind of subject, as a later release may have it.
        let mut other = postcard::to_stdvec(&record("a")).unwrap();
        let at = 32 + 1 + 1 + "alpha".len();
        assert_eq!(std::mem::replace(&mut other[at], 9), 0, "the kind of the subject");
        let text = format!("tkd1.{}", URL_SAFE_NO_PAD.encode(handles.seal(HandleKind::Refresh, NOW, &other).unwrap()));
        assert!(open(&handles, &text, NOW).await == Err(BadHandle::Invalid));
    }

    #[tokio::test]
    async fn what_a_later_release_adds_stays_in_it() {
        let (handles, mut record) = (handles(), record("a"));
        record.more.insert("of_tomorrow".to_owned(), vec![0, 255]);
        let (opened, _) = open(&handles, &sealed(&handles, &record, NOW), NOW).await.unwrap();
        let again = sealed(&handles, &opened, NOW + 1);
        assert!(open(&handles, &again, NOW).await.is_ok_and(|(again, _)| again == record));
    }

    #[test]
    fn what_a_request_does_not_say_is_as_it_was() {
        let asked = record("a b").asked;
        let with = |common: Common<'_>| {
            let Common { scopes, api, audience, resource, tenant, .. } = asked.with(&common);
            let scopes = scopes.map(|scopes| scopes.to_string());
            [scopes, api.map(str::to_owned), audience.map(str::to_owned), resource.map(str::to_owned), tenant.map(str::to_owned)]
                .map(Option::unwrap_or_default)
        };
        let scopes = Some(Scopes::granted("a"));
        assert_eq!(with(Common::default()), ["a b", "", "", "urn:r", "contoso.example"]);
        assert_eq!(with(Common { scopes, ..Common::default() }), ["a", "", "", "urn:r", "contoso.example"]);
        assert_eq!(with(Common { resource: Some("urn:x"), ..Common::default() }), ["a b", "", "", "urn:x", "contoso.example"]);
        assert_eq!(with(Common { audience: Some("x"), ..Common::default() }), ["a b", "", "x", "", "contoso.example"]);
        assert_eq!(with(Common { api: Some("graph"), ..Common::default() }), ["", "graph", "", "", "contoso.example"]);
        assert_eq!(with(Common { tenant: Some("other"), ..Common::default() }), ["a b", "", "", "urn:r", "other"]);
        let nothing = HandleAsked::default();
        assert_eq!(nothing.with(&Common::default()).scopes, None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_but_a_handle_is_one(text in ".{0,80}", bytes in any::<Vec<u8>>(), at in any::<Index>(), cut in any::<Index>()) {
            let handles = handles();
            let good = sealed(&handles, &record("a"), NOW);
            let position = 5 + at.index(good.len() - 5);
            let mut changed = good.clone();
            let other = if changed.as_bytes()[position] == b'A' { "B" } else { "A" };
            changed.replace_range(position..=position, other);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let texts = [
                format!("tkd1.{text}"),
                format!("tkd1.{}", URL_SAFE_NO_PAD.encode(bytes)),
                good[..cut.index(good.len())].to_owned(),
                format!("{good}="),
                changed,
                text,
            ];
            for text in texts {
                proptest::prop_assert!(runtime.block_on(open(&handles, &text, NOW)).is_err());
            }
        }
    }
}
