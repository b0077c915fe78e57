//! Clients that prove themselves by the certificate of their connection (RFC 8705).

use std::collections::HashMap;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::{Got, House, Reply, Tested, claims};

/// A CA, and what it issues.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Ca {
    fn new() -> Got<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "clients");
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { params, key, pem })
    }

    /// Key and certificate of a client, PEM.
    fn issue(&self, name: &str, until: i32) -> Got<String> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key))?;
        Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
    }
}

async fn house(ca: &Ca, own: &str) -> Got<House> {
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    let realm = &mut directory["realms"][0];
    realm["client_ca"] = json!(ca.pem);
    realm["token_endpoint_auth_methods_supported"] =
        json!(["client_secret_post", "tls_client_auth", "self_signed_tls_client_auth"]);
    let clients = realm["clients"].as_array_mut().ok_or("no clients")?;
    let method = "token_endpoint_auth_method";
    clients.push(json!({"client_id": "issued", method: "tls_client_auth", "tls_client_auth_san_dns": "issued.example"}));
    clients.push(json!({"client_id": "bound", method: "tls_client_auth", "tls_client_auth_san_dns": "issued.example",
        "tls_client_certificate_bound_access_tokens": true}));
    let certificate = own.find("-----BEGIN CERTIFICATE").and_then(|at| own.get(at..)).ok_or("no certificate")?;
    clients.push(json!({"client_id": "own", method: "self_signed_tls_client_auth", "certificates": [{"pem": certificate}]}));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), directory.to_string())?;
    House::of(Some(file.path().to_owned())).await
}

/// Asks with a certificate, or without.
async fn ask(house: &House, path: &str, client_id: &str, shown: Option<&str>) -> Got<Reply> {
    let mut builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
    if let Some(pem) = shown {
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
    }
    let client = builder.build()?;
    let request = client.post(house.url(path)).header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(format!("grant_type=client_credentials&client_id={client_id}"));
    let response = client.execute(request.build()?).await?;
    Ok(Reply { status: response.status().as_u16(), headers: HashMap::new(), text: response.text().await? })
}

#[tokio::test]
async fn a_certificate_proves_its_client_at_the_endpoints_for_that() -> Tested {
    let (ca, stranger) = (Ca::new()?, Ca::new()?);
    let (mine, own) = (ca.issue("issued.example", 2049)?, stranger.issue("own", 2049)?);
    let house = house(&ca, &own).await?;
    let told = house.get("/oidc/shop/.well-known/openid-configuration").await?;
    let alias = told["mtls_endpoint_aliases"]["token_endpoint"].as_str().ok_or("no alias")?.to_owned();
    let path = alias.strip_prefix(&house.origin).ok_or("another host")?;
    for (client_id, pem, expected) in [
        ("issued", Some(&mine), 200),
        ("own", Some(&own), 200),
        ("issued", None, 401),
        ("own", Some(&mine), 401),
        ("issued", Some(&own), 401),
        ("issued", Some(&ca.issue("other.example", 2049)?), 401),
        ("issued", Some(&stranger.issue("issued.example", 2049)?), 401),
        ("issued", Some(&ca.issue("issued.example", 2021)?), 401),
        ("shop-orders", Some(&mine), 401),
    ] {
        let reply = ask(&house, path, client_id, pem.map(String::as_str)).await?;
        assert_eq!(reply.status, expected, "{client_id}: {}", reply.text);
    }
    // The endpoint for everybody asks for no certificate.
    assert_eq!(ask(&house, "/oidc/shop/token", "issued", Some(&mine)).await?.status, 401);
    let token = claims(&ask(&house, path, "issued", Some(&mine)).await?.json()?["access_token"])?;
    assert_eq!(token["cnf"], Value::Null);
    let token = claims(&ask(&house, path, "bound", Some(&mine)).await?.json()?["access_token"])?;
    assert_eq!(token["cnf"]["x5t#S256"].as_str().map(str::len), Some(43));
    house.end().await
}
