//! AD FS: two issuers, tokens without `sub`, and web APIs that are named by `resource`.

use serde_json::Value;

use super::{Got, House, Reply, Tested, claims};

const PORTAL: &str = "0d9f4b7c-63a2-4e15-8c70-5f2b1e8d3a46";
const LEDGER: &str = "1ea05c8d-74b3-4f26-9d81-603c2f9e4b57";
const LEDGER_API: (&str, &str) = ("resource", "https://ledger.contoso.test");

async fn token(house: &House, client: &str, grant: &str, more: &[(&str, &str)]) -> Got<Reply> {
    let secret = if client == PORTAL { "portal-secret-for-tests-only" } else { "ledger-secret-for-tests-only" };
    let own = [("grant_type", grant), ("client_id", client), ("client_secret", secret)];
    house.form("/adfs/oauth2/token/", &own.iter().chain(more).copied().collect::<Vec<_>>()).await
}

fn refused(reply: &Reply, word: &str) -> Tested {
    let said = reply.json()?;
    assert!(reply.status >= 400 && said["error_description"].as_str().is_some_and(|text| text.contains(word)), "{said}");
    assert_eq!(said["error_codes"], Value::Null, "{said}");
    Ok(())
}

#[tokio::test]
async fn its_access_tokens_have_another_issuer_and_no_sub() -> Tested {
    let house = House::new().await?;
    let said = house.get("/adfs/.well-known/openid-configuration").await?;
    let host = house.origin.trim_start_matches("https://");
    assert_eq!(said["issuer"], format!("https://{host}/adfs"));
    assert_eq!(said["access_token_issuer"], format!("http://{host}/adfs/services/trust"));
    let nia = [("username", "nia@contoso.test"), ("password", "nia-password"), ("scope", "openid offline_access"), LEDGER_API];
    let body = token(&house, PORTAL, "password", &nia).await?.json()?;
    let (access, id) = (claims(&body["access_token"])?, claims(&body["id_token"])?);
    assert_eq!((&access["iss"], &access["sub"], &access["tid"]), (&said["access_token_issuer"], &Value::Null, &Value::Null));
    assert_eq!((&access["upn"], &access["aud"]), (&"nia@contoso.test".into(), &"https://ledger.contoso.test".into()));
    assert_eq!((&id["iss"], &id["sub"]), (&said["issuer"], &"S-1-5-21-nia-pairwise".into()));
    assert!(body["refresh_token"].is_string() && body["client_info"].is_null());
    house.end().await
}

#[tokio::test]
async fn on_behalf_of_names_its_web_api_by_resource_alone() -> Tested {
    let house = House::new().await?;
    let nia = [("username", "nia@contoso.test"), ("password", "nia-password"), ("resource", "https://portal.contoso.test")];
    let user = token(&house, LEDGER, "password", &nia).await?.json()?;
    let user = user["access_token"].as_str().ok_or("no token")?;
    let obo = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let on_behalf = [("assertion", user), ("requested_token_use", "on_behalf_of")];
    let with = |more: &[(&'static str, &'static str)]| on_behalf.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    let body = token(&house, PORTAL, obo, &with(&[LEDGER_API, ("scope", "openid")])).await?.json()?;
    assert_eq!(claims(&body["access_token"])?["upn"], "nia@contoso.test");
    let by_scope = with(&[("scope", "https://ledger.contoso.test/openid")]);
    refused(&token(&house, PORTAL, obo, &by_scope).await?, "MSIS9601")?;
    refused(&token(&house, PORTAL, obo, &with(&[("resource", "https://nothing.test")])).await?, "MSIS9602")?;
    // Its own audience, and not another web API's.
    refused(&token(&house, LEDGER, obo, &with(&[("resource", "https://portal.contoso.test")])).await?, "another web API")?;
    let app = token(&house, PORTAL, "client_credentials", &[LEDGER_API, ("scope", "openid")]).await?.json()?;
    assert_eq!(claims(&app["access_token"])?["upn"], Value::Null);
    refused(&token(&house, PORTAL, "client_credentials", &[("scope", "https://ledger.contoso.test/.default")]).await?, "MSIS9601")?;
    house.end().await
}
