//! Sign-out as OpenID Connect RP-Initiated Logout 1.0 has it, at Entra and at a realm, and the claim that names a user to it.

use serde_json::{Value, json};

use super::{CALLBACK, CONTOSO, Got, House, Reply, Tested, WEB, claims};

const DESKTOP: &str = "c07d5b2f-8e61-4a93-b4f8-63a1d90e7c28";

async fn out(house: &House, place: &str, fields: &[(&str, &str)]) -> Got<Reply> {
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    house.call(house.client.get(house.url(&format!("/{place}/logout?{query}")))).await
}

/// The id token of a user who gives an app their password.
async fn id_token(house: &House, client: &str, user: &str, more: &[(&str, &str)]) -> Got<String> {
    let (name, password) = (format!("{user}@contoso.example"), format!("{user}-password"));
    let form = [("grant_type", "password"), ("client_id", client), ("username", &name), ("password", &password)];
    let body = house.token(&[&form[..], &[("scope", "openid profile User.Read")], more].concat()).await?.json()?;
    Ok(body["id_token"].as_str().ok_or_else(|| format!("no id token: {body}"))?.to_owned())
}

#[tokio::test]
async fn a_login_hint_is_in_id_tokens_that_shall_have_it() -> Tested {
    let house = House::new().await?;
    let of = async |client: &str, more: &[(&str, &str)]| {
        let token = id_token(&house, client, "ana", more).await?;
        Ok::<_, Box<dyn std::error::Error>>(claims(&json!(token))?["login_hint"].clone())
    };
    assert_eq!(of(WEB, &[]).await?, Value::Null);
    // As MSAL for Node asks.
    let asked = json!({"id_token": {"signin_state": {"essential": false}, "login_hint": {"essential": false}}}).to_string();
    let hint = of(WEB, &[("claims", &asked)]).await?;
    assert!(hint.as_str().is_some_and(|text| text.starts_with("O.")), "{hint}");
    // By its registration.
    assert_eq!(of(DESKTOP, &[]).await?, hint);
    house.end().await
}

#[tokio::test]
async fn entra_goes_back_where_the_app_is_registered() -> Tested {
    let house = House::new().await?;
    let place = format!("{CONTOSO}/oauth2/v2.0");
    let id = id_token(&house, DESKTOP, "ana", &[]).await?;
    let hint = claims(&json!(id))?["login_hint"].as_str().ok_or("no hint")?.to_owned();
    let here = ("post_logout_redirect_uri", CALLBACK);
    let local = ("post_logout_redirect_uri", "http://localhost");
    house.pass(7_200);
    for fields in [
        &[here, ("state", "s 1")][..],
        &[here, ("client_id", WEB), ("state", "s 1")],
        &[here, ("client_id", WEB), ("logout_hint", &hint), ("state", "s 1")],
        &[here, ("client_id", WEB), ("logout_hint", "ana@contoso.example"), ("state", "s 1")],
    ] {
        let reply = out(&house, &place, fields).await?;
        assert_eq!(
            reply.headers.get("location").map(String::as_str),
            Some("http://localhost:3000/callback?state=s+1"),
            "{fields:?}"
        );
    }
    for fields in [&[local, ("id_token_hint", &id)][..], &[local, ("id_token_hint", &id), ("logout_hint", &hint)]] {
        assert_eq!(out(&house, &place, fields).await?.headers.get("location").map(String::as_str), Some("http://localhost/"));
    }
    // What no registration has is not gone to.
    for fields in [
        &[("post_logout_redirect_uri", "https://evil.example/")][..],
        &[here, ("client_id", DESKTOP)],
        &[here, ("client_id", "nobody")],
        &[here, ("id_token_hint", &id)],
    ] {
        let reply = out(&house, &place, fields).await?;
        assert_eq!((reply.status, reply.headers.get("location")), (200, None), "{fields:?}");
    }
    let reply = out(&house, &place, &[("logout_hint", &hint)]).await?;
    assert!(reply.text.contains("ana@contoso.example is signed out"), "{}", reply.text);
    for fields in [
        &[("id_token_hint", id.as_str()), ("client_id", WEB)][..],
        &[("id_token_hint", &id), ("logout_hint", "ben@contoso.example")],
        &[("id_token_hint", "made-up")],
    ] {
        assert_eq!(out(&house, &place, fields).await?.status, 400, "{fields:?}");
    }
    let elsewhere = format!("{}/oauth2/v2.0", super::FABRIKAM);
    assert_eq!(out(&house, &elsewhere, &[("id_token_hint", &id)]).await?.status, 400);
    let told = house.get("/adfs/.well-known/openid-configuration").await?;
    assert_eq!(told["end_session_endpoint"], house.url("/adfs/oauth2/logout"));
    assert_eq!(out(&house, "adfs/oauth2", &[here, ("state", "x")]).await?.status, 302);
    house.end().await
}

#[tokio::test]
async fn a_realm_ends_what_the_hint_names() -> Tested {
    let house = House::new().await?;
    let begin = async |client: &str, user: &str| {
        let order = json!({"realm": "shop", "client": client, "user": user, "scope": "openid offline_access"});
        let body = house.control("refresh-token", order).await?.json()?;
        Ok::<_, Box<dyn std::error::Error>>(body["refresh_token"].as_str().unwrap_or_default().to_owned())
    };
    let eva = begin("shop-till", "eva").await?;
    let sam = begin("shop-till", "sam").await?;
    let web = begin("shop-web", "eva").await?;
    let lives = async |client: &[(&str, &str)], token: &str| {
        let form = [client, &[("grant_type", "refresh_token"), ("refresh_token", token)]].concat();
        Ok::<_, Box<dyn std::error::Error>>(house.form("/oidc/shop/token", &form).await?.status == 200)
    };
    let signed_in = json!({"realm": "shop", "kind": "id", "app": "shop-till", "user": "eva"});
    let id = house.mint(signed_in).await?;
    let contrary = [("id_token_hint", id.as_str()), ("logout_hint", "sam")];
    assert_eq!(out(&house, "oidc/shop", &contrary).await?.status, 400);
    // A hint that is nobody's is none.
    assert_eq!(out(&house, "oidc/shop", &[("client_id", "shop-till"), ("logout_hint", "nobody")]).await?.status, 200);
    assert_eq!(out(&house, "oidc/shop", &[("client_id", "shop-till"), ("logout_hint", "eva@shop.example")]).await?.status, 200);
    let (till, shop_web) =
        ([("client_id", "shop-till")], [("client_id", "shop-web"), ("client_secret", "shop-web-secret-for-tests-only")]);
    assert_eq!((lives(&till, &eva).await?, lives(&till, &sam).await?, lives(&shop_web, &web).await?), (false, true, true));
    house.end().await
}
