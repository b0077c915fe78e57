//! `DownstreamApis` and `Sidecar:AllowOverrides`: what tokens are for, and what a request may say otherwise.

use super::app::{APP, AppAuthority, TenantApp};
use super::given::{SidecarConfig, shown_name};
use super::left;
use super::page::{YamlPage, list, scalar};
use crate::finding::Findings;

/// The section.
const APIS: &str = "DownstreamApis";

/// What is decided of all apis before anything is written.
pub(super) struct ApiPlans {
    apis: Vec<ApiPlan>,
    overrides: bool,
    app_overrides: bool,
    /// Tenants that requests have to name.
    pub(super) tenants: Vec<String>,
    /// Apps of other tenants.
    pub(super) further: Vec<TenantApp>,
}

/// One api.
struct ApiPlan {
    /// As Microsoft's configuration calls it.
    original: String,
    name: String,
    app: String,
    scopes: Vec<String>,
    app_token: bool,
    comments: Vec<String>,
}

/// Decides what each api becomes.
pub(super) fn plan(config: &SidecarConfig, authority: &AppAuthority, findings: &mut Findings) -> ApiPlans {
    let mut allowed = |name: &str, usual: bool| {
        config.switch(&format!("Sidecar:AllowOverrides:{name}"), findings).map_or(usual, |(_, allowed)| allowed)
    };
    let overrides = allowed("GetAuthorizationHeader", true);
    let app_overrides = allowed("GetAuthorizationHeaderUnauthenticated", false);
    let mut plans = ApiPlans { apis: Vec::new(), overrides, app_overrides, tenants: Vec::new(), further: Vec::new() };
    for original in config.children(APIS) {
        let api = api(config, original, authority, &mut plans, findings);
        plans.apis.push(api);
    }
    plans
}

fn api(
    config: &SidecarConfig,
    original: String,
    authority: &AppAuthority,
    plans: &mut ApiPlans,
    findings: &mut Findings,
) -> ApiPlan {
    let at = |member: &str| format!("{APIS}:{original}:{member}");
    let mut comments = Vec::new();
    let (name, is_renamed) = entry_name(&original, &plans.apis);
    if is_renamed {
        comments.push(format!(
            "To do: was {}. Names have lower-case letters, digits and `-`: clients have to ask for this one.",
            shown_name(&original)
        ));
    } else if name != original {
        comments.push(format!("Was {}: clients may write its name in any case.", shown_name(&original)));
    }
    let scopes: Vec<String> =
        config.list(&at("Scopes"), &[' ']).map(|(_, words)| words.into_iter().map(str::to_owned).collect()).unwrap_or_default();
    let requested = config.switch(&at("RequestAppToken"), findings).is_some_and(|(_, app_token)| app_token);
    if requested {
        let said = "With a user's token, at /AuthorizationHeader, tokend answers on behalf of the user. Microsoft's sidecar gives \
                    the app's own token there too: ask by optionsOverride.RequestAppToken=true for that, or without a user.";
        comments.push(said.to_owned());
    } else if plans.app_overrides {
        let said =
            "It has no RequestAppToken. Requests without a user may say it by optionsOverride, as they may say all else here.";
        comments.push(said.to_owned());
    }
    let app_token = requested || plans.app_overrides;
    let mut app = APP.to_owned();
    if let Some((value, tenant)) = config.text(&at("AcquireTokenOptions:Tenant")).filter(|(_, tenant)| !authority.is(tenant)) {
        if requested && matches!(authority, AppAuthority::Tenant { .. }) {
            app = format!("{APP}-{name}");
            plans.further.push(TenantApp { name: app.clone(), tenant: tenant.to_owned() });
        } else {
            comments.push(format!(
                "To do: {} is another tenant than the app's. An api of tokend has none: requests have to name it by \
                 optionsOverride.AcquireTokenOptions.Tenant, and `tenants` of the app lists it.",
                value.place()
            ));
            if !plans.tenants.iter().any(|other| other.eq_ignore_ascii_case(tenant)) {
                plans.tenants.push(tenant.to_owned());
            }
        }
    }
    ApiPlan { original, name, app, scopes, app_token, comments }
}

/// A name that tokend takes, and whether it differs in more than its case: another one's name has a number after it.
fn entry_name(original: &str, taken: &[ApiPlan]) -> (String, bool) {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
    let name: String = original.chars().map(plain).collect();
    let name = Some(name.trim_start_matches('-')).filter(|name| !name.is_empty()).unwrap_or("api").to_owned();
    let is_taken = |name: &str| taken.iter().any(|api| api.name == name);
    let free = (2..).map(|number| format!("{name}-{number}")).find(|name| !is_taken(name));
    let name = if is_taken(&name) { free.unwrap_or(name) } else { name };
    let is_renamed = !name.eq_ignore_ascii_case(original);
    (name, is_renamed)
}

// === impl ApiPlans ===

impl ApiPlans {
    /// Whether whoever asks without a user is answered.
    pub(super) fn gives_app_tokens(&self) -> bool {
        self.apis.iter().any(|api| api.app_token && !api.scopes.is_empty())
    }

    /// Writes `apis`.
    pub(super) fn write(&self, page: &mut YamlPage, config: &SidecarConfig) {
        if self.apis.is_empty() {
            page.comment(0, "There are no DownstreamApis: /Validate alone is served.");
            return;
        }
        if self.overrides {
            page.comment(
                0,
                "`overrides`: as Sidecar:AllowOverrides:GetAuthorizationHeader is on, also where nothing says so, whoever has a \
                 user's token may ask for any scope. Remove it where nobody does. What is not allowed is refused, with 403, and \
                 not ignored.",
            );
        }
        let is_active = self.apis.iter().any(|api| !api.scopes.is_empty());
        page.line(0, if is_active { "apis:" } else { "apis: {}" });
        for api in &self.apis {
            self.write_api(page, api, config);
        }
    }

    fn write_api(&self, page: &mut YamlPage, api: &ApiPlan, config: &SidecarConfig) {
        let mut below = YamlPage::default();
        for comment in &api.comments {
            below.comment(4, comment);
        }
        below.line(4, &format!("app: {}", api.app));
        below.line(4, &format!("scopes: {}", list(&api.scopes)));
        below.line(4, "doors: [ms_sidecar]");
        let base = format!("{APIS}:{}:BaseUrl", api.original);
        if let Some((value, url)) = config.text(&base) {
            if is_plain_url(url) {
                below.line(4, &format!("base_url: {}", scalar(url)));
            } else {
                below.comment(4, &format!("{} is not converted: a base URL has scheme, host and path only.", value.place()));
            }
        }
        let switches =
            [("app_token", api.app_token), ("overrides", self.overrides), ("app_overrides", self.app_overrides && api.app_token)];
        for (member, _) in switches.iter().filter(|(_, on)| *on) {
            below.line(4, &format!("{member}: true"));
        }
        let scheme = format!("{APIS}:{}:ProtocolScheme", api.original);
        // Bearer is what all tokens here are; anything else is said with the rest.
        if config.peek(&scheme).is_none_or(|scheme| scheme.eq_ignore_ascii_case("Bearer")) {
            config.take(&scheme);
        }
        for sentence in left::sentences(config, &format!("{APIS}:{}", api.original)) {
            below.comment(4, &sentence);
        }
        let below = below.into_text();
        if api.scopes.is_empty() {
            page.comment(
                2,
                &format!(
                    "To do: {} has no Scopes, so that Microsoft's sidecar answers only requests that name some. An api of tokend \
                     has scopes: write what is usual, and take the `#` away.",
                    shown_name(&api.original)
                ),
            );
            page.line(2, &format!("# {}:", api.name));
            for line in below.lines() {
                page.line(2, &format!("# {}", line.strip_prefix("  ").unwrap_or(line)));
            }
            return;
        }
        page.line(2, &format!("{}:", api.name));
        for line in below.lines() {
            page.line(0, line);
        }
    }
}

/// Whether a URL has nothing that a base URL has not, or that could be a secret.
fn is_plain_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        is_bare && matches!(url.scheme(), "http" | "https") && url.has_host()
    })
}
