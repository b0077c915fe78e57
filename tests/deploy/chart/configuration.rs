//! What the chart writes into ConfigMaps, read by tokend itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::helm::{NEWEST, modes, objects, only, rendered, with};
use crate::support::{output, run};

const BAD_CONFIGURATION: i32 = 64;

/// `tokend.yaml` of every mode that makes one.
fn configurations() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for name in modes() {
        for object in objects(&rendered(&name, NEWEST)) {
            if let Some(text) = object["data"]["tokend.yaml"].as_str() {
                all.insert(name.clone(), text.to_owned());
            }
        }
    }
    assert!(all.len() > 8, "{:?}", all.keys());
    all
}

fn configuration(name: &str) -> Value {
    yaml_serde::from_str(&configurations()[name]).expect("YAML")
}

/// Every file that a configuration names, under whichever key.
fn files(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.values().for_each(|inner| files(inner, found)),
        Value::Array(list) => list.iter().for_each(|inner| files(inner, found)),
        Value::String(text) if text.starts_with("/run/secrets/") => found.push(text.clone()),
        _ => {}
    }
}

/// Something that tokend can load, by what the file is called.
struct Contents {
    key: String,
    certificate: String,
    ring: String,
}

// === impl Contents ===

impl Contents {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        let mut params = CertificateParams::new(vec!["rel-tokend.ns.svc".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let ring = run(Command::new(env!("CARGO_BIN_EXE_tokend")).args(["key-ring", "new"]));
        Self { key: key.serialize_pem(), certificate, ring }
    }

    fn of(&self, path: &str) -> Vec<u8> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.strip_suffix(".pfx") {
            Some(stem) => self.pfx(&Self::text_of(&format!("{stem}.password"))),
            None => self.text(name).into_bytes(),
        }
    }

    /// Any text, where nothing else is needed.
    fn text_of(name: &str) -> String {
        format!("{name}-0123456789abcdefghijklmnopqrstuvwxyz")
    }

    /// The key and the certificate under this password, as OpenSSL writes them.
    fn pfx(&self, password: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("all.pem"), format!("{}{}", self.key, self.certificate)).expect("a file");
        let password = format!("pass:{password}");
        let arguments = ["pkcs12", "-export", "-in", "all.pem", "-out", "all.pfx", "-passout", &password];
        run(Command::new("openssl").args(arguments).current_dir(folder.path()));
        std::fs::read(folder.path().join("all.pfx")).expect("a PFX")
    }

    fn text(&self, name: &str) -> String {
        match name {
            _ if name.ends_with(".key") || name.ends_with(".jwk") => self.key.clone(),
            _ if name.ends_with(".crt") || name.ends_with(".pem") => self.certificate.clone(),
            "key-ring" => self.ring.clone(),
            "headers" => "x-api-key=some".to_owned(),
            // A header, claims of a token that ends in 2100, and a signature that nobody looks at.
            "federated" => "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vYS5leGFtcGxlIiwic3ViIjoiYSIsImF1ZCI6ImIifQ.c2lnbmF0dXJl".to_owned(),
            _ => Self::text_of(name),
        }
    }
}

#[test]
fn every_configuration_is_one_that_tokend_takes() {
    let contents = Contents::new();
    let mut refused = Vec::new();
    for (name, text) in configurations() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut named = Vec::new();
        files(&yaml_serde::from_str(&text).expect("YAML"), &mut named);
        for path in &named {
            let file = folder.path().join(Path::new(path).strip_prefix("/").expect("an absolute path"));
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(&file, contents.of(path)).expect("a file");
        }
        let root = folder.path().to_str().expect("a plain path");
        let file = folder.path().join("tokend.yaml");
        std::fs::write(&file, text.replace("/run/secrets/", &format!("{root}/run/secrets/"))).expect("a file");
        let output = output(Command::new(env!("CARGO_BIN_EXE_tokend")).arg("check").arg("--config").arg(&file).env_clear());
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Where there is a Redis it is asked too, and these are not there: that is 1, and says nothing about the configuration.
        let expected: &[i32] = if text.contains("redis:") { &[0, 1] } else { &[0] };
        let code = output.status.code().expect("an exit status");
        // One mode does without encryption, which deserves its warning.
        let warned = said.contains("warning:") && name != "standalone-cluster";
        if code == BAD_CONFIGURATION || !expected.contains(&code) || warned {
            refused.push(format!("{name}: {code}\n{said}\n{text}"));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
}

#[test]
fn every_named_file_lies_in_a_mounted_folder() {
    for name in modes().iter().filter(|name| name.starts_with("standalone")) {
        let all = objects(&rendered(name, NEWEST));
        let container = &only(&all, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        let mounts: Vec<_> =
            container["volumeMounts"].as_array().expect("mounts").iter().map(|mount| &mount["mountPath"]).collect();
        let mut named = Vec::new();
        files(&configuration(name), &mut named);
        assert!(!named.is_empty(), "{name}");
        for file in named {
            let folder = Path::new(&file).parent().and_then(Path::to_str).expect("a folder");
            assert!(mounts.iter().any(|mount| *mount == folder), "{name}: {file} is not mounted");
        }
    }
}

#[test]
fn the_listeners_are_those_of_the_mode() {
    let standalone = configuration("standalone");
    assert_eq!(standalone["listen"], "*:8650");
    assert_eq!(standalone["admin_listen"], "*:8651");
    let tls = json!({"cert": {"file": "/run/secrets/tls/tls.crt"}, "key": {"file": "/run/secrets/tls/tls.key"}});
    assert_eq!(standalone["tls"], tls);
    assert_eq!(standalone["hosts"], json!(["rel-tokend", "rel-tokend.ns", "rel-tokend.ns.svc", "rel-tokend.ns.svc.cluster.local"]));
    assert_eq!(standalone["callers"], json!([{"name": "web", "token": {"file": "/run/secrets/callers/web"}}]));
    assert_eq!(standalone["shutdown"], json!({"delay": "5s", "grace": "20s"}));
    let sidecar = configuration("sidecar");
    assert_eq!(sidecar["listen"], json!(["127.0.0.1:8650"]));
    assert_eq!(sidecar["admin_listen"], "*:8651");
    assert!(sidecar["tls"].is_null() && sidecar["hosts"].is_null() && sidecar["listen_mode"].is_null());
    let socket = configuration("sidecar-socket");
    assert_eq!(socket["listen"], json!(["127.0.0.1:8650", "unix:/run/tokend/tokend.sock"]));
    assert_eq!(socket["listen_mode"], "0666");
}

#[test]
fn a_shutdown_of_nothing_is_nothing() {
    for (given, delay, grace, seconds) in [
        ("{delay: 0, grace: 0}", json!(0), json!(0), 5),
        ("{delay: 0s}", json!("0s"), json!("20s"), 25),
        ("{grace: 0s}", json!("5s"), json!("0s"), 10),
    ] {
        let text = with("standalone", &format!("config: {{shutdown: {given}}}")).expect("it renders");
        let all = objects(&text);
        let written = only(&all, "ConfigMap")["data"]["tokend.yaml"].as_str().expect("a configuration");
        let written: Value = yaml_serde::from_str(written).expect("YAML");
        assert_eq!(written["shutdown"], json!({"delay": delay, "grace": grace}), "{given}");
        let pod = &only(&all, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"], seconds, "{given}");
    }
}

#[test]
fn secrets_become_files() {
    let all = configuration("standalone-ha");
    assert_eq!(all["cache"]["redis"]["password"], json!({"file": "/run/secrets/redis/password"}));
    assert_eq!(all["cache"]["redis"]["ca_file"], "/run/secrets/redis/ca.crt");
    assert_eq!(all["cache"]["redis"]["encryption"], json!({"key_ring": {"file": "/run/secrets/key-ring/key-ring"}}));
    assert_eq!(all["cache"]["memory"]["max_bytes"], 268_435_456_u64, "a number stays a whole one");
    assert_eq!(all["otlp"]["headers"], json!({"file": "/run/secrets/otlp/headers"}));
    assert_eq!(all["tls"]["client_ca"], json!({"file": "/run/secrets/tls/ca.crt"}));
    let web = json!({"name": "web", "token": {"file": "/run/secrets/callers/web.txt"}, "apps": ["orders"], "flows": ["on_behalf_of", "silent"]});
    assert_eq!(all["callers"][0], web);
    let sentinel = configuration("standalone-sentinel");
    let redis = &sentinel["cache"]["redis"];
    assert_eq!(redis["sentinel"]["password"], json!({"file": "/run/secrets/redis/sentinel-password"}));
    assert_eq!(redis["client_cert"], "/run/secrets/redis/tls.crt");
    assert_eq!(redis["client_key"], "/run/secrets/redis/tls.key");
}
