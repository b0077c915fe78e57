//! What each kind of authority does in its own way: one constant for each, with the facts that common code asks for.
//!
//! Nothing outside this file and `address`, which tells the kinds apart by their URLs, asks which kind an authority is. A further
//! kind is a further constant, and a fact of its own only where none of these says it.

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
    /// What an app can ask for of which it is sure to get it.
    pub own_token: OwnToken,
    /// What names the resource that a token is for.
    pub target: TargetRule,
    /// Whether it has tenants, of which a request may name one.
    pub tenants: bool,
    /// Whether several hosts are one authority (AUT-5), which accounts name by the first of them.
    pub aliases: bool,
    /// Whether it has hosts of its own in each region (AUT-8).
    pub regions: bool,
    /// What stands before `.well-known` in the address of its document.
    pub documents: &'static str,
    /// Where its endpoints are known from.
    pub endpoints: Endpoints,
    /// What its tokens carry as their issuer.
    pub issuers: IssuerRule,
    /// Below which domain it issues, whatever host it is asked at.
    pub issues_at: Option<&'static str>,
    /// Whether it also issues tokens of an older version, which other keys sign.
    pub v1_tokens: bool,
    /// Whether it may sign tokens for an app with keys of that app's own, which it publishes to whoever names the app.
    pub keys_by_app: bool,
    /// How users' access tokens say what they are.
    pub access_tokens: AccessTokenForm,
    /// Whether it is `inbound.scopes` alone that tells an app's tokens from those of others with the same audience.
    pub inbound_scopes: bool,
    /// How a user is known.
    pub user_ids: UserIds,
    /// Whether it exchanges a user's token for another one.
    pub has_on_behalf_of: bool,
    /// Whether devices sign in.
    pub has_devices: bool,
    /// Whether users may sign in by a password that an app sends.
    pub has_passwords: bool,
    /// Whether it may answer a sign-in with an id token alone, where no resource is asked for.
    pub id_token_alone: bool,
    /// What is sent on behalf of a user.
    pub on_behalf_of: OboGrant,
    /// How a signed client assertion looks.
    pub assertion: AssertionForm,
    /// Whether an assertion names it by its issuer, where nothing else is said.
    pub assertion_names_issuer: bool,
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
    /// Whether it routes calls by whose they are (REQ-12).
    pub routes_by_user: bool,
    /// Whether what begins a sign-in may be pushed to it (RFC 9126).
    pub pushed_requests: bool,
}

/// What an app can ask for of which it is sure to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnToken {
    /// All that it was given on a resource, itself included: `RESOURCE/.default`.
    Default,
    /// What comes of this scope, or of none.
    Scope(Option<&'static str>),
    /// Nothing.
    None,
}

/// What names the resource that a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRule {
    /// Scopes, which have to be there.
    Scopes,
    /// `audience`, `resource` (RFC 8707) or scopes.
    AudienceAndResource,
    /// `resource`. An app asks by it alone, for itself or on behalf of a user; beside it goes what this says as `scope`.
    Resource(&'static str),
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
    /// What the metadata document says, letter by letter: `issuer`, and of access tokens `access_token_issuer` where it has one.
    Published,
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
    /// By an object id, and the policy by which the user signed in: a user of two policies is two users.
    ObjectInPolicy,
    /// By `sub`: other claims may be what users wrote.
    Subject,
    /// By `sub`, where there is one: access tokens have none, and are known by the name that the user signs in with.
    SubjectOrName,
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
pub(in crate::authority) const ENTRA: Profile = Profile {
    title: "an Entra-style authority",
    matching: Matching::Superset,
    reserved_scopes: true,
    scope_with_code: true,
    own_token: OwnToken::Default,
    target: TargetRule::Scopes,
    tenants: true,
    aliases: true,
    regions: true,
    documents: "v2.0/",
    endpoints: Endpoints::Derived,
    issuers: IssuerRule::PerTenant,
    issues_at: None,
    v1_tokens: true,
    keys_by_app: true,
    access_tokens: AccessTokenForm::Delegated,
    inbound_scopes: false,
    user_ids: UserIds::ObjectInTenant,
    has_on_behalf_of: true,
    has_devices: true,
    has_passwords: true,
    id_token_alone: false,
    on_behalf_of: OboGrant::JwtBearer,
    assertion: AssertionForm::Thumbprint,
    assertion_names_issuer: false,
    secret: SecretPlace::Body,
    capabilities: true,
    client_info: true,
    single_use_refresh: false,
    public_devices: true,
    correlation_headers: true,
    routes_by_user: true,
    pushed_requests: false,
};

/// An external tenant of Entra (CIAM), which issues under its id, whatever host it is asked at.
pub(in crate::authority) const CIAM: Profile = Profile {
    title: "an external tenant (CIAM)",
    aliases: false,
    regions: false,
    issues_at: Some(".ciamlogin.com"),
    v1_tokens: false,
    has_passwords: false,
    ..ENTRA
};

/// Azure AD B2C: each of a tenant's policies is an authority of its own.
pub(in crate::authority) const B2C: Profile = Profile {
    title: "Azure AD B2C",
    own_token: OwnToken::None,
    tenants: false,
    aliases: false,
    regions: false,
    issuers: IssuerRule::Published,
    v1_tokens: false,
    keys_by_app: false,
    // Its policies may share issuer and keys with each other, and its id tokens carry scopes of no api.
    inbound_scopes: true,
    user_ids: UserIds::ObjectInPolicy,
    has_on_behalf_of: false,
    has_devices: false,
    id_token_alone: true,
    capabilities: false,
    routes_by_user: false,
    ..ENTRA
};

/// Active Directory Federation Services.
pub(in crate::authority) const ADFS: Profile = Profile {
    title: "AD FS",
    matching: Matching::Identical,
    own_token: OwnToken::Scope(Some("openid")),
    target: TargetRule::Resource("openid"),
    tenants: false,
    aliases: false,
    regions: false,
    documents: "",
    endpoints: Endpoints::Discovered,
    issuers: IssuerRule::Published,
    v1_tokens: false,
    keys_by_app: false,
    access_tokens: AccessTokenForm::AnyIssuer,
    user_ids: UserIds::SubjectOrName,
    assertion: AssertionForm::Sha1Thumbprint,
    capabilities: false,
    client_info: false,
    routes_by_user: false,
    ..ENTRA
};

/// Any server with OpenID Connect discovery.
pub(in crate::authority) const OIDC: Profile = Profile {
    title: "an OIDC issuer",
    matching: Matching::Identical,
    reserved_scopes: false,
    scope_with_code: false,
    own_token: OwnToken::Scope(None),
    target: TargetRule::AudienceAndResource,
    tenants: false,
    aliases: false,
    regions: false,
    documents: "",
    endpoints: Endpoints::Discovered,
    issuers: IssuerRule::Configured,
    issues_at: None,
    v1_tokens: false,
    keys_by_app: false,
    access_tokens: AccessTokenForm::AnyIssuer,
    inbound_scopes: false,
    user_ids: UserIds::Subject,
    has_on_behalf_of: true,
    has_devices: true,
    has_passwords: true,
    id_token_alone: false,
    on_behalf_of: OboGrant::TokenExchange,
    assertion: AssertionForm::Announced,
    assertion_names_issuer: true,
    // OpenID Connect Discovery §3: what is not announced is client_secret_basic.
    secret: SecretPlace::Header,
    capabilities: false,
    client_info: false,
    single_use_refresh: true,
    public_devices: false,
    correlation_headers: false,
    routes_by_user: false,
    pushed_requests: true,
};

// === impl Profile ===

impl Profile {
    /// Whether a secret always stands in the form.
    pub fn has_secret_in_form(&self) -> bool {
        self.secret == SecretPlace::Body
    }

    /// Whether a certificate may be named by either of its thumbprints.
    pub fn has_choice_of_thumbprint(&self) -> bool {
        self.assertion == AssertionForm::Thumbprint
    }
}

// === impl TargetRule ===

impl TargetRule {
    /// Whether a resource suffices, so that a request need not name scopes.
    pub fn has_resource(self) -> bool {
        self != Self::Scopes
    }

    /// Whether `audience` means anything.
    pub fn has_audience(self) -> bool {
        self == Self::AudienceAndResource
    }
}

// === impl AccessTokenForm ===

impl AccessTokenForm {
    /// Whether a token for the app has an audience that needs no configuration: the client id.
    pub fn has_own_audience(self) -> bool {
        self == Self::Delegated
    }
}

// === impl UserIds ===

impl UserIds {
    /// Whether a user's name is known to be no id of an account.
    pub fn are_no_names(self) -> bool {
        matches!(self, Self::ObjectInTenant | Self::ObjectInPolicy)
    }

    /// Whether `sub` names the account.
    pub fn are_subjects(self) -> bool {
        matches!(self, Self::Subject | Self::SubjectOrName)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
    }
}
