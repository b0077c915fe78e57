//! The generic OpenID Connect issuer.

use serde_json::{Value, json};

use super::{CALLBACK, Got, House, Reply, Tested, claims};
use crate::jose;

const TOKEN: &str = "/oidc/shop/token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn orders<'a>(grant: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let auth = [("grant_type", grant), ("client_id", "shop-orders"), ("client_secret", "shop-orders-secret-for-tests-only")];
    auth.into_iter().chain(more.iter().copied()).collect()
}

fn error(reply: &Reply) -> Got<(u16, Value)> {
    Ok((reply.status, reply.json()?["error"].clone()))
}

#[tokio::test]
async fn it_announces_what_its_entry_says() -> Tested {
    let house = House::new().await?;
    let told = house.get("/oidc/shop/.well-known/openid-configuration").await?;
    assert_eq!(told["issuer"], format!("{}/oidc/shop", house.origin));
    assert_eq!(
        told["token_endpoint_auth_methods_supported"],
        house.directory["realms"][0]["token_endpoint_auth_methods_supported"]
    );
    let keys = house.get("/oidc/shop/jwks").await?;
    assert_eq!(keys["keys"][0]["issuer"], Value::Null);
    house.end().await
}

#[tokio::test]
async fn client_credentials_by_post_and_basic() -> Tested {
    let house = House::new().await?;
    let more = [("scope", "orders.read"), ("audience", "https://stock.shop.example")];
    let body = house.form(TOKEN, &orders("client_credentials", &more)).await?.json()?;
    let token = claims(&body["access_token"])?;
    assert_eq!(
        (&token["aud"], &token["sub"], &token["scope"]),
        (&json!("https://stock.shop.example"), &json!("shop-orders"), &json!("orders.read"))
    );
    assert_eq!((&token["tid"], &token["scp"], &token["ver"]), (&Value::Null, &Value::Null, &Value::Null));
    let basic = house
        .client
        .post(house.url(TOKEN))
        .basic_auth("shop-web", Some("shop-web-secret-for-tests-only"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let reply = house.call(basic).await?;
    assert_eq!(reply.json()?["scope"], "orders.read orders.write stock.read");
    for (form, expected) in [
        (orders("client_credentials", &[("scope", "Orders.Read")]), (400, "invalid_scope")),
        (orders("client_credentials", &[("audience", "https://nobody.example")]), (400, "invalid_target")),
        (orders("magic", &[]), (400, "unsupported_grant_type")),
        (vec![("grant_type", "client_credentials"), ("client_id", "shop-web")], (401, "invalid_client")),
        (vec![("grant_type", "client_credentials"), ("client_id", "shop-web"), ("client_secret", "x")], (401, "invalid_client")),
    ] {
        let reply = house.form(TOKEN, &form).await?;
        assert_eq!(error(&reply)?, (expected.0, json!(expected.1)), "{form:?}");
        assert_eq!(reply.headers.contains_key("www-authenticate"), expected.0 == 401);
        assert_eq!(reply.json()?["error_codes"], Value::Null);
    }
    house.end().await
}

#[tokio::test]
async fn an_assertion_is_good_once() -> Tested {
    let house = House::new().await?;
    let pem = house.directory["realms"][0]["clients"][2]["certificates"][0]["key_pem"].clone();
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_str().unwrap_or_default().as_bytes())?;
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    let sign = |over: Value| {
        let now = house.now();
        let mut claims = json!({"iss": "shop-jwt", "sub": "shop-jwt", "aud": house.url("/oidc/shop"), "jti": jose::random(),
            "iat": now, "nbf": now, "exp": now + 60});
        for (name, value) in over.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        jsonwebtoken::encode(&header, &claims, &key)
    };
    let present = async |assertion: String| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = [("grant_type", "client_credentials"), ("client_assertion_type", kind), ("client_assertion", &assertion)];
        house.form(TOKEN, &form).await
    };
    let good = sign(json!({}))?;
    assert_eq!(present(good.clone()).await?.status, 200);
    assert_eq!(present(good).await?.status, 401);
    assert_eq!(present(sign(json!({"aud": house.url(TOKEN)}))?).await?.status, 200);
    for over in [
        json!({"aud": house.url("/oidc/other")}),
        json!({"exp": house.now() + 600}),
        json!({"exp": house.now() - 120}),
        json!({"jti": null}),
        json!({"iss": "shop-web"}),
    ] {
        assert_eq!(present(sign(over.clone())?).await?.status, 401, "{over}");
    }
    house.end().await
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_family() -> Tested {
    let house = House::new().await?;
    let query = "client_id=shop-orders&response_type=code&scope=openid+offline_access+orders.read&state=x&nonce=n\
                 &prompt=none&login_hint=eva&redirect_uri=http://localhost:3000/callback";
    let reply = house.call(house.client.get(house.url(&format!("/oidc/shop/authorize?{query}")))).await?;
    let to = url::Url::parse(reply.headers.get("location").ok_or("no redirect")?)?;
    let code = to.query_pairs().find(|(name, _)| name == "code").ok_or("no code")?.1.into_owned();
    assert!(to.query_pairs().any(|(name, value)| name == "iss" && value == house.url("/oidc/shop")));
    let form = orders("authorization_code", &[("code", &code), ("redirect_uri", CALLBACK)]);
    let body = house.form(TOKEN, &form).await?.json()?;
    let id = claims(&body["id_token"])?;
    assert_eq!((&id["aud"], &id["nonce"], &id["sub"]), (&json!("shop-orders"), &json!("n"), &json!("f2a6-eva")));
    assert_eq!(error(&house.form(TOKEN, &form).await?)?, (400, json!("invalid_grant")));

    let refresh = async |token: &Value, more: &[(&str, &str)]| {
        let token = token.as_str().unwrap_or_default();
        let more: Vec<_> = [("refresh_token", token)].into_iter().chain(more.iter().copied()).collect();
        house.form(TOKEN, &orders("refresh_token", &more)).await
    };
    let first = &body["refresh_token"];
    let second = refresh(first, &[]).await?.json()?["refresh_token"].clone();
    assert!(second.is_string() && second != *first);
    let third = refresh(&second, &[("scope", "orders.read")]).await?.json()?;
    assert_eq!((&third["scope"], &third["id_token"]), (&json!("orders.read"), &Value::Null));
    assert_eq!(refresh(&second, &[]).await?.status, 400);
    let revoked = refresh(&third["refresh_token"], &[]).await?;
    assert_eq!(error(&revoked)?, (400, json!("invalid_grant")));

    // Whoever looks for a second use finds it, and knows the tokens of that sign-in.
    let families = house.call(house.client.get(house.url("/_emulator/families"))).await?.json()?;
    assert_eq!(families[0]["sid"], claims(&third["access_token"])?["sid"]);
    assert_eq!((&families[0]["client_id"], &families[0]["username"]), (&json!("shop-orders"), &json!("eva")));
    let uses: Vec<_> = families[0]["redemptions"].as_array().into_iter().flatten().map(|one| one["reused"].clone()).collect();
    assert_eq!(uses, [false, false, true, false].map(Value::from));
    house.end().await
}

#[tokio::test]
async fn token_exchange() -> Tested {
    let house = House::new().await?;
    let subject =
        house.mint(json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"})).await?;
    let with = |token: &str, more: &[(&str, &str)]| {
        let more: Vec<_> =
            [("subject_token", token), ("subject_token_type", ACCESS_TOKEN)].into_iter().chain(more.iter().copied()).collect();
        let form = orders(EXCHANGE, &more);
        form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let send = async |form: Vec<(String, String)>| {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        house.form(TOKEN, &form).await
    };
    let body = send(with(&subject, &[("audience", "https://stock.shop.example"), ("scope", "stock.read")])).await?.json()?;
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN);
    let token = claims(&body["access_token"])?;
    assert_eq!(
        (&token["sub"], &token["aud"], &token["azp"]),
        (&json!("f2a6-eva"), &json!("https://stock.shop.example"), &json!("shop-orders"))
    );
    for order in [
        json!({"realm": "shop", "app": "https://stock.shop.example"}),
        json!({"realm": "shop", "app": "https://orders.shop.example", "lifetime": -1}),
        json!({"realm": "shop", "app": "https://orders.shop.example", "key": "unknown"}),
        json!({"realm": "shop", "app": "https://orders.shop.example", "claims": {"iss": "https://evil.example"}}),
    ] {
        let token = house.mint(order.clone()).await?;
        assert_eq!(send(with(&token, &[])).await?.status, 400, "{order}");
    }
    house.end().await
}
