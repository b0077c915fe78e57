//! `deploy/compose.yaml`, read and run by Docker Compose itself. The engine is podman, which speaks Docker's protocol; where the
//! file names images of a registry, Debian's own Redis, curl and openssl stand in for them.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::image::{image, podman, until};
use crate::support::{output, root, run, tool};

const STAND_IN: &str = "localhost/tokend-stand-in:debian";

/// A project that is taken down when this is dropped, with the engine that it runs on.
struct Project {
    name: String,
    engine: Child,
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = format!("unix://{}/podman.sock", folder.path().display());
        let mut engine = podman();
        engine.args(["system", "service", "--time=0", &socket]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let project = Self { name: format!("tokend-test-{}", std::process::id()), engine: engine.spawn().expect("podman"), folder };
        until("the engine", || project.folder.path().join("podman.sock").exists().then_some(()));
        project
    }

    fn compose(&self) -> Command {
        let mut command = compose();
        command
            .args(["--project-name", &self.name])
            .env("DOCKER_HOST", format!("unix://{}/podman.sock", self.folder.path().display()))
            .env("TOKEND_IMAGE", image("tokend"))
            .env("TOKEND_EMULATOR_IMAGE", image("tokend-emulator"))
            .env("REDIS_IMAGE", STAND_IN);
        command
    }

    /// Starts all of it. podman leaves health checks to systemd, which need not be here: so they are made by hand until all is up.
    fn up(&self) {
        run(podman().args(["tag", STAND_IN, "localhost/tokend-compose-tools:latest"]));
        let up = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                until("compose up", || {
                    for service in ["redis", "tokend"] {
                        let _unhealthy = output(podman().args(["healthcheck", "run", &format!("{}-{service}-1", self.name)]));
                    }
                    up.load(Ordering::Acquire).then_some(())
                })
            });
            let started =
                output(self.compose().args(["up", "--wait", "--no-build", "--pull=never", "redis", "emulator", "tokend", "app"]));
            up.store(true, Ordering::Release);
            assert!(started.status.success(), "{}\n{}", String::from_utf8_lossy(&started.stderr), self.logs());
        });
    }

    fn logs(&self) -> String {
        let output = output(self.compose().args(["logs", "--no-color"]));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// What the app's place in the network gets from a URL.
    fn get(&self, url: &str) -> String {
        run(self.compose().args(["exec", "-T", "app", "curl", "-sS", "-m", "20", url]))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _down = self.compose().args(["down", "--volumes", "--timeout=5"]).output();
        let _ended = self.engine.kill();
        let _status = self.engine.wait();
    }
}

fn compose() -> Command {
    let mut command = Command::new(tool("compose/docker-compose", "compose"));
    command.arg("--file").arg(root().join("deploy/compose.yaml"));
    command
}

#[test]
fn every_service_is_hardened_and_none_is_published() {
    let model: Value = serde_json::from_str(&run(compose().args(["config", "--format=json"]))).expect("JSON");
    let services = model["services"].as_object().expect("services");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["app", "emulator", "init", "redis", "tokend"]);
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["user"] == "0:0", name == "init", "{name}");
        assert!(service.get("ports").is_none(), "{name}");
    }
    // Loopback is the same for these two, as in a Pod.
    assert_eq!(services["tokend"]["network_mode"], "service:app");
    assert_eq!(model["networks"]["default"]["internal"], true);
}

#[test]
fn an_app_gets_tokens_and_redis_holds_them() {
    let project = Project::new();
    project.up();

    let said = until("two tokens", || {
        let logs = project.logs();
        (logs.contains(r#""cache_level":"memory""#)).then_some(logs)
    });
    assert!(said.contains(r#""token_source":"identity_provider""#), "{said}");
    assert!(!said.contains("eyJ"), "a token in a log");

    let checked = output(project.compose().args([
        "exec",
        "-T",
        "tokend",
        "/tokend",
        "check",
        "--online",
        "--config",
        "/etc/tokend/tokend.yaml",
    ]));
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success() && !said.contains("warning:"), "{said}");

    let status: Value = serde_json::from_str(&project.get("http://127.0.0.1:8651/status")).expect("JSON");
    assert_eq!(status["cache"]["redis"]["breakers"], json!({"reads": "closed", "writes": "closed", "events": "closed"}));
    // A tokend that has just started has nothing in memory: what it serves it has from Redis.
    run(project.compose().args(["restart", "tokend"]));
    until("a token from Redis", || project.logs().contains(r#""cache_level":"redis""#).then_some(()));

    // And the engine was told what the file says.
    let text = run(podman().args(["inspect", &format!("{}-tokend-1", project.name)]));
    let container = &serde_json::from_str::<Value>(&text).expect("JSON")[0];
    assert_eq!(container["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(container["Config"]["User"], "65532:65532");
    assert!(container["EffectiveCaps"].as_array().is_none_or(Vec::is_empty), "{}", container["EffectiveCaps"]);
}
