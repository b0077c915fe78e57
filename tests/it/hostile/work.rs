//! Work that outlives its request: it keeps its place and its bytes until it ends,
//! whoever leaves, and beyond the bound nothing begins.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_all};
use serde_json::{Value, json};

use crate::support::{Answer, Client, World, code, eventually};

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
const USER_READ: &str = "https://graph.microsoft.com/User.Read";
/// Room for about 24 flights of an inbound token.
const LIMITS: &str = "limits: {body: 8KiB, header: 8KiB, flights: 512KiB}";

/// A world whose authority answers no call for a token until it is told to, and tokens of its users, as many as are asked for.
async fn held(users: usize) -> (World, Vec<String>) {
    let world = World::with(LIMITS).await;
    let mut tokens = Vec::new();
    for number in 0..users {
        let claims = json!({"oid": format!("00000000-0000-4000-8000-{number:012}"), "ballast": "x".repeat(900)});
        tokens.push(world.emulator.mint(json!({"app": "orders-api", "scopes": "access_as_user", "claims": claims})).await);
    }
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
    (world, tokens)
}

/// `POST /obo`.
async fn obo(client: &Client, bearer: &str) -> Answer {
    client.post_as("/obo", bearer, &json!({"app": "orders", "scopes": USER_READ})).await
}

/// What is under way, in pieces and in bytes.
async fn flights(world: &World) -> (f64, f64) {
    (world.sidecar.metric("tokend_flights").await, world.sidecar.metric("tokend_flight_bytes").await)
}

/// Waits until nobody is being answered any more.
async fn all_left(world: &World) {
    eventually(PATIENCE, async || world.sidecar.metric("tokend_http_requests_in_flight").await < 1.0).await;
}

/// Sends all of them, and leaves when so many flights are under way or one was refused. Returns the first answer, if there was one.
async fn ask_and_leave(world: &World, client: &Client, bearers: &[String]) -> Option<Answer> {
    let before = flights(world).await.0;
    let wanted = before + f64::from(u32::try_from(bearers.len()).expect("a small number"));
    let asked = bearers.iter().map(|bearer| obo(client, bearer).boxed());
    let begun = eventually(PATIENCE, async || flights(world).await.0 >= wanted);
    tokio::select! {
        (answer, ..) = select_all(asked) => Some(answer),
        () = begun => None,
    }
}

/// Fills the bound with flights that everybody has left; returns how many there are.
async fn fill(world: &World, client: &Client, bearers: &[String]) -> usize {
    for (number, bearer) in bearers.iter().enumerate() {
        let answer = ask_and_leave(world, client, std::slice::from_ref(bearer)).await;
        all_left(world).await;
        if let Some(answer) = answer {
            answer.refused(503, "overloaded", "`limits.flights`");
            assert_eq!((answer.header("retry-after"), &answer.json["retryable"]), ("1", &Value::Bool(true)));
            return number;
        }
    }
    panic!("nothing was ever refused");
}

/// Lets the authority go on, and waits for the end of all that is under way.
async fn let_go(world: &World) {
    world.emulator.unscript().await;
    eventually(PATIENCE, async || flights(world).await == (0.0, 0.0)).await;
}

/// A client that speaks HTTP/2 over one connection: whoever leaves resets a stream.
fn over_http2(world: &World) -> Client {
    let http = reqwest::Client::builder().http2_prior_knowledge().no_proxy().timeout(Duration::from_secs(30)).build();
    Client { http: http.expect("a client"), base: world.sidecar.client.base.clone() }
}

/// Fills the bound, looks at what that means for everybody else, and lets go.
async fn leave(world: &World, client: &Client, bearers: &[String]) {
    let begun = fill(world, client, bearers).await;
    assert!((10..39).contains(&begun), "{begun}");
    let (pieces, bytes) = flights(world).await;
    assert_eq!(format!("{pieces}"), format!("{begun}"));
    // Each is charged for the token that it carries, four times.
    let texts = bearers.iter().take(begun).map(String::len).sum::<usize>() * 4;
    assert!(bytes > f64::from(u32::try_from(texts).expect("a number")) && bytes <= 512.0 * 1024.0, "{bytes}");
    // To join costs nothing, and whoever was refused is refused for that reason only.
    for bearer in [&bearers[0], &bearers[begun - 1]] {
        assert!(waits(world, client, bearer).await);
    }
    all_left(world).await;
    assert_eq!(flights(world).await, (pieces, bytes));
    obo(client, &bearers[39]).await.refused(503, "overloaded", "`limits.flights`");
    assert!(world.sidecar.metric("tokend_flights_refused_total{work=\"flight\"}").await >= 2.0);
    let_go(world).await;
    // What was asked for is there for whoever asks again, and there is room for the others.
    for bearer in &bearers[..begun] {
        assert_eq!(obo(client, bearer).await.source(), "cache");
    }
    assert_eq!(obo(client, &bearers[39]).await.source(), "identity_provider");
}

#[tokio::test]
async fn whoever_leaves_leaves_the_work_within_its_bound() {
    let (world, bearers) = held(40).await;
    let leaver = world.leaver().await;
    leave(&world, &leaver.client, &bearers).await;
}

#[tokio::test]
async fn whoever_resets_a_stream_leaves_the_work_within_its_bound() {
    let (world, bearers) = held(40).await;
    leave(&world, &over_http2(&world), &bearers).await;
}

/// Asks for what is under way already, and leaves when that is so. Returns whether it waited and was not answered.
async fn waits(world: &World, client: &Client, bearer: &str) -> bool {
    let waits = eventually(PATIENCE, async || world.sidecar.metric("tokend_http_requests_in_flight").await >= 1.0);
    let waits = async {
        waits.await;
        // Long enough for a refusal: that needs no wait.
        for _ in 0..20 {
            world.sidecar.metric("tokend_http_requests_in_flight").await;
        }
    };
    tokio::select! {
        _answer = obo(client, bearer) => false,
        () = waits => true,
    }
}

#[tokio::test]
async fn a_sign_out_finds_room_where_flights_find_none() {
    let (world, bearers) = held(40).await;
    fill(&world, &world.leaver().await.client, &bearers).await;
    let client = &world.sidecar.client;
    let gone = Client::send(client.http.delete(format!("{}/accounts/some.body?app=orders", client.base))).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let_go(&world).await;
}

#[tokio::test]
async fn renewals_leave_room_for_those_who_wait() {
    let (world, bearers) = held(60).await;
    let client = &world.sidecar.client;
    world.emulator.unscript().await;
    let rule = json!({"on": {"endpoint": "token"}, "times": 0, "do": {"expires_in": 10_000, "set": {"refresh_in": 1000}}});
    world.emulator.script(rule).await;
    let (due, others) = bearers.split_at(30);
    for bearer in due {
        obo(client, bearer).await.token();
    }
    world.emulator.unscript().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
    world.later(1000);
    let (mut renewing, mut valid) = (0, 0);
    for answer in join_all(due.iter().map(|bearer| obo(client, bearer))).await {
        assert_eq!(answer.source(), "cache");
        match answer.member("refresh_reason") {
            "proactively_refreshed" => renewing += 1,
            _ => valid += 1,
        }
    }
    // Half of the bound, and whoever finds no room has a valid token all the same.
    assert!(renewing > 5 && valid > 5, "{renewing} {valid}");
    assert!(world.sidecar.metric("tokend_flights_refused_total{work=\"renewal\"}").await >= 1.0);
    let begun = fill(&world, &world.leaver().await.client, others).await;
    assert!(begun > 5, "{begun}");
    let_go(&world).await;
}

#[tokio::test]
async fn a_poll_of_a_device_code_is_work_until_it_ends() {
    let world = World::with(LIMITS).await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"hold": true}})).await;
    let (leaver, mut begun, mut codes) = (world.leaver().await, 0, Vec::new());
    for _ in 0..100 {
        let start = json!({"app": "web", "scopes": "api://orders/access_as_user"});
        let started = world.sidecar.client.post("/device-code", &start).await;
        assert_eq!(started.status, 200, "{}", started.text);
        let body = json!({"device_code": started.json["device_code"]});
        codes.push(body.clone());
        let wanted = flights(&world).await.0 + 1.0;
        let answer = tokio::select! {
            answer = leaver.client.post("/device-code/poll", &body) => Some(answer),
            () = eventually(PATIENCE, async || flights(&world).await.0 >= wanted) => None,
        };
        if let Some(answer) = answer {
            answer.refused(503, "overloaded", "`limits.flights`");
            assert_eq!(answer.json["retryable"], true, "it was not sent");
            break;
        }
        begun += 1;
    }
    assert!((5..60).contains(&begun), "{begun}");
    all_left(&world).await;
    assert!(flights(&world).await.0 >= f64::from(begun));
    let_go(&world).await;
    // Nothing is lost: each is polled again.
    world.later(5);
    for body in codes {
        world.sidecar.client.post("/device-code/poll", &body).await.refused(400, "authorization_pending", "");
    }
}

#[tokio::test]
async fn a_redemption_is_work_until_it_ends() {
    let world = World::with(LIMITS).await;
    let ballast = "x".repeat(4000);
    let held = json!({"on": {"grant_type": "authorization_code"}, "times": 0, "do": {"hold": true}});
    world.emulator.script(held).await;
    // One is good; the others are what anybody may send.
    let mut good = code(&world.emulator, &world.sidecar.client, "web", "api://orders/access_as_user", "ana@contoso.example").await;
    let (leaver, mut begun) = (world.leaver().await, 0);
    for number in 0..100 {
        let mut body = good.clone();
        if number > 0 {
            body["code"] = json!(format!("{number} {ballast}"));
        }
        let wanted = flights(&world).await.0 + 1.0;
        let answer = tokio::select! {
            answer = leaver.client.post("/auth-code", &body) => Some(answer),
            () = eventually(PATIENCE, async || flights(&world).await.0 >= wanted) => None,
        };
        if let Some(answer) = answer {
            answer.refused(503, "overloaded", "`limits.flights`");
            assert_eq!(answer.json["retryable"], true, "it was not sent");
            break;
        }
        begun += 1;
    }
    assert!((5..40).contains(&begun), "{begun}");
    all_left(&world).await;
    assert!(flights(&world).await.0 >= f64::from(begun));
    assert!(world.sidecar.metric("tokend_flights_refused_total{work=\"redemption\"}").await >= 1.0);
    let_go(&world).await;
    good["code"] = json!("another one");
    assert_eq!(world.redeem(&good).await.status, 400);
    // The user signed in, although nobody was there any more.
    let listed = world.sidecar.client.get("/accounts?app=web").await;
    assert_eq!(listed.json["accounts"].as_array().map(Vec::len), Some(1), "{}", listed.text);
}
