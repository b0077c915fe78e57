//! Whose token an answer brings, held against whose it must be: random requests of callers for apps, users and tenants, to a
//! process with memory alone and to replicas that share a Redis, while the authority and Redis fail now and then.
//!
//! The model knows nothing of caches: a request says whose token it asks for, and a token of the emulator says whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::key_server::JwtKey;
use super::{ANA, BEN, ORDERS, Stage, USER_READ};
use crate::doors::form;
use crate::saml::{SAML2, minted};
use crate::support::redis::RedisServer;
use crate::support::{Answer, Client, Fault, GRAPH, code};

/// How many answers are looked at, half of them with memory alone.
const ANSWERS: usize = 20_000;
/// How many requests are under way at a time.
const AT_ONCE: usize = 40;

const FAY: &str = "fay@fabrikam.example";
const CONTOSO: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const FABRIKAM: &str = "3f1c7a52-6d0b-4c8e-9a47-51e2d8b6f0c3";
const BILLING: &str = "api://billing/.default";
const INVOICES: &str = "api://billing/invoices.read";

/// Two that see their own accounts, and one that sees all; each may use every door.
const THREE: [(&str, &str); 3] = [
    ("alpha", ", doors: [rest, oauth2, msi, auth_request, ms_sidecar]"),
    ("beta", ", doors: [rest, oauth2, msi, auth_request, ms_sidecar]"),
    ("desk", ", doors: [rest, oauth2, msi, auth_request, ms_sidecar], accounts: all"),
];
const DOORS: &str = "doors: [oauth2, msi, auth_request, ms_sidecar]\nms_sidecar: {app: orders}\n";

/// What named apis are for: an app and scopes, and whether users' tokens come for that app. Some doors know targets as apis only.
const TARGETS: [(&str, &str, bool); 10] = [
    ("daemon", GRAPH, false),
    ("daemon", BILLING, false),
    ("orders", GRAPH, true),
    ("orders", BILLING, true),
    ("orders", USER_READ, true),
    ("orders", INVOICES, true),
    ("partner", GRAPH, true),
    ("partner", USER_READ, true),
    ("shop", "stock.read", true),
    ("shop", "orders.read", true),
];

/// Who signed in through which caller, and to which app.
const SIGNED_IN: [(&str, &str, &str); 5] =
    [("alpha", "web", ANA), ("beta", "web", ANA), ("beta", "web", BEN), ("alpha", "partner", FAY), ("beta", "partner", ANA)];

/// The one key of all sessions: each caller began one with it, at these apps and for these users.
const SESSION: &str = "the-one-key-of-all-sessions-0123456789";
const SESSIONS: [(&str, &str, &str); 4] =
    [("alpha", "orders", ANA), ("beta", "orders", BEN), ("alpha", "partner", ANA), ("beta", "partner", FAY)];

/// Numbers that a seed decides.
struct Dice(u64);

/// What is asked.
#[derive(Clone, Debug)]
struct Question {
    caller: &'static str,
    path: &'static str,
    body: Value,
    /// The inbound token, by its place among those that were minted.
    bearer: Option<usize>,
    /// Whether the user's assertion is shown in its place.
    asserted: bool,
    /// By which door: tokend's own, the token endpoint, a managed identity's, a proxy's, or that of Microsoft's sidecar.
    door: Door,
    /// The sign-in whose handle is redeemed there, by its place among them.
    handle: usize,
    /// What the token has to say; `None`: there is nobody whose token it could be.
    expected: Option<Identity>,
}

/// How a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Rest,
    OAuth2,
    Msi,
    Proxy,
    Sidecar,
}

/// A caller of a stage, by each door.
struct Asker {
    rest: Client,
    plain: Client,
    proof: String,
}

/// What a stage was begun with.
struct Begun {
    /// The tokens that were minted.
    bearers: Vec<String>,
    /// The assertions of the same users.
    assertions: Vec<String>,
    /// The handle of each sign-in.
    handles: Vec<String>,
}

/// Whose a token is, and what it is good for.
#[derive(Clone, Debug, PartialEq)]
struct Identity {
    client: String,
    tenant: Option<&'static str>,
    /// The user's id, and what the account of the answer is called.
    user: Option<(String, String, String)>,
    /// A scope of it, or the resource that it is for.
    good_for: String,
}

/// A user: the name, the id where the token is issued, and the home account id.
#[derive(Clone, Debug)]
struct User {
    name: &'static str,
    app: &'static str,
    tenant: Option<&'static str>,
    id: String,
    home: String,
}

/// What both stages have in common, read of the directory.
struct Directory(Value);

// === impl Dice ===

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn one_of<T: Clone>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())].clone()
    }
}

// === impl Directory ===

impl Directory {
    fn client(&self, app: &str) -> String {
        let registered = match app {
            "orders" => "orders-api",
            "shop" => return "shop-orders".to_owned(),
            other => other,
        };
        let apps = self.0["apps"].as_array().expect("apps").iter();
        apps.into_iter().find(|entry| entry["name"] == registered).expect("an app")["client_id"].as_str().expect("an id").to_owned()
    }

    fn user(&self, app: &'static str, name: &'static str) -> User {
        if app == "shop" {
            let users = self.0["realms"][0]["users"].as_array().expect("users");
            let entry = users.iter().find(|entry| entry["username"] == name).expect("a user");
            let sub = entry["sub"].as_str().expect("a sub").to_owned();
            return User { name, app, tenant: None, id: sub.clone(), home: sub };
        }
        let users = self.0["users"].as_array().expect("users");
        let entry = users.iter().find(|entry| entry["username"] == name).expect("a user");
        let tenant = if entry["tenant"] == "fabrikam" || entry["tenant"] == FABRIKAM { FABRIKAM } else { CONTOSO };
        let id = entry["object_id"].as_str().expect("an id").to_owned();
        User { name, app, tenant: Some(tenant), home: format!("{id}.{tenant}"), id }
    }

    /// Those for whom inbound tokens are minted, twice each.
    fn inbound(&self) -> Vec<User> {
        let users = [("orders", ANA), ("orders", BEN), ("partner", ANA), ("partner", FAY), ("shop", "eva"), ("shop", "sam")];
        users.iter().flat_map(|(app, name)| [self.user(app, name), self.user(app, name)]).collect()
    }

    /// A question, and whose token the answer has to bring.
    fn question(&self, dice: &mut Dice) -> Question {
        let caller = dice.one_of(&["alpha", "beta", "desk"]);
        let mut question = match dice.below(4) {
            0 => self.of_app(dice, caller),
            1 => self.on_behalf(dice, caller),
            2 => self.in_session(dice, caller),
            _ => self.silent(dice, caller),
        };
        match dice.below(20) {
            0 => question.body["force_refresh"] = json!(true),
            1 | 2 => {
                let value = dice.below(5);
                question.body["client_claims"] = json!(format!(r#"{{"access_token":{{"acrs":{{"value":"c{value}"}}}}}}"#));
            }
            _ => {}
        }
        self.by_a_door(dice, question)
    }

    /// What is asked, by another door where that has words for it.
    fn by_a_door(&self, dice: &mut Dice, mut question: Question) -> Question {
        let door = dice.one_of(&[Door::Rest, Door::Rest, Door::OAuth2, Door::OAuth2, Door::Msi, Door::Proxy, Door::Sidecar]);
        let has = |member: &str| !question.body[member].is_null();
        if has("session") {
            return question;
        }
        let scopes = question.body["scopes"].as_str().unwrap_or_default();
        let fits = match door {
            Door::Rest => true,
            Door::OAuth2 => !has("client_claims"),
            Door::Msi => {
                let is_plain = ["client_claims", "tenant", "force_refresh"].into_iter().all(|member| !has(member));
                question.path == "/client-credentials" && is_plain && scopes.ends_with("/.default")
            }
            Door::Proxy => {
                let is_plain = ["client_claims", "tenant", "force_refresh"].into_iter().all(|member| !has(member));
                question.path != "/silent" && is_plain && !question.asserted
            }
            Door::Sidecar => question.path != "/silent" && !has("client_claims") && !question.asserted,
        };
        if !fits {
            return question;
        }
        if door == Door::OAuth2 && question.path == "/silent" {
            // The handle of a sign-in is its own caller's alone, and another's brings nothing.
            let of_user = |known: &(&'static str, &'static str, &'static str)| {
                question.body["app"] == known.1 && question.body["account"] == self.user(known.1, known.2).home
            };
            let all: Vec<usize> = (0..SIGNED_IN.len()).filter(|at| of_user(&SIGNED_IN[*at])).collect();
            question.handle = dice.one_of(&all);
            if SIGNED_IN[question.handle].0 != question.caller {
                question.expected = None;
            }
        }
        question.door = door;
        question
    }

    fn of_app(&self, dice: &mut Dice, caller: &'static str) -> Question {
        let (app, tenant, scopes) = dice.one_of(&[
            ("daemon", Some(CONTOSO), GRAPH),
            ("daemon", Some(CONTOSO), BILLING),
            ("orders", Some(CONTOSO), GRAPH),
            ("orders", Some(CONTOSO), BILLING),
            ("partner", Some(CONTOSO), GRAPH),
            ("partner", Some(FABRIKAM), GRAPH),
            ("shop", None, "stock.read"),
            ("shop", None, "orders.read"),
        ]);
        let mut body = json!({"app": app, "scopes": scopes});
        if app == "partner" {
            body["tenant"] = json!(tenant);
        }
        let expected = Identity { client: self.client(app), tenant, user: None, good_for: good_for(scopes) };
        Question {
            caller,
            path: "/client-credentials",
            body,
            bearer: None,
            asserted: false,
            door: Door::Rest,
            handle: 0,
            expected: Some(expected),
        }
    }

    fn on_behalf(&self, dice: &mut Dice, caller: &'static str) -> Question {
        let users = self.inbound();
        let bearer = dice.below(users.len());
        let user = &users[bearer];
        let scopes = match user.app {
            "orders" => dice.one_of(&[USER_READ, INVOICES]),
            "partner" => USER_READ,
            _ => dice.one_of(&["stock.read", "orders.read"]),
        };
        let asserted = dice.below(3) == 0;
        let mut body = json!({"app": user.app, "scopes": scopes});
        if asserted && user.app == "partner" {
            // Nobody believes what an assertion says of it.
            body["tenant"] = json!(user.tenant);
        }
        Question {
            caller,
            path: "/obo",
            body,
            bearer: Some(bearer),
            asserted,
            door: Door::Rest,
            handle: 0,
            expected: Some(self.of(user, scopes)),
        }
    }

    /// A session that goes on, or is begun anew by its user.
    fn in_session(&self, dice: &mut Dice, caller: &'static str) -> Question {
        let app = dice.one_of(&["orders", "partner"]);
        let scopes = if app == "orders" { dice.one_of(&[USER_READ, INVOICES]) } else { USER_READ };
        let known = SESSIONS.into_iter().find(|known| known.0 == caller && known.1 == app);
        let user = known.map(|(_, app, name)| self.user(app, name));
        let own = user.as_ref().filter(|_| dice.below(8) == 0);
        let bearer = own.and_then(|user| self.inbound().iter().position(|inbound| inbound.app == app && inbound.name == user.name));
        let body = json!({"app": app, "scopes": scopes, "session": SESSION});
        let expected = user.map(|user| self.of(&user, scopes));
        Question { caller, path: "/obo", body, bearer, asserted: false, door: Door::Rest, handle: 0, expected }
    }

    fn silent(&self, dice: &mut Dice, caller: &'static str) -> Question {
        let (app, name) = dice.one_of(&[("web", ANA), ("web", BEN), ("partner", ANA), ("partner", FAY)]);
        let user = self.user(app, name);
        let scopes = if app == "web" { dice.one_of(&[ORDERS, USER_READ]) } else { USER_READ };
        // Whoever sees all accounts has it wherever it is.
        let is_known = SIGNED_IN.iter().any(|known| (known.0 == caller || caller == "desk") && known.1 == app && known.2 == name);
        let body = json!({"app": app, "account": user.home, "scopes": scopes});
        let expected = is_known.then(|| self.of(&user, scopes));
        Question { caller, path: "/silent", body, bearer: None, asserted: false, door: Door::Rest, handle: 0, expected }
    }

    fn of(&self, user: &User, scopes: &str) -> Identity {
        let said = (user.id.clone(), user.home.clone(), user.name.to_owned());
        Identity { client: self.client(user.app), tenant: user.tenant, user: Some(said), good_for: good_for(scopes) }
    }

    /// What an answer says of itself, and its token. The other doors say nothing of the account but by the token.
    fn said(&self, answer: &Answer, question: &Question) -> Identity {
        let part = answer.token().split('.').nth(1).expect("a JWT").to_owned();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("claims");
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        let is_of_realm = claims["tid"].is_null();
        let client = text("appid").or_else(|| text("azp")).expect("a client");
        let account = &answer.json["account"];
        // What an issuer answers to an assertion names nobody, and whom the assertion names is not believed.
        let names_account = question.door == Door::Rest && !(question.asserted && is_of_realm);
        let id = if is_of_realm { text("sub").filter(|sub| *sub != client) } else { text("scp").and_then(|_| text("oid")) };
        let user = id.map(|id| {
            if !names_account {
                let expected = question.expected.as_ref().and_then(|expected| expected.user.clone());
                return expected.filter(|expected| expected.0 == id).unwrap_or((id, String::new(), String::new()));
            }
            let shown = |name: &str| account[name].as_str().unwrap_or_default().to_owned();
            (id, shown("home_account_id"), shown("username"))
        });
        let tenant = [CONTOSO, FABRIKAM].into_iter().find(|tenant| claims["tid"] == *tenant);
        if question.door == Door::Rest {
            assert_eq!(user.is_none() || !names_account, account.is_null(), "an account, and no user: {}", answer.text);
            assert_eq!(answer.json["tenant_id"].as_str(), tenant, "{}", answer.text);
        }
        let good_for = if is_of_realm { text("scope") } else { text("aud") };
        Identity { client, tenant, user, good_for: good_for.expect("what it is for") }
    }
}

/// What a token for these scopes says that it is for.
fn good_for(scopes: &str) -> String {
    match scopes {
        GRAPH | USER_READ => "https://graph.microsoft.com".to_owned(),
        BILLING | INVOICES => "api://billing".to_owned(),
        ORDERS => "2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11".to_owned(),
        other => other.to_owned(),
    }
}

/// A stage with its users signed in, and the tokens that were minted for it.
async fn begun(stage: &Stage, directory: &Directory) -> Begun {
    let mut handles = Vec::new();
    for (caller, app, user) in SIGNED_IN {
        let client = stage.client(0, caller);
        let scopes = if app == "web" { ORDERS } else { USER_READ };
        let body = code(&stage.emulator, &client, app, scopes, user).await;
        let text = |name: &str| body[name].as_str().expect("a text");
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", app),
            ("scope", scopes),
            ("code", text("code")),
            ("code_verifier", text("code_verifier")),
            ("redirect_uri", text("redirect_uri")),
        ];
        let answer = form(&client, "/oauth2/token", &pairs).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        handles.push(answer.member("refresh_token").to_owned());
    }
    let orders = directory.inbound().into_iter().map(|user| {
        let claims = json!({"exp": 4_000_000_000_u64});
        match user.app {
            "shop" => {
                let app = "https://orders.shop.example";
                json!({"realm": "shop", "app": app, "user": user.name, "scopes": "orders.read", "claims": claims})
            }
            app => {
                let app = if app == "orders" { "orders-api" } else { app };
                json!({"app": app, "user": user.name, "scopes": "access_as_user", "claims": claims})
            }
        }
    });
    let bearers = join_all(orders.map(|order| stage.emulator.mint(order))).await;
    for (caller, app, name) in SESSIONS {
        let at = directory.inbound().iter().position(|inbound| inbound.app == app && inbound.name == name).expect("a token");
        let body = json!({"app": app, "scopes": USER_READ, "session": SESSION});
        let answer = stage.client(0, caller).post_as("/obo", &bearers[at], &body).await;
        assert_eq!(answer.member("session"), SESSION, "{}", answer.text);
    }
    let assertions = directory.inbound().into_iter().map(|user| {
        let mut order = json!({"app": user.app, "user": user.name, "lifetime": 2_000_000_000});
        match user.app {
            "shop" => (order["realm"], order["app"]) = (json!("shop"), json!("https://orders.shop.example")),
            "orders" => order["app"] = json!("orders-api"),
            _ => {}
        }
        minted(&stage.emulator, order)
    });
    Begun { bearers, assertions: join_all(assertions).await, handles }
}

/// Who asks the replicas of a stage: making a client costs more than many answers.
fn clients(stage: &Stage) -> Vec<BTreeMap<&'static str, Asker>> {
    let asker = |replica, caller| Asker {
        rest: stage.client(replica, caller),
        plain: stage.nobody(replica).clone(),
        proof: stage.proof(caller),
    };
    let of_one = |replica| THREE.iter().map(|(caller, _)| (*caller, asker(replica, caller))).collect();
    (0..=stage.last()).map(of_one).collect()
}

/// Asks, and compares. Returns whether there was a token, and whether it came from a cache.
async fn asked(
    clients: &BTreeMap<&'static str, Asker>,
    begun: &Begun,
    directory: &Directory,
    question: &Question,
    is_calm: bool,
) -> (bool, bool) {
    let asker = &clients[question.caller];
    let answer = match (question.door, question.bearer) {
        (Door::OAuth2, _) => by_form(asker, begun, question).await,
        (Door::Msi, _) => by_query(asker, directory, question).await,
        (Door::Proxy, _) => by_sub_request(asker, begun, question).await,
        (Door::Sidecar, _) => by_header(asker, begun, question).await,
        (Door::Rest, Some(bearer)) if question.asserted => {
            let mut body = question.body.clone();
            body["assertion"] = json!(begun.assertions[bearer]);
            body["assertion_type"] = json!(SAML2);
            asker.rest.post(question.path, &body).await
        }
        (Door::Rest, Some(bearer)) => asker.rest.post_as(question.path, &begun.bearers[bearer], &question.body).await,
        (Door::Rest, None) => asker.rest.post(question.path, &question.body).await,
    };
    match &question.expected {
        Some(expected) if answer.status == 200 => assert_eq!(directory.said(&answer, question), *expected, "{question:?}"),
        None if question.door == Door::OAuth2 => {
            let is_refused = answer.status == 400 && answer.member("error") == "invalid_grant";
            assert!(is_refused || (!is_calm && answer.status >= 429), "{question:?}: {}", answer.text);
        }
        // What such a client would repeat for ever is 400 at that door.
        Some(_) if question.door == Door::Msi => {
            assert!(!is_calm && answer.status >= 400, "{question:?}: {} {}", answer.status, answer.text);
        }
        Some(_) => assert!(!is_calm && answer.status >= 429, "{question:?}: {} {}", answer.status, answer.text),
        // Nobody signed in: there is no token, whatever fails.
        None => assert!(answer.status == 401 || (!is_calm && answer.status >= 429), "{question:?}: {}", answer.text),
    }
    (answer.status == 200, answer.member("token_source") == "cache")
}

/// Asks at the token endpoint. The caller's proof stands in the form.
async fn by_form(asker: &Asker, begun: &Begun, question: &Question) -> Answer {
    let text = |member: &str| question.body[member].as_str();
    let mut pairs = vec![("client_secret", asker.proof.as_str())];
    pairs.extend(
        [("client_id", "app"), ("scope", "scopes"), ("tenant", "tenant")]
            .into_iter()
            .filter_map(|(name, member)| Some((name, text(member)?))),
    );
    if question.body["force_refresh"] == true {
        pairs.push(("force_refresh", "true"));
    }
    let encoded = question.bearer.map(|bearer| URL_SAFE_NO_PAD.encode(&begun.assertions[bearer])).unwrap_or_default();
    match (question.path, question.bearer) {
        (_, Some(_)) if question.asserted => {
            pairs.extend([("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"), ("assertion", &encoded)])
        }
        ("/silent", _) => pairs.extend([("grant_type", "refresh_token"), ("refresh_token", &begun.handles[question.handle])]),
        (_, Some(bearer)) => {
            pairs.extend([("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &begun.bearers[bearer])])
        }
        (_, None) => pairs.push(("grant_type", "client_credentials")),
    }
    form(&asker.plain, "/oauth2/token", &pairs).await
}

/// Asks as an SDK asks for a managed identity's token.
async fn by_query(asker: &Asker, directory: &Directory, question: &Question) -> Answer {
    let scopes = question.body["scopes"].as_str().unwrap_or_default();
    let resource = scopes.strip_suffix("/.default").unwrap_or(scopes);
    let id = match question.body["app"].as_str().unwrap_or_default() {
        // Two apps have its client id.
        "daemon" | "orders" => format!("mi_res_id=id-of-{}", question.body["app"].as_str().unwrap_or_default()),
        app => format!("client_id={}", directory.client(app)),
    };
    let url = format!("{}/msi/token?api-version=2019-08-01&resource={resource}&{id}", asker.plain.base);
    Client::send(asker.plain.http.get(url).header("x-identity-header", &asker.proof)).await
}

/// The place of a question's target among [`TARGETS`].
fn target(question: &Question) -> usize {
    let is_it = |known: &(&str, &str, bool)| question.body["app"] == known.0 && question.body["scopes"] == known.1;
    TARGETS.iter().position(is_it).expect("a target")
}

/// Asks as a proxy does.
async fn by_sub_request(asker: &Asker, begun: &Begun, question: &Question) -> Answer {
    let (at, own) = (target(question), if question.bearer.is_none() { "-own" } else { "" });
    let request = asker.rest.http.get(format!("{}/auth/t{at}{own}/of/another", asker.rest.base));
    let request = question.bearer.iter().fold(request, |request, bearer| request.bearer_auth(&begun.bearers[*bearer]));
    let answer = Client::send(request).await;
    let header = answer.header("authorization").to_owned();
    with_token(answer, &header)
}

/// Asks as clients of Microsoft's sidecar do.
async fn by_header(asker: &Asker, begun: &Begun, question: &Question) -> Answer {
    let route = if question.bearer.is_none() { "AuthorizationHeaderUnauthenticated" } else { "AuthorizationHeader" };
    let mut url = format!("{}/{route}/T{}?", asker.rest.base, target(question));
    if let Some(tenant) = question.body["tenant"].as_str() {
        url += &format!("optionsOverride.AcquireTokenOptions.Tenant={tenant}&");
    }
    if question.body["force_refresh"] == true {
        url += "optionsOverride.AcquireTokenOptions.ForceRefresh=true";
    }
    let request = question.bearer.iter().fold(asker.rest.http.get(url), |request, at| request.bearer_auth(&begun.bearers[*at]));
    let answer = Client::send(request).await;
    let header = answer.member("authorizationHeader").to_owned();
    with_token(answer, &header)
}

/// An answer that has its token as a header, as one that has it as a member.
fn with_token(mut answer: Answer, header: &str) -> Answer {
    if answer.status == 200 {
        answer.json = json!({"access_token": header.strip_prefix("Bearer ").expect("a bearer token")});
    }
    answer
}

/// Lets the authority fail for some requests.
async fn fail(stage: &Stage, dice: &mut Dice, ben: &str) {
    let mixed_up = URL_SAFE_NO_PAD.encode(json!({"uid": ben, "utid": CONTOSO}).to_string());
    let times = 1 + dice.below(8);
    let rules = [
        json!({"on": {"endpoint": "token"}, "times": times, "do": {"error": {"status": 500, "error": "server_error"}}}),
        json!({"on": {"endpoint": "token"}, "times": times, "do": {"throttle": {"status": 429, "retry_after": "3"}}}),
        json!({"on": {"endpoint": "token"}, "times": times, "do": {"close": true}}),
        json!({"on": {"endpoint": "token"}, "times": times, "do": {"raw": {"body": "<html>"}}}),
        json!({"on": {"endpoint": "token"}, "times": times, "do": {"delay_ms": 30}}),
        // About somebody else than it was asked for.
        json!({"on": {"endpoint": "token", "user": ANA}, "times": times, "do": {"set": {"client_info": mixed_up}}}),
    ];
    stage.emulator.script(dice.one_of(&rules)).await;
}

/// The configuration with every door open, and with names for the apps that share a client id with another one.
fn with_doors(base: &str) -> String {
    let named = |base: &str, app: &str| {
        base.replacen(&format!("  {app}: {{"), &format!("  {app}: {{managed_identity_ids: [id-of-{app}], "), 1)
    };
    let mut apis = "apis:\n".to_owned();
    for (at, (app, scopes, takes_users)) in TARGETS.iter().enumerate() {
        let (doors, switches) =
            (if *takes_users { "auth_request, ms_sidecar" } else { "ms_sidecar" }, "overrides: true, app_overrides: true");
        apis += &format!("  t{at}: {{app: {app}, scopes: [\"{scopes}\"], doors: [{doors}], {switches}, app_token: true}}\n");
        apis += &format!("  t{at}-own: {{app: {app}, scopes: [\"{scopes}\"], doors: [auth_request], identity: app}}\n");
    }
    named(&named(base, "daemon"), "orders").replacen("apis:\n", &apis, 1) + DOORS
}

#[tokio::test]
async fn every_answer_is_about_whom_it_was_asked_for_with_and_without_redis_and_with_faults() {
    let mut dice = Dice(u64::from(rand::random::<u32>()));
    // One of the callers is known by JWTs, the others are by tokens: what they get does not depend on that.
    let by_jwt = || Some((JwtKey::new("ci-1"), &["beta"][..]));
    let mut alone = Stage::empty(None).await;
    alone.by_jwt = by_jwt();
    alone.base = with_doors(&alone.base);
    alone.add(&THREE).await;
    let redis = RedisServer::start().await;
    let network = Fault::to(redis.url().trim_start_matches("redis://").trim_end_matches('/')).await;
    let direct = redis.url();
    let mut shared = Stage::empty(Some(redis)).await;
    shared.by_jwt = by_jwt();
    shared.base = with_doors(&shared.base);
    shared.base = shared.base.replace(&direct, &format!("redis://{}", network.address()));
    for _ in 0..2 {
        shared.add(&THREE).await;
    }
    let directory = Directory(alone.emulator.directory.clone());
    let ben = directory.user("web", BEN).id;
    let stages = [&alone, &shared];
    let begins = [begun(&alone, &directory).await, begun(&shared, &directory).await];
    let (of_alone, of_shared) = (clients(&alone), clients(&shared));
    let (mut answers, mut tokens, mut cached, mut faults) = (0, 0, 0, BTreeSet::new());
    for round in 0.. {
        if answers >= ANSWERS {
            break;
        }
        let fault = if round % 3 == 2 { dice.below(4) } else { 4 };
        faults.insert(fault);
        match fault {
            0..=2 => {
                let seed = dice.0;
                join_all(stages.map(async |stage| fail(stage, &mut Dice(seed), &ben).await)).await;
            }
            3 => network.cut(),
            _ => {}
        }
        let questions: Vec<Question> = (0..AT_ONCE).map(|_| directory.question(&mut dice)).collect();
        let replica = dice.below(2);
        let (in_memory, over_redis) =
            tokio::join!(
                join_all(questions.iter().map(|question| asked(&of_alone[0], &begins[0], &directory, question, fault >= 3))),
                join_all(questions.iter().enumerate().map(|(index, question)| {
                    asked(&of_shared[(replica + index) % 2], &begins[1], &directory, question, false)
                })),
            );
        for (is_token, is_cached) in in_memory.into_iter().chain(over_redis) {
            answers += 1;
            tokens += usize::from(is_token);
            cached += usize::from(is_cached);
        }
        // What was remembered of failures is over, and tokens come of age.
        network.pass();
        let later = Duration::from_secs(if fault < 3 { 200 } else { u64::try_from(dice.below(300)).expect("seconds") });
        for stage in stages {
            if fault < 3 {
                stage.emulator.unscript().await;
            }
            stage.clock.advance(later);
        }
    }
    // It says nothing if there is nothing to compare.
    assert!(tokens * 10 > answers * 6 && cached * 10 > answers, "{tokens} tokens, {cached} of them cached");
    assert!(faults.len() == 5 && tokens > cached, "{faults:?}");
}
