//! Token answers as real servers send them, through the whole sidecar: what is served, what is cached, what is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, GRAPH, World};

/// A world whose token endpoint always does this.
async fn doing(what: Value) -> World {
    let world = World::new().await;
    now_doing(&world, what).await;
    world
}

/// From now on the token endpoint does this; what was remembered of failures is over.
async fn now_doing(world: &World, what: Value) {
    world.emulator.unscript().await;
    world.later(60);
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": what})).await;
}

async fn setting(members: Value) -> World {
    doing(json!({"set": members})).await
}

/// `/obo` for ana, past the cache.
async fn obo(world: &World) -> Answer {
    let body = json!({"app": "orders", "scopes": "https://graph.microsoft.com/User.Read", "force_refresh": true});
    world.sidecar.client.post_as("/obo", &ana(world).await, &body).await
}

async fn ana(world: &World) -> String {
    world.emulator.user_token("ana@contoso.example").await
}

/// `oid.tid` of ana.
const ANA: &str = "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01.8eaef023-2b34-4da1-9baa-8bc8c9d6a490";

async fn refused_as_garbage(world: &World) {
    world.graph().await.refused(502, "invalid_authority_response", "");
}

#[tokio::test]
async fn rsp_1_a_lifetime_may_be_a_text() {
    let world = setting(json!({"expires_in": "1200"})).await;
    let answer = world.graph().await;
    assert_eq!(
        (answer.json["expires_in"].as_i64(), answer.json["expires_on"].as_i64()),
        (Some(1200), Some(world.clock.unix() + 1200))
    );
    assert_eq!(world.graph().await.member("token_source"), "cache");
}

#[tokio::test]
async fn rsp_1_an_end_serves_where_no_lifetime_is_said() {
    let world = World::new().await;
    let ends = world.clock.unix() + 10_000;
    let date = "2026-11-22T00:00:00Z";
    for (said, expected) in [
        (json!({"expires_in": null, "expires_on": ends}), ends),
        (json!({"expires_in": null, "expires_on": ends.to_string()}), ends),
        (json!({"expires_in": "soon", "expires_on": ends}), ends),
        (json!({"expires_in": null, "expires_on": date}), 1_795_305_600),
        // A lifetime that is said goes before it.
        (json!({"expires_in": 7200, "expires_on": ends}), 0),
    ] {
        now_doing(&world, json!({"set": said})).await;
        let body = json!({"app": "daemon", "scopes": [crate::support::GRAPH], "force_refresh": true});
        let answer = world.app_token(body).await;
        let now = world.clock.unix();
        let expected = if expected == 0 { now + 7200 } else { expected };
        assert_eq!(answer.json["expires_on"].as_i64(), Some(expected), "{said}");
        assert_eq!(answer.json["expires_in"].as_i64(), Some(expected - now), "{said}");
        assert_eq!(world.graph().await.token(), answer.token(), "it is kept: {said}");
    }
    // What has ended, or says nothing, is given out once.
    for odd in [json!(world.clock.unix() - 1), json!(0), json!("2020-01-01T00:00:00Z"), json!("tomorrow"), json!([ends])] {
        now_doing(&world, json!({"set": {"expires_in": null, "expires_on": odd}})).await;
        let body = json!({"app": "daemon", "scopes": [crate::support::GRAPH], "force_refresh": true});
        let answer = world.app_token(body).await;
        assert_eq!((answer.source(), &answer.json["expires_in"]), ("identity_provider", &Value::Null), "{odd}");
    }
}

#[tokio::test]
async fn rsp_1_a_token_without_a_credible_lifetime_is_served_once() {
    let world = World::new().await;
    for odd in [json!(null), json!(0), json!(-1), json!("-3600"), json!("soon"), json!([3600]), json!(315_360_001), json!(9e18)] {
        let before = world.calls().await;
        now_doing(&world, json!({"set": {"expires_in": odd}})).await;
        let answer = world.graph().await;
        answer.token();
        for member in ["expires_in", "expires_on"] {
            assert_eq!(answer.json.get(member), Some(&Value::Null), "{odd}: {}", answer.text);
        }
        assert_eq!(world.graph().await.member("token_source"), "identity_provider", "{odd}");
        assert_eq!(world.calls().await, before + 2, "{odd}");
    }
}

#[tokio::test]
async fn rsp_1_ten_years_are_credible() {
    let world = setting(json!({"expires_in": 315_360_000})).await;
    assert_eq!(world.graph().await.json["expires_in"], 315_360_000);
    assert_eq!(world.graph().await.member("token_source"), "cache");
}

#[tokio::test]
async fn rsp_2_the_token_type_is_read_in_any_case() {
    for spelt in ["bearer", "BEARER", "bEaReR"] {
        let world = setting(json!({"token_type": spelt})).await;
        assert_eq!(world.graph().await.member("token_type"), "Bearer");
        assert_eq!(world.graph().await.member("token_source"), "cache");
    }
}

#[tokio::test]
async fn rsp_2_another_token_type_is_no_answer() {
    let world = World::new().await;
    for odd in [json!("pop"), json!("DPoP"), json!("N_A"), json!("mtls_pop"), json!(7), json!(["Bearer"]), json!({})] {
        now_doing(&world, json!({"set": {"token_type": odd}})).await;
        refused_as_garbage(&world).await;
    }
    now_doing(&world, json!({"delay_ms": 0})).await;
    assert_eq!(world.graph().await.member("token_source"), "identity_provider", "nothing was kept");
}

#[tokio::test]
async fn rsp_2_a_missing_token_type_is_bearer() {
    let world = World::new().await;
    for nothing in [json!(null), json!(""), json!("  ")] {
        now_doing(&world, json!({"set": {"token_type": nothing}})).await;
        assert_eq!(renewed(&world).await.member("token_type"), "Bearer", "{nothing}");
        assert_eq!(world.graph().await.member("token_source"), "cache", "{nothing}");
        assert_eq!(obo(&world).await.member("token_type"), "Bearer", "{nothing}");
    }
    now_doing(&world, raw(200, r#"{"access_token":"t","token_type":null,"expires_in":3600}"#)).await;
    assert_eq!(renewed(&world).await.member("token_type"), "Bearer");
    // Beside no token it is no answer still.
    now_doing(&world, raw(200, r#"{"expires_in":3600}"#)).await;
    renewed(&world).await.refused(502, "invalid_authority_response", "access_token");
}

#[tokio::test]
async fn rsp_6_every_2xx_with_a_token_is_an_answer() {
    let world = World::new().await;
    for status in [200, 201, 202, 203, 206, 226, 299] {
        now_doing(&world, raw(status, &format!(r#"{{"access_token":"t{status}","expires_in":3600}}"#))).await;
        assert_eq!(renewed(&world).await.member("access_token"), format!("t{status}"));
        assert_eq!(world.graph().await.member("token_source"), "cache", "{status}");
    }
    for status in [201, 204, 205] {
        now_doing(&world, raw(status, "")).await;
        renewed(&world).await.refused(502, "invalid_authority_response", "");
    }
}

#[tokio::test]
async fn rsp_6_an_error_that_says_nothing_is_none() {
    let world = World::new().await;
    for nothing in [r#""""#, r#""  ""#, "null", "false", "{}", "0"] {
        now_doing(&world, raw(200, &format!(r#"{{"error":{nothing},"error_description":"","access_token":"t"}}"#))).await;
        assert_eq!(renewed(&world).await.member("access_token"), "t", "{nothing}");
        now_doing(&world, raw(400, &format!(r#"{{"error":{nothing}}}"#))).await;
        renewed(&world).await.refused(502, "invalid_authority_response", "");
    }
    // One that says something is one, whatever is beside it.
    now_doing(&world, raw(200, r#"{"error":"invalid_scope","access_token":"t"}"#)).await;
    renewed(&world).await.refused(400, "invalid_scope", "");
}

#[tokio::test]
async fn rsp_8_a_member_that_is_there_twice_is_read() {
    let world = World::new().await;
    for (members, expires_in) in [
        (r#""expires_in":60,"expires_in":3600"#, 3600),
        (r#""expires_in":3600,"expires_in":null"#, 3600),
        (r#""scope":"a","expires_in":"3600","scope":"b","x":1,"x":{}"#, 3600),
        (r#""expires_in":3600,"refresh_expires_in":60,"refresh_token_expires_in":60"#, 3600),
    ] {
        now_doing(&world, raw(200, &format!(r#"{{"access_token":"u","access_token":"t","token_type":"Bearer",{members}}}"#))).await;
        let answer = renewed(&world).await;
        assert_eq!((answer.member("access_token"), &answer.json["expires_in"]), ("t", &json!(expires_in)), "{members}");
    }
    now_doing(
        &world,
        raw(400, r#"{"error":"invalid_grant","error":"invalid_scope","error_description":"x","error_description":"y"}"#),
    )
    .await;
    let answer = renewed(&world).await;
    answer.refused(400, "invalid_scope", "");
    assert_eq!(answer.member("error_description"), "y");
}

#[tokio::test]
async fn rsp_8_a_refresh_token_may_say_its_end_in_two_spellings() {
    let both = json!({"refresh_expires_in": 7200, "refresh_token_expires_in": 7200, "expires_in": 600});
    for members in
        [both, json!({"refresh_token_expires_in": "7200"}), json!({"refresh_expires_in": null, "refresh_token_expires_in": 0})]
    {
        let world = setting(members).await;
        let code = world.code("shop-web", "orders.read", "eva").await;
        let answer = world.redeem(&code).await;
        answer.token();
        assert_eq!(answer.json["account"]["home_account_id"], "f2a6-eva", "{}", answer.text);
    }
}

#[tokio::test]
async fn rsp_3_what_was_granted_is_kept_as_a_list_too() {
    const GRANTED: [&str; 2] = ["https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.Read"];
    let world = World::new().await;
    for scope in [json!(GRANTED), json!([GRANTED.join(" ")]), json!([GRANTED[0], null, 7, GRANTED[1], {}])] {
        now_doing(&world, json!({"set": {"scope": scope}})).await;
        let user = world.emulator.user_token("ana@contoso.example").await;
        let answer = world.obo(&user).await;
        answer.token();
        assert_eq!(answer.member("scope"), GRANTED.join(" "), "{scope}");
        let other = world.obo_as("orders", GRANTED[1], &user).await;
        assert_eq!(other.member("token_source"), "cache", "{scope}: {}", other.text);
    }
    for nothing in [json!([]), json!([null]), json!(""), json!(7)] {
        now_doing(&world, json!({"set": {"scope": nothing}})).await;
        assert_eq!(obo(&world).await.member("scope"), GRANTED[0], "{nothing}");
    }
}

/// An answer as it stands.
fn raw(status: u16, body: &str) -> Value {
    json!({"raw": {"status": status, "headers": {"content-type": "application/json"}, "body": body}})
}

/// A token for the app `daemon`, past the cache.
async fn renewed(world: &World) -> Answer {
    world.app_token(json!({"app": "daemon", "scopes": [GRAPH], "force_refresh": true})).await
}

#[tokio::test]
async fn rsp_3_a_missing_scope_is_the_one_asked_for() {
    let world = setting(json!({"scope": null})).await;
    let user = ana(&world).await;
    let answer = world.obo(&user).await;
    answer.token();
    assert_eq!(answer.member("scope"), "https://graph.microsoft.com/User.Read");
    assert_eq!(world.obo(&user).await.member("token_source"), "cache");
    assert_eq!(world.graph().await.member("scope"), "https://graph.microsoft.com/.default");
}

fn base64(json: &Value) -> Value {
    json!(URL_SAFE_NO_PAD.encode(json.to_string()))
}

#[tokio::test]
async fn rsp_4_client_info_says_where_a_user_is_at_home() {
    let home = base64(&json!({"uid": "guest", "utid": "elsewhere"}));
    let world = World::new().await;
    for info in [home.clone(), json!(format!("{}==", home.as_str().unwrap_or_default()))] {
        now_doing(&world, json!({"set": {"client_info": info}})).await;
        let answer = obo(&world).await;
        let account = &answer.json["account"];
        assert_eq!(account["home_account_id"], "guest.elsewhere", "{}", answer.text);
        assert_eq!(account["local_account_id"], "11b7a0c4-52d8-4e6f-83a9-c4d0e7f21b01");
    }
}

#[tokio::test]
async fn rsp_4_without_good_client_info_the_validated_token_says_whose_it_is() {
    let odd = [
        json!(null),
        json!("%%%"),
        json!("bm8ganNvbg"),
        base64(&json!({"uid": "guest"})),
        base64(&json!({"utid": "elsewhere"})),
        base64(&json!({"uid": "", "utid": ""})),
        base64(&json!(["guest"])),
        json!({"uid": "guest", "utid": "elsewhere"}),
    ];
    let world = World::new().await;
    for info in odd {
        now_doing(&world, json!({"set": {"client_info": info}})).await;
        let answer = obo(&world).await;
        assert_eq!(answer.json["account"]["home_account_id"], ANA, "{info}: {}", answer.text);
        let code = world.code("web", "api://orders/access_as_user", "ana@contoso.example").await;
        let answer = world.redeem(&code).await;
        assert_eq!(answer.json["account"]["home_account_id"], ANA, "{info}: {}", answer.text);
    }
}

#[tokio::test]
async fn rsp_5_obo_needs_no_id_token() {
    let world = World::new().await;
    for odd in [json!(null), json!("not.a.jwt"), json!("nonsense"), json!(5)] {
        now_doing(&world, json!({"set": {"id_token": odd}})).await;
        let answer = obo(&world).await;
        answer.token();
        let account = &answer.json["account"];
        assert_eq!((&account["home_account_id"], &account["username"]), (&json!(ANA), &json!("ana@contoso.example")), "{odd}");
        assert_eq!(answer.member("tenant_id"), "8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "{odd}");
    }
}

#[tokio::test]
async fn rsp_5_a_sign_in_needs_an_id_token() {
    let world = setting(json!({"id_token": null})).await;
    let code = world.code("web", "api://orders/access_as_user", "ana@contoso.example").await;
    world.redeem(&code).await.refused(502, "invalid_authority_response", "id_token");
}

#[tokio::test]
async fn rsp_5_a_malformed_id_token_is_not_believed() {
    let world = World::new().await;
    for odd in ["not.a.jwt", "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."] {
        now_doing(&world, json!({"set": {"id_token": odd}})).await;
        let code = world.code("web", "api://orders/access_as_user", "ana@contoso.example").await;
        let answer = world.redeem(&code).await;
        answer.refused(400, "invalid_id_token", "id token");
        assert!(!answer.text.contains(odd), "{}", answer.text);
    }
}

#[tokio::test]
async fn rsp_6_a_page_is_no_answer() {
    let page = json!({"raw": {"status": 200, "headers": {"content-type": "text/html"}, "body": "<html>Sign in</html>"}});
    refused_as_garbage(&doing(page).await).await;
}

#[tokio::test]
async fn rsp_6_a_gateways_page_is_an_outage() {
    let world =
        doing(json!({"raw": {"status": 502, "headers": {"content-type": "text/html"}, "body": "<html>Bad gateway</html>"}})).await;
    let answer = world.graph().await;
    answer.refused(503, "authority_unavailable", "");
    assert_eq!(answer.json["retryable"], true);
    assert!(!answer.text.contains("html"), "{}", answer.text);
}

#[tokio::test]
async fn rsp_6_an_error_with_200_is_an_error() {
    let error = json!({"error": "invalid_grant", "error_description": "over", "suberror": "bad_token"});
    let world = doing(json!({"raw": {"status": 200, "body": error}})).await;
    let answer = world.obo(&ana(&world).await).await;
    answer.refused(401, "invalid_grant", "");
    assert_eq!((answer.member("suberror"), answer.member("error_description")), ("bad_token", "over"));
}

#[tokio::test]
async fn rsp_6_a_400_without_json_is_no_answer() {
    let world = World::new().await;
    for body in ["", "Bad Request", "[]", "{}", "{\"error\":", "\"invalid_grant\""] {
        now_doing(&world, json!({"raw": {"status": 400, "body": body}})).await;
        refused_as_garbage(&world).await;
    }
}

#[tokio::test]
async fn rsp_6_a_200_that_is_no_object_or_has_no_token_is_no_answer() {
    let world = World::new().await;
    let without = [json!({"access_token": "", "token_type": "Bearer"}), json!({"access_token": 7, "token_type": "Bearer"})];
    for body in [json!(""), json!([]), json!("null"), json!({})].into_iter().chain(without) {
        now_doing(&world, json!({"raw": {"status": 200, "body": body}})).await;
        refused_as_garbage(&world).await;
    }
}

#[tokio::test]
async fn rsp_6_a_redirect_is_not_followed() {
    let world = World::new().await;
    let target = format!("{}/elsewhere", world.emulator.origin);
    let redirect = json!({"raw": {"status": 307, "headers": {"location": target}}});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": redirect})).await;
    refused_as_garbage(&world).await;
    assert!(world.emulator.requests().await.iter().all(|request| request["path"] != "/elsewhere"));
}

#[tokio::test]
async fn rsp_6_compressed_answers_and_byte_order_marks_are_read() {
    for dress in [json!({"gzip": true}), json!({"bom": true}), json!({"gzip": true, "bom": true})] {
        let world = doing(dress).await;
        world.graph().await.token();
        assert_eq!(world.graph().await.member("token_source"), "cache");
    }
}

#[tokio::test]
async fn rsp_6_an_answer_beyond_a_megabyte_is_not_read() {
    refused_as_garbage(&doing(json!({"size": 1_048_577})).await).await;
    // Nor one that only becomes so large when it is unpacked.
    refused_as_garbage(&doing(json!({"size": 1_048_577, "gzip": true})).await).await;
    doing(json!({"size": 1_048_576})).await.graph().await.token();
}

#[tokio::test]
async fn rsp_7_extended_and_refresh_times_are_numbers_or_texts() {
    for (ext, refresh) in [(json!(7200), json!(1800)), (json!("7200"), json!("1800"))] {
        let world = setting(json!({"expires_in": 3600, "ext_expires_in": ext, "refresh_in": refresh})).await;
        let answer = world.graph().await;
        let now = world.clock.unix();
        assert_eq!(answer.json["ext_expires_on"], now + 7200, "{}", answer.text);
        assert_eq!(answer.json["refresh_on"], now + 1800, "{}", answer.text);
    }
}

#[tokio::test]
async fn rsp_7_odd_extended_and_refresh_times_do_no_harm() {
    for odd in [json!(null), json!("later"), json!(-5), json!({})] {
        let world = setting(json!({"expires_in": 3600, "ext_expires_in": odd, "refresh_in": odd})).await;
        let answer = world.graph().await;
        assert_eq!(answer.json["expires_in"], 3600, "{odd}");
        assert!(answer.json.get("ext_expires_on").is_none_or(Value::is_null), "{}", answer.text);
        let refresh_on = answer.json["refresh_on"].as_i64().expect("a jittered point");
        let now = world.clock.unix();
        assert!((now + 1..now + 3300).contains(&refresh_on), "{refresh_on}");
        assert_eq!(world.graph().await.member("token_source"), "cache");
    }
}
