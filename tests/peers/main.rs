//! tokend at a real Keycloak, which knows nothing of tokend: what the emulator and the smaller servers let pass is refused here.
//! One Keycloak serves all its tests: its start takes longer than they do.
//!
//! And client libraries that know nothing of tokend either: at the emulator (`libraries`), and at tokend's own doors (`doors`). And
//! a Chromium, in which users sign in through `tokend login` (`terminal`). And proxies of others before it (`proxies`).

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "the libraries for Java have a test program of their own")]
mod clients;
mod doors;
mod flows;
mod group;
mod keycloak;
mod libraries;
mod page;
mod proofs;
mod proxies;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests against the emulator use the rest of it")]
mod support;
mod terminal;
mod tree;

use std::sync::LazyLock;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokend::clock::Clock;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use keycloak::{CERTIFIED, DAEMON, Keycloak, ORDERS, REDIRECT_URI, STOCK, STRANGER, USER, WEB};
use proofs::ProofKeys;
use support::{Answer, Client, Emulator, Sidecar};

/// Outlives every test: connections and processes belong to it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static STAGE: OnceCell<Stage> = OnceCell::const_new();

/// Keycloak, and a sidecar with an app for each of its clients, by its client id.
struct Stage {
    keycloak: Keycloak,
    sidecar: Sidecar,
    _folder: tempfile::TempDir,
    _keys: ProofKeys,
}

/// Runs a test on the stage that all share.
fn on_stage(test: impl AsyncFnOnce(&Stage)) {
    RUNTIME.block_on(async { test(STAGE.get_or_init(Stage::new).await).await });
}

impl Stage {
    async fn new() -> Self {
        // Its directory has a key with a certificate to lend.
        let lender = Emulator::start(&Clock::system()).await;
        let pem = Emulator::pem(lender.shop("shop-jwt"));
        let keys = ProofKeys::new();
        let keycloak = Keycloak::start(&keys.files(&pem)).await;
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let app = |client: &str, credential: &str, audience: &str| {
            format!(
                "  {client}: {{issuer: \"{}\", insecure_http: true, client_id: {client}, credential: {credential}, \
                 inbound: {{audiences: [{audience}]}}}}\n",
                keycloak.issuer
            )
        };
        let secret = |(client, secret): keycloak::Login| format!("{{secret: {{file: {}}}}}", write(client, secret));
        let mut yaml = "apps:\n".to_owned();
        for login in [DAEMON, WEB, ORDERS] {
            yaml += &app(login.0, &secret(login), login.0);
        }
        // It would take the token; Keycloak does not let it.
        yaml += &app(STRANGER.0, &secret(STRANGER), ORDERS.0);
        yaml += &app(CERTIFIED, &format!("{{certificate: {{file: {}}}}}", write("key.pem", &pem)), CERTIFIED);
        yaml += &keys.apps(&keycloak.issuer, &keycloak.tls_issuer);
        // Its first handshakes take their time.
        yaml += "authority: {connect_timeout: 8s, timeout: 16s}\n";
        let sidecar = Sidecar::start(&yaml, &Clock::system()).await;
        Self { keycloak, sidecar, _folder: folder, _keys: keys }
    }

    /// `POST /client-credentials`, past the cache.
    async fn app_token(&self, app: &str) -> Answer {
        let body = json!({"app": app, "scopes": "profile", "force_refresh": true});
        self.sidecar.client.post("/client-credentials", &body).await
    }

    /// Signs the user in to the web app; returns what `/auth-code` takes.
    async fn code(&self) -> Value {
        let mut body = json!({"app": WEB.0, "scopes": "profile", "redirect_uri": REDIRECT_URI});
        let url = self.sidecar.client.post("/auth-code/url", &body).await;
        assert_eq!(url.status, 200, "{}", url.text);
        let back = self.keycloak.sign_in(url.member("authorization_url"), USER.0, USER.1).await;
        let back = url::Url::parse(&back).expect("an address");
        assert_eq!(support::parameter(&back, "state"), url.member("state"), "{back}");
        for member in ["code", "iss"] {
            body[member] = json!(support::parameter(&back, member));
        }
        for member in ["code_verifier", "nonce"] {
            body[member] = url.json[member].clone();
        }
        body
    }

    /// `POST /auth-code`.
    async fn redeem(&self, code: &Value) -> Answer {
        self.sidecar.client.post("/auth-code", code).await
    }

    /// `POST /obo` for the API behind.
    async fn obo(&self, app: &str, bearer: &str) -> Answer {
        self.sidecar.client.post_as("/obo", bearer, &json!({"app": app, "scopes": "profile", "audience": STOCK.0})).await
    }

    /// The claims of a token, verified by Keycloak's own keys; `audience` is not looked at if there is none.
    async fn verified(&self, token: &str, audience: Option<&str>) -> Value {
        let answer = Client::new(&self.keycloak.issuer, None).get("/protocol/openid-connect/certs").await;
        let keys: JwkSet = serde_json::from_value(answer.json).expect("a key set");
        let kid = jsonwebtoken::decode_header(token).expect("a JWT").kid.expect("a kid");
        let key = DecodingKey::from_jwk(keys.find(&kid).expect("Keycloak's key")).expect("a key");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.keycloak.issuer]);
        match audience {
            Some(audience) => validation.set_audience(&[audience]),
            None => validation.validate_aud = false,
        }
        jsonwebtoken::decode::<Value>(token, &key, &validation).expect("a good token").claims
    }
}

#[test]
fn client_credentials_by_secret() {
    on_stage(async |stage| {
        let answer = stage.app_token(DAEMON.0).await;
        assert_eq!(stage.verified(answer.token(), None).await["azp"], DAEMON.0);
        let again = stage.sidecar.client.post("/client-credentials", &json!({"app": DAEMON.0, "scopes": "profile"})).await;
        assert_eq!((again.token(), again.member("token_source")), (answer.token(), "cache"));
    });
}

#[test]
fn client_credentials_by_private_key_jwt() {
    on_stage(async |stage| {
        // Twice: a repeated `jti` is refused there.
        for _ in 0..2 {
            let answer = stage.app_token(CERTIFIED).await;
            assert_eq!(stage.verified(answer.token(), None).await["azp"], CERTIFIED);
        }
    });
}

#[test]
fn an_authorization_code() {
    on_stage(async |stage| {
        let code = stage.code().await;
        assert_eq!(code["iss"], stage.keycloak.issuer, "RFC 9207");
        let answer = stage.redeem(&code).await;
        let claims = stage.verified(answer.token(), Some(ORDERS.0)).await;
        let account = &answer.json["account"];
        assert_eq!((&account["home_account_id"], &account["username"]), (&claims["sub"], &json!(USER.0)), "{}", answer.text);
        let id = stage.verified(answer.member("id_token"), Some(WEB.0)).await;
        assert_eq!((&id["sub"], &id["nonce"]), (&claims["sub"], &code["nonce"]));
        stage.redeem(&code).await.refused(400, "invalid_grant", "");
    });
}

#[test]
fn a_sign_out_brings_the_browser_back() {
    on_stage(async |stage| {
        let user = stage.redeem(&stage.code().await).await;
        let id = user.json["account"]["home_account_id"].as_str().expect("an account");
        let body = json!({
            "app": WEB.0, "account": id, "id_token_hint": user.member("id_token"), "state": "a state",
            "post_logout_redirect_uri": REDIRECT_URI,
        });
        let answer = stage.sidecar.client.post("/sign-out/url", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let back = url::Url::parse(&stage.keycloak.sent(answer.member("sign_out_url")).await).expect("an address");
        assert_eq!(support::parameter(&back, "state"), "a state", "{back}");
        assert!(back.as_str().starts_with(REDIRECT_URI), "{back}");
        let gone = stage.sidecar.client.get(&format!("/accounts/{id}?app={}", WEB.0)).await;
        assert_eq!(gone.status, 404, "{}", gone.text);
    });
}

#[test]
fn a_code_with_a_wrong_verifier() {
    on_stage(async |stage| {
        let mut code = stage.code().await;
        code["code_verifier"] = json!("x".repeat(43));
        stage.redeem(&code).await.refused(400, "invalid_grant", "");
    });
}

#[test]
fn on_behalf_of_as_token_exchange() {
    on_stage(async |stage| {
        let user = stage.redeem(&stage.code().await).await;
        let subject = stage.verified(user.token(), None).await["sub"].clone();
        for (app, proof) in [(ORDERS.0, "secret"), (CERTIFIED, "private_key_jwt")] {
            let answer = stage.obo(app, user.token()).await;
            let claims = stage.verified(answer.token(), Some(STOCK.0)).await;
            assert_eq!((&claims["sub"], claims["azp"].as_str()), (&subject, Some(app)), "{proof}");
            assert_eq!(answer.json["account"]["home_account_id"], subject);
            assert_eq!(answer.member("issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
            assert_eq!(stage.obo(app, user.token()).await.member("token_source"), "cache");
        }
    });
}

#[test]
fn on_behalf_of_with_an_id_token_is_refused() {
    on_stage(async |stage| {
        let user = stage.redeem(&stage.code().await).await;
        // For the web app itself, which is the id token's audience: it is the kind that is wrong.
        stage.obo(WEB.0, user.member("id_token")).await.refused(401, "invalid_token", "access token");
    });
}

#[test]
fn on_behalf_of_by_a_client_that_the_token_is_not_for() {
    on_stage(async |stage| {
        let user = stage.redeem(&stage.code().await).await;
        stage.obo(STRANGER.0, user.token()).await.refused(502, "access_denied", "");
    });
}
