//! What tokend sends to an OIDC issuer: exactly the caller's scopes, RFC 8693 for on-behalf-of, and a proof of the kind that the
//! issuer announces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Emulator, Stage, World, parameter};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const STOCK: &str = "https://stock.shop.example";

/// The forms of all requests to the token endpoint, without proof.
async fn forms(world: &World) -> Vec<Value> {
    let mut asked = world.emulator.asked("token").await;
    for request in &mut asked {
        let form = request["form"].as_object_mut().expect("a form");
        for member in ["client_id", "client_secret", "client_assertion", "client_assertion_type"] {
            form.remove(member);
        }
    }
    asked.into_iter().map(|mut request| request["form"].take()).collect()
}

async fn eva(world: &World) -> String {
    let order = json!({"realm": "shop", "app": "https://orders.shop.example", "user": "eva", "scopes": "orders.read"});
    world.emulator.mint(order).await
}

async fn exchange(world: &World, app: &str, more: Value) -> Answer {
    let mut body = json!({"app": app});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    world.sidecar.client.post_as("/obo", &eva(world).await, &body).await
}

/// A world whose issuer offers these ways of client authentication and these algorithms, and no others.
async fn announcing(methods: Value, algorithms: Value) -> World {
    let mut directory = Emulator::built_in();
    directory["realms"][0]["token_endpoint_auth_methods_supported"] = methods;
    directory["realms"][0]["token_endpoint_auth_signing_alg_values_supported"] = algorithms;
    // What form-encoding changes.
    directory["realms"][0]["clients"][1]["secrets"] = json!(["a:b c/d+e%é&="]);
    World::staged(Stage { directory: Some(directory), ..Stage::default() }).await
}

async fn stock(world: &World, app: &str) -> Answer {
    world.app_token(json!({"app": app, "scopes": "stock.read"})).await
}

#[tokio::test]
async fn req_1_client_credentials_send_exactly_the_callers_scopes() {
    for app in ["shop", "shop-cert"] {
        let world = World::new().await;
        world.app_token(json!({"app": app, "scopes": "stock.read orders.read"})).await.token();
        assert_eq!(forms(&world).await, [json!({"grant_type": "client_credentials", "scope": "stock.read orders.read"})], "{app}");
    }
}

#[tokio::test]
async fn no_scope_is_needed_where_a_target_is_named() {
    let world = World::new().await;
    for member in ["audience", "resource"] {
        world.app_token(json!({"app": "shop", member: STOCK})).await.token();
        exchange(&world, "shop", json!({member: STOCK})).await.token();
    }
    let forms = forms(&world).await;
    assert!(forms.iter().all(|form| form["scope"].is_null()), "{forms:#?}");
    let named: Vec<&Value> =
        forms.iter().flat_map(|form| [&form["audience"], &form["resource"]]).filter(|one| !one.is_null()).collect();
    assert_eq!(named, [STOCK; 4]);
}

#[tokio::test]
async fn audience_and_resource_are_part_of_what_is_cached() {
    let world = World::new().await;
    let both = json!({"app": "shop", "scopes": "stock.read", "audience": STOCK, "resource": "https://orders.shop.example"});
    for body in
        [json!({"app": "shop", "scopes": "stock.read"}), json!({"app": "shop", "scopes": "stock.read", "audience": STOCK}), both]
    {
        assert_eq!(world.app_token(body.clone()).await.member("token_source"), "identity_provider", "{body}");
        assert_eq!(world.app_token(body.clone()).await.member("token_source"), "cache", "{body}");
    }
    let sent = forms(&world).await;
    assert_eq!((&sent[2]["audience"], &sent[2]["resource"]), (&json!(STOCK), &json!("https://orders.shop.example")));
}

#[tokio::test]
async fn an_unknown_target_is_the_callers_mistake() {
    let world = World::new().await;
    let answer = world.app_token(json!({"app": "shop", "audience": "https://nowhere.example"})).await;
    answer.refused(400, "invalid_target", "");
}

#[tokio::test]
async fn a_tenant_means_nothing_at_an_issuer() {
    let world = World::new().await;
    let body = json!({"app": "shop", "scopes": "stock.read", "tenant": "contoso.example"});
    world.app_token(body).await.refused(400, "invalid_request", "`tenant`");
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn req_2_obo_is_token_exchange() {
    for app in ["shop", "shop-cert"] {
        let world = World::new().await;
        let user = eva(&world).await;
        let body = json!({"app": app, "scopes": "stock.read", "audience": STOCK});
        let answer = world.sidecar.client.post_as("/obo", &user, &body).await;
        answer.token();
        let expected = json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": user,
            "subject_token_type": ACCESS_TOKEN, "requested_token_type": ACCESS_TOKEN, "scope": "stock.read", "audience": STOCK,
        });
        assert_eq!(forms(&world).await, [expected], "{app}");
        assert_eq!(answer.member("issued_token_type"), ACCESS_TOKEN);
        let issuer = format!("{}/oidc/shop", world.emulator.origin);
        let environment = issuer.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        let account = &answer.json["account"];
        assert_eq!((account["home_account_id"].as_str(), account["environment"].as_str()), (Some("f2a6-eva"), environment));
    }
}

#[tokio::test]
async fn token_types_of_an_exchange_are_passed_on() {
    let world = World::new().await;
    let more = json!({"scopes": "stock.read", "subject_token_type": JWT, "requested_token_type": JWT});
    assert_eq!(exchange(&world, "shop", more).await.member("issued_token_type"), JWT);
    let form = forms(&world).await.remove(0);
    assert_eq!((&form["subject_token_type"], &form["requested_token_type"]), (&json!(JWT), &json!(JWT)));
}

#[tokio::test]
async fn no_refresh_token_is_asked_for() {
    let world = World::new().await;
    for kind in [REFRESH_TOKEN, "URN:ietf:params:oauth:token-type:Refresh_Token", "https://shop.example/types/refresh_token"] {
        for member in ["requested_token_type", "subject_token_type"] {
            let answer = exchange(&world, "shop", json!({"scopes": "stock.read", member: kind})).await;
            answer.refused(400, "invalid_request", &format!("`{member}`"));
        }
    }
    for kind in [format!(" {REFRESH_TOKEN}"), format!("{REFRESH_TOKEN}\n"), format!("{REFRESH_TOKEN}\u{a0}")] {
        let answer = exchange(&world, "shop", json!({"scopes": "stock.read", "requested_token_type": kind})).await;
        answer.refused(400, "invalid_request", "`requested_token_type`");
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn a_refresh_token_that_is_answered_all_the_same_is_no_answer() {
    let world = World::new().await;
    for kind in [REFRESH_TOKEN, "urn:ietf:params:oauth:token-type:REFRESH_TOKEN"] {
        let set = json!({"access_token": "canary-refresh-token", "issued_token_type": kind});
        world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"set": set}})).await;
        let answers = [
            exchange(&world, "shop", json!({"scopes": "stock.read"})).await,
            stock(&world, "shop").await,
            world.redeem(&world.code("shop-web", "orders.read", "eva").await).await,
            world.redeem(&world.code("web", "api://orders/access_as_user", "ana@contoso.example").await).await,
        ];
        for answer in answers {
            answer.refused(502, "invalid_authority_response", "issued_token_type");
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
        world.emulator.unscript().await;
        world.later(10);
    }
    // Nothing was kept of them.
    assert_eq!(world.sidecar.metric("tokend_cache_partitions{level=\"memory\"}").await, 0.0);
    assert_eq!(exchange(&world, "shop", json!({"scopes": "stock.read"})).await.source(), "identity_provider");
}

#[tokio::test]
async fn token_types_mean_nothing_at_entra() {
    let world = World::new().await;
    let user = world.emulator.user_token("ana@contoso.example").await;
    for member in ["subject_token_type", "requested_token_type"] {
        let body = json!({"app": "orders", "scopes": "https://graph.microsoft.com/User.Read", member: JWT});
        world.sidecar.client.post_as("/obo", &user, &body).await.refused(400, "invalid_request", member);
    }
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn an_exchanged_token_need_not_be_a_bearer_token() {
    let world = World::new().await;
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"set": {"token_type": "N_A"}}})).await;
    let answer = exchange(&world, "shop", json!({"scopes": "stock.read"})).await;
    answer.token();
    assert_eq!(answer.member("token_type"), "N_A");
    stock(&world, "shop").await.refused(502, "invalid_authority_response", "token_type");
}

#[tokio::test]
async fn sign_in_adds_openid_and_nothing_else() {
    let world = World::new().await;
    let answer = world.authorize_url("shop-web", "orders.read", json!({})).await;
    assert_eq!(answer.member("scope"), "orders.read openid");
    let code = world.code("shop-web", "orders.read", "eva").await;
    world.redeem(&code).await.token();
    let expected = json!({
        "grant_type": "authorization_code", "code": code["code"], "redirect_uri": code["redirect_uri"],
        "code_verifier": code["code_verifier"],
    });
    assert_eq!(forms(&world).await, [expected]);
}

#[tokio::test]
async fn offline_access_is_asked_for_only_if_the_app_says_so() {
    let apps = "  offline: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-web, offline_access: true, \
                credential: {secret: {file: FILES/shop-web.secret}}}";
    let world = World::staged(Stage { apps, ..Stage::default() }).await;
    let answer = world.authorize_url("offline", "orders.read", json!({})).await;
    assert_eq!(answer.member("scope"), "orders.read openid offline_access");
    let code = world.code("offline", "orders.read", "eva").await;
    let redeemed = world.redeem(&code).await;
    redeemed.token();
    assert!(redeemed.json.get("refresh_token").is_none(), "{}", redeemed.text);
}

#[tokio::test]
async fn a_target_of_a_sign_in_is_named_in_both_steps() {
    for member in ["audience", "resource"] {
        let world = World::new().await;
        let url = world.authorize_url("shop-web", "stock.read", json!({member: STOCK})).await;
        let url = url::Url::parse(url.member("authorization_url")).expect("a URL");
        assert_eq!(parameter(&url, member), STOCK);
        let mut code = world.code("shop-web", "stock.read", "eva").await;
        code[member] = json!(STOCK);
        world.redeem(&code).await.token();
        assert_eq!(forms(&world).await[0][member], STOCK);
    }
}

#[tokio::test]
async fn a_secret_goes_into_the_form_where_that_is_announced() {
    let world = announcing(json!(["client_secret_basic", "client_secret_post"]), json!([])).await;
    stock(&world, "shop").await.token();
    let request = world.emulator.asked("token").await.remove(0);
    assert_eq!(request["form"]["client_secret"], "a:b c/d+e%é&=");
    assert_eq!(request["form"]["client_id"], "shop-orders");
    assert_eq!(request["headers"]["authorization"], Value::Null);
}

#[track_caller]
fn proved_by_basic(request: &Value) {
    // RFC 6749 §2.3.1: form-encoded, joined, base64.
    let expected = STANDARD.encode("shop-orders:a%3Ab+c%2Fd%2Be%25%C3%A9%26%3D");
    assert_eq!(request["headers"]["authorization"], format!("Basic {expected}"));
    assert_eq!((&request["form"]["client_secret"], request["status"].as_u64()), (&Value::Null, Some(200)));
}

#[tokio::test]
async fn a_secret_goes_into_the_header_where_only_that_is_announced() {
    let world = announcing(json!(["client_secret_basic"]), json!([])).await;
    stock(&world, "shop").await.token();
    proved_by_basic(&world.emulator.asked("token").await[0]);
}

/// A world whose issuer takes a secret in both ways, and one client's in this one alone.
async fn registered_for(client: &str, method: &str) -> World {
    let mut directory = Emulator::built_in();
    directory["realms"][0]["token_endpoint_auth_methods_supported"] = json!(["client_secret_post", "client_secret_basic"]);
    let clients = directory["realms"][0]["clients"].as_array_mut().expect("clients");
    let client = clients.iter_mut().find(|entry| entry["client_id"] == client).expect("the client");
    client["token_endpoint_auth_method"] = json!(method);
    let apps = "  posting: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-orders, \
                credential: {secret: {file: FILES/shop.secret, method: post}}}\n  \
                basic: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-orders, \
                credential: {secret: {file: FILES/shop.secret, method: basic}}}";
    World::staged(Stage { directory: Some(directory), apps, ..Stage::default() }).await
}

/// How each call proved the client, and what came of it.
async fn proofs(world: &World) -> Vec<(&'static str, u64)> {
    let asked = world.emulator.asked("token").await;
    let proof = |request: &Value| if request["headers"]["authorization"].is_null() { "post" } else { "basic" };
    asked.iter().map(|request| (proof(request), request["status"].as_u64().unwrap_or_default())).collect()
}

#[tokio::test]
async fn asn_8_a_client_of_one_method_is_proved_by_the_other_announced_one_which_is_remembered() {
    let world = registered_for("shop-orders", "client_secret_basic").await;
    for scopes in ["stock.read", "orders.read", "orders.write"] {
        world.app_token(json!({"app": "shop", "scopes": scopes})).await.token();
    }
    assert_eq!(proofs(&world).await, [("post", 401), ("basic", 200), ("basic", 200), ("basic", 200)]);
}

#[tokio::test]
async fn asn_8_a_code_and_a_refresh_token_find_the_other_method_too() {
    // Whoever is not known has redeemed nothing: the code is good still.
    let world = registered_for("shop-web", "client_secret_basic").await;
    let code = world.code("shop-web", "orders.read", "eva").await;
    world.redeem(&code).await.token();
    assert_eq!(proofs(&world).await, [("post", 401), ("basic", 200)]);
    // Nor has it used up what is good for one use.
    let offline = "  offline: {issuer: \"ORIGIN/oidc/shop\", ca_file: FILES/ca.pem, client_id: shop-web, offline_access: true, \
                   credential: {secret: {file: FILES/shop-web.secret}}}";
    let world = World::staged(Stage { apps: offline, ..Stage::default() }).await;
    let signed = world.redeem(&world.code("offline", "orders.read", "eva").await).await;
    let refused = json!({"error": {"status": 401, "error": "invalid_client"}});
    world.emulator.script(json!({"on": {"grant_type": "refresh_token"}, "do": refused})).await;
    world.later(100_000);
    let account = &signed.json["account"]["home_account_id"];
    let silent = json!({"app": "offline", "account": account, "scopes": "orders.read"});
    world.sidecar.client.post("/silent", &silent).await.token();
    assert_eq!(proofs(&world).await, [("post", 200), ("post", 401), ("basic", 200)]);
}

#[tokio::test]
async fn asn_8_what_is_remembered_is_given_up_when_it_works_no_more() {
    let world = registered_for("shop-orders", "client_secret_basic").await;
    stock(&world, "shop").await.token();
    let refused = json!({"error": {"status": 401, "error": "invalid_client"}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 2, "do": refused})).await;
    world.app_token(json!({"app": "shop", "scopes": "orders.read"})).await.refused(502, "invalid_client", "credential");
    world.later(60);
    world.app_token(json!({"app": "shop", "scopes": "orders.read"})).await.token();
    let expected = [("post", 401), ("basic", 200), ("basic", 401), ("post", 401), ("basic", 200)];
    assert_eq!(proofs(&world).await, expected);
}

#[tokio::test]
async fn asn_8_the_configured_method_is_the_only_one() {
    for (app, method, other) in [("basic", "client_secret_basic", "posting"), ("posting", "client_secret_post", "basic")] {
        let world = registered_for("shop-orders", method).await;
        stock(&world, app).await.token();
        world.app_token(json!({"app": other, "scopes": "orders.read"})).await.refused(502, "invalid_client", "credential");
        let sent = |app: &str| if app == "basic" { "basic" } else { "post" };
        assert_eq!(proofs(&world).await, [(sent(app), 200), (sent(other), 401)]);
    }
    // Also where nothing is announced.
    let world = registered_for("shop-orders", "client_secret_post").await;
    let nothing = json!({"token_endpoint_auth_methods_supported": null});
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"set": nothing}})).await;
    stock(&world, "posting").await.token();
    assert_eq!(proofs(&world).await, [("post", 200)]);
}

#[tokio::test]
async fn an_issuer_that_announces_nothing_gets_the_header() {
    let world = announcing(json!(["client_secret_basic"]), json!([])).await;
    let nothing = json!({"token_endpoint_auth_methods_supported": null});
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"set": nothing}})).await;
    stock(&world, "shop").await.token();
    proved_by_basic(&world.emulator.asked("token").await[0]);
}

#[tokio::test]
async fn a_secret_is_not_sent_where_no_secret_is_taken() {
    let world = announcing(json!(["private_key_jwt"]), json!([])).await;
    stock(&world, "shop").await.refused(502, "credential_unusable", "client_secret");
    stock(&world, "shop-cert").await.token();
    assert_eq!(world.calls().await, 1);
}

#[tokio::test]
async fn an_assertion_is_not_sent_where_none_is_taken() {
    let world = announcing(json!(["client_secret_post"]), json!([])).await;
    stock(&world, "shop-cert").await.refused(502, "credential_unusable", "private_key_jwt");
    assert_eq!(world.calls().await, 0);
}

#[tokio::test]
async fn an_assertion_needs_an_algorithm_that_its_key_has() {
    let world = announcing(json!(["private_key_jwt"]), json!(["ES256"])).await;
    stock(&world, "shop-cert").await.refused(502, "credential_unusable", "RS256");
    assert_eq!(world.calls().await, 0);
}
