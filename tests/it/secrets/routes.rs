//! Every route in good ways and in bad ones, with a canary in every place that can hold a secret.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::canaries::Canaries;
use crate::callers::key_server::{JwtKey, KeyServer};
use crate::doors::{form, formed};
use crate::saml::{SAML2, minted};
use crate::support::{Answer, Client, GRAPH, REDIRECT_URI, World};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const ACCESS: &str = "api://orders/access_as_user";

/// A body sent as it stands with some header.
async fn with_header(world: &World, path: &str, body: &Value, header: (&str, &str)) -> Answer {
    Client::send(world.sidecar.client.request(path, body).header(header.0, header.1)).await
}

pub(super) async fn app_tokens(world: &World, all: &mut Canaries) {
    for app in ["daemon", "daemon-cert"] {
        all.answer(app, &world.app_token(json!({"app": app, "scopes": [GRAPH]})).await);
        all.answer(app, &world.app_token(json!({"app": app, "scopes": [GRAPH]})).await);
    }
    all.answer("shop", &world.app_token(json!({"app": "shop", "scopes": ["stock.read"]})).await);
    all.answer("shop-cert", &world.app_token(json!({"app": "shop-cert", "scopes": ["stock.read"]})).await);
    for canary in ["canary-member-0123456789", "eyJjYW5hcnkiOiJtZW1iZXIifQ.canary"] {
        all.secret("value of a member", canary);
        for body in [
            json!({"app": canary}),
            json!({"app": "daemon", "scopes": [GRAPH], "tenant": canary}),
            json!({"app": "daemon", "scopes": [GRAPH], "claims": canary}),
            json!({"app": "daemon", "scopes": [GRAPH], "access_token_sha256": canary}),
            json!({"app": "daemon", "scopes": [canary, "a b"]}),
            json!({"client_secret": canary}),
            json!({"force_refresh": canary}),
        ] {
            all.answer("a bad app token request", &world.app_token(body).await);
        }
        let path = format!("/client-credentials?client_secret={canary}");
        all.answer("a query", &world.sidecar.client.post(&path, &json!({})).await);
        all.answer("a path", &world.sidecar.client.post(&format!("/{canary}"), &json!({})).await);
        let body = json!({"app": "daemon"});
        for name in ["x-correlation-id", "traceparent", "x-forwarded-for", "origin", "host", "content-encoding", "x-tokend-token"] {
            all.answer(name, &with_header(world, "/client-credentials", &body, (name, canary)).await);
        }
    }
}

pub(super) async fn on_behalf_of(world: &World, all: &mut Canaries) {
    let body = json!({"app": "orders", "scopes": [USER_READ]});
    for (name, order) in [
        ("good token", json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user"})),
        ("token of mia", json!({"app": "orders-api", "user": "mia@contoso.example", "scopes": "access_as_user"})),
        ("expired token", json!({"app": "orders-api", "lifetime": -900})),
        ("foreign token", json!({"app": "billing-api", "scopes": "invoices.read"})),
        ("token by an unknown key", json!({"app": "orders-api", "key": "unknown"})),
        ("token without the scope", json!({"app": "orders-api", "scopes": "orders.export"})),
        ("id token", json!({"app": "orders-api", "kind": "id"})),
    ] {
        let token = world.emulator.mint(order).await;
        all.secret(name, token.clone());
        for path_body in
            [body.clone(), json!({"app": "orders-secret", "scopes": [USER_READ]}), json!({"app": "web", "scopes": ["x"]})]
        {
            all.answer(name, &world.sidecar.client.post_as("/obo", &token, &path_body).await);
        }
        for value in [format!("Basic {token}"), format!("Bearer {token} {token}"), token.clone()] {
            all.answer(name, &with_header(world, "/obo", &body, ("authorization", &value)).await);
        }
        all.answer(name, &world.sidecar.client.post("/obo", &json!({"app": "orders", "assertion": token})).await);
        all.answer(name, &world.sidecar.client.post("/obo", &json!({"app": "orders", token: 1})).await);
    }
    let eva = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    let eva = world.emulator.mint(eva).await;
    all.secret("token of eva", eva.clone());
    let exchange = json!({"app": "shop", "scopes": ["stock.read"]});
    all.answer("token exchange", &world.sidecar.client.post_as("/obo", &eva, &exchange).await);
    sessions(world, all).await;
}

/// Keys of sessions, in every place where one can stand.
async fn sessions(world: &World, all: &mut Canaries) {
    let client = &world.sidecar.client;
    let bearer = world.emulator.user_token("ana@contoso.example").await;
    let other = world.emulator.user_token("ben@contoso.example").await;
    all.secret("token of ana", bearer.clone());
    all.secret("token of ben", other.clone());
    let body = |session: &str| json!({"app": "orders", "scopes": [USER_READ], "session": session});
    let (own, unknown) = ("canary-session-of-the-caller-0123456789", "canary-session-that-nobody-began-0123456789");
    let wrong = ["canary-session with a space 0123456789", "canary-session-\u{e9}-0123456789"];
    all.secret("own session key", own);
    all.secret("unknown session key", unknown);
    wrong.iter().for_each(|key| all.secret("wrong session key", *key));
    let new = client.post_as("/obo", &bearer, &body("new")).await;
    all.answer("new session", &new);
    let begun = client.post_as("/obo", &bearer, &body(own)).await;
    assert_eq!((begun.status, begun.member("session")), (200, own), "{}", begun.text);
    all.answer("session of the caller", &begun);
    let made = new.member("session").to_owned();
    assert!(made.len() == 43, "{}", new.text);
    for key in [own, &made, unknown, wrong[0], wrong[1]] {
        all.answer("session that goes on", &client.post("/obo", &body(key)).await);
        all.answer("session of another user", &client.post_as("/obo", &other, &body(key)).await);
        all.answer("session of another app", &client.post("/obo", &json!({"app": "shop", "session": key})).await);
        all.answer("session at another route", &client.post("/silent", &json!({"app": "web", "session": key})).await);
        all.answer("a key as a member", &client.post("/obo", &json!({"app": "orders", key: 1})).await);
        let forced = json!({"app": "orders", "scopes": [USER_READ], "session": key, "force_refresh": true});
        all.answer("session that is renewed", &client.post("/obo", &forced).await);
    }
    for key in [own, &made, unknown, wrong[0]] {
        for ending in
            [json!({"app": "orders", "session": key}), json!({"session": key}), json!({"app": "orders", "session": [key]})]
        {
            let request = client.http.delete(format!("{}/obo", client.base)).header("content-type", "application/json");
            all.answer("end of a session", &Client::send(request.body(ending.to_string())).await);
        }
    }
}

/// Assertions in and out, and what is said of those that are none.
pub(super) async fn assertions(world: &World, all: &mut Canaries) {
    let body = |more: Value| {
        let mut body = json!({"app": "orders", "scopes": [USER_READ], "subject_token_type": SAML2});
        body.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        body
    };
    let ask = async |more: Value| world.sidecar.client.post("/obo", &body(more)).await;
    for (name, order) in [
        ("assertion", json!({"app": "orders-api", "user": "ana@contoso.example"})),
        ("assertion of mia", json!({"app": "orders-api", "user": "mia@contoso.example"})),
        ("ended assertion", json!({"app": "orders-api", "user": "ben@contoso.example", "lifetime": -900})),
        ("foreign assertion", json!({"app": "billing-api", "user": "ana@contoso.example"})),
        ("assertion of another version", json!({"version": "1.1", "app": "orders-api", "user": "ana@contoso.example"})),
        ("assertion by an unknown key", json!({"app": "orders-api", "user": "ana@contoso.example", "key": "unknown"})),
    ] {
        let xml = minted(&world.emulator, order).await;
        let encoded = URL_SAFE_NO_PAD.encode(&xml);
        for spelt in [xml, encoded] {
            all.secret(name, spelt.clone());
            for more in [
                json!({"assertion": spelt}),
                json!({"assertion": spelt, "requested_token_type": SAML2, "scopes": "api://billing/.default"}),
                json!({"assertion": spelt, "app": "web"}),
                json!({"assertion": spelt, "assertion_type": SAML2}),
                json!({"assertion": spelt, "subject_token_type": spelt}),
                json!({"subject_token": spelt}),
            ] {
                all.answer(name, &ask(more).await);
            }
        }
    }
    let canary = "canary-of-an-assertion-0123456789";
    all.secret("what stands in an assertion", canary);
    let head = "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\" Version=\"2.0\">";
    for text in [
        canary.to_owned(),
        format!("<{canary}"),
        format!("<{canary}/>"),
        format!("{head}<Subject><NameID>{canary}</NameID></Subject></Assertion>"),
        format!("{head}<Subject><NameID>{canary}<!-- {canary} --></NameID></Subject></Assertion>"),
        format!("{head}<Conditions NotOnOrAfter=\"{canary}\"/></Assertion>"),
        format!("<!DOCTYPE a [<!ENTITY b \"{canary}\">]>{head}</Assertion>"),
        format!(
            "{head}<Conditions NotOnOrAfter=\"2030-01-01T00:00:00Z\"/><Subject><NameID>{canary}</NameID></Subject></Assertion>"
        ),
    ] {
        all.answer("no assertion", &ask(json!({"assertion": text})).await);
        all.answer("no assertion", &ask(json!({"assertion": URL_SAFE_NO_PAD.encode(&text)})).await);
    }
    // The authority repeats it.
    let xml = minted(&world.emulator, json!({"app": "orders-api", "user": "ana@contoso.example"})).await;
    let encoded = URL_SAFE_NO_PAD.encode(&xml);
    all.secret("echoed assertion", encoded.clone());
    let said = json!({"error": "invalid_grant", "error_description": format!("{encoded} is bad"), "suberror": encoded});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": said}})).await;
    all.answer("echoed assertion", &ask(json!({"assertion": xml})).await);
}

/// The end of a sign-in at the authority.
pub(super) async fn sign_outs(world: &World, all: &mut Canaries) {
    let signed = world.redeem(&world.code("web", ACCESS, "ana@contoso.example").await).await;
    all.answer("sign-in", &signed);
    let (canary, back) = ("canary-of-a-sign-out-0123456789", "https://app.example/bye");
    let hint = format!("eyJhbGciOiJub25lIn0.{canary}.");
    all.secret("member of a sign-out", canary);
    all.secret("id token hint", hint.clone());
    for more in [
        json!({"id_token_hint": signed.member("id_token")}),
        json!({"id_token_hint": hint}),
        json!({"id_token_hint": canary}),
        json!({"id_token_hint": hint, "state": canary}),
        json!({"state": canary, "post_logout_redirect_uri": back}),
        json!({"post_logout_redirect_uri": canary}),
        json!({"logout_hint": canary}),
        json!({"logout_hint": canary, "account": canary}),
        json!({"account": canary}),
        json!({canary: 1}),
    ] {
        let mut body = json!({"app": "web"});
        body.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        let answer = world.sidecar.client.post("/sign-out/url", &body).await;
        // The URL of a success has what it was given; nothing else may have it.
        all.answer("sign-out", &answer);
    }
}

pub(super) async fn sign_ins(world: &World, all: &mut Canaries) {
    for (app, user, scopes) in [("web", "ana@contoso.example", ACCESS), ("shop-web", "eva", "orders.read")] {
        let good = world.code(app, scopes, user).await;
        for member in ["code", "code_verifier", "nonce"] {
            all.secret(member, good[member].as_str().expect("a text"));
        }
        let mut bad = good.clone();
        bad["code_verifier"] = json!("canary-verifier-canary-verifier-canary-verifier");
        all.secret("wrong verifier", "canary-verifier-canary-verifier-canary-verifier");
        let mut odd = good.clone();
        odd["nonce"] = json!("canary-nonce-0123456789");
        all.secret("wrong nonce", "canary-nonce-0123456789");
        for (name, body) in [("odd nonce", &odd), ("redeemed twice", &good)] {
            all.answer(name, &world.redeem(body).await);
        }
        let fresh = world.code(app, scopes, user).await;
        all.secret("fresh code", fresh["code"].as_str().expect("a code"));
        bad["code"] = fresh["code"].clone();
        all.answer("wrong verifier", &world.redeem(&bad).await);
        let last = world.code(app, scopes, user).await;
        all.secret("last code", last["code"].as_str().expect("a code"));
        all.answer("good code", &world.redeem(&last).await);
        let url = json!({"state": "canary-state-0123456789", "login_hint": "canary-hint-0123456789", "response_mode": "fragment"});
        all.secret("state", "canary-state-0123456789");
        all.secret("login hint", "canary-hint-0123456789");
        all.answer("a bad URL", &world.authorize_url(app, scopes, url).await);
    }
    let body = json!({"app": "web", "scopes": [ACCESS], "redirect_uri": REDIRECT_URI, "code": "canary-code-0123456789"});
    all.secret("unknown code", "canary-code-0123456789");
    all.answer("unknown code", &world.redeem(&body).await);
}

/// Passwords, and refresh tokens that another library got.
pub(super) async fn carried_in(world: &World, all: &mut Canaries) {
    let client = &world.sidecar.client;
    for (name, username, password) in [
        ("good password", "ana@contoso.example", "ana-password"),
        ("wrong password", "ben@contoso.example", "canary-password-0123456789"),
        ("password of nobody", "canary-user-0123456789@contoso.example", "canary-password-of-nobody-0123"),
    ] {
        all.secret(name, password);
        let body = json!({"app": "web", "scopes": [ACCESS], "username": username, "password": password});
        all.answer(name, &client.post("/username-password", &body).await);
        all.answer(name, &client.post("/username-password", &json!({"username": username, "password": [password]})).await);
        all.answer(name, &client.post("/auth-code", &body).await);
        let pairs =
            [("grant_type", "password"), ("client_id", "web"), ("scope", ACCESS), ("username", username), ("password", password)];
        all.answer(name, &Client::send(formed(client, "/oauth2/token", &pairs)).await);
    }
    all.secret("name of nobody", "canary-user-0123456789");
    let order = json!({"client": "web", "user": "ana@contoso.example", "scope": format!("openid offline_access {ACCESS}")});
    let foreign = world.emulator.client.post("/_emulator/refresh-token", &order).await.member("refresh_token").to_owned();
    for (name, token) in [("foreign refresh token", &*foreign), ("unknown refresh token", "0.canary-refresh-token-0123456789")] {
        all.secret(name, token);
        for body in [
            json!({"app": "web", "scopes": [ACCESS], "refresh_token": token}),
            json!({"app": "daemon", "scopes": [ACCESS], "refresh_token": token}),
            json!({"app": "web", "refresh_token": [token]}),
        ] {
            all.answer(name, &client.post("/refresh-token", &body).await);
        }
        let pairs = [("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", token)];
        all.answer(name, &Client::send(formed(client, "/oauth2/token", &pairs)).await);
    }
}

/// Devices: codes of both kinds, and what stands in for them.
pub(super) async fn devices(world: &World, caller: &str, all: &mut Canaries) {
    let client = &world.sidecar.client;
    let plain = Client::new(&client.base, None);
    let standard = [("client_id", "web"), ("client_secret", caller), ("scope", ACCESS)];
    for user in ["ana@contoso.example", ""] {
        for started in [
            client.post("/device-code", &json!({"app": "web", "scopes": [ACCESS]})).await,
            client.post("/device-code", &json!({"app": "shop-web", "scopes": ["orders.read"]})).await,
            form(&plain, "/oauth2/device_authorization", &standard).await,
        ] {
            assert_eq!(started.status, 200, "{}", started.text);
            let code = started.member("device_code").to_owned();
            all.secret("device code", code.clone());
            all.secret("user code", started.member("user_code"));
            let body = json!({"device_code": code});
            let answer = client.post("/device-code/poll", &body).await;
            all.answer("pending", &answer);
            let theirs = world.emulator.asked("token").await.pop().expect("a poll")["form"]["device_code"].clone();
            all.secret("device code of the authority", theirs.as_str().expect("a code"));
            all.answer("too early", &client.post("/device-code/poll", &body).await);
            let said = json!({"error": theirs, "error_description": format!("{theirs} is bad"), "suberror": theirs});
            world.emulator.script(json!({"on": {"endpoint": "token"}, "do": {"error": said}})).await;
            world.clock.advance(Duration::from_secs(20));
            all.answer("repeated", &client.post("/device-code/poll", &body).await);
            world.clock.advance(Duration::from_secs(61));
            let eva = if user.is_empty() {
                json!({"code": started.member("user_code"), "deny": true})
            } else {
                let is_shop = started.text.contains("/oidc/shop");
                json!({"code": started.member("user_code"), "user": if is_shop { "eva" } else { user }})
            };
            assert!(world.emulator.client.post("/_emulator/device", &eva).await.status < 300);
            all.answer("decided", &client.post("/device-code/poll", &body).await);
            all.answer("decided, again", &client.post("/device-code/poll", &body).await);
            for odd in [json!({"device_code": [code]}), json!({"app": "daemon", "device_code": code}), json!({"code": code})] {
                all.answer("an odd poll", &client.post("/device-code/poll", &odd).await);
            }
            let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
            let pairs = [grant, ("client_id", "daemon"), ("client_secret", caller), ("device_code", &*code)];
            all.answer("another app's poll", &form(&plain, "/oauth2/token", &pairs).await);
            all.answer("a path", &client.get(&format!("/accounts/{code}?app=web")).await);
        }
    }
    let canary = "canary-device-code-0123456789";
    all.secret("unknown device code", canary);
    all.answer("unknown device code", &client.post("/device-code/poll", &json!({"device_code": canary})).await);
}

/// The routes for clients that speak OAuth 2.0.
pub(super) async fn token_endpoint(world: &World, caller: &str, all: &mut Canaries) {
    // Without the header: the proof stands in the form, or as Basic.
    let client = Client::new(&world.sidecar.client.base, None);
    let user = world.emulator.user_token("ana@contoso.example").await;
    all.secret("inbound token", user.clone());
    let code = world.code("web", ACCESS, "ana@contoso.example").await;
    let text = |member: &str| code[member].as_str().expect("a text");
    all.secret("code", text("code"));
    let canary = "canary-form-member-0123456789";
    all.secret("value of a form", canary);
    let redemption = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("scope", ACCESS),
        ("redirect_uri", REDIRECT_URI),
        ("code", text("code")),
        ("code_verifier", text("code_verifier")),
    ];
    let bearer = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", "orders"),
        ("assertion", user.as_str()),
        ("scope", USER_READ),
    ];
    let app = [("grant_type", "client_credentials"), ("client_id", "daemon"), ("scope", GRAPH)];
    let mut handle = canary.to_owned();
    for (name, path, pairs) in [
        ("redemption", "/oauth2/token", &redemption[..]),
        ("redeemed twice", "/oauth2/token", &redemption),
        ("jwt bearer", "/oauth2/token", &bearer),
        ("client credentials", "/oauth2/token", &app),
        ("introspection", "/introspect", &[("client_id", "orders"), ("token", user.as_str())]),
        ("introspection of nothing", "/introspect", &[("client_id", "orders"), ("token", canary)]),
        ("revocation of nothing", "/oauth2/revoke", &[("token", canary)]),
    ] {
        for (kind, secret) in [("good", caller), ("wrong", canary)] {
            let answer = form(&client, path, &[pairs, &[("client_secret", secret)]].concat()).await;
            all.answer(&format!("{name}, {kind} secret"), &answer);
            let basic = formed(&client, path, pairs).basic_auth("", Some(secret));
            all.answer(&format!("{name}, {kind} secret as Basic"), &Client::send(basic).await);
            if let Some(new) = answer.json["refresh_token"].as_str() {
                new.clone_into(&mut handle);
            }
        }
        for member in ["actor_token", "scope", "tenant", "claims", "request", "client_assertion", "grant_type", "refresh_token"] {
            let odd = form(&client, path, &[pairs, &[("client_secret", caller), (member, canary)]].concat()).await;
            all.answer(&format!("{name}, odd {member}"), &odd);
        }
    }
    assert!(handle.starts_with("tkd1."), "{handle}");
    for (path, member) in [("/oauth2/token", "refresh_token"), ("/introspect", "token"), ("/oauth2/revoke", "token")] {
        let refresh = [("grant_type", "refresh_token"), ("client_id", "web"), (member, &*handle), ("client_secret", caller)];
        all.answer(&format!("a handle at {path}"), &form(&client, path, &refresh).await);
    }
    let query = client.raw(&format!("/oauth2/token?client_secret={caller}&assertion={user}"));
    all.answer("secrets in a query", &Client::send(query).await);
    let json = client.request("/oauth2/token", &json!({"client_secret": caller, "assertion": user}));
    all.answer("secrets as JSON", &Client::send(json).await);
}

/// The routes for clients that ask for a managed identity's tokens.
pub(super) async fn managed_identity(world: &World, caller: &str, all: &mut Canaries) {
    let canary = "canary-identity-member-0123456789";
    all.secret("value of a query", canary);
    let client = Client::new(&world.sidecar.client.base, None);
    for (name, path, query) in [
        ("app service", "/msi/token", "api-version=2019-08-01&resource=https://graph.microsoft.com"),
        ("instance metadata", "/metadata/identity/oauth2/token", "api-version=2018-02-01&resource=https://graph.microsoft.com"),
    ] {
        for secret in [caller, canary] {
            for more in ["", "&client_id=", "&mi_res_id=", "&resource=", "&token_sha256_to_refresh=", "&unknown=", "&api-version="]
            {
                let value = if more.is_empty() { "" } else { canary };
                let request = client.http.get(format!("{}{path}?{query}{more}{value}", client.base));
                let answer = Client::send(request.header("x-identity-header", secret).header("metadata", "true")).await;
                all.answer(&format!("{name}{more}"), &answer);
            }
        }
    }
}

/// Sub-requests of proxies, with whatever their clients send.
pub(super) async fn sub_requests(world: &World, all: &mut Canaries) {
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let canary = "canary-sub-request-0123456789";
    all.secret("inbound token", user.clone());
    all.secret("value of a sub-request", canary);
    for path in
        ["/auth/graph-user", "/auth/graph-user/canary-sub-request-0123456789?token=canary-sub-request-0123456789", "/auth/nothing"]
    {
        for value in
            [format!("Bearer {user}"), format!("Bearer {canary}"), format!("Basic {canary}"), format!("Bearer {user} {canary}")]
        {
            for (name, more) in
                [("cookie", canary), ("x-correlation-id", canary), ("x-user-name", canary), ("x-forwarded-uri", canary)]
            {
                let request = client.http.get(format!("{}{path}", client.base)).header("authorization", &value).header(name, more);
                let mut answer = Client::send(request).await;
                if let Some(token) = answer.headers.remove("authorization") {
                    // What the proxy asked for.
                    let token = token.to_str().expect("a text").strip_prefix("Bearer ").expect("a bearer token");
                    all.secret("token of a sub-request", token);
                }
                all.answer(&format!("{path} with {name}"), &answer);
            }
        }
    }
    let wrong = client.http.get(format!("{}/auth/graph-user", client.base)).header("x-tokend-token", canary);
    all.answer("a sub-request with two proofs", &Client::send(wrong).await);
}

/// The routes of Microsoft's sidecar.
pub(super) async fn sidecar_routes(world: &World, all: &mut Canaries) {
    let client = &world.sidecar.client;
    let user = world.emulator.user_token("ana@contoso.example").await;
    let canary = "canary-sidecar-member-0123456789";
    all.secret("inbound token", user.clone());
    all.secret("value of an override", canary);
    for path in [
        "/AuthorizationHeader/graph-user",
        "/AuthorizationHeaderUnauthenticated/graph",
        "/AuthorizationHeader/canary-sidecar-member-0123456789",
        "/Validate",
    ] {
        for bearer in [&*user, canary] {
            for name in [
                "",
                "AgentIdentity",
                "optionsOverride.Scopes=%22&optionsOverride.RelativePath",
                "optionsOverride.RequestAppToken",
                "optionsOverride.AcquireTokenOptions.Tenant",
                "optionsOverride.AcquireTokenOptions.Claims",
                "optionsOverride.AcquireTokenOptions.CorrelationId",
                "optionsOverride.AcquireTokenOptions.LongRunningWebApiSessionKey",
                "optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId",
                "optionsOverride.AcquireTokenOptions.PopClaim",
                "optionsOverride.canary-sidecar-member-0123456789",
            ] {
                let request = client.http.get(format!("{}{path}?{name}={canary}", client.base)).bearer_auth(bearer);
                let answer = Client::send(request).await;
                if let Some(header) = answer.json["authorizationHeader"].as_str() {
                    all.secret("authorizationHeader", header.strip_prefix("Bearer ").expect("a bearer token"));
                }
                all.answer(&format!("{path} with {name}"), &answer);
            }
        }
    }
}

/// `/silent` and the routes of accounts.
pub(super) async fn accounts(world: &World, all: &mut Canaries) {
    for (app, user, scopes) in [("web", "ben@contoso.example", ACCESS), ("shop-web", "eva", "orders.read")] {
        let code = world.code(app, scopes, user).await;
        let signed = world.redeem(&code).await;
        all.answer("sign-in", &signed);
        all.secret("code", code["code"].as_str().expect("a code"));
        let id = signed.json["account"]["home_account_id"].as_str().expect("an account").to_owned();
        // The other half is the tenant's, which is in every address of the authority.
        all.secret("account", id.split('.').next().unwrap_or_default());
        let client = &world.sidecar.client;
        let body = |more: Value| {
            let mut body = json!({"app": app, "account": id, "scopes": [scopes]});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            body
        };
        for more in
            [json!({}), json!({"force_refresh": true}), json!({"account": "canary-account-0123456789"}), json!({"code": id})]
        {
            all.answer("silent", &client.post("/silent", &body(more)).await);
        }
        all.answer("silent by username", &client.post("/silent", &body(json!({"account": user}))).await);
        // Refused, so that the next one is the same, which the authority then repeats.
        let mut said = json!({"error": "invalid_grant", "error_description": "no"});
        for _ in 0..2 {
            world.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "times": 1, "do": {"error": said}})).await;
            all.answer("refused silent", &client.post("/silent", &body(json!({"force_refresh": true}))).await);
            let asked = world.emulator.asked("token").await;
            // An app without `offline_access` has none.
            let token =
                asked.last().expect("a call")["form"]["refresh_token"].as_str().unwrap_or("canary-none-0123456789").to_owned();
            assert!(app != "web" || token != "canary-none-0123456789");
            said = json!({"error": token, "suberror": token, "error_description": format!("{token} is bad")});
            world.clock.advance(Duration::from_secs(61));
        }
        world.emulator.unscript().await;
        all.secret("unknown account", "canary-account-0123456789");
        for path in [
            format!("/accounts/{id}?app={app}&canary-account-0123456789"),
            format!("/accounts/canary-account-0123456789?app={app}"),
            format!("/accounts/{id}"),
            format!("/accounts?app={app}&cursor=canary-account-0123456789"),
        ] {
            all.answer("accounts", &client.get(&path).await);
        }
        for (method, path) in [("GET", format!("/accounts/{id}?app={app}")), ("DELETE", format!("/accounts/{id}?app={app}"))] {
            let method = method.parse().expect("a method");
            let answer = Client::send(client.http.request(method, format!("{}{path}", client.base))).await;
            assert!(answer.status < 300, "{}", answer.text);
            all.text("accounts: headers", format!("{:?}", answer.headers));
        }
    }
}

/// Callers that are none, and tokens where they do not belong.
pub(super) async fn strangers(world: &World, all: &mut Canaries) {
    let stranger = "canary-stranger-0123456789-abcdef";
    all.secret("token of nobody", stranger);
    let client = world.sidecar.client.calling(stranger);
    for path in ["/client-credentials", "/obo", "/auth-code", "/silent", "/nowhere"] {
        let answer = client.post(path, &json!({"app": "daemon", "scopes": [GRAPH]})).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
        all.answer("a stranger", &answer);
        world.clock.advance(Duration::from_secs(2));
    }
    for path in ["/accounts?app=web", "/accounts/some.body?app=web"] {
        all.answer("a stranger", &client.get(path).await);
    }
    let known = &world.sidecar.client;
    let token = super::CALLER;
    all.answer("a member", &known.post("/client-credentials", &json!({"app": token, token: 1})).await);
    all.answer("a query", &known.post(&format!("/client-credentials?token={token}"), &json!({})).await);
    all.answer("a bearer", &known.post_as("/obo", token, &json!({"app": "orders", "scopes": [USER_READ]})).await);
}

/// Callers by JWTs: good ones, those that are not accepted, and those whose keys are away.
pub(super) async fn workloads(world: &World, (issuer, key): (&KeyServer, &JwtKey), all: &mut Canaries) {
    let now = world.clock.unix();
    let mut good = json!({"iss": issuer.issuer, "aud": "tokend", "sub": "canary-subject", "iat": now, "exp": now + 36_000});
    for (what, aud, status) in [("good", "tokend", 200), ("of another audience", "canary-audience-0123456789", 403)] {
        good["aud"] = json!(aud);
        for (signed, status) in [(key.sign(&good), status), (JwtKey::new("canary-kid-0123456789").sign(&good), 403)] {
            all.secret(&format!("JWT {what}"), &*signed);
            let client = world.sidecar.client.calling(&signed);
            let answer = client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await;
            assert_eq!(answer.status, status, "{}", answer.text);
            all.answer(what, &answer);
        }
    }
    good["aud"] = json!("tokend");
    issuer.be_away(true);
    world.clock.advance(Duration::from_secs(31));
    let signed = JwtKey::new("canary-away-0123456789").sign(&good);
    all.secret("JWT while keys are away", &*signed);
    let client = world.sidecar.client.calling(&signed);
    let answer = client.post("/client-credentials", &json!({"app": "daemon", "scopes": [GRAPH]})).await;
    assert_eq!((answer.status, answer.member("error")), (503, "caller_keys_unavailable"), "{}", answer.text);
    all.answer("away", &answer);
}

/// What the authority does to every flow: its text repeats what was sent, its answers break off or are garbage.
pub(super) async fn faults(world: &World, all: &mut Canaries) {
    for effect in [
        json!({"raw": {"status": 200, "body": "<html>canary-html-0123456789</html>"}}),
        json!({"raw": {"status": 500, "body": "canary-html-0123456789"}}),
        json!({"raw": {"status": 200, "body": {"access_token": "canary-odd-0123456789", "token_type": "canary-type-0123456789"}}}),
        json!({"raw": {"status": 302, "headers": {"location": "https://127.0.0.1:1/canary-place-0123456789"}, "body": ""}}),
        json!({"error": {"status": 401, "error": "invalid_client", "error_description": "no"}}),
        json!({"close": true}),
    ] {
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": effect})).await;
        let token = world.emulator.user_token("ben@contoso.example").await;
        all.secret("token of ben", token.clone());
        all.answer("fault", &world.obo(&token).await);
        all.answer("fault", &world.graph().await);
        all.answer(
            "fault",
            &world
                .redeem(&json!({"app": "web", "scopes": [ACCESS], "redirect_uri": REDIRECT_URI, "code": "canary-code-0123456789"}))
                .await,
        );
        world.emulator.unscript().await;
        world.clock.advance(Duration::from_secs(3601));
    }
    for canary in ["canary-html-0123456789", "canary-odd-0123456789", "canary-type-0123456789", "canary-place-0123456789"] {
        all.secret("garbage", canary);
    }
}

/// The authority repeats the code that it was sent.
pub(super) async fn echoes(world: &World, all: &mut Canaries) {
    let code = "canary-echo-0123456789";
    all.secret("echoed code", code);
    let said = json!({"error": code, "suberror": code, "error_description": format!("{code} is bad"), "claims": format!("{{\"{code}\":1}}")});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 1, "do": {"error": said}})).await;
    let body = json!({"app": "web", "scopes": [ACCESS], "redirect_uri": REDIRECT_URI, "code": code});
    all.answer("echo", &world.redeem(&body).await);
}
