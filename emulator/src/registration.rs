//! The entries of the directory: the members that each has in the file, and what it can say about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{call::Endpoint, certificate::Parsed};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    /// How the rest of the file, scripts and mint requests call it; never accepted in a URL.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) domains: Vec<String>,
    /// It is an external tenant (CIAM), at `NAME.ciamlogin.com`, at its id there, and at `hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external: Option<String>,
    /// Domains of its own that an external tenant is served at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<String>,
    /// Others whose assertions about its users it trusts, beside itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) saml_issuers: Vec<SamlIssuer>,
}

/// Who signs SAML assertions, and the certificate of its key (RSA).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamlIssuer {
    pub(crate) issuer: String,
    pub(crate) certificate: Certificate,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) client_id: String,
    /// Home tenant: in the file a name or id, once read always the id.
    pub(crate) tenant: String,
    /// Present in every tenant, and usable at `common` and `organizations`.
    #[serde(default)]
    pub(crate) multi_tenant: bool,
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    /// Known but over: AADSTS7000222.
    #[serde(default)]
    pub(crate) expired_secrets: Vec<String>,
    #[serde(default)]
    pub(crate) certificates: Vec<Certificate>,
    #[serde(default)]
    pub(crate) federated: Vec<Federated>,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    /// A public client: it proves itself nowhere, and a secret or assertion beside a user's grant is refused (AADSTS700025).
    #[serde(default)]
    pub(crate) public: bool,
    /// A confidential client that may also go without a credential, as "Allow public client flows" has it. A refresh token is
    /// redeemed as the client came when it got it.
    #[serde(default)]
    pub(crate) allow_public_client_flows: bool,
    /// Claims of its id tokens beside the usual ones: `login_hint`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) optional_claims: Vec<String>,
    /// A second use of an assertion's `jti` is refused.
    #[serde(default)]
    pub(crate) refuse_replayed_jti: bool,
    /// As a resource: the names its scopes begin with.
    #[serde(default)]
    pub(crate) identifier_uris: Vec<String>,
    #[serde(default = "two")]
    pub(crate) access_token_version: u8,
    /// As a resource: seconds that its tokens live.
    #[serde(default = "hour")]
    pub(crate) token_lifetime: i64,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) app_roles: Vec<String>,
    /// As a client: delegated permissions that users need not be asked for, by the resource's name.
    #[serde(default)]
    pub(crate) consent: BTreeMap<String, Vec<String>>,
    /// As a client: application permissions, by the resource's name.
    #[serde(default)]
    pub(crate) roles: BTreeMap<String, Vec<String>>,
}

/// `{"generate": true}`, or a PEM certificate with or without its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    #[serde(default, skip_serializing)]
    pub(crate) generate: bool,
    #[serde(default)]
    pub(crate) pem: String,
    #[serde(default)]
    pub(crate) key_pem: String,
    #[serde(skip)]
    pub(crate) parsed: Option<Parsed>,
}

/// Trust in tokens of another issuer as client assertions (workload identity federation).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Federated {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) issuer: String,
    /// In place of `issuer` and `jwks`: a realm of this emulator, whose URL and keys are known once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) realm: Option<String>,
    pub(crate) subject: String,
    #[serde(default = "exchange_audience")]
    pub(crate) audience: String,
    /// The issuer's key set, in full: this emulator calls nobody.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) jwks: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    pub(crate) object_id: String,
    /// In the file a name or id, once read always the id.
    pub(crate) tenant: String,
    #[serde(default)]
    pub(crate) name: String,
    /// What fails with AADSTS50076 until the user signed in with a claims challenge: `obo`, `password`, `refresh`.
    #[serde(default)]
    pub(crate) mfa: Vec<String>,
    #[serde(default)]
    pub(crate) state: UserState,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserState {
    #[default]
    Enabled,
    Disabled,
    Locked,
    PasswordExpired,
}

/// A generic OpenID Connect issuer at `/oidc/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Realm {
    pub(crate) name: String,
    pub(crate) token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub(crate) token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The APIs that tokens can be for; the first is the default.
    pub(crate) audiences: Vec<String>,
    /// PEM: the CAs whose clients' certificates it takes (`tls_client_auth`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) client_ca: String,
    pub(crate) clients: Vec<Client>,
    #[serde(default)]
    pub(crate) users: Vec<RealmUser>,
    /// Endpoints that it does not have, by the names that scripts call them: `userinfo`, `endsession`, `devicecode`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) without: Vec<Endpoint>,
    /// It takes no authorization requests but those that are pushed (RFC 9126).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) require_pushed_authorization_requests: bool,
    /// Others whose assertions about its users it trusts, beside itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) saml_issuers: Vec<SamlIssuer>,
    /// Seconds between two questions of a device.
    #[serde(default = "five")]
    pub(crate) device_interval: i64,
    #[serde(default = "quarter")]
    pub(crate) token_lifetime: i64,
    /// Seconds that a client's clock may differ from the realm's.
    #[serde(default = "minute")]
    pub(crate) assertion_skew: i64,
    /// Seconds that a client's assertion may live.
    #[serde(default = "five_minutes")]
    pub(crate) assertion_lifetime: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) client_id: String,
    /// The only way in which it may prove itself, of those that the realm offers; none: any of them. `none`: it is a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_endpoint_auth_method: Option<String>,
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    #[serde(default)]
    pub(crate) certificates: Vec<Certificate>,
    /// Keys for `private_key_jwt` beside the certificates'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jwks: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) federated: Vec<Federated>,
    /// Whom its certificate names, for `tls_client_auth` (RFC 8705 §2.1.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_client_auth_san_dns: Option<String>,
    /// Its access tokens are bound to the certificate of the request (RFC 8705 §3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tls_client_certificate_bound_access_tokens: bool,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    /// Where the browser may be sent after a sign-out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// Seconds that its assertions may live, where that is not what the realm says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) assertion_lifetime: Option<i64>,
    /// Whether a token exchange that asks for a refresh token (`requested_token_type`) brings one, beside the access token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exchanges_for_refresh_tokens: bool,
    /// Names of this client as an API: one of them (or its client id) must be in the `aud` of a token it exchanges.
    #[serde(default)]
    pub(crate) audiences: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RealmUser {
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    pub(crate) sub: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) email: String,
}

fn two() -> u8 {
    2
}

fn hour() -> i64 {
    3_599
}

fn minute() -> i64 {
    60
}

fn five() -> i64 {
    5
}

fn five_minutes() -> i64 {
    300
}

fn quarter() -> i64 {
    900
}

fn exchange_audience() -> String {
    "api://AzureADTokenExchange".to_owned()
}

// === impl Tenant ===

impl Tenant {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
            || self.id.eq_ignore_ascii_case(name)
            || self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(name))
    }
}

impl Tenant {
    /// Whether a path segment means it.
    pub(crate) fn is_at(&self, segment: &str) -> bool {
        self.id.eq_ignore_ascii_case(segment) || self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(segment))
    }

    /// Whether it is an external tenant that is served at this host.
    pub(crate) fn is_served_at(&self, host: &str) -> bool {
        self.external_hosts().iter().any(|own| own == host)
    }

    /// Where it is served as an external tenant, if it is one.
    pub(crate) fn external_hosts(&self) -> Vec<String> {
        let Some(name) = &self.external else { return Vec::new() };
        let usual = [name, &self.id].map(|label| format!("{label}.ciamlogin.com"));
        usual.into_iter().chain(self.hosts.iter().cloned()).collect()
    }
}

// === impl App ===

impl App {
    /// Whether a tenant has a service principal of this app.
    pub(crate) fn is_in(&self, tenant: &str) -> bool {
        self.multi_tenant || self.tenant == tenant
    }

    /// Whether a token with this `aud` is meant for this app.
    pub(crate) fn is_audience(&self, aud: &str) -> bool {
        self.client_id.eq_ignore_ascii_case(aud) || self.identifier_uris.iter().any(|uri| uri == aud)
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn is_public(&self) -> bool {
        self.token_endpoint_auth_method.as_deref() == Some("none")
    }
}

// === impl Realm ===

impl Realm {
    /// Whether clients may prove themselves by the certificate of their connection (RFC 8705 §2).
    pub(crate) fn takes_client_certificates(&self) -> bool {
        self.token_endpoint_auth_methods_supported.iter().any(|method| method.ends_with("tls_client_auth"))
    }

    pub(crate) fn client(&self, client_id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.client_id == client_id)
    }

    pub(crate) fn user(&self, name: &str) -> Option<&RealmUser> {
        self.users.iter().find(|user| user.username == name || user.sub == name)
    }
}
