//! The authorize endpoint, the redemption of codes, and refresh tokens.

use std::collections::HashMap;

use super::{CALLBACK, CONTOSO, Got, House, Reply, Tested, WEB, claims};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The authorize URL of `web`, with other members over the usual ones.
fn url(house: &House, over: &[(&str, &str)]) -> String {
    let usual = [
        ("client_id", WEB),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "api://orders/access_as_user openid profile offline_access"),
        ("state", "s&1"),
        ("nonce", "n1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let mut fields: Vec<(&str, &str)> =
        usual.into_iter().filter(|(name, _)| !over.iter().any(|(other, _)| other == name)).collect();
    fields.extend(over);
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    house.url(&format!("/{CONTOSO}/oauth2/v2.0/authorize?{query}"))
}

/// Where a redirect goes, and what it says there.
fn answer(reply: &Reply) -> Got<HashMap<String, String>> {
    assert_eq!(reply.status, 302, "{}", reply.text);
    let to = reply.headers.get("location").ok_or("no location")?;
    assert!(to.starts_with(CALLBACK), "{to}");
    Ok(url::Url::parse(to)?.query_pairs().into_owned().collect())
}

async fn silent(house: &House, over: &[(&str, &str)]) -> Got<HashMap<String, String>> {
    let all: Vec<_> = [("prompt", "none"), ("login_hint", "ana@contoso.example")].into_iter().chain(over.iter().copied()).collect();
    answer(&house.call(house.client.get(url(house, &all))).await?)
}

async fn redeem(house: &House, code: &str, verifier: &str, redirect_uri: &str) -> Got<Reply> {
    house
        .token(&[
            ("grant_type", "authorization_code"),
            ("client_id", WEB),
            ("client_secret", "web-secret-for-tests-only"),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", redirect_uri),
            ("client_info", "1"),
        ])
        .await
}

#[tokio::test]
async fn a_code_is_redeemed_once_by_whoever_began() -> Tested {
    let house = House::new().await?;
    let answer = silent(&house, &[]).await?;
    assert_eq!(answer.get("state").map(String::as_str), Some("s&1"));
    let code = answer.get("code").ok_or("no code")?;
    assert_eq!(redeem(&house, code, "wrong", CALLBACK).await?.aadsts()?, (400, 501_481));
    assert_eq!(redeem(&house, code, "", CALLBACK).await?.aadsts()?, (400, 501_481));
    assert_eq!(redeem(&house, code, VERIFIER, "http://127.0.0.1:3000/callback").await?.aadsts()?, (400, 500_112));
    let body = redeem(&house, code, VERIFIER, CALLBACK).await?.json()?;
    assert_eq!(claims(&body["access_token"])?["scp"], "access_as_user");
    assert_eq!(claims(&body["id_token"])?["nonce"], "n1");
    assert!(body["client_info"].is_string());
    assert_eq!(redeem(&house, code, VERIFIER, CALLBACK).await?.aadsts()?, (400, 54005));
    assert_eq!(redeem(&house, "made-up", VERIFIER, CALLBACK).await?.aadsts()?, (400, 70000));

    let late = silent(&house, &[]).await?;
    house.pass(601);
    assert_eq!(redeem(&house, late.get("code").ok_or("no code")?, VERIFIER, CALLBACK).await?.aadsts()?, (400, 70008));

    let refresh = |token: &str, scope: &'static str| {
        let token = token.to_owned();
        let house = &house;
        async move {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", WEB),
                ("client_secret", "web-secret-for-tests-only"),
                ("refresh_token", token.as_str()),
                ("scope", scope),
            ];
            house.token(&form).await
        }
    };
    let token = body["refresh_token"].as_str().ok_or("no refresh token")?;
    for scope in ["User.Read", "api://orders/access_as_user"] {
        assert_eq!(refresh(token, scope).await?.status, 200, "{scope}");
    }
    assert_eq!(refresh("made-up", "User.Read").await?.aadsts()?, (400, 70000));
    house.end().await
}

#[tokio::test]
async fn people_sign_in_on_a_page() -> Tested {
    let house = House::new().await?;
    let url = url(&house, &[("scope", "Mail.Read"), ("login_hint", "<script>")]);
    let page = house.call(house.client.get(&url)).await?;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("Ana Moreira") && page.text.contains("Mail.Read") && !page.text.contains("<script>"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("Fay"));
    let path = url.strip_prefix(&house.origin).unwrap_or_default();
    let refused = answer(&house.form(path, &[("user", "ana@contoso.example")]).await?)?;
    assert_eq!(refused.get("error").map(String::as_str), Some("consent_required"));
    let agreed = answer(&house.form(path, &[("user", "ana@contoso.example"), ("consent", "yes")]).await?)?;
    let body = redeem(&house, agreed.get("code").ok_or("no code")?, VERIFIER, CALLBACK).await?.json()?;
    // What was consented to before comes with it, asked for or not.
    assert_eq!(body["scope"], "Mail.Read User.Read");
    assert_eq!(claims(&body["access_token"])?["scp"], "Mail.Read User.Read");
    let again = silent(&house, &[("scope", "https://graph.microsoft.com/User.Read")]).await?;
    let body = redeem(&house, again.get("code").ok_or("no code")?, VERIFIER, CALLBACK).await?.json()?;
    assert_eq!(body["scope"], "https://graph.microsoft.com/User.Read https://graph.microsoft.com/Mail.Read");
    let cancelled = answer(&house.form(path, &[("cancel", "yes")]).await?)?;
    assert_eq!(cancelled.get("error").map(String::as_str), Some("access_denied"));
    house.end().await
}

#[tokio::test]
async fn a_challenge_is_met_by_signing_in_again() -> Tested {
    let house = House::new().await?;
    for (asked, methods) in [("xms_cc", serde_json::Value::Null), ("capolids", serde_json::json!(["pwd", "mfa"]))] {
        let challenge = format!("{{\"access_token\":{{\"{asked}\":{{\"values\":[\"cp1\"]}}}}}}");
        let answer = silent(&house, &[("claims", &challenge)]).await?;
        let body = redeem(&house, answer.get("code").ok_or("no code")?, VERIFIER, CALLBACK).await?.json()?;
        assert_eq!(claims(&body["access_token"])?["amr"], methods);
    }
    let mut form = super::daemon("api://orders/.default");
    form.push(("claims", "{\"access_token\":{\"xms_cc\":{\"values\":[\"cp1\"]}}}"));
    let body = house.token(&form).await?.json()?;
    assert_eq!(claims(&body["access_token"])?["xms_cc"], serde_json::json!(["cp1"]));
    house.end().await
}

#[tokio::test]
async fn what_goes_wrong_is_redirected_only_to_registered_places() -> Tested {
    let house = House::new().await?;
    let elsewhere = house.call(house.client.get(url(&house, &[("redirect_uri", "https://evil.example/cb")]))).await?;
    assert_eq!((elsewhere.status, elsewhere.headers.get("location")), (400, None));
    assert!(elsewhere.text.contains("AADSTS50011"));
    for (over, error) in [
        (("login_hint", "nobody@contoso.example"), "login_required"),
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "Mail.Read"), "consent_required"),
        (("scope", "api://nothing/x"), "invalid_resource"),
    ] {
        let all: Vec<_> = [("prompt", "none"), ("login_hint", "ana@contoso.example")]
            .into_iter()
            .filter(|(name, _)| *name != over.0)
            .chain([over])
            .collect();
        let refused = answer(&house.call(house.client.get(url(&house, &all))).await?)?;
        assert_eq!(refused.get("error").map(String::as_str), Some(error), "{over:?}");
    }
    let posted = url(&house, &[("prompt", "none"), ("login_hint", "ana@contoso.example"), ("response_mode", "form_post")]);
    let page = house.call(house.client.get(posted)).await?;
    assert!(page.text.contains(&format!("action=\"{CALLBACK}\"")) && page.text.contains("name=\"code\""), "{}", page.text);
    house.end().await
}
