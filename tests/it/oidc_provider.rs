//! tokend at a server that is not ours: the npm oidc-provider,
//! which refuses what its own reading of the specifications does not allow.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokend::clock::Clock;

use crate::support::{Answer, Emulator, OidcProvider, Sidecar, parameter};

const REDIRECT_URI: &str = "http://127.0.0.1:9/cb";
const ORDERS: &str = "https://orders.example";
const SECRET: &str = "web secret/with+more";

/// The server, and a sidecar with two of its clients: `daemon` has a certificate, `web` a secret.
struct Stage {
    server: OidcProvider,
    sidecar: Sidecar,
    _folder: tempfile::TempDir,
}

/// A key and its certificate as PEM, and the public key as a JWK.
async fn key() -> (String, Value) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let emulator = Emulator::start(&Clock::system()).await;
    let entry = emulator.shop("shop-jwt");
    let pem = entry["certificates"][0]["pem"].as_str().expect("a certificate");
    let (_, der) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let certificate = der.parse_x509().expect("a certificate");
    let Ok(x509_parser::public_key::PublicKey::RSA(rsa)) = certificate.public_key().parsed() else { panic!("an RSA key") };
    let encode = |number: &[u8]| {
        let first = number.iter().position(|byte| *byte != 0).unwrap_or(0);
        URL_SAFE_NO_PAD.encode(&number[first..])
    };
    (Emulator::pem(entry), json!({"kty": "RSA", "use": "sig", "n": encode(rsa.modulus), "e": encode(rsa.exponent)}))
}

impl Stage {
    async fn new() -> Self {
        let (pem, jwk) = key().await;
        let server = OidcProvider::start(&json!({"clients": [
            {"client_id": "daemon", "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [jwk]},
             "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []},
            {"client_id": "web", "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_post",
             "grant_types": ["authorization_code"], "redirect_uris": [REDIRECT_URI],
             "post_logout_redirect_uris": [REDIRECT_URI]},
        ]}))
        .await;
        let folder = tempfile::tempdir().expect("a folder");
        let (key_file, secret_file) = (folder.path().join("daemon.pem"), folder.path().join("web.secret"));
        std::fs::write(&key_file, pem).expect("a file");
        std::fs::write(&secret_file, SECRET).expect("a file");
        let issuer = &server.issuer;
        let yaml = format!(
            "apps:\n  daemon: {{issuer: \"{issuer}\", insecure_http: true, client_id: daemon, \
             credential: {{certificate: {{file: {}}}}}}}\n  web: {{issuer: \"{issuer}\", insecure_http: true, client_id: web, \
             credential: {{secret: {{file: {}}}}}}}\n",
            key_file.display(),
            secret_file.display()
        );
        let sidecar = Sidecar::start(&yaml, &Clock::system()).await;
        Self { server, sidecar, _folder: folder }
    }

    /// `POST /client-credentials` as `daemon`.
    async fn app_token(&self, scopes: &str) -> Answer {
        let body = json!({"app": "daemon", "scopes": scopes, "resource": ORDERS, "force_refresh": true});
        self.sidecar.client.post("/client-credentials", &body).await
    }

    /// Signs `ana` in for these scopes; returns what `/auth-code` takes.
    async fn code(&self) -> Value {
        let mut body = json!({"app": "web", "scopes": "api.read", "resource": ORDERS, "redirect_uri": REDIRECT_URI});
        let url = self.sidecar.client.post("/auth-code/url", &body).await;
        assert_eq!(url.status, 200, "{}", url.text);
        let back = self.server.sign_in(url.member("authorization_url")).await;
        assert_eq!(parameter(&back, "state"), url.member("state"), "{back}");
        body["code"] = json!(parameter(&back, "code"));
        body["iss"] = json!(parameter(&back, "iss"));
        for member in ["code_verifier", "nonce"] {
            body[member] = url.json[member].clone();
        }
        body
    }

    /// The claims of an access token for [`ORDERS`], verified by the server's own keys.
    async fn verified(&self, token: &str) -> Value {
        let keys: JwkSet = serde_json::from_value(self.server.client.get("/jwks").await.json).expect("a key set");
        let header = jsonwebtoken::decode_header(token).expect("a JWT");
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        let key = keys.find(header.kid.as_deref().expect("a kid")).expect("the server's key");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[ORDERS]);
        validation.set_issuer(&[&self.server.issuer]);
        let key = DecodingKey::from_jwk(key).expect("a key");
        jsonwebtoken::decode::<Value>(token, &key, &validation).expect("a good token").claims
    }

    async fn log(&self) -> Value {
        self.server.client.get("/person/log").await.json
    }
}

#[tokio::test]
async fn an_app_token_by_private_key_jwt() {
    let stage = Stage::new().await;
    // Twice: a repeated `jti` is refused there.
    for _ in 0..2 {
        let answer = stage.app_token("api.read").await;
        let claims = stage.verified(answer.token()).await;
        assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("daemon"), &json!("api.read")));
        assert_eq!(answer.member("scope"), "api.read");
    }
    let log = stage.log().await;
    let parameters = json!(["grant_type", "scope", "resource", "client_id", "client_assertion_type", "client_assertion"]);
    let entries = log.as_array().expect("a log");
    assert_eq!(entries.len(), 2, "{log:#}");
    for entry in entries {
        assert_eq!((&entry["grant_type"], &entry["parameters"]), (&json!("client_credentials"), &parameters));
    }
}

#[tokio::test]
async fn a_target_that_the_server_does_not_know_is_the_callers_mistake() {
    let stage = Stage::new().await;
    let body = json!({"app": "daemon", "scopes": "api.read", "resource": "not-absolute"});
    stage.sidecar.client.post("/client-credentials", &body).await.refused(400, "invalid_target", "");
}

#[tokio::test]
async fn a_code_with_pkce() {
    let stage = Stage::new().await;
    let code = stage.code().await;
    assert_eq!(code["iss"], stage.server.issuer, "RFC 9207");
    let answer = stage.sidecar.client.post("/auth-code", &code).await;
    let claims = stage.verified(answer.token()).await;
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("ana"), &json!("api.read")));
    assert_eq!(answer.json["account"]["home_account_id"], "ana", "{}", answer.text);
    assert_eq!(answer.member("id_token").split('.').count(), 3);
}

#[tokio::test]
async fn a_sign_out_brings_the_browser_back() {
    let stage = Stage::new().await;
    let signed = stage.sidecar.client.post("/auth-code", &stage.code().await).await;
    for hint in [json!(signed.member("id_token")), Value::Null] {
        let body = json!({
            "app": "web", "account": "ana", "id_token_hint": hint, "state": "a state", "post_logout_redirect_uri": REDIRECT_URI,
        });
        let answer = stage.sidecar.client.post("/sign-out/url", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("url", answer.member("sign_out_url")).finish();
        let back = stage.server.client.get(&format!("/person/logout?{query}")).await;
        assert_eq!(back.member("redirect"), format!("{REDIRECT_URI}?state=a+state"), "{}", back.text);
        assert_eq!(stage.sidecar.client.get("/accounts/ana?app=web").await.status, 404);
    }
}

#[tokio::test]
async fn a_code_is_good_once_and_with_its_verifier_only() {
    let stage = Stage::new().await;
    let mut stolen = stage.code().await;
    stolen["code_verifier"] = json!("x".repeat(43));
    stage.sidecar.client.post("/auth-code", &stolen).await.refused(400, "invalid_grant", "");
    let code = stage.code().await;
    stage.sidecar.client.post("/auth-code", &code).await.token();
    stage.sidecar.client.post("/auth-code", &code).await.refused(400, "invalid_grant", "");
}

#[tokio::test]
async fn a_nonce_of_another_sign_in_is_refused() {
    let stage = Stage::new().await;
    let mut code = stage.code().await;
    code["nonce"] = json!("another");
    stage.sidecar.client.post("/auth-code", &code).await.refused(400, "invalid_id_token", "nonce");
}
