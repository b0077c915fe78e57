//! What each kind of authority does in its own way: one constant for each, with the facts that common code asks for.
//!
//! Nothing outside this file asks which kind an authority is. A further kind is a further constant, and a fact of its own only
//! where none of these says it.

use std::fmt;

use crate::oauth::{AssertionForm, SecretPlace};
use crate::token::Matching;

/// The facts of one kind of authority.
#[derive(PartialEq, Eq)]
pub struct Profile {
    /// What texts call it, with its article.
    pub title: &'static str,
    /// How scopes are compared.
    pub matching: Matching,
    /// Whether a user's tokens are asked for with `openid`, `profile` and `offline_access` beside the scopes.
    pub reserved_scopes: bool,
    /// Whether scopes go with a code, where they choose the resource (REQ-3); RFC 6749 §4.1.3 has none there.
    pub scope_with_code: bool,
    /// Whether an app can ask for all that it was given on a resource, itself included, as `RESOURCE/.default`.
    pub default_scope: bool,
    /// Whether `audience` and `resource` name a resource. Where they do not, scopes do, and have to be there.
    pub audience_and_resource: bool,
    /// Whether it has tenants, of which a request may name one.
    pub tenants: bool,
    /// Whether several hosts are one authority (AUT-5), which accounts name by the first of them.
    pub aliases: bool,
    /// Where its endpoints are known from.
    pub endpoints: Endpoints,
    /// What its tokens carry as their issuer.
    pub issuers: IssuerRule,
    /// Whether it also issues tokens of an older version, which other keys sign.
    pub v1_tokens: bool,
    /// Whether it may sign tokens for an app with keys of that app's own, which it publishes to whoever names the app.
    pub keys_by_app: bool,
    /// How users' access tokens say what they are.
    pub access_tokens: AccessTokenForm,
    /// How a user is known.
    pub user_ids: UserIds,
    /// What is sent on behalf of a user.
    pub on_behalf_of: OboGrant,
    /// How a signed client assertion looks.
    pub assertion: AssertionForm,
    /// Where a client secret stands if nothing is announced.
    pub secret: SecretPlace,
    /// Whether it is told what the app can handle (`xms_cc`).
    pub capabilities: bool,
    /// Whether `client_info` is asked for, which says where a user is at home.
    pub client_info: bool,
    /// Whether a refresh token is void once it was used, where nothing else is said: of servers that nobody knows the worse is
    /// assumed.
    pub single_use_refresh: bool,
    /// Whether a device code is polled for without the client's credential, where nothing else is said (REQ-6).
    pub public_devices: bool,
    /// Whether it logs and counts calls by headers of its own (REQ-11).
    pub correlation_headers: bool,
}

/// Where endpoints are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// They follow from host and tenant, so that no document is needed.
    Derived,
    /// From the metadata document.
    Discovered,
}

/// What tokens carry as their issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerRule {
    /// Each tenant has its own.
    PerTenant,
    /// The one that is configured.
    Configured,
}

/// How users' access tokens say what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTokenForm {
    /// By `scp`, which no other token has. The client id is an audience of its own.
    Delegated,
    /// By what no id token has: RFC 9068's type, or a claim about scopes or the client.
    AnyIssuer,
}

/// How a user is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIds {
    /// By an object id in a tenant; a guest has one there and one at home.
    ObjectInTenant,
    /// By `sub`: other claims may be what users wrote.
    Subject,
}

/// What is sent on behalf of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OboGrant {
    /// RFC 7523 with `requested_token_use=on_behalf_of` (REQ-2).
    JwtBearer,
    /// RFC 8693.
    TokenExchange,
}

/// Microsoft Entra ID, and what speaks like it.
pub(super) const ENTRA: Profile = Profile {
    title: "an Entra-style authority",
    matching: Matching::Superset,
    reserved_scopes: true,
    scope_with_code: true,
    default_scope: true,
    audience_and_resource: false,
    tenants: true,
    aliases: true,
    endpoints: Endpoints::Derived,
    issuers: IssuerRule::PerTenant,
    v1_tokens: true,
    keys_by_app: true,
    access_tokens: AccessTokenForm::Delegated,
    user_ids: UserIds::ObjectInTenant,
    on_behalf_of: OboGrant::JwtBearer,
    assertion: AssertionForm::Thumbprint,
    secret: SecretPlace::Body,
    capabilities: true,
    client_info: true,
    single_use_refresh: false,
    public_devices: true,
    correlation_headers: true,
};

/// Any server with OpenID Connect discovery.
pub(super) const OIDC: Profile = Profile {
    title: "an OIDC issuer",
    matching: Matching::Identical,
    reserved_scopes: false,
    scope_with_code: false,
    default_scope: false,
    audience_and_resource: true,
    tenants: false,
    aliases: false,
    endpoints: Endpoints::Discovered,
    issuers: IssuerRule::Configured,
    v1_tokens: false,
    keys_by_app: false,
    access_tokens: AccessTokenForm::AnyIssuer,
    user_ids: UserIds::Subject,
    on_behalf_of: OboGrant::TokenExchange,
    assertion: AssertionForm::Announced,
    // OpenID Connect Discovery §3: what is not announced is client_secret_basic.
    secret: SecretPlace::Header,
    capabilities: false,
    client_info: false,
    single_use_refresh: true,
    public_devices: false,
    correlation_headers: false,
};

// === impl AccessTokenForm ===

impl AccessTokenForm {
    /// Whether a token for the app has an audience that needs no configuration: the client id.
    pub fn has_own_audience(self) -> bool {
        self == Self::Delegated
    }
}

// === impl Profile ===

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
    }
}
