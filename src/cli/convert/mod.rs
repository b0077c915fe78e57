//! `tokend convert`: the configuration of another sidecar becomes one of tokend's, with a comment for each difference, and never a
//! secret.
//!
//! `json` and `env_file` read what is given, `given` lays the environment over the file. `app`, `credential`, `apis` and `listen`
//! each take what they know and write their part of the `page`; `left` names everything that nobody has taken.

mod apis;
mod app;
mod credential;
mod env_file;
mod given;
mod json;
mod left;
mod listen;
mod page;
mod reasons;
mod setting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::config::{self, Format};
use crate::finding::{Complaint, Findings};
use crate::reload;
use given::SidecarConfig;
use page::YamlPage;

/// Whose configuration it is.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Convert {
    /// Print a tokend.yaml that does what this configuration of Microsoft's Entra sidecar does
    EntraSidecar(SidecarFiles),
}

/// Where Microsoft's sidecar is configured.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[group(required = true, multiple = true)]
pub struct SidecarFiles {
    /// Its environment, one NAME=value each line: what `docker run --env-file` takes, or `kubectl set env --list` prints
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// Its appsettings.json; the environment stands over it
    #[arg(long, value_name = "FILE")]
    appsettings: Option<PathBuf>,
}

/// A file's name, as findings show it, and its text.
#[derive(Clone, Debug, Default)]
pub struct InputText {
    /// The name.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Files as texts; `None` for one that is not given.
#[derive(Clone, Debug, Default)]
pub struct SidecarTexts {
    /// An environment file.
    pub env: Option<InputText>,
    /// An appsettings.json.
    pub appsettings: Option<InputText>,
}

/// The name under which findings about the result are.
const RESULT: &str = "tokend.yaml";

/// Converts files. The text is `None` where nothing could be made of them; it is there with errors where it has to be mended.
pub(super) fn run(Convert::EntraSidecar(files): &Convert) -> (Option<String>, Findings) {
    let mut findings = Findings::default();
    let mut read = |path: &Option<PathBuf>| path.as_deref().map(|path| contents(path, &mut findings));
    let texts = SidecarTexts { env: read(&files.env).flatten(), appsettings: read(&files.appsettings).flatten() };
    if findings.has_errors() {
        return (None, findings);
    }
    convert(&texts)
}

fn contents(path: &Path, findings: &mut Findings) -> Option<InputText> {
    let name = path.display().to_string();
    let problem = match reload::read(path) {
        Ok(contents) => match contents.text() {
            Ok(text) => return Some(InputText { name, text: text.to_owned() }),
            Err(_) => Complaint::new("the file is not UTF-8 text", "save it as UTF-8"),
        },
        Err(error) => {
            Complaint::new(format!("the file cannot be read: {}", error.kind()), "name another one, or mend its permissions")
        }
    };
    findings.error(Some(&name), "the whole file", problem);
    None
}

/// Converts texts. The first value is `None` where nothing could be made of them, which an error says; it is there with errors
/// where what was made has to be mended.
pub fn convert(texts: &SidecarTexts) -> (Option<String>, Findings) {
    let mut findings = Findings::default();
    let Some(config) = read(texts, &mut findings) else { return (None, findings) };
    let inputs: Vec<&str> = [&texts.appsettings, &texts.env].into_iter().flatten().map(|input| input.name.as_str()).collect();
    let identity = app::identity(&config, &inputs.join(", "), &mut findings);
    let credential = credential::choose(&config, &mut findings);
    let Some(identity) = identity else { return (None, findings) };
    let apis = apis::plan(&config, &identity.authority, &mut findings);

    let mut page = YamlPage::default();
    page.comment(0, &format!("Made by `tokend convert entra-sidecar` of {}.", inputs.join(" and ")));
    page.comment(0, "Comments say what differs. Where one begins with \"To do\", something has to be put in place first.");
    page.comment(0, "Not served: /DownstreamApi*, agent identities, proof of possession (docs/from-entra-sidecar.md).");
    page.gap();
    listen::write(&mut page, &config, &mut findings);
    level(&mut page, &config);
    hosts(&mut page, &config);
    doors(&mut page, apis.gives_app_tokens());
    page.gap();
    app::write(&mut page, &config, &identity, &credential, (&apis.tenants, &apis.further));
    page.gap();
    apis.write(&mut page, &config);
    let sentences = left::sentences(&config, "");
    if !sentences.is_empty() {
        page.gap();
        sentences.iter().for_each(|sentence| page.comment(0, sentence));
    }
    if findings.has_errors() {
        return (None, findings);
    }
    let text = page.into_text();
    let stand_in = |variable: String| (variable, "only looked for".to_owned());
    let environment: BTreeMap<String, String> = credential.variable.map(stand_in).into_iter().collect();
    let (_, found) = config::parse(&text, Format::Yaml, RESULT, &environment);
    // Warnings are for `tokend check`, which has the files.
    if found.has_errors() {
        findings.extend(found);
    }
    (Some(text), findings)
}

/// Both texts as one configuration, or errors.
fn read(texts: &SidecarTexts, findings: &mut Findings) -> Option<SidecarConfig> {
    let mut wrong = |(spot, problem): (setting::Spot, Complaint)| findings.error(Some(&spot.file), &spot.in_file(), problem);
    let unmarked = |input: &InputText| input.text.trim_start_matches('\u{feff}').to_owned();
    let file = texts.appsettings.as_ref().map(|input| json::leaves(&unmarked(input), &input.name));
    let env = texts.env.as_ref().map(|input| env_file::variables(&unmarked(input), &input.name));
    let file = file.transpose().map_err(&mut wrong);
    let env = env.transpose().map_err(&mut wrong);
    let config = SidecarConfig::merged(file.ok()?.unwrap_or_default(), env.ok()?.unwrap_or_default(), findings);
    (!findings.has_errors()).then_some(config)
}

/// `Logging:LogLevel:Default`.
fn level(page: &mut YamlPage, config: &SidecarConfig) {
    let Some((value, text)) = config.text("Logging:LogLevel:Default") else { return };
    let level = match text.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "warning" => "warn",
        "error" | "critical" | "none" => "error",
        // What is usual needs no line.
        "information" => return,
        _ => {
            page.comment(0, &format!("{} is not converted: .NET has no log level of this name.", value.place()));
            return;
        }
    };
    page.line(0, &format!("log: {{level: {level}}}"));
}

/// `AllowedHosts`, of which those that are this machine need no mention.
fn hosts(page: &mut YamlPage, config: &SidecarConfig) {
    let Some((value, hosts)) = config.list("AllowedHosts", &[';', ',']) else { return };
    let is_local = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let (any, named): (Vec<&str>, Vec<&str>) =
        hosts.into_iter().filter(|host| !is_local(host)).partition(|host| host.contains('*'));
    if !any.is_empty() {
        page.comment(
            0,
            &format!(
                "{} is not converted where it has `*`: tokend answers to localhost and to the names in `hosts`.",
                value.place()
            ),
        );
    }
    if !named.is_empty() {
        page.line(0, &format!("hosts: {}", page::list(named)));
    }
}

fn doors(page: &mut YamlPage, gives_app_tokens: bool) {
    page.line(0, "doors: [ms_sidecar]");
    if !gives_app_tokens {
        page.comment(0, "No api has RequestAppToken: nobody is answered at /AuthorizationHeaderUnauthenticated.");
        page.line(0, &format!("ms_sidecar: {{app: {}}}", app::APP));
        return;
    }
    page.comment(
        0,
        "`unauthenticated: anyone`: whoever reaches this address gets app tokens, as at Microsoft's sidecar; `tokend check` warns \
         of it. To bound that, take it out and give the address to one caller, `callers: [{name: app, listener: ADDRESS, doors: \
         [ms_sidecar]}]` with another one in `listen`; or have callers prove themselves otherwise (docs/callers.md).",
    );
    page.line(0, &format!("ms_sidecar: {{app: {}, unauthenticated: anyone}}", app::APP));
}

#[cfg(test)]
mod tests;
