//! Where a secret's text is: `{file: …}`, `{env: …}` or `{inline: …}`, and which kind of credential it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::report::Report;
use super::scalar::{Later, Scalar, Text};
use super::shape::join;
use super::{name, raw};
use crate::credential;
use crate::finding::Complaint;
use crate::reload::{Place, Source};
use crate::secret::Secret;

const KINDS: &str = "write exactly one, such as `secret: {file: /run/secrets/client-secret}`, `certificate: {file: \
                     /run/secrets/client.pem}`, `pfx: {file: /run/secrets/client.pfx}`, `private_key: {file: \
                     /run/secrets/key.jwk}` or `federated_token: {file: /var/run/secrets/tokens/tokend}`; `public: true` for an \
                     app that has none";

/// Reads the one credential of an app.
pub(super) fn credential(
    path: &str,
    raw: Option<raw::Credential>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<credential::Settings> {
    let raw = raw.unwrap_or_default();
    let instead = "use `secret`, `certificate`, `pfx` or `federated_token`";
    not_yet(&join(path, "managed_identity"), raw.managed_identity.as_ref(), instead, report);
    if raw.public.as_ref().is_some_and(|scalar| !scalar.0) {
        report
            .error(&join(path, "public"), Complaint::new("it is false, which says nothing", "remove it, or write `public: true`"));
    }
    let raw::Credential { secret, certificate, pfx, private_key, tls_certificate, federated_token, public, managed_identity: _ } =
        raw;
    let given = [
        secret.is_some(),
        certificate.is_some(),
        pfx.is_some(),
        private_key.is_some(),
        tls_certificate.is_some(),
        federated_token.is_some(),
        public.is_some(),
    ];
    match given.into_iter().filter(|given| *given).count() {
        0 => {
            report.missing(path, Complaint::new("the app has no credential", KINDS));
            return None;
        }
        1 => {}
        _ => {
            report.error(path, Complaint::new("there is more than one kind of credential", KINDS));
            return None;
        }
    }
    let at = |kind: &str| join(path, kind);
    if let Some(raw) = secret {
        client_secret(&at("secret"), raw, environment, report)
    } else if let Some(raw) = certificate {
        self::certificate(&at("certificate"), raw, environment, report)
    } else if let Some(raw) = pfx {
        self::pfx(&at("pfx"), raw, environment, report)
    } else if let Some(raw) = private_key {
        self::private_key(&at("private_key"), raw, environment, report)
    } else if let Some(raw) = tls_certificate {
        let place = raw::RawPlace { file: raw.file, env: raw.env, inline: raw.inline };
        let files = certificate_files(&at("tls_certificate"), place, (raw.key_file, raw.password), environment, report);
        files.map(credential::Settings::TlsCertificate)
    } else if let Some(place) = federated_token {
        source(&at("federated_token"), place, environment, report).map(credential::Settings::FederatedToken)
    } else {
        Some(credential::Settings::Public)
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
    let header = header(path, (raw.x5c, raw.sha1, raw.kid), report);
    let place = raw::RawPlace { file: raw.file, env: raw.env, inline: raw.inline };
    let files = certificate_files(path, place, (raw.key_file, raw.password), environment, report)?;
    Some(credential::Settings::Certificate { files, header })
}

fn certificate_files(
    path: &str,
    place: raw::RawPlace,
    (key_file, password): (Option<Text>, Option<raw::RawPlace>),
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<credential::CertificateFiles> {
    let at = join(path, "key_file");
    let key = key_file.and_then(|file| filled(&at, file, report)).map(|file| from(&at, Place::File(PathBuf::from(file)), report));
    let password = password_source(path, password, environment, report);
    // What stands beside a key of its own is no secret.
    let source = if key.is_some() { public_source } else { source }(path, place, environment, report)?;
    Some(credential::CertificateFiles { source, key, password })
}

fn password_source(
    path: &str,
    password: Option<raw::RawPlace>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<Source> {
    source(&join(path, "password"), password?, environment, report)
}

fn header(
    path: &str,
    (x5c, sha1, kid): (Option<Scalar<bool>>, Option<Scalar<bool>>, Option<Text>),
    report: &mut Report<'_>,
) -> credential::AssertionHeader {
    let is_on = |switch: Option<Scalar<bool>>| switch.is_some_and(|scalar| scalar.0);
    let kid = kid.and_then(|kid| filled(&join(path, "kid"), kid, report));
    credential::AssertionHeader { sha1: is_on(sha1), x5c: is_on(x5c), kid }
}

fn pfx(path: &str, raw: raw::Pfx, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<credential::Settings> {
    let header = header(path, (raw.x5c, raw.sha1, raw.kid), report);
    let password = password_source(path, raw.password, environment, report);
    let place = raw::RawPlace { file: raw.file, env: raw.env, inline: raw.inline };
    Some(credential::Settings::Pfx { source: source(path, place, environment, report)?, password, header })
}

fn private_key(
    path: &str,
    raw: raw::PrivateKey,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<credential::Settings> {
    let kid = raw.kid.and_then(|kid| filled(&join(path, "kid"), kid, report));
    let place = raw::RawPlace { file: raw.file, env: raw.env, inline: raw.inline };
    let source = source(path, place, environment, report)?;
    Some(credential::Settings::PrivateKey { source, kid, algorithm: raw.alg.map(|scalar| scalar.0) })
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
