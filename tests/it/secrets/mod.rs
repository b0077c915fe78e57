//! Canaries: every secret of every route, in good and failing ways, and none of them anywhere but in the body of a success.

mod canaries;
pub(crate) mod kept;
mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use canaries::Canaries;
use kept::Kept;
use tokend::clock::Clock;
use tokend::telemetry::{self, Format, Level, Otlp, Sampler, Settings};

use crate::callers::key_server::{JwtKey, KeyServer};
use crate::support::{Emulator, NOW, Sidecar, World, configuration};

const WRONG: &str = "canary-secret-0123456789";
const CALLER: &str = "canary-caller-0123456789-abcdef";
const DISCOVERY: &str = "canary-discovery-0123456789-abcdef";

/// The credentials' own secrets: the texts of all files that the configuration names.
fn credentials(world: &World, all: &mut Canaries) {
    for entry in std::fs::read_dir(world.files.path()).expect("files").map_while(Result::ok) {
        let (name, text) = (entry.file_name().display().to_string(), std::fs::read_to_string(entry.path()).expect("a text"));
        if name.ends_with(".secret") {
            all.secret(&name, text.trim());
        } else if name != "ca.pem" && name != "issuer.txt" {
            let key = text.split("-----END").next().unwrap_or_default();
            key.lines().filter(|line| line.len() == 64 && !line.starts_with('-')).for_each(|line| all.secret(&name, line));
        }
    }
}

/// The usual world with a caller by a token and one by JWTs of an issuer, every request traced, and with a wrong secret of
/// `daemon`.
async fn traced(issuer: &KeyServer) -> World {
    let (clock, files) = (Clock::manual(NOW), tempfile::tempdir().expect("a folder"));
    let emulator = Emulator::start(&clock).await;
    let yaml = configuration(&emulator, &files);
    std::fs::write(files.path().join("daemon.secret"), WRONG).expect("a file");
    std::fs::write(files.path().join("caller.secret"), CALLER).expect("a file");
    let caller = files.path().join("caller.secret");
    std::fs::write(files.path().join("discovery.secret"), DISCOVERY).expect("a file");
    std::fs::write(files.path().join("issuer.txt"), &issuer.ca_pem).expect("a file");
    let folder = files.path().display();
    let jwt = format!(
        "{{issuer: '{}', audience: tokend, subjects: [canary-subject], ca_file: {folder}/issuer.txt, discovery_token: {{file: \
         {folder}/discovery.secret}}}}",
        issuer.issuer
    );
    let served = "  graph: {doors: [ms_sidecar], app_token: true, app_overrides: true, ";
    let of_users = "  graph-user: {doors: [auth_request, ms_sidecar], overrides: true, identity_headers: {x-user-name: name}, ";
    let yaml = yaml.replacen("  graph: {", served, 1).replacen("  graph-user: {", of_users, 1);
    let yaml = format!(
        "{yaml}doors: [oauth2, msi, auth_request, ms_sidecar]\nms_sidecar: {{app: orders}}\n\
         msi: {{imds: {{apps: [daemon], caller: tester}}}}\ncallers:\n  - {{name: tester, accounts: all, \
         doors: [rest, oauth2, msi, auth_request, ms_sidecar], \
         flows: [client_credentials, on_behalf_of, auth_code, silent, introspect, refresh_token, device_code, username_password], \
         token: {{file: {}}}}}\n  - {{name: workload, jwt: {jwt}}}\n",
        caller.display()
    );
    let mut sidecar = Sidecar::start_sampled(&yaml, &clock, Sampler::new(Some(1.0))).await;
    sidecar.client = sidecar.client.calling(CALLER);
    World { emulator, sidecar, clock, files }
}

/// Every route, in good ways and in bad ones.
async fn everything() -> Canaries {
    let key = JwtKey::new("cluster-1");
    let issuer = KeyServer::start(&key).await;
    issuer.want(DISCOVERY);
    let (world, mut all) = (traced(&issuer).await, Canaries::default());
    credentials(&world, &mut all);
    // Once with a secret that the authority refuses, and then with the good one.
    all.answer("refused secret", &world.graph().await);
    let good = Emulator::secret(world.emulator.app("daemon")).to_owned();
    std::fs::write(world.files.path().join("daemon.secret"), &good).expect("a file");
    all.secret("good secret", good);
    world.clock.advance(Duration::from_secs(61));
    all.answer("new secret", &world.graph().await);
    routes::app_tokens(&world, &mut all).await;
    routes::on_behalf_of(&world, &mut all).await;
    routes::assertions(&world, &mut all).await;
    routes::sign_ins(&world, &mut all).await;
    routes::sign_outs(&world, &mut all).await;
    routes::carried_in(&world, &mut all).await;
    routes::devices(&world, CALLER, &mut all).await;
    routes::accounts(&world, &mut all).await;
    routes::token_endpoint(&world, CALLER, &mut all).await;
    routes::managed_identity(&world, CALLER, &mut all).await;
    routes::sub_requests(&world, &mut all).await;
    routes::sidecar_routes(&world, &mut all).await;
    routes::strangers(&world, &mut all).await;
    routes::workloads(&world, (&issuer, &key), &mut all).await;
    routes::echoes(&world, &mut all).await;
    routes::faults(&world, &mut all).await;
    for call in world.emulator.asked("token").await {
        for member in ["client_assertion", "assertion", "subject_token", "client_secret", "refresh_token"] {
            if let Some(secret) = call["form"][member].as_str() {
                all.secret(member, secret);
            }
        }
    }
    for path in ["/metrics", "/status"] {
        all.text(path, world.sidecar.admin.get(path).await.text);
    }
    world.sidecar.stop().await;
    all
}

/// On one thread, so that every task logs where this test can see it;
/// the exporter is made and flushed outside the runtime, as `serve` does.
#[test]
fn req_14_no_secret_leaves_but_in_the_body_of_a_success() {
    let (lines, (spans, endpoint)) = (Kept::default(), Kept::collector());
    let writer = lines.clone();
    let otlp = Otlp { endpoint: endpoint.parse().expect("a URL"), sample_ratio: 1.0, headers: None };
    let settings = Settings { level: Level::Trace, format: Format::Json, otlp: Some(otlp) };
    let (subscriber, exporter) = telemetry::subscriber(&settings, move || writer.clone()).expect("a subscriber");
    // While one subscriber alone is alive, whatever another test's thread reaches first would be switched off for this one as well.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let mut all = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(everything())
    });
    exporter.flush();
    let (log, exported) = (lines.bytes(), spans.bytes());
    let has = |text: &[u8], word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(has(&log, "request failed"), "the log was written here: {} bytes", log.len());
    assert!(has(&exported, "/obo") && has(&exported, "authorization_code"), "spans came here: {} bytes", exported.len());
    all.text("log", log);
    all.text("spans", exported);
    assert!(all.secrets.len() > 100 && all.texts.len() > 100, "{} in {}", all.secrets.len(), all.texts.len());
    all.check();
}

#[tokio::test]
async fn req_14_debug_of_the_configuration_shows_no_secret() {
    let world = World::new().await;
    let mut all = Canaries::default();
    credentials(&world, &mut all);
    let yaml = configuration(&world.emulator, &world.files);
    let inline = "canary-inline-secret-0123456789";
    all.secret("inline secret", inline);
    all.secret("secret of the environment", "canary-env-secret-0123456789");
    let yaml = yaml.replace(
        &format!("{{secret: {{file: {}}}}}", world.files.path().join("web.secret").display()),
        &format!("{{secret: {{inline: {inline}}}}}"),
    );
    let yaml = yaml.replace(&format!("{{file: {}}}", world.files.path().join("partner.secret").display()), "{env: CANARY}");
    assert!(yaml.contains(inline) && yaml.contains("{env: CANARY}"));
    let environment = BTreeMap::from([("CANARY".to_owned(), "canary-env-secret-0123456789".to_owned())]);
    let (settings, findings) = tokend::config::parse(&yaml, tokend::config::Format::Yaml, "test.yaml", &environment);
    let settings = settings.unwrap_or_else(|| panic!("{findings:#?}"));
    all.text("settings", format!("{settings:?} {settings:#?}"));
    all.text("findings", format!("{findings:?} {}", tokend::cli::render(&findings)));
    let (prepared, findings) = tokend::sidecar::prepare(settings, &Clock::manual(NOW));
    all.text("prepared", format!("{:?} {findings:?}", prepared.expect("good files")));
    all.check();
}
