//! Authorities of others, as `tests/setup/servers` makes them: each on a port of its own, ended when it is dropped.

pub(crate) mod hydra;
mod mock;
pub(crate) mod sts;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) use hydra::Hydra;
pub(crate) use mock::Mock;
pub(crate) use sts::Sts;

use crate::group::Group;
use crate::support::Client;

/// Long enough for two busy cores and a first start.
const START: Duration = Duration::from_secs(120);
const FORM: &str = "application/x-www-form-urlencoded";

/// Waits until this address is answered with success.
async fn ready(url: &str, group: &Group) {
    let http = Client::new(url, None).http;
    let asking = async {
        loop {
            let answer = http.execute(http.get(url).build().expect("a request")).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            group.assert_running();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout(START, asking).await.is_err() {
        panic!("{url} is not answered after {START:?}\n{}", group.last_words());
    }
}

/// What `tests/setup/servers` put there.
fn there(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/servers").join(path);
    assert!(path.exists(), "no {}: run tests/setup/peers-long", path.display());
    path
}

/// A program in Java, with the libraries and classes of its folder.
fn java(home: &str, class: &str) -> Command {
    let home = there(home);
    let mut command = Command::new("java");
    // It lives for seconds: what the optimizing compiler would gain never comes back.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]);
    command.arg(format!("{0}/classes:{0}/lib/*", home.display())).arg(class);
    command
}
