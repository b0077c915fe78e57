//! Keycloak's processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Login;
use crate::group::Group;

/// Starts Keycloak on this port, with an administrator of that name and password.
pub(super) fn spawn(port: u16, admin: Login) -> Group {
    let mut server = Command::new(home().join("bin/kc.sh"));
    server
        .args(["start-dev", "--db", "dev-mem", "--http-host", "127.0.0.1", "--http-port"])
        .arg(port.to_string())
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
