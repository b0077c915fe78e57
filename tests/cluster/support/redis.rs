//! A Redis in the cluster: TLS, and an ACL user that may do what docs/cache.md says.

use serde_json::json;

use super::app::{container, job, restricted};
use super::{Certificates, Namespace, images};

/// A Redis under a Service's name.
pub(crate) struct Redis {
    /// What `cache.redis.url` is.
    pub(crate) url: String,
}

/// The ACL user.
pub(crate) const USER: &str = "tokend";
/// Its password.
pub(crate) const PASSWORD: &str = "redis-password-for-tests-only";
/// Its rights, as docs/cache.md has them.
const RIGHTS: &str = "resetkeys resetchannels -@all ~tokend:* &tokend:events +get +mget +set +del +pttl +pexpire +zadd +zrem +zrevrange \
    +zrangebyscore +zremrangebyscore +zremrangebyrank +eval +evalsha +publish +subscribe +ping";

impl Redis {
    /// The Service's name in a namespace: what its certificate has to say.
    pub(crate) fn host(namespace: &Namespace) -> String {
        format!("redis.{}.svc", namespace.name)
    }

    /// Starts it with a certificate for [`Self::host`].
    pub(crate) fn start(namespace: &Namespace, certificates: &Certificates) -> Self {
        let config = format!(
            "port 0\ntls-port 6380\ntls-cert-file /redis/tls.crt\ntls-key-file /redis/tls.key\ntls-ca-cert-file /redis/ca.crt\n\
             tls-auth-clients no\nsave \"\"\ndir /tmp\nuser default off\nuser {USER} on >{PASSWORD} {RIGHTS}\n"
        );
        let server = json!({
            "name": "redis", "image": images::redis(), "imagePullPolicy": "IfNotPresent", "args": ["/redis/redis.conf"],
            "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": restricted(),
            "ports": [{"containerPort": 6380}], "readinessProbe": {"tcpSocket": {"port": 6380}, "periodSeconds": 1},
            "volumeMounts": [{"name": "files", "mountPath": "/redis", "readOnly": true}, {"name": "tmp", "mountPath": "/tmp"}],
        });
        let pod = json!({
            "metadata": {"labels": {"app": "redis"}},
            "spec": {"containers": [server], "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                     "volumes": [{"name": "files", "secret": {"secretName": "redis"}}, {"name": "tmp", "emptyDir": {}}]},
        });
        namespace.apply(&[
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "redis"}, "stringData": {
                "tls.crt": certificates.cert, "tls.key": certificates.key, "ca.crt": certificates.ca, "redis.conf": config}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "redis"},
                   "spec": {"selector": {"matchLabels": {"app": "redis"}}, "template": pod}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis"},
                   "spec": {"selector": {"app": "redis"}, "ports": [{"port": 6380}]}}),
        ]);
        namespace.rolled_out("redis");
        // tokend does without a Redis that it cannot reach, and that is not what is to be seen here.
        let mut reach = container("reach", &[]);
        reach["args"] = json!(["reach", format!("{}:6380", Self::host(namespace))]);
        namespace.apply(&[job("reach", &json!({}), &reach)]);
        namespace.wait("job/reach", "condition=Complete");
        Self { url: format!("rediss://{}:6380", Self::host(namespace)) }
    }
}
