//! Whose tokens an app accepts, as the configuration says.

/// `apps.*.inbound`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// One of these has to be the token's audience.
    pub audiences: Vec<String>,
    /// One of these has to be among the token's scopes, if any is named.
    pub scopes: Vec<String>,
    /// Those of the audiences that are client ids of other apps at the issuer, whose id tokens have them too.
    pub clients: Vec<String>,
    /// Which tenants' users a multi-tenant app accepts.
    pub tenants: Tenants,
}

/// Which tenants' users are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    /// Those of the app's own tenant only.
    #[default]
    Own,
    /// Those of these tenants, by id.
    Listed(Vec<String>),
    /// `"*"`: those of every tenant, in so many words.
    Every,
}
