//! azure_identity as a managed identity's client. What is asked and answered: ../README.md.

use azure_core::credentials::TokenCredential as _;
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let asked: Value = std::env::args().nth(1).and_then(|text| serde_json::from_str(&text).ok()).expect("a JSON object");
    match token(&asked).await {
        Ok(token) => println!("{}", json!({"token": token})),
        Err(error) => {
            println!("{}", json!({"error": error.to_string()}));
            std::process::exit(1);
        }
    }
}

async fn token(asked: &Value) -> azure_core::Result<String> {
    let user_assigned_id = asked["client_id"].as_str().map(|id| UserAssignedId::ClientId(id.to_owned()));
    let options = ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
    let credential = ManagedIdentityCredential::new(Some(options))?;
    let token = credential.get_token(&[asked["scope"].as_str().unwrap_or_default()], None).await?;
    Ok(token.token.secret().to_owned())
}
