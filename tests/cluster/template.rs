//! tokend by its named templates, in the Pods of a chart of somebody else.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{App, Release, Stage, body, config, container, image, root};

/// The chart of `consumer`, with tokend's in it, as `helm dependency build` leaves it.
pub(crate) fn chart(folder: &Path) -> PathBuf {
    let chart = folder.join("shop");
    copy(&root().join("tests/cluster/consumer"), &chart);
    copy(&root().join("helm/tokend"), &chart.join("charts/tokend"));
    chart
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder of the clone") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file of the clone");
        }
    }
}

fn values(config: &Value) -> Value {
    let app = container("serve", &[("APP_BODY", &body())]);
    json!({"app": app, "tokend": {
        "sidecar": {"enabled": true}, "socket": {"enabled": true}, "image": image(), "config": config,
        "secrets": {"credentials": {"existingSecret": "tokend"}},
    }})
}

/// Asks over loopback and over the socket.
fn both_ways(stage: &Stage) {
    let pod = stage.namespace.pod("app=shop");
    let app = App::new(&stage.namespace, &pod);
    for url in ["http://127.0.0.1:8650", "unix:///run/tokend/tokend.sock"] {
        let answer = app.served(&[("url", url)]);
        assert_eq!(answer["claims"]["roles"], json!(["Orders.Process"]), "{url}: {answer}");
    }
}

#[test]
fn it_is_installed_upgraded_uninstalled_and_installed_again() {
    let stage = Stage::new("template");
    let folder = tempfile::tempdir().expect("a folder");
    let values = values(&config(&stage.authority()));
    let release = Release::of(&chart(folder.path()), &stage.namespace.name, "shop", &values);
    both_ways(&stage);

    let old = stage.namespace.pod("app=shop");
    let mut louder = values.clone();
    louder["tokend"]["config"]["log"] = json!({"level": "debug"});
    release.upgrade(&louder);
    stage.namespace.rolled_out("shop");
    stage.namespace.wait(&format!("pod/{old}"), "delete");
    both_ways(&stage);

    release.uninstall();
    stage.namespace.until("the last of the release to go", || release.remains().is_empty().then_some(()));
    release.install_again(&values);
    stage.namespace.rolled_out("shop");
    both_ways(&stage);
}
