//! Text and environment become settings, or a list of everything that keeps them from it.
//!
//! Two stages. First the text, with the environment laid over it, becomes a tree and then raw shapes whose members may all be
//! absent (`text`, `environment`, `azure`, `shape`). Then the raw shapes become the settings of the parts (`apps`, `apis`,
//! `service`, `traces`). Both stages collect findings and go on, so that an operator mends a configuration in one go:
//! what is missing or wrong has something in its place until then (`draft`), and such settings are never run. No file but
//! the configuration itself is opened here, and the environment is a parameter.

mod apis;
mod apps;
mod authorities;
mod azure;
mod bounds;
mod callers;
mod doors;
mod environment;
mod format;
mod host;
mod listeners;
mod name;
mod node;
mod outbound;
mod proofs;
mod raw;
mod redis;
mod report;
mod scalar;
mod service;
mod settings;
mod shape;
mod source;
mod text;
mod tls;
mod traces;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::finding::{Complaint, Findings};
use crate::{http, reload};

pub use format::Format;
pub use name::shown;
pub use settings::{Settings, Shutdown};

use report::Report;

/// What a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The one file; without it the environment alone.
    pub file: Option<PathBuf>,
    /// All environment variables. Only `main` reads the process's own.
    pub environment: BTreeMap<String, String>,
}

/// Reads the file and the environment. There are settings only where no finding is an error.
pub fn load(input: &Input) -> (Option<Settings>, Findings) {
    usable(draft(input))
}

/// Reads the file and the environment. Where a finding is an error, the settings are good for one thing: to look at the files that
/// they name, so that what is wrong with those is told in the same go.
pub fn draft(input: &Input) -> (Option<Settings>, Findings) {
    let Some(path) = &input.file else { return read(None, None, &input.environment) };
    let name = path.display().to_string();
    match contents(path) {
        Ok(text) => read(Some((&text, Format::of(path))), Some(&name), &input.environment),
        Err(problem) => {
            let mut findings = Findings::default();
            findings.error(Some(&name), "--config", problem);
            (None, findings)
        }
    }
}

/// Reads a text as if it stood in a file called `name`, and the environment over it.
pub fn parse(text: &str, format: Format, name: &str, environment: &BTreeMap<String, String>) -> (Option<Settings>, Findings) {
    usable(read(Some((text, format)), Some(name), environment))
}

fn usable((settings, findings): (Option<Settings>, Findings)) -> (Option<Settings>, Findings) {
    (settings.filter(|_| !findings.has_errors()), findings)
}

fn contents(path: &Path) -> Result<String, Complaint> {
    let contents = reload::read(path).map_err(|error| {
        Complaint::new(
            format!("the file cannot be read: {}", error.kind()),
            "mend the path in --config or TOKEND_CONFIG, or the file's permissions",
        )
    })?;
    contents.text().map(str::to_owned).map_err(|_| Complaint::new("the file is not UTF-8 text", "save it as UTF-8"))
}

fn read(text: Option<(&str, Format)>, name: Option<&str>, environment: &BTreeMap<String, String>) -> (Option<Settings>, Findings) {
    let mut report = Report::new(name);
    let (text, format) = text.unwrap_or(("", Format::Yaml));
    match text::read(text.trim_start_matches('\u{feff}'), format) {
        Ok(file) => {
            let tree = layered(file, environment, &mut report);
            let settings = assemble(shape::shape(tree, &mut report), environment, &mut report);
            (Some(settings), report.finish())
        }
        Err(text::Syntax { position, problem }) => {
            let key =
                position.map_or_else(|| "the whole file".to_owned(), |(line, column)| format!("line {line}, column {column}"));
            report.error_at(name, &key, problem);
            (None, report.finish())
        }
    }
}

/// The file's tree with the environment over it.
fn layered(file: ::config::Config, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> serde_json::Value {
    let tree = text::tree(file.clone());
    let mut layers = environment::layers(environment, &tree, report);
    let has_apps = tree.get("apps").is_some_and(|apps| !apps.is_null() && apps.as_object().is_none_or(|apps| !apps.is_empty()));
    if !has_apps && !layers.iter().any(|layer| layer.path.first().is_some_and(|first| first == "apps")) {
        layers.extend(azure::layers(environment, report));
    }
    let mut config = file;
    for path in layers.iter().flat_map(|layer| environment::replaced(layer, &tree)) {
        config = text::overlay(config, &path, ::config::ValueKind::Nil.into());
    }
    for layer in layers {
        let path = layer.path.join(".");
        report.attribute(path.clone(), layer.variable);
        config = text::overlay(config, &path, layer.value);
    }
    text::tree(config)
}

/// Raw shapes become settings; every part is read, whatever is wrong with another.
fn assemble(mut raw: raw::Root, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Settings {
    let names: Vec<String> = raw.apps.iter().flat_map(BTreeMap::keys).cloned().collect();
    let bounds = listeners::bounds(&mut raw.limits, report);
    let (mut limits, detached) = service::limits(raw.limits, raw.hosts, report);
    let guard =
        tls::ListenerGuard { tls: raw.tls.is_some(), callers: raw.callers.as_ref().is_some_and(|callers| !callers.is_empty()) };
    let (mut listen, admin) = listeners::listeners(raw.listen, raw.admin_listen, raw.listen_mode, (&limits, bounds), guard, report);
    listen.tls = raw.tls.map(|raw| tls::tls(raw, &listen.addresses, environment, report));
    let api_names: Vec<String> = raw.apis.iter().flat_map(BTreeMap::keys).cloned().collect();
    let apps = apps::apps(raw.apps, environment, report);
    let around = proofs::Surroundings {
        apps: &apps,
        listen: &listen.addresses,
        admin: &admin.addresses,
        tls: listen.tls.as_ref(),
        environment,
    };
    let callers = callers::callers(raw.callers, &callers::KnownNames { apps: &names, apis: &api_names }, &around, report);
    let apis = apis::apis(raw.apis, &names, report);
    let known = doors::DoorContext { apps: &apps, apis: &apis, callers: &callers, listen: &listen.addresses };
    let written = doors::RawDoors { doors: raw.doors, public_url: raw.public_url, msi: raw.msi, ms_sidecar: raw.ms_sidecar };
    let (doors, msi_secret) = doors::doors(written, &known, environment, report);
    if doors.open.contains(&http::ClientDoor::OAuth2) {
        doors::ambiguous(&apps, report);
    }
    limits.doors = doors;
    Settings {
        listen,
        admin,
        apps,
        msi_secret,
        apis,
        callers,
        cache: service::cache(raw.cache, (&limits, detached), environment, report),
        handles: service::handles(raw.refresh_handles, report),
        calls: service::calls(raw.authority, &limits, report),
        outbound: outbound::outbound(raw.outbound, environment, report),
        shutdown: service::shutdown(raw.shutdown),
        telemetry: traces::telemetry(raw.log, raw.otlp, environment, report),
        http: limits,
    }
}
