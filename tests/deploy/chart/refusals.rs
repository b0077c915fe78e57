//! Wrong values: each is refused, and the message names the value and what to do.

use super::helm::{NEWEST, RELEASES, chart, mode, template, with};

/// What `helm` says about a mode with more values over it.
fn said(name: &str, more: &str) -> String {
    match with(name, more) {
        Ok(_) => panic!("{name} with {more} renders"),
        Err(said) => said,
    }
}

fn all_are_refused(name: &str, cases: &[(&str, &[&str])]) {
    for (more, words) in cases {
        let said = said(name, more);
        for word in *words {
            assert!(said.contains(word), "{name} with {more}, {word}: {said}");
        }
    }
}

#[test]
fn secrets_in_the_configuration() {
    all_are_refused(
        "standalone",
        &[
            (
                "config: {apps: {orders: {credential: {secret: {inline: hunter2}}}}}",
                &["config.apps.orders.credential.secret.inline: a secret does not belong in a ConfigMap", "{file: /run/secrets/…}"],
            ),
            (
                "config: {apps: {orders: {credential: {secret: hunter2}}}}",
                &["config.apps.orders.credential.secret: a secret", "`secret: {file: /run/secrets/…}`"],
            ),
            (
                "config: {apps: {orders: {credential: {certificate: {inline: x}}}}}",
                &["config.apps.orders.credential.certificate.inline: a secret"],
            ),
            (
                "config: {apps: {orders: {credential: {pfx: {file: /p.pfx, password: hunter2}}}}}",
                &["config.apps.orders.credential.pfx.password: a secret", "`password: {file: /run/secrets/…}`"],
            ),
            (
                "config: {apps: {orders: {credential: {tls_certificate: hunter2}}}}",
                &["config.apps.orders.credential.tls_certificate: a secret"],
            ),
            (
                "config: {cache: {redis: {url: 'rediss://tokend:hunter2@cache:6380', encryption: {plaintext: true}}}}",
                &["config.cache.redis.url: a password stands in the URL", "secrets.redis.existingSecret"],
            ),
            (
                "config: {cache: {redis: {sentinel: {master: m, urls: ['redis://a', 'redis://:hunter2@b']}}}}",
                &["config.cache.redis.sentinel.urls[1]: a password"],
            ),
            (
                "config: {cache: {redis: {url: 'rediss://cache', password: hunter2, encryption: {plaintext: true}}}}",
                &["config.cache.redis.password: a secret"],
            ),
            (
                "config: {cache: {redis: {url: 'rediss://cache', encryption: {key_ring: 'k:AAAA'}}}}",
                &["encryption.key_ring: a secret"],
            ),
            (
                "config: {outbound: {proxy: 'http://me:hunter2@proxy:3128'}}",
                &["config.outbound.proxy: a password", "TOKEND_OUTBOUND__PROXY"],
            ),
            ("config: {otlp: {endpoint: 'http://c:4318', headers: 'api-key=hunter2'}}", &["config.otlp.headers: a secret"]),
            (
                "config: {doors: [msi], msi: {secret: hunter2}}",
                &["config.msi.secret: a secret", "`secret: {file: /run/secrets/…}`"],
            ),
            ("config: {apps: {orders: {note: '-----BEGIN RSA PRIVATE KEY-----'}}}", &["config.apps.orders.note: a private key"]),
            (
                "extraEnv: [{name: TOKEND_APPS__ORDERS__CREDENTIAL__SECRET__INLINE, value: hunter2}]",
                &["extraEnv[0]: TOKEND_APPS__ORDERS__CREDENTIAL__SECRET__INLINE is a secret", "secretKeyRef"],
            ),
            ("extraEnv: [{name: A, value: a}, {name: AZURE_CLIENT_SECRET, value: hunter2}]", &["extraEnv[1]: AZURE_CLIENT_SECRET"]),
            ("extraEnv: [{name: HTTPS_PROXY, value: 'http://me:hunter2@proxy'}]", &["extraEnv[0].value: a password"]),
        ],
    );
    assert!(!said("standalone", "config: {outbound: {proxy: 'http://me:hunter2@proxy:3128'}}").contains("hunter2"));
}

#[test]
fn what_the_chart_decides_itself() {
    for (more, remedy) in [
        ("{listen: 0.0.0.0:1}", "config.listen: it is not read from here"),
        ("{listen_mode: '0660'}", "config.listen_mode"),
        ("{admin_listen: 127.0.0.1:1}", "config.admin_listen"),
        ("{tls: {cert: {file: /a}}}", "standalone.tls.existingSecret"),
        ("{callers: []}", "callers.list"),
    ] {
        let said = said("standalone", &format!("config: {more}"));
        assert!(said.contains(remedy), "{more}: {said}");
    }
    all_are_refused(
        "sidecar",
        &[("extraEnv: [{name: TOKEND_ADMIN_LISTEN, value: 127.0.0.1:1}]", &["extraEnv[0]: the chart decides on"])],
    );
}

#[test]
fn a_listener_beyond_loopback_without_what_it_needs() {
    all_are_refused(
        "standalone",
        &[
            (
                "standalone: {tls: {existingSecret: ''}}",
                &["standalone.tls.existingSecret: tokens would cross the network in the clear"],
            ),
            ("callers: {list: [], existingSecret: ''}", &["callers.list: whoever reaches the Service could take every token"]),
            ("callers: {existingSecret: ''}", &["callers.existingSecret: callers are listed"]),
            ("callers: {list: []}", &["callers.list: a Secret with tokens is named"]),
            ("config: {apps: null}", &["config.apps: no app is configured"]),
        ],
    );
}

#[test]
fn replicas_that_do_not_share() {
    all_are_refused(
        "standalone",
        &[
            (
                "standalone: {replicas: 2}",
                &["standalone.replicas: several replicas", "acknowledgeMemoryOnly: true", "config.cache.redis"],
            ),
            ("standalone: {autoscaling: {enabled: true}}", &["standalone.autoscaling.maxReplicas: several replicas"]),
            (
                "standalone: {acknowledgeMemoryOnly: true, autoscaling: {enabled: true, minReplicas: 9}}",
                &["standalone.autoscaling.maxReplicas: it is less than minReplicas"],
            ),
            (
                "standalone: {podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}}",
                &["minAvailable and maxUnavailable are both set"],
            ),
        ],
    );
}

#[test]
fn redis_without_encryption_and_secrets_without_redis() {
    all_are_refused(
        "standalone",
        &[
            (
                "config: {cache: {redis: {url: 'rediss://cache'}}}",
                &[
                    "config.cache.redis: nothing says how tokens are encrypted",
                    "tokend key-ring new",
                    "secrets.keyRing.existingSecret",
                    "plaintext",
                ],
            ),
            ("secrets: {redis: {existingSecret: a}}", &["secrets.redis.existingSecret: it is for Redis"]),
            ("secrets: {keyRing: {existingSecret: a}}", &["secrets.keyRing.existingSecret: it is for Redis"]),
            ("secrets: {otlp: {existingSecret: a}}", &["secrets.otlp.existingSecret: it holds headers for a collector"]),
            ("secrets: {extra: {tls: a}}", &["secrets.extra.tls: /run/secrets/tls is taken"]),
            ("secrets: {extra: {kubernetes: a}}", &["secrets.extra.kubernetes: /run/secrets/kubernetes is taken"]),
            ("secrets: {extra: {tokens: a}}", &["secrets.extra.tokens: /run/secrets/tokens is taken"]),
        ],
    );
}

#[test]
fn memory_that_cannot_be_enough() {
    all_are_refused(
        "sidecar",
        &[
            (
                "resources: {limits: {memory: 255Mi}}",
                &[
                    "resources.limits.memory: 255Mi is less than 2 × config.cache.memory.max_bytes + config.limits.inflight + config.limits.heads + config.limits.flights + config.limits.queue + 64Mi = 256Mi",
                ],
            ),
            ("config: {cache: {memory: {max_bytes: 128MiB}}}", &["= 384Mi"]),
            ("config: {cache: {memory: {max_bytes: 134217728}}}", &["= 384Mi"]),
            ("config: {limits: {inflight: 1GiB}}", &["= 1248Mi"]),
            ("config: {limits: {heads: 16MiB}}", &["= 264Mi"]),
            ("config: {limits: {flights: 17MiB}}", &["= 257Mi"]),
            ("config: {limits: {queue: 12MiB}}", &["= 260Mi"]),
            ("config: {limits: {flights: 16MB}}", &["config.limits.flights: \"16MB\" is no size"]),
            ("resources: {limits: {memory: 0.2Gi}}", &["0.2Gi is less than"]),
            ("resources: {limits: {memory: 200e6}}", &["is less than"]),
            ("resources: {limits: {memory: 256}}", &["256 is less than"]),
            ("resources: {limits: {memory: null}}", &["resources.limits.memory: it is not set"]),
            ("resources: {limits: {memory: a lot}}", &["resources.limits.memory: \"a lot\" is no size"]),
            ("config: {cache: {memory: {max_bytes: 64MB}}}", &["config.cache.memory.max_bytes: \"64MB\" is no size"]),
        ],
    );
    for enough in ["256Mi", "0.25Gi", "300e6", "300M", "268435456"] {
        with("sidecar", &format!("resources: {{limits: {{memory: {enough}}}}}")).unwrap_or_else(|said| panic!("{enough}: {said}"));
    }
}

#[test]
fn too_little_time_to_end() {
    all_are_refused(
        "standalone",
        &[
            (
                "standalone: {terminationGracePeriodSeconds: 27}",
                &[
                    "standalone.terminationGracePeriodSeconds: 27 is less than config.shutdown.delay + config.shutdown.grace + 3 = 28 s",
                ],
            ),
            (
                "{standalone: {terminationGracePeriodSeconds: 30}, config: {shutdown: {delay: 500ms, grace: 1m}}}",
                &["30 is less than", "= 64 s"],
            ),
            ("config: {shutdown: {grace: 20}}", &["config.shutdown.grace: \"20\" is no duration"]),
        ],
    );
}

#[test]
fn ways_that_do_not_go_together() {
    all_are_refused(
        "standalone",
        &[
            ("sidecar: {enabled: true}", &["standalone.enabled: sidecar.enabled is set as well", "two releases"]),
            ("socket: {enabled: true}", &["socket.enabled: a Deployment behind a Service has no socket"]),
            ("metrics: {podMonitor: {enabled: true}}", &["metrics.podMonitor.enabled: there are no sidecars"]),
        ],
    );
    all_are_refused(
        "sidecar",
        &[
            ("metrics: {serviceMonitor: {enabled: true}}", &["metrics.serviceMonitor.enabled: there is no Service"]),
            ("metrics: {podMonitor: {enabled: true}}", &["metrics.podMonitor.selector: nothing says which Pods"]),
            ("config: {apps: null}", &["config.apps: no app is configured", "sidecar.existingConfigMap"]),
            (
                "socket: {loopback: false}",
                &["socket.loopback: it is false, and there is no socket to ask at in its place", "socket.enabled: true"],
            ),
        ],
    );
}

#[test]
fn what_injection_would_ignore() {
    let map = "the ConfigMap of the Pod's namespace (injection.config: tokend)";
    let secret = "name that in injection.secret or in the annotation tokend.dev/secret";
    all_are_refused(
        "injection",
        &[
            (
                "callers: {existingSecret: a, list: [{name: web}]}",
                &["callers.list: injection does not read it", map, "injection.secret"],
            ),
            (
                "socket: {enabled: true}",
                &["socket.enabled: injection does not read it", "injection.socket", "annotation tokend.dev/socket"],
            ),
            (
                "socket: {enabled: true, loopback: false}",
                &["socket.loopback: injection does not read it", "the named templates (sidecar.enabled)"],
            ),
            (
                "secrets: {credentials: {existingSecret: a}}",
                &["secrets.credentials.existingSecret: injection does not read it", secret, map],
            ),
            ("secrets: {redis: {existingSecret: a}}", &["secrets.redis.existingSecret: injection", secret, map]),
            ("secrets: {keyRing: {existingSecret: a}}", &["secrets.keyRing.existingSecret: injection", secret, map]),
            ("secrets: {otlp: {existingSecret: a}}", &["secrets.otlp.existingSecret: injection", secret, map]),
            ("secrets: {msi: {existingSecret: a}}", &["secrets.msi.existingSecret: injection", secret, map]),
            ("secrets: {extra: {corporate-ca: a}}", &["secrets.extra: injection", secret, map]),
            ("config: {log: {level: debug}}", &["config: injection does not read it", map]),
            ("{injection: {config: identity}, config: {log: {level: debug}}}", &["(injection.config: identity)"]),
        ],
    );
    // Beside another way they are for that one.
    for way in ["sidecar", "sidecar-socket", "standalone"] {
        with(way, "injection: {enabled: true}").unwrap_or_else(|said| panic!("{way}: {said}"));
    }
}

#[test]
fn callers_beside_a_configuration_that_the_chart_does_not_write() {
    all_are_refused(
        "sidecar-existing",
        &[(
            "callers: {existingSecret: a, list: [{name: web}]}",
            &["callers.list: with sidecar.existingConfigMap", "secrets.extra ({callers: NAME-OF-SECRET})"],
        )],
    );
    with("sidecar-existing", "secrets: {extra: {callers: a}}").expect("the remedy renders");
}

#[test]
fn what_is_no_value_at_all() {
    for more in [
        "replicas: 2",
        "standalone: {replica: 2}",
        "standalone: {replicas: two}",
        "standalone: {service: {type: ExternalName}}",
        "standalone: {service: {port: 99999}}",
        "image: {name: tokend}",
        "image: {digest: abc}",
        "image: {pullPolicy: Sometimes}",
        "config: {aps: {}}",
        "config: {cache: {redis: {urls: []}}}",
        "config: {apps: {Orders: {}}}",
        "config: {log: {level: loud}}",
        "callers: {list: [{name: web, token: hunter2}]}",
        "callers: {list: [{apps: [orders]}]}",
        "secrets: {credentials: {existingSecret: Not A Name}}",
        "secrets: {credentials: {value: hunter2}}",
        "federated: {expirationSeconds: 60}",
        "probes: {liveness: {httpGet: {}}}",
        "metrics: {enabled: true}",
        "extraEnv: [{nam: A}]",
        "injection: {socket: 'a b'}",
        "injection: {identity: 'a b'}",
        "config: {doors: [rest, telnet]}",
        "config: {doors: rest}",
        "config: {msi: {header: a}}",
        "config: {refresh_handles: {lifetime: soon}}",
        "callers: {list: [{name: web, serviceAccount: web}]}",
        "callers: {list: [{name: web, serviceAccount: {namespace: shop}}]}",
        "callers: {list: [{name: web, serviceAccount: {name: web, namespace: a.b}}]}",
        "callers: {list: [{name: web, doors: [telnet]}]}",
        "callers: {serviceAccountIssuer: 'http://issuer.example'}",
        "callers: {serviceAccountKeys: 'http://issuer.example/keys'}",
        "networkPolicy: {apiServer: {ports: []}}",
        "standalone: {tls: {clientCertificates: never}}",
        "commonLabels: {a: 1}",
    ] {
        let said = said("standalone", more);
        assert!(said.contains("values don't meet the specifications of the schema"), "{more}: {said}");
        assert!(said.contains("- at '"), "{more}: the message has to name the place: {said}");
    }
}

#[test]
fn what_an_older_kubernetes_does_not_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("more.yaml");
    std::fs::write(&file, "standalone: {service: {trafficDistribution: PreferClose}}").expect("a file");
    let on = |release| template(&chart(), &[&mode("standalone"), &file], release);
    assert!(on(NEWEST).expect("it renders").contains("trafficDistribution: PreferClose"));
    let said = on(&RELEASES[0]).expect_err("it cannot render");
    assert!(said.contains("standalone.service.trafficDistribution: Kubernetes v1.29 does not have it"), "{said}");
}

#[test]
fn kinds_that_the_cluster_does_not_have() {
    let mut command = super::helm::helm();
    command.args(["template", "rel", "--kube-version", "1.37", "--values"]).arg(mode("standalone-monitoring")).arg(chart());
    let output = crate::support::output(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("metrics.") && said.contains("this cluster has no monitoring.coreos.com/v1/"), "{said}");
    assert!(said.contains("Install the Prometheus operator"), "{said}");
    let mut command = super::helm::helm();
    command.args(["template", "rel", "--kube-version", "1.28", "--values"]).arg(mode("standalone")).arg(chart());
    let output = crate::support::output(&mut command);
    assert!(String::from_utf8_lossy(&output.stderr).contains(">=1.29.0-0"), "{output:?}");
}
