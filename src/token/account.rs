//! Who signed in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A signed-in user of an app, as MSAL's unified cache describes accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// `oid.tid` of the user's home tenant; `sub` where the authority sends no `client_info`.
    pub home_account_id: String,
    /// The object id in the tenant that issued the token; `sub` where there is none.
    pub local_account_id: String,
    /// What the user signs in with: for display only, never a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The authority's host.
    pub environment: String,
    /// The tenant that issued the token; absent where the authority has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}
