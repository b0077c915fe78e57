//! SAML assertions, in and out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Got, House, Reply, Tested, claims, obo};
use crate::saml::Received;

const ONE: &str = "urn:ietf:params:oauth:grant-type:saml1_1-bearer";
const TWO: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
const SAML1: &str = "urn:ietf:params:oauth:token-type:saml1";
const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";
const SCOPE: &str = "api://billing/invoices.read openid profile offline_access";
const STS: &str = "https://sts.contoso.example/trust";

async fn minted(house: &House, order: Value) -> Got<Value> {
    let reply = house.control("saml", order).await?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// An order for Ana's assertion to orders-api.
fn ana(version: &str, over: Value) -> Value {
    let mut order = json!({"version": version, "app": "orders-api", "user": "ana@contoso.example"});
    order.as_object_mut().into_iter().for_each(|order| order.extend(over.as_object().cloned().unwrap_or_default()));
    order
}

/// On-behalf-of with it.
async fn present(house: &House, grant: &str, assertion: &str) -> Got<Reply> {
    let form: Vec<_> =
        obo(assertion, SCOPE).into_iter().map(|one| if one.0 == "grant_type" { ("grant_type", grant) } else { one }).collect();
    house.token(&form).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_assertion_is_exchanged_in_any_spelling() -> Tested {
    let house = House::new().await?;
    for (version, grant) in [("1.1", ONE), ("2.0", TWO)] {
        let order = minted(&house, ana(version, json!({}))).await?;
        let (plain, encoded) = (text(&order["assertion"]), text(&order["encoded"]));
        let standard = STANDARD.encode(plain);
        let broken = standard.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\r\n");
        for spelling in [encoded, &standard, standard.trim_end_matches('='), &broken] {
            let body = present(&house, grant, spelling).await?.json()?;
            assert_eq!(claims(&body["access_token"])?["oid"], "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01", "{body}");
            assert_eq!((body["refresh_token"].is_string(), body["client_info"].is_string()), (true, true));
        }
        assert_eq!(present(&house, grant, plain).await?.aadsts()?, (400, 50013), "{version} in no base64");
        let other = if grant == ONE { TWO } else { ONE };
        assert_eq!(present(&house, other, encoded).await?.aadsts()?, (400, 50013), "{version} as the other");
    }
    house.end().await
}

#[tokio::test]
async fn an_assertion_that_is_not_good_is_refused() -> Tested {
    let house = House::new().await?;
    for (version, grant) in [("1.1", ONE), ("2.0", TWO)] {
        for (over, number) in [
            (json!({"lifetime": 0}), 500_133),
            (json!({"not_before": 61}), 500_133),
            (json!({"app": "billing-api"}), 500_131),
            (json!({"audience": "https://elsewhere.example"}), 500_131),
            (json!({"key": "unknown"}), 50013),
            (json!({"issuer": "https://evil.example"}), 50013),
            (json!({"user": "fay@fabrikam.example"}), 50013),
            (json!({"user": "mia@contoso.example"}), 50076),
        ] {
            let order = minted(&house, ana(version, over.clone())).await?;
            assert_eq!(present(&house, grant, text(&order["encoded"])).await?.aadsts()?, (400, number), "{version} {over}");
        }
        let strong = minted(&house, ana(version, json!({"user": "mia@contoso.example", "strong": true}))).await?;
        assert_eq!(present(&house, grant, text(&strong["encoded"])).await?.status, 200);

        let good = minted(&house, ana(version, json!({}))).await?;
        let good = text(&good["assertion"]);
        for (from, to) in [
            ("ana@contoso.example", "ben@contoso.example"),
            ("ana@contoso.example", "ana@contoso.example<!-- x -->"),
            ("api://orders", "api://orders/"),
            ("<Assertion ", "<!DOCTYPE Assertion><Assertion "),
            ("</ds:SignatureValue>", "AA</ds:SignatureValue>"),
            ("exc-c14n#\"></ds:Transform>", "exc-c14n#WithComments\"></ds:Transform>"),
            ("</Assertion>", ""),
        ] {
            let forged = good.replace(from, to);
            assert_ne!(forged, good, "{from}");
            assert_eq!(present(&house, grant, &STANDARD.encode(forged)).await?.aadsts()?, (400, 50013), "{version} {to}");
        }
        assert_eq!(present(&house, grant, "not-xml").await?.aadsts()?, (400, 50013));
        let form = obo(good, SCOPE);
        let form: Vec<_> = form.into_iter().filter(|one| one.0 != "requested_token_use" && one.0 != "grant_type").collect();
        assert_eq!(house.token(&[&form[..], &[("grant_type", grant)]].concat()).await?.aadsts()?, (400, 900_144));
        let form: Vec<_> = form.into_iter().filter(|one| one.0 != "client_secret").collect();
        assert_eq!(house.token(&[&form[..], &[("grant_type", grant)]].concat()).await?.aadsts()?, (401, 7_000_218));
    }
    house.end().await
}

#[tokio::test]
async fn on_behalf_of_brings_an_assertion_that_the_resource_can_use() -> Tested {
    let house = House::new().await?;
    let token = house.mint(json!({"app": "orders-api", "user": "ana@contoso.example", "scopes": "access_as_user"})).await?;
    for (kind, grant) in [(SAML1, ONE), (SAML2, TWO)] {
        for scope in ["api://billing/.default offline_access", "spn:api://billing/.default offline_access"] {
            let mut form = obo(&token, scope);
            form.push(("requested_token_type", kind));
            let body = house.token(&form).await?.json()?;
            assert_eq!((&body["issued_token_type"], &body["token_type"]), (&json!(kind), &json!("Bearer")));
            assert!(body["refresh_token"].is_string() && body["expires_in"] == 3_599, "{body}");
            let received = Received::decode(text(&body["access_token"])).ok_or("no assertion")?;
            assert_eq!(
                (received.said.subject.as_str(), &received.said.audiences[..]),
                ("ana@contoso.example", &["api://billing".to_owned()][..])
            );
            assert_eq!(received.said.not_on_or_after, Some(house.now() + 3_599));

            // The resource goes on with it.
            let form = [
                ("grant_type", grant),
                ("client_id", "d91f4b8c-2e75-4a03-95c6-0b7e8a1d3f42"),
                ("client_secret", "billing-secret-for-tests-only"),
                ("assertion", text(&body["access_token"])),
                ("requested_token_use", "on_behalf_of"),
                ("scope", "User.Read"),
            ];
            assert_eq!(house.token(&form).await?.status, 200);
        }
    }
    let mut form = obo(&token, SCOPE);
    form.push(("requested_token_type", "urn:ietf:params:oauth:token-type:id_token"));
    assert_eq!(house.token(&form).await?.aadsts()?, (400, 9_002_313));
    house.end().await
}

#[tokio::test]
async fn another_issuer_is_trusted_by_its_certificate() -> Tested {
    let mut directory: Value = serde_json::from_str(include_str!("../builtin.json"))?;
    directory["tenants"][0]["saml_issuers"] = json!([{"issuer": STS, "certificate": {"generate": true}}]);
    directory["realms"][0]["saml_issuers"] = directory["tenants"][0]["saml_issuers"].clone();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("directory.json");
    std::fs::write(&file, directory.to_string())?;
    let house = House::of(Some(file)).await?;
    let shown = &house.directory["tenants"][0]["saml_issuers"][0];
    assert!(text(&shown["certificate"]["key_pem"]).starts_with("-----BEGIN PRIVATE KEY-----"));
    // By its name alone nobody is trusted.
    let order = minted(&house, ana("2.0", json!({"issuer": STS}))).await?;
    assert_eq!(present(&house, TWO, text(&order["encoded"])).await?.aadsts()?, (400, 50013));

    let key = pkcs8(text(&shown["certificate"]["key_pem"]))?;
    let key = crate::keys::SigningKey::from_pkcs8(&key).ok_or("no key")?;
    for (format, grant) in [(crate::saml::Format::One, ONE), (crate::saml::Format::Two, TWO)] {
        for (subject, expected) in [("ben@contoso.example", (200, 0)), ("nobody@contoso.example", (400, 50034))] {
            let statement = crate::saml::Statement {
                format,
                issuer: STS,
                audience: "api://orders",
                subject,
                not_before: house.now(),
                not_on_or_after: house.now() + 60,
                attributes: Vec::new(),
            };
            let assertion = statement.sign(house.now(), &key).ok_or("not signed")?;
            let reply = present(&house, grant, &STANDARD.encode(assertion)).await?;
            let number = reply.json()?["error_codes"][0].as_u64().unwrap_or_default();
            assert_eq!((reply.status, number), expected, "{}", reply.text);
        }
    }
    house.end().await
}

fn pkcs8(pem: &str) -> Got<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(STANDARD.decode(body)?)
}

#[tokio::test]
async fn a_realm_exchanges_assertions() -> Tested {
    let house = House::new().await?;
    let shop = |version: &str, over: Value| {
        let mut order = ana(version, json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva"}));
        order.as_object_mut().into_iter().for_each(|order| order.extend(over.as_object().cloned().unwrap_or_default()));
        order
    };
    let send = async |kind: &str, token: &str, more: &[(&str, &str)]| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("client_id", "shop-orders"),
            ("client_secret", "shop-orders-secret-for-tests-only"),
            ("subject_token_type", kind),
            ("subject_token", token),
        ];
        house.form("/oidc/shop/token", &[&form[..], more].concat()).await
    };
    for (version, kind) in [("1.1", SAML1), ("2.0", SAML2)] {
        let order = minted(&house, shop(version, json!({}))).await?;
        assert_eq!(order["token_type"], kind);
        let body = send(kind, text(&order["encoded"]), &[("scope", "stock.read")]).await?.json()?;
        assert_eq!(claims(&body["access_token"])?["sub"], "f2a6-eva", "{body}");
        assert_eq!((&body["scope"], &body["token_type"]), (&json!("stock.read"), &json!("Bearer")));
        for over in [
            json!({"lifetime": -1}),
            json!({"app": "https://stock.shop.example"}),
            json!({"key": "unknown"}),
            json!({"issuer": "https://evil.example"}),
            json!({"subject": "nobody"}),
        ] {
            let order = minted(&house, shop(version, over.clone())).await?;
            let reply = send(kind, text(&order["encoded"]), &[]).await?;
            assert_eq!((reply.status, &reply.json()?["error"]), (400, &json!("invalid_request")), "{over}");
        }
        // And back: what comes out goes in.
        let wish = [("requested_token_type", kind), ("audience", "https://orders.shop.example")];
        let body = send(kind, text(&order["encoded"]), &wish).await?.json()?;
        assert_eq!((&body["token_type"], &body["issued_token_type"]), (&json!("N_A"), &json!(kind)));
        assert_eq!(send(kind, text(&body["access_token"]), &[]).await?.status, 200);
    }
    house.end().await
}

#[tokio::test]
async fn rules_find_the_user_of_an_assertion() -> Tested {
    let house = House::new().await?;
    house.script(json!({"on": {"user": "ben@contoso.example"}, "times": 0, "do": {"aadsts": 50173}})).await?;
    for (user, status) in [("ana@contoso.example", 200), ("ben@contoso.example", 400)] {
        let order = minted(&house, ana("2.0", json!({"user": user}))).await?;
        assert_eq!(present(&house, TWO, text(&order["encoded"])).await?.status, status, "{user}");
    }
    house.end().await
}
