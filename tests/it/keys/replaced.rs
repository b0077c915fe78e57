//! Keys that are replaced while tokend runs: all parts of a credential follow their files, together.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::{Keys, PASSWORD, encoded, proven, register};
use crate::support::{Emulator, GRAPH, World};

/// A world whose `daemon` knows the certificates of both.
async fn world(old: &Keys, new: &Keys, apps: &[(&str, &str)]) -> World {
    let mut directory = Emulator::built_in();
    register(&mut directory, &old.chain[0]);
    register(&mut directory, &new.chain[0]);
    old.world_of(directory, apps).await
}

/// The credential is refused once, which makes tokend look at its files; then the minute's pause is over.
async fn looked_at(world: &World, app: &str) {
    world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"aadsts": 700_027}})).await;
    let ask = || world.app_token(json!({"app": app, "scopes": GRAPH, "force_refresh": true}));
    // Where the new key is good the very request goes on with it.
    assert!(matches!(ask().await.status, 200 | 502));
    world.later(60);
}

async fn problem(world: &World, app: &str) -> Value {
    let status = world.sidecar.admin.get("/status").await.json;
    let apps = status["apps"].as_array().expect("apps").clone();
    apps.iter().find(|one| one["name"] == app).expect("the app")["credential"]["problem"].clone()
}

#[tokio::test]
async fn asn_6_a_pfx_and_its_password_are_replaced_and_a_bad_one_changes_nothing() {
    let (old, new) = (Keys::new(), Keys::new());
    old.pfx("app.pfx", PASSWORD, &[]);
    let world = world(&old, &new, &[("app", "pfx: {file: KEYS/app.pfx, password: {file: KEYS/password}}")]).await;
    let first = proven(&world, "app").await["x5t#S256"].clone();
    // The new file is there and its password is not yet.
    new.pfx("new.pfx", "another one", &[]);
    std::fs::copy(new.path("new.pfx"), old.path("app.pfx")).expect("a copy");
    looked_at(&world, "app").await;
    let shown = problem(&world, "app").await;
    assert!(shown.as_str().is_some_and(|text| text.contains("`password` does not open it")), "{shown}");
    assert_eq!(proven(&world, "app").await["x5t#S256"], first);
    old.write("password", "another one");
    looked_at(&world, "app").await;
    assert_eq!(problem(&world, "app").await, Value::Null);
    let second = proven(&world, "app").await["x5t#S256"].clone();
    assert_ne!(second, first);
    std::fs::remove_file(old.path("password")).expect("a file");
    looked_at(&world, "app").await;
    let shown = problem(&world, "app").await;
    let words = ["`apps.app.credential.pfx.password.file`", "cannot be read"];
    assert!(words.iter().all(|word| shown.as_str().is_some_and(|text| text.contains(word))), "{shown}");
    assert_eq!(proven(&world, "app").await["x5t#S256"], second);
    assert_eq!(world.sidecar.metric("tokend_reload_failures_total{app=\"app\"}").await, 2.0);
}

#[tokio::test]
async fn asn_6_a_certificate_and_its_key_in_two_files_are_taken_together() {
    let (old, new) = (Keys::new(), Keys::new());
    let world = world(&old, &new, &[("app", "certificate: {file: KEYS/chain.pem, key_file: KEYS/key.pem}")]).await;
    let first = proven(&world, "app").await["x5t#S256"].clone();
    old.write("key.pem", &new.key);
    looked_at(&world, "app").await;
    let shown = problem(&world, "app").await;
    assert!(shown.as_str().is_some_and(|text| text.contains("no certificate in it belongs to its private key")), "{shown}");
    assert_eq!(proven(&world, "app").await["x5t#S256"], first);
    old.write("chain.pem", new.chain.concat());
    looked_at(&world, "app").await;
    assert_ne!(proven(&world, "app").await["x5t#S256"], first);
    assert_eq!(problem(&world, "app").await, Value::Null);
    // What could not work at the authority is as bad as what cannot be read.
    let curve = Keys::of(&rcgen::PKCS_ECDSA_P256_SHA256, 2099);
    old.write("key.pem", &curve.key);
    old.write("chain.pem", curve.chain.concat());
    looked_at(&world, "app").await;
    let shown = problem(&world, "app").await;
    assert!(shown.as_str().is_some_and(|text| text.contains("takes RSA keys alone")), "{shown}");
    proven(&world, "app").await;
}

#[tokio::test]
async fn asn_6_of_two_certificates_the_one_that_holds_counts_in_a_pfx_too() {
    let keys = Keys::new();
    let key = KeyPair::from_pem(&keys.key).expect("a key");
    let mut params = CertificateParams::new(vec!["old.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let over = params.self_signed(&key).expect("a certificate");
    keys.write("chain.pem", [over.pem(), keys.chain.concat()].concat());
    keys.pfx("app.pfx", PASSWORD, &[]);
    let pfx = "pfx: {file: KEYS/app.pfx, password: {file: KEYS/password}, x5c: true}";
    let pem = "certificate: {file: KEYS/chain.pem, key_file: KEYS/key.pem, x5c: true}";
    let world = keys.world(&[("pfx", pfx), ("pem", pem)]).await;
    for app in ["pfx", "pem"] {
        let header = proven(&world, app).await;
        assert_ne!(header["x5c"][0], encoded(over.der()), "{app}");
        assert_eq!(header["x5c"].as_array().map(Vec::len), Some(3), "{app}");
    }
}
