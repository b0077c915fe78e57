//! Assertions at a realm by every algorithm, and those whose key or algorithm is another one.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding,
    },
};
use serde_json::{Value, json};

use super::{Got, House, Tested};
use crate::jose;

const ALL: [&str; 10] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// What signs in a test.
enum Signer {
    Rsa(Box<aws_lc_rs::rsa::KeyPair>, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn rsa(encoding: &'static dyn RsaEncoding) -> Got<Self> {
        Ok(Self::Rsa(Box::new(aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)?), encoding))
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Got<Self> {
        Ok(Self::Ec(EcdsaKeyPair::generate(algorithm)?))
    }

    fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair, _) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                json!({"kty": "RSA", "n": jose::encode(n.big_endian_without_leading_zero()),
                    "e": jose::encode(e.big_endian_without_leading_zero())})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": curve, "x": jose::encode(x), "y": jose::encode(y)})
            }
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": jose::encode(pair.public_key().as_ref())}),
        }
    }

    fn sign(&self, text: &str) -> Got<Vec<u8>> {
        Ok(match self {
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), text.as_bytes(), &mut signature)?;
                signature
            }
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), text.as_bytes())?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
        })
    }
}

/// A house whose client `keyed` has these keys, and whose realm announces these algorithms.
async fn house(keys: &[&Signer], announced: &[&str]) -> Got<House> {
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    let jwks: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    directory["realms"][0]["token_endpoint_auth_signing_alg_values_supported"] = json!(announced);
    let clients = directory["realms"][0]["clients"].as_array_mut().ok_or("no clients")?;
    clients.push(json!({"client_id": "keyed", "jwks": {"keys": jwks}}));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), directory.to_string())?;
    House::of(Some(file.path().to_owned())).await
}

async fn present(house: &House, key: &Signer, algorithm: &str) -> Got<u16> {
    let now = house.now();
    let claims = json!({"iss": "keyed", "sub": "keyed", "aud": format!("{}/oidc/shop", house.origin), "jti": jose::random(),
        "iat": now, "exp": now + 60});
    let text = format!("{}.{}", jose::encode(json!({"alg": algorithm}).to_string()), jose::encode(claims.to_string()));
    let assertion = format!("{text}.{}", jose::encode(key.sign(&text)?));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    Ok(house.form("/oidc/shop/token", &form).await?.status)
}

#[tokio::test]
async fn every_algorithm_is_taken_by_a_key_of_its_own() -> Tested {
    let keys = [
        (Signer::rsa(&RSA_PKCS1_SHA384)?, "RS384"),
        (Signer::rsa(&RSA_PKCS1_SHA512)?, "RS512"),
        (Signer::rsa(&RSA_PSS_SHA384)?, "PS384"),
        (Signer::rsa(&RSA_PSS_SHA512)?, "PS512"),
        (Signer::ec(&ECDSA_P256_SHA256_FIXED_SIGNING)?, "ES256"),
        (Signer::ec(&ECDSA_P384_SHA384_FIXED_SIGNING)?, "ES384"),
        (Signer::ec(&ECDSA_P521_SHA512_FIXED_SIGNING)?, "ES512"),
        (Signer::Ed25519(Ed25519KeyPair::generate()?), "EdDSA"),
    ];
    let all: Vec<&Signer> = keys.iter().map(|(key, _)| key).collect();
    let full = house(&all, &ALL).await?;
    for (key, algorithm) in &keys {
        assert_eq!(present(&full, key, algorithm).await?, 200, "{algorithm}");
        for other in ALL.into_iter().filter(|other| other != algorithm) {
            assert_eq!(present(&full, key, other).await?, 401, "{algorithm} as {other}");
        }
    }
    full.end().await?;
    // What is not announced is not taken, whoever's key it is.
    let few = house(&all, &["RS256", "ES256"]).await?;
    for (key, algorithm) in &keys {
        let expected = if *algorithm == "ES256" { 200 } else { 401 };
        assert_eq!(present(&few, key, algorithm).await?, expected, "{algorithm}");
    }
    few.end().await
}
