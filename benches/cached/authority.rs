//! An OIDC issuer that costs next to nothing: fixed answers, users' tokens signed with ES256, and a sink for spans.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The tenant as which it is an Entra-style authority too.
pub(crate) const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";

/// A running issuer.
pub(crate) struct Issuer {
    pub(crate) url: String,
    key: EncodingKey,
    calls: Arc<AtomicU64>,
    now: i64,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let pkcs8 = pair.to_pkcs8v1().expect("PKCS#8");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(AtomicU64::new(0));
        let app = routes(address, pair.public_key().as_ref(), &calls);
        super::server::on_own_thread("issuer", move || async move { super::server::serve_plainly(listener, app).await });
        let now = tokend::clock::Clock::system().unix();
        Self { url: format!("http://{address}"), key: EncodingKey::from_ec_der(pkcs8.as_ref()), calls, now }
    }

    /// How many tokens were asked for.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// An access token of a user, 1.6 kB long.
    pub(crate) fn user_token(&self, user: usize) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".to_owned());
        let claims = json!({"iss": self.url, "aud": "orders", "sub": format!("user-{user:06}"), "exp": self.now + 7200, "iat": self.now,
            "scope": "orders.read", "azp": "web", "preferred_username": format!("user-{user:06}@shop.example"), "pad": "x".repeat(870)});
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }
}

fn routes(address: SocketAddr, public: &[u8], calls: &Arc<AtomicU64>) -> Router {
    let origin = format!("http://{address}");
    let (x, y) = (URL_SAFE_NO_PAD.encode(&public[1..33]), URL_SAFE_NO_PAD.encode(&public[33..65]));
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "alg": "ES256", "x": x, "y": y}]});
    let metadata = json!({"issuer": origin, "token_endpoint": format!("{origin}/token"), "jwks_uri": format!("{origin}/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"]});
    let token = json!({"access_token": super::bare::token(), "token_type": "Bearer", "expires_in": 3600, "scope": "stock.read",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
    // It answers as an Entra-style tenant too.
    let tenant = format!("{origin}/{TENANT}");
    let entra = json!({"issuer": format!("{tenant}/v2.0"), "token_endpoint": format!("{tenant}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{tenant}/oauth2/v2.0/authorize"), "jwks_uri": format!("{origin}/keys")});
    let fixed = |value: Value| move || std::future::ready(Json(value.clone()));
    let counted = Arc::clone(calls);
    let issued = {
        let (counted, token) = (Arc::clone(calls), token.clone());
        move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Json(token.clone()))
        }
    };
    Router::new()
        .route("/.well-known/openid-configuration", get(fixed(metadata)))
        .route("/keys", get(fixed(keys)))
        .route(&format!("/{TENANT}/v2.0/.well-known/openid-configuration"), get(fixed(entra)))
        .route(&format!("/{TENANT}/oauth2/v2.0/token"), post(issued))
        .route(
            "/token",
            post(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Json(token.clone()))
            }),
        )
        .route("/v1/traces", post(|| std::future::ready("")))
}
