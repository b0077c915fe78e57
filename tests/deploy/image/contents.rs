//! What is in the images, and what is not.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::engine::{archive, image, json as read, podman, unpack};
use crate::support::{output, run};

/// Every path in the layers of a docker archive, and the program's bytes.
fn files(name: &str) -> (Vec<String>, Vec<u8>) {
    let image = unpack(&archive(&format!("{name}.tar")));
    let manifest = read(&image.path().join("manifest.json"));
    let mut paths = Vec::new();
    let mut program = Vec::new();
    for layer in manifest[0]["Layers"].as_array().expect("layers") {
        let layer = image.path().join(layer.as_str().expect("a path"));
        let listed = run(Command::new("tar").arg("-tvf").arg(&layer));
        paths.extend(listed.lines().map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            format!("{} {}", columns[0], columns[5..].join(" "))
        }));
        if let Ok(bytes) = std::fs::read(unpack(&layer).path().join("tokend")) {
            program = bytes;
        }
    }
    (paths, program)
}

fn holds(program: &[u8], text: &str) -> bool {
    program.windows(text.len()).any(|window| window == text.as_bytes())
}

fn described(name: &str) -> Value {
    let text = run(podman().args(["image", "inspect"]).arg(image(name)));
    serde_json::from_str::<Value>(&text).expect("JSON")[0].clone()
}

#[test]
#[expect(clippy::print_stdout, reason = "the size is of interest, whatever the bound")]
fn an_image_is_one_file() {
    for name in ["tokend", "tokend-emulator"] {
        let (paths, program) = files(name);
        assert_eq!(paths, ["-rwxr-xr-x tokend"], "{name}");
        assert_eq!(program.get(..4), Some(&b"\x7fELF"[..]));
        println!("{name}: {:.1} MiB", program.len() as f64 / 1024.0 / 1024.0);
        // A sidecar is pulled to every node. What it is today, and some room.
        assert!(program.len() < 40 * 1024 * 1024, "{name}: {} bytes", program.len());
    }
}

#[test]
fn the_release_image_has_no_emulator() {
    let (_, release) = files("tokend");
    let (_, emulator) = files("tokend-emulator");
    for text in ["/_emulator/directory", "ana@contoso.example", "daemon-secret-for-tests-only", "tokend emulator CA"] {
        assert!(holds(&emulator, text), "the proof proves nothing: {text}");
        assert!(!holds(&release, text), "{text}");
    }
    for command in ["emulator", "demo"] {
        let refused = output(podman().args(["run", "--rm", "--network=none"]).arg(image("tokend")).arg(command));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{said}");
        assert!(said.contains("built without the emulated authority") && said.contains("tokend-emulator"), "{said}");
    }
}

#[test]
fn an_image_says_what_it_is_and_how_it_runs() {
    for (name, ports) in
        [("tokend", json!(["8650/tcp", "8651/tcp"])), ("tokend-emulator", json!(["8650/tcp", "8651/tcp", "8652/tcp"]))]
    {
        let image = described(name);
        assert_eq!(image["Config"]["User"], "65532:65532");
        assert_eq!(image["Config"]["Entrypoint"], json!(["/tokend"]));
        assert_eq!(image["Config"]["Cmd"], json!(["serve"]));
        let exposed: Vec<_> = image["Config"]["ExposedPorts"].as_object().expect("ports").keys().cloned().collect();
        assert_eq!(json!(exposed), ports);

        let labels = image["Labels"].as_object().expect("labels");
        let label = |key: &str| labels[&format!("org.opencontainers.image.{key}")].as_str().expect("a label");
        assert_eq!(label("title"), name);
        assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
        assert!(!label("description").is_empty());
        assert!(label("revision").len() == 40 && label("revision").bytes().all(|byte| byte.is_ascii_hexdigit()));
        // The commit's date and not the day of the build: the same sources make the same image.
        let created = label("created");
        assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
        assert!(image["Created"].as_str().is_some_and(|at| at.get(..19) == created.get(..19)), "{}", image["Created"]);
    }
}

#[test]
fn a_build_sees_what_the_image_is_made_of_and_no_more() {
    let ignored = std::fs::read_to_string(crate::support::root().join(".dockerignore")).expect("a file");
    let lines: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"*"), "an allow-list");
    for line in &lines[1..] {
        let path = line.strip_prefix('!').unwrap_or_else(|| panic!("{line} takes away from an allow-list"));
        assert!(crate::support::root().join(Path::new(path)).exists(), "{path}");
    }
}
