//! The image for the other kind of machine, looked at and, as far as an emulated processor allows, run.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::engine::{archive, json, unpack, until};
use crate::support::{output, root, run};

/// An OCI layout: a folder of blobs, named by their digests.
struct Layout(tempfile::TempDir);

impl Layout {
    fn path(&self, described: &Value) -> PathBuf {
        let digest = described["digest"].as_str().expect("a digest");
        self.0.path().join("blobs").join(digest.replace(':', "/"))
    }

    fn json(&self, described: &Value) -> Value {
        json(&self.path(described))
    }

    /// The manifests of the one index.
    fn images(&self) -> Vec<Value> {
        let top = json(&self.0.path().join("index.json"));
        let [index] = top["manifests"].as_array().expect("manifests").as_slice() else { panic!("one index: {top}") };
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
        self.json(index)["manifests"].as_array().expect("manifests").clone()
    }

    /// Where the program of the image for that machine was unpacked, and its configuration.
    fn program(&self, machine: &str) -> (tempfile::TempDir, Value) {
        let images = self.images();
        let described = images.iter().find(|image| image["platform"]["architecture"] == machine).expect("an image");
        let manifest = self.json(described);
        let layer = manifest["layers"].as_array().and_then(|layers| layers.last()).expect("a layer");
        (unpack(&self.path(layer)), self.json(&manifest["config"]))
    }
}

/// The machine that an ELF file is for, and whether it wants an interpreter, which is what a program with shared libraries does.
fn elf(path: &Path) -> (u16, bool) {
    let mut file = File::open(path).expect("a file");
    let mut head = [0; 64];
    file.read_exact(&mut head).expect("a head");
    assert_eq!(head[..6], [0x7f, b'E', b'L', b'F', 2, 1], "64 bits, little endian");
    let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (offset, size, count) = (u64::from_le_bytes(head[32..40].try_into().expect("8 bytes")), short(54), short(56));
    file.seek(SeekFrom::Start(offset)).expect("a place");
    let mut segments = vec![0; usize::from(size) * usize::from(count)];
    file.read_exact(&mut segments).expect("program headers");
    (short(18), segments.chunks(usize::from(size)).any(|segment| segment[..4] == 3u32.to_le_bytes()))
}

#[test]
fn one_index_holds_both() {
    let layout = Layout(unpack(&archive("tokend-index.tar")));
    let platform = |image: &Value| {
        format!("{}/{}", image["platform"]["os"].as_str().unwrap_or("?"), image["platform"]["architecture"].as_str().unwrap_or("?"))
    };
    let mut platforms: Vec<_> = layout.images().iter().map(platform).collect();
    platforms.sort();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    for (machine, number) in [("amd64", 62), ("arm64", 183)] {
        let (files, config) = layout.program(machine);
        assert_eq!((&config["os"], &config["architecture"]), (&Value::from("linux"), &Value::from(machine)));
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.title"], "tokend");
        assert_eq!(elf(&files.path().join("tokend")), (number, false), "{machine}");
    }
}

/// A process that is killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// This build's emulator; where it is.
fn emulator(ca_file: &Path) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokend"));
    command.args(["emulator", "--listen", "127.0.0.1:0", "--ca-file"]).arg(ca_file).stdout(Stdio::piped());
    let mut process = Process(command.spawn().expect("an emulator"));
    let mut said = String::new();
    BufReader::new(process.0.stdout.as_mut().expect("a pipe")).read_line(&mut said).expect("a line");
    let origin = said.split([' ', ';']).find(|word| word.starts_with("https://")).expect("an address");
    (process, origin.to_owned())
}

#[test]
fn the_other_one_runs_on_an_emulated_processor() {
    let layout = Layout(unpack(&archive("tokend-index.tar")));
    let (files, _) = layout.program("arm64");
    let tokend = || {
        let mut command = Command::new("qemu-aarch64-static");
        command.arg(files.path().join("tokend"));
        command
    };
    assert_eq!(run(tokend().arg("openapi")), std::fs::read_to_string(root().join("openapi.yaml")).expect("a file"));

    let path = |name: &str| files.path().join(name).display().to_string();
    let (_emulator, origin) = emulator(&files.path().join("ca.pem"));
    let config = format!(
        "{{listen: ['unix:{}'], admin_listen: 'unix:{}', apps: {{daemon: {{authority: '{origin}/8eaef023-2b34-4da1-9baa-8bc8c9d6a490',
        client_id: a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350, credential: {{secret: {{file: '{}'}}}}, ca_file: '{}'}}}}}}",
        path("token.sock"),
        path("admin.sock"),
        path("client-secret"),
        path("ca.pem"),
    );
    std::fs::write(path("tokend.yaml"), config).expect("a file");
    std::fs::write(path("client-secret"), "daemon-secret-for-tests-only\n").expect("a file");
    let mut serve = tokend();
    serve.args(["serve", "--config", &path("tokend.yaml")]).stdout(Stdio::null()).stderr(Stdio::null());
    let _serve = Process(serve.spawn().expect("a sidecar"));
    until("a ready sidecar", || {
        let probe = output(tokend().args(["healthcheck", "--config", &path("tokend.yaml")]));
        probe.status.success().then_some(())
    });
    let answer = run(Command::new("curl")
        .args(["-sS", "--unix-socket", &path("token.sock"), "http://localhost/client-credentials"])
        .args(["-H", "content-type: application/json", "-d", r#"{"scopes": ["api://orders/.default"]}"#]));
    assert!(answer.contains(r#""token_source":"identity_provider""#), "{answer}");
}
