//! The edge's bounds, as the configuration says.

use std::time::Duration;

use crate::caller::DOORS;

/// `limits` and `hosts`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A request's body, in bytes.
    pub body: usize,
    /// A request's head, in bytes.
    pub header: usize,
    /// Bodies in memory at a time, in bytes.
    pub inflight: usize,
    /// Requests at a time; further ones are shed with 503.
    pub concurrency: usize,
    /// From the head to the answer.
    pub request_timeout: Duration,
    /// Host names beside the listen addresses and localhost that a request may name.
    pub hosts: Vec<String>,
    /// The doors, and what they are configured with.
    pub doors: DoorSettings,
}

/// `doors`, `public_url`, `msi` and `ms_sidecar`.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// The doors that are open.
    pub open: Vec<ClientDoor>,
    /// Where clients elsewhere reach this server, without a slash at its end.
    pub public_url: Option<String>,
    /// Whom the instance metadata route serves.
    pub imds: Option<ImdsSettings>,
    /// How the routes of Microsoft's sidecar are served.
    pub ms_sidecar: MsSidecarSettings,
}

/// `ms_sidecar`.
#[derive(Clone, Debug, Default)]
pub struct MsSidecarSettings {
    /// The app of `/Validate`, and of apis that name none; `None`: `default`, or the only one.
    pub app: Option<String>,
    /// Whether whoever reaches the routes without a user is answered there, where there are no callers.
    pub anyone: bool,
}

/// `msi.imds`.
#[derive(Clone, Debug)]
pub struct ImdsSettings {
    /// The apps whose tokens it gives.
    pub apps: Vec<String>,
    /// The caller that whoever asks there is, by its place in the configuration.
    pub caller: Option<usize>,
}

/// A kind of client, with routes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDoor {
    /// tokend's own API.
    Rest,
    /// OAuth 2.0: the token endpoint, revocation, introspection and metadata.
    OAuth2,
    /// Managed identity, as App Service and the instance metadata service have it.
    Msi,
    /// Sub-requests of a proxy that asks whether a request may pass, and with which token.
    AuthRequest,
    /// The routes of Microsoft's sidecar.
    MsSidecar,
}

// === impl ClientDoor ===

impl ClientDoor {
    /// Every door.
    pub const ALL: [Self; DOORS.len()] = [Self::Rest, Self::OAuth2, Self::Msi, Self::AuthRequest, Self::MsSidecar];

    /// What the configuration, the log and the metric call it.
    pub const fn as_str(self) -> &'static str {
        let [rest, oauth2, msi, auth_request, ms_sidecar] = DOORS;
        match self {
            Self::Rest => rest,
            Self::OAuth2 => oauth2,
            Self::Msi => msi,
            Self::AuthRequest => auth_request,
            Self::MsSidecar => ms_sidecar,
        }
    }

    /// The door of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.as_str() == name)
    }
}

// === impl DoorSettings ===

impl Default for DoorSettings {
    fn default() -> Self {
        Self { open: vec![ClientDoor::Rest], public_url: None, imds: None, ms_sidecar: MsSidecarSettings::default() }
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            body: 256 * 1024,
            header: 64 * 1024,
            inflight: 32 * 1024 * 1024,
            concurrency: 2048,
            request_timeout: Duration::from_secs(15),
            hosts: Vec::new(),
            doors: DoorSettings::default(),
        }
    }
}
