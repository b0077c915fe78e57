//! Keycloak's processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{KeycloakFiles, Login};
use crate::group::Group;

/// Starts Keycloak on these ports, for plain HTTP and for TLS, with an administrator of that name and password. Over TLS clients
/// are asked for a certificate and need none.
pub(super) fn spawn((port, tls_port): (u16, u16), files: &KeycloakFiles, admin: Login) -> Group {
    let mut server = Command::new(home().join("bin/kc.sh"));
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    server
        .args(["start-dev", "--db", "dev-mem", "--http-host", "127.0.0.1", "--https-client-auth=request"])
        .args([format!("--http-port={port}"), format!("--https-port={tls_port}")])
        .args([option("https-certificate-file", &files.server.0), option("https-certificate-key-file", &files.server.1)])
        .arg(option("truststore-paths", &files.client_ca))
        .env("KC_BOOTSTRAP_ADMIN_USERNAME", admin.0)
        .env("KC_BOOTSTRAP_ADMIN_PASSWORD", admin.1)
        // It lives for seconds: what the optimizing compiler would gain never comes back.
        .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1");
    Group::spawn("keycloak", port, &server)
}

/// Where `tests/setup/keycloak` put it; that script alone knows the version.
fn home() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/keycloak");
    let home = fs::read_dir(&folder)
        .ok()
        .and_then(|found| found.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.join("bin/kc.sh").is_file()));
    home.unwrap_or_else(|| panic!("no Keycloak in {}: run tests/setup/peers", folder.display()))
}
