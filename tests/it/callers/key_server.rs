//! An issuer's documents over HTTPS, as the API server of a cluster has them: a metadata document and a key set, for everybody or
//! for whoever shows a bearer token. It counts who asks, and may be away.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct KeyServer {
    /// Its issuer: where it is.
    pub(crate) issuer: String,
    /// Who issued its certificate.
    pub(crate) ca_pem: String,
    published: Arc<Mutex<Published>>,
    _stop: DropGuard,
}

/// A key that signs JWTs, and its id.
#[derive(Debug)]
pub(crate) struct JwtKey {
    kid: &'static str,
    pair: KeyPair,
}

#[derive(Debug, Default)]
struct Published {
    issuer: String,
    keys: Vec<Value>,
    /// What whoever asks has to show.
    bearer: Option<String>,
    away: bool,
    asked: Vec<String>,
}

struct Listener(TcpListener, TlsAcceptor);

// === impl JwtKey ===

impl JwtKey {
    /// A new one.
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { kid, pair: KeyPair::generate(KeySize::Rsa2048).expect("a key") }
    }

    /// As it is published.
    pub(crate) fn published(&self) -> Value {
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e})
    }

    /// A JWT with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "RS256", "kid": self.kid}), claims)
    }

    /// A JWT with this header.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

// === impl KeyServer ===

impl KeyServer {
    /// Starts one that publishes this key.
    #[expect(clippy::disallowed_methods, reason = "the issuer is no part of the sidecar")]
    pub(crate) async fn start(key: &JwtKey) -> Self {
        let authority = crate::tls::authority::Authority::new();
        let pair = authority.listener(&[], crate::tls::authority::LATER);
        let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate")];
        let own = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = builder.with_no_client_auth().with_single_cert(chain, own).expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("https://{}/cluster", listener.local_addr().expect("an address"));
        let published = Published { issuer: issuer.clone(), keys: vec![key.published()], ..Published::default() };
        let published = Arc::new(Mutex::new(published));
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&published));
        let (stop, listener) = (CancellationToken::new(), Listener(listener, TlsAcceptor::from(Arc::new(config))));
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(async { axum::serve(listener, routes).await }).await });
        Self { issuer, ca_pem: authority.pem, published, _stop: stop.drop_guard() }
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: &[&JwtKey]) {
        self.published.lock().expect("no panic").keys = keys.iter().map(|key| key.published()).collect();
    }

    /// Asks for this bearer token from now on.
    pub(crate) fn want(&self, bearer: &str) {
        self.published.lock().expect("no panic").bearer = Some(bearer.to_owned());
    }

    /// Is away from now on, or back.
    pub(crate) fn be_away(&self, away: bool) {
        self.published.lock().expect("no panic").away = away;
    }

    /// The paths that were asked for since this was asked last, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.published.lock().expect("no panic").asked)
    }
}

async fn answer(State(published): State<Arc<Mutex<Published>>>, request: Request) -> Response {
    let mut published = published.lock().expect("no panic");
    let path = request.uri().path().to_owned();
    published.asked.push(path.clone());
    if published.away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let wanted = published.bearer.as_ref().map(|bearer| format!("Bearer {bearer}"));
    if wanted.is_some() && wanted.as_deref() != shown {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let origin = published.issuer.trim_end_matches("/cluster");
    match path.as_str() {
        "/cluster/.well-known/openid-configuration" => {
            axum::Json(json!({"issuer": published.issuer, "jwks_uri": format!("{origin}/keys")})).into_response()
        }
        // As the API server of a Kubernetes does.
        "/keys" if !accepts(&request, "application/jwk-set+json") => StatusCode::NOT_ACCEPTABLE.into_response(),
        "/keys" => axum::Json(json!({"keys": published.keys})).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn accepts(request: &Request, kind: &str) -> bool {
    let accepted = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|accepted| accepted.trim() == kind)
}

// === impl Listener ===

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.0.accept().await else { continue };
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
