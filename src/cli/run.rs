//! What the commands do: load, say what was found, and hand over to the parts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::print::{err, out};
use super::{Command, Convert, USAGE, caller_token, check, convert, healthcheck, key_ring, render, terminal};
use crate::clock::Clock;
use crate::config::{self, Input, Settings};
use crate::finding::Findings;
use crate::lifecycle::Signals;
use crate::listen::Address;
use crate::sidecar::{self, Descriptors, Parts, Prepared};
use crate::tasks::Tasks;
use crate::telemetry::{self, Metrics};

/// The exit status of a start that failed.
const FAILED: u8 = 1;

/// How many apps are named when tokend starts.
const MOST_NAMED: usize = 100;

/// How long blocking work may hold up the end of the process.
const LINGER: Duration = Duration::from_secs(1);

/// Runs a command and returns the exit status.
pub fn run(command: Command, environment: BTreeMap<String, String>) -> u8 {
    match command {
        Command::Serve { config } => serve(config, environment),
        Command::Check { config, online } => match load(config, environment) {
            Err(code) => code,
            Ok((prepared, _)) => block_on(check::run(&prepared, online)).unwrap_or(FAILED),
        },
        Command::Openapi => match sidecar::api_document() {
            Ok(text) => {
                out(&text);
                0
            }
            Err(error) => failed(&format!("the API document cannot be written: {error}")),
        },
        Command::Healthcheck { config, url } => {
            let admin = match url {
                Some(url) => healthcheck::Target::Url(url),
                None => match config::load(&Input { file: config, environment }) {
                    (Some(settings), _) => healthcheck::Target::Listener(places(&settings)),
                    (None, findings) => return bad(&findings),
                },
            };
            match block_on(healthcheck::run(admin)) {
                Some(Ok(())) => 0,
                Some(Err(reason)) => failed(&reason),
                None => FAILED,
            }
        }
        Command::CallerToken(what) => match caller_token::text(what) {
            Some(text) => {
                out(&text);
                0
            }
            None => failed("this machine has no randomness to make a token of"),
        },
        Command::KeyRing(what) => match key_ring::text(what) {
            Some(text) => {
                out(&text);
                0
            }
            None => failed("this machine has no randomness to make keys of"),
        },
        Command::Convert(what) => convert(&what),
        Command::Terminal(command) => block_on(terminal::run::run(&command, &environment)).unwrap_or(FAILED),
        #[cfg(feature = "emulator")]
        Command::Demo { exit } => block_on(crate::demo::run(exit, out)).map_or(FAILED, |good| if good { 0 } else { FAILED }),
        #[cfg(feature = "emulator")]
        Command::Emulator { listen, hosts, tls, ca_file, directory } => {
            let clock = Clock::system();
            let tls = tls.map(|(certificate, key)| tokend_emulator::TlsFiles { certificate, key });
            let now = std::sync::Arc::new(move || clock.wall());
            block_on(emulate(tokend_emulator::Options { listen, hosts, port: None, tls, ca_file, directory, now }))
                .unwrap_or(FAILED)
        }
    }
}

/// Prints what was made, and what is wrong with it or with what it was made of.
fn convert(what: &Convert) -> u8 {
    let (text, findings) = convert::run(what);
    if let Some(text) = &text {
        out(text);
    }
    match text {
        None => bad(&findings),
        Some(_) if findings.is_empty() => 0,
        Some(_) => {
            err(&render(&findings));
            FAILED
        }
    }
}

/// Settings whose files are loaded; else the findings are shown, and the exit status says so.
fn load(file: Option<PathBuf>, environment: BTreeMap<String, String>) -> Result<(Prepared, Settings), u8> {
    let (draft, mut findings) = config::draft(&Input { file, environment });
    let Some(mut settings) = draft else { return Err(bad(&findings)) };
    let is_usable = !findings.has_errors();
    if let Some(problem) = Descriptors::raise().divide(&mut settings) {
        findings.warning(None, "RLIMIT_NOFILE", problem);
    }
    let (prepared, more) = sidecar::prepare(settings.clone(), &Clock::system());
    findings.extend(more);
    match prepared.filter(|_| is_usable) {
        Some(prepared) => {
            if !findings.is_empty() {
                err(&render(&findings));
            }
            Ok((prepared, settings))
        }
        None => Err(bad(&findings)),
    }
}

fn serve(config: Option<PathBuf>, environment: BTreeMap<String, String>) -> u8 {
    let (prepared, settings) = match load(config.clone(), environment) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let telemetry = match telemetry::init(&settings.telemetry, prepared.tls(), io::stderr()) {
        Ok(telemetry) => telemetry,
        Err(problem) => return failed(&format!("{}: {}", problem.reason, problem.remedy)),
    };
    tell_of_start(config.as_deref(), &settings);
    tell_of(Descriptors::raise(), &settings);
    let metrics = Metrics::default();
    telemetry.observe(&metrics);
    let parts = Parts { clock: Clock::system(), tasks: Tasks::default(), metrics, sampler: telemetry.sampler };
    let served = block_on(async move {
        // Before anything is bound: a signal during the start must not be lost.
        let signals = Signals::process().map_err(|error| format!("signals cannot be handled: {error}"))?;
        let sidecar = prepared.build(parts).await.map_err(|error| error.to_string())?;
        Ok::<bool, String>(sidecar.run(signals).await)
    });
    let code = match served {
        Some(Ok(_)) => 0,
        Some(Err(reason)) => {
            // Not past the log: standard error may be a full pipe.
            telemetry.say(&format!("tokend: {reason}\n"));
            FAILED
        }
        None => FAILED,
    };
    // Last, when nothing can make a span any more.
    telemetry.flush();
    code
}

/// The first line: what runs here, and by which configuration.
fn tell_of_start(file: Option<&Path>, settings: &Settings) {
    let apps: Vec<&str> = settings.apps.iter().map(|app| app.name.as_str()).take(MOST_NAMED).collect();
    let addresses = settings.listen.addresses.iter().chain(&settings.admin.addresses);
    let listeners: Vec<String> = addresses.map(Address::to_string).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        file = file.map(|file| file.display().to_string()),
        apps = ?apps,
        app_count = settings.apps.len(),
        cache = if settings.cache.redis.is_some() { "redis" } else { "memory" },
        listeners = ?listeners,
        "starting"
    );
}

/// Says how many descriptors there are, and what the listeners get of them; that it is too little was among the findings.
fn tell_of(descriptors: Descriptors, settings: &Settings) {
    let limit = descriptors.limit().map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    tracing::info!(limit, token = settings.listen.connections, admin = settings.admin.connections, "descriptors");
}

#[cfg(feature = "emulator")]
async fn emulate(options: tokend_emulator::Options) -> u8 {
    let (emulator, mut signals) = match (tokend_emulator::bind(options).await, Signals::terminal()) {
        (Ok(emulator), Ok(signals)) => (emulator, signals),
        (Err(error), _) => return failed(&error.to_string()),
        (_, Err(error)) => return failed(&error.to_string()),
    };
    out(&format!("the emulator is at {0}; {0}/_emulator/directory tells all about it\n", emulator.origin()));
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::select! {
        () = emulator.run(stop.child_token()) => {}
        _ = signals.next() => stop.cancel(),
    }
    0
}

/// Where the configured admin listener can be asked.
fn places(settings: &Settings) -> Vec<healthcheck::HealthPlace> {
    let tcp = |port: u16| healthcheck::HealthPlace::Tcp(([127, 0, 0, 1], port).into());
    let place = |address: &Address| match address {
        Address::Tcp(address) => healthcheck::HealthPlace::Tcp(*address),
        Address::Any(port) => tcp(*port),
        Address::Unix(path) => healthcheck::HealthPlace::Unix(path.clone()),
    };
    settings.admin.addresses.iter().map(place).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let done = runtime.block_on(work);
            // A file system or a name server that hangs must not keep the process.
            runtime.shutdown_timeout(LINGER);
            Some(done)
        }
        Err(error) => {
            failed(&format!("the runtime cannot be started: {error}"));
            None
        }
    }
}

fn bad(findings: &Findings) -> u8 {
    err(&render(findings));
    USAGE
}

fn failed(reason: &str) -> u8 {
    err(&format!("tokend: {reason}\n"));
    FAILED
}
