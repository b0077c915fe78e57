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
const HOST: &str = "AZURE_AUTHORITY_HOST";
const FEDERATED: &str = "AZURE_FEDERATED_TOKEN_FILE";

const AUTHORITY: &str = "apps.default.authority";
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
    layers.extend(credential(get(SECRET).is_some(), get(CERTIFICATE), get(FEDERATED), report));
    if get(SECRET).is_none() && get(PASSWORD).is_some() {
        let problem = Complaint::new(
            "certificates under a password are not available in this version",
            "mount the key and its chain as PEM without a password",
        );
        report.error_at(None, PASSWORD, problem);
    }
    layers
}

fn authority(tenant: &str, host: Option<&str>, report: &mut Report<'_>) -> Option<Layer> {
    if Tenant::parse(tenant).is_none() {
        let problem =
            Complaint::new("it is no tenant id and no domain name", "set it to the directory (tenant) id of the app registration");
        refuse(AUTHORITY, TENANT, problem, report);
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
        (false, Some(path), _) => (CERTIFICATE, file("certificate", CERTIFICATE, path)),
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
