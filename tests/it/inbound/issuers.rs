//! What a token may be issued by: what the authority's own documents say, whatever host they came from.

use serde_json::{Value, json};

use super::{is_refused, obo_as, order};
use crate::support::World;

const OTHER: &str = "11111111-2b34-4da1-9baa-8bc8c9d6a490";

/// A world whose documents of both versions name these issuers, and whose keys name none; with the id of its first tenant, which
/// stands for `TID`.
async fn issuing(v2: &str, v1: &str) -> (World, String) {
    let world = World::new().await;
    let tenant = world.emulator.directory["tenants"][0]["id"].as_str().expect("an id").to_owned();
    for (path, issuer) in [(format!("/{tenant}/v2.0/.well-known"), v2), (format!("/{tenant}/.well-known"), v1)] {
        let mut document = world.emulator.client.get(&format!("{path}/openid-configuration")).await.json;
        document["issuer"] = json!(issuer.replace("TID", &tenant));
        let on = json!({"endpoint": "discovery", "path": path});
        world.emulator.script(json!({"on": on, "times": 0, "do": {"raw": {"body": document}}})).await;
    }
    let mut keys = world.emulator.client.get(&format!("/{tenant}/discovery/keys")).await.json;
    for key in keys["keys"].as_array_mut().expect("keys") {
        key.as_object_mut().expect("a key").remove("issuer");
    }
    world.emulator.script(json!({"on": {"endpoint": "keys"}, "times": 0, "do": {"raw": {"body": keys}}})).await;
    let answer = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 3600});
    world.emulator.script(json!({"on": {"endpoint": "token"}, "times": 0, "do": {"raw": {"body": answer}}})).await;
    (world, tenant)
}

/// A token for the app `orders` with this issuer and version.
async fn token(world: &World, version: u8, iss: &str) -> String {
    let claims: Value = json!({"iss": iss});
    world.emulator.mint(order(json!({"version": version, "claims": claims, "user": "ana@contoso.example"}))).await
}

#[tokio::test]
async fn aut_12_the_documents_say_what_tokens_are_issued_by() {
    for (v2, v1) in [
        ("https://TID.ciamlogin.com/TID/v2.0", "https://TID.ciamlogin.com/TID/"),
        ("https://login.microsoftonline.com/TID/v2.0", "https://sts.windows.net/TID/"),
        ("https://westeurope.login.example/TID/v2.0", "https://sts.example/TID/"),
        ("https://login.example/{tenantid}/v2.0", "https://sts.example/{tenantid}/"),
        ("https://id.example/contoso", "https://id.example/contoso/v1"),
    ] {
        let (world, tenant) = issuing(v2, v1).await;
        let [of_v2, of_v1] = [v2, v1].map(|form| form.replace("TID", &tenant).replace("{tenantid}", &tenant));
        obo_as(&world, "orders", &token(&world, 2, &of_v2).await).await.token();
        obo_as(&world, "orders", &token(&world, 1, &of_v1).await).await.token();
        let hosts = format!("{}/{tenant}/v2.0", world.emulator.origin);
        let others = [of_v1.clone(), hosts, format!("{of_v2}/"), of_v2.replace("https:", "http:"), of_v2.replace(&tenant, OTHER)];
        for wrong in others.iter().filter(|wrong| **wrong != of_v2) {
            is_refused(&obo_as(&world, "orders", &token(&world, 2, wrong).await).await, "issuer");
        }
        is_refused(&obo_as(&world, "orders", &token(&world, 1, &of_v2).await).await, "issuer");
    }
}

#[tokio::test]
async fn aut_12_a_document_that_names_no_issuer_is_said_to() {
    let world = World::new().await;
    for odd in [json!(null), json!(7), json!(["https://id.example"])] {
        world.emulator.unscript().await;
        world.later(25 * 3600);
        world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"set": {"issuer": odd}}})).await;
        let token = world.emulator.user_token("ana@contoso.example").await;
        let answer = world.obo(&token).await;
        answer.refused(503, "keys_unavailable", "`issuer`");
    }
}
