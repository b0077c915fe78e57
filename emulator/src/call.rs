//! One request as every part of the emulator sees it: what it is addressed to, its parameters, its ids.

use hyper::{
    HeaderMap, Method,
    header::{CONTENT_TYPE, HOST},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The part of a path below which a realm looks at clients' certificates.
pub(crate) const MTLS: &str = "mtls";

const FORM: &str = "application/x-www-form-urlencoded";

/// What scripts and the record call the thing that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Endpoint {
    Token,
    Keys,
    Discovery,
    Authorize,
    DeviceCode,
    Instance,
    UserRealm,
    DeviceApprove,
    UserInfo,
    Revocation,
    Introspection,
    EndSession,
    Pushed,
    Control,
    Other,
}

/// Which of the authorities on this host was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The tenant as it stands in the path: id, domain, `common`, …
    Entra(String),
    /// As `Entra`, at a host of an external tenant.
    External(String),
    /// A B2C tenant and its policy as they stand in the path, and whether they stand behind `tfp`.
    Policy {
        tenant: String,
        policy: String,
        tfp: bool,
    },
    Adfs,
    Realm(String),
    None,
}

/// The hosts that say of which kind they are.
pub(crate) struct Hosts {
    /// With nothing but policies.
    pub(crate) policies: Vec<String>,
    /// Of external tenants.
    pub(crate) external: Vec<String>,
}

pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) form: Vec<(String, String)>,
    pub(crate) endpoint: Endpoint,
    pub(crate) place: Place,
    /// The name that it was sent to, with the port where that is not https's own.
    pub(crate) host: String,
    /// The region whose host that is.
    pub(crate) region: Option<String>,
    pub(crate) correlation_id: String,
    pub(crate) trace_id: String,
    /// The script's `expires_in`: tokens issued for this request live this long instead.
    pub(crate) lifetime: Option<i64>,
    /// What the client showed for its connection, its own certificate first, in DER; at paths for that alone.
    pub(crate) client_certificates: Vec<Vec<u8>>,
    /// The script's `refuse_replay`: an assertion's `jti` that was seen before is refused.
    pub(crate) refuse_replay: bool,
}

// === impl Call ===

impl Call {
    pub(crate) fn new(parts: hyper::http::request::Parts, body: Vec<u8>, hosts: &Hosts) -> Self {
        let path = parts.uri.path().to_owned();
        let in_header = || parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = parts.uri.authority().map(|authority| authority.as_str()).or_else(in_header).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        let region = region_of(&host);
        let (endpoint, place) = classify(hosts, &host, &path);
        let kind = parts.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let is_form = match kind {
            Some(kind) => kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM)),
            // Entra takes it for one: azure-identity for Java says nothing of its device code requests.
            None => matches!(place, Place::Entra(_) | Place::External(_) | Place::Adfs),
        };
        let form = if is_form { pairs(&body) } else { Vec::new() };
        let mut call = Self {
            method: parts.method,
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            form,
            endpoint,
            place,
            host,
            region,
            correlation_id: String::new(),
            trace_id: Uuid::new_v4().to_string(),
            lifetime: None,
            client_certificates: Vec::new(),
            refuse_replay: false,
        };
        // MSAL for Node sends it in body and query instead of a header.
        let sent = call.header("client-request-id").or_else(|| call.param("client-request-id"));
        let sent = sent.filter(|id| Uuid::parse_str(id).is_ok()).map(str::to_owned);
        call.correlation_id = sent.unwrap_or_else(|| Uuid::new_v4().to_string());
        call
    }

    /// What URLs of whoever was asked by name begin with.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}", self.host)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the form; empty is absent (RFC 6749 §3.2).
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let found = self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    pub(crate) fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.form.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The parameters of an authorization request, which may come either way.
    pub(crate) fn query_or_form(&self) -> Vec<(String, String)> {
        let mut all = pairs(self.query.as_bytes());
        all.extend(self.form.iter().cloned());
        all
    }

    /// A parameter that was sent twice although it may not be (RFC 6749 §3.2); RFC 8693 lets two of them repeat.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let names = self.form.iter().map(|(name, _)| name.as_str()).enumerate();
        let mut names = names.filter(|(_, name)| !matches!(*name, "audience" | "resource"));
        names.find(|(at, name)| self.form.iter().take(*at).any(|(other, _)| other == name)).map(|(_, name)| name)
    }

    /// Notes what the client showed for its connection. A realm asks for it under a prefix of its own, as others do on another host
    /// (RFC 8705 §5).
    pub(crate) fn over(mut self, certificates: &[Vec<u8>]) -> Self {
        if matches!(self.place, Place::Realm(_)) && self.path.split('/').nth(3) == Some(MTLS) {
            self.client_certificates = certificates.to_vec();
        }
        self
    }

    /// Whether a path of Entra's is of its second version.
    pub(crate) fn is_v2(&self) -> bool {
        self.path.to_ascii_lowercase().contains("/v2.0/")
    }

    /// The tenant or realm as it stands in the path.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match &self.place {
            Place::Entra(name) | Place::External(name) | Place::Realm(name) | Place::Policy { tenant: name, .. } => Some(name),
            Place::Adfs => Some("adfs"),
            Place::None => None,
        }
    }
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

/// What a cloud's regions stand before.
const REGIONAL: [&str; 6] = [
    ".login.microsoft.com",
    ".login.microsoftonline.us",
    ".login.partner.microsoftonline.cn",
    ".login.sovcloud-identity.fr",
    ".login.sovcloud-identity.de",
    ".login.sovcloud-identity.sg",
];

/// The region that a host is of.
fn region_of(host: &str) -> Option<String> {
    let region = REGIONAL.iter().find_map(|cloud| host.strip_suffix(cloud));
    region.filter(|region| !region.is_empty()).map(str::to_owned)
}

/// A host says of which kind it is, else the path does. Microsoft's look at no letter's case (msal-go asks for
/// `/common/UserRealm/…`), a generic issuer at each.
fn classify(hosts: &Hosts, host: &str, path: &str) -> (Endpoint, Place) {
    let sent: Vec<&str> = path.trim_matches('/').split('/').collect();
    let lower = path.to_ascii_lowercase();
    let parts: Vec<&str> = lower.trim_matches('/').split('/').collect();
    let tfp = parts.first() == Some(&"tfp");
    let rest = if tfp { parts.get(1..).unwrap_or_default() } else { &parts };
    let is_policy = tfp || rest.get(1).is_some_and(|policy| policy.starts_with("b2c_"));
    if let [tenant, policy, what @ ..] = rest
        && (is_policy || hosts.policies.iter().any(|own| own == host))
        && sent.first() != Some(&"_emulator")
    {
        return (policy_endpoint(what), Place::Policy { tenant: (*tenant).to_owned(), policy: (*policy).to_owned(), tfp });
    }
    match sent.as_slice() {
        ["_emulator", ..] => return (Endpoint::Control, Place::None),
        ["oidc", realm, rest @ ..] => return (oidc(rest), Place::Realm((*realm).to_owned())),
        _ => {}
    }
    // The tenant stays as it was sent.
    let is_external = hosts.external.iter().any(|own| own == host);
    let entra = || {
        let segment = sent.first().copied().unwrap_or_default().to_owned();
        if is_external { Place::External(segment) } else { Place::Entra(segment) }
    };
    match parts.as_slice() {
        ["common", "discovery", "instance"] => (Endpoint::Instance, entra()),
        ["common", "userrealm", _] => (Endpoint::UserRealm, entra()),
        ["adfs", ".well-known", "openid-configuration"] => (Endpoint::Discovery, Place::Adfs),
        ["adfs", "discovery", "keys"] => (Endpoint::Keys, Place::Adfs),
        ["adfs", "deviceapprove"] => (Endpoint::DeviceApprove, Place::Adfs),
        ["adfs", "oauth2", what] => (oauth(what), Place::Adfs),
        [_, ".well-known", "openid-configuration"] | [_, "v2.0", ".well-known", "openid-configuration"] => {
            (Endpoint::Discovery, entra())
        }
        [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] => (Endpoint::Keys, entra()),
        [_, "deviceapprove"] => (Endpoint::DeviceApprove, entra()),
        [_, "oauth2", "v2.0", what] => (oauth(what), entra()),
        _ => (Endpoint::Other, Place::None),
    }
}

fn policy_endpoint(what: &[&str]) -> Endpoint {
    match what {
        ["v2.0", ".well-known", "openid-configuration"] => Endpoint::Discovery,
        ["discovery", "v2.0", "keys"] => Endpoint::Keys,
        ["oauth2", "v2.0", what] => oauth(what),
        _ => Endpoint::Other,
    }
}

fn oauth(what: &str) -> Endpoint {
    match what {
        "token" => Endpoint::Token,
        "devicecode" => Endpoint::DeviceCode,
        "authorize" => Endpoint::Authorize,
        "logout" => Endpoint::EndSession,
        _ => Endpoint::Other,
    }
}

fn oidc(rest: &[&str]) -> Endpoint {
    match rest {
        [".well-known", "openid-configuration"] => Endpoint::Discovery,
        ["jwks"] => Endpoint::Keys,
        ["token"] => Endpoint::Token,
        ["authorize"] => Endpoint::Authorize,
        ["device"] => Endpoint::DeviceCode,
        ["deviceapprove"] => Endpoint::DeviceApprove,
        ["userinfo"] => Endpoint::UserInfo,
        ["revoke"] => Endpoint::Revocation,
        ["introspect"] => Endpoint::Introspection,
        ["logout"] => Endpoint::EndSession,
        [MTLS, rest @ ("token" | "device" | "revoke" | "introspect" | "userinfo")] => oidc(&[rest]),
        ["par"] => Endpoint::Pushed,
        _ => Endpoint::Other,
    }
}
