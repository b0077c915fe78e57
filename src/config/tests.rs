//! Whole configurations, good and bad, from `tests/fixtures/config`.

mod callers;
mod doors;
mod redis;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Format, Input, Settings, load, parse};
use crate::authority::RegionWish;
use crate::caller::AccountRights;
use crate::finding::{Findings, Severity};
use crate::listen;
use crate::reload::Place;
use crate::token::PolicyName;
use crate::{credential, flow, inbound};

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn fixture(name: &str, variables: &[(&str, &str)]) -> (Option<Settings>, Findings) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(name);
    load(&Input { file: Some(file), environment: environment(variables) })
}

fn yaml(text: &str, variables: &[(&str, &str)]) -> (Option<Settings>, Findings) {
    parse(text, Format::Yaml, "t.yaml", &environment(variables))
}

fn keys(findings: &Findings) -> Vec<&str> {
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

/// What is said of the audiences of apps at one issuer and at an Entra-style authority: each is its client id and its audience.
fn about_audiences(apps: &[(&str, &str)]) -> Vec<(String, String)> {
    let app = |(index, (client, audience)): (usize, &(&str, &str))| {
        let at = if client.starts_with("entra") {
            "authority: https://login.example/contoso.example"
        } else {
            "issuer: https://id.example"
        };
        format!(
            "  a{index}: {{{at}, client_id: {client}, credential: {{secret: {{file: /s}}}}, inbound: {{audiences: [{audience}]}}}}\n"
        )
    };
    let (settings, findings) = yaml(&format!("apps:\n{}", apps.iter().enumerate().map(app).collect::<String>()), &[]);
    assert!(settings.is_some() && findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:?}");
    findings.iter().map(|finding| (finding.key.clone(), finding.reason.clone())).collect()
}

#[test]
fn an_audience_that_is_a_client_id_at_an_issuer_is_a_warning() {
    let own = about_audiences(&[("shop", "\"https://orders.example\", shop")]);
    assert!(own.len() == 1 && own[0].0 == "apps.a0.inbound.audiences" && own[0].1.contains("the app's own client id"), "{own:?}");
    let others = about_audiences(&[("shop", "orders"), ("orders", "api")]);
    assert!(
        others.len() == 1 && others[0].0 == "apps.a0.inbound.audiences" && others[0].1.contains("of the app `a1`"),
        "{others:?}"
    );
    assert_eq!(about_audiences(&[("shop", "shop, orders"), ("orders", "api")]).len(), 2);
    assert_eq!(about_audiences(&[("shop", "shop"), ("shop", "api")]).len(), 1, "one client id, said once");
    // At an Entra-style authority the client id is an audience of its own, and a token shows by `scp` what it is.
    assert_eq!(about_audiences(&[("entra-shop", "entra-shop"), ("shop", "entra-shop")]), []);
    let (settings, _) = yaml(
        "apps:\n  a: {issuer: https://id.example, client_id: c, credential: {secret: {file: /s}}, inbound: {audiences: [c, x]}}\n",
        &[],
    );
    let inbound = settings.and_then(|mut settings| settings.apps.pop()).and_then(|app| app.inbound);
    assert_eq!(inbound.map(|inbound| inbound.clients), Some(vec!["c".to_owned()]));
}

const TLS: &str = "tls: {cert: {file: /c}, key: {file: /k}}\n";
const APP: &str = "apps: {a: {issuer: https://id.example, client_id: c, credential: {secret: {file: /s}}}}\n";

#[test]
fn the_three_formats_say_the_same() {
    let read = |name: &str| {
        let (settings, findings) = fixture(name, &[("EVERYONE_SECRET", "canary-secret"), ("SUPPORT_TOKEN", "canary-token")]);
        assert!(findings.is_empty(), "{name}: {findings:?}");
        format!("{:#?}", settings.unwrap()).replace(name, "FILE")
    };
    let yaml = read("good.yaml");
    assert_eq!(yaml, read("good.toml"));
    assert_eq!(yaml, read("good.json"));
    assert!(!yaml.contains("canary"));
}

#[test]
fn every_value_of_the_good_file_arrives() {
    let (settings, _) = fixture("good.yaml", &[("EVERYONE_SECRET", "s"), ("SUPPORT_TOKEN", "t")]);
    let settings = settings.unwrap();
    assert_eq!((settings.listen.addresses.len(), settings.listen.mode, settings.listen.header), (2, 0o600, 32 * 1024));
    assert_eq!(settings.admin.addresses, [listen::Address::Any(9651)]);
    assert_eq!(settings.http.hosts, ["tokend.internal"]);
    let tls = settings.listen.tls.unwrap();
    assert!(tls.cert.key == "tls.cert.file" && tls.client_ca.is_some());
    assert_eq!(tls.client_certificates, listen::ClientCertificates::Optional);
    assert!(settings.admin.tls.is_none());
    assert_eq!((settings.http.body, settings.http.concurrency, settings.listen.connections), (512 * 1024, 4096, 8192));
    assert_eq!((settings.listen.heads + settings.admin.heads, settings.admin.heads), (4 << 20, 512 << 10));
    assert_eq!((settings.listen.keep_alive, settings.admin.keep_alive), (Some(Duration::from_secs(60)), None));
    assert_eq!((settings.cache.max_bytes, settings.cache.recheck), (128 << 20, Duration::from_secs(30)));
    assert_eq!(settings.handles.lifetime, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(settings.calls.connect_timeout, Duration::from_millis(500));
    assert_eq!(settings.shutdown.grace, Duration::from_secs(60));
    assert!(settings.telemetry.otlp.is_some_and(|otlp| (otlp.sample_ratio - 0.25).abs() < f64::EPSILON && otlp.headers.is_some()));
    let [customers, desktop, everyone, orders, regional, shop, vault] = settings.apps.as_slice() else { panic!("seven apps") };
    assert_eq!(customers.policies.first().map(PolicyName::as_str), Some("edit"));
    assert_eq!(customers.authority.address.policy().map(PolicyName::as_str), Some("signin"));
    assert!(matches!(&regional.authority.region, Some(RegionWish::Named(name)) if name.as_str() == "westeurope"));
    let given = vault.authority.metadata.as_ref().unwrap();
    assert!(vault.pushes_requests && given.require_pushed_authorization_requests && given.jwks_uri.is_some());
    assert!(matches!(desktop.credential, credential::Settings::Public));
    assert!(orders.refresh_token && orders.username_password && !shop.refresh_token && !shop.username_password);
    let devices = [desktop, everyone, orders, shop].map(|app| app.device_client == flow::DeviceClient::Public);
    assert_eq!((devices, shop.session_ask, orders.session_ask), ([true; 4], Some(flow::SessionAsk::RefreshTokenType), None));
    assert_eq!(
        (everyone.client_id.as_str(), everyone.inbound.as_ref().map(|inbound| &inbound.tenants)),
        ("0012", Some(&inbound::Tenants::Every))
    );
    assert_eq!(everyone.credential.sources()[0].key, "apps.everyone.credential.secret.env");
    let basic = Some(credential::SecretMethod::Basic);
    assert!(matches!(&shop.credential, credential::Settings::Secret { method, .. } if *method == basic));
    let credential::Settings::Certificate { files, header } = &orders.credential else { panic!("{:?}", orders.credential) };
    let header_of = |sha1, kid: &str| credential::AssertionHeader { sha1, x5c: true, kid: Some(kid.to_owned()) };
    assert_eq!(*header, header_of(true, "key-1"));
    let further = [files.key.as_ref(), files.password.as_ref()].map(|source| source.map(|source| source.key.as_str()));
    let further_keys = ["key_file", "password.file"].map(|member| format!("apps.orders.credential.certificate.{member}"));
    assert_eq!(further, [Some(further_keys[0].as_str()), Some(further_keys[1].as_str())]);
    assert_eq!((orders.authority.key.as_str(), orders.tenants.len()), ("apps.orders", 1));
    assert!(shop.offline_access && shop.authority.address.issuer().is_some());
    assert_eq!((orders.refresh_tokens, shop.refresh_tokens), (flow::RefreshTokens::SingleUse, flow::RefreshTokens::Reusable));
    assert_eq!(everyone.refresh_tokens, flow::RefreshTokens::Reusable);
    let [checkout, support, workload, ..] = settings.callers.as_slice() else { panic!("three callers") };
    assert_eq!(
        (checkout.name.as_str(), checkout.token().map(|token| token.key.as_str())),
        ("checkout", Some("callers[0].token.file"))
    );
    assert_eq!(
        (&checkout.rights.apps, &checkout.rights.apis),
        (&Some(vec!["orders".to_owned(), "shop".to_owned()]), &Some(vec!["graph".to_owned()]))
    );
    assert_eq!(checkout.rights.flows, Some(vec!["on_behalf_of", "silent"]));
    assert_eq!((&support.rights.apps, &support.rights.apis, &support.rights.flows), (&None, &None, &None));
    assert_eq!((checkout.rights.accounts, support.rights.accounts), (AccountRights::Own, AccountRights::All));
    assert_eq!(
        (&*workload.former_names, &*workload.rights.doors),
        (&["batch", "0-batch"].map(str::to_owned)[..], &["rest", "msi", "auth_request", "ms_sidecar"][..])
    );
}

#[test]
fn an_app_alone_has_the_defaults_of_the_contract() {
    let (settings, findings) = yaml(APP, &[]);
    assert!(findings.is_empty(), "{findings:?}");
    let settings = settings.unwrap();
    let address = |settings: &listen::Settings| format!("{:?}", settings.addresses);
    assert_eq!(
        (address(&settings.listen), address(&settings.admin)),
        ("[Tcp(127.0.0.1:8650)]".to_owned(), "[Tcp(127.0.0.1:8651)]".to_owned())
    );
    assert_eq!((settings.listen.mode, settings.listen.connections), (0o660, 4096));
    assert_eq!((settings.admin.connections, settings.admin.reserve, settings.admin.per_address), (256, 16, Some(32)));
    assert_eq!((settings.listen.heads + settings.admin.heads, settings.admin.heads), (8 << 20, 1 << 20));
    assert_eq!(settings.listen.keep_alive, Some(Duration::from_secs(75)));
    assert_eq!((settings.listen.header_timeout, settings.admin.header_timeout), (Duration::from_secs(10), Duration::from_secs(1)));
    assert_eq!((settings.http.body, settings.http.header, settings.http.inflight), (256 << 10, 64 << 10, 32 << 20));
    assert_eq!((settings.http.concurrency, settings.http.request_timeout), (2048, Duration::from_secs(15)));
    assert_eq!((settings.calls.timeout, settings.calls.concurrency), (Duration::from_secs(8), 64));
    assert_eq!((settings.shutdown.delay, settings.shutdown.grace), (Duration::ZERO, Duration::from_secs(20)));
    assert_eq!((settings.cache.max_bytes, settings.cache.recheck), (64 << 20, Duration::from_secs(60)));
    assert_eq!((settings.cache.flights, settings.cache.queue), (16 << 20, 8 << 20));
    assert_eq!(settings.handles.lifetime, Duration::from_secs(90 * 24 * 3600));
    assert!(settings.telemetry.otlp.is_none() && settings.outbound.proxy.is_none() && settings.cache.redis.is_none());
    assert_eq!(settings.apps.first().map(|app| app.refresh_tokens), Some(flow::RefreshTokens::SingleUse));
}

#[test]
fn a_refresh_handle_lasts_from_an_hour_to_ninety_days() {
    for (lifetime, good) in [("1h", true), ("59m", false), ("0s", false), ("2160h", true), ("2161h", false)] {
        let (settings, findings) = yaml(&format!("{APP}\nrefresh_handles: {{lifetime: {lifetime}}}\n"), &[]);
        assert_eq!((settings.is_some(), keys(&findings).is_empty()), (good, good), "{lifetime}: {findings:?}");
        assert!(good || keys(&findings) == ["refresh_handles.lifetime"], "{findings:?}");
    }
    let (settings, findings) = yaml(&format!("{APP}\nrefresh_handles: {{lifetmie: 1h}}\n"), &[]);
    assert!(settings.is_none() && keys(&findings) == ["refresh_handles.lifetmie"], "{findings:?}");
}

/// What `bad.yaml` is told, in alphabetical order.
const BAD: [&str; 75] = [
    "admin_listen[0]",
    "apis.empty.scopes",
    "apis.graph.app",
    "apis.graph.base_url",
    "apis.graph.scopes",
    "apps.(name not shown)",
    "apps.both.client_id",
    "apps.both.credential.secret",
    "apps.both.issuer",
    "apps.multi.client_id",
    "apps.multi.credential.certificate.env",
    "apps.multi.credential.certificate.sha1",
    "apps.multi.inbound.tenants",
    "apps.multi.tenants[0]",
    "apps.multi.tenants[1]",
    "apps.none.authority",
    "apps.none.client_id",
    "apps.none.credential",
    "apps.orders.authority",
    "apps.orders.clientid",
    "apps.orders.client_id",
    "apps.orders.credential.managed_identity",
    "apps.orders.credential.secret.inline",
    "apps.shop.(name not shown)",
    "apps.shop.assertion_audience",
    "apps.shop.credential",
    "apps.shop.inbound.audiences",
    "apps.shop.inbound.tenants",
    "apps.shop.tenants",
    "authority.concurrency",
    "authority.timeout",
    "cache.memory.max_bytes",
    "cache.redis",
    "cache.redis.client_key",
    "cache.redis.encryption",
    "cache.redis.key_prefix",
    "cache.redis.password",
    "cache.redis.timeout",
    "cache.redis.wait_replicas",
    "cache.redis.wait_timeout",
    "cache.redis.write_timeout",
    "cache.redis.write_version",
    "callers[0].token",
    "callers[1].accounts",
    "callers[1].apis[0]",
    "callers[1].apps[1]",
    "callers[1].flows[1]",
    "callers[1].name",
    "callers[1].token.inline",
    "callers[2].apps",
    "callers[2].token",
    "callers[3].tokens",
    "callers[4].name",
    "callers[5]",
    "callers[6].name",
    "hosts[0]",
    "limits.flights",
    "limits.header",
    "limits.heads",
    "limits.inflght",
    "limits.inflight",
    "limits.keep_alive",
    "limits.queue",
    "limits.request_timeout",
    "listen[1]",
    "log.format",
    "log.level",
    "otlp.endpoint",
    "otlp.headers",
    "otlp.sample_ratio",
    "outbound.proxy",
    "shutdown",
    "tls.cert",
    "tls.client_ca.env",
    "tls.key",
];

#[test]
fn a_bad_file_shows_every_finding_at_once_and_no_value() {
    let (settings, findings) = fixture("bad.yaml", &[("CANARY", "canary-of-the-environment")]);
    assert!(settings.is_none());
    let mut found = keys(&findings);
    found.sort_unstable();
    found.dedup();
    let mut expected = BAD.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for finding in findings.iter() {
        assert!(!finding.reason.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
        let text = format!("{finding} {finding:?}").to_ascii_lowercase();
        assert!(!text.contains("canary") && !text.contains("eyj"), "{finding}");
        assert!(finding.file.as_deref().is_some_and(|file| file.ends_with("bad.yaml")), "{finding}");
    }
}

#[test]
fn a_budget_for_heads_holds_the_largest_head() {
    for (limits, good) in [("header: 1MiB", true), ("header: 2MiB", false), ("header: 2MiB, heads: 16MiB", true)] {
        let (settings, findings) = yaml(&format!("{APP}\nlimits: {{{limits}}}\n"), &[]);
        assert_eq!((settings.is_some(), keys(&findings).is_empty()), (good, good), "{limits}: {findings:?}");
        assert!(good || keys(&findings) == ["limits.heads"], "{findings:?}");
    }
}

#[test]
fn what_this_version_does_not_have_is_not_called_unknown() {
    let text = "{apps: {a: {credential: {managed_identity: {}}}}}";
    let (_, findings) = yaml(text, &[]);
    let key = "apps.a.credential.managed_identity";
    let found: Vec<_> = findings.iter().filter(|finding| finding.key == key).collect();
    assert!(matches!(found.as_slice(), [finding] if finding.reason.contains("not available in this version")), "{found:?}");
}

#[test]
fn a_right_without_a_value_is_not_all_of_it() {
    for right in ["apps", "apis", "flows", "doors", "accounts"] {
        // As it looks when every entry below the key is commented out.
        let (settings, findings) = yaml(&format!("{APP}callers:\n  - name: a\n    token: {{file: /t}}\n    {right}:\n"), &[]);
        assert!(settings.is_none() && keys(&findings) == [format!("callers[0].{right}")], "{right}: {findings:?}");
    }
}

#[test]
fn callers_may_come_from_the_environment() {
    let variables = [("TOKEND_CALLERS", "[{name: shop, token: {env: SHOP}, flows: silent}]"), ("SHOP", "canary-token")];
    let (settings, findings) = yaml(APP, &variables);
    assert!(findings.is_empty(), "{findings:?}");
    let settings = settings.unwrap();
    let names: Vec<_> = settings.callers.iter().map(|caller| (caller.name.as_str(), caller.rights.flows.clone())).collect();
    assert_eq!(names, [("shop", Some(vec!["silent"]))]);
    assert!(!format!("{settings:?}").contains("canary"));
    // A token in the configuration itself is a warning, as every secret is.
    let (settings, findings) = yaml(&format!("{APP}callers: [{{name: a, token: {{inline: canary-canary-canary-1}}}}]\n"), &[]);
    assert!(settings.is_some() && keys(&findings) == ["callers[0].token.inline"], "{findings:?}");
}

#[test]
fn the_token_listener_stays_on_the_machine() {
    for address in ["0.0.0.0:1", "'*:1'", "'[::]:1'", "10.0.0.1:1"] {
        for (more, reason, remedy) in [
            ("", "neither `tls` nor `callers`", "and `callers`"),
            (TLS, "no `callers`", "add `callers`"),
            ("callers: [{}]\n", "no `tls`", "add `tls: {"),
            ("tls: {}\ncallers: [{}]\n", "", ""),
        ] {
            let (settings, findings) = yaml(&format!("{APP}{more}listen: {address}\n"), &[]);
            assert!(settings.is_none(), "{address}");
            let found = findings.iter().find(|finding| finding.key == "listen[0]");
            let told =
                found.is_some_and(|it| it.reason.contains(reason) && it.remedy.contains(remedy) && it.remedy.contains("127.0.0.1"));
            assert_eq!(told, !reason.is_empty(), "{address} {more}: {findings:?}");
        }
        assert!(yaml(&format!("{APP}admin_listen: {address}\n"), &[]).0.is_some(), "{address}");
    }
    assert!(yaml(&format!("{APP}listen: [localhost:1, 'unix:/s']\n"), &[]).0.is_some());
}

#[test]
fn a_listener_over_tls_is_a_certificate_and_its_key() {
    let tls = |text: &str| yaml(&format!("{APP}tls: {text}\n"), &[("PEM", "pem")]);
    let found = |text: &str| tls(text).1.iter().map(|it| (it.severity, it.key.clone())).collect::<Vec<_>>();
    let error = |key: &str| (Severity::Error, key.to_owned());
    assert_eq!(found("{cert: {file: /c}, key: {file: /k}}"), []);
    assert_eq!(found("{cert: {file: /c}}"), [error("tls.key")]);
    assert_eq!(found("{key: {file: /k}}"), [error("tls.cert")]);
    assert_eq!(found("{}"), [error("tls.cert"), error("tls.key")]);
    assert_eq!(found("{cert: {}, key: {file: /k, env: PEM}}"), [error("tls.cert"), error("tls.key")]);
    assert_eq!(found("{cert: {file: /c}, key: {file: /k}, client_ca: {}}"), [error("tls.client_ca")]);
    assert_eq!(found("{cert: {file: /c}, key: {file: /k}, ca: {file: /a}}"), [error("tls.ca")]);
    // A certificate is no secret, a key is.
    let inline = "{cert: {inline: c}, key: {inline: k}, client_ca: {inline: a}}";
    assert_eq!(found(inline), [(Severity::Warning, "tls.key.inline".to_owned())]);
    assert!(matches!(tls("{cert: {env: PEM}, key: {env: PEM}}").0.unwrap().listen.tls.unwrap().key.place, Place::Value(_)));
    let (settings, findings) = yaml(&format!("{APP}{TLS}listen: 'unix:/s'\n"), &[]);
    assert!(settings.is_some() && findings.iter().any(|it| it.key == "tls" && it.severity == Severity::Warning));
}

#[test]
fn a_secret_says_where_it_stands() {
    let of = |place: &str, method: &str| {
        let credential = format!("credential: {{secret: {{file: /s, method: {method}}}}}");
        yaml(&format!("apps: {{a: {{{place}, client_id: c, {credential}}}}}\n"), &[])
    };
    let issuer = "issuer: \"https://id.example\"";
    let key = "apps.a.credential.secret.method";
    for (text, method) in [("basic", credential::SecretMethod::Basic), ("post", credential::SecretMethod::Post)] {
        let (settings, findings) = of(issuer, text);
        assert!(findings.is_empty(), "{findings:?}");
        let settings = settings.unwrap();
        let is_said = |app: &flow::AppSettings| match &app.credential {
            credential::Settings::Secret { method: said, .. } => *said == Some(method),
            _ => false,
        };
        assert!(settings.apps.iter().all(is_said), "{text}");
        // At Entra it always stands in the form.
        let (settings, findings) = of("authority: \"https://login.microsoftonline.com/contoso.example\"", text);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
        assert_eq!(keys(&findings), [key]);
        let is_left = |app: &flow::AppSettings| matches!(&app.credential, credential::Settings::Secret { method: None, .. });
        assert!(settings.unwrap().apps.iter().all(is_left));
    }
    for bad in ["client_secret_basic", "header", "Basic", "true", "[basic]"] {
        let (settings, findings) = of(issuer, bad);
        assert!(settings.is_none(), "{bad}");
        assert_eq!(keys(&findings), [key], "{bad}");
    }
}

#[test]
fn the_environment_goes_over_the_file() {
    let variables = [
        ("TOKEND_LISTEN", "[127.0.0.1:1, '[::1]:1']"),
        ("TOKEND_APPS__A__CREDENTIAL__CERTIFICATE", "{env: PEM, sha1: false}"),
        ("TOKEND_APPS__A__CLIENT_ID", "0012"),
        ("TOKEND_LIMITS__CONCURRENCY", "7"),
        ("TOKEND_LOG__LEVEL", "warn"),
        ("TOKEND_TLS__CERT__FILE", "/c"),
        ("TOKEND_TLS__KEY__FILE", "/k"),
        ("PEM", "pem-text"),
    ];
    let (settings, findings) = yaml(APP, &variables);
    assert!(findings.is_empty(), "{findings:?}");
    let settings = settings.unwrap();
    assert_eq!((settings.listen.addresses.len(), settings.http.concurrency, settings.listen.tls.is_some()), (2, 7, true));
    let app = settings.apps.first().unwrap();
    assert_eq!(app.client_id, "0012");
    let source = app.credential.sources()[0];
    assert!(matches!(&source.place, Place::Value(secret) if secret.expose() == "pem-text"));
    assert_eq!(
        (source.key.as_str(), &source.file),
        ("TOKEND_APPS__A__CREDENTIAL__CERTIFICATE (apps.a.credential.certificate.env)", &None)
    );
}

#[test]
fn findings_name_the_variable() {
    let variables =
        [("TOKEND_LOG__LEVEL", "loud"), ("TOKEND_LIMITS", "{body: [1]}"), ("TOKEND_APPS__A__AUTHORTY", "x"), ("TOKEND_OTLP", "[a")];
    let (_, findings) = yaml(APP, &variables);
    assert_eq!(keys(&findings), ["TOKEND_OTLP", "TOKEND_APPS__A__AUTHORTY", "TOKEND_LIMITS (limits.body)", "TOKEND_LOG__LEVEL"]);
    assert!(findings.iter().all(|finding| finding.file.is_none()));
}

#[test]
fn the_environment_alone_is_enough() {
    let variables = [
        ("TOKEND_APPS__MY_APP__ISSUER", "https://id.example"),
        ("TOKEND_APPS__MY_APP__CLIENT_ID", "c"),
        ("TOKEND_APPS__MY_APP__CREDENTIAL__SECRET__INLINE", "canary-secret"),
        ("AZURE_TENANT_ID", "ignored"),
    ];
    let (settings, findings) = load(&Input { file: None, environment: environment(&variables) });
    assert!(findings.is_empty(), "{findings:?}");
    let settings = settings.unwrap();
    assert_eq!(settings.apps.first().map(|app| app.name.as_str()), Some("my-app"));
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn azure_variables_define_the_app_default_where_there_is_none() {
    let variables = [("AZURE_TENANT_ID", "contoso.example"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s3cret-canary")];
    for (text, names) in [("log: {level: info}", vec!["default"]), (APP, vec!["a"])] {
        let (settings, findings) = yaml(text, &variables);
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(settings.unwrap().apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), names);
    }
    let (settings, _) = load(&Input { file: None, environment: environment(&variables) });
    assert_eq!(
        settings.unwrap().apps.first().map(|app| app.credential.sources()[0].key.clone()).as_deref(),
        Some("AZURE_CLIENT_SECRET")
    );
    let (_, findings) = load(&Input { file: None, environment: environment(&[("AZURE_TENANT_ID", "a b")]) });
    assert_eq!(keys(&findings), ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"]);
    let bad = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/p"),
        ("AZURE_AUTHORITY_HOST", "http://h"),
    ];
    let (_, findings) = load(&Input { file: None, environment: environment(&bad) });
    assert_eq!(keys(&findings), ["AZURE_AUTHORITY_HOST"]);
}

/// The app `default` of a certificate and these variables.
fn azure(more: &[(&str, &str)]) -> (Option<Settings>, Findings) {
    let usual = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_CERTIFICATE_PATH", "/p")];
    let mut all = environment(&usual);
    all.extend(environment(more));
    load(&Input { file: None, environment: all })
}

#[test]
fn azure_variables_of_a_certificate_count_where_it_is_the_credential() {
    let of = |settings: Option<Settings>| settings.unwrap().apps[0].credential.clone();
    let more = [("AZURE_CLIENT_CERTIFICATE_PASSWORD", "canary"), ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true")];
    let (settings, findings) = azure(&more);
    assert!(findings.is_empty() && !format!("{settings:?}").contains("canary"), "{findings:?}");
    let credential::Settings::Certificate { files, header } = of(settings) else { panic!("a certificate") };
    assert!(files.password.is_some_and(|source| source.key == "AZURE_CLIENT_CERTIFICATE_PASSWORD") && header.x5c && !header.sha1);
    for name in ["/p.pfx", "/P.P12"] {
        let (settings, findings) = azure(&[&more[..], &[("AZURE_CLIENT_CERTIFICATE_PATH", name)]].concat());
        assert!(findings.is_empty(), "{findings:?}");
        let credential::Settings::Pfx { password, header, .. } = of(settings) else { panic!("a PFX") };
        assert!(password.is_some() && header.x5c);
    }
    let (settings, findings) = azure(&[&more[..], &[("AZURE_CLIENT_SECRET", "s")]].concat());
    assert!(matches!(of(settings), credential::Settings::Secret { .. }));
    let expected = ["AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"];
    assert_eq!(keys(&findings), expected);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning && finding.remedy.contains("unset")));
}

#[test]
fn a_pfx_and_a_private_key_are_read_and_what_does_not_fit_is_found() {
    let read = |place: &str, credential: &str| {
        yaml(&format!("apps: {{a: {{{place}, client_id: c, credential: {{{credential}}}}}}}\n"), &[("P", "canary")])
    };
    let (entra, issuer) = ("authority: https://login.example/t", "issuer: https://id.example");
    let pfx = "pfx: {file: /p.pfx, password: {env: P}, x5c: true, sha1: true, kid: k}";
    let (settings, findings) = read(entra, pfx);
    let credential::Settings::Pfx { header, password, .. } = &settings.as_ref().unwrap().apps[0].credential else {
        panic!("a PFX")
    };
    assert!(findings.is_empty() && header.sha1 && header.x5c && header.kid.as_deref() == Some("k"), "{findings:?}");
    assert!(password.is_some() && !format!("{settings:?}").contains("canary"));
    let (settings, findings) = read(issuer, "private_key: {file: /k.jwk, kid: k, alg: ES384}");
    let credential::Settings::PrivateKey { kid, algorithm, .. } = &settings.unwrap().apps[0].credential else { panic!("a key") };
    assert!(findings.is_empty() && kid.as_deref() == Some("k") && *algorithm == Some(credential::SigningAlgorithm::Es384));
    let at = |member: &str| format!("apps.a.credential.{member}");
    for (place, credential, severity, key) in [
        (issuer, pfx, Severity::Warning, at("pfx.sha1")),
        (entra, "private_key: {file: /k.jwk}", Severity::Error, at("private_key")),
        (entra, "tls_certificate: {file: /c.pem}", Severity::Error, at("tls_certificate")),
        (issuer, "tls_certificate: {file: /c.pem, x5c: true}", Severity::Error, at("tls_certificate.x5c")),
        (issuer, "tls_certificate: {key_file: /k}", Severity::Error, at("tls_certificate")),
        (issuer, "private_key: {file: /k.jwk, alg: HS256}", Severity::Error, at("private_key.alg")),
        (issuer, "private_key: {file: /k.jwk, kid: ''}", Severity::Error, at("private_key.kid")),
        (issuer, "private_key: {kid: k}", Severity::Error, at("private_key")),
        (entra, "certificate: {file: /c.pem, password: {}}", Severity::Error, at("certificate.password")),
        (entra, "certificate: {file: /c.pem, password: {file: /p, env: P}}", Severity::Error, at("certificate.password")),
        (entra, "certificate: {file: /c.pem, key_file: ''}", Severity::Error, at("certificate.key_file")),
        (entra, "pfx: {file: /p.pfx, key_file: /k}", Severity::Error, at("pfx.key_file")),
        (entra, "pfx: {file: /p.pfx}, certificate: {file: /c.pem}", Severity::Error, "apps.a.credential".to_owned()),
        (entra, "pfx: {file: /p.pfx, password: {inline: canary}}", Severity::Warning, at("pfx.password.inline")),
    ] {
        let (settings, findings) = read(place, credential);
        assert_eq!(settings.is_some(), severity == Severity::Warning, "{credential}: {findings:?}");
        let found = findings.iter().find(|finding| finding.key == key);
        assert!(found.is_some_and(|finding| finding.severity == severity), "{credential}: {findings:?}");
        assert!(!format!("{findings:?}").contains("canary"), "{findings:?}");
    }
}

#[test]
fn aut_7_a_region_comes_by_the_variables_of_the_sdks() {
    let region = |name: &str, value: &str| {
        let (settings, findings) = azure(&[(name, value)]);
        assert!(findings.is_empty(), "{name}={value}: {findings:?}");
        settings.unwrap().apps.pop().unwrap().authority.region
    };
    for name in ["AZURE_REGIONAL_AUTHORITY_NAME", "MSAL_FORCE_REGION"] {
        for (value, expected) in [("westeurope", "westeurope"), ("West Europe", "westeurope")] {
            let region = region(name, value);
            assert!(matches!(&region, Some(RegionWish::Named(name)) if name.as_str() == expected), "{value}: {region:?}");
        }
        for own in ["AutoDiscoverRegion", "TryAutoDetect"] {
            assert!(matches!(region(name, own), Some(RegionWish::Auto(_))), "{own}");
        }
        for off in ["", "False", "DisableMsalForceRegion"] {
            assert_eq!(region(name, off), None, "{off}");
        }
    }
}

#[test]
fn no_azure_variable_is_passed_over_in_silence() {
    for name in ["AZURE_USERNAME", "AZURE_PASSWORD"] {
        for more in [&[(name, "canary")][..], &[(name, "canary"), ("AZURE_CLIENT_SECRET", "s")]] {
            let (settings, findings) = azure(more);
            let found: Vec<_> = findings.iter().filter(|finding| finding.key == name).collect();
            let [finding] = found.as_slice() else { panic!("{name}: {findings:?}") };
            assert!(finding.severity == Severity::Warning && finding.remedy.contains("unset it"), "{finding:?}");
            assert!(settings.is_some() && !format!("{findings:?}").contains("canary"), "{name}");
        }
    }
    for off in ["", "false", "0", "False"] {
        let (_, findings) = azure(&[("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", off)]);
        assert!(findings.is_empty(), "{off}: {findings:?}");
    }
}

#[test]
fn further_tenants_of_the_azure_sdks_are_those_of_the_app() {
    let tenants = |list: &str| {
        let (settings, findings) = azure(&[("AZURE_ADDITIONALLY_ALLOWED_TENANTS", list)]);
        let names = settings.map(|settings| settings.apps[0].tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect());
        (names.unwrap_or_else(Vec::new), keys(&findings).join(" "))
    };
    let none = String::new();
    assert_eq!(tenants("contoso.example"), (vec!["contoso.example".to_owned()], none.clone()));
    let two = vec!["contoso.example".to_owned(), "8eaef023-2b34-4da1-9baa-8bc8c9d6a490".to_owned()];
    assert_eq!(tenants("contoso.example; 8eaef023-2b34-4da1-9baa-8bc8c9d6a490;"), (two.clone(), none));
    assert_eq!(
        tenants("*;contoso.example,8eaef023-2b34-4da1-9baa-8bc8c9d6a490"),
        (two, "AZURE_ADDITIONALLY_ALLOWED_TENANTS".to_owned())
    );
    let (names, keys) = tenants("contoso.example;a b");
    assert!(names.is_empty() && keys.starts_with("AZURE_ADDITIONALLY_ALLOWED_TENANTS"), "{keys}");
}

#[test]
fn the_name_of_a_cloud_is_no_host_of_it() {
    for (cloud, host) in [
        ("AzurePublicCloud", "login.microsoftonline.com"),
        ("AZURECHINACLOUD", "login.partner.microsoftonline.cn"),
        ("AzureUSGovernment", "login.microsoftonline.us"),
    ] {
        let (settings, findings) = azure(&[("AZURE_AUTHORITY_HOST", cloud)]);
        assert!(settings.is_none() && keys(&findings) == ["AZURE_AUTHORITY_HOST"], "{findings:?}");
        assert!(findings.iter().all(|finding| finding.remedy.contains(host)), "{findings:?}");
    }
}

#[test]
fn how_a_session_asks_for_its_refresh_token_is_an_issuers_matter() {
    let app = |place: &str, ask: &str| {
        let text = format!("apps: {{a: {{{place}, client_id: c, credential: {{secret: {{file: /x}}}}, session: {{ask: {ask}}}}}}}");
        let (settings, findings) = yaml(&text, &[]);
        let about = findings.iter().find(|finding| finding.key == "apps.a.session.ask").map(|finding| finding.severity);
        (settings.map(|settings| settings.apps[0].session_ask), about)
    };
    let (issuer, entra) = ("issuer: https://id.example/r", "authority: https://login.microsoftonline.com/contoso.example");
    let word = Some(Some(flow::SessionAsk::OfflineAccess));
    assert_eq!(app(issuer, "offline_access"), (word, None));
    assert_eq!(app(entra, "offline_access"), (word, Some(Severity::Warning)));
    assert_eq!(app(issuer, "always"), (None, Some(Severity::Error)));
}

#[test]
fn a_host_name_that_is_no_host_is_a_warning() {
    let app = |url: &str| format!("apps: {{a: {{issuer: 'https://{url}', client_id: c, credential: {{secret: {{file: /s}}}}}}}}\n");
    let redis = |url: &str| format!("{APP}cache: {{redis: {{{url}, encryption: {{key_ring: {{file: /r}}}}}}}}\n");
    for (text, key) in [
        (app("id..example"), "apps.a.issuer"),
        (app("-id.example/x"), "apps.a.issuer"),
        (redis("url: 'rediss://cache,other:6380'"), "cache.redis.url"),
        (redis("url: 'rediss://$(HOST):6380'"), "cache.redis.url"),
        (redis("cluster: {urls: ['rediss://a:1', 'rediss://10.0.0:1']}"), "cache.redis.cluster.urls[1]"),
        (format!("{APP}hosts: [a.internal, a-.internal]\n"), "hosts[1]"),
        (format!("{APP}outbound: {{proxy: 'http://proxy..internal:3128'}}\n"), "outbound.proxy"),
    ] {
        let (settings, findings) = yaml(&text, &[]);
        assert!(settings.is_some() && keys(&findings) == [key], "{text}: {findings:?}");
        assert!(findings.iter().all(|finding| finding.reason.contains("no host name") && finding.severity == Severity::Warning));
    }
    for good in ["id.example", "id", "10.0.0.1", "[::1]", "my_id.example", "bücher.example"] {
        assert!(yaml(&app(good), &[]).1.is_empty(), "{good}");
    }
}

#[test]
fn a_workload_identity_is_defined_by_what_its_webhook_sets() {
    let variables = |more: &[(&str, &str)]| {
        let mut all = environment(&[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")]);
        all.extend(environment(more));
        load(&Input { file: None, environment: all })
    };
    let (settings, findings) = variables(&[("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")]);
    assert!(findings.is_empty(), "{findings:?}");
    let settings = settings.unwrap();
    let [app] = settings.apps.as_slice() else { panic!("one app") };
    assert_eq!((app.name.as_str(), app.authority.address.to_string().as_str()), ("default", "https://login.microsoftonline.us/t"));
    let credential::Settings::FederatedToken(source) = &app.credential else { panic!("{:?}", app.credential) };
    assert!(matches!(&source.place, Place::File(path) if path.as_os_str() == "/f"));
    assert_eq!(source.key, "AZURE_FEDERATED_TOKEN_FILE");
    // Whoever sets more means that.
    for (name, kind) in [("AZURE_CLIENT_SECRET", "secret"), ("AZURE_CLIENT_CERTIFICATE_PATH", "certificate")] {
        let (settings, findings) = variables(&[(name, "/x")]);
        assert_eq!(keys(&findings), ["AZURE_FEDERATED_TOKEN_FILE"], "{name}");
        let chosen = settings.unwrap().apps[0].credential.kind();
        assert_eq!(chosen, kind);
    }
    let (_, findings) =
        load(&Input { file: None, environment: environment(&[("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")]) });
    assert_eq!(keys(&findings), ["AZURE_TENANT_ID"]);
}

#[test]
fn a_federated_token_is_a_file_or_a_variable() {
    let read = |credential: &str, variables: &[(&str, &str)]| {
        yaml(&format!("apps: {{a: {{issuer: https://id.example, client_id: c, credential: {credential}}}}}\n"), variables)
    };
    let (settings, findings) = read("{federated_token: {file: /f}}", &[]);
    assert!(findings.is_empty() && matches!(settings.unwrap().apps[0].credential, credential::Settings::FederatedToken(_)));
    let (settings, findings) = read("{federated_token: {env: TOKEN}}", &[("TOKEN", "t")]);
    assert!(findings.is_empty() && settings.is_some());
    let (settings, findings) = read("{federated_token: {inline: canary}}", &[]);
    assert!(settings.is_some() && findings.iter().all(|finding| finding.severity == Severity::Warning));
    assert_eq!(keys(&findings), ["apps.a.credential.federated_token.inline"]);
    for (credential, key) in [
        ("{federated_token: {}}", "apps.a.credential.federated_token"),
        ("{federated_token: {file: ''}}", "apps.a.credential.federated_token.file"),
        ("{federated_token: {file: /f}, secret: {file: /s}}", "apps.a.credential"),
        ("{federated_token: /f}", "apps.a.credential.federated_token"),
    ] {
        let (settings, findings) = read(credential, &[]);
        assert!(settings.is_none() && keys(&findings).contains(&key), "{credential}: {findings:?}");
    }
}

#[test]
fn headers_for_a_collector_over_plain_http_beyond_loopback_are_a_finding() {
    for (endpoint, key) in [
        ("http://collector.example:4318", Some("otlp.endpoint")),
        ("http://10.1.2.3:4318", Some("otlp.endpoint")),
        ("http://[2001:db8::1]:4318", Some("otlp.endpoint")),
        ("https://collector.example:4318", None),
        ("http://127.0.0.1:4318", None),
        ("http://127.9.9.9:4318", None),
        ("http://[::1]:4318", None),
        ("http://localhost:4318", None),
    ] {
        let text = format!("{APP}otlp: {{endpoint: '{endpoint}', headers: {{file: /headers}}}}\n");
        let (settings, findings) = yaml(&text, &[]);
        assert_eq!((settings.is_some(), keys(&findings)), (true, key.into_iter().collect()), "{endpoint}");
        assert!(keys(&yaml(&format!("{APP}otlp: {{endpoint: '{endpoint}'}}\n"), &[]).1).is_empty(), "without headers: {endpoint}");
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary")];
        let (_, findings) = yaml(APP, &variables);
        let expected: Vec<&str> = key.map(|_| "OTEL_EXPORTER_OTLP_ENDPOINT").into_iter().collect();
        assert_eq!(keys(&findings), expected, "{endpoint}");
        assert!(!format!("{findings:?}").contains("canary"), "{findings:?}");
    }
}

#[test]
fn otel_variables_count_where_otlp_is_not_in_the_file() {
    let endpoint = |settings: Option<Settings>| {
        settings.and_then(|settings| settings.telemetry.otlp).map(|otlp| (otlp.endpoint.to_string(), otlp.sample_ratio))
    };
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:4318/v1/traces");
    assert_eq!(endpoint(yaml(APP, &[base]).0), Some(("http://collector:4318/".to_owned(), 0.05)));
    assert_eq!(
        endpoint(yaml(APP, &[base, traces, ("OTEL_TRACES_SAMPLER_ARG", "0.5")]).0),
        Some(("http://other:4318/".to_owned(), 0.5))
    );
    assert_eq!(endpoint(yaml(APP, &[base, ("OTEL_SDK_DISABLED", "true")]).0), None);
    let text = format!("{APP}otlp: {{endpoint: 'http://mine:4318'}}\n");
    assert_eq!(endpoint(yaml(&text, &[base, ("OTEL_SDK_DISABLED", "true")]).0), Some(("http://mine:4318/".to_owned(), 0.05)));
    assert_eq!(keys(&yaml(APP, &[base, ("OTEL_TRACES_SAMPLER_ARG", "2")]).1), ["OTEL_TRACES_SAMPLER_ARG"]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_finding() {
    let (_, findings) = load(&Input { file: Some(PathBuf::from("/nowhere/t.yaml")), environment: environment(&[]) });
    assert_eq!(keys(&findings), ["--config"]);
    let (_, findings) = yaml("apps:\n  a: {client_id: canary\n", &[]);
    let findings: Vec<_> = findings.iter().collect();
    assert!(
        matches!(findings.as_slice(), [finding] if finding.key.starts_with("line ") && !format!("{finding:?}").contains("canary"))
    );
    let (_, findings) = yaml("", &[]);
    assert_eq!(keys(&findings), ["apps"]);
}
