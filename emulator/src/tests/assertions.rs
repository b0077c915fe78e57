//! Client assertions in the spellings of all libraries, and those that must be refused.

use aws_lc_rs::signature::RsaKeyPair;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};

use super::{CONTOSO, Got, House, Reply, Tested};
use crate::{certificate::Parsed, jose};

const DAEMON: &str = "a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350";

/// The daemon's key and certificate, as its directory entry shows them.
struct Identity {
    key: RsaKeyPair,
    pem: String,
    certificate: Parsed,
}

impl Identity {
    fn of(house: &House) -> Got<Self> {
        let shown = house.app("daemon")["certificates"][0].clone();
        let pem = shown["key_pem"].as_str().ok_or("no key")?.to_owned();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())?;
        let certificate = Parsed::from_pem(shown["pem"].as_str().ok_or("no certificate")?)?;
        Ok(Self { key, pem, certificate })
    }

    fn sign(&self, header: &Value, claims: &Value) -> Got<String> {
        let mut full = Map::from_iter([("alg".to_owned(), json!("RS256")), ("typ".to_owned(), json!("JWT"))]);
        full.extend(header.as_object().cloned().unwrap_or_default());
        let claims = claims.as_object().ok_or("no claims")?;
        Ok(jose::sign(&self.key, &full, claims).ok_or("not signed")?)
    }

    fn x5t_s256(&self) -> Value {
        json!({"x5t#S256": jose::encode(&self.certificate.sha256)})
    }
}

fn usual(house: &House, over: Value) -> Value {
    let now = house.now();
    let mut claims = json!({"aud": house.url(&format!("/{CONTOSO}/oauth2/v2.0/token")), "iss": DAEMON, "sub": DAEMON,
        "jti": jose::random(), "nbf": now, "iat": now, "exp": now + 600});
    for (name, value) in over.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(claims.as_object_mut().and_then(|claims| claims.remove(name))),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn present(house: &House, assertion: &str) -> Got<Reply> {
    house
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", DAEMON),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("scope", "api://orders/.default"),
        ])
        .await
}

#[tokio::test]
async fn every_librarys_spelling_passes() -> Tested {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE},
    };
    let house = House::new().await?;
    let me = Identity::of(&house)?;
    let parsed = &me.certificate;
    let chain = STANDARD.encode(&parsed.der);
    for header in [
        me.x5t_s256(),
        json!({"x5t#S256": URL_SAFE.encode(&parsed.sha256)}),
        json!({"x5t#S256": STANDARD.encode(&parsed.sha256)}),
        json!({"x5t": jose::encode(&parsed.sha1)}),
        json!({"x5t": jose::encode(&parsed.sha1), "x5c": chain}),
        json!({"x5t#S256": jose::encode(&parsed.sha256), "x5c": [chain]}),
        json!({"x5c": [chain]}),
        json!({"x5c": [format!("{}\n{}", &chain[..64], &chain[64..])]}),
    ] {
        let reply = present(&house, &me.sign(&header, &usual(&house, json!({})))?).await?;
        assert_eq!(reply.status, 200, "{header} {}", reply.text);
    }
    let now = house.now();
    for over in [
        json!({"nbf": now.to_string(), "exp": (now + 600).to_string(), "iat": null}),
        json!({"exp": 600.5 + f64::from(i32::try_from(now)?), "iat": null, "nbf": null}),
        json!({"nbf": null}),
        json!({"jti": null}),
        json!({"aud": house.url(&format!("/{CONTOSO}/v2.0"))}),
        json!({"aud": house.url("/contoso.example/oauth2/v2.0/token")}),
        json!({"aud": [house.url(&format!("/{CONTOSO}"))]}),
    ] {
        let reply = present(&house, &me.sign(&me.x5t_s256(), &usual(&house, over.clone()))?).await?;
        assert_eq!(reply.status, 200, "{over} {}", reply.text);
    }
    house.end().await
}

#[tokio::test]
async fn ps256_by_another_library_passes() -> Tested {
    let house = House::new().await?;
    let me = Identity::of(&house)?;
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
    header.x5t_s256 = Some(jose::encode(&me.certificate.sha256));
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(me.pem.as_bytes())?;
    let assertion = jsonwebtoken::encode(&header, &usual(&house, json!({})), &key)?;
    let body = present(&house, &assertion).await?.json()?;
    assert_eq!(super::claims(&body["access_token"])?["azpacr"], "2");
    house.end().await
}

#[tokio::test]
async fn what_must_be_refused_is() -> Tested {
    let house = House::new().await?;
    let me = Identity::of(&house)?;
    let now = house.now();
    for (over, expected) in [
        (json!({"aud": "https://login.microsoftonline.com/x"}), 700_023),
        (json!({"aud": house.url("/3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3/oauth2/v2.0/token")}), 700_023),
        (json!({"exp": now - 61, "nbf": now - 500, "iat": now - 500}), 700_024),
        (json!({"nbf": now + 61, "exp": now + 500}), 700_024),
        (json!({"exp": now + 661}), 700_024),
        (json!({"exp": null}), 700_024),
        (json!({"iss": "someone-else"}), 700_021),
        (json!({"sub": "someone-else"}), 700_021),
    ] {
        let reply = present(&house, &me.sign(&me.x5t_s256(), &usual(&house, over.clone()))?).await?;
        assert_eq!(reply.aadsts()?, (401, expected), "{over}");
    }
    for header in [
        json!({}),
        json!({"x5t": "AAAA"}),
        json!({"x5t#S256": jose::encode(&me.certificate.sha256), "x5t": "AAAA"}),
        json!({"x5t#S256": jose::encode(&me.certificate.sha256), "alg": "none"}),
        json!({"x5t#S256": jose::encode(&me.certificate.sha256), "alg": "PS256"}),
    ] {
        let reply = present(&house, &me.sign(&header, &usual(&house, json!({})))?).await?;
        assert_eq!(reply.aadsts()?, (401, 700_027), "{header}");
    }
    assert_eq!(present(&house, "no.token.this").await?.aadsts()?, (401, 50012));
    house.end().await
}

#[tokio::test]
async fn a_replay_is_refused_when_the_script_says_so() -> Tested {
    let house = House::new().await?;
    let me = Identity::of(&house)?;
    let assertion = me.sign(&me.x5t_s256(), &usual(&house, json!({})))?;
    assert_eq!(present(&house, &assertion).await?.status, 200);
    assert_eq!(present(&house, &assertion).await?.status, 200);
    house.script(json!({"times": 0, "do": {"refuse_replay": true}})).await?;
    assert_eq!(present(&house, &assertion).await?.aadsts()?, (401, 50012));
    house.end().await
}

#[tokio::test]
async fn a_federated_assertion_is_checked_by_the_keys_in_the_directory() -> Tested {
    let first = House::new().await?;
    let me = Identity::of(&first)?;
    let jose::PublicKey::Rsa { n, e } = &me.certificate.key else { return Err("not RSA".into()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("directory.json");
    let directory = json!({
        "tenants": first.directory["tenants"],
        "apps": [
            {"name": "orders-api", "client_id": super::ORDERS, "tenant": "contoso", "identifier_uris": ["api://orders"]},
            {"name": "daemon", "client_id": DAEMON, "tenant": "contoso", "federated": [{
                "issuer": "https://issuer.example", "subject": "system:serviceaccount:a:b",
                "jwks": {"keys": [{"kty": "RSA", "kid": "k1", "n": jose::encode(n), "e": jose::encode(e)}]}}]},
        ],
        "users": [],
    });
    std::fs::write(&file, directory.to_string())?;
    let house = House::of(Some(file)).await?;
    let good = json!({"iss": "https://issuer.example", "sub": "system:serviceaccount:a:b", "exp": house.now() + 86_400,
        "aud": ["api://AzureADTokenExchange"]});
    let reply = present(&house, &me.sign(&json!({"kid": "k1"}), &usual(&house, good.clone()))?).await?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    for (name, value, expected) in
        [("iss", "https://other.example", 700_211), ("aud", "api://other", 700_212), ("sub", "system:serviceaccount:a:c", 700_213)]
    {
        let mut bad = good.clone();
        bad[name] = json!(value);
        let reply = present(&house, &me.sign(&json!({"kid": "k1"}), &usual(&house, bad))?).await?;
        assert_eq!(reply.aadsts()?, (401, expected));
    }
    let reply = present(&house, &me.sign(&json!({"kid": "k2"}), &usual(&house, good))?).await?;
    assert_eq!(reply.aadsts()?, (401, 700_027));
    first.end().await?;
    house.end().await
}
