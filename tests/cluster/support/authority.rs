//! The emulated authority in the cluster, over TLS and under a Service's name.

use serde_json::{Value, json};

use super::app::restricted;
use super::{Certificates, Namespace, images, kube};

/// An emulator, its directory, and what it was asked.
pub(crate) struct Authority<'a> {
    namespace: &'a Namespace,
    /// `https://…/TENANT`, as `apps.*.authority` wants it.
    pub(crate) url: String,
}

/// The tenant of its directory.
pub(crate) const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
/// The client whom it knows, by a secret or by a token of another issuer.
pub(crate) const CLIENT: &str = "a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350";
/// Its secret.
pub(crate) const SECRET: &str = "cluster-secret-for-tests-only";
/// A client that users have tokens for, and what its name and theirs are. It has the same secret.
pub(crate) const PORTAL: &str = "5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15";
pub(crate) const USER: [&str; 2] = ["ana@contoso.example", "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01"];
/// The API that it may call as itself.
pub(crate) const SCOPE: &str = "api://orders/.default";

impl<'a> Authority<'a> {
    /// The Service's name in a namespace: what its certificate has to say.
    pub(crate) fn host(namespace: &Namespace) -> String {
        format!("emulator.{}.svc", namespace.name)
    }

    /// Starts it with a certificate for [`Self::host`], trusting these federated tokens, and waits until it can be asked.
    pub(crate) fn start(namespace: &'a Namespace, certificates: &Certificates, federated: &[Value]) -> Self {
        let host = Self::host(namespace);
        namespace.apply(&[
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "emulator"}, "stringData": {
                "tls.crt": certificates.cert, "tls.key": certificates.key, "directory.json": directory(federated).to_string()}}),
            deployment(&host),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "emulator"},
                   "spec": {"selector": {"app": "emulator"}, "ports": [{"port": 8652}]}}),
        ]);
        namespace.rolled_out("emulator");
        Self { namespace, url: format!("https://{host}:8652/{TENANT}") }
    }

    /// The calls for tokens that it got, oldest first.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let all = kube::json(self.namespace.fetch("services/https:emulator:8652", "/_emulator/requests"));
        let all = all.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|entry| entry["grant_type"].is_string()).collect()
    }
}

fn deployment(host: &str) -> Value {
    let arguments = [
        "emulator",
        "--listen",
        "0.0.0.0:8652",
        "--host",
        host,
        "--tls-cert",
        "/emulator/tls.crt",
        "--tls-key",
        "/emulator/tls.key",
        "--directory",
        "/emulator/directory.json",
    ];
    let container = json!({
        "name": "emulator", "image": images::emulator(), "imagePullPolicy": "IfNotPresent", "args": arguments,
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": restricted(),
        "ports": [{"containerPort": 8652}], "readinessProbe": {"tcpSocket": {"port": 8652}, "periodSeconds": 1},
        "volumeMounts": [{"name": "files", "mountPath": "/emulator", "readOnly": true}],
    });
    let pod = json!({
        "metadata": {"labels": {"app": "emulator"}},
        "spec": {"containers": [container], "automountServiceAccountToken": false, "enableServiceLinks": false,
                 "terminationGracePeriodSeconds": 1, "volumes": [{"name": "files", "secret": {"secretName": "emulator"}}]},
    });
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "emulator"},
           "spec": {"selector": {"matchLabels": {"app": "emulator"}}, "template": pod}})
}

/// One tenant with an API, a client that calls it as itself, and one that calls it for its user; nothing else is asked for here.
fn directory(federated: &[Value]) -> Value {
    json!({
        "tenants": [{"id": TENANT, "name": "contoso", "domains": ["contoso.example"]}],
        "users": [{"username": USER[0], "object_id": USER[1], "password": "ana-password", "tenant": "contoso", "name": "Ana Moreira"}],
        "apps": [
            {"name": "daemon", "client_id": CLIENT, "tenant": "contoso", "secrets": [SECRET], "federated": federated,
             "roles": {"orders": ["Orders.Process"]}},
            {"name": "orders", "client_id": "2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11", "tenant": "contoso",
             "identifier_uris": ["api://orders"], "app_roles": ["Orders.Process"], "scopes": ["orders.read"]},
            {"name": "portal", "client_id": PORTAL, "tenant": "contoso", "secrets": [SECRET], "identifier_uris": ["api://portal"],
             "access_token_version": 2, "scopes": ["access_as_user"], "consent": {"orders": ["orders.read"]}},
        ],
    })
}
