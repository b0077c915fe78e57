//! PFX files as OpenSSL in its ways and Python's cryptography write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Keys, PASSWORD, base64, encoded, proven};
use crate::support::{NOW, python};

/// What Windows writes: triple DES, a MAC by SHA-1, and the name of a provider.
const WINDOWS: &[&str] = &[
    "-keypbe",
    "PBE-SHA1-3DES",
    "-certpbe",
    "PBE-SHA1-3DES",
    "-macalg",
    "sha1",
    "-CSP",
    "Microsoft Enhanced RSA and AES Cryptographic Provider",
];

#[tokio::test]
async fn asn_3_a_pfx_of_each_writer_proves_the_app() {
    let keys = Keys::new();
    let mut apps: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, more: &str| apps.push((name.to_owned(), format!("pfx: {{file: KEYS/{name}.pfx{more}}}")));
    let with_password = ", password: {file: KEYS/password}, x5c: true";
    for (name, how) in [
        ("modern", &[][..]),
        ("legacy", &["-legacy"]),
        ("windows", WINDOWS),
        ("mac-alone", &["-keypbe", "NONE", "-certpbe", "NONE"]),
        ("sha512", &["-macalg", "sha512"]),
    ] {
        keys.pfx(&format!("{name}.pfx"), PASSWORD, how);
        add(name, with_password);
    }
    // An empty password, once told and once not.
    keys.pfx("empty.pfx", "", &[]);
    keys.pfx("empty-told.pfx", "", WINDOWS);
    keys.write("empty", "\n");
    add("empty", "");
    add("empty-told", ", password: {file: KEYS/empty}, sha1: true");
    keys.write("in-base64.pfx", encoded(&std::fs::read(keys.path("modern.pfx")).expect("a file")));
    add("in-base64", with_password);
    let written =
        python("write_keys.py", &json!({"key_pem": keys.key, "chain_pem": keys.chain.concat(), "password": PASSWORD})).await;
    keys.write("python.pfx", STANDARD.decode(written["pfx"].as_str().unwrap_or_else(|| panic!("{written}"))).expect("base64"));
    add("python", with_password);
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, credential)| (name.as_str(), credential.as_str())).collect();
    let world = keys.world(&apps).await;
    let chain: Vec<String> = keys.chain.iter().map(|pem| base64(pem)).collect();
    for (name, credential) in &apps {
        let header = proven(&world, name).await;
        let expected = if credential.contains("x5c") { json!(chain) } else { Value::Null };
        assert_eq!(header["x5c"], expected, "{name}");
        assert_eq!(header["alg"], if credential.contains("sha1") { "RS256" } else { "PS256" }, "{name}");
    }
    let status = world.sidecar.admin.get("/status").await;
    let shown = status.json["apps"].as_array().expect("apps").iter().find(|app| app["name"] == "modern").expect("the app");
    assert_eq!(shown["credential"]["kind"], "pfx", "{shown}");
    assert!(shown["credential"]["expires_on"].as_i64().is_some_and(|ends| ends > NOW), "{shown}");
    assert!(!status.text.contains(PASSWORD), "{}", status.text);
    let sample = "tokend_credential_expiry_timestamp_seconds{app=\"modern\",kind=\"pfx\"}";
    assert!(world.sidecar.metric(sample).await > f64::from(u32::try_from(NOW).expect("a date")));
}
