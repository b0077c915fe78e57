//! `AzureAd`: the app, whom its authority is, and whose tokens it takes.

use super::credential::ChosenCredential;
use super::given::SidecarConfig;
use super::left;
use super::page::{YamlPage, list, scalar};
use crate::finding::{Complaint, Findings};

/// The app's name in tokend's configuration.
pub(super) const APP: &str = "default";

const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com";
/// Tenants that are not one.
const MULTI_TENANT: [&str; 3] = ["common", "organizations", "consumers"];

/// Who the app is.
pub(super) struct AppIdentity {
    pub(super) client_id: String,
    /// Scheme and host of its authority, where it is Entra-style; its tenant, or else the issuer.
    pub(super) authority: AppAuthority,
    comments: Vec<String>,
}

/// Whom it asks.
pub(super) enum AppAuthority {
    Tenant { instance: String, tenant: String },
    Issuer(String),
}

/// An app beside it, for tokens of another tenant.
pub(super) struct TenantApp {
    pub(super) name: String,
    pub(super) tenant: String,
}

/// Reads who the app is. `None`: a finding says what is missing.
pub(super) fn identity(config: &SidecarConfig, inputs: &str, findings: &mut Findings) -> Option<AppIdentity> {
    let client_id = config.text("AzureAd:ClientId").map(|(_, id)| id.to_owned());
    if client_id.is_none() {
        let problem = Complaint::new("there is no client id", "write the client id of the app registration");
        findings.error(Some(inputs), "AzureAd:ClientId", problem);
    }
    let mut comments = Vec::new();
    let authority = authority(config, &mut comments);
    if authority.is_none() {
        let problem = Complaint::new(
            "there is no tenant, and no Authority that has one in its path",
            "write the tenant's id; `common` or `organizations` if the app is for all tenants",
        );
        findings.error(Some(inputs), "AzureAd:TenantId", problem);
    }
    Some(AppIdentity { client_id: client_id?, authority: authority?, comments })
}

fn authority(config: &SidecarConfig, comments: &mut Vec<String>) -> Option<AppAuthority> {
    let tenant = config.text("AzureAd:TenantId").map(|(_, tenant)| tenant.trim_matches('/').to_owned());
    let instance = config.text("AzureAd:Instance").map(|(_, instance)| without_version(instance));
    if let Some(tenant) = tenant {
        let instance = instance.unwrap_or_else(|| PUBLIC_CLOUD.to_owned());
        return Some(AppAuthority::Tenant { instance, tenant });
    }
    let (value, text) = config.text("AzureAd:Authority")?;
    let text = without_version(text);
    let (scheme, rest) = text.split_once("://")?;
    if let Some((host, tenant)) = rest.split_once('/') {
        if !tenant.contains('/') {
            return Some(AppAuthority::Tenant { instance: format!("{scheme}://{host}"), tenant: tenant.to_owned() });
        }
    } else if let Some(name) = rest.strip_suffix(".ciamlogin.com") {
        comments.push(format!("{} names no tenant: that of an external tenant's host is its name.", value.place()));
        return Some(AppAuthority::Tenant { instance: text.clone(), tenant: format!("{name}.onmicrosoft.com") });
    }
    comments.push(format!(
        "To do: {} is no host with a tenant, so that it is taken for an OpenID Connect issuer. Compare it with `issuer` of its \
         document, below /.well-known/openid-configuration: it has to be that, letter by letter.",
        value.place()
    ));
    Some(AppAuthority::Issuer(text))
}

fn without_version(url: &str) -> String {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/v2.0").unwrap_or(url).trim_end_matches('/').to_owned()
}

/// Writes `apps`. `tenants` are those that requests may name, `further` the apps of other tenants.
pub(super) fn write(
    page: &mut YamlPage,
    config: &SidecarConfig,
    identity: &AppIdentity,
    credential: &ChosenCredential,
    (tenants, further): (&[String], &[TenantApp]),
) {
    page.line(0, "apps:");
    page.line(2, &format!("{APP}:"));
    for comment in &identity.comments {
        page.comment(4, comment);
    }
    page.line(4, &identity.authority.yaml());
    if let Some(region) = region(config, &identity.authority) {
        page.line(4, &format!("region: {}", scalar(&region)));
    }
    page.line(4, &format!("client_id: {}", scalar(&identity.client_id)));
    page.line(4, "credential:");
    for comment in &credential.comments {
        page.comment(6, comment);
    }
    page.line(6, &credential.yaml);
    inbound(page, config, identity);
    if !tenants.is_empty() {
        page.line(4, &format!("tenants: {}", list(tenants)));
    }
    if let Some((_, capabilities)) = config.list("AzureAd:ClientCapabilities", &[' ', ',']) {
        page.line(4, &format!("client_capabilities: {}", list(capabilities)));
    }
    for sentence in left::sentences(config, "AzureAd") {
        page.comment(4, &sentence);
    }
    for app in further {
        let AppAuthority::Tenant { instance, .. } = &identity.authority else { continue };
        page.line(2, &format!("{}:", app.name));
        page.comment(4, "One app registration, asked for at another tenant: AcquireTokenOptions:Tenant of the api of this name.");
        page.line(4, &format!("authority: {}", scalar(&format!("{instance}/{}", app.tenant))));
        page.line(4, &format!("client_id: {}", scalar(&identity.client_id)));
        page.line(4, &format!("credential: {{{}}}", credential.yaml));
    }
}

/// The region that the app asks, where its authority has regions.
fn region(config: &SidecarConfig, authority: &AppAuthority) -> Option<String> {
    let AppAuthority::Tenant { instance, .. } = authority else { return None };
    let has_regions =
        !authority.is_multi_tenant() && ![".ciamlogin.com", ".b2clogin.com"].iter().any(|end| instance.ends_with(end));
    let (_, region) = has_regions.then(|| config.text("AzureAd:AzureRegion")).flatten()?;
    let plain: String = region.split_whitespace().collect::<String>().to_ascii_lowercase();
    Some(if plain == "tryautodetect" { "auto".to_owned() } else { plain })
}

fn inbound(page: &mut YamlPage, config: &SidecarConfig, identity: &AppIdentity) {
    page.line(4, "inbound:");
    let named = ["AzureAd:Audience", "AzureAd:Audiences"].map(|path| config.list(path, &[',', ' ', ';']));
    let mut audiences: Vec<&str> = Vec::new();
    for (_, words) in named.into_iter().flatten() {
        audiences.extend(words);
    }
    audiences.sort_unstable();
    audiences.dedup();
    let client_id = identity.client_id.as_str();
    let own = format!("api://{client_id}");
    let is_entra = matches!(identity.authority, AppAuthority::Tenant { .. });
    if audiences.is_empty() {
        page.comment(
            6,
            "No Audience is named. Microsoft's sidecar takes these two then; the client id is what tokens of v2.0 have.",
        );
        audiences.extend([own.as_str(), client_id]);
    } else if is_entra && !audiences.contains(&client_id) {
        page.comment(6, "tokend takes the client id for an audience too, as tokens of v2.0 have it.");
    }
    page.line(6, &format!("audiences: {}", list(audiences)));
    if let Some((value, scopes)) = config.list("AzureAd:Scopes", &[' ']) {
        page.comment(
            6,
            &format!("{}: a token has to have one of them. tokend asks that at /AuthorizationHeader, too.", value.place()),
        );
        page.line(6, &format!("scopes: {}", list(scopes)));
    }
    if identity.authority.is_multi_tenant() {
        page.comment(
            6,
            "The users of every tenant, as Microsoft's sidecar takes them. Narrower is better: list the tenants' ids. App tokens \
             are one tenant's: requests name it by optionsOverride.AcquireTokenOptions.Tenant, and `tenants` above lists it.",
        );
        page.line(6, "tenants: \"*\"");
    }
}

// === impl AppAuthority ===

impl AppAuthority {
    fn yaml(&self) -> String {
        match self {
            Self::Tenant { instance, tenant } => format!("authority: {}", scalar(&format!("{instance}/{tenant}"))),
            Self::Issuer(issuer) => format!("issuer: {}", scalar(issuer)),
        }
    }

    fn is_multi_tenant(&self) -> bool {
        matches!(self, Self::Tenant { tenant, .. } if MULTI_TENANT.iter().any(|name| name.eq_ignore_ascii_case(tenant)))
    }

    /// Whether it is that tenant.
    pub(super) fn is(&self, other: &str) -> bool {
        matches!(self, Self::Tenant { tenant, .. } if tenant.eq_ignore_ascii_case(other))
    }
}
