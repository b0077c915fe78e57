//! Where a secret's text is: `{file: …}`, `{env: …}` or `{inline: …}`, and which kind of credential it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::report::Report;
use super::scalar::{Later, Text};
use super::shape::join;
use super::{name, raw};
use crate::credential;
use crate::finding::Complaint;
use crate::reload::{Place, Source};
use crate::secret::Secret;

const KINDS: &str = "write exactly one, such as `secret: {file: /run/secrets/client-secret}`, `certificate: {file: \
                     /run/secrets/client.pem}` or `federated_token: {file: /var/run/secrets/tokens/tokend}`; `public: true` for \
                     an app that has none";

/// Reads the one credential of an app.
pub(super) fn credential(
    path: &str,
    raw: Option<raw::Credential>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<credential::Settings> {
    let raw = raw.unwrap_or_default();
    let later = [("pfx", &raw.pfx), ("private_key", &raw.private_key), ("managed_identity", &raw.managed_identity)];
    for (kind, value) in later {
        not_yet(&join(path, kind), value.as_ref(), "use `secret`, `certificate` or `federated_token`", report);
    }
    if raw.public.as_ref().is_some_and(|scalar| !scalar.0) {
        report
            .error(&join(path, "public"), Complaint::new("it is false, which says nothing", "remove it, or write `public: true`"));
    }
    match (raw.secret, raw.certificate, raw.federated_token, raw.public) {
        (Some(secret), None, None, None) => client_secret(&join(path, "secret"), secret, environment, report),
        (None, Some(certificate), None, None) => self::certificate(&join(path, "certificate"), certificate, environment, report),
        (None, None, Some(place), None) => {
            source(&join(path, "federated_token"), place, environment, report).map(credential::Settings::FederatedToken)
        }
        (None, None, None, Some(_)) => Some(credential::Settings::Public),
        (None, None, None, None) => {
            report.missing(path, Complaint::new("the app has no credential", KINDS));
            None
        }
        _ => {
            report.error(path, Complaint::new("there is more than one kind of credential", KINDS));
            None
        }
    }
}

fn client_secret(
    path: &str,
    raw: raw::ClientSecret,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<credential::Settings> {
    let place = raw::RawPlace { file: raw.file, env: raw.env, inline: raw.inline };
    let method = raw.method.map(|scalar| scalar.0);
    Some(credential::Settings::Secret { source: source(path, place, environment, report)?, method })
}

fn certificate(
    path: &str,
    raw: raw::Certificate,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<credential::Settings> {
    let place = raw::RawPlace { file: raw.file, env: raw.env, inline: raw.inline };
    let sha1 = raw.sha1.is_some_and(|scalar| scalar.0);
    let kid = raw.kid.and_then(|kid| filled(&join(path, "kid"), kid, report));
    let source = source(path, place, environment, report)?;
    Some(credential::Settings::Certificate { source, sha1, kid })
}

/// Reads the one place of a secret.
pub(super) fn source(
    path: &str,
    raw: raw::RawPlace,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<Source> {
    let is_inline = raw.inline.is_some();
    let source = public_source(path, raw, environment, report)?;
    let inline = join(path, "inline");
    // A variable is no worse a place than `{env: …}`; a file that many can read is.
    if is_inline && !report.is_from_a_variable(&inline) {
        let problem =
            Complaint::new("a secret stands in the configuration itself", "move it to a file of its own and write {file: …}");
        report.warning(&inline, problem);
    }
    Some(source)
}

/// Reads the one place of a text that anybody may see.
pub(super) fn public_source(
    path: &str,
    raw: raw::RawPlace,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<Source> {
    const REMEDY: &str = "write one of {file: /run/secrets/…}, {env: NAME} and {inline: …}";
    match (raw.file, raw.env, raw.inline) {
        (Some(file), None, None) => {
            let path = join(path, "file");
            filled(&path, file, report).map(|file| from(&path, Place::File(PathBuf::from(file)), report))
        }
        (None, Some(variable), None) => variable_source(&join(path, "env"), variable, environment, report),
        (None, None, Some(text)) => {
            let path = join(path, "inline");
            filled(&path, text, report).map(|text| from(&path, Place::Value(Secret::new(text)), report))
        }
        (None, None, None) => {
            report.missing(path, Complaint::new("nothing says where the text is", REMEDY));
            None
        }
        _ => {
            report.error(path, Complaint::new("more than one place is named", REMEDY));
            None
        }
    }
}

fn variable_source(path: &str, variable: Text, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<Source> {
    let variable = filled(path, variable, report)?;
    match environment.get(&variable) {
        Some(value) if !value.trim().is_empty() => Some(from(path, Place::Value(Secret::new(value.as_str())), report)),
        found => {
            // Whoever writes the secret itself here must not find it in the log: only what looks like a name is shown.
            let what = if found.is_some() { "empty" } else { "not set" };
            let reason = format!("the environment variable {} is {what}", name::shown(&variable));
            report.error(path, Complaint::new(reason, "set it to the text, or name another variable or a file"));
            None
        }
    }
}

fn from(path: &str, place: Place, report: &Report<'_>) -> Source {
    let (file, key) = report.place(path);
    Source { key, file, place }
}

/// A text that is not empty.
pub(super) fn filled(path: &str, text: Text, report: &mut Report<'_>) -> Option<String> {
    if text.0.trim().is_empty() {
        report.error(path, Complaint::new("the value is empty", "write a value, or remove the key"));
        return None;
    }
    Some(text.0)
}

/// A key that the documentation has and this version has not.
pub(super) fn not_yet(path: &str, value: Option<&Later>, remedy: &str, report: &mut Report<'_>) {
    if value.is_some() {
        report.error(path, Complaint::new("this is not available in this version", format!("remove it; {remedy}")));
    }
}
