//! tokend by a converted configuration answers what Microsoft's sidecar was asked.

use super::Sample;
use crate::process::Serving;
use crate::support::{Answer, Client, GRAPH};

impl Sample {
    /// Runs tokend with the result, where the configuration says.
    async fn served(&self) -> (Serving, Client) {
        let serving = Serving::start_as_configured(self.command(&["serve"])).await;
        (serving, Client::new(&format!("http://127.0.0.1:{}", self.port), None))
    }

    /// A user's token for the app.
    async fn user(&self) -> String {
        self.emulator.user_token("ana@contoso.example").await
    }
}

async fn get(client: &Client, path: &str, bearer: Option<&str>) -> Answer {
    let request = client.http.get(format!("{}{path}", client.base));
    Client::send(bearer.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
}

/// Checks an answer that Microsoft's clients go on with.
#[track_caller]
fn is_header(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.member("authorizationHeader").starts_with("Bearer ey"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_identity_gets_app_tokens_with_overrides() {
    let sample = Sample::converted("--env", "kubernetes.env", "5178").await;
    let (_serving, client) = sample.served().await;
    assert_eq!(get(&client, "/healthz", None).await.text, "Healthy");
    is_header(&get(&client, "/AuthorizationHeaderUnauthenticated/Graph", None).await);
    let agents = format!("optionsOverride.Scopes={GRAPH}&optionsOverride.RequestAppToken=true");
    is_header(&get(&client, &format!("/AuthorizationHeaderUnauthenticated/graph?{agents}"), None).await);
    let other = "/AuthorizationHeaderUnauthenticated/Graph?optionsOverride.Scopes=api://billing/.default";
    is_header(&get(&client, other, None).await);
    assert_eq!(get(&client, "/AuthorizationHeader/Graph", None).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_serves_users_and_agents() {
    let sample = Sample::converted("--appsettings", "appsettings.json", "5000").await;
    let (_serving, client) = sample.served().await;
    let user = sample.user().await;
    is_header(&get(&client, "/AuthorizationHeader/Graph", Some(&user)).await);
    let validated = get(&client, "/Validate", Some(&user)).await;
    assert_eq!((validated.status, validated.member("protocol")), (200, "Bearer"), "{}", validated.text);
    assert_eq!(validated.json["claims"]["aud"], sample.emulator.app("orders-api")["client_id"]);
    is_header(&get(&client, "/AuthorizationHeaderUnauthenticated/agenticblueprint", None).await);
    // Overrides are off in both ways, and Graph has no app tokens.
    for path in [
        "/AuthorizationHeader/Graph?optionsOverride.Scopes=x",
        "/AuthorizationHeaderUnauthenticated/agenticblueprint?optionsOverride.Scopes=x",
        "/AuthorizationHeaderUnauthenticated/Graph",
    ] {
        assert_eq!(get(&client, path, Some(&user)).await.status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_stays_the_variable_that_it_was() {
    let sample = Sample::converted("--env", "compose.env", "8080").await;
    let (_serving, client) = sample.served().await;
    let user = sample.user().await;
    // The one name that has to change.
    is_header(&get(&client, "/AuthorizationHeader/graph-api", Some(&user)).await);
    is_header(
        &get(&client, "/AuthorizationHeader/graph-api?optionsOverride.AcquireTokenOptions.ForceRefresh=true", Some(&user)).await,
    );
    is_header(&get(&client, "/AuthorizationHeaderUnauthenticated/Batch", None).await);
    assert_eq!(get(&client, "/AuthorizationHeader/graph_api", Some(&user)).await.status, 400);
}
