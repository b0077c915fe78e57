//! B2C: policies that share a key and do not take each other's grants.

use serde_json::{Value, json};

use super::{CALLBACK, Got, House, Reply, Tested, claims};

const SHOP: &str = "b25d9a61-0c7e-4f84-93b2-6e1f8d4c7a05";
const READ: &str = "https://contoso.onmicrosoft.com/orders/read";

fn at(policy: &str) -> String {
    format!("/contoso.onmicrosoft.com/{policy}")
}

async fn token(house: &House, policy: &str, grant: &str, more: &[(&str, &str)]) -> Got<Reply> {
    let own = [("grant_type", grant), ("client_id", SHOP), ("client_secret", "shop-secret-for-tests-only"), ("client_info", "1")];
    let form: Vec<_> = own.iter().chain(more).copied().collect();
    house.form(&format!("{}/oauth2/v2.0/token", at(policy)), &form).await
}

/// The code of a sign-in.
async fn code(house: &House, policy: &str, scope: &str) -> Got<String> {
    let query = [
        ("client_id", SHOP),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", scope),
        ("prompt", "none"),
        ("login_hint", "kim@mail.example"),
    ];
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let url = house.url(&format!("{}/oauth2/v2.0/authorize?{query}", at(policy)));
    let reply = house.call(house.client.get(url)).await?;
    let back = url::Url::parse(reply.headers.get("location").ok_or_else(|| reply.text.clone())?)?;
    let code = back.query_pairs().find(|(name, _)| name == "code").map(|(_, value)| value.into_owned());
    code.ok_or_else(|| back.to_string().into())
}

#[tokio::test]
async fn policies_share_a_key_and_no_grant() -> Tested {
    let house = House::new().await?;
    let keys = |policy: &str| format!("{}/discovery/v2.0/keys", at(policy));
    assert_eq!(house.get(&keys("B2C_1_susi")).await?, house.get(&keys("B2C_1_edit")).await?);
    let said = async |policy: &str| house.get(&format!("{}/v2.0/.well-known/openid-configuration", at(policy))).await;
    let (susi, edit, own) = (said("b2c_1_susi").await?, said("b2c_1_edit").await?, said("b2c_1_own_issuer").await?);
    assert_eq!(susi["issuer"], edit["issuer"]);
    assert_eq!(susi["issuer"], format!("{}/9c3e7f18-52b6-4d0a-8e41-b7a2c05d6f93/v2.0/", house.origin));
    assert!(own["issuer"].as_str().is_some_and(|issuer| issuer.ends_with("/b2c_1_own_issuer/v2.0/")), "{own}");
    let code = code(&house, "b2c_1_susi", &format!("openid offline_access {READ}")).await?;
    let redeem = [("code", code.as_str()), ("redirect_uri", CALLBACK)];
    let body = token(&house, "b2c_1_susi", "authorization_code", &redeem).await?.json()?;
    let (access, id) = (claims(&body["access_token"])?, claims(&body["id_token"])?);
    assert_eq!((&access["scp"], &access["tfp"], &access["tid"]), (&json!("read"), &json!("B2C_1_susi"), &Value::Null));
    assert_eq!((&id["emails"], &id["iss"]), (&json!(["kim@mail.example"]), &susi["issuer"]));
    let refresh = [("refresh_token", body["refresh_token"].as_str().ok_or("none")?), ("scope", READ)];
    let other = token(&house, "b2c_1_edit", "refresh_token", &refresh).await?;
    assert!(other.status == 400 && other.text.contains("AADB2C90088"), "{}", other.text);
    assert_eq!(token(&house, "b2c_1_susi", "refresh_token", &refresh).await?.status, 200);
    let unknown = token(&house, "b2c_1_susi", "urn:ietf:params:oauth:grant-type:jwt-bearer", &[]).await?;
    assert!(unknown.text.contains("AADB2C90086"), "{}", unknown.text);
    house.end().await
}

#[tokio::test]
async fn without_an_api_there_is_an_id_token_and_no_access_token() -> Tested {
    let house = House::new().await?;
    let code = code(&house, "b2c_1_susi", "openid offline_access").await?;
    let body = token(&house, "b2c_1_susi", "authorization_code", &[("code", &code), ("redirect_uri", CALLBACK)]).await?.json()?;
    assert!(body["id_token"].is_string() && body["refresh_token"].is_string() && body["access_token"].is_null(), "{body}");
    house.end().await
}
