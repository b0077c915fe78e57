//! What a farm knows: the member `adfs` of the directory's file.

use serde::{Deserialize, Serialize};

use crate::{issued::Person, registration::Certificate};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Farm {
    pub(crate) clients: Vec<FarmClient>,
    #[serde(default)]
    pub(crate) users: Vec<FarmUser>,
    /// Seconds that access tokens live.
    #[serde(default = "hour")]
    pub(crate) token_lifetime: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FarmClient {
    pub(crate) name: String,
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    #[serde(default)]
    pub(crate) certificates: Vec<Certificate>,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    /// A native application, which has no credential.
    #[serde(default)]
    pub(crate) public: bool,
    /// As a web API: what its tokens carry as `aud`.
    #[serde(default)]
    pub(crate) identifier: Option<String>,
    /// The web APIs that it may have tokens for, by identifier.
    #[serde(default)]
    pub(crate) resources: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FarmUser {
    pub(crate) upn: String,
    #[serde(default)]
    pub(crate) password: String,
    /// What its id tokens have as `sub`.
    pub(crate) sub: String,
    #[serde(default)]
    pub(crate) name: String,
}

fn hour() -> i64 {
    3_600
}

// === impl Farm ===

impl Farm {
    pub(crate) fn client(&self, client_id: &str) -> Option<&FarmClient> {
        self.clients.iter().find(|client| client.client_id.eq_ignore_ascii_case(client_id))
    }

    /// By the name that the user signs in with.
    pub(crate) fn user(&self, upn: &str) -> Option<&FarmUser> {
        self.users.iter().find(|user| user.upn.eq_ignore_ascii_case(upn))
    }

    /// Whether a web API of this identifier is registered.
    pub(crate) fn has_resource(&self, identifier: &str) -> bool {
        self.clients.iter().any(|client| client.identifier.as_deref() == Some(identifier))
    }
}

// === impl FarmUser ===

impl FarmUser {
    pub(crate) fn person(&self) -> Person {
        Person { id: self.sub.clone(), username: self.upn.clone(), name: self.name.clone(), ..Person::default() }
    }
}
