//! Which algorithms a key verifies: those that its kind, its curve and its `alg` allow, on a key set of the test's own.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm};
use serde_json::{Value, json};

use super::{encoded, is_refused, part};
use crate::support::World;

/// A key pair and what its authority publishes of it.
pub(super) struct Signer {
    private: EncodingKey,
    pub(super) public: Value,
}

// === impl Signer ===

impl Signer {
    /// A key named `kid`; `more` changes what is published, null takes a member away.
    pub(super) fn new(kid: &str, kind: &'static SignatureAlgorithm, algorithm: Algorithm, more: Value) -> Self {
        let pem = KeyPair::generate_for(kind).expect("a key").serialize_pem();
        let rsa = format!("{algorithm:?}").starts_with('R');
        let private = if rsa { EncodingKey::from_rsa_pem(pem.as_bytes()) } else { EncodingKey::from_ec_pem(pem.as_bytes()) };
        let private = private.expect("a key that signs");
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).expect("a JWK")).expect("JSON");
        public["kid"] = json!(kid);
        public["use"] = json!("sig");
        let members = public.as_object_mut().expect("an object");
        members.remove("alg");
        for (name, value) in more.as_object().expect("members") {
            members.insert(name.clone(), value.clone());
        }
        members.retain(|_, value| !value.is_null());
        Self { private, public }
    }

    pub(super) fn sign(&self, kid: Option<&str>, algorithm: Algorithm, claims: &Value) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.private).expect("a token")
    }
}

/// A world whose authority publishes these keys and answers every assertion.
pub(super) async fn publishing(signers: &[&Signer]) -> (World, Value) {
    let world = World::new().await;
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.public).collect();
    let body = json!({"status": 200, "body": {"keys": keys}});
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": body}})).await;
    let answer = json!({"status": 200, "body": {"access_token": "t", "token_type": "Bearer", "expires_in": 3600}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"raw": answer}})).await;
    let claims = part(&world.emulator.user_token("ana@contoso.example").await, 1);
    (world, claims)
}

#[tokio::test]
async fn rs_ps_and_es_are_accepted() {
    let rsa = Signer::new("rsa", &PKCS_RSA_SHA256, Algorithm::RS256, json!({}));
    let p256 = Signer::new("p256", &PKCS_ECDSA_P256_SHA256, Algorithm::ES256, json!({}));
    let p384 = Signer::new("p384", &PKCS_ECDSA_P384_SHA384, Algorithm::ES384, json!({}));
    let (world, claims) = publishing(&[&rsa, &p256, &p384]).await;
    for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        world.obo(&rsa.sign(Some("rsa"), algorithm, &claims)).await.token();
    }
    world.obo(&p256.sign(Some("p256"), Algorithm::ES256, &claims)).await.token();
    world.obo(&p384.sign(Some("p384"), Algorithm::ES384, &claims)).await.token();
}

/// Signs with a key of a kind that `jsonwebtoken` does not know, or not in every form.
fn signed_by(kid: &str, alg: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encoded(&json!({"alg": alg, "kid": kid, "typ": "JWT"})), encoded(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

#[tokio::test]
async fn es512_and_eddsa_are_accepted() {
    let random = SystemRandom::new();
    let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
    let ed = Ed25519KeyPair::generate().expect("a key");
    let (x, y) = p521.public_key().as_ref()[1..].split_at(66);
    let [x, y, edx] = [x, y, ed.public_key().as_ref()].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let ec = |crv: &str, kid: &str| json!({"kty": "EC", "crv": crv, "kid": kid, "use": "sig", "x": x, "y": y});
    let okp = |kid: &str, alg: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": alg, "x": edx});
    let mut keys = [ec("P-521", "p521"), ec("P-384", "p384"), ec("P-521", "es256"), okp("ed", "EdDSA"), okp("hs", "HS256")];
    keys[2]["alg"] = json!("ES256");
    let signers = keys.map(|public| Signer { private: EncodingKey::from_secret(b"secret"), public });
    let (world, claims) = publishing(&signers.iter().collect::<Vec<_>>()).await;
    let by_p521 = |kid: &str, alg: &str| {
        signed_by(kid, alg, &claims, |text| p521.sign(&random, text).expect("a signature").as_ref().to_vec())
    };
    let by_ed = |kid: &str, alg: &str| signed_by(kid, alg, &claims, |text| ed.sign(text).as_ref().to_vec());
    world.obo(&by_p521("p521", "ES512")).await.token();
    world.obo(&by_ed("ed", "EdDSA")).await.token();
    for token in [
        by_p521("p521", "ES256"),
        by_p521("p384", "ES512"),
        by_p521("es256", "ES512"),
        by_ed("ed", "ES512"),
        by_ed("p521", "EdDSA"),
        by_ed("hs", "EdDSA"),
    ] {
        let answer = world.obo(&token).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        is_refused(&answer, "");
    }
    // A good signature of other claims, none, and one too short.
    let other = signed_by("p521", "ES512", &json!({}), |text| p521.sign(&random, text).expect("a signature").as_ref().to_vec());
    let (good, foreign) = (by_p521("p521", "ES512"), other.rsplit_once('.').map(|(_, signature)| signature.to_owned()));
    let (signed, signature) = good.rsplit_once('.').expect("a token");
    for signature in [foreign.as_deref().expect("a signature"), "", signature.get(..100).expect("a part")] {
        is_refused(&world.obo(&format!("{signed}.{signature}")).await, "");
    }
}

#[tokio::test]
async fn the_alg_of_a_key_is_the_only_one_that_it_verifies() {
    let ps = Signer::new("ps", &PKCS_RSA_SHA256, Algorithm::RS256, json!({"alg": "PS256"}));
    let (world, claims) = publishing(&[&ps]).await;
    world.obo(&ps.sign(Some("ps"), Algorithm::PS256, &claims)).await.token();
    for algorithm in [Algorithm::RS256, Algorithm::PS384, Algorithm::RS512] {
        is_refused(&world.obo(&ps.sign(Some("ps"), algorithm, &claims)).await, "does not fit");
    }
}

#[tokio::test]
async fn a_key_for_encryption_verifies_nothing() {
    let encrypting = Signer::new("enc", &PKCS_RSA_SHA256, Algorithm::RS256, json!({"use": "enc"}));
    let signing = Signer::new("sig", &PKCS_RSA_SHA256, Algorithm::RS256, json!({"use": null}));
    let (world, claims) = publishing(&[&encrypting, &signing]).await;
    is_refused(&world.obo(&encrypting.sign(Some("enc"), Algorithm::RS256, &claims)).await, "publish");
    world.obo(&signing.sign(Some("sig"), Algorithm::RS256, &claims)).await.token();
}

#[tokio::test]
async fn a_secret_key_in_a_key_set_verifies_nothing() {
    let rsa = Signer::new("rsa", &PKCS_RSA_SHA256, Algorithm::RS256, json!({}));
    let shared =
        Signer { private: EncodingKey::from_secret(b"secret"), public: json!({"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}) };
    let odd = Signer { private: EncodingKey::from_secret(b"secret"), public: json!({"kty": "new", "kid": 7}) };
    let (world, claims) = publishing(&[&shared, &odd, &rsa]).await;
    is_refused(&world.obo(&shared.sign(Some("oct"), Algorithm::HS256, &claims)).await, "algorithm");
    // What is not understood spoils nothing else.
    world.obo(&rsa.sign(Some("rsa"), Algorithm::RS256, &claims)).await.token();
}

#[tokio::test]
async fn a_token_without_a_key_id_is_verified_by_the_only_key() {
    let rsa = Signer::new("rsa", &PKCS_RSA_SHA256, Algorithm::RS256, json!({}));
    let (world, claims) = publishing(&[&rsa]).await;
    world.obo(&rsa.sign(None, Algorithm::RS256, &claims)).await.token();
    let other = Signer::new("rsa", &PKCS_RSA_SHA256, Algorithm::RS256, json!({}));
    is_refused(&world.obo(&other.sign(None, Algorithm::RS256, &claims)).await, "signature");
}

#[tokio::test]
async fn a_key_that_changed_under_its_id_verifies_no_more() {
    let (first, second) = (
        Signer::new("same", &PKCS_RSA_SHA256, Algorithm::RS256, json!({})),
        Signer::new("same", &PKCS_RSA_SHA256, Algorithm::RS256, json!({})),
    );
    let (world, claims) = publishing(&[&first]).await;
    let token = first.sign(Some("same"), Algorithm::RS256, &claims);
    world.obo(&token).await.token();
    world.emulator.unscript().await;
    let body = json!({"status": 200, "body": {"keys": [second.public]}});
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": body}})).await;
    world.later(31);
    // An unknown id brings the new set.
    is_refused(&world.obo(&second.sign(Some("unknown"), Algorithm::RS256, &claims)).await, "publish");
    is_refused(&world.obo(&token).await, "signature");
}
