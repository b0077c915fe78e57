//! Rules, alerts and the dashboard: looked at with promtool, and with a real Prometheus that scrapes a real tokend.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../it/support/client.rs"]
#[expect(dead_code, reason = "the tests of the sidecar itself use the rest")]
mod client;
#[path = "../it/support/emulator.rs"]
#[expect(dead_code, reason = "the tests of the sidecar itself use the rest")]
mod emulator;
#[path = "../it/support/process.rs"]
#[expect(dead_code, reason = "the tests of the sidecar itself use the rest")]
mod process;
mod queries;
mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use client::{Answer, Client};
use emulator::Emulator;
use process::{Process, free_port};
use queries::Query;
use stage::Stage;

use crate::support::{root, run};

/// Labels that the scrape adds.
const TARGET: [&str; 3] = ["namespace", "job", "instance"];

fn prometheus_file(name: &str) -> PathBuf {
    root().join("deploy/prometheus").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard() -> Value {
    serde_json::from_str(&read(&root().join("deploy/grafana/tokend.json"))).expect("JSON")
}

/// A tool of the `prometheus` package; a panic names the script that installs it.
fn promtool() -> Command {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "promtool is not there: tests/setup/observe installs it (`make test-deploy` calls it)"
    );
    Command::new("promtool")
}

#[test]
fn promtool_accepts_the_rules_and_the_scrape_configurations() {
    run(promtool().args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(prometheus_file("rules.yaml")));
    let check = || {
        let mut check = promtool();
        check.args(["check", "config", "--lint=all", "--lint-fatal"]);
        check
    };
    run(check().arg(prometheus_file("prometheus.yaml")));
    // Debian builds without Kubernetes: another discovery stands in for it, and everything else is looked at.
    let kubernetes = read(&prometheus_file("prometheus-kubernetes.yaml"));
    let other = kubernetes.replace("kubernetes_sd_configs:\n      - role: pod\n", "static_configs:\n      - targets: []\n");
    assert_ne!(other, kubernetes);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prometheus.yaml"), other).expect("a file");
    std::fs::copy(prometheus_file("rules.yaml"), folder.path().join("rules.yaml")).expect("a file");
    run(check().arg(folder.path().join("prometheus.yaml")));
}

#[test]
fn the_rules_do_what_their_tests_say() {
    run(promtool().args(["test", "rules"]).arg(prometheus_file("rules.test.yaml")));
}

#[test]
fn every_alert_has_both_cases_and_a_page_to_turn_to() {
    let (rules, tests) = (read(&prometheus_file("rules.yaml")), read(&prometheus_file("rules.test.yaml")));
    let operations = read(&root().join("docs/operations.md"));
    let headings: Vec<&str> = operations.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts: Vec<(&str, &str)> = rules.split("- alert: ").skip(1).filter_map(|rule| rule.split_once('\n')).collect();
    assert!(alerts.len() > 20, "{}", alerts.len());
    for (name, rule) in &alerts {
        for member in ["expr: ", "labels: {severity: ", "summary: ", "description: "] {
            assert!(rule.contains(member), "{name} has no {member}");
        }
        assert!(["critical}", "warning}"].iter().any(|severity| rule.contains(severity)), "{name}: another severity");
        let runbook = format!("runbook_url: \"docs/operations.md#{}\"", name.to_lowercase());
        assert!(rule.contains(&runbook), "{name} has no {runbook}");
        assert_eq!(
            headings.iter().filter(|heading| *heading == name).count(),
            1,
            "docs/operations.md needs one section `### {name}`"
        );
        let cases: Vec<&str> = tests.split("alertname: ").filter(|case| case.starts_with(&format!("{name}\n"))).collect();
        assert!(cases.iter().any(|case| case.contains("exp_labels")), "no test shows {name} firing");
        assert!(cases.iter().any(|case| case.contains("exp_alerts: []")), "no test shows {name} silent");
    }
    let names: BTreeSet<&str> = alerts.iter().map(|(name, _)| *name).collect();
    let stale = headings.iter().filter(|heading| heading.starts_with("Tokend") && !names.contains(*heading));
    assert_eq!(stale.collect::<Vec<_>>(), Vec::<&&str>::new(), "sections about alerts that are not there");
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().expect("variables").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "namespace", "job", "instance", "app", "flow"]);
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{} has another's id", panel["title"]);
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{} has no description", panel["title"]);
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{} has no unit", panel["title"]);
        for part in panel["targets"].as_array().expect("targets").iter().chain([panel]) {
            assert_eq!(part["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}

#[test]
fn promtool_parses_every_query_of_the_dashboard() {
    let queries = queries::of_dashboard(&dashboard());
    assert!(queries.len() > 50, "{}", queries.len());
    let rule =
        |(index, query): (usize, &Query)| format!("  - {{record: \"q:{index}\", expr: {}}}\n", Value::from(query.text.as_str()));
    let rules: String = queries.iter().enumerate().map(rule).collect();
    assert!(!rules.contains('$'), "a variable is not known here: {rules}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("groups:\n- name: queries\n  rules:\n{rules}")).expect("a file");
    let said = run(promtool().args(["check", "rules"]).arg(file.path()));
    assert!(said.contains(&format!("{} rules found", queries.len())), "{said}");
}

#[tokio::test]
async fn a_real_prometheus_scrapes_a_real_tokend() {
    let mut stage = Stage::start().await;
    stage.traffic().await;
    let metrics = stage.metrics().await;
    promtool_accepts(&metrics);
    let queries = all_queries();
    every_series_exists(&queries, &metrics);

    let prometheus = Prometheus::start(stage.admin_port).await;
    let answered = stage.until("what was scraped can be asked for", async || {
        let found = prometheus
            .query("sum(tokend_requests_total{job=\"tokend\",app=\"daemon\",flow=\"client_credentials\",outcome=\"ok\"})")
            .await;
        found["result"][0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok()).filter(|value| *value >= 3.0)
    });
    answered.await;
    let rules = stage.until("every rule was evaluated", async || prometheus.evaluated().await).await;
    let written = read(&prometheus_file("rules.yaml"));
    let written = written.matches("- alert: ").count() + written.matches("- record: ").count();
    assert_eq!(rules.len(), written);
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    for query in &queries {
        // Two series that cannot be told apart are an error here, which no parser sees.
        prometheus.query(&query.text).await;
    }
}

fn all_queries() -> Vec<Query> {
    let rules = queries::of_rules(&read(&prometheus_file("rules.yaml")));
    rules.into_iter().chain(queries::of_dashboard(&dashboard())).collect()
}

fn promtool_accepts(metrics: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), metrics).expect("a file");
    run(promtool().args(["check", "metrics"]).stdin(file.reopen().expect("the file")));
}

/// Every metric and every label that a rule or a panel asks for is in what the process serves.
fn every_series_exists(queries: &[Query], metrics: &str) {
    let series = queries::series(metrics);
    let labels: BTreeSet<&str> = series.values().flatten().map(String::as_str).chain(TARGET).collect();
    let mut wrong = BTreeSet::new();
    for query in queries {
        for asked in queries::asked(&query.text) {
            match series.get(&asked.metric) {
                None => drop(wrong.insert(format!("{}: no metric {}", query.place, asked.metric))),
                Some(has) => {
                    let unknown = asked.labels.iter().filter(|label| !has.contains(*label) && !TARGET.contains(&label.as_str()));
                    wrong.extend(unknown.map(|label| format!("{}: {} has no label {label}", query.place, asked.metric)));
                }
            }
        }
        let unknown = queries::grouped(&query.text).into_iter().filter(|label| !labels.contains(label.as_str()));
        wrong.extend(unknown.map(|label| format!("{}: nothing has a label {label}", query.place)));
    }
    assert!(wrong.is_empty(), "{}\n{metrics}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

/// A Prometheus with the example's configuration, but this tokend and no patience.
struct Prometheus {
    client: Client,
    _process: Process,
    _folder: tempfile::TempDir,
}

// === impl Prometheus ===

impl Prometheus {
    async fn start(admin_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let example = read(&prometheus_file("prometheus.yaml"));
        let changed =
            example.replace("127.0.0.1:8651", &format!("127.0.0.1:{admin_port}")).replace("30s", "1s").replace("10s", "1s");
        assert_ne!(changed, example);
        std::fs::write(folder.path().join("prometheus.yaml"), changed).expect("a file");
        std::fs::copy(prometheus_file("rules.yaml"), folder.path().join("rules.yaml")).expect("a file");
        let port = free_port();
        let mut command = Command::new("prometheus");
        command
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::spawn(&mut command);
        stage::until_listening(port).await;
        Self { client: Client::new(&format!("http://127.0.0.1:{port}"), None), _process: process, _folder: folder }
    }

    /// Asks; a query that Prometheus refuses is a failure.
    async fn query(&self, query: &str) -> Value {
        let url = url::Url::parse_with_params(&format!("{}/api/v1/query", self.client.base), [("query", query)]).expect("a URL");
        // It says 503 until its storage is open.
        let answer = Client::send(self.client.http.get(url)).await;
        assert!(answer.status == 503 || answer.json["status"] == "success", "{query}: {}", answer.text);
        answer.json["data"].clone()
    }

    /// All rules, if each was evaluated.
    async fn evaluated(&self) -> Option<Vec<Value>> {
        let groups = self.client.get("/api/v1/rules").await.json["data"]["groups"].as_array().cloned()?;
        let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    }
}
