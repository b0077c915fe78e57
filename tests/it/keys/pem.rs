//! Certificates with keys as PEM: in one file or two, in any order, under a password or not.

use serde_json::{Value, json};

use super::{Keys, PASSWORD, base64, proven};
use crate::support::python;

#[tokio::test]
async fn asn_3_the_chain_goes_leaf_first_whatever_its_order_is() {
    let keys = Keys::new();
    let [leaf, middle, root] = &keys.chain;
    // Another CA of the intermediate's name, and a certificate of nobody's.
    let other = Keys::new();
    let orders = [
        [&keys.key, leaf, middle, root].map(String::as_str).concat(),
        [root, middle, leaf, &keys.key].map(String::as_str).concat(),
        [middle, &other.chain[1], &keys.key, root, &other.chain[0], leaf].map(String::as_str).concat(),
        [&other.chain[1], middle, &keys.key, root, leaf, leaf].map(String::as_str).concat(),
    ];
    let mut apps = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        keys.write(&format!("order-{number}.pem"), order);
        apps.push((format!("order-{number}"), format!("certificate: {{file: KEYS/order-{number}.pem, x5c: true, kid: mine}}")));
    }
    apps.push(("bare".to_owned(), "certificate: {file: KEYS/order-0.pem}".to_owned()));
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, credential)| (name.as_str(), credential.as_str())).collect();
    let world = keys.world(&apps).await;
    for (name, _) in &apps {
        let header = proven(&world, name).await;
        if *name == "bare" {
            assert_eq!((&header["x5c"], &header["kid"]), (&Value::Null, &Value::Null));
        } else {
            assert_eq!(header["x5c"], json!([base64(leaf), base64(middle), base64(root)]), "{name}");
            assert_eq!((&header["alg"], &header["kid"], &header["x5t"]), (&json!("PS256"), &json!("mine"), &Value::Null));
        }
        assert_eq!(header["x5t#S256"].as_str().map(str::len), Some(43), "{name}");
    }
}

#[tokio::test]
async fn keys_under_a_password_are_opened_as_others_wrote_them() {
    let keys = Keys::new();
    let pass = format!("pass:{PASSWORD}");
    let mut apps = vec![("two-files".to_owned(), "certificate: {file: KEYS/chain.pem, key_file: KEYS/key.pem}".to_owned())];
    for (name, how) in [
        ("aes256", &["-v2", "aes-256-cbc"][..]),
        ("aes128-sha1", &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"]),
        ("sha512", &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-iter", "10000"]),
        ("des3", &["-v2", "des3"]),
        ("scrypt", &["-scrypt"]),
    ] {
        let locked = format!("{name}.key");
        let usual = ["pkcs8", "-topk8", "-in", "key.pem", "-out", &locked, "-passout", &pass];
        keys.openssl(&[&usual[..], how].concat());
        let password = "password: {file: KEYS/password}";
        apps.push((name.to_owned(), format!("certificate: {{file: KEYS/chain.pem, key_file: KEYS/{locked}, {password}}}")));
        let whole = [std::fs::read_to_string(keys.path(&locked)).expect("a file"), keys.chain.concat()].concat();
        keys.write(&format!("{name}.pem"), whole);
        apps.push((format!("{name}-whole"), format!("certificate: {{file: KEYS/{name}.pem, {password}}}")));
    }
    let written =
        python("write_keys.py", &json!({"key_pem": keys.key, "chain_pem": keys.chain.concat(), "password": PASSWORD})).await;
    keys.write("python.key", written["pem"].as_str().unwrap_or_else(|| panic!("{written}")));
    let python = "certificate: {file: KEYS/chain.pem, key_file: KEYS/python.key, password: {file: KEYS/password}}";
    apps.push(("python".to_owned(), python.to_owned()));
    // PKCS#1 in clear, as older programs write it.
    keys.openssl(&["rsa", "-traditional", "-in", "key.pem", "-out", "pkcs1.key"]);
    apps.push(("pkcs1".to_owned(), "certificate: {file: KEYS/chain.pem, key_file: KEYS/pkcs1.key}".to_owned()));
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, credential)| (name.as_str(), credential.as_str())).collect();
    let world = keys.world(&apps).await;
    for (name, _) in &apps {
        proven(&world, name).await;
    }
    let status = world.sidecar.admin.get("/status").await;
    assert!(!status.text.contains(PASSWORD), "{}", status.text);
}
