//! A device code as tokend hands it out: a sealed text that says what was asked for and how the authority calls it. Nothing of it
//! is stored, and no authority ever sees it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::authority::LONGEST_DEVICE_CODE;
use crate::cache::{HandleKind, Handles};
use crate::caller::Beyond;
use crate::flow::handle::{BadHandle, HandleAsked};
use crate::flow::request::Common;
use crate::secret::Secret;
use crate::token::{FlightKey, Partition, SpaceId};

/// What every device code of ours begins with.
const KIND: &str = "tkdd1.";
/// How long one may be, in bytes: as a member of a request.
const LONGEST: usize = 8 * 1024;
/// How long what was asked for may be in it, in bytes. With the longest code of an authority it fits.
pub(super) const MOST_ASKED: usize = 3 * 1024;

// What is not counted by these two: names, ids, times, the seal, and lengths.
const _: () = assert!((LONGEST_DEVICE_CODE + MOST_ASKED + 768) / 3 * 4 < LONGEST);

/// What a device code says.
// No `Debug`: it would show the authority's code. Its members and their order stand in codes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceCodeRecord {
    /// What names it among the replicas.
    pub(super) id: [u8; 16],
    /// The key space of the account that it will become: of the app, and of the caller that started it.
    pub(super) space: SpaceId,
    /// The caller's name; `None`: there were no callers.
    pub(super) caller: Option<String>,
    /// The app's name.
    pub(super) app: String,
    /// The api that was named, or found.
    pub(super) api: Option<String>,
    /// What was asked for, the api's scopes included.
    pub(super) asked: HandleAsked,
    /// A claims challenge, which goes with the poll too.
    pub(super) claims: Option<String>,
    /// What keys the token beside that.
    pub(super) client_claims: Option<String>,
    /// Whether an OAuth client asked for an id token.
    pub(super) has_openid: bool,
    /// When it ends, in seconds since the Unix epoch.
    pub(super) ends: i64,
    /// How many seconds there have to be between two polls, as long as nobody was told to slow down.
    pub(super) interval: u32,
    /// What the authority calls it.
    pub(super) code: String,
    /// What later releases say, by name.
    pub(super) more: BTreeMap<String, Vec<u8>>,
}

// === impl DeviceCodeRecord ===

impl DeviceCodeRecord {
    /// The text that says this. `None`: it would be too long, or there is nothing to seal it with.
    pub(super) fn seal(&self, handles: &Handles, now: i64) -> Option<Secret> {
        let sealed = handles.seal(HandleKind::DeviceCode, now, &postcard::to_stdvec(self).ok()?)?;
        let text = KIND.to_owned() + &URL_SAFE_NO_PAD.encode(sealed);
        Some(Secret::new(text)).filter(|text| text.expose().len() <= LONGEST)
    }

    /// Opens a text at this time, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// It is no device code that can be polled here and now.
    pub(super) async fn open(handles: &Handles, text: &str, now: i64) -> Result<Self, BadHandle> {
        let sealed = Some(text).filter(|text| text.len() <= LONGEST).and_then(|text| text.strip_prefix(KIND));
        let sealed = sealed.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(BadHandle::Invalid)?;
        let (_, payload) = handles.open(HandleKind::DeviceCode, &sealed).await.map_err(|why| BadHandle::of(why, now))?;
        postcard::from_bytes(&payload).ok().filter(|record: &Self| now < record.ends).ok_or(BadHandle::Invalid)
    }

    /// What a poll asks for: all of it was said at the start.
    pub(super) fn common(&self, wants_handle: bool) -> Common<'_> {
        let asked = self.asked.with(&Common::default());
        Common {
            app: Some(&self.app),
            api: self.api.as_deref(),
            // An api says by itself what it is good for, and its scopes may have changed.
            scopes: asked.scopes.filter(|_| self.api.is_none()),
            client_claims: self.client_claims.as_deref(),
            beyond: Beyond::Nothing,
            wants_handle,
            tenant: asked.tenant,
            audience: asked.audience,
            resource: asked.resource,
            ..Common::default()
        }
    }

    /// What a poll of it is called in this process: who polls meanwhile joins it.
    pub(super) fn flight(&self) -> FlightKey {
        FlightKey::of(&[b"device", &self.space, &self.id])
    }

    /// Where the replicas keep what they know of it.
    pub(super) fn partition(&self) -> Partition {
        Partition::new(*FlightKey::of(&[b"device code", &self.space, &self.id]).bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::any;
    use proptest::sample::Index;

    use super::{BadHandle, DeviceCodeRecord, KIND, LONGEST, LONGEST_DEVICE_CODE, MOST_ASKED};
    use crate::cache::{Cache, Handles, Settings};
    use crate::clock::Clock;
    use crate::flow::handle::{Handle, HandleAsked, HandleSubject, WantedHandle};
    use crate::flow::{Common, WIRE};
    use crate::tasks::Tasks;
    use crate::telemetry::Metrics;
    use crate::token::{Scopes, SpaceId};

    const NOW: i64 = 1_795_300_000;

    fn handles() -> Handles {
        let metrics = Metrics::default();
        Cache::new(&Settings::default(), None, WIRE, &metrics, Clock::manual(NOW), Tasks::default()).handles().clone()
    }

    fn record(scopes: &str, code: &str) -> DeviceCodeRecord {
        let common = Common { tenant: Some("contoso.example"), resource: Some("urn:r"), ..Common::default() };
        DeviceCodeRecord {
            id: [3; 16],
            space: SpaceId::new([4; 32]),
            caller: Some("alpha".to_owned()),
            app: "orders".to_owned(),
            api: None,
            asked: HandleAsked::of(&Scopes::granted(scopes), &common),
            claims: None,
            client_claims: None,
            has_openid: true,
            ends: NOW + 900,
            interval: 5,
            code: code.to_owned(),
            more: BTreeMap::new(),
        }
    }

    async fn open(handles: &Handles, text: &str, now: i64) -> Result<DeviceCodeRecord, BadHandle> {
        DeviceCodeRecord::open(handles, text, now).await
    }

    #[tokio::test]
    async fn req_6_a_device_code_comes_back_until_its_end_and_says_nothing_in_clear() {
        let (handles, record) = (handles(), record("a b", "authority-code"));
        let text = record.seal(&handles, NOW).unwrap().expose().to_owned();
        assert!(text.starts_with(KIND) && !text.contains("authority-code"));
        assert!(open(&handles, &text, NOW + 899).await == Ok(record.clone()));
        assert!(open(&handles, &text, NOW + 900).await == Err(BadHandle::Invalid));
        let common = record.common(true);
        assert_eq!((common.app, common.tenant, common.resource), (Some("orders"), Some("contoso.example"), Some("urn:r")));
        assert_eq!(common.scopes.map(|scopes| scopes.to_string()).as_deref(), Some("a b"));
        let with_api = DeviceCodeRecord { api: Some("graph".to_owned()), ..record };
        assert!(with_api.common(false).scopes.is_none() && with_api.asked.scopes().to_string() == "a b");
    }

    #[tokio::test]
    async fn no_refresh_handle_is_a_device_code_and_the_reverse() {
        let (handles, record) = (handles(), record("a", "code"));
        let wanted = WantedHandle { space: record.space, caller: None, asked: HandleAsked::default() };
        let handle = wanted.of(HandleSubject::Account { home_account_id: "oid.tid".to_owned(), lineage: [6; 16] });
        let (handle, code) = (handle.seal(&handles, NOW).unwrap(), record.seal(&handles, NOW).unwrap());
        let lifetime = std::time::Duration::from_secs(3600);
        for text in [code.expose().to_owned(), code.expose().replacen(KIND, "tkd1.", 1)] {
            assert!(Handle::open(&handles, &text, NOW, lifetime).await.is_err(), "{text}");
        }
        for text in [handle.expose().to_owned(), handle.expose().replacen("tkd1.", KIND, 1)] {
            assert!(open(&handles, &text, NOW).await == Err(BadHandle::Invalid), "{text}");
        }
    }

    #[test]
    fn the_longest_that_is_let_in_fits() {
        let handles = handles();
        let long = DeviceCodeRecord {
            caller: Some("c".repeat(64)),
            app: "a".repeat(64),
            api: Some("b".repeat(64)),
            ..record(&"s".repeat(MOST_ASKED), &"c".repeat(LONGEST_DEVICE_CODE))
        };
        assert!(long.seal(&handles, NOW).is_some_and(|text| text.expose().len() <= LONGEST));
        assert!(record("a", &"c".repeat(LONGEST)).seal(&handles, NOW).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_text_but_a_device_code_is_one(text in ".{0,80}", at in any::<Index>(), cut in any::<Index>()) {
            let handles = handles();
            let good = record("a", "code").seal(&handles, NOW).unwrap().expose().to_owned();
            let position = KIND.len() + at.index(good.len() - KIND.len());
            let mut changed = good.clone();
            let other = if changed.as_bytes()[position] == b'A' { "B" } else { "A" };
            changed.replace_range(position..=position, other);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for text in [format!("{KIND}{text}"), good[..cut.index(good.len())].to_owned(), format!("{good}="), changed, text] {
                proptest::prop_assert!(runtime.block_on(open(&handles, &text, NOW)).is_err());
            }
        }
    }
}
