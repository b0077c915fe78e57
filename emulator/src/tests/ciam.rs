//! An external tenant: it is at hosts of its own alone.

use serde_json::Value;

use super::{House, Tested};

const OUTSIDE: &str = "6a1f0d94-27c3-4e8b-b5d2-90f4e7c3a816";

#[tokio::test]
async fn an_external_tenant_issues_under_its_id_and_is_nowhere_else() -> Tested {
    let house = House::new().await?;
    // A request of HTTP/2 has no header that names another host than its URL.
    let http1 = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(house.directory["ca_pem"].as_str().unwrap_or_default().as_bytes())?])
        .no_proxy()
        .http1_only()
        .build()?;
    let at = async |host: &str, path: &str| {
        let request = http1.get(house.url(path)).header("host", host);
        house.call(request).await
    };
    let document = "/v2.0/.well-known/openid-configuration";
    for host in ["contoso.ciamlogin.com".to_owned(), format!("{OUTSIDE}.ciamlogin.com"), "login.contoso.test".to_owned()] {
        let said = at(&host, &format!("/contoso.onmicrosoft.com{document}")).await?.json()?;
        assert_eq!(said["issuer"], format!("https://{OUTSIDE}.ciamlogin.com/{OUTSIDE}/v2.0"), "{host}");
        assert_eq!(said["token_endpoint"], format!("https://{host}/{OUTSIDE}/oauth2/v2.0/token"), "{host}");
    }
    let other = at("contoso.ciamlogin.com", &format!("/{}{document}", super::CONTOSO)).await?;
    assert_eq!(other.aadsts()?.1, 90002);
    // As a tenant of Entra's it is not there.
    let said = house.get(&format!("/{OUTSIDE}{document}")).await?;
    assert_eq!((&said["error_codes"][0], &said["issuer"]), (&90002.into(), &Value::Null));
    house.end().await
}
