//! Entra's metadata, token shapes, errors and user flows.

use serde_json::{Value, json};

use super::{CONTOSO, FABRIKAM, House, ORDERS, START, Tested, WEB, claims, daemon, obo};

#[tokio::test]
async fn metadata_keeps_the_port() -> Tested {
    let house = House::new().await?;
    let origin = house.origin.clone();
    let v2 = house.get(&format!("/{CONTOSO}/v2.0/.well-known/openid-configuration")).await?;
    assert_eq!(v2["issuer"], format!("{origin}/{CONTOSO}/v2.0"));
    assert_eq!(v2["token_endpoint"], format!("{origin}/{CONTOSO}/oauth2/v2.0/token"));
    let domain = house.get("/contoso.example/v2.0/.well-known/openid-configuration").await?;
    assert_eq!(domain["issuer"], v2["issuer"]);
    let v1 = house.get(&format!("/{CONTOSO}/.well-known/openid-configuration")).await?;
    assert_eq!(v1["issuer"], format!("{origin}/{CONTOSO}/"));
    let common = house.get("/common/v2.0/.well-known/openid-configuration").await?;
    assert_eq!(common["issuer"], format!("{origin}/{{tenantid}}/v2.0"));

    let keys = house.get(&format!("/{CONTOSO}/discovery/v2.0/keys")).await?;
    assert_eq!(keys["keys"][0]["issuer"], format!("{origin}/{{tenantid}}/v2.0"));
    assert_eq!(keys["keys"][1]["issuer"], format!("{origin}/{CONTOSO}/v2.0"));
    let keys = house.get("/common/discovery/keys").await?;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(keys["keys"][0]["issuer"], Value::Null);

    let unknown = house.get("/nobody.example/v2.0/.well-known/openid-configuration").await?;
    assert_eq!(unknown["error_codes"], json!([90002]));
    let endpoint = format!("{origin}/{CONTOSO}/oauth2/v2.0/authorize");
    let instance = house.get(&format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}")).await?;
    assert_eq!(instance["tenant_discovery_endpoint"], format!("{origin}/{CONTOSO}/v2.0/.well-known/openid-configuration"));
    let instance = house.get("/common/discovery/instance?authorization_endpoint=https://evil.example/x").await?;
    assert_eq!(instance["error"], "invalid_instance");
    let realm = house.get("/common/userrealm/ana%40contoso.example?api-version=1.0").await?;
    assert_eq!(realm["account_type"], "Managed");
    house.end().await
}

#[tokio::test]
async fn app_tokens_have_both_shapes() -> Tested {
    let house = House::new().await?;
    let reply = house.token(&daemon("api://orders/.default")).await?;
    let body = reply.json()?;
    assert_eq!((reply.status, body["token_type"].as_str(), body["expires_in"].as_i64()), (200, Some("Bearer"), Some(3_599)));
    assert_eq!((&body["scope"], &body["refresh_token"], &body["client_info"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(reply.headers.get("cache-control").map(String::as_str), Some("no-store, no-cache"));
    let v2 = claims(&body["access_token"])?;
    assert_eq!(v2["aud"], ORDERS);
    assert_eq!(v2["iss"], format!("{}/{CONTOSO}/v2.0", house.origin));
    assert_eq!((&v2["ver"], &v2["idtyp"], &v2["roles"]), (&json!("2.0"), &json!("app"), &json!(["Orders.Process"])));
    assert_eq!(v2["exp"], json!(START + 3_599));
    let v1 = claims(&house.token(&daemon("api://billing/.default")).await?.json()?["access_token"])?;
    assert_eq!((&v1["aud"], &v1["ver"], &v1["appidacr"]), (&json!("api://billing"), &json!("1.0"), &json!("1")));
    assert_eq!(v1["iss"], format!("{}/{CONTOSO}/", house.origin));
    house.end().await
}

#[tokio::test]
async fn tokens_verify_by_the_published_keys_and_are_as_large_as_real_ones() -> Tested {
    let house = House::new().await?;
    let minted = house.mint(json!({"app": "orders-api", "user": "ana@contoso.example"})).await?;
    assert!((1_200..=1_700).contains(&minted.len()), "{}", minted.len());
    let keys = house.get("/common/discovery/v2.0/keys").await?;
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys)?;
    let kid = jsonwebtoken::decode_header(&minted)?.kid.ok_or("no kid")?;
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&kid).ok_or("key not published")?)?;
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_audience(&[ORDERS]);
    rules.validate_exp = false;
    let told: Value = jsonwebtoken::decode(&minted, &key, &rules)?.claims;
    assert_eq!((&told["scp"], &told["tid"]), (&json!("access_as_user orders.export"), &json!(CONTOSO)));
    assert_eq!(told["preferred_username"], "ana@contoso.example");
    assert_ne!(told["sub"], told["oid"]);
    house.end().await
}

#[tokio::test]
async fn refusals_of_client_credentials() -> Tested {
    let house = House::new().await?;
    let with = |name: &'static str, value: &'static str| {
        let mut form = daemon("api://orders/.default");
        form.retain(|(other, _)| *other != name);
        form.push((name, value));
        form
    };
    for (form, expected) in [
        (with("client_secret", "wrong"), (401, 7_000_215)),
        (with("client_secret", ""), (401, 7_000_218)),
        (with("client_id", "11111111-1111-1111-1111-111111111111"), (400, 700_016)),
        (with("client_id", ""), (400, 900_144)),
        (with("scope", "api://orders/access_as_user"), (400, 1_002_012)),
        (with("scope", "api://orders/.default api://billing/.default"), (400, 1_002_012)),
        (with("scope", "api://nothing/.default"), (400, 500_011)),
        (with("grant_type", "magic"), (400, 70003)),
        (with("claims", "{"), (400, 9_000_410)),
        ([daemon("x"), vec![("scope", "y")]].concat(), (400, 9_000_411)),
    ] {
        assert_eq!(house.token(&form).await?.aadsts()?, expected, "{form:?}");
    }
    let expired = [("grant_type", "client_credentials"), ("client_id", WEB), ("client_secret", "web-secret-of-last-year")];
    assert_eq!(house.token(&expired).await?.aadsts()?, (401, 7_000_222));
    let form = daemon("api://orders/.default");
    for (path, expected) in [
        ("/nobody.example/oauth2/v2.0/token", 90002),
        ("/common/oauth2/v2.0/token", 50194),
        (&format!("/{FABRIKAM}/oauth2/v2.0/token"), 700_016),
    ] {
        assert_eq!(house.form(path, &form).await?.aadsts()?, (400, expected), "{path}");
    }
    let partner = [
        ("grant_type", "client_credentials"),
        ("client_id", "6e84b0d9-c3f7-4125-a69e-d2517f8c0b34"),
        ("client_secret", "partner-secret-for-tests-only"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    assert_eq!(house.form("/organizations/oauth2/v2.0/token", &partner).await?.aadsts()?, (400, 50059));
    assert_eq!(house.form(&format!("/{FABRIKAM}/oauth2/v2.0/token"), &partner).await?.status, 200);
    house.end().await
}

#[tokio::test]
async fn an_error_body_has_all_members_and_echoes_the_correlation_id() -> Tested {
    let house = House::new().await?;
    let id = "9f2c6a1e-5d3b-4f70-8e61-2b7a9c0d4e58";
    let request = house
        .client
        .post(house.url(&format!("/{CONTOSO}/oauth2/v2.0/token?client-request-id=ignored")))
        .header("client-request-id", id)
        .header("return-client-request-id", "true")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let reply = house.call(request).await?;
    let body = reply.json()?;
    assert_eq!(reply.headers.get("client-request-id").map(String::as_str), Some(id));
    assert_eq!(reply.headers.get("x-ms-request-id").map(String::as_str), body["trace_id"].as_str());
    assert_eq!(body["correlation_id"], id);
    assert_eq!(body["timestamp"], "2026-11-21 05:42:28Z");
    let text = body["error_description"].as_str().unwrap_or_default();
    assert!(text.starts_with("AADSTS900144: ") && text.contains(&format!("Correlation ID: {id} Timestamp: 2026-11-21")), "{text}");
    assert_eq!(body["error_uri"], format!("{}/error?code=900144", house.origin));
    house.end().await
}

#[tokio::test]
async fn on_behalf_of_gives_the_users_tokens() -> Tested {
    let house = House::new().await?;
    let assertion = house.mint(json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user"})).await?;
    let scope = "api://billing/invoices.read openid profile offline_access";
    let body = house.token(&obo(&assertion, scope)).await?.json()?;
    let token = claims(&body["access_token"])?;
    assert_eq!((&token["aud"], &token["scp"], &token["ver"]), (&json!("api://billing"), &json!("invoices.read"), &json!("1.0")));
    assert_eq!((&token["upn"], &token["appid"]), (&json!("ana@contoso.example"), &json!(ORDERS)));
    assert_eq!(body["scope"], "api://billing/invoices.read");
    assert!(body["refresh_token"].is_string());
    let id = claims(&body["id_token"])?;
    assert_eq!((&id["aud"], &id["preferred_username"]), (&json!(ORDERS), &json!("ana@contoso.example")));
    let info = crate::jose::decode(body["client_info"].as_str().unwrap_or_default()).unwrap_or_default();
    let info: Value = serde_json::from_slice(&info)?;
    assert_eq!(info, json!({"uid": "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01", "utid": CONTOSO}));

    let graph = house.token(&obo(&assertion, "User.Read openid profile")).await?.json()?;
    assert_eq!(graph["scope"], "User.Read openid profile");
    assert_eq!(claims(&graph["access_token"])?["aud"], "https://graph.microsoft.com");
    let default = house.token(&obo(&assertion, "api://billing/.default")).await?.json()?;
    assert_eq!(default["scope"], "api://billing/invoices.read api://billing/.default");
    house.end().await
}

#[tokio::test]
async fn on_behalf_of_checks_the_assertion() -> Tested {
    let house = House::new().await?;
    let order = |more: Value| {
        let mut order = json!({"app": "orders-api", "user": "ana@contoso.example"});
        for (name, value) in more.as_object().into_iter().flatten() {
            order[name] = value.clone();
        }
        order
    };
    let scope = "api://billing/invoices.read";
    for (what, scope, expected) in [
        (json!({"lifetime": -1}), scope, 500_133),
        (json!({"app": "billing-api"}), scope, 500_131),
        (json!({"key": "unknown"}), scope, 50013),
        (json!({"header": {"kid": "nobody"}}), scope, 50013),
        (json!({"header": {"alg": "PS256"}}), scope, 50013),
        (json!({"claims": {"iss": "https://elsewhere.example/"}}), scope, 50013),
        (json!({"claims": {"nbf": 1_795_300_000}}), scope, 500_133),
        (json!({"kind": "id"}), scope, 240_002),
        (json!({"user": "mia@contoso.example"}), scope, 50076),
        (json!({"user": "fay@fabrikam.example"}), scope, 50013),
        (json!({}), "Mail.Read", 65001),
        (json!({}), "api://billing/invoices.burn", 70011),
        (json!({}), "api://billing/invoices.read User.Read", 28000),
        (json!({}), "api://nothing/x", 500_011),
    ] {
        let assertion = house.mint(order(what.clone())).await?;
        let reply = house.token(&obo(&assertion, scope)).await?;
        assert_eq!(reply.aadsts()?, (400, expected), "{what} {}", reply.text);
    }
    let mia = house.mint(order(json!({"user": "mia@contoso.example"}))).await?;
    let refused = house.token(&obo(&mia, scope)).await?.json()?;
    assert_eq!((&refused["error"], &refused["suberror"]), (&json!("interaction_required"), &json!("basic_action")));
    assert!(refused["claims"].as_str().is_some_and(|text| text.contains("capolids")));
    let strong = house.mint(order(json!({"user": "mia@contoso.example", "claims": {"amr": ["pwd", "mfa"]}}))).await?;
    assert_eq!(house.token(&obo(&strong, scope)).await?.status, 200);
    let stranger = house.mint(order(json!({"claims": {"oid": "u-17", "preferred_username": "u17@contoso.example"}}))).await?;
    let body = house.token(&obo(&stranger, scope)).await?.json()?;
    assert_eq!(claims(&body["access_token"])?["oid"], "u-17");
    house.end().await
}

#[tokio::test]
async fn an_app_token_on_behalf_of_is_an_app_token() -> Tested {
    let house = House::new().await?;
    let assertion = house.mint(json!({"kind": "app", "app": "orders-api", "client": "daemon"})).await?;
    let body = house.token(&obo(&assertion, "api://billing/.default openid profile offline_access")).await?.json()?;
    assert_eq!((&body["client_info"], &body["refresh_token"]), (&Value::Null, &Value::Null));
    assert_eq!(claims(&body["access_token"])?["idtyp"], "app");
    house.end().await
}

#[tokio::test]
async fn a_multi_tenant_app_acts_for_users_of_each_tenant() -> Tested {
    let house = House::new().await?;
    for (user, tenant) in [("ana@contoso.example", CONTOSO), ("fay@fabrikam.example", FABRIKAM)] {
        let assertion = house.mint(json!({"app": "partner", "user": user})).await?;
        for path in [format!("/{tenant}/oauth2/v2.0/token"), "/organizations/oauth2/v2.0/token".to_owned()] {
            let mut form = obo(&assertion, "User.Read");
            form.retain(|(name, _)| !name.starts_with("client_"));
            form.extend([
                ("client_id", "6e84b0d9-c3f7-4125-a69e-d2517f8c0b34"),
                ("client_secret", "partner-secret-for-tests-only"),
            ]);
            let body = house.form(&path, &form).await?.json()?;
            assert_eq!(claims(&body["access_token"])?["tid"], tenant);
        }
    }
    house.end().await
}

#[tokio::test]
async fn passwords() -> Tested {
    let house = House::new().await?;
    let form = |user: &'static str, password: &'static str| {
        [("grant_type", "password"), ("client_id", WEB), ("username", user), ("password", password), ("scope", "User.Read openid")]
    };
    let body = house.token(&form("ana@contoso.example", "ana-password")).await?.json()?;
    assert_eq!(claims(&body["access_token"])?["scp"], "User.Read openid");
    assert_eq!(house.token(&form("ana@contoso.example", "wrong")).await?.aadsts()?, (400, 50126));
    assert_eq!(house.token(&form("nobody@contoso.example", "x")).await?.aadsts()?, (400, 50034));
    assert_eq!(house.token(&form("fay@fabrikam.example", "fay-password")).await?.aadsts()?, (400, 50034));
    house.end().await
}

#[tokio::test]
async fn a_device_waits_for_its_user() -> Tested {
    let house = House::new().await?;
    let path = format!("/{CONTOSO}/oauth2/v2.0/devicecode");
    let started = house.form(&path, &[("client_id", WEB), ("scope", "User.Read offline_access")]).await?.json()?;
    let code = started["device_code"].as_str().unwrap_or_default();
    let user_code = started["user_code"].as_str().unwrap_or_default();
    for grant in ["device_code", "urn:ietf:params:oauth:grant-type:device_code"] {
        let poll = [("grant_type", grant), ("client_id", WEB), ("device_code", code), ("scope", "User.Read")];
        let pending = house.token(&poll).await?.json()?;
        assert_eq!(pending["error"], "authorization_pending");
    }
    let page = format!("{}?user_code={user_code}", started["verification_uri"].as_str().unwrap_or_default());
    let page = house.call(house.client.get(page)).await?;
    assert!(page.text.contains(user_code) && page.text.contains("Ana Moreira"));
    let approve = format!("/{CONTOSO}/deviceapprove");
    assert_eq!(house.form(&approve, &[("user_code", user_code), ("user", "ana@contoso.example")]).await?.status, 200);
    let poll = [("grant_type", "device_code"), ("client_id", WEB), ("device_code", code)];
    let body = house.token(&poll).await?.json()?;
    assert!(body["refresh_token"].is_string(), "{body}");

    let second = house.form(&path, &[("client_id", WEB), ("scope", "User.Read")]).await?.json()?;
    let code = second["device_code"].as_str().unwrap_or_default();
    assert_eq!(house.control("device", json!({"code": code, "deny": true})).await?.status, 204);
    let poll = [("grant_type", "device_code"), ("client_id", WEB), ("device_code", code)];
    assert_eq!(house.token(&poll).await?.json()?["error"], "authorization_declined");
    house.pass(900);
    assert_eq!(house.token(&poll).await?.json()?["error"], "expired_token");
    house.end().await
}

#[tokio::test]
async fn keys_rotate() -> Tested {
    let house = House::new().await?;
    let scope = "api://billing/invoices.read";
    let before = house.mint(json!({"app": "orders-api"})).await?;
    house.control("keys/rotate", json!({"keep_old": true})).await?;
    assert_eq!(house.token(&obo(&before, scope)).await?.status, 200);
    house.control("keys/rotate", json!({"keep_old": false})).await?;
    assert_eq!(house.token(&obo(&before, scope)).await?.aadsts()?, (400, 50013));
    let old = house.mint(json!({"app": "orders-api", "key": "old"})).await?;
    assert_eq!(house.token(&obo(&old, scope)).await?.aadsts()?, (400, 50013));
    let now = house.mint(json!({"app": "orders-api"})).await?;
    assert_eq!(house.token(&obo(&now, scope)).await?.status, 200);
    house.end().await
}
