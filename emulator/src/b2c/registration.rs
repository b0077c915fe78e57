//! What a B2C tenant knows: an entry of `b2c` in the directory's file.

use serde::{Deserialize, Serialize};

use crate::issued::Person;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyTenant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) domains: Vec<String>,
    /// Hosts that are this tenant's alone.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    pub(crate) policies: Vec<UserFlow>,
    pub(crate) apps: Vec<PolicyApp>,
    #[serde(default)]
    pub(crate) users: Vec<PolicyUser>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFlow {
    pub(crate) name: String,
    /// Whether the issuer of its tokens names it; else all such policies of the tenant share one.
    #[serde(default)]
    pub(crate) issuer_names_policy: bool,
    /// Whether its tokens name it by `acr`, as custom policies do, and not by `tfp`.
    #[serde(default)]
    pub(crate) acr: bool,
    /// Whether users sign in by a password that the app sends, and in no other way.
    #[serde(default)]
    pub(crate) passwords: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyApp {
    pub(crate) name: String,
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    #[serde(default)]
    pub(crate) public: bool,
    /// As an API: what its scopes begin with, and their names.
    #[serde(default)]
    pub(crate) identifier_uri: String,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// As a client: the scopes that it was given, in full.
    #[serde(default)]
    pub(crate) granted: Vec<String>,
    #[serde(default = "hour")]
    pub(crate) token_lifetime: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyUser {
    pub(crate) object_id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) password: String,
}

fn hour() -> i64 {
    3_600
}

// === impl PolicyTenant ===

impl PolicyTenant {
    pub(crate) fn is_called(&self, segment: &str) -> bool {
        self.id.eq_ignore_ascii_case(segment) || self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(segment))
    }

    pub(crate) fn policy(&self, name: &str) -> Option<&UserFlow> {
        self.policies.iter().find(|policy| policy.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn app(&self, client_id: &str) -> Option<&PolicyApp> {
        self.apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    pub(crate) fn user(&self, name: &str) -> Option<&PolicyUser> {
        self.users.iter().find(|user| user.email.eq_ignore_ascii_case(name) || user.object_id == name)
    }

    /// The API of a scope in full, and the scope's own name.
    pub(crate) fn api(&self, scope: &str) -> Option<(&PolicyApp, String)> {
        let (prefix, name) = scope.rsplit_once('/')?;
        let prefix = prefix.trim_end_matches('/');
        let api = self.apps.iter().find(|app| !app.identifier_uri.is_empty() && app.identifier_uri == prefix)?;
        (name == ".default" || api.scopes.iter().any(|one| one == name)).then(|| (api, name.to_owned()))
    }
}

// === impl PolicyUser ===

impl PolicyUser {
    pub(crate) fn person(&self, tenant: &PolicyTenant) -> Person {
        Person {
            id: self.object_id.clone(),
            username: self.email.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
            tenant: tenant.id.clone(),
            ..Person::default()
        }
    }
}
