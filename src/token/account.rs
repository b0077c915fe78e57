//! Who signed in, and how that is listed.

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

/// An account as it is listed: once for its home, whatever tenants have issued tokens for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SignedInAccount {
    /// The account, as the tenant knows it where it signed in last.
    #[serde(flatten)]
    pub account: Account,
    /// The tenants that have issued tokens for it since it signed in, `tenant_id` first; absent where that is the only one.
    #[serde(skip_serializing_if = "is_at_most_one")]
    #[schema(required = false)]
    pub tenants: Vec<String>,
}

fn is_at_most_one(tenants: &[String]) -> bool {
    tenants.len() < 2
}

// === impl SignedInAccount ===

impl SignedInAccount {
    /// Adds the tenants of another sign-in of the same account.
    pub fn join(&mut self, other: &Self) {
        for tenant in &other.tenants {
            if !self.tenants.iter().any(|known| known.eq_ignore_ascii_case(tenant)) {
                self.tenants.push(tenant.clone());
            }
        }
    }
}

/// The object id in a home account id (`oid.tid`), if that tenant is the home.
pub fn id_at_home(home_account_id: &str, tenant: &str) -> Option<String> {
    let (id, home) = home_account_id.split_once('.')?;
    (home.eq_ignore_ascii_case(tenant) && !id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::id_at_home;

    #[test]
    fn at_home_a_user_has_the_id_of_the_accounts_name() {
        assert_eq!(id_at_home("oid.tid", "TID").as_deref(), Some("oid"));
        for (account, tenant) in [("oid.tid", "other"), ("oid.tid", ""), (".tid", "tid"), ("sub", "tid"), ("sub", "")] {
            assert_eq!(id_at_home(account, tenant), None, "{account} {tenant}");
        }
    }
}
