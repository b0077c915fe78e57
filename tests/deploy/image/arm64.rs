//! The image for the other kind of machine, looked at and, as far as an emulated processor allows, run.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::engine::{archive, json, unpack};
use crate::support::{root, run};

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

#[test]
fn the_other_one_runs_on_an_emulated_processor() {
    let layout = Layout(unpack(&archive("tokend-index.tar")));
    let (files, _) = layout.program("arm64");
    let said = run(Command::new("qemu-aarch64-static").arg(files.path().join("tokend")).arg("openapi"));
    assert_eq!(said, std::fs::read_to_string(root().join("openapi.yaml")).expect("a file"));
}
