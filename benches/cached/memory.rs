//! What memory a sidecar takes: idle, and per cached token.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use tokend::secret::Secret;
use tokend::store::Memory;
use tokend::token::{Facts, IssuedToken, Partition, Times};

/// How many tokens are cached to measure one.
const TOKENS: u32 = 50_000;

/// Prints the figures.
pub(crate) fn report() {
    println!("\nmemory");
    println!("  idle process (release build, one app): {:.1} MB", idle() / 1e6);
    let (per_token, counted) = per_token();
    println!("  per cached 1.6 kB token, each alone in its partition: {per_token:.0} B measured, {counted:.0} B counted");
}

/// Resident memory of a sidecar that has started and done nothing, in bytes.
fn idle() -> f64 {
    let folder = std::env::temp_dir().join(format!("tokend-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = folder.join("tokend.yaml");
    let text = "listen: \"127.0.0.1:0\"\nadmin_listen: \"127.0.0.1:0\"\napps:\n  a: {issuer: \"http://127.0.0.1:9\", insecure_http: true, \
                client_id: a, credential: {secret: {inline: a-secret}}}\n";
    std::fs::write(&config, text).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tokend"))
        .args(["serve", "--config"])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let _ready = lines.map_while(Result::ok).find(|line| line.contains("\"ready\""));
    let bytes = resident(&child.id().to_string());
    child.kill().expect("a process of ours");
    let _ended = child.wait();
    let _gone = std::fs::remove_dir_all(&folder);
    bytes
}

/// What one token adds to the resident memory, and what the store counts for it, in bytes.
fn per_token() -> (f64, f64) {
    let memory = Memory::new(1 << 30);
    let times = Times { received_on: 0, expires_on: Some(3600), ext_expires_on: Some(3600), refresh_on: Some(2600) };
    let before = resident("self");
    for index in 0..TOKENS {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&index.to_le_bytes());
        let partition = Partition::new(bytes);
        let grant = IssuedToken {
            access_token: Secret::new(super::bare::token()),
            token_type: "Bearer".to_owned(),
            scope: "https://graph.microsoft.com/.default".to_owned(),
            times,
            tenant_id: None,
            account: None,
            id_token: None,
            issued_token_type: None,
        };
        let facts =
            Facts { asked: "https://graph.microsoft.com/.default".into(), generation: u64::from(index), ..Facts::default() };
        let stored = grant.write().keep(&times, facts).expect("an end");
        memory.put(partition, stored, || 0, |_| true);
        assert!(memory.find_map(&partition, |_| Some(())).is_some());
    }
    let count = f64::from(TOKENS);
    let counted = f64::from(u32::try_from(memory.bytes()).expect("under 4 GiB"));
    ((resident("self") - before) / count, counted / count)
}

fn resident(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) * 1024.0
}
