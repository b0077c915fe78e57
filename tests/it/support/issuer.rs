//! Somebody who gives workloads their tokens, as a cluster gives them to its service accounts, and whom an authority may trust.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Where the tokens say they come from.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Whom they are for.
const AUDIENCE: &str = "api://AzureADTokenExchange";
/// Whose they are.
pub(crate) const SUBJECT: &str = "system:serviceaccount:shop:orders";

/// An issuer with a key of its own.
#[derive(Debug)]
pub(crate) struct Issuer(KeyPair);

impl Issuer {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    /// An entry of `federated` in the emulator's directory: trust in this issuer's tokens of the usual subject.
    pub(crate) fn trusted(&self) -> Value {
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(self.0.public_key());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        let jwks = json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "cluster-1", "n": n, "e": e}]});
        json!({"issuer": ISSUER, "subject": SUBJECT, "audience": AUDIENCE, "jwks": jwks})
    }

    /// A token of the usual subject that ends at `ends`; `changes` are claims that it has instead, null removes one.
    pub(crate) fn token(&self, ends: i64, changes: Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "exp": ends, "iat": ends - 3600, "nbf": ends - 3600,
            "jti": rand::random::<u64>().to_string(),
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "orders"}},
        });
        let members = claims.as_object_mut().expect("an object");
        members.extend(changes.as_object().expect("an object").clone());
        members.retain(|_, value| !value.is_null());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "RS256", "kid": "cluster-1"})), part(&claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Adds trust in an issuer to an app of a directory, or to a client of its first realm.
pub(crate) fn trust(directory: &mut Value, name: &str, issuer: &Issuer) {
    let apps = directory["apps"].as_array_mut().expect("apps").iter_mut().filter(|app| app["name"] == name);
    for app in apps {
        app["federated"] = json!([issuer.trusted()]);
    }
    let clients = directory["realms"][0]["clients"].as_array_mut().expect("clients").iter_mut();
    for client in clients.filter(|client| client["client_id"] == name) {
        client["federated"] = json!([issuer.trusted()]);
    }
}
