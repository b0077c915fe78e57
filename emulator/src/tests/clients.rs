//! What clients do that are not tokend, and Entra takes or refuses.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{CALLBACK, CONTOSO, Got, House, Reply, Tested, WEB, claims, daemon};

const DAEMON: &str = "a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350";
const GRAPH: &str = "https://graph.microsoft.com/User.Read";
const ORDERS: &str = "api://orders/access_as_user";

/// The answer of `/authorize` to `web`, where Ana signs in and consents.
async fn signed_in(house: &House, over: &[(&str, &str)]) -> Got<Reply> {
    let usual = [("client_id", WEB), ("response_type", "code"), ("redirect_uri", CALLBACK), ("scope", GRAPH)];
    let mut fields: Vec<_> = usual.into_iter().filter(|(name, _)| !over.iter().any(|(other, _)| other == name)).collect();
    fields.extend(over);
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let path = format!("/{CONTOSO}/oauth2/v2.0/authorize?{query}");
    house.form(&path, &[("user", "ana@contoso.example"), ("consent", "yes")]).await
}

/// A parameter of the address that a redirect goes to.
fn back(reply: &Reply, name: &str) -> Got<Option<String>> {
    let to = url::Url::parse(reply.headers.get("location").ok_or_else(|| format!("no redirect: {}", reply.text))?)?;
    Ok(to.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned()))
}

/// The form that redeems a code as `web`.
fn redeeming<'a>(code: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", WEB),
        ("client_secret", "web-secret-for-tests-only"),
        ("code", code),
        ("redirect_uri", redirect_uri),
    ]
}

#[tokio::test]
async fn reserved_scopes_of_client_credentials_are_not_looked_at() -> Tested {
    let house = House::new().await?;
    for scope in [
        "api://orders/.default openid offline_access profile",
        "openid profile offline_access api://orders/.default",
        "api://orders/.default email",
        "OpenId api://orders/.default",
    ] {
        let body = house.token(&daemon(scope)).await?.json()?;
        assert_eq!(claims(&body["access_token"])?["roles"], json!(["Orders.Process"]), "{scope}");
        assert_eq!((&body["refresh_token"], &body["id_token"]), (&Value::Null, &Value::Null), "{scope}");
    }
    for scope in ["openid", "openid profile offline_access", "api://orders/.default api://billing/.default openid", "openid x"] {
        assert_eq!(house.token(&daemon(scope)).await?.aadsts()?, (400, 1_002_012), "{scope}");
    }
    house.end().await
}

#[tokio::test]
async fn no_letters_case_counts_in_entras_paths() -> Tested {
    let house = House::new().await?;
    let realm = house.get("/common/UserRealm/ana%40contoso.example?api-version=1.0").await?;
    assert_eq!(realm["account_type"], "Managed");
    let upper = CONTOSO.to_uppercase();
    let metadata = house.get(&format!("/{upper}/V2.0/.well-known/OpenID-Configuration")).await?;
    assert_eq!(metadata["issuer"], format!("{}/{CONTOSO}/v2.0", house.origin));
    assert_eq!(
        house.get("/Common/v2.0/.well-known/openid-configuration").await?["issuer"],
        format!("{}/{{tenantid}}/v2.0", house.origin)
    );
    let keys = house.get("/Organizations/Discovery/V2.0/Keys").await?;
    assert_eq!(keys["keys"][0]["issuer"], format!("{}/{{tenantid}}/v2.0", house.origin));
    assert_eq!(house.get("/ADFS/.well-known/openid-configuration").await?["issuer"], format!("{}/adfs", house.origin));
    let path = format!("/{upper}/OAuth2/V2.0/Token");
    assert_eq!(house.form(&path, &daemon("api://orders/.default")).await?.status, 200, "{path}");
    // A generic issuer is not Entra.
    for path in ["/oidc/Shop/jwks", "/OIDC/shop/jwks", "/oidc/shop/JWKS"] {
        assert_eq!(house.call(house.client.get(house.url(path))).await?.status, 404, "{path}");
    }
    house.end().await
}

#[tokio::test]
async fn a_program_on_the_users_machine_listens_on_any_port() -> Tested {
    let house = House::new().await?;
    for uri in [
        "http://localhost",
        "http://localhost/",
        "http://localhost:41231",
        "http://localhost:41231/",
        "http://localhost:9/callback",
        "http://127.0.0.1:9/callback",
    ] {
        let reply = signed_in(&house, &[("redirect_uri", uri)]).await?;
        let code = back(&reply, "code")?.ok_or("no code")?;
        assert!(reply.headers.get("location").is_some_and(|to| to.starts_with(uri)), "{uri}");
        assert_eq!(house.token(&redeeming(&code, "http://localhost:41232")).await?.aadsts()?, (400, 500_112), "{uri}");
        assert_eq!(house.token(&redeeming(&code, uri)).await?.status, 200, "{uri}");
    }
    for uri in [
        "https://localhost:41231",
        "http://localhost:41231/elsewhere",
        "http://localhost:41231/?x=y",
        "http://127.0.0.1:41231",
        "http://[::1]:3000/callback",
        "http://localhost.evil.example:3000/callback",
        "http://me@localhost:41231",
        "https://web.contoso.example:8443/signin-oidc",
    ] {
        let reply = signed_in(&house, &[("redirect_uri", uri)]).await?;
        assert_eq!((reply.status, reply.text.contains("AADSTS50011")), (400, true), "{uri}");
    }
    house.end().await
}

#[tokio::test]
async fn a_form_is_one_without_saying_so() -> Tested {
    let house = House::new().await?;
    let send = async |path: &str, kind: Option<&str>, body: &'static str| {
        let request = house.client.post(house.url(path)).body(body);
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        house.call(request).await
    };
    let device = "client_id=5b0c2e7a-9d41-4f36-8a1c-7e02b94d6f15&scope=User.Read";
    let secret = "grant_type=client_credentials&client_id=a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350\
                  &client_secret=daemon-secret-for-tests-only&scope=api%3A%2F%2Forders%2F.default";
    for kind in [None, Some("application/x-www-form-urlencoded"), Some("Application/X-WWW-Form-Urlencoded ; charset=UTF-8")] {
        assert_eq!(send(&format!("/{CONTOSO}/oauth2/v2.0/devicecode"), kind, device).await?.status, 200, "{kind:?}");
        assert_eq!(send(&format!("/{CONTOSO}/oauth2/v2.0/token"), kind, secret).await?.status, 200, "{kind:?}");
    }
    let portal = "grant_type=client_credentials&client_id=0d9f4b7c-63a2-4e15-8c70-5f2b1e8d3a46\
                  &client_secret=portal-secret-for-tests-only&scope=openid";
    assert_eq!(send("/Adfs/OAuth2/Token", None, portal).await?.status, 200);
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencodedx", ""] {
        let reply = send(&format!("/{CONTOSO}/oauth2/v2.0/token"), Some(kind), secret).await?;
        assert_eq!(reply.aadsts()?, (400, 900_144), "{kind:?}");
    }
    let shop = "grant_type=client_credentials&client_id=shop-web&client_secret=shop-web-secret-for-tests-only";
    assert_eq!(send("/oidc/shop/token", None, shop).await?.status, 401);
    house.end().await
}

#[tokio::test]
async fn http_basic_proves_a_client() -> Tested {
    let house = House::new().await?;
    let send = async |credentials: &str, body: &'static str| {
        let request = house.client.post(house.url(&format!("/{CONTOSO}/oauth2/v2.0/token")));
        let request = request.header("authorization", format!("Basic {}", STANDARD.encode(credentials)));
        house.call(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    };
    let good = format!("{DAEMON}:daemon-secret-for-tests-only");
    let bare = "grant_type=client_credentials&scope=api%3A%2F%2Forders%2F.default";
    let named = "grant_type=client_credentials&scope=api%3A%2F%2Forders%2F.default&client_id=a7d3e6f1-40b2-4c59-b8e4-1f6a9c2d7350";
    for body in [bare, named] {
        let token = send(&good, body).await?.json()?["access_token"].clone();
        assert_eq!(claims(&token)?["azpacr"], "1", "{body}");
    }
    let metadata = house.get(&format!("/{CONTOSO}/v2.0/.well-known/openid-configuration")).await?;
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().ok_or("no list")?;
    assert!(methods.contains(&json!("client_secret_basic")), "{metadata}");
    for (credentials, body, expected) in [
        (format!("{DAEMON}:wrong"), bare, (401, 7_000_215)),
        (format!("{DAEMON}:"), bare, (401, 7_000_218)),
        ("11111111-1111-1111-1111-111111111111:x".to_owned(), bare, (400, 700_016)),
        (format!("{WEB}:web-secret-of-last-year"), bare, (401, 7_000_222)),
        (format!("{WEB}:web-secret-for-tests-only"), named, (400, 9_002_313)),
        (good.clone(), "grant_type=client_credentials&client_secret=daemon-secret-for-tests-only", (400, 9_002_313)),
        (good, "grant_type=client_credentials&client_assertion=a.b.c", (400, 9_002_313)),
    ] {
        assert_eq!(send(&credentials, body).await?.aadsts()?, expected, "{credentials} {body}");
    }
    house.end().await
}

#[tokio::test]
async fn a_user_consents_to_two_resources_at_once_and_a_token_is_for_one() -> Tested {
    let house = House::new().await?;
    let both = format!("{ORDERS} {GRAPH} offline_access");
    let code = async || {
        Ok::<_, Box<dyn std::error::Error>>(back(&signed_in(&house, &[("scope", &both)]).await?, "code")?.ok_or("no code")?)
    };
    for (scope, audience) in [(ORDERS, super::ORDERS), (GRAPH, "https://graph.microsoft.com")] {
        let code = code().await?;
        let body = house.token(&[redeeming(&code, CALLBACK), vec![("scope", scope)]].concat()).await?.json()?;
        assert_eq!(claims(&body["access_token"])?["aud"], audience);
    }
    for (scope, expected) in [("", 28003), (both.as_str(), 28000)] {
        let code = code().await?;
        let reply = house.token(&[redeeming(&code, CALLBACK), vec![("scope", scope)]].concat()).await?;
        assert_eq!(reply.aadsts()?, (400, expected), "{scope}");
        assert_eq!(reply.json()?["error"], "invalid_request");
    }
    // What is wrong with any of them is wrong with all.
    for (scope, error) in
        [(format!("{GRAPH} api://nothing/x"), "invalid_resource"), (format!("{GRAPH} api://orders/nothing"), "invalid_scope")]
    {
        let refused = signed_in(&house, &[("scope", &scope)]).await?;
        assert_eq!(back(&refused, "error")?.as_deref(), Some(error), "{scope}");
    }
    house.end().await
}

#[tokio::test]
async fn instance_discovery_knows_the_host_with_and_without_its_port() -> Tested {
    let house = House::new().await?;
    let port = house.origin.rsplit(':').next().ok_or("no port")?.to_owned();
    let ask = async |host: &str| {
        let query = format!("api-version=1.1&authorization_endpoint=https://{host}/{CONTOSO}/oauth2/v2.0/authorize");
        house.get(&format!("/common/discovery/instance?{query}")).await
    };
    for host in [
        format!("127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        "[::1]".to_owned(),
        format!("LOCALHOST:{port}"),
    ] {
        let told = ask(&host).await?;
        assert_eq!(
            told["tenant_discovery_endpoint"],
            house.url(&format!("/{CONTOSO}/v2.0/.well-known/openid-configuration")),
            "{host}"
        );
        let aliases = told["metadata"][0]["aliases"].as_array().ok_or("no aliases")?;
        assert!(aliases.contains(&json!(host.to_lowercase())), "{host}: {aliases:?}");
    }
    for host in ["127.0.0.1:1", "127.0.0.2", "localhost.evil.example", "me@localhost", ""] {
        assert_eq!(ask(host).await?["error_codes"], json!([50049]), "{host}");
    }
    house.end().await
}

/// Asks for an app token as this client, by a token that the realm gave this one of its own.
async fn federated(house: &House, client_id: &str, of: (&str, &str), audience: &str) -> Got<Reply> {
    let form = [("grant_type", "client_credentials"), ("client_id", of.0), ("client_secret", of.1), ("audience", audience)];
    let token = house.form("/oidc/shop/token", &form).await?.json()?["access_token"].clone();
    let assertion = token.as_str().ok_or("no token")?;
    house
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("scope", "api://orders/.default"),
        ])
        .await
}

#[tokio::test]
async fn the_built_in_daemon_trusts_a_client_of_the_realm() -> Tested {
    let house = House::new().await?;
    let web = ("shop-web", "shop-web-secret-for-tests-only");
    let orders = ("shop-orders", "shop-orders-secret-for-tests-only");
    let exchange = "api://AzureADTokenExchange";
    let body = federated(&house, DAEMON, web, exchange).await?.json()?;
    let token = claims(&body["access_token"])?;
    assert_eq!((&token["azp"], &token["azpacr"]), (&json!(DAEMON), &json!("2")));
    for (client_id, of, audience, expected) in [
        (DAEMON, orders, exchange, 700_213),
        (DAEMON, web, "https://orders.shop.example", 700_212),
        // Whoever trusts nobody is told so, whatever was presented.
        (WEB, web, exchange, 70025),
        (super::ORDERS, orders, "https://orders.shop.example", 70025),
    ] {
        let reply = federated(&house, client_id, of, audience).await?;
        assert_eq!(reply.aadsts()?, (401, expected), "{client_id} {of:?} {audience}");
        assert_eq!(reply.json()?["error"], "invalid_client");
    }
    house.pass(901);
    assert_eq!(federated(&house, DAEMON, web, exchange).await?.status, 200);
    house.control("keys/rotate", json!({"keep_old": false})).await?;
    let old = json!({"realm": "shop", "app": exchange, "kind": "app", "client": "shop-web", "key": "old"});
    let old = house.mint(old).await?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", DAEMON),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", old.as_str()),
        ("scope", "api://orders/.default"),
    ];
    assert_eq!(house.token(&form).await?.aadsts()?, (401, 700_027));
    house.end().await
}

#[tokio::test]
async fn client_info_comes_with_the_code_if_it_is_asked_for() -> Tested {
    let house = House::new().await?;
    let asked = back(&signed_in(&house, &[("client_info", "1")]).await?, "client_info")?.ok_or("no client_info")?;
    let info: Value = serde_json::from_slice(&crate::jose::decode(&asked).unwrap_or_default())?;
    assert_eq!(info, json!({"uid": "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01", "utid": CONTOSO}));
    for over in [&[][..], &[("client_info", "0")], &[("client_info", "")]] {
        assert_eq!(back(&signed_in(&house, over).await?, "client_info")?, None, "{over:?}");
    }
    let refused = signed_in(&house, &[("client_info", "1"), ("scope", "api://nothing/x")]).await?;
    assert_eq!(back(&refused, "client_info")?, None);
    house.end().await
}

#[tokio::test]
async fn nothing_is_sent_that_entra_does_not_send() -> Tested {
    let house = House::new().await?;
    let metadata = house.get(&format!("/{CONTOSO}/v2.0/.well-known/openid-configuration")).await?;
    for name in ["code_challenge_methods_supported", "authorization_response_iss_parameter_supported", "grant_types_supported"] {
        assert_eq!(metadata[name], Value::Null, "{name}");
    }
    let started =
        house.form(&format!("/{CONTOSO}/oauth2/v2.0/devicecode"), &[("client_id", WEB), ("scope", GRAPH)]).await?.json()?;
    let mut members: Vec<_> = started.as_object().ok_or("no object")?.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["device_code", "expires_in", "interval", "message", "user_code", "verification_uri"]);
    for over in [("scope", GRAPH), ("scope", "api://nothing/x")] {
        assert_eq!(back(&signed_in(&house, &[over]).await?, "iss")?, None, "{over:?}");
    }
    let realm = house.get("/common/userrealm/ana%40contoso.example?api-version=1.0").await?;
    let mut members: Vec<_> = realm.as_object().ok_or("no object")?.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["account_type", "cloud_audience_urn", "cloud_instance_name", "domain_name", "ver"]);
    house.end().await
}

#[tokio::test]
async fn signing_out_leads_back_to_an_address_that_is_registered() -> Tested {
    let house = House::new().await?;
    let out = async |query: &str| house.call(house.client.get(house.url(&format!("/{CONTOSO}/oauth2/v2.0/logout?{query}")))).await;
    let reply = out("post_logout_redirect_uri=http://localhost:3000/callback&state=s1").await?;
    assert_eq!(reply.headers.get("location").map(String::as_str), Some("http://localhost:3000/callback?state=s1"));
    for query in ["", "post_logout_redirect_uri=https://evil.example/", "state=s1"] {
        let reply = out(query).await?;
        assert_eq!((reply.status, reply.headers.get("location")), (200, None), "{query}");
    }
    house.end().await
}
