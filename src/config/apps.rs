//! `apps`: from raw shapes to the settings of each app, with a finding for everything that cannot work.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::report::Report;
use super::scalar::{List, Scalar, Text};
use super::shape::join;
use super::{authorities, host, name, raw, source};
use crate::authority::{Address, AuthorityKind};
use crate::finding::Complaint;
use crate::reload::Source;
use crate::token::{PolicyName, Scopes, Tenant};
use crate::{authority, credential, flow, inbound};

/// Reads all apps.
pub(super) fn apps(
    raw: Option<raw::Entries<raw::App>>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Vec<flow::AppSettings> {
    let raw = raw.unwrap_or_default();
    if raw.is_empty() {
        let remedy = "define one under `apps`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or \
                      AZURE_FEDERATED_TOKEN_FILE; `tokend demo` needs none";
        report.missing("apps", Complaint::new("no app is configured", remedy));
    }
    let read = raw.into_iter().filter_map(|(name, raw)| app(name, raw.unwrap_or_default(), environment, report));
    let mut apps: Vec<flow::AppSettings> = read.collect();
    client_audiences(&mut apps, report);
    apps
}

/// At an issuer every id token has a client id for its audience: where an app takes tokens for one, it is said, and noted.
fn client_audiences(apps: &mut [flow::AppSettings], report: &mut Report<'_>) {
    const REMEDY: &str = "have the issuer give access tokens an audience of their own, and list that: for a client id a token has to \
                          show `typ: at+jwt`, or a claim `scope`, `scp` or `client_id`";
    let clients: Vec<_> = apps.iter().map(|app| (app.name.clone(), app.authority.address.clone(), app.client_id.clone())).collect();
    for app in apps {
        let Some(inbound) = app.inbound.as_mut().filter(|_| !app.authority.address.profile().access_tokens.has_own_audience())
        else {
            continue;
        };
        for (name, address, client) in &clients {
            let is_own = *name == app.name;
            let is_said = is_own || *client != app.client_id && !inbound.clients.contains(client);
            if *address != app.authority.address || !is_said || !inbound.audiences.contains(client) {
                continue;
            }
            let whose = if is_own { "the app's own client id".to_owned() } else { format!("the client id of the app `{name}`") };
            let reason = format!("one of them is {whose}, which ID tokens have for their audience too");
            report.warning(&join(&join("apps", &app.name), "inbound.audiences"), Complaint::new(reason, REMEDY));
            inbound.clients.push(client.clone());
        }
    }
}

fn app(name: String, raw: raw::App, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<flow::AppSettings> {
    let path = entry_path("apps", &name, report);
    let at = |member: &str| join(&path, member);
    let kind = raw.kind.map(|scalar| scalar.0);
    let address = address(&path, (raw.authority, kind), raw.issuer, raw.insecure_http, report);
    if let Some(address) = &address {
        let members = Pointless {
            assertion_audience: raw.assertion_audience.is_some(),
            offline_access: raw.offline_access.is_some(),
            session_ask: raw.session.as_ref().is_some_and(|session| session.ask.is_some()),
            tenants: raw.tenants.as_ref().is_some_and(|list| !list.0.is_empty()),
            policies: raw.policies.as_ref().is_some_and(|list| !list.0.is_empty()),
            passwords: raw.username_password.as_ref().is_some_and(|scalar| scalar.0),
            par: raw.par.as_ref().is_some_and(|scalar| scalar.0),
        };
        pointless(&path, address, &members, report);
    }
    let region = authorities::region(&at("region"), raw.region, address.as_ref(), environment, report);
    let metadata = authorities::metadata(&at("authority_metadata"), raw.authority_metadata, address.as_ref(), report);
    let client_id = client_id(&at("client_id"), raw.client_id, report);
    let mut credential = source::credential(&at("credential"), raw.credential, environment, report);
    if let (Some(address), Some(credential::Settings::Secret { method, .. })) = (&address, &mut credential)
        && address.profile().has_secret_in_form()
        && method.take().is_some()
    {
        let reason = format!("it has no effect at {}, where the secret stands in the form", address.profile().title);
        report.warning(&at("credential.secret.method"), Complaint::new(reason, "remove it"));
    }
    if let (Some(address), Some(credential)) = (&address, &credential) {
        unfit(&at("credential"), address, credential, report);
    }
    let is_public = matches!(credential, Some(credential::Settings::Public));
    if is_public && raw.inbound.is_some() {
        let reason = "it has no effect at an app without a credential, which may not exchange users' tokens";
        report.warning(&at("inbound"), Complaint::new(reason, "remove it, or give the app a credential"));
    }
    let inbound = raw.inbound.map(|raw| inbound(&at("inbound"), raw, address.as_ref(), report));
    let tenants = tenants(&at("tenants"), raw.tenants, report);
    let policies = policies(&at("policies"), raw.policies, address.as_ref(), report);
    if let Some(address) = &address {
        authorities::judge(&path, address, (region.is_some(), metadata.is_some()), &tenants, report);
    }
    let managed_identity_ids = words(&at("managed_identity_ids"), raw.managed_identity_ids, report);
    let client_capabilities = words(&at("client_capabilities"), raw.client_capabilities, report);
    let ca_file = raw.ca_file.and_then(|file| source::filled(&at("ca_file"), file, report)).map(PathBuf::from);
    let (file, key) = report.place(&path);
    let assertion_audience = raw.assertion_audience.map_or_else(Default::default, |scalar| scalar.0);
    // What has a finding already has something in its place, so that the app's files are looked at all the same.
    let address = address.or_else(|| Address::oidc("https://issuer.invalid", false).ok())?;
    let credential =
        credential.unwrap_or_else(|| credential::Settings::Secret { source: Source::missing(&at("credential")), method: None });
    let refresh_tokens = raw.refresh_tokens.map_or_else(|| flow::RefreshTokens::usual(&address), |scalar| scalar.0);
    let device_client = raw.device_code.and_then(|raw| raw.client).map(|scalar| scalar.0);
    let usual_client = flow::DeviceClient::usual(&address);
    if is_public && device_client == Some(flow::DeviceClient::Confidential) {
        let reason = "the app has no credential to poll with";
        report.error(&at("device_code.client"), Complaint::new(reason, "remove it, or give the app a credential"));
    }
    let is_on = |switch: Option<Scalar<bool>>| switch.is_some_and(|scalar| scalar.0);
    let username_password = is_on(raw.username_password);
    let takes_none = |tenant: &Tenant| ["common", "consumers"].contains(&tenant.as_str());
    if username_password && address.tenant().is_some_and(takes_none) && tenants.is_empty() {
        let reason = "the app's authority takes no passwords: they are one tenant's";
        let remedy = "name one tenant in `authority`, or list those that requests may name in `tenants`";
        report.error(&at("username_password"), Complaint::new(reason, remedy));
    }
    Some(flow::AppSettings {
        name,
        authority: authority::Settings { key, file, address, ca_file, assertion_audience, region, metadata },
        client_id: client_id.unwrap_or_default(),
        credential,
        inbound,
        tenants,
        policies,
        client_capabilities,
        offline_access: is_on(raw.offline_access),
        pushes_requests: is_on(raw.par),
        refresh_tokens,
        managed_identity_ids,
        refresh_token: is_on(raw.refresh_token),
        username_password,
        device_client: device_client.unwrap_or(usual_client),
        session_ask: raw.session.and_then(|raw| raw.ask).map(|scalar| scalar.0),
    })
}

/// What of a credential does not fit the kind of authority.
fn unfit(path: &str, address: &Address, credential: &credential::Settings, report: &mut Report<'_>) {
    let at = join(path, credential.kind());
    let names_certificates = address.profile().assertion.has_thumbprint();
    match credential {
        credential::Settings::Certificate { header, .. } | credential::Settings::Pfx { header, .. }
            if header.sha1 && !address.profile().has_choice_of_thumbprint() =>
        {
            let reason = format!("it has no effect at {}", address.profile().title);
            let problem = Complaint::new(reason, "remove it: the algorithm is the one that is taken there");
            report.warning(&join(&at, "sha1"), problem);
        }
        credential::Settings::TlsCertificate(_) if names_certificates => {
            let reason = format!("{} knows no app by the certificate of its connection", address.profile().title);
            report.error(&at, Complaint::new(reason, "write `certificate` or `pfx`, with the same key and its certificate"));
        }
        credential::Settings::PrivateKey { .. } if names_certificates => {
            let reason = format!("{} knows an app's key by its certificate", address.profile().title);
            report.error(&at, Complaint::new(reason, "write `certificate` or `pfx`, with the key and its certificate"));
        }
        _ => {}
    }
}

/// The path of an app or api, and a finding if its name is none.
pub(super) fn entry_path(parent: &str, entry: &str, report: &mut Report<'_>) -> String {
    let path = join(parent, name::shown_entry(entry));
    if !name::is_valid(entry) {
        let reason = "the name has characters that names do not have";
        report.error(&path, Complaint::new(reason, "use lower-case letters, digits and `-`, and begin with a letter or digit"));
    }
    path
}

fn address(
    path: &str,
    (authority, kind): (Option<Text>, Option<AuthorityKind>),
    issuer: Option<Text>,
    insecure_http: Option<Scalar<bool>>,
    report: &mut Report<'_>,
) -> Option<Address> {
    let insecure_http = insecure_http.is_some_and(|scalar| scalar.0);
    let key = join(path, "authority");
    if kind.is_some() && issuer.is_some() {
        let problem = Complaint::new("an `issuer` is of one kind", "remove it, or name an `authority`");
        report.error(&join(path, "kind"), problem);
    }
    match (authority, issuer) {
        (Some(text), None) => served(&key, Address::authority(&text.0, kind, insecure_http), report),
        (None, Some(text)) => served(&join(path, "issuer"), Address::oidc(&text.0, insecure_http), report),
        (Some(_), Some(_)) => {
            let problem = Complaint::new(
                "`authority` and `issuer` are both given",
                "keep `authority` for Entra, CIAM, B2C and AD FS, `issuer` for any other OpenID Connect server",
            );
            report.error(&join(path, "issuer"), problem);
            None
        }
        (None, None) => {
            let remedy = "write `authority: https://login.microsoftonline.com/TENANT` for Entra, or \
                      `issuer: https://…` for any other server";
            report.missing(&key, Complaint::new("the app has no authority", remedy));
            None
        }
    }
}

fn served(path: &str, address: Result<Address, Complaint>, report: &mut Report<'_>) -> Option<Address> {
    let address = report.take(path, address)?;
    host::judge(path, address.url().host_str().unwrap_or_default(), report);
    Some(address)
}

/// Which members are given that not every kind of authority has.
struct Pointless {
    assertion_audience: bool,
    offline_access: bool,
    session_ask: bool,
    tenants: bool,
    policies: bool,
    passwords: bool,
    par: bool,
}

fn pointless(path: &str, address: &Address, given: &Pointless, report: &mut Report<'_>) {
    let profile = address.profile();
    if given.tenants && !profile.tenants {
        let reason = format!("{} has no tenants of which a request could name one", profile.title);
        report.error(&join(path, "tenants"), Complaint::new(reason, "remove it, or define one app for each of them"));
    }
    if given.policies && address.policy().is_none() {
        let problem = Complaint::new(format!("{} has no policies", profile.title), "remove it, or name an authority of B2C");
        report.error(&join(path, "policies"), problem);
    }
    if given.passwords && !profile.has_passwords {
        let reason = format!("{} takes no passwords: its users sign in by its own pages", profile.title);
        report.error(&join(path, "username_password"), Complaint::new(reason, "remove it, and let users sign in by `/auth-code`"));
    }
    let has_effect = [
        ("assertion_audience", given.assertion_audience, profile.assertion_names_issuer),
        ("offline_access", given.offline_access, !profile.reserved_scopes),
        ("par", given.par, profile.pushed_requests),
        // Elsewhere a refresh token comes with every on-behalf-of.
        ("session.ask", given.session_ask, !profile.reserved_scopes),
    ];
    for (member, given, has_effect) in has_effect {
        if given && !has_effect {
            report.warning(&join(path, member), Complaint::new(format!("it has no effect at {}", profile.title), "remove it"));
        }
    }
}

fn client_id(path: &str, raw: Option<Text>, report: &mut Report<'_>) -> Option<String> {
    const REMEDY: &str = "write the client id of the app registration";
    let Some(Text(text)) = raw else {
        report.missing(path, Complaint::new("the app has no client id", REMEDY));
        return None;
    };
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        report.error(path, Complaint::new("the client id is empty, or has spaces or control characters", REMEDY));
        return None;
    }
    Some(text)
}

fn inbound(path: &str, raw: raw::Inbound, address: Option<&Address>, report: &mut Report<'_>) -> inbound::Settings {
    let audiences = words(&join(path, "audiences"), raw.audiences, report);
    if audiences.is_empty() && address.is_some_and(|address| !address.profile().access_tokens.has_own_audience()) {
        let problem =
            Complaint::new("without an audience no token would be accepted", "list the audiences that tokens for this app carry");
        report.missing(&join(path, "audiences"), problem);
    }
    let scopes = scopes(&join(path, "scopes"), raw.scopes, report);
    if scopes.is_empty()
        && let Some(address) = address.filter(|address| address.profile().inbound_scopes)
    {
        let reason = format!("nothing else tells this app's tokens from others of {}", address.profile().title);
        report.missing(&join(path, "scopes"), Complaint::new(reason, "list the scopes of this app that tokens have to carry"));
    }
    let tenants = inbound_tenants(&join(path, "tenants"), raw.tenants, address, report);
    inbound::Settings { audiences, scopes: scopes.iter().map(str::to_owned).collect(), clients: Vec::new(), tenants }
}

/// A multi-tenant app says whose users it accepts; any other app accepts those of its own tenant and cannot say anything else.
fn inbound_tenants(path: &str, raw: Option<List>, address: Option<&Address>, report: &mut Report<'_>) -> inbound::Tenants {
    const REMEDY: &str = "list the ids of the tenants, or write \"*\" for every tenant";
    let Some(address) = address else { return inbound::Tenants::Own };
    let multi = address.tenant().is_some_and(Tenant::is_any);
    let list = entries(path, raw);
    match (multi, list.as_slice()) {
        (true, []) => {
            report.missing(path, Complaint::new("nothing says which tenants' users this multi-tenant app accepts", REMEDY))
        }
        (false, []) => {}
        (false, _) => {
            let remedy = "remove it, or name a multi-tenant authority such as https://login.microsoftonline.com/organizations";
            report.error(path, Complaint::new("this app accepts the users of its own authority only", remedy));
        }
        (true, [(_, every)]) if every == "*" => return inbound::Tenants::Every,
        (true, list) => {
            let ids = list.iter().filter_map(|(key, text)| {
                let id = Tenant::parse(text)
                    .filter(Tenant::is_guid)
                    .ok_or_else(|| Complaint::new("it is no tenant id, which is what tokens carry", REMEDY));
                report.take(key, id).map(|tenant| tenant.as_str().to_owned())
            });
            return inbound::Tenants::Listed(ids.collect());
        }
    }
    inbound::Tenants::Own
}

fn tenants(path: &str, raw: Option<List>, report: &mut Report<'_>) -> Vec<Tenant> {
    let list = entries(path, raw);
    let parse = |text: &str| {
        Tenant::parse(text).filter(|tenant| !tenant.is_any()).ok_or_else(|| {
            Complaint::new(
                "it is no tenant id and no domain name of a tenant",
                "write the id or a verified domain name of one tenant",
            )
        })
    };
    list.iter().filter_map(|(key, text)| report.take(key, parse(text))).collect()
}

/// Further policies, each once and none of them the authority's own.
fn policies(path: &str, raw: Option<List>, address: Option<&Address>, report: &mut Report<'_>) -> Vec<PolicyName> {
    let parse = |text: &str| {
        PolicyName::parse(text).ok_or_else(|| {
            let remedy = "write the name alone, such as B2C_1_edit: [A-Za-z0-9_-]{1,128}";
            Complaint::new("it is no name of a policy", remedy)
        })
    };
    let own = address.and_then(Address::policy);
    let mut all: Vec<PolicyName> = Vec::new();
    for (key, text) in entries(path, raw) {
        let Some(policy) = report.take(&key, parse(&text)) else { continue };
        if own == Some(&policy) || all.contains(&policy) {
            report.warning(&key, Complaint::new("this policy is named before", "remove it"));
        } else {
            all.push(policy);
        }
    }
    all
}

/// A list of scopes; one text may hold several, separated by spaces.
pub(super) fn scopes(path: &str, raw: Option<List>, report: &mut Report<'_>) -> Scopes {
    let list = entries(path, raw);
    let texts = || list.iter().flat_map(|(_, text)| text.split_ascii_whitespace());
    let parsed = Scopes::from_list(texts()).map_err(|_| {
        let remedy = "write the scopes as the api's documentation does, without quotes";
        Complaint::new("a scope has characters that scopes do not have", remedy)
    });
    // A request may do so; here it is a slip of whoever meant another one.
    let parsed = parsed.and_then(|scopes| {
        let is_each_once = scopes.iter().count() == texts().count();
        is_each_once.then_some(scopes).ok_or_else(|| Complaint::new("a scope is listed twice", "list each scope once"))
    });
    report.take(path, parsed).unwrap_or_default()
}

/// Texts without spaces and control characters.
pub(super) fn words(path: &str, raw: Option<List>, report: &mut Report<'_>) -> Vec<String> {
    let list = entries(path, raw);
    let plain = |text: &str| {
        let good = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if good {
            Ok(text.to_owned())
        } else {
            Err(Complaint::new("the entry is empty or has spaces", "write one entry each: [a, b]"))
        }
    };
    list.iter().filter_map(|(key, text)| report.take(key, plain(text))).collect()
}

/// The entries of a list, each with the path that findings name.
pub(super) fn entries(path: &str, raw: Option<List>) -> Vec<(String, String)> {
    let list = raw.unwrap_or_default().0.into_iter().enumerate();
    list.filter_map(|(index, text)| text.map(|text| (format!("{path}[{index}]"), text))).collect()
}

/// A list of names. An empty one would allow nothing at all, and is more often meant to allow everything.
pub(super) fn listed<T>(
    path: &str,
    raw: Option<List>,
    report: &mut Report<'_>,
    read: impl Fn(&str) -> Result<T, Complaint>,
) -> Option<Vec<T>> {
    let list = entries(path, Some(raw?));
    if list.is_empty() {
        report.missing(
            path,
            Complaint::new(
                "the list is empty, and would allow nothing",
                "list what is allowed, or remove the key: then what is usual is",
            ),
        );
    }
    Some(list.iter().filter_map(|(key, text)| report.take(key, read(text))).collect())
}
