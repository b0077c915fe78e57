//! What a cached hit costs as its users see it: whole processes of release builds, the server alone on one core and `wrk` on the
//! other, tokend beside a bare axum server that takes and gives the same members. And how long a hit takes while others ask for
//! what is not cached.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::authority::Issuer;
use super::server::{Server, TOKEN};
use super::statistics::{Measured, Rounds, median};

/// How often each server is measured, in turn with the others.
const ROUNDS: usize = 7;
/// Connections of `wrk`, each waiting for its answer before it asks again.
const CONNECTIONS: &str = "64";
/// How long a server is measured at a stretch.
const STRETCH: &str = "2s";
/// The core of whoever asks; the server has the other one.
const CLIENT_CORE: &str = "1";

/// How often the waits are measured, with and without others in turn.
const WAITS: usize = 5;

/// Requests as `wrk` makes them.
struct Script {
    folder: TempDir,
    path: &'static str,
}

/// Compares this build, or the one that is named, with the bare server.
pub(crate) fn report(binary: Option<&Path>) {
    stay_on_client_core();
    let issuer = Issuer::start();
    let binary = binary.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tokend")), Path::to_path_buf);
    let (sidecar, bare) = (Server::process(&issuer, &binary), Server::bare_process());
    let user = issuer.user_token(0);
    let flows = [("/client-credentials", None), ("/obo", Some(user.as_str()))];
    let mut rounds = Rounds::default();
    for (path, bearer) in flows {
        let script = Script::new(path, bearer);
        for round in 0..=ROUNDS {
            for (name, server) in [("tokend", &sidecar), ("bare axum, serde", &bare)] {
                let measured = script.run(server);
                // The first round fills caches and connections.
                if round > 0 {
                    rounds.add(&format!("{name} {path}"), measured);
                }
            }
        }
    }
    rounds.print("cached hits of whole processes (wrk, 64 connections, one core each, 1.6 kB tokens, metrics on, 5 % traced)");
    for (path, _) in flows {
        let [rate, cpu] = rounds.ratio(&format!("tokend {path}"), &format!("bare axum, serde {path}"));
        println!("  {path}: tokend / bare: requests per second {rate:.2}, CPU per request {cpu:.2}");
    }
    doors(&issuer, &binary, &user);
    cold(&Server::process(&issuer, &binary));
}

/// The doors for other protocols, each with its caller's proof, against the bare server's routes of the same names.
fn doors(issuer: &Issuer, binary: &Path, user: &str) {
    let (sidecar, bare) = (Server::process_with_doors(issuer, binary), Server::bare_process());
    let form = format!("grant_type=client_credentials&client_id=shop&scope=stock.read&client_secret={TOKEN}");
    let identity = "/msi/token?api-version=2019-08-01&client_id=vault&resource=https%3A%2F%2Fstock.example";
    let scripts = [
        Script::form("/oauth2/token", &form),
        Script::get(identity, &[("x-identity-header", TOKEN)]),
        Script::get("/auth/stock", &[("x-tokend-token", TOKEN), ("authorization", &format!("Bearer {user}"))]),
    ];
    let mut rounds = Rounds::default();
    for script in &scripts {
        for round in 0..=ROUNDS {
            for (name, server) in [("tokend", &sidecar), ("bare axum", &bare)] {
                let measured = script.run(server);
                if round > 0 {
                    rounds.add(&format!("{name} {}", script.route()), measured);
                }
            }
        }
    }
    rounds.print("cached hits at the doors, of whole processes, with a caller's proof");
    for route in scripts.iter().map(Script::route) {
        let [rate, cpu] = rounds.ratio(&format!("tokend {route}"), &format!("bare axum {route}"));
        println!("  {route}: tokend / bare: requests per second {rate:.2}, CPU per request {cpu:.2}");
    }
}

/// How long cached requests take alone, and while as many connections ask for tokens that are not cached.
fn cold(sidecar: &Server) {
    let (hot, cold) = (Script::new("/client-credentials", None), Script::cold());
    let (mut quiet, mut loaded) = (Vec::new(), Vec::new());
    let _warm = hot.run(sidecar);
    for _ in 0..WAITS {
        quiet.push(hot.percentile(sidecar));
        let mut others = cold.command(sidecar).stdout(Stdio::null()).spawn().expect("wrk");
        loaded.push(hot.percentile(sidecar));
        let _ended = others.wait();
    }
    let [quiet, loaded] = [quiet, loaded].map(|waits| median(waits.into_iter()));
    println!("\ncached requests while 64 connections ask for what is not cached (medians of {WAITS})");
    println!("  p99 alone {quiet:.2} ms, beside the others {loaded:.2} ms: {:.1} times", loaded / quiet);
}

/// This process and all that it starts, but the servers, stay on one core.
fn stay_on_client_core() {
    let pid = std::process::id().to_string();
    let moved = Command::new("taskset").args(["-a", "-c", "-p", CLIENT_CORE, &pid]).stdout(Stdio::null()).status();
    assert!(moved.expect("taskset (util-linux)").success());
}

// === impl Script ===

impl Script {
    /// The request for one token.
    fn new(path: &'static str, bearer: Option<&str>) -> Self {
        let bearer = bearer.map(|bearer| format!("wrk.headers['authorization'] = 'Bearer {bearer}'\n")).unwrap_or_default();
        Self::of(path, &format!("{bearer}wrk.body = '{{\"app\":\"shop\",\"scopes\":[\"stock.read\"]}}'\n"))
    }

    /// Requests for another token each.
    fn cold() -> Self {
        let body = "'{\"app\":\"shop\",\"scopes\":[\"cold.' .. started .. '.' .. count .. '\"]}'";
        let request = format!("function request() count = count + 1; return wrk.format(nil, nil, nil, {body}) end\n");
        Self::of("/client-credentials", &format!("local count, started = 0, os.time()\n{request}"))
    }

    /// A form.
    fn form(path: &'static str, body: &str) -> Self {
        let kind = "application/x-www-form-urlencoded";
        Self::written(path, &format!("wrk.method = 'POST'\nwrk.headers['content-type'] = '{kind}'\nwrk.body = '{body}'\n"))
    }

    /// A GET with these headers.
    fn get(path: &'static str, headers: &[(&str, &str)]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("wrk.headers['{name}'] = '{value}'\n")).collect();
        Self::written(path, &headers)
    }

    fn of(path: &'static str, more: &str) -> Self {
        Self::written(path, &format!("wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\n{more}"))
    }

    fn written(path: &'static str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("request.lua"), text).expect("a file");
        Self { folder, path }
    }

    /// The path without its query.
    fn route(&self) -> &'static str {
        self.path.split_once('?').map_or(self.path, |(route, _)| route)
    }

    /// Loads a server, and says what it did.
    fn run(&self, server: &Server) -> Measured {
        let before = server.cpu_micros();
        let text = self.output(server);
        let cpu = server.cpu_micros() - before;
        let count = text.lines().find_map(|line| line.trim().split_once(" requests in ")).and_then(|(count, _)| count.parse().ok());
        let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).and_then(|rate| rate.trim().parse().ok());
        let count: f64 = count.unwrap_or_else(|| panic!("{text}"));
        Measured { rate: rate.unwrap_or_else(|| panic!("{text}")), cpu_micros: cpu / count }
    }

    /// Within how many milliseconds 99 of 100 requests are answered.
    fn percentile(&self, server: &Server) -> f64 {
        let text = self.output(server);
        let wait = text.lines().find_map(|line| line.trim().strip_prefix("99%")).map(str::trim).unwrap_or_default();
        let unit = wait.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let factor = match unit {
            "us" => 0.001,
            "ms" => 1.0,
            "s" => 1000.0,
            _ => panic!("{text}"),
        };
        wait.trim_end_matches(unit).parse::<f64>().unwrap_or_else(|_| panic!("{text}")) * factor
    }

    fn output(&self, server: &Server) -> String {
        let output = self.command(server).stderr(Stdio::inherit()).output().expect("wrk (Debian's package)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
        text
    }

    fn command(&self, server: &Server) -> Command {
        let mut command = Command::new("wrk");
        command.args(["--latency", "--threads", "1", "--connections", CONNECTIONS, "--duration", STRETCH, "--script"]);
        command.arg(self.folder.path().join("request.lua")).arg(format!("http://{}{}", server.address, self.path));
        command
    }
}
