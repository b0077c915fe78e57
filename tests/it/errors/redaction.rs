//! Secrets of a request that come back in the authority's text: they go no further, however they are written.

use serde_json::{Value, json};

use super::{USER_READ, refusal};
use crate::support::{Answer, World};

/// All common ways to write a text in a URL or a form.
fn written(secret: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let component = |keep: &str| -> String {
        let encode = |byte: u8| {
            let plain = byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte);
            if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        secret.bytes().map(encode).collect()
    };
    let every: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (rfc_3986, script) = (component("-._~"), component("-_.!~*'()"));
    vec![secret.to_owned(), form.clone(), form.replace('+', "%20"), rfc_3986.to_lowercase_escapes(), rfc_3986, script, every]
}

/// Lower-case hexadecimal digits in escapes, everything else as it is.
trait LowercaseEscapes {
    fn to_lowercase_escapes(&self) -> String;
}

impl LowercaseEscapes for String {
    fn to_lowercase_escapes(&self) -> String {
        let mut parts = self.split('%');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| format!("{text}%{}{}", part[..2].to_lowercase(), &part[2..]))
    }
}

/// What the authority says with a secret in every member.
fn telling(secret: &str) -> Value {
    let all = written(secret).join(" | ");
    json!({"error": "invalid_grant", "error_description": format!("bad: {all}"), "suberror": all,
        "claims": format!("{{\"x\":\"{all}\"}}")})
}

#[track_caller]
fn is_clean(answer: &Answer, secret: &str) {
    for form in written(secret) {
        assert!(!answer.text.contains(&form), "{form:?} in {}", answer.text);
        assert!(!format!("{:?}", answer.headers).contains(&form));
    }
    assert!(answer.member("error_description").starts_with("bad: [redacted]"), "{}", answer.text);
}

#[tokio::test]
async fn the_client_secret_comes_back_redacted() {
    let world = World::new().await;
    let secret = std::fs::read_to_string(world.files.path().join("daemon.secret")).expect("the secret");
    world.emulator.script(refusal(telling(secret.trim()))).await;
    is_clean(&world.graph().await, secret.trim());
}

#[tokio::test]
async fn a_client_secret_with_every_awkward_character_comes_back_redacted() {
    // Entra makes secrets with a tilde; people make the others.
    let secret = "kQ~8+/= &%'\"()*!é<x>";
    let world = World::new().await;
    let file = world.files.path().join("awkward.secret");
    std::fs::write(&file, secret).expect("a file");
    let yaml = crate::support::configuration(&world.emulator, &world.files);
    let yaml = yaml.replace("daemon.secret", "awkward.secret");
    std::fs::write(&file, secret).expect("a file");
    let sidecar = crate::support::Sidecar::start(&yaml, &world.clock).await;
    world.emulator.script(refusal(telling(secret))).await;
    let body = json!({"app": "daemon", "scopes": [crate::support::GRAPH]});
    let answer = sidecar.client.post("/client-credentials", &body).await;
    is_clean(&answer, secret);
    assert!(!answer.text.contains("kQ~8"), "{}", answer.text);
}

#[tokio::test]
async fn the_users_token_and_the_client_assertion_come_back_redacted() {
    let world = World::new().await;
    let token = world.emulator.user_token("ana@contoso.example").await;
    world.emulator.script(refusal(telling(&token))).await;
    is_clean(&world.obo(&token).await, &token);
    // The assertion is known once it was sent; at Entra it is used again.
    let asked = world.emulator.asked("token").await;
    let assertion = asked[0]["form"]["client_assertion"].as_str().expect("an assertion").to_owned();
    let other = world.emulator.user_token("ben@contoso.example").await;
    world.emulator.script(refusal(telling(&assertion))).await;
    let answer = world.obo(&other).await;
    let again = world.emulator.asked("token").await;
    assert_eq!(again[1]["form"]["client_assertion"], assertion, "the same assertion");
    is_clean(&answer, &assertion);
}

#[tokio::test]
async fn the_code_and_its_verifier_come_back_redacted() {
    let world = World::new().await;
    let (code, verifier) = ("0.AXkA+b/c=d~e f", "verifier-".repeat(6));
    let body = json!({"app": "web", "scopes": [USER_READ], "redirect_uri": "http://localhost:3000/callback",
        "code": code, "code_verifier": verifier});
    for secret in [code, &verifier] {
        world.emulator.script(refusal(telling(secret))).await;
        is_clean(&world.sidecar.client.post("/auth-code", &body).await, secret);
    }
}

#[tokio::test]
async fn a_secret_that_went_as_basic_comes_back_redacted() {
    let world = World::new().await;
    let basic = json!({"token_endpoint_auth_methods_supported": ["client_secret_basic"]});
    world.emulator.script(json!({"on": {"endpoint": "discovery"}, "times": 0, "do": {"set": basic}})).await;
    let secret = std::fs::read_to_string(world.files.path().join("shop.secret")).expect("the secret");
    world.emulator.script(refusal(telling(secret.trim()))).await;
    let answer = world.app_token(json!({"app": "shop", "scopes": ["stock.read"]})).await;
    let asked = world.emulator.asked("token").await;
    assert!(asked[0]["form"].get("client_secret").is_none(), "it went as Basic");
    is_clean(&answer, secret.trim());
}

#[tokio::test]
async fn a_secret_across_the_cut_comes_back_redacted() {
    let world = World::new().await;
    let secret = std::fs::read_to_string(world.files.path().join("daemon.secret")).expect("the secret");
    let secret = secret.trim();
    let said = json!({"error": "invalid_grant", "error_description": format!("{}{secret}", "x".repeat(2040))});
    world.emulator.script(refusal(said)).await;
    let answer = world.graph().await;
    assert!(!answer.text.contains(&secret[..4]), "{}", answer.text);
}
