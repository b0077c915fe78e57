//! The `AZURE_*` variables of the Azure SDKs as the app `default`, where nothing else defines an app.

use std::collections::BTreeMap;

use ::config::{Value, ValueKind};

use super::report::Report;
use super::text::Layer;
use crate::finding::Complaint;
use crate::token::Tenant;

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const PASSWORD: &str = "AZURE_CLIENT_CERTIFICATE_PASSWORD";
const CHAIN: &str = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN";
const HOST: &str = "AZURE_AUTHORITY_HOST";
const FEDERATED: &str = "AZURE_FEDERATED_TOKEN_FILE";
const TENANTS: &str = "AZURE_ADDITIONALLY_ALLOWED_TENANTS";

/// What the Azure SDKs take and this version does not: why, and what to do instead.
const UNUSED: [(&str, &str, &str); 2] = [
    ("AZURE_USERNAME", "users do not sign in by a password here", "unset it, and let the app sign its users in (`/auth-code`)"),
    ("AZURE_PASSWORD", "users do not sign in by a password here", "unset it, and let the app sign its users in (`/auth-code`)"),
];

/// What people write in place of a host: the clouds' names, and the host of each.
const CLOUDS: [(&str, &str); 7] = [
    ("azurecloud", "login.microsoftonline.com"),
    ("azurepubliccloud", "login.microsoftonline.com"),
    ("azurepublic", "login.microsoftonline.com"),
    ("azureusgovernment", "login.microsoftonline.us"),
    ("azuregovernment", "login.microsoftonline.us"),
    ("azurechinacloud", "login.partner.microsoftonline.cn"),
    ("azurechina", "login.partner.microsoftonline.cn"),
];

/// Where the Azure SDKs and MSAL are told of a region, the former first; what they call the region of the machine; and what
/// switches regions off.
const REGIONS: [&str; 2] = ["AZURE_REGIONAL_AUTHORITY_NAME", "MSAL_FORCE_REGION"];
const OWN_REGION: [&str; 3] = ["autodiscoverregion", "tryautodetect", "true"];
const NO_REGION: [&str; 4] = ["disablemsalforceregion", "false", "0", "no"];

const AUTHORITY: &str = "apps.default.authority";
const REGION: &str = "apps.default.region";
const CLIENT_ID: &str = "apps.default.client_id";
const CREDENTIAL: &str = "apps.default.credential";

/// The app that the variables define: none without any of them; with an incomplete set, a finding for each that is missing.
pub(super) fn layers(environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Vec<Layer> {
    let get = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    if ![TENANT, CLIENT, SECRET, CERTIFICATE, FEDERATED].into_iter().any(|name| get(name).is_some()) {
        return Vec::new();
    }
    for (name, path) in [(TENANT, AUTHORITY), (CLIENT, CLIENT_ID)] {
        if get(name).is_none() {
            let remedy = format!("set {name}, define `apps` in a configuration file, or unset the other AZURE_ variables");
            refuse(path, name, Complaint::new(not_set(), remedy), report);
        }
    }
    let mut layers = Vec::new();
    if let Some(tenant) = get(TENANT) {
        layers.extend(authority(tenant, get(HOST), report));
    }
    if let Some(client) = get(CLIENT) {
        layers.push(layer(CLIENT_ID, CLIENT, client.to_owned()));
    }
    layers.extend(get(TENANTS).and_then(|list| tenants(list, report)));
    layers.extend(region(get));
    layers.extend(credential(get(SECRET).is_some(), get(CERTIFICATE), get(FEDERATED), report));
    layers.extend(of_certificate(get, get(CERTIFICATE).filter(|_| get(SECRET).is_none()), report));
    unused(get, report);
    layers
}

/// A warning for each variable that is set and has no effect: whoever set it counts on it.
fn unused<'a>(get: impl Fn(&str) -> Option<&'a str>, report: &mut Report<'_>) {
    for (name, reason, remedy) in UNUSED {
        if get(name).is_some_and(|value| !is_off(value)) {
            report.warning_at(name, Complaint::new(reason, remedy));
        }
    }
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no")
}

/// What is set about the certificate at this path; nothing of it has an effect where the app has another credential.
fn of_certificate<'a>(get: impl Fn(&str) -> Option<&'a str>, path: Option<&str>, report: &mut Report<'_>) -> Vec<Layer> {
    let given = [(PASSWORD, "password.env", PASSWORD), (CHAIN, "x5c", "true")];
    let given = given.into_iter().filter(|(name, ..)| get(name).is_some_and(|value| *name == PASSWORD || !is_off(value)));
    let Some(path) = path else {
        for (name, ..) in given {
            let reason = "it is about a certificate, and the app has another credential";
            report.warning_at(name, Complaint::new(reason, format!("unset it, or set {CERTIFICATE} and no {SECRET}")));
        }
        return Vec::new();
    };
    given.map(|(name, member, value)| layer(&format!("{CREDENTIAL}.{}.{member}", kind_of(path)), name, value.to_owned())).collect()
}

/// Which kind of credential a certificate's file is, by its name.
fn kind_of(path: &str) -> &'static str {
    let name = path.to_ascii_lowercase();
    if [".pfx", ".p12"].iter().any(|ending| name.ends_with(ending)) { "pfx" } else { "certificate" }
}

/// The region, as either variable says it.
fn region<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Layer> {
    let (variable, said) = REGIONS.into_iter().find_map(|name| Some((name, get(name)?)))?;
    let plain: String = said.split_whitespace().collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        off if NO_REGION.contains(&off) => None,
        own if OWN_REGION.contains(&own) => Some(layer(REGION, variable, "auto".to_owned())),
        _ => Some(layer(REGION, variable, plain)),
    }
}

/// Further tenants, separated by `;` as the Azure SDKs have it, or by `,`. A `*` allows every tenant there; here each has a name.
fn tenants(list: &str, report: &mut Report<'_>) -> Option<Layer> {
    let mut names: Vec<&str> = list.split([';', ',']).map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.contains(&"*") {
        let problem = Complaint::new(
            "`*` allows no tenant: a request may name those that are listed",
            "list the ids of the tenants, separated by `;`; or name `organizations` in AZURE_TENANT_ID for an app of many tenants",
        );
        report.warning_at(TENANTS, problem);
        names.retain(|name| *name != "*");
    }
    let values = names.into_iter().map(|name| Value::new(None, ValueKind::String(name.to_owned()))).collect();
    Some(Layer {
        path: ["apps", "default", "tenants"].map(str::to_owned).to_vec(),
        variable: TENANTS.to_owned(),
        value: Value::new(None, ValueKind::Array(values)),
    })
}

fn authority(tenant: &str, host: Option<&str>, report: &mut Report<'_>) -> Option<Layer> {
    if Tenant::parse(tenant).is_none() {
        let problem =
            Complaint::new("it is no tenant id and no domain name", "set it to the directory (tenant) id of the app registration");
        refuse(AUTHORITY, TENANT, problem, report);
        return None;
    }
    if let Some((_, known)) = host.and_then(|host| CLOUDS.iter().find(|(cloud, _)| cloud.eq_ignore_ascii_case(host))) {
        let problem = Complaint::new("it is the name of a cloud and no host", format!("write {known}"));
        refuse(AUTHORITY, HOST, problem, report);
        return None;
    }
    let variable = if host.is_some() { HOST } else { TENANT };
    let host = host.unwrap_or("https://login.microsoftonline.com").trim_end_matches('/');
    let scheme = if host.contains("://") { "" } else { "https://" };
    Some(layer(AUTHORITY, variable, format!("{scheme}{host}/{tenant}")))
}

/// As the Azure SDKs do, the secret goes before the certificate, and either before the token that the webhook of workload identity
/// mounts: whoever sets one of them beside that means it.
fn credential(secret: bool, certificate: Option<&str>, federated: Option<&str>, report: &mut Report<'_>) -> Option<Layer> {
    let file = |kind: &str, variable: &str, path: &str| layer(&format!("{CREDENTIAL}.{kind}.file"), variable, path.to_owned());
    let (chosen, layer) = match (secret, certificate, federated) {
        (true, ..) => (SECRET, layer(&format!("{CREDENTIAL}.secret.env"), SECRET, SECRET.to_owned())),
        (false, Some(path), _) => (CERTIFICATE, file(kind_of(path), CERTIFICATE, path)),
        (false, None, Some(path)) => (FEDERATED, file("federated_token", FEDERATED, path)),
        (false, None, None) => {
            refuse(CREDENTIAL, SECRET, Complaint::new(not_set(), format!("set {SECRET}, {CERTIFICATE} or {FEDERATED}")), report);
            return None;
        }
    };
    for (other, given) in [(CERTIFICATE, certificate), (FEDERATED, federated)] {
        if other != chosen && given.is_some() {
            let problem =
                Complaint::new(format!("{chosen} is set as well and goes before it"), format!("unset {other} or {chosen}"));
            report.warning_at(other, problem);
        }
    }
    Some(layer)
}

/// An error about a variable, which also explains why the path that it sets has no value.
fn refuse(path: &str, variable: &str, problem: Complaint, report: &mut Report<'_>) {
    report.attribute(path.to_owned(), variable.to_owned());
    report.error(path, problem);
}

fn not_set() -> String {
    "it is not set, while other AZURE_ variables define the app `default`".to_owned()
}

fn layer(path: &str, variable: &str, value: String) -> Layer {
    let path = path.split('.').map(str::to_owned).collect();
    Layer { path, variable: variable.to_owned(), value: Value::new(None, ValueKind::String(value)) }
}
