//! What a realm does beside issuing tokens: who the user is, what became of a token, the end of a session, devices.

use serde_json::{Value, json};

use super::{CALLBACK, Got, House, Reply, Tested, claims};
use crate::jose;

const ORDERS: [(&str, &str); 2] = [("client_id", "shop-orders"), ("client_secret", "shop-orders-secret-for-tests-only")];
const WEB: [(&str, &str); 2] = [("client_id", "shop-web"), ("client_secret", "shop-web-secret-for-tests-only")];

async fn send(house: &House, what: &str, client: [(&str, &str); 2], more: &[(&str, &str)]) -> Got<Reply> {
    let form: Vec<_> = client.iter().chain(more).copied().collect();
    house.form(&format!("/oidc/shop/{what}"), &form).await
}

/// The tokens of Eva, who signed in to `shop-web` for this scope.
async fn eva(house: &House, scope: &str) -> Got<Value> {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", "shop-web"), ("response_type", "code"), ("redirect_uri", CALLBACK), ("scope", scope)])
        .extend_pairs([("prompt", "none"), ("login_hint", "eva")])
        .finish();
    let reply = house.call(house.client.get(house.url(&format!("/oidc/shop/authorize?{query}")))).await?;
    let to = url::Url::parse(reply.headers.get("location").ok_or("no redirect")?)?;
    let code = to.query_pairs().find(|(name, _)| name == "code").ok_or("no code")?.1.into_owned();
    let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
    send(house, "token", WEB, &form).await?.json()
}

fn text<'a>(body: &'a Value, name: &str) -> Got<&'a str> {
    Ok(body[name].as_str().ok_or_else(|| format!("no {name}: {body}"))?)
}

#[tokio::test]
async fn it_announces_all_that_it_serves() -> Tested {
    let house = House::new().await?;
    let told = house.get("/oidc/shop/.well-known/openid-configuration").await?;
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "device_authorization_endpoint",
        "end_session_endpoint",
    ] {
        let reply = house.call(house.client.get(text(&told, name)?)).await?;
        assert_ne!(reply.status, 404, "{name}");
    }
    house.end().await
}

#[tokio::test]
async fn user_info() -> Tested {
    let house = House::new().await?;
    let ask =
        async |header: &str| house.call(house.client.get(house.url("/oidc/shop/userinfo")).header("authorization", header)).await;
    for (scope, expected) in [
        ("openid", json!({"sub": "f2a6-eva"})),
        ("openid profile", json!({"sub": "f2a6-eva", "name": "Eva Brandt", "preferred_username": "eva"})),
        ("openid email", json!({"sub": "f2a6-eva", "email": "eva@shop.example", "email_verified": true})),
    ] {
        let tokens = eva(&house, scope).await?;
        assert_eq!(ask(&format!("Bearer {}", text(&tokens, "access_token")?)).await?.json()?, expected);
    }
    let bare = eva(&house, "orders.read").await?;
    let app = send(&house, "token", WEB, &[("grant_type", "client_credentials")]).await?.json()?;
    let id = eva(&house, "openid").await?["id_token"].clone();
    let entra = house.mint(json!({"app": "orders-api"})).await?;
    let old = eva(&house, "openid").await?;
    for (token, status, error) in [
        (text(&bare, "access_token")?, 403, "insufficient_scope"),
        (text(&app, "access_token")?, 403, "insufficient_scope"),
        (id.as_str().unwrap_or_default(), 401, "invalid_token"),
        (entra.as_str(), 401, "invalid_token"),
        ("made-up", 401, "invalid_token"),
    ] {
        let reply = ask(&format!("Bearer {token}")).await?;
        assert_eq!((reply.status, &reply.json()?["error"]), (status, &json!(error)));
        assert_eq!(reply.headers.get("www-authenticate"), Some(&format!("Bearer error=\"{error}\"")));
    }
    house.pass(901);
    assert_eq!(ask(&format!("Bearer {}", text(&old, "access_token")?)).await?.status, 401);
    assert_eq!(ask("Basic eA==").await?.status, 401);
    house.end().await
}

#[tokio::test]
async fn introspection_tells_of_good_tokens_alone() -> Tested {
    let house = House::new().await?;
    let tokens = eva(&house, "openid offline_access orders.read").await?;
    let (access, refresh) = (text(&tokens, "access_token")?, text(&tokens, "refresh_token")?);
    let told = send(&house, "introspect", ORDERS, &[("token", access)]).await?.json()?;
    for (name, value) in [
        ("active", json!(true)),
        ("scope", json!("openid offline_access orders.read")),
        ("client_id", json!("shop-web")),
        ("username", json!("eva")),
        ("sub", json!("f2a6-eva")),
        ("aud", json!("https://orders.shop.example")),
        ("exp", json!(house.now() + 900)),
        ("token_type", json!("Bearer")),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    let told = send(&house, "introspect", WEB, &[("token", refresh), ("token_type_hint", "refresh_token")]).await?.json()?;
    assert_eq!((&told["active"], &told["username"]), (&json!(true), &json!("eva")));
    let id = text(&tokens, "id_token")?;
    for (client, token) in [(ORDERS, refresh), (WEB, id), (WEB, "made-up")] {
        assert_eq!(send(&house, "introspect", client, &[("token", token)]).await?.json()?, json!({"active": false}));
    }
    let unknown = [("client_id", "shop-web"), ("client_secret", "wrong")];
    assert_eq!(send(&house, "introspect", unknown, &[("token", access)]).await?.status, 401);
    assert_eq!(send(&house, "introspect", WEB, &[]).await?.status, 400);
    house.pass(900);
    assert_eq!(send(&house, "introspect", ORDERS, &[("token", access)]).await?.json()?, json!({"active": false}));
    house.end().await
}

#[tokio::test]
async fn revocation_ends_a_token_or_a_sign_in() -> Tested {
    let house = House::new().await?;
    let is_active = async |token: &str| {
        let told = send(&house, "introspect", WEB, &[("token", token)]).await?.json()?;
        Ok::<_, Box<dyn std::error::Error>>(told["active"] == true)
    };
    let tokens = eva(&house, "openid offline_access orders.read").await?;
    let (access, refresh) = (text(&tokens, "access_token")?, text(&tokens, "refresh_token")?);
    // Another client may not.
    let foreign = send(&house, "revoke", ORDERS, &[("token", access)]).await?;
    assert_eq!((foreign.status, &foreign.json()?["error"]), (400, &json!("unauthorized_client")));
    assert_eq!(send(&house, "revoke", ORDERS, &[("token", refresh)]).await?.status, 200);
    assert!(is_active(access).await? && is_active(refresh).await?);
    // One access token: its refresh token lives.
    assert_eq!(send(&house, "revoke", WEB, &[("token", access)]).await?.status, 200);
    assert!(!is_active(access).await? && is_active(refresh).await?);
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let next = send(&house, "token", WEB, &form).await?.json()?;
    let (access, refresh) = (text(&next, "access_token")?, text(&next, "refresh_token")?);
    // A refresh token: everything of its sign-in, and of no other.
    let other = eva(&house, "openid offline_access").await?;
    assert_eq!(send(&house, "revoke", WEB, &[("token", refresh), ("token_type_hint", "access_token")]).await?.status, 200);
    assert!(!is_active(access).await? && !is_active(refresh).await?);
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(send(&house, "token", WEB, &form).await?.json()?["error"], "invalid_grant");
    assert!(is_active(text(&other, "access_token")?).await?);
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", access),
    ];
    assert_eq!(send(&house, "token", ORDERS, &exchange).await?.status, 400);
    // What is not known is as good as ended.
    assert_eq!(send(&house, "revoke", WEB, &[("token", "made-up")]).await?.status, 200);
    house.end().await
}

#[tokio::test]
async fn a_device_of_a_realm_waits_for_its_user() -> Tested {
    let house = House::new().await?;
    let poll = async |code: &str| {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        send(&house, "token", WEB, &[("grant_type", grant), ("device_code", code)]).await
    };
    let begin = async || send(&house, "device", WEB, &[("scope", "openid offline_access orders.read")]).await?.json();
    let started = begin().await?;
    let (code, user_code) = (text(&started, "device_code")?, text(&started, "user_code")?);
    assert_eq!(poll(code).await?.json()?["error"], "authorization_pending");
    let page = house.call(house.client.get(text(&started, "verification_uri_complete")?)).await?;
    assert!(page.text.contains(user_code) && page.text.contains("Eva Brandt"), "{}", page.text);
    let page = text(&started, "verification_uri")?.strip_prefix(&house.origin).ok_or("elsewhere")?;
    assert_eq!(house.form(page, &[("user_code", user_code), ("user", "eva")]).await?.status, 200);
    let tokens = poll(code).await?.json()?;
    assert_eq!(claims(&tokens["access_token"])?["sub"], "f2a6-eva");
    assert!(tokens["refresh_token"].is_string() && tokens["id_token"].is_string(), "{tokens}");
    assert_eq!(poll(code).await?.json()?["error"], "invalid_grant");

    let second = begin().await?;
    let code = text(&second, "device_code")?;
    assert_eq!(house.form(page, &[("user_code", text(&second, "user_code")?), ("action", "deny")]).await?.status, 200);
    assert_eq!(poll(code).await?.json()?["error"], "access_denied");
    let third = begin().await?;
    let code = text(&third, "device_code")?;
    assert_eq!(house.control("device", json!({"code": code, "user": "sam"})).await?.status, 204);
    assert_eq!(claims(&poll(code).await?.json()?["access_token"])?["sub"], "0c9d-sam");
    let fourth = begin().await?;
    house.pass(900);
    assert_eq!(poll(text(&fourth, "device_code")?).await?.json()?["error"], "expired_token");
    assert_eq!(poll("made-up").await?.json()?["error"], "invalid_grant");
    assert_eq!(send(&house, "device", WEB, &[("scope", "nothing")]).await?.json()?["error"], "invalid_scope");
    assert_eq!(send(&house, "device", [("client_id", "shop-web"), ("client_secret", "x")], &[]).await?.status, 401);
    house.end().await
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_refresh_tokens() -> Tested {
    let house = House::new().await?;
    let out = async |fields: &[(&str, &str)]| {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        house.call(house.client.get(house.url(&format!("/oidc/shop/logout?{query}")))).await
    };
    let tokens = eva(&house, "openid offline_access").await?;
    let (id, refresh) = (text(&tokens, "id_token")?, text(&tokens, "refresh_token")?);
    let here = ("post_logout_redirect_uri", "http://localhost:3000/");
    for fields in [
        &[("id_token_hint", id), ("post_logout_redirect_uri", "https://evil.example/")][..],
        &[here],
        &[here, ("client_id", "shop-orders")],
        &[("id_token_hint", id), ("client_id", "shop-orders")],
        &[("id_token_hint", "made-up")],
    ] {
        let reply = out(fields).await?;
        assert_eq!((reply.status, reply.headers.get("location")), (400, None), "{fields:?}");
    }
    // A hint that has expired is one still.
    house.pass(4_000);
    let reply = out(&[("id_token_hint", id), here, ("state", "s 1")]).await?;
    assert_eq!(reply.headers.get("location").map(String::as_str), Some("http://localhost:3000/?state=s+1"));
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(send(&house, "token", WEB, &form).await?.json()?["error"], "invalid_grant");
    assert_eq!(out(&[("client_id", "shop-web"), here]).await?.status, 302);
    assert_eq!(out(&[]).await?.status, 200);
    house.end().await
}

#[tokio::test]
async fn a_clients_assertions_may_live_as_long_as_its_entry_says() -> Tested {
    let first = House::new().await?;
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    let shown = first.directory["realms"][0]["clients"][2]["certificates"][0].clone();
    let (pem, key_pem) = (shown["pem"].clone(), shown["key_pem"].clone());
    directory["realms"][0]["clients"][2]["certificates"] = json!([{"pem": pem, "key_pem": key_pem}]);
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(key_pem.as_str().unwrap_or_default().as_bytes())?;
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    // A minute is for clocks that differ.
    for (limit, good, bad) in [(None, 360, 361), (Some(3_600), 3_660, 3_661), (Some(60), 120, 121)] {
        if let Some(limit) = limit {
            directory["realms"][0]["clients"][2]["assertion_lifetime"] = json!(limit);
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("directory.json");
        std::fs::write(&file, directory.to_string())?;
        let house = House::of(Some(file)).await?;
        for (lifetime, status) in [(good, 200), (bad, 401)] {
            let now = house.now();
            let claims = json!({"iss": "shop-jwt", "sub": "shop-jwt", "aud": house.url("/oidc/shop"), "jti": jose::random(),
                "iat": now, "exp": now + lifetime});
            let assertion = jsonwebtoken::encode(&header, &claims, &key)?;
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let form = [("grant_type", "client_credentials"), ("client_assertion_type", kind), ("client_assertion", &assertion)];
            assert_eq!(house.form("/oidc/shop/token", &form).await?.status, status, "{limit:?} {lifetime}");
        }
        house.end().await?;
    }
    first.end().await
}
