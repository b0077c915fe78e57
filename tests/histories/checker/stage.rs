//! The fleet: an authority in this process, what replicas share, and replicas as processes of the binary under test.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use tokend::clock::Clock;

use super::backend::Backend;
use super::history::{Fault, Millis, Op, Span, What};
use super::plan::Plan;
use crate::support::{Client, Emulator, Fleet, configuration};

/// How long a call to the authority may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(8);
/// Users of the flows that begin with a user's token.
pub(super) const USERS: usize = 4;

/// What all parts of a run share.
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) emulator: Emulator,
    /// The tokens that users come with, and to whom they belong.
    pub(super) bearers: Vec<String>,
    pub(super) clients: Vec<Client>,
    pub(super) clock: Clock,
    /// When it began, in Unix milliseconds.
    pub(super) epoch: u64,
    pub(super) ops: Mutex<Vec<Op>>,
    pub(super) faults: Mutex<Vec<Fault>>,
    _files: TempDir,
}

/// What the faults happen to.
pub(super) struct Machines {
    pub(super) backend: Backend,
    pub(super) fleet: Fleet,
}

// === impl Stage ===

impl Stage {
    pub(super) async fn start(plan: Plan) -> (Arc<Self>, Machines) {
        let clock = Clock::system();
        let emulator = Emulator::start_with(&clock, Some(&directory(&plan))).await;
        let files = tempfile::tempdir().expect("a folder");
        let backend = Backend::start(plan.topology, plan.replicas).await;
        let yaml = yaml(&emulator, &files, &plan);
        let fleet = Fleet::start_at(
            plan.replicas,
            |replica| yaml.replace("LOCATION", &backend.location(replica)),
            |replica| (plan.skew > 0 && replica + 1 == plan.replicas).then(|| format!("+{}s", plan.skew)),
        )
        .await;
        let mut bearers = Vec::new();
        for user in 0..USERS {
            bearers.push(emulator.user_token(&username(user)).await);
        }
        let clients = (0..plan.replicas).map(|replica| fleet.client(replica).clone()).collect();
        let epoch = unix(&clock);
        let stage =
            Self { plan, emulator, bearers, clients, clock, epoch, ops: Mutex::default(), faults: Mutex::default(), _files: files };
        (Arc::new(stage), Machines { backend, fleet })
    }

    /// Now, since the run began.
    pub(super) fn now(&self) -> Millis {
        unix(&self.clock).saturating_sub(self.epoch)
    }

    /// Notes a fault that is over.
    pub(super) fn note(&self, what: What, text: String, begin: Millis) {
        let fault = Fault { what, text, span: Span { begin, end: self.now() } };
        self.faults.lock().expect("no panic").push(fault);
    }

    /// The name of an account, which is what its subject is called.
    pub(super) fn account(number: usize) -> String {
        format!("subject-{number}")
    }
}

pub(super) fn unix(clock: &Clock) -> u64 {
    let since = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn username(user: usize) -> String {
    format!("user-{user}@contoso.example")
}

pub(super) fn object_id(user: usize) -> String {
    format!("5c0a4e1b-0000-4000-8000-{user:012}")
}

/// The built-in directory with short-lived tokens and more users.
fn directory(plan: &Plan) -> serde_json::Value {
    let mut directory = Emulator::built_in();
    for app in directory["apps"].as_array_mut().expect("apps") {
        app["token_lifetime"] = json!(plan.lifetime);
    }
    let users = directory["users"].as_array_mut().expect("users");
    users.extend((0..USERS).map(|user| {
        json!({
            "username": username(user), "password": "a-password", "tenant": "contoso", "name": format!("User {user}"),
            "object_id": object_id(user),
        })
    }));
    let realm = &mut directory["realms"][0];
    realm["token_lifetime"] = json!(plan.lifetime);
    let users = realm["users"].as_array_mut().expect("users");
    users.extend((0..plan.accounts).map(|number| {
        let name = Stage::account(number);
        json!({
            "username": name, "password": "a-password", "sub": name, "name": format!("Account {number}"),
            "email": format!("{name}@shop.example"),
        })
    }));
    directory
}

/// The usual configuration with an app whose refresh tokens are good for one use, and `LOCATION` for where Redis is.
fn yaml(emulator: &Emulator, files: &TempDir, plan: &Plan) -> String {
    let (usual, folder) = (configuration(emulator, files), files.path().display());
    let offline = format!(
        "  shop-offline: {{issuer: \"{}/oidc/shop\", ca_file: {folder}/ca.pem, client_id: shop-web, offline_access: true, \
         credential: {{secret: {{file: {folder}/shop-web.secret}}}}}}\napis:\n",
        emulator.origin
    );
    let timeout = format!("authority: {{timeout: {}s, ", TIMEOUT.as_secs());
    let usual = usual.replacen("apis:\n", &offline, 1).replace("authority: {", &timeout);
    let ring = format!("name:{}\nfirst:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
    std::fs::write(files.path().join("key-ring"), ring).expect("a file");
    format!(
        "{usual}cache: {{recheck: {}s, redis: {{timeout: {}ms, write_timeout: 1s, encryption: {{key_ring: {{file: \
         {folder}/key-ring}}}}, LOCATION}}}}\n",
        plan.recheck.as_secs(),
        plan.deadline.as_millis()
    )
}
