//! The region whose endpoint an app's own tokens are asked for at (AUT-7, AUT-8): named, or found once in the background, by the
//! environment or by the metadata of the machine. Until it is known, and where it cannot be, the global endpoint is asked.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use uuid::Uuid;

use super::settings::{RegionName, RegionSource, RegionWish};
use crate::telemetry::Context;
use crate::transport::{Door, Outgoing, Over, Reply};

/// How far the search for the process's own region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionState {
    /// It is known.
    Known,
    /// It is being looked for.
    Pending,
    /// It cannot be known.
    Unknown,
}

/// The process's own region, found once; clones share it.
#[derive(Clone)]
pub struct OwnRegion {
    source: RegionSource,
    found: Arc<OnceLock<Option<RegionName>>>,
}

/// The region of one authority.
#[derive(Clone, Debug)]
pub(super) enum Region {
    None,
    Named(RegionName),
    Own(OwnRegion),
}

/// How long one question may take, and after which pauses it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The version of the machine's metadata that is asked for. Another one is named by whoever no longer has it.
const VERSION: &str = "2021-02-01";

/// What one question came to.
enum Said {
    Region(RegionName),
    /// Another version has to be asked for.
    Version(String),
    Nothing,
    /// It may be asked again.
    Trouble,
}

#[derive(Deserialize)]
struct Compute {
    #[serde(default)]
    location: String,
}

#[derive(Deserialize)]
struct NewestVersions {
    #[serde(default, rename = "newest-versions")]
    newest: Vec<String>,
}

// === impl RegionState ===

impl RegionState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Known, Self::Pending, Self::Unknown];

    /// What metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
        }
    }
}

// === impl Region ===

impl Region {
    pub(super) fn of(wish: Option<&RegionWish>, own: Option<&OwnRegion>) -> Self {
        match (wish, own) {
            (Some(RegionWish::Named(name)), _) => Self::Named(name.clone()),
            (Some(RegionWish::Auto(_)), Some(own)) => Self::Own(own.clone()),
            (Some(RegionWish::Auto(_)) | None, _) => Self::None,
        }
    }

    /// Its name, if it is known now.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Named(name) => Some(name.as_str()),
            Self::Own(own) => own.name(),
        }
    }
}

// === impl OwnRegion ===

impl OwnRegion {
    /// What the environment says is known at once.
    pub fn new(source: &RegionSource) -> Self {
        let own = Self { source: source.clone(), found: Arc::default() };
        if let Some(name) = source.environment.as_deref().and_then(RegionName::said) {
            let _first = own.found.set(Some(name));
        }
        own
    }

    /// How far the search is.
    pub fn state(&self) -> RegionState {
        match self.found.get() {
            None => RegionState::Pending,
            Some(Some(_)) => RegionState::Known,
            Some(None) => RegionState::Unknown,
        }
    }

    /// Its name, if it is known now.
    pub fn name(&self) -> Option<&str> {
        self.found.get().and_then(Option::as_ref).map(RegionName::as_str)
    }

    /// Looks for it, once: what comes of it stands as long as the process, also where nothing does.
    pub async fn find(&self, door: &Door) {
        if self.found.get().is_some() {
            return;
        }
        let found = self.ask(door).await;
        match &found {
            Some(name) => tracing::info!(region = name.as_str(), "the region of this machine is known"),
            None => tracing::warn!("the region of this machine is not known: global endpoints are asked"),
        }
        let _first = self.found.set(found);
    }

    async fn ask(&self, door: &Door) -> Option<RegionName> {
        let (mut version, mut pauses) = (VERSION.to_owned(), PAUSES.into_iter());
        loop {
            match self.ask_once(door, &version).await {
                Said::Region(name) => return Some(name),
                Said::Version(newest) if newest != version => version = newest,
                Said::Version(_) | Said::Nothing => return None,
                Said::Trouble => tokio::time::sleep(pauses.next()?).await,
            }
        }
    }

    async fn ask_once(&self, door: &Door, version: &str) -> Said {
        let mut url = self.source.metadata.clone();
        url.set_path("/metadata/instance/compute");
        url.query_pairs_mut().clear().append_pair("api-version", version);
        let headers = HeaderMap::from_iter([(HeaderName::from_static("metadata"), HeaderValue::from_static("true"))]);
        let (url, purpose) = (&url, "region");
        let outgoing = Outgoing { method: Method::GET, url, headers, body: None, until: None, over: Over::Fresh, purpose };
        match door.send(Context::untraced(Uuid::new_v4()), outgoing, PATIENCE).await {
            Ok(reply) => read(&reply),
            Err(_) => Said::Trouble,
        }
    }
}

impl fmt::Debug for OwnRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnRegion").field("state", &self.state()).finish_non_exhaustive()
    }
}

fn read(reply: &Reply) -> Said {
    match reply.status.as_u16() {
        200 => {
            let compute = serde_json::from_slice::<Compute>(&reply.body).ok();
            compute.and_then(|compute| RegionName::said(&compute.location)).map_or(Said::Nothing, Said::Region)
        }
        400 => {
            let versions = serde_json::from_slice::<NewestVersions>(&reply.body).ok();
            versions.and_then(|versions| versions.newest.into_iter().next()).map_or(Said::Nothing, Said::Version)
        }
        404 | 408 => Said::Nothing,
        410 | 429 | 500.. => Said::Trouble,
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::{OwnRegion, RegionSource, RegionState, Reply, Said, read};

    #[test]
    fn aut_7_what_the_environment_says_is_known_at_once_unless_it_is_no_name() {
        let own = |environment: Option<&str>| {
            let metadata = "http://169.254.169.254".parse().unwrap();
            let own = OwnRegion::new(&RegionSource { environment: environment.map(str::to_owned), metadata });
            (own.state(), own.name().map(str::to_owned))
        };
        assert_eq!(own(Some("West Europe")), (RegionState::Known, Some("westeurope".to_owned())));
        for other in [None, Some(""), Some("west.europe"), Some("west/europe")] {
            assert_eq!(own(other), (RegionState::Pending, None), "{other:?}");
        }
    }

    #[test]
    fn aut_7_an_answer_is_a_region_another_version_or_nothing() {
        let said = |status: u16, body: &'static str| {
            let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from_static(body.as_bytes()));
            match read(&Reply { status, headers: HeaderMap::new(), body }) {
                Said::Region(name) => name.as_str().to_owned(),
                Said::Version(version) => format!("version {version}"),
                Said::Nothing => "nothing".to_owned(),
                Said::Trouble => "trouble".to_owned(),
            }
        };
        for (status, body, expected) in [
            (200, r#"{"location": "westeurope", "name": "vm"}"#, "westeurope"),
            (200, r#"{"location": "evil.example/"}"#, "nothing"),
            (200, r#"{"location": ""}"#, "nothing"),
            (200, "<html>", "nothing"),
            (400, r#"{"error": "Bad request", "newest-versions": ["2026-01-01", "2021-02-01"]}"#, "version 2026-01-01"),
            (400, "{}", "nothing"),
            (404, "", "nothing"),
            (408, "", "nothing"),
            (429, "", "trouble"),
            (503, "", "trouble"),
            (302, "", "nothing"),
        ] {
            assert_eq!(said(status, body), expected, "{status} {body}");
        }
    }
}
