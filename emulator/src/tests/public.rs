//! Clients that prove themselves nowhere, clients that may come either way, devices and passwords, and what each is refused for.

use serde_json::{Value, json};

use super::{CALLBACK, CONTOSO, Got, House, ORDERS, Reply, Tested, WEB, claims};

const DESKTOP: &str = "c07d5b2f-8e61-4a93-b4f8-63a1d90e7c28";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const SCOPE: &str = "api://orders/access_as_user openid profile offline_access";
const WEB_SECRET: (&str, &str) = ("client_secret", "web-secret-for-tests-only");
const NOTHING: (&str, &str) = ("client_info", "1");

/// A device code of this client that Ana agreed to.
async fn agreed(house: &House, client: &str) -> Got<String> {
    let path = format!("/{CONTOSO}/oauth2/v2.0/devicecode");
    let started = house.form(&path, &[("client_id", client), ("scope", SCOPE)]).await?.json()?;
    let code = started["device_code"].as_str().ok_or_else(|| format!("no code: {started}"))?.to_owned();
    assert_eq!(house.control("device", json!({"code": code, "user": "ana@contoso.example"})).await?.status, 204);
    Ok(code)
}

async fn poll(house: &House, client: &str, code: &str, proof: (&str, &str)) -> Got<Reply> {
    house.token(&[("grant_type", DEVICE), ("client_id", client), ("device_code", code), ("scope", SCOPE), proof]).await
}

async fn password(house: &House, client: &str, proof: (&str, &str)) -> Got<Reply> {
    let who = [("username", "ana@contoso.example"), ("password", "ana-password"), ("scope", SCOPE)];
    house.token(&[&[("grant_type", "password"), ("client_id", client), proof], &who[..]].concat()).await
}

async fn refresh(house: &House, client: &str, tokens: &Value, proof: (&str, &str)) -> Got<Reply> {
    let token = tokens["refresh_token"].as_str().ok_or_else(|| format!("no refresh token: {tokens}"))?;
    house.token(&[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token), ("scope", SCOPE), proof]).await
}

/// Status, number and error of a refusal.
fn refusal(reply: &Reply) -> Got<(u16, u64, Value)> {
    let (status, code) = reply.aadsts()?;
    Ok((status, code, reply.json()?["error"].clone()))
}

#[tokio::test]
async fn a_public_client_presents_nothing() -> Tested {
    let house = House::new().await?;
    let refused = (401, 700_025, json!("invalid_client"));
    let secret = ("client_secret", "made-up");
    let code = agreed(&house, DESKTOP).await?;
    for proof in [secret, WEB_SECRET, ("client_assertion", "a.b.c")] {
        assert_eq!(refusal(&poll(&house, DESKTOP, &code, proof).await?)?, refused);
        assert_eq!(refusal(&password(&house, DESKTOP, proof).await?)?, refused);
    }
    let basic = house.client.post(house.url(&format!("/{CONTOSO}/oauth2/v2.0/token")));
    let basic = basic.header("content-type", "application/x-www-form-urlencoded").basic_auth(DESKTOP, Some("made-up"));
    let reply = house.call(basic.body("grant_type=password&username=ana%40contoso.example&password=x&scope=User.Read")).await?;
    assert_eq!(refusal(&reply)?, refused);

    // A refused poll uses no code up.
    let tokens = poll(&house, DESKTOP, &code, NOTHING).await?.json()?;
    assert_eq!(claims(&tokens["access_token"])?["azpacr"], "0");
    assert_eq!(refusal(&refresh(&house, DESKTOP, &tokens, secret).await?)?, refused);
    assert_eq!(refresh(&house, DESKTOP, &tokens, NOTHING).await?.status, 200);
    assert_eq!(password(&house, DESKTOP, NOTHING).await?.status, 200);

    // What is no user's grant is not for it either.
    let app = [("grant_type", "client_credentials"), ("client_id", DESKTOP), ("scope", "api://orders/.default")];
    assert_eq!(house.token(&app).await?.aadsts()?, (401, 7_000_218));
    assert_eq!(house.token(&[&app[..], &[secret]].concat()).await?.aadsts()?, (401, 7_000_215));
    house.end().await
}

#[tokio::test]
async fn a_confidential_client_presents_something() -> Tested {
    let house = House::new().await?;
    let refused = (401, 7_000_218, json!("invalid_client"));
    let secret = ("client_secret", "orders-secret-for-tests-only");
    // Its device starts without a credential all the same.
    let path = format!("/{CONTOSO}/oauth2/v2.0/devicecode");
    let started = house.form(&path, &[("client_id", ORDERS), ("scope", "User.Read offline_access")]).await?.json()?;
    let code = started["device_code"].as_str().ok_or("no code")?;
    assert_eq!(refusal(&poll(&house, ORDERS, code, NOTHING).await?)?, refused);
    assert_eq!(poll(&house, ORDERS, code, secret).await?.aadsts()?, (400, 70016));
    assert_eq!(refusal(&password(&house, ORDERS, NOTHING).await?)?, refused);
    house.control("device", json!({"code": code, "user": "ana@contoso.example"})).await?;
    let tokens = poll(&house, ORDERS, code, secret).await?.json()?;
    assert_eq!(refusal(&refresh(&house, ORDERS, &tokens, NOTHING).await?)?, refused);
    let query = format!(
        "client_id={ORDERS}&response_type=code&scope=User.Read&prompt=none&login_hint=ana@contoso.example&redirect_uri={CALLBACK}"
    );
    let reply = house.call(house.client.get(house.url(&format!("/{CONTOSO}/oauth2/v2.0/authorize?{query}")))).await?;
    let to = url::Url::parse(reply.headers.get("location").ok_or("no redirect")?)?;
    let code = to.query_pairs().find(|(name, _)| name == "code").ok_or("no code")?.1.into_owned();
    let form = [("grant_type", "authorization_code"), ("client_id", ORDERS), ("code", &code), ("redirect_uri", CALLBACK)];
    assert_eq!(refusal(&house.token(&form).await?)?, refused);
    assert_eq!(house.token(&[&form[..], &[secret]].concat()).await?.status, 200);
    house.end().await
}

#[tokio::test]
async fn a_client_that_may_come_either_way_stays_with_it() -> Tested {
    let house = House::new().await?;
    for (came, other, refused, proof) in [(NOTHING, WEB_SECRET, 700_025, "0"), (WEB_SECRET, NOTHING, 7_000_218, "1")] {
        let code = agreed(&house, WEB).await?;
        for tokens in [poll(&house, WEB, &code, came).await?.json()?, password(&house, WEB, came).await?.json()?] {
            assert_eq!(claims(&tokens["access_token"])?["azpacr"], proof);
            assert_eq!(refresh(&house, WEB, &tokens, other).await?.aadsts()?, (401, refused));
            let again = refresh(&house, WEB, &tokens, came).await?.json()?;
            assert_eq!(refresh(&house, WEB, &again, other).await?.aadsts()?, (401, refused), "its successors too");
            assert_eq!(refresh(&house, WEB, &again, came).await?.status, 200);
        }
    }
    house.end().await
}

#[tokio::test]
async fn a_code_of_a_device_is_good_once_and_for_its_time() -> Tested {
    let house = House::new().await?;
    let code = agreed(&house, DESKTOP).await?;
    assert_eq!(poll(&house, WEB, &code, NOTHING).await?.aadsts()?, (400, 70018), "another client's");
    assert_eq!(poll(&house, DESKTOP, "made-up", NOTHING).await?.json()?["error"], "bad_verification_code");
    let form = [("grant_type", "device_code"), ("client_id", DESKTOP), ("device_code", code.as_str()), ("code", code.as_str())];
    assert_eq!(house.token(&form).await?.status, 200, "as msal-python sends it, without a scope");
    assert_eq!(poll(&house, DESKTOP, &code, NOTHING).await?.aadsts()?, (400, 54005));

    let late = agreed(&house, DESKTOP).await?;
    house.pass(900);
    assert_eq!(refusal(&poll(&house, DESKTOP, &late, NOTHING).await?)?, (400, 70020, json!("expired_token")));
    for (code, error) in [(70016, "authorization_pending"), (70018, "bad_verification_code"), (70019, "code_expired")] {
        house.script(json!({"on": {"grant_type": DEVICE}, "do": {"aadsts": code}})).await?;
        assert_eq!(refusal(&poll(&house, DESKTOP, &late, NOTHING).await?)?, (400, code, json!(error)));
    }
    // A start that fails with 200, as it was seen of the real one.
    let body = json!({"status": 200, "error": "invalid_client", "error_description": "AADSTS7000218: no."});
    house.script(json!({"on": {"endpoint": "devicecode"}, "do": {"error": body}})).await?;
    let reply = house.form(&format!("/{CONTOSO}/oauth2/v2.0/devicecode"), &[("client_id", DESKTOP), ("scope", SCOPE)]).await?;
    assert_eq!((reply.status, &reply.json()?["error"]), (200, &json!("invalid_client")));
    house.end().await
}

#[tokio::test]
async fn passwords_and_what_refuses_them() -> Tested {
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    let users = directory["users"].as_array_mut().ok_or("no users")?;
    for (name, more) in [
        ("dan", json!({"state": "disabled"})),
        ("lou", json!({"state": "locked"})),
        ("old", json!({"state": "password_expired"})),
        ("two", json!({"mfa": ["password"]})),
    ] {
        let mut user = json!({"username": format!("{name}@contoso.example"), "password": "right", "tenant": "contoso",
            "object_id": format!("55000000-0000-0000-0000-000000000{name}")});
        user.as_object_mut().into_iter().for_each(|user| user.extend(more.as_object().cloned().unwrap_or_default()));
        users.push(user);
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("directory.json");
    std::fs::write(&file, directory.to_string())?;
    let house = House::of(Some(file)).await?;
    let send = async |place: &str, user: &str, password: &str, scope: &str| {
        let user = format!("{user}@contoso.example");
        let form = [("client_id", DESKTOP), ("username", &user), ("password", password), ("scope", scope)];
        house.form(&format!("/{place}/oauth2/v2.0/token"), &[&[("grant_type", "password")], &form[..]].concat()).await
    };
    let challenged = json!("interaction_required");
    let grant = json!("invalid_grant");
    for (user, password, scope, number, error) in [
        ("ana", "wrong", SCOPE, 50126, &grant),
        ("nobody", "right", SCOPE, 50034, &grant),
        ("dan", "right", SCOPE, 50057, &grant),
        ("lou", "right", SCOPE, 50053, &grant),
        ("old", "right", SCOPE, 50055, &grant),
        ("two", "right", SCOPE, 50076, &challenged),
        ("ana", "ana-password", "Mail.Read", 65001, &grant),
    ] {
        let reply = send(CONTOSO, user, password, scope).await?;
        assert_eq!(refusal(&reply)?, (400, number, error.clone()), "{user}");
        let has_claims = reply.json()?["claims"].as_str().is_some_and(|text| text.contains("capolids"));
        assert_eq!(has_claims, number == 50076, "{user}");
    }
    for place in ["common", "Consumers"] {
        let form = [("client_id", "6e84b0d9-c3f7-4125-a69e-d2517f8c0b34"), ("client_secret", "partner-secret-for-tests-only")];
        let form = [&form[..], &[("grant_type", "password"), ("username", "ana@contoso.example"), ("password", "ana-password")]];
        let form = [form.concat(), vec![("scope", "User.Read")]].concat();
        assert_eq!(house.form(&format!("/{place}/oauth2/v2.0/token"), &form).await?.aadsts()?, (400, 9_001_023), "{place}");
        assert_eq!(house.form("/organizations/oauth2/v2.0/token", &form).await?.status, 200);
    }
    house.end().await
}

#[tokio::test]
async fn a_realms_public_client_and_passwords() -> Tested {
    let house = House::new().await?;
    let send = async |form: &[(&str, &str)]| house.form("/oidc/shop/token", form).await;
    let till = ("client_id", "shop-till");
    let web = [("client_id", "shop-web"), ("client_secret", "shop-web-secret-for-tests-only")];
    let eva = [("grant_type", "password"), ("username", "eva"), ("password", "eva-password")];
    let scope = ("scope", "openid offline_access orders.read");
    for client in [&[till][..], &web] {
        let tokens = send(&[client, &eva[..], &[scope]].concat()).await?.json()?;
        assert_eq!(claims(&tokens["access_token"])?["sub"], "f2a6-eva");
        assert!(tokens["id_token"].is_string() && tokens["refresh_token"].is_string(), "{tokens}");
        let token = tokens["refresh_token"].as_str().unwrap_or_default();
        let again = [client, &[("grant_type", "refresh_token"), ("refresh_token", token)]].concat();
        assert_eq!(send(&again).await?.status, 200);
    }
    let error = async |form: &[(&str, &str)]| {
        let reply = send(form).await?;
        Ok::<_, Box<dyn std::error::Error>>((reply.status, reply.json()?["error"].as_str().unwrap_or_default().to_owned()))
    };
    let said = |status: u16, error: &str| (status, error.to_owned());
    for (name, value) in [("username", "nobody"), ("password", "wrong"), ("username", "f2a6-eva")] {
        let form: Vec<_> = eva.iter().map(|one| if one.0 == name { (name, value) } else { *one }).collect();
        assert_eq!(error(&[&web[..], &form].concat()).await?, said(400, "invalid_grant"), "{name}");
    }
    assert_eq!(error(&[&[("client_id", "shop-web")], &eva[..]].concat()).await?, said(401, "invalid_client"));
    assert_eq!(error(&[&[till, ("client_secret", "x")], &eva[..]].concat()).await?, said(401, "invalid_client"));
    for grant in ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"] {
        assert_eq!(error(&[till, ("grant_type", grant)]).await?, said(400, "unauthorized_client"));
    }
    // What is told of tokens is told to clients that prove themselves.
    assert_eq!(house.form("/oidc/shop/introspect", &[till, ("token", "x")]).await?.status, 401);
    house.end().await
}

#[tokio::test]
async fn a_realms_device_that_asks_too_often_waits_longer() -> Tested {
    let house = House::new().await?;
    let till = ("client_id", "shop-till");
    let started = house.form("/oidc/shop/device", &[till, ("scope", "openid")]).await?.json()?;
    assert_eq!(started["interval"], 5);
    let code = started["device_code"].as_str().ok_or("no code")?;
    let asks = async |seconds: u64| {
        house.pass(seconds);
        let reply = house.form("/oidc/shop/token", &[till, ("grant_type", DEVICE), ("device_code", code)]).await?;
        Ok::<_, Box<dyn std::error::Error>>(reply.json()?["error"].as_str().unwrap_or("none").to_owned())
    };
    for (seconds, error) in [
        (0, "authorization_pending"),
        (4, "slow_down"),
        (9, "slow_down"),
        (15, "authorization_pending"),
        (15, "authorization_pending"),
        (14, "slow_down"),
    ] {
        assert_eq!(asks(seconds).await?, error, "{seconds}");
    }
    // Nobody who has agreed is kept waiting.
    house.control("device", json!({"code": code, "user": "eva"})).await?;
    assert_eq!((asks(0).await?, asks(0).await?), ("none".to_owned(), "invalid_grant".to_owned()));
    house.end().await
}
