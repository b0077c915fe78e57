//! Refresh tokens without a sign-in: of on-behalf-of, of token exchange, and to order.

use serde_json::{Value, json};

use super::{Got, House, ORDERS, Reply, Tested, claims, obo};

const SHOP: [(&str, &str); 2] = [("client_id", "shop-orders"), ("client_secret", "shop-orders-secret-for-tests-only")];
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";

fn text<'a>(body: &'a Value, name: &str) -> Got<&'a str> {
    Ok(body[name].as_str().ok_or_else(|| format!("no {name}: {body}"))?)
}

async fn order(house: &House, order: Value) -> Got<String> {
    let reply = house.control("refresh-token", order).await?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    Ok(text(&reply.json()?, "refresh_token")?.to_owned())
}

/// A refresh as orders-api, with its secret or without.
async fn refresh(house: &House, token: &str, more: &[(&str, &str)]) -> Got<Reply> {
    let form = [("grant_type", "refresh_token"), ("client_id", ORDERS), ("refresh_token", token), ("client_info", "1")];
    house.token(&[&form[..], more].concat()).await
}

const SECRET: (&str, &str) = ("client_secret", "orders-secret-for-tests-only");

#[tokio::test]
async fn a_session_of_on_behalf_of_is_renewed_by_its_app() -> Tested {
    let house = House::new().await?;
    let assertion = house.mint(json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user"})).await?;
    let without = house.token(&obo(&assertion, "api://billing/invoices.read")).await?.json()?;
    assert_eq!(without["refresh_token"], Value::Null);
    let body = house.token(&obo(&assertion, "api://billing/invoices.read openid profile offline_access")).await?.json()?;
    house.pass(86_400);
    let again = refresh(&house, text(&body, "refresh_token")?, &[SECRET]).await?.json()?;
    assert_eq!(claims(&again["access_token"])?["upn"], "ana@contoso.example");
    assert!(again["id_token"].is_string() && again["client_info"].is_string(), "{again}");
    assert_eq!(refresh(&house, text(&body, "refresh_token")?, &[]).await?.aadsts()?, (401, 7_000_218));
    house.end().await
}

#[tokio::test]
async fn an_exchange_brings_a_refresh_token_as_it_is_asked_for() -> Tested {
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    directory["realms"][0]["clients"][1]["exchanges_for_refresh_tokens"] = json!(true);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("directory.json");
    std::fs::write(&file, directory.to_string())?;
    for (house, may) in [(House::new().await?, false), (House::of(Some(file)).await?, true)] {
        let subject =
            json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read offline_access"});
        let subject = house.mint(subject).await?;
        let exchange = async |more: &[(&str, &str)]| {
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("subject_token", &subject),
            ];
            house.form("/oidc/shop/token", &[&SHOP[..], &form, more].concat()).await
        };
        // What the subject token has is not asked for.
        assert_eq!(exchange(&[]).await?.json()?["refresh_token"], Value::Null);
        assert_eq!(exchange(&[("scope", "orders.read")]).await?.json()?["refresh_token"], Value::Null);
        let mut sessions = vec![exchange(&[("scope", "orders.read offline_access")]).await?.json()?];
        let kind = exchange(&[("requested_token_type", REFRESH_TOKEN), ("scope", "orders.read")]).await?;
        if may {
            let body = kind.json()?;
            assert_eq!(body["issued_token_type"], REFRESH_TOKEN);
            sessions.push(body);
        } else {
            assert_eq!((kind.status, &kind.json()?["error"]), (400, &json!("invalid_request")));
        }
        for body in sessions {
            assert_eq!(claims(&body["access_token"])?["sub"], "f2a6-eva");
            let again = async |token: &str| {
                let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
                house.form("/oidc/shop/token", &[&SHOP[..], &form].concat()).await
            };
            let next = again(text(&body, "refresh_token")?).await?.json()?;
            let third = again(text(&next, "refresh_token")?).await?.json()?;
            assert_eq!(claims(&third["access_token"])?["scope"], body["scope"]);
            assert_eq!(again(text(&body, "refresh_token")?).await?.json()?["error"], "invalid_grant");
            assert_eq!(again(text(&third, "refresh_token")?).await?.json()?["error"], "invalid_grant", "the family has ended");
        }
        house.end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_to_order() -> Tested {
    let house = House::new().await?;
    let ana = json!({"client": "orders-api", "user": "ana@contoso.example", "scope": "User.Read openid profile offline_access"});
    let named = refresh(&house, &order(&house, ana.clone()).await?, &[SECRET]).await?.json()?;
    assert!(named["id_token"].is_string() && named["client_info"].is_string() && named["refresh_token"].is_string(), "{named}");
    let mut bare = ana.clone();
    bare["bare"] = json!(true);
    let token = order(&house, bare).await?;
    for token in [token.clone(), text(&refresh(&house, &token, &[SECRET]).await?.json()?, "refresh_token")?.to_owned()] {
        let body = refresh(&house, &token, &[SECRET]).await?.json()?;
        assert_eq!((&body["id_token"], &body["client_info"]), (&Value::Null, &Value::Null));
        assert_eq!(claims(&body["access_token"])?["oid"], "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01");
    }
    for (name, value) in [("client", "nothing"), ("user", "nobody"), ("realm", "nowhere")] {
        let mut wrong = ana.clone();
        wrong[name] = json!(value);
        let reply = house.control("refresh-token", wrong).await?;
        assert!(reply.status == 400 && reply.text.contains(value), "{}", reply.text);
    }
    house.end().await
}

#[tokio::test]
async fn a_realms_refresh_token_to_order_and_who_it_is_of() -> Tested {
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    directory["realms"][0]["without"] = json!(["userinfo", "endsession"]);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("directory.json");
    std::fs::write(&file, directory.to_string())?;
    for (house, has) in [(House::new().await?, true), (House::of(Some(file)).await?, false)] {
        let told = house.get("/oidc/shop/.well-known/openid-configuration").await?;
        assert_eq!((told["userinfo_endpoint"].is_string(), told["end_session_endpoint"].is_string()), (has, has));
        assert!(told["introspection_endpoint"].is_string());
        let eva = json!({"realm": "shop", "client": "shop-orders", "user": "eva", "scope": "openid offline_access", "bare": true});
        let token = order(&house, eva).await?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", &token)];
        let body = house.form("/oidc/shop/token", &[&SHOP[..], &form].concat()).await?.json()?;
        assert!(body["id_token"].is_null() && body["refresh_token"].is_string(), "{body}");
        let bearer = format!("Bearer {}", text(&body, "access_token")?);
        let reply = house.call(house.client.get(house.url("/oidc/shop/userinfo")).header("authorization", bearer)).await?;
        if has {
            assert_eq!(reply.json()?, json!({"sub": "f2a6-eva"}));
        } else {
            assert_eq!(reply.status, 404);
        }
        house.end().await?;
    }
    Ok(())
}
