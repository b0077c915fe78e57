//! What a cached hit costs, side by side in one run with two bare axum servers: JSON in and out by serde, and a constant body.
//!
//! `cargo bench` prints ratios and memory figures. Absolute times belong to the machine; the ratios belong to the code.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and ends where it cannot go on")]

mod authority;
mod bare;
mod load;
mod memory;
mod processes;
mod server;
mod statistics;
mod versions;

use std::sync::Arc;

use authority::Issuer;
use load::{Load, Request};
use server::{Server, TOKEN};
use statistics::{Rounds, median};

/// How many users the full sidecar has cached.
const USERS: usize = 100_000;
/// How often each server is measured, in turn with the others.
const ROUNDS: usize = 7;

fn main() {
    // Cargo passes `--bench`; a word beside it chooses a part.
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let only = words.first().cloned();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["versions", old, new] => return versions::compare(old.as_ref(), new.as_ref()),
        ["processes", rest @ ..] => return processes::report(rest.first().map(AsRef::as_ref)),
        ["bare", port] => return server::serve_bare(port.parse().expect("a port")),
        _ => {}
    }
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    if wanted("memory") {
        memory::report();
    }
    if wanted("hits") {
        hits();
    }
    if wanted("doors") {
        doors();
    }
    if wanted("sampling") {
        sampling();
    }
    if wanted("users") {
        users();
    }
}

/// What tracing costs a hit: a process without a collector, one request in twenty, every request. The spans are batched and sent by
/// a thread of the exporter's own, whose time is not counted here; what it cannot send in time it drops.
fn sampling() {
    let issuer = Issuer::start();
    let bare = Server::bare_serde();
    let off = Server::sampled(&issuer, 256 << 20, None);
    let few = Server::sampled(&issuer, 256 << 20, Some(0.05));
    let all = Server::sampled(&issuer, 256 << 20, Some(1.0));
    let request = Request::post("/client-credentials", r#"{"app":"shop","scopes":["stock.read"]}"#, None);
    let plan = [("bare axum, serde", &bare), ("tracing off", &off), ("ratio 0.05", &few), ("ratio 1", &all)];
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        for (name, server) in plan {
            let measured = Load::one(request.clone()).run(server);
            if round > 0 {
                rounds.add(name, measured);
            }
        }
    }
    rounds.print("cached /client-credentials by part of requests traced");
    for traced in ["ratio 0.05", "ratio 1"] {
        for other in ["tracing off", "bare axum, serde"] {
            let [rate, cpu] = rounds.ratio(traced, other);
            println!("  {traced} / {other}: requests per second {rate:.2}, CPU per request {cpu:.2}");
        }
    }
}

/// Client credentials and on-behalf-of from memory, against the bare servers.
fn hits() {
    let issuer = Issuer::start();
    let sidecar = Server::sidecar(&issuer, 256 << 20);
    let guarded = Server::for_callers(&issuer, 256 << 20);
    let (by_serde, constant) = (Server::bare_serde(), Server::bare_constant());
    let app = r#"{"app":"shop","scopes":["stock.read"]}"#;
    let user = issuer.user_token(0);
    let plan = [
        ("bare axum, serde", &by_serde, Request::post("/client-credentials", app, None)),
        ("bare axum, constant", &constant, Request::post("/client-credentials", app, None)),
        ("tokend /client-credentials", &sidecar, Request::post("/client-credentials", app, None)),
        ("bare axum, serde, bearer", &by_serde, Request::post("/obo", app, Some(&user))),
        ("bare axum, constant, bearer", &constant, Request::post("/obo", app, Some(&user))),
        ("tokend /obo", &sidecar, Request::post("/obo", app, Some(&user))),
        ("tokend /client-credentials, caller", &guarded, Request::calling("/client-credentials", app, None, TOKEN)),
        ("tokend /obo, caller", &guarded, Request::calling("/obo", app, Some(&user), TOKEN)),
    ];
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        for (name, server, request) in &plan {
            let measured = Load::one(request.clone()).run(server);
            // The first round fills caches and connections.
            if round > 0 {
                rounds.add(name, measured);
            }
        }
    }
    rounds.print("cached hits (32 connections, 1.6 kB tokens, metrics on, 5 % of requests traced)");
    for (ours, bare) in [("tokend /client-credentials", ""), ("tokend /obo", ", bearer")] {
        for kind in ["serde", "constant"] {
            let other = format!("bare axum, {kind}{bare}");
            let [rate, cpu] = rounds.ratio(ours, &other);
            println!("  {ours} / {other}: requests per second {rate:.2}, CPU per request {cpu:.2}");
        }
        let [rate, cpu] = rounds.ratio(&format!("{ours}, caller"), ours);
        println!("  the same with callers / without: requests per second {rate:.2}, CPU per request {cpu:.2}");
    }
}

/// Hits from memory at the doors for other protocols, against a bare server that reads a form, a query or a bearer.
fn doors() {
    let issuer = Issuer::start();
    let (sidecar, bare) = (Server::with_doors(&issuer, 256 << 20), Server::bare_doors());
    let form = format!("grant_type=client_credentials&client_id=shop&scope=stock.read&client_secret={TOKEN}");
    let form = Request::form("/oauth2/token", &form);
    let identity =
        Request::identity("/msi/token?api-version=2019-08-01&client_id=vault&resource=https%3A%2F%2Fstock.example", TOKEN);
    let proxied = Request::sub_request("/auth/stock", &issuer.user_token(0), TOKEN);
    let plan = [
        ("bare axum, form", &bare, &form),
        ("tokend /oauth2/token, caller", &sidecar, &form),
        ("bare axum, bearer", &bare, &proxied),
        ("tokend /auth/{api}, caller", &sidecar, &proxied),
        ("bare axum, query", &bare, &identity),
        ("tokend /msi/token, caller", &sidecar, &identity),
    ];
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        for (name, server, request) in plan {
            let measured = Load::one(request.clone()).run(server);
            if round > 0 {
                rounds.add(name, measured);
            }
        }
    }
    rounds.print("cached hits at the doors (32 connections, 1.6 kB tokens, metrics on, 5 % of requests traced)");
    for (ours, bare) in [
        ("tokend /oauth2/token, caller", "bare axum, form"),
        ("tokend /msi/token, caller", "bare axum, query"),
        ("tokend /auth/{api}, caller", "bare axum, bearer"),
    ] {
        let [rate, cpu] = rounds.ratio(ours, bare);
        println!("  {ours} / {bare}: requests per second {rate:.2}, CPU per request {cpu:.2}");
    }
}

/// On-behalf-of hits with one cached user and with a hundred thousand.
fn users() {
    let issuer = Issuer::start();
    let (one, many) = (Server::sidecar(&issuer, 1 << 30), Server::sidecar(&issuer, 1 << 30));
    let body = r#"{"app":"shop","scopes":["stock.read"]}"#;
    let requests: Arc<[Request]> = (0..USERS).map(|user| Request::post("/obo", body, Some(&issuer.user_token(user)))).collect();
    let fill = Load::each(Arc::clone(&requests)).run(&many);
    println!("\nfilled {USERS} users, {:.0} a second; calls to the issuer: {}", fill.rate, issuer.calls());
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        let single = Load::one(requests[0].clone()).run(&one);
        let spread = Load::random(Arc::clone(&requests)).run(&many);
        if round > 0 {
            rounds.add("1 user", single);
            rounds.add("100,000 users", spread);
        }
    }
    rounds.print("cached /obo by number of cached users");
    let [_, cpu] = rounds.ratio("100,000 users", "1 user");
    println!("  cost per hit, 100,000 users / 1 user: {cpu:.2}; calls to the issuer in all: {}", issuer.calls());
    let figures = rounds.of("1 user");
    println!("  (median CPU per hit with 1 user: {:.1} µs)", median(figures.iter().map(|measured| measured.cpu_micros)));
}
