//! Credentials that are replaced while tokend runs: taken when the old one is refused (ASN-6), and a bad new one changes nothing.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Emulator, GRAPH, World};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// A world in which a file of a credential has other contents than it should when tokend starts.
async fn with(file: &str, contents: impl FnOnce(&std::path::Path) -> String) -> World {
    World::changed(|yaml, files| {
        let contents = contents(files);
        std::fs::write(files.join(file), contents).expect("a file");
        yaml
    })
    .await
}

/// A private key that no certificate belongs to, as PEM text.
fn key() -> String {
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("its bytes");
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

impl World {
    fn write(&self, file: &str, contents: &str) {
        std::fs::write(self.files.path().join(file), contents).expect("a file");
    }

    async fn of(&self, app: &str) -> Answer {
        self.app_token(json!({"app": app, "scopes": GRAPH, "force_refresh": true})).await
    }

    /// The statuses of all calls so far.
    async fn statuses(&self) -> Vec<Value> {
        self.emulator.asked("token").await.iter().map(|call| call["status"].clone()).collect()
    }

    async fn reload_failures(&self) -> Value {
        self.sidecar.admin.get("/status").await.json["reload_failures"].clone()
    }

    /// The app's credential is refused once, which makes tokend look at its file; then the minute's pause is over.
    async fn refused_once(&self, app: &str) {
        self.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"aadsts": 700_027}})).await;
        self.of(app).await.refused(502, "invalid_client", "credential");
        self.later(60);
    }
}

#[tokio::test]
async fn asn_6_a_replaced_certificate_is_taken_when_the_old_one_is_refused() {
    // Another app's: a good certificate that is not registered here.
    let world = with("daemon-cert.pem", |files| std::fs::read_to_string(files.join("web-cert.pem")).unwrap()).await;
    world.of("daemon-cert").await.refused(502, "invalid_client", "credential");
    world.write("daemon-cert.pem", &Emulator::pem(world.emulator.app("daemon")));
    world.later(60);
    // The very request that finds the old one refused is repeated with the new one.
    assert_eq!(world.of("daemon-cert").await.status, 200);
    assert_eq!(world.statuses().await, [401, 401, 200]);
    assert_eq!(world.of("daemon-cert").await.status, 200);
    assert_eq!(world.statuses().await, [401, 401, 200, 200]);
}

#[tokio::test]
async fn asn_6_a_replaced_secret_is_taken_when_the_old_one_is_refused() {
    let world = with("daemon.secret", |_| "the-one-before".to_owned()).await;
    world.of("daemon").await.refused(502, "invalid_client", "credential");
    // With the line end that editors leave.
    world.write("daemon.secret", &format!("{}\n", world.emulator.app("daemon")["secrets"][0].as_str().unwrap()));
    world.later(60);
    assert_eq!(world.of("daemon").await.status, 200);
    assert_eq!(world.statuses().await, [401, 401, 200]);
}

#[tokio::test]
async fn asn_6_an_issuers_client_alike() {
    let world = with("shop.secret", |_| "the-one-before".to_owned()).await;
    let ask = || world.app_token(json!({"app": "shop", "scopes": "stock.read"}));
    ask().await.refused(502, "invalid_client", "credential");
    // In both ways that the issuer announces.
    assert_eq!(world.statuses().await, [401, 401]);
    world.write("shop.secret", world.emulator.shop("shop-orders")["secrets"][0].as_str().unwrap());
    world.later(60);
    assert_eq!(ask().await.status, 200);
    assert_eq!(world.statuses().await, [401, 401, 401, 200]);
}

#[tokio::test]
async fn asn_6_an_unchanged_credential_is_not_sent_twice() {
    let world = World::new().await;
    world.refused_once("daemon-cert").await;
    assert_eq!(world.statuses().await, [401]);
    assert_eq!(world.reload_failures().await, json!([]));
}

#[tokio::test]
async fn a_code_is_sent_once_also_when_the_credential_was_replaced() {
    let world = with("web.secret", |_| "the-one-before".to_owned()).await;
    let codes =
        [world.code("web", USER_READ, "ana@contoso.example").await, world.code("web", USER_READ, "ana@contoso.example").await];
    world.write("web.secret", world.emulator.app("web")["secrets"][0].as_str().unwrap());
    // Also where the watcher was quicker and the code comes with the new secret: the refusal is what counts here.
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"aadsts": 7_000_215}})).await;
    world.redeem(&codes[0]).await.refused(502, "invalid_client", "credential");
    assert_eq!(world.statuses().await, [401]);
    // The refusal made tokend look at the file: the next code is redeemed with the new secret.
    assert_eq!(world.redeem(&codes[1]).await.status, 200);
    assert_eq!(world.statuses().await, [401, 200]);
}

#[tokio::test]
async fn a_bad_new_certificate_keeps_the_old_one_and_is_shown() {
    let world = World::new().await;
    let good = Emulator::pem(world.emulator.app("daemon"));
    let certificate = world.emulator.app("daemon")["certificates"][0]["pem"].as_str().unwrap().to_owned();
    let strange_key = key();
    let bad = ["garbage", &certificate, &strange_key, &format!("{strange_key}\n{certificate}")];
    for (index, bad) in (1_u32..).zip(bad) {
        world.write("daemon-cert.pem", bad);
        world.refused_once("daemon-cert").await;
        let shown = world.reload_failures().await;
        assert_eq!(shown[0]["what"], "apps.daemon-cert.credential", "{bad}: {shown}");
        assert!(shown[0]["problem"].as_str().is_some_and(|text| !text.is_empty() && !text.contains("PRIVATE")), "{shown}");
        // One for each: what is wrong with it is another thing than what was wrong with the one before.
        let counted = world.sidecar.metric("tokend_reload_failures_total{app=\"daemon-cert\"}").await;
        assert_eq!(counted, f64::from(index), "{shown}");
        // The old one is still in force.
        assert_eq!(world.of("daemon-cert").await.status, 200, "{bad}");
    }
    let counted = world.sidecar.metric("tokend_reload_failures_total{app=\"daemon-cert\"}").await;
    world.write("daemon-cert.pem", &good);
    world.refused_once("daemon-cert").await;
    assert_eq!(world.reload_failures().await, json!([]), "it was mended");
    assert_eq!(world.sidecar.metric("tokend_reload_failures_total{app=\"daemon-cert\"}").await, counted);
    assert_eq!(world.of("daemon-cert").await.status, 200);
}

#[tokio::test]
async fn a_secret_that_is_gone_or_empty_keeps_the_old_one_and_is_counted_once_each() {
    let world = World::new().await;
    let sample = "tokend_reload_failures_total{app=\"daemon\"}";
    assert_eq!(world.sidecar.metric(sample).await, 0.0);
    world.write("daemon.secret", "\n");
    for _ in 0..3 {
        world.refused_once("daemon").await;
    }
    assert_eq!(world.sidecar.metric(sample).await, 1.0);
    std::fs::remove_file(world.files.path().join("daemon.secret")).unwrap();
    for _ in 0..3 {
        world.refused_once("daemon").await;
    }
    assert_eq!(world.sidecar.metric(sample).await, 2.0);
    assert!(world.reload_failures().await[0]["problem"].as_str().is_some_and(|text| text.contains("cannot be read")));
    assert_eq!(world.of("daemon").await.status, 200);
}

#[tokio::test]
async fn other_apps_are_not_touched_by_a_bad_file() {
    let world = World::new().await;
    world.write("daemon-cert.pem", "garbage");
    world.refused_once("daemon-cert").await;
    for app in ["daemon", "orders"] {
        assert_eq!(world.of(app).await.status, 200, "{app}");
    }
    assert_eq!(world.reload_failures().await.as_array().map(Vec::len), Some(1));
}
