//! The apps and the named apis, as the configuration says.

use std::time::Duration;

use url::Url;

use super::catalogue::Flow;
use crate::authority::Address;
use crate::token::{PolicyName, Scopes, Tenant};
use crate::{authority, credential, inbound};

/// One app: a client registration that tokend acts as.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Its name: `[a-z0-9][a-z0-9-]*`.
    pub name: String,
    /// Where it is registered.
    pub authority: authority::Settings,
    /// Its client id.
    pub client_id: String,
    /// How it proves itself.
    pub credential: credential::Settings,
    /// Whose tokens `/obo` accepts for it; without, `/obo` is refused.
    pub inbound: Option<inbound::Settings>,
    /// Further tenants that a request may name.
    pub tenants: Vec<Tenant>,
    /// Further policies that a request may name, at Azure AD B2C.
    pub policies: Vec<PolicyName>,
    /// What the app can handle (`cp1`: claims challenges), sent as `xms_cc`.
    pub client_capabilities: Vec<String>,
    /// At OIDC issuers: ask for a refresh token with authorization codes.
    pub offline_access: bool,
    /// At OIDC issuers: push authorization requests (RFC 9126) also where the metadata does not ask for that.
    pub pushes_requests: bool,
    /// What becomes of a refresh token when it is used.
    pub refresh_tokens: RefreshTokens,
    /// By what else than its client id a client that asks for a managed identity's tokens may name it.
    pub managed_identity_ids: Vec<String>,
    /// Whether refresh tokens that somebody else got are redeemed for it.
    pub refresh_token: bool,
    /// Whether users' passwords are sent for it.
    pub username_password: bool,
    /// As which client it polls for device codes.
    pub device_client: DeviceClient,
    /// How a long-running on-behalf-of session asks for its refresh token; `None`: nothing needs to be said.
    pub session_ask: Option<SessionAsk>,
}

// === impl AppSettings ===

impl AppSettings {
    /// Its authority at each of its further policies.
    pub fn authorities_of_policies(&self) -> impl Iterator<Item = authority::Settings> {
        let of = |policy| {
            let address = self.authority.address.with_policy(policy)?;
            Some(authority::Settings { address, ..self.authority.clone() })
        };
        self.policies.iter().filter_map(of)
    }
}

/// `apps.*.device_code.client`: as which client an app polls for a device code, and renews what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceClient {
    /// Without its credential.
    Public,
    /// With it.
    Confidential,
}

/// `apps.*.session.ask`: how an authority is told that a refresh token is wanted for an inbound token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionAsk {
    /// By the scope `offline_access`.
    OfflineAccess,
    /// By `requested_token_type` (RFC 8693 §2.1).
    RefreshTokenType,
}

/// What becomes of a refresh token when it is used: whether it may be sent again if the answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokens {
    /// It is void, and using it again may end the whole session.
    SingleUse,
    /// It goes on being valid beside the new one.
    Reusable,
}

/// One named downstream API.
#[derive(Clone, Debug, Default)]
pub struct ApiSettings {
    /// Its name: `[a-z0-9][a-z0-9-]*`.
    pub name: String,
    /// The app whose tokens it takes; `None`: the request's, `default`, or the only one.
    pub app: Option<String>,
    /// What is asked for.
    pub scopes: Scopes,
    /// At OIDC issuers: whom the token is for (RFC 8693 §2.1).
    pub audience: Option<String>,
    /// At OIDC issuers: what the token is for (RFC 8707).
    pub resource: Option<String>,
    /// The doors at which it is served, of those that serve apis only where they say so.
    pub doors: Vec<ApiDoor>,
    /// Whose token a proxy's sub-request gets.
    pub identity: ApiIdentity,
    /// Whether a proxy's sub-request gets a token at all, and not the judgement of the user's alone.
    pub exchange: bool,
    /// Headers that a proxy's sub-request gets, in lower case, each with the claim of the user's token that it has.
    pub identity_headers: Vec<(String, String)>,
    /// Where it is, for the routes that build URLs.
    pub base_url: Option<Url>,
    /// Whether a request with a user's token may override scopes and the like.
    pub overrides: bool,
    /// Whether a request without one may.
    pub app_overrides: bool,
    /// Whether a request without a user may have an app token for it.
    pub app_token: bool,
}

/// A door that serves an api only where that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiDoor {
    /// Sub-requests of proxies.
    AuthRequest,
    /// The routes of Microsoft's sidecar.
    MsSidecar,
}

/// `apis.*.identity`: whose token a proxy's sub-request gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiIdentity {
    /// The user's, whose token the request has.
    #[default]
    User,
    /// The app's own: the proxy has judged the request.
    App,
}

/// `refresh_handles`.
#[derive(Clone, Copy, Debug)]
pub struct HandleSettings {
    /// How long a refresh handle is good after it was issued, as long as the user does not sign out.
    pub lifetime: Duration,
}

// === impl HandleSettings ===

impl HandleSettings {
    /// The least that `lifetime` may be.
    pub const SHORTEST: Duration = Duration::from_secs(3600);
    /// The most that it may be, and what it is if nothing is said.
    pub const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);
}

impl Default for HandleSettings {
    fn default() -> Self {
        Self { lifetime: Self::LONGEST }
    }
}

/// The names of all flows, as `callers.*.flows` and the label `flow` of the metrics have them.
pub fn flow_names() -> impl Iterator<Item = &'static str> {
    Flow::ALL.into_iter().map(Flow::as_str)
}

// === impl ApiDoor ===

impl ApiDoor {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::AuthRequest, Self::MsSidecar];

    /// What the configuration calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthRequest => "auth_request",
            Self::MsSidecar => "ms_sidecar",
        }
    }
}

// === impl DeviceClient ===

impl DeviceClient {
    /// What is usual at an authority, where nothing else is said.
    pub fn usual(address: &Address) -> Self {
        if address.profile().public_devices { Self::Public } else { Self::Confidential }
    }
}

// === impl RefreshTokens ===

impl RefreshTokens {
    /// What is usual at an authority, where nothing else is said.
    pub fn usual(address: &Address) -> Self {
        if address.profile().single_use_refresh { Self::SingleUse } else { Self::Reusable }
    }
}
