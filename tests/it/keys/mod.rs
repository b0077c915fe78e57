//! Keys in files as other programs write them: OpenSSL, Python's libraries. Each of them proves an app to the emulator; what cannot
//! work is refused with its reason.

mod documented;
mod findings;
mod pem;
mod pfx;
mod private;
mod replaced;
mod tls;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Emulator, GRAPH, Keys, PASSWORD, Stage, World};

/// The client id of the emulator's `daemon`.
const DAEMON: &str = "a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350";

impl Keys {
    /// A world whose `daemon` has this certificate, with these apps; `KEYS` stands for the folder.
    async fn world(&self, apps: &[(&str, &str)]) -> World {
        let mut directory = Emulator::built_in();
        register(&mut directory, &self.chain[0]);
        self.world_of(directory, apps).await
    }

    /// A world of a directory, with these apps: their names, and their credentials. Those that begin with `shop` are of the realm.
    async fn world_of(&self, directory: Value, apps: &[(&str, &str)]) -> World {
        let folder = self.folder.path().display().to_string();
        let app = |(name, credential): &(&str, &str)| {
            let place = if name.starts_with("shop") {
                "issuer: \"ORIGIN/oidc/shop\", client_id: shop-keyed".to_owned()
            } else {
                format!("authority: \"ORIGIN/TENANT\", client_id: {DAEMON}")
            };
            format!("  {name}: {{{place}, ca_file: FILES/ca.pem, credential: {{{}}}}}\n", credential.replace("KEYS", &folder))
        };
        let apps: String = apps.iter().map(app).collect();
        World::staged(Stage { directory: Some(directory), apps: &apps, ..Stage::default() }).await
    }
}

/// Gives the `daemon` of a directory a further certificate.
fn register(directory: &mut Value, certificate: &str) {
    let mut apps = directory["apps"].as_array_mut().expect("a list").iter_mut();
    let daemon = apps.find(|app| app["name"] == "daemon").expect("the app");
    daemon["certificates"].as_array_mut().expect("a list").push(json!({"pem": certificate}));
}

/// Gets a token for an app, and returns the header of the assertion that it was asked for with.
async fn proven(world: &World, app: &str) -> Value {
    let scopes = if app.starts_with("shop") { "stock.read" } else { GRAPH };
    let answer = world.app_token(json!({"app": app, "scopes": scopes, "force_refresh": true})).await;
    assert_eq!(answer.status, 200, "{app}: {}", answer.text);
    let asked = world.emulator.asked("token").await;
    let assertion = asked.last().expect("a call")["form"]["client_assertion"].as_str().expect("an assertion").to_owned();
    let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().expect("a header")).expect("base64url");
    serde_json::from_slice(&header).expect("JSON")
}

/// The DER of a PEM block, in base64.
fn base64(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// A text in base64.
fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
