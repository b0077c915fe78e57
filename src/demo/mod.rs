//! `tokend demo`: the sidecar with the emulator, every flow through the REST API once, and curl lines to go on with.
//!
//! It writes a configuration and uses the REST API like any user; nothing in here reaches into the sidecar.

mod client;
mod configuration;
mod sign_ins;
mod steps;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokend_emulator::Emulator;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{self, Format};
use crate::lifecycle::{Order, Signals};
use crate::sidecar::{self, Parts, Sidecar};
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Sampler};

use client::Client;
use steps::DemoStep;

/// Runs the demo and prints with `out`. Returns whether every flow brought a token.
///
/// It stays up until Ctrl-C unless `exit` is set.
pub async fn run(exit: bool, out: fn(&str)) -> bool {
    match demonstrate(exit, out).await {
        Ok(good) => good,
        Err(reason) => {
            out(&format!("the demo cannot run: {reason}\n"));
            false
        }
    }
}

async fn demonstrate(exit: bool, out: fn(&str)) -> Result<bool, String> {
    let (clock, tasks, stop) = (Clock::system(), Tasks::default(), CancellationToken::new());
    let ca_file = CaFile(std::env::temp_dir().join(format!("tokend-demo-{}-ca.pem", std::process::id())));
    let emulator = start_emulator(&clock, &ca_file).await?;
    let (origin, directory, ca) = (emulator.origin().to_owned(), emulator.directory(), emulator.ca_pem().to_owned());
    tasks.awaited("emulator", emulator.run(stop.child_token()));
    let text = |ports| configuration::text(&origin, &directory, &ca_file.0, ports);
    let sidecar = match start_sidecar(&text([8650, 8651])?, &clock, &tasks).await {
        Ok(sidecar) => sidecar,
        // Something else is at the usual ports.
        Err(_) => start_sidecar(&text([0, 0])?, &clock, &tasks).await?,
    };
    let base = format!("http://{}", sidecar.addresses().first().map(ToString::to_string).unwrap_or_default());
    let admin = format!("http://{}", sidecar.admin_addresses().first().map(ToString::to_string).unwrap_or_default());

    let client = Client::new(&ca, &base, &origin)?;
    let (ends, signals) = Signals::manual();
    let interrupted = Signals::terminal().map_err(|error| error.to_string())?;
    let show = async {
        let mut results = steps::all(&client).await;
        results.extend(sign_ins::all(&client).await);
        let good = results.iter().all(DemoStep::is_good);
        out(&table(&results));
        if !exit {
            out(&curl_lines(&base, &admin, &origin, &ca_file));
            let mut interrupted = interrupted;
            let _any = interrupted.next().await;
        }
        stop.cancel();
        let _ended = ends.send(Order::Stop);
        good
    };
    let (_, good) = tokio::join!(sidecar.run(signals), show);
    Ok(good)
}

async fn start_emulator(clock: &Clock, ca_file: &CaFile) -> Result<Emulator, String> {
    let options = |port: u16| {
        let now = clock.clone();
        tokend_emulator::Options {
            listen: ([127, 0, 0, 1], port).into(),
            hosts: Vec::new(),
            port: None,
            tls: None,
            ca_file: Some(ca_file.0.clone()),
            directory: None,
            now: Arc::new(move || now.wall()),
        }
    };
    match tokend_emulator::bind(options(8652)).await {
        Ok(emulator) => Ok(emulator),
        // Something else is at the usual port.
        Err(_) => tokend_emulator::bind(options(0)).await.map_err(|error| error.to_string()),
    }
}

async fn start_sidecar(text: &str, clock: &Clock, tasks: &Tasks) -> Result<Sidecar, String> {
    let (settings, findings) = config::parse(text, Format::Yaml, "demo.yaml", &BTreeMap::new());
    let first = |findings: &crate::finding::Findings| findings.iter().next().map(ToString::to_string).unwrap_or_default();
    let settings = settings.ok_or_else(|| first(&findings))?;
    let (prepared, findings) = sidecar::prepare(settings, clock);
    let prepared = prepared.ok_or_else(|| first(&findings))?;
    let parts = Parts { clock: clock.clone(), tasks: tasks.clone(), metrics: Metrics::default(), sampler: Sampler::new(None) };
    prepared.build(parts).await.map_err(|error| error.to_string())
}

/// The emulator's CA for as long as the demo runs.
struct CaFile(PathBuf);

impl Drop for CaFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = std::fs::remove_file(&self.0);
    }
}

fn table(steps: &[DemoStep]) -> String {
    let mut text = format!("\n{:<46} {:>6}  {:<18} {:>8}\n", "flow", "status", "token source", "ms");
    for step in steps {
        text.push_str(&format!("{:<46} {:>6}  {:<18} {:>8.1}\n", step.flow, step.status, step.source, step.milliseconds));
        if let Some(detail) = &step.detail {
            text.push_str(&format!("  {detail}\n"));
        }
    }
    text
}

fn curl_lines(base: &str, admin: &str, origin: &str, ca_file: &CaFile) -> String {
    let json = "-H 'content-type: application/json'";
    let ca = ca_file.0.display();
    format!(
        r#"
Try it:

  # a token for the app itself
  curl -s {base}/client-credentials {json} -d '{{"app":"daemon","scopes":["https://graph.microsoft.com/.default"]}}'

  # a user's token, from the emulator, exchanged for another one on the user's behalf
  USER_TOKEN=$(curl -s --cacert {ca} {origin}/_emulator/token {json} \
    -d '{{"app":"orders-api","user":"ana@contoso.example","scopes":"access_as_user"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -s {base}/obo -H "authorization: Bearer $USER_TOKEN" {json} -d '{{"app":"orders","scopes":["https://graph.microsoft.com/User.Read"]}}'

  # where to send a browser
  curl -s {base}/auth-code/url {json} -d '{{"app":"web","scopes":["api://orders/access_as_user"],"redirect_uri":"http://localhost:3000/callback"}}'

  # what tokend says of itself
  curl -s {admin}/status
  curl -s {admin}/metrics

Ctrl-C ends it.
"#
    )
}
