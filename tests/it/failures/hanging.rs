//! A volume that hangs under a credential: it stops neither those who need that credential nor those who need another.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Issuer, NOW, World, hang};

/// More in all than a runtime has threads for blocking work.
const ROUNDS: usize = 12;
const EACH: usize = 50;

/// Asks for other tokens each time, until as many threads as there are would hang,
/// and the authority refuses the credential each time.
async fn refused_again_and_again(world: &World, app: &str) {
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"aadsts": 7_000_215}})).await;
    for round in 0..ROUNDS {
        let bodies: Vec<Value> =
            (0..EACH).map(|each| json!({"app": app, "scopes": format!("api://orders-{round}-{each}/.default")})).collect();
        for answer in join_all(bodies.into_iter().map(|body| world.app_token(body))).await {
            answer.refused(502, "invalid_client", "credential");
        }
        // What is remembered of it ends.
        world.later(61);
    }
    world.emulator.unscript().await;
}

async fn of(world: &World, app: &str) -> String {
    world.app_token(json!({"app": app, "scopes": "api://billing/.default"})).await.token().to_owned()
}

/// The volumes of these files hang, and these apps need no new contents.
async fn hangs_and_stops_nobody(app: &str, file: &str) {
    let world = World::new().await;
    hang(&world.files.path().join(file));
    refused_again_and_again(&world, app).await;
    // Signatures are made where blocking work is done.
    for other in ["daemon-cert", "orders", "web-cert", "shop-cert"] {
        if other == "shop-cert" {
            world.app_token(json!({"app": other, "scopes": "stock.read"})).await.token();
        } else {
            of(&world, other).await;
        }
    }
    // The old contents stay in force.
    of(&world, app).await;
    let failures = format!("tokend_reload_failures_total{{app=\"{app}\"}}");
    assert_eq!(world.sidecar.metric(&failures).await, 1.0);
    let shown = world.sidecar.admin.get("/status").await.json["reload_failures"].to_string();
    assert!(shown.contains(&format!("apps.{app}.credential")) && shown.contains("not read within 1 s"), "{shown}");
    assert!(world.sidecar.stop().await, "it did not end in time");
}

#[tokio::test]
async fn a_secret_on_a_volume_that_hangs_stops_nobody() {
    hangs_and_stops_nobody("daemon", "daemon.secret").await;
}

#[tokio::test]
async fn a_certificate_on_a_volume_that_hangs_stops_nobody() {
    hangs_and_stops_nobody("daemon-cert", "daemon-cert.pem").await;
}

#[tokio::test]
async fn whoever_waits_for_a_token_file_keeps_nobody_from_a_call() {
    let world = World::changed(|yaml, files| {
        std::fs::write(files.join("web.token"), Issuer::new().token(NOW + 3600, json!({}))).expect("a file");
        let folder = files.display();
        let (secret, token) =
            (format!("secret: {{file: {folder}/web.secret}}"), format!("federated_token: {{file: {folder}/web.token}}"));
        assert!(yaml.contains(&secret), "{yaml}");
        yaml.replace(&secret, &token).replace("authority: {retry", "authority: {concurrency: 1, retry")
    })
    .await;
    hang(&world.files.path().join("web.token"));
    // It waits for its proof for a second, and the only permit is for others meanwhile.
    let waits = world.app_token(json!({"app": "web", "scopes": "api://billing/.default"}));
    let served = async {
        world.sidecar.answering(1).await;
        of(&world, "daemon").await;
        world.emulator.asked("token").await.len()
    };
    let (_, asked) = tokio::join!(waits, served);
    assert_eq!(asked, 1, "the other app had its token first");
}
