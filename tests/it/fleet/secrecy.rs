//! Nothing that stands in Redis or goes through it can be read: canaries in every place, and a search for them in every key, value,
//! command and message.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{MAIL_READ, SOON, Stage, USER_READ};
use crate::support::{Answer, Client, GRAPH, REDIRECT_URI, eventually, parameter};

/// What must not be found, by what it is.
#[derive(Default)]
struct Canaries(BTreeSet<(String, String)>);

/// What was seen of Redis.
#[derive(Default)]
struct Seen {
    keys: BTreeSet<Vec<u8>>,
    values: BTreeSet<Vec<u8>>,
    commands: BTreeSet<Vec<u8>>,
    messages: BTreeSet<Vec<u8>>,
}

// === impl Canaries ===

impl Canaries {
    fn add(&mut self, what: &str, text: impl Into<String>) {
        let text = text.into();
        // Anything shorter could be there by chance.
        if text.len() >= 6 {
            self.0.insert((what.to_owned(), text));
        }
    }

    /// The tokens of an answer, and whose they are.
    fn answer(&mut self, name: &str, answer: &Answer) {
        for (member, value) in answer.json.as_object().into_iter().flatten() {
            match (member.as_str(), value) {
                ("access_token" | "id_token", Value::String(token)) => {
                    self.add(&format!("{member} of {name}"), token);
                    for part in token.split('.').filter(|part| part.len() >= 6) {
                        self.add(&format!("part of the {member} of {name}"), part);
                    }
                }
                ("account", Value::Object(account)) => {
                    for (member, value) in account {
                        self.add(&format!("{member} of {name}"), value.as_str().unwrap_or("nobody"));
                    }
                }
                _ => {}
            }
        }
    }

    /// The emulator's directory: who there is, and by what secrets.
    fn directory(&mut self, value: &Value) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match (name.as_str(), value) {
                ("id" | "client_id" | "object_id" | "username" | "sub" | "secrets" | "password", Value::String(text)) => {
                    self.add(name, text);
                }
                ("secrets", Value::Array(secrets)) => {
                    secrets.iter().filter_map(Value::as_str).for_each(|secret| self.add("a secret", secret));
                }
                _ => self.directory(value),
            }),
            Value::Array(parts) => parts.iter().for_each(|part| self.directory(part)),
            _ => {}
        }
    }

    /// Every canary that is found, in any writing.
    fn found(&self, texts: &BTreeSet<Vec<u8>>) -> BTreeSet<String> {
        // A canary is ASCII; what is lost of anything else is none.
        let text: String = texts.iter().map(|text| String::from_utf8_lossy(text) + "\n").collect();
        let is_there = |canary: &str| {
            let hex = canary.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
            // The middle of a base64 text is the same wherever it begins, but for three ways to be shifted.
            let shifted = (0..3).flat_map(|shift| {
                let whole = [vec![0; shift], canary.as_bytes().to_vec()].concat();
                let middle = |text: String| text.chars().skip(4).take(canary.len()).collect::<String>();
                [middle(URL_SAFE_NO_PAD.encode(&whole)), middle(STANDARD.encode(&whole))]
            });
            [canary.to_owned(), hex].into_iter().chain(shifted.filter(|form| form.len() >= 6)).any(|form| text.contains(&form))
        };
        let found = self.0.iter().filter(|(_, canary)| is_there(canary));
        found.map(|(what, canary)| format!("{what}: {canary}")).collect()
    }
}

// === impl Seen ===

impl Seen {
    async fn look(&mut self, stage: &Stage) {
        for (key, value) in stage.redis.dump().await {
            self.keys.insert(key);
            self.values.insert(value);
        }
    }
}

/// Every flow, well and ill, with what Redis has looked at after each of them.
async fn every_flow(stage: &Stage, all: &mut Canaries, seen: &mut Seen) {
    let rule = json!({"on": {"endpoint": "token", "grant_type": "authorization_code"}, "times": 0,
        "do": {"set": {"refresh_token": "canary-of-a-refresh-token"}}});
    stage.emulator.script(rule).await;
    all.add("a refresh token", "canary-of-a-refresh-token");
    let (ana, ben, eva) = (stage.ana().await, stage.ben().await, stage.eva().await);
    for (name, bearer) in [("ana", &ana), ("ben", &ben), ("eva", &eva)] {
        all.add(name, bearer);
    }
    for scope in [GRAPH, USER_READ, MAIL_READ, "orders.read", "stock.read", "graph.microsoft.com", "User.Read"] {
        all.add("a scope", scope);
    }
    for round in 0..2 {
        for index in 0..2 {
            all.answer("daemon", &stage.graph(index).await);
            all.answer("shop", &stage.app_token(index, &json!({"app": "shop", "scopes": "orders.read stock.read"})).await);
            all.answer("ana", &stage.obo(index, &ana).await);
            all.answer("eva", &stage.obo_as(index, "shop", "stock.read", &eva).await);
            all.answer("forced", &stage.graph_with(index, &json!({"force_refresh": true})).await);
        }
        seen.look(stage).await;
        let (web, shop) =
            (sign_in(stage, "web", USER_READ, "ana@contoso.example").await, sign_in(stage, "shop-web", "orders.read", "eva").await);
        for (app, signed) in [("web", &web), ("shop-web", &shop)] {
            all.answer(app, signed);
            let account = signed.json["account"]["home_account_id"].as_str().expect("an account");
            let scopes = if app == "web" { USER_READ } else { "orders.read" };
            let silent = json!({"app": app, "scopes": scopes, "account": account});
            all.answer("silent", &stage.sidecar(1).client.post("/silent", &silent).await);
            assert_eq!(stage.sidecar(1).client.get(&format!("/accounts?app={app}")).await.status, 200);
            if round == 1 {
                seen.look(stage).await;
                let gone =
                    stage.sidecar(0).client.http.delete(format!("{}/accounts/{account}?app={app}", stage.sidecar(0).client.base));
                assert_eq!(Client::send(gone).await.status, 204);
            }
        }
        seen.look(stage).await;
    }
    stage.emulator.unscript().await;
    failures(stage, all, seen, &ben).await;
}

/// What is told of failures and what is remembered of them; and leases, which are there only as long as somebody asks.
async fn failures(stage: &Stage, all: &mut Canaries, seen: &mut Seen, bearer: &str) {
    let claims = json!({"access_token": {"canary-of-a-challenge": {"essential": true}}});
    all.add("a challenge", "canary-of-a-challenge");
    all.add("a description", "canary-of-a-description");
    let error =
        json!({"error": {"error": "interaction_required", "error_description": "canary-of-a-description", "claims": claims}});
    let answers =
        stage.together(error, async |index| stage.obo_as(index, "orders", "https://graph.microsoft.com/.default", bearer).await);
    assert!(answers.await.iter().all(|answer| answer.status == 401));
    seen.look(stage).await;
    let challenge = json!({"claims": claims.to_string()});
    let both = stage.together(json!({}), async |index| stage.graph_with(index, &challenge).await).await;
    all.answer("challenged", &both[0]);
    let once = stage.together(json!({"set": {"expires_in": null}}), async |index| {
        stage.app_token(index, &json!({"app": "orders", "scopes": GRAPH})).await
    });
    all.answer("without an end", &once.await[0]);
    seen.look(stage).await;
    stage.answering_with(0, json!({"hold": true})).await;
    let body = json!({"app": "daemon", "scopes": "api://billing/.default"});
    let (waited, ()) = tokio::join!(stage.app_token(0, &body), async {
        eventually(SOON, async || stage.redis.keys().await.iter().any(|key| key.contains("}:l:"))).await;
        seen.look(stage).await;
        stage.emulator.release().await;
    });
    all.answer("waited for", &waited);
    for effect in [json!({"throttle": {"retry_after": "100"}}), json!({"aadsts": 7_000_215})] {
        stage.emulator.unscript().await;
        stage.answering_with(0, effect).await;
        assert!(stage.graph_with(0, &json!({"force_refresh": true})).await.status >= 400);
        seen.look(stage).await;
    }
}

async fn sign_in(stage: &Stage, app: &str, scopes: &str, user: &str) -> Answer {
    let client = &stage.sidecar(0).client;
    let body = json!({"app": app, "scopes": scopes, "redirect_uri": REDIRECT_URI, "prompt": "none", "login_hint": user});
    let url = client.post("/auth-code/url", &body).await;
    let back = stage.emulator.sign_in(url.member("authorization_url")).await;
    let body = json!({"app": app, "scopes": scopes, "redirect_uri": REDIRECT_URI, "code": parameter(&back, "code"),
        "code_verifier": url.member("code_verifier"), "nonce": url.member("nonce")});
    let answer = client.post("/auth-code", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// Runs every flow while everything is looked at.
async fn run(change: impl Fn(usize, String) -> String) -> (Canaries, Seen) {
    let stage = Stage::changed(2, change).await;
    let (mut all, mut seen) = (Canaries::default(), Seen::default());
    all.directory(&stage.emulator.directory);
    all.add("the authority", stage.emulator.origin.trim_start_matches("https://"));
    let client = redis::Client::open(stage.redis.url()).expect("a client");
    let mut listener = client.get_async_pubsub().await.expect("a connection");
    listener.psubscribe("*").await.expect("subscribed");
    let mut monitor = client.get_async_monitor().await.expect("a connection");
    let (mut commands, mut messages) = (BTreeSet::new(), BTreeSet::new());
    {
        let mut heard = listener.on_message();
        let mut told = monitor.on_message::<String>();
        let listening = async {
            loop {
                tokio::select! {
                    Some(message) = heard.next() => {
                        messages.insert([message.get_channel_name().as_bytes(), message.get_payload_bytes()].concat());
                    }
                    Some(command) = told.next() => {
                        commands.insert(command.into_bytes());
                    }
                }
            }
        };
        tokio::select! {
            () = every_flow(&stage, &mut all, &mut seen) => {}
            () = listening => {}
        }
    }
    (seen.commands, seen.messages) = (commands, messages);
    (all, seen)
}

#[tokio::test]
async fn cch_17_nothing_readable_is_in_redis_or_goes_through_it() {
    let (all, seen) = run(|_, yaml| yaml).await;
    for (what, texts) in
        [("keys", &seen.keys), ("values", &seen.values), ("commands", &seen.commands), ("messages", &seen.messages)]
    {
        assert_eq!(all.found(texts), BTreeSet::new(), "in the {what}");
    }
    // All of it was looked at: every kind of key, every kind of message.
    let keys: String = seen.keys.iter().map(|key| String::from_utf8_lossy(key) + "\n").collect();
    for kind in ["t:", "i\n", "e\n", "a\n", "l:", "o:", "h:", "s\n"] {
        assert!(keys.contains(&format!("}}:{kind}")), "no {kind}");
    }
    assert!(seen.messages.len() >= 3 && seen.commands.len() > 100 && all.0.len() > 50);
    assert!(seen.commands.iter().any(|command| String::from_utf8_lossy(command).contains("PUBLISH")));
}

#[tokio::test]
async fn cch_17_in_plaintext_names_are_hashed_all_the_same() {
    let (all, seen) = run(|_, yaml| {
        let at = yaml.find("encryption: {").expect("encryption");
        format!("{}encryption: {{plaintext: true}}}}}}\n", &yaml[..at])
    })
    .await;
    assert_eq!(all.found(&seen.keys), BTreeSet::new());
    // So the search finds what there is to find.
    let found = all.found(&seen.values);
    for what in ["access_token of daemon", "access_token of eva", "a refresh token", "a scope", "username of ana", "a challenge"] {
        assert!(found.iter().any(|found| found.starts_with(what)), "no {what} in {found:#?}");
    }
    assert!(!all.found(&seen.commands).is_empty());
}
