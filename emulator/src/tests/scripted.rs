//! The script, the record, and orders for tokens.

use serde_json::{Value, json};

use super::{CONTOSO, House, Tested, claims, daemon, obo};

const SCOPE: &str = "api://orders/.default";

#[tokio::test]
async fn rules_act_as_often_as_they_say_and_on_what_they_say() -> Tested {
    let house = House::new().await?;
    house.script(json!({"on": {"endpoint": "token", "scope": "billing"}, "skip": 1, "times": 2, "do": {"aadsts": 90033}})).await?;
    assert_eq!(house.token(&daemon(SCOPE)).await?.status, 200);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(house.token(&daemon("api://billing/.default")).await?.status);
    }
    assert_eq!(seen, [200, 503, 503, 200]);
    house
        .script(json!([
            {"on": {"tenant": "fabrikam"}, "times": 0, "do": {"aadsts": 90002}},
            {"on": {"grant_type": "client_credentials", "tenant": "contoso.example"}, "do": {"error": {"status": 400, "error": "odd",
                "error_description": "d", "suberror": "s", "error_codes": [1, 2], "claims": {"a": 1}, "headers": {"x-odd": "1"}}}},
        ]))
        .await?;
    let reply = house.token(&daemon(SCOPE)).await?;
    let body = reply.json()?;
    assert_eq!(reply.headers.get("x-odd").map(String::as_str), Some("1"));
    assert_eq!(
        (&body["error"], &body["suberror"], &body["error_codes"], &body["claims"]),
        (&json!("odd"), &json!("s"), &json!([1, 2]), &json!("{\"a\":1}"))
    );
    let rules = house.get("/_emulator/script").await?;
    assert_eq!(rules[0]["matched"], 3);
    let dropped = house.call(house.client.delete(house.url("/_emulator/script"))).await?;
    assert_eq!((dropped.status, house.get("/_emulator/script").await?), (204, json!([])));
    house.end().await
}

#[tokio::test]
async fn rules_find_the_user() -> Tested {
    let house = House::new().await?;
    let ana = house.mint(json!({"app": "orders-api", "user": "ana@contoso.example"})).await?;
    let ben = house.mint(json!({"app": "orders-api", "user": "ben@contoso.example"})).await?;
    house
        .script(json!({"on": {"user": "ben@contoso.example"}, "times": 0, "do": {"throttle": {"status": 503, "retry_after": "7"}}}))
        .await?;
    let scope = "api://billing/invoices.read offline_access";
    let body = house.token(&obo(&ana, scope)).await?.json()?;
    let throttled = house.token(&obo(&ben, scope)).await?;
    assert_eq!((throttled.status, throttled.headers.get("retry-after").map(String::as_str)), (503, Some("7")));
    house.script(json!({"on": {"user": "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01", "grant_type": "refresh_token"}, "do": {"aadsts": 700_082}})).await?;
    let token = body["refresh_token"].as_str().unwrap_or_default();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", super::ORDERS),
        ("client_secret", "orders-secret-for-tests-only"),
        ("refresh_token", token),
    ];
    assert_eq!(house.token(&form).await?.aadsts()?, (400, 700_082));
    house.end().await
}

#[tokio::test]
async fn answers_are_changed() -> Tested {
    let house = House::new().await?;
    house.script(json!({"do": {"set": {"expires_in": "3599", "token_type": null, "more": {"a": 1}}, "delay_ms": 1}})).await?;
    let body = house.token(&daemon(SCOPE)).await?.json()?;
    assert_eq!((&body["expires_in"], &body["token_type"], &body["more"]), (&json!("3599"), &Value::Null, &json!({"a": 1})));
    house.script(json!({"do": {"expires_in": 9_000}})).await?;
    let body = house.token(&daemon(SCOPE)).await?.json()?;
    assert_eq!((&body["expires_in"], &body["refresh_in"]), (&json!(9_000), &json!(4_500)));
    assert_eq!(claims(&body["access_token"])?["exp"], json!(house.now() + 9_000));
    house.script(json!({"do": {"raw": {"status": 200, "headers": {"content-type": "text/html"}, "body": "<html>"}}})).await?;
    let raw = house.token(&daemon(SCOPE)).await?;
    assert_eq!(
        (raw.status, raw.text.as_str(), raw.headers.get("content-type").map(String::as_str)),
        (200, "<html>", Some("text/html"))
    );
    house.script(json!({"on": {"endpoint": "keys"}, "do": {"set": {"keys": []}}})).await?;
    assert_eq!(house.get("/common/discovery/v2.0/keys").await?, json!({"keys": []}));
    // reqwest undoes gzip and the byte order mark, as any client must.
    house.script(json!({"do": {"gzip": true, "bom": true, "size": 200_000}})).await?;
    let big = house.token(&daemon(SCOPE)).await?;
    assert_eq!(
        (big.text.trim_start_matches('\u{feff}').len(), big.json_of_padded()?["token_type"].as_str()),
        (200_000, Some("Bearer"))
    );
    house.end().await
}

impl super::Reply {
    fn json_of_padded(&self) -> super::Got<Value> {
        Ok(serde_json::from_str(self.text.trim_start_matches('\u{feff}'))?)
    }
}

#[tokio::test]
async fn held_requests_answer_when_released() -> Tested {
    let house = House::new().await?;
    house.script(json!({"times": 0, "do": {"hold": true}})).await?;
    let form = daemon(SCOPE);
    let held = house.token(&form);
    let release = async {
        let waiting = house.requests_until(|one| one["status"].is_null()).await?;
        assert_eq!(waiting.len(), 1);
        house.control("release", json!({})).await
    };
    let (held, released) = tokio::join!(held, release);
    assert_eq!((held?.status, released?.status), (200, 204));
    assert_eq!(house.token(&form).await?.status, 200);
    house.end().await
}

#[tokio::test]
async fn a_closed_connection_is_no_answer() -> Tested {
    let house = House::new().await?;
    house.script(json!({"do": {"close": true}})).await?;
    assert!(house.token(&daemon(SCOPE)).await.is_err());
    assert_eq!(house.token(&daemon(SCOPE)).await?.status, 200);
    let http1 = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(house.directory["ca_pem"].as_str().unwrap_or_default().as_bytes())?])
        .no_proxy()
        .http1_only()
        .build()?;
    house.script(json!({"do": {"close": true}})).await?;
    let request = http1.get(house.url("/common/discovery/v2.0/keys")).build()?;
    assert!(http1.execute(request).await.is_err());
    house.end().await
}

#[tokio::test]
async fn a_hung_answer_does_not_outlive_the_emulator() -> Tested {
    let house = House::new().await?;
    house.script(json!({"times": 0, "do": {"hang": true}})).await?;
    let form = daemon(SCOPE);
    let stop = async {
        house.requests_until(|one| one["status"].is_null()).await?;
        house.shutdown.cancel();
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (hung, stopped) = tokio::join!(house.token(&form), stop);
    stopped?;
    assert!(hung.is_err());
    house.end().await
}

#[tokio::test]
async fn typos_show() -> Tested {
    let house = House::new().await?;
    for (rule, named) in [
        (json!({"on": {"endpont": "token"}, "do": {"hang": true}}), "endpont"),
        (json!({"do": {"throtle": {}}}), "throtle"),
        (json!({"do": {"aadsts": 12345}}), "12345"),
        (json!({"do": {}}), "nothing"),
        (json!({"do": {"hang": true, "close": true}}), "more than one"),
        (json!([{"do": {"hang": true}}, {"od": 1}]), "od"),
    ] {
        let reply = house.control("script", rule.clone()).await?;
        assert_eq!(reply.status, 400, "{rule}");
        assert!(reply.text.contains(named), "{}", reply.text);
    }
    assert_eq!(house.get("/_emulator/script").await?, json!([]));
    let reply = house.control("token", json!({"app": "orders-api", "lifetme": 1})).await?;
    assert!(reply.status == 400 && reply.text.contains("lifetme"));
    house.end().await
}

#[tokio::test]
async fn requests_are_shown_and_forgotten() -> Tested {
    let house = House::new().await?;
    house.token(&daemon(SCOPE)).await?;
    house.get("/common/discovery/v2.0/keys?x=1").await?;
    let all = house.get("/_emulator/requests").await?;
    let first = &all[0];
    assert_eq!(
        (&first["seq"], &first["endpoint"], &first["tenant"], &first["status"]),
        (&json!(1), &json!("token"), &json!(CONTOSO), &json!(200))
    );
    assert_eq!((&first["grant_type"], &first["form"]["scope"]), (&json!("client_credentials"), &json!(SCOPE)));
    assert!(first["headers"]["content-type"].is_string());
    assert_eq!((&all[1]["path"], &all[1]["query"]), (&json!("/common/discovery/v2.0/keys"), &json!("x=1")));
    assert_eq!(house.get("/_emulator/requests?after=1").await?.as_array().map(Vec::len), Some(1));
    house.control("reset", json!({})).await?;
    assert_eq!(house.get("/_emulator/requests").await?, json!([]));
    house.end().await
}

#[tokio::test]
async fn tokens_to_order() -> Tested {
    let house = House::new().await?;
    let token = house
        .mint(json!({"kind": "access", "tenant": "fabrikam", "app": "orders-api", "user": "ben@contoso.example", "scopes": ["a", "b"],
            "version": 1, "lifetime": -10, "claims": {"scp": null, "extra": [1]}, "header": {"kid": null, "typ": "odd"}, "key": "tenant"}))
        .await?;
    let jws = crate::jose::Jws::parse(&token).ok_or("no JWS")?;
    assert_eq!((jws.header.get("kid"), jws.head("typ")), (None, "odd"));
    assert_eq!((jws.text("ver"), jws.text("aud"), jws.claims.get("scp")), ("1.0", "api://orders", None));
    assert_eq!(jws.text("iss"), format!("{}/{}/", house.origin, super::FABRIKAM));
    assert_eq!(jws.time("exp"), Some(house.now() - 10));
    let id = house.mint(json!({"kind": "id", "app": "web"})).await?;
    let id = claims(&json!(id))?;
    assert_eq!((&id["aud"], &id["scp"]), (&json!(super::WEB), &Value::Null));
    let app = claims(&json!(house.mint(json!({"kind": "app", "app": "orders-api", "client": "daemon"})).await?))?;
    assert_eq!(app["roles"], json!(["Orders.Process"]));
    house.end().await
}
