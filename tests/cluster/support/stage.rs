//! A namespace with what most tests need: an authority, its CA, and the secrets and configurations that fit.

use serde_json::{Value, json};

use super::authority::{CLIENT, SCOPE, SECRET};
use super::redis::{PASSWORD, USER};
use super::{Authority, Certificates, Namespace, Redis};

/// The caller that the Deployment knows.
pub(crate) const CALLER: &str = "caller-token-for-tests-only-web";

/// A namespace where something can be asked for.
pub(crate) struct Stage {
    pub(crate) namespace: Namespace,
    pub(crate) certificates: Certificates,
}

impl Stage {
    /// A namespace whose Pods may ask for the sidecar, with the Secrets that every mode mounts: `tokend` (the app's credential and
    /// the CA), `tokend-tls`, `tokend-callers`.
    pub(crate) fn new(test: &str) -> Self {
        Self::annotated(test, &json!({}))
    }

    /// A stage whose namespace has these annotations.
    pub(crate) fn annotated(test: &str, annotations: &Value) -> Self {
        let namespace = Namespace::with(test, &json!({"tokend.dev/injection": "enabled"}), annotations);
        let tokend = format!("tokend.{}.svc", namespace.name);
        let certificates = Certificates::new(&[Authority::host(&namespace), Redis::host(&namespace), tokend]);
        let secret =
            |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        namespace.apply(&[
            secret("tokend", json!({"daemon": SECRET, "ca.crt": certificates.ca, "redis-password": PASSWORD, "key-ring": RING})),
            secret("tokend-tls", json!({"tls.crt": certificates.cert, "tls.key": certificates.key})),
            secret("tokend-callers", json!({"web": CALLER})),
        ]);
        Self { namespace, certificates }
    }

    /// Starts the authority.
    pub(crate) fn authority(&self) -> Authority<'_> {
        Authority::start(&self.namespace, &self.certificates, &[])
    }

    /// Puts the configuration where injected sidecars look for it.
    pub(crate) fn configure(&self, config: &Value) {
        self.configure_as("tokend", config);
    }

    /// Writes tokend's configuration under another name.
    pub(crate) fn configure_as(&self, name: &str, config: &Value) {
        self.namespace.apply(&[json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                                      "data": {"tokend.yaml": config.to_string()}})]);
    }

    /// Where the Deployment is asked.
    pub(crate) fn standalone_url(&self) -> String {
        format!("https://tokend.{}.svc:8650", self.namespace.name)
    }
}

/// A configuration with one app that proves itself by a secret.
pub(crate) fn config(authority: &Authority<'_>) -> Value {
    with_credential(authority, &json!({"secret": {"file": "/run/secrets/tokend/daemon"}}))
}

/// A configuration with one app and this credential.
pub(crate) fn with_credential(authority: &Authority<'_>, credential: &Value) -> Value {
    json!({"apps": {"daemon": {"authority": authority.url, "client_id": CLIENT, "ca_file": "/run/secrets/tokend/ca.crt",
                               "credential": credential}}})
}

/// The member `cache` that shares tokens in this Redis.
pub(crate) fn shared(redis: &Redis) -> Value {
    json!({"redis": {"url": redis.url, "username": USER, "ca_file": "/run/secrets/tokend/ca.crt",
                     "password": {"file": "/run/secrets/tokend/redis-password"},
                     "encryption": {"key_ring": {"file": "/run/secrets/tokend/key-ring"}}}})
}

/// The body of a request for the app's token.
pub(crate) fn body() -> String {
    json!({"scopes": [SCOPE]}).to_string()
}

/// A key ring as `tokend key-ring new` prints it.
const RING: &str = "name:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nk1:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";
