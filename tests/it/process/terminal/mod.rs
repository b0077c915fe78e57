//! The commands for people at a terminal, as processes beside a tokend that runs: what they print and where, and how they end.

mod callback;
mod device;
mod issuers;
mod login;
mod sharing;
mod token;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokend::clock::Clock;

use super::{Serving, end_within, run, signal, tokend};
use crate::support::{Answer, Client, Emulator, Said, configuration, eventually, parameter};

/// What a token is asked for: an app that signs users in, and a scope of one of the emulator's APIs.
const WEB: [&str; 4] = ["--app", "web", "--scope", "api://orders/access_as_user"];
/// As `WEB`, by somebody who says that it may be done on a machine that others use.
const SHARED: &str = "--shared-machine-ok";

/// A tokend that runs, with an authority; and where it is.
struct Stage {
    emulator: Emulator,
    files: TempDir,
    serving: Serving,
    place: String,
}

/// A command that has ended.
struct Told {
    code: i32,
    out: String,
    err: String,
}

/// `tokend login`, waiting for its user.
struct Waiting {
    child: Child,
    out: Said,
    err: Said,
}

// === impl Stage ===

impl Stage {
    /// Over TCP.
    async fn over_tcp(more: &str) -> Self {
        let (emulator, files, serving) = super::serving_with(more).await;
        let place = serving.client.base.clone();
        Self { emulator, files, serving, place }
    }

    /// Over TCP, its authority with another directory than the built-in one.
    async fn with_directory(directory: &Value) -> Self {
        let emulator = Emulator::start_with(&Clock::system(), Some(directory)).await;
        let files = tempfile::tempdir().expect("a folder");
        let config = files.path().join("tokend.yaml");
        std::fs::write(&config, configuration(&emulator, &files)).expect("a file");
        let mut command = tokend(&["serve", "--config"]);
        command.arg(&config);
        let serving = Serving::start(command).await;
        let place = serving.client.base.clone();
        Self { emulator, files, serving, place }
    }

    /// Over a Unix socket of this mode.
    async fn over_socket(mode: &str) -> Self {
        let (emulator, files) = super::stage().await;
        let socket = files.path().join("tokend.sock").display().to_string();
        let yaml = configuration(&emulator, &files);
        let config = files.path().join("tokend.yaml");
        std::fs::write(&config, format!("{yaml}\nlisten: [\"unix:{socket}\"]\nlisten_mode: \"{mode}\"\n")).expect("a file");
        let mut command = tokend(&["serve", "--config"]);
        command.arg(&config);
        let serving = Serving::start_as_configured(command).await;
        Self { emulator, files, serving, place: format!("unix://{socket}") }
    }

    /// A command that asks this tokend.
    fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = tokend(&[verb, "--url", &self.place]);
        command.args(args);
        command
    }

    /// Runs a command to its end.
    async fn told(&self, verb: &str, args: &[&str]) -> Told {
        let output = run(self.command(verb, args)).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Told { code: output.status.code().expect("an exit status"), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Starts a sign-in at the app `web` without a browser.
    fn begin(&self, args: &[&str]) -> Waiting {
        Waiting::start(self.command("login", &[&WEB[..], &["--no-browser", SHARED], args].concat()))
    }

    /// Signs a user in, from beginning to end.
    async fn signed_in(&self, user: &str) -> Told {
        let mut waiting = self.begin(&["--prompt", "none", "--login-hint", user]);
        let back = self.emulator.sign_in(&waiting.address().await).await;
        waiting.is_shown_out(&back).await;
        waiting.told().await
    }

    /// All that was sent to the token endpoint and is secret.
    async fn sent(&self) -> Vec<String> {
        let asked = self.emulator.asked("token").await;
        let members = ["code", "code_verifier", "client_secret", "refresh_token"];
        let values = asked.iter().flat_map(|call| members.map(|member| call["form"][member].as_str().map(str::to_owned)));
        values.flatten().collect()
    }
}

// === impl Told ===

impl Told {
    /// Checks how it ended, and that each of these words was said on standard error.
    #[track_caller]
    fn is(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{} {}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {}", self.err);
        }
    }

    /// Checks that none of this was said on standard error.
    #[track_caller]
    fn keeps(&self, secrets: &[String]) {
        for secret in secrets.iter().filter(|secret| secret.len() > 5) {
            assert!(!self.err.contains(secret.as_str()), "{secret} is in {}", self.err);
        }
        let is_token = |word: &str| word.starts_with("eyJ") && word.contains('.');
        assert!(!self.err.split(|c: char| c.is_whitespace() || "'\"`".contains(c)).any(is_token), "a token is in {}", self.err);
    }
}

// === impl Waiting ===

impl Waiting {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        let (mut out, mut err) = (Said::default(), Said::default());
        out.follow(child.stdout.take().expect("stdout"));
        err.follow(child.stderr.take().expect("stderr"));
        Self { child, out, err }
    }

    /// The first whole line that it says on standard output.
    async fn address(&mut self) -> String {
        let mut ended = false;
        eventually(Duration::from_secs(60), async || {
            ended = self.child.try_wait().expect("a child").is_some();
            ended || self.out.text().contains('\n')
        })
        .await;
        assert!(!ended || self.out.text().contains('\n'), "it ended without a word: {}", self.err.text());
        self.out.text().lines().next().expect("a line").to_owned()
    }

    /// Brings the authority's word as a browser does, and looks at the page at the end.
    async fn is_shown_out(&self, back: &url::Url) -> Answer {
        let redirect = visit(back).await;
        assert_eq!(redirect.status, 303, "{} {}", redirect.text, self.err.text());
        is_clean(&redirect);
        let page = back.join(redirect.header("location")).expect("an address");
        assert_eq!(page.query(), None, "{page}");
        let page = visit(&page).await;
        assert_eq!(page.status, 200, "{}", page.text);
        is_clean(&page);
        page
    }

    /// Waits for its end.
    async fn told(mut self) -> Told {
        let ended = end_within(&mut self.child, Duration::from_secs(60)).await;
        let ended = ended.unwrap_or_else(|| panic!("it goes on: {} {}", self.out.text(), self.err.text()));
        self.out.all().await;
        self.err.all().await;
        Told { code: ended.code().expect("an exit status"), out: self.out.text(), err: self.err.text() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Goes to an address as a browser does that follows nothing.
async fn visit(url: &url::Url) -> Answer {
    Client::send(Client::new("", None).http.get(url.clone())).await
}

/// Checks the headers of everything that a browser is shown.
#[track_caller]
fn is_clean(answer: &Answer) {
    for (name, value) in [
        ("content-security-policy", "default-src 'none'"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert!(answer.header(name).starts_with(value), "{name}: {:?}", answer.headers);
    }
    assert!(!answer.text.contains("code=") && !answer.text.contains("error"), "{}", answer.text);
}

/// What an answer of the authority has that nobody else may read.
fn word(back: &url::Url) -> Vec<String> {
    ["code", "state"].map(|name| parameter(back, name)).to_vec()
}
