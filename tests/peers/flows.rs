//! The further flows at servers that know nothing of tokend: devices, passwords, sessions, refresh tokens of others, and public
//! clients, at Keycloak; devices at the npm oidc-provider.

use std::time::Duration;

use serde_json::{Value, json};
use tokend::clock::Clock;

use crate::keycloak::{DAEMON, DESK, ORDERS, TERMINAL, USER};
use crate::on_stage;
use crate::support::{Answer, Client, OidcProvider, Sidecar};
use crate::{Stage, keycloak};

/// A sidecar with apps for these flows. Its clock moves only when it is told to: an interval need not be waited for.
struct Further {
    client: Client,
    _sidecar: Sidecar,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Further {
    /// Apps by their name, with what each has beside the issuer.
    async fn new(issuer: &str, apps: &[(&str, &str, Option<keycloak::Login>)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut yaml = "apps:\n".to_owned();
        for (name, more, login) in apps {
            let credential = match login {
                Some((client, secret)) => {
                    let file = folder.path().join(client);
                    std::fs::write(&file, secret).expect("a file");
                    format!("client_id: {client}, credential: {{secret: {{file: {}}}}}", file.display())
                }
                None => format!("client_id: {TERMINAL}, credential: {{public: true}}"),
            };
            yaml += &format!("  {name}: {{issuer: \"{issuer}\", insecure_http: true, {credential}, {more}}}\n");
        }
        let clock = Clock::manual(Clock::system().unix());
        let sidecar = Sidecar::start(&yaml, &clock).await;
        Self { client: sidecar.client.clone(), _sidecar: sidecar, clock, _folder: folder }
    }

    async fn of_keycloak(stage: &Stage) -> Self {
        let inbound = format!("inbound: {{audiences: [{}]}}, session: {{ask: refresh_token_type}}", ORDERS.0);
        let own = "username_password: true, refresh_token: true";
        let apps = [("desk", own, Some(DESK)), ("terminal", own, None), ("orders", inbound.as_str(), Some(ORDERS))];
        Self::new(&stage.keycloak.issuer, &apps).await
    }

    async fn password(&self, app: &str, password: &str) -> Answer {
        let body = json!({"app": app, "scopes": "profile", "username": USER.0, "password": password});
        self.client.post("/username-password", &body).await
    }

    /// `/silent` past the cache, of the account that signed in.
    async fn renewed(&self, app: &str, signed_in: &Answer, scopes: &str) -> Answer {
        let account = &signed_in.json["account"]["home_account_id"];
        self.client.post("/silent", &json!({"app": app, "account": account, "scopes": scopes, "force_refresh": true})).await
    }

    async fn device(&self, app: &str, scopes: &str) -> Answer {
        let started = self.client.post("/device-code", &json!({"app": app, "scopes": scopes})).await;
        assert_eq!(started.status, 200, "{}", started.text);
        started
    }

    /// One poll, after the interval.
    async fn polled(&self, started: &Answer) -> Answer {
        self.clock.advance(Duration::from_secs(started.json["interval"].as_u64().expect("seconds")));
        self.client.post("/device-code/poll", &json!({"device_code": started.member("device_code")})).await
    }
}

#[test]
fn a_users_password() {
    on_stage(async |stage| {
        let further = Further::of_keycloak(stage).await;
        for app in ["desk", "terminal"] {
            let answer = further.password(app, USER.1).await;
            let claims = stage.verified(answer.token(), None).await;
            assert_eq!(answer.json["account"]["home_account_id"], claims["sub"], "{}", answer.text);
            let renewed = further.renewed(app, &answer, "profile").await;
            assert_ne!(renewed.token(), answer.token(), "{app}");
            further.password(app, "wrong").await.refused(401, "invalid_grant", "");
        }
    });
}

#[test]
fn a_user_of_another_device() {
    on_stage(async |stage| {
        let further = Further::of_keycloak(stage).await;
        for app in ["desk", "terminal"] {
            let started = further.device(app, "profile").await;
            stage.keycloak.approve(started.member("verification_uri_complete"), USER.0, USER.1).await;
            // Once: Keycloak minds the interval by the machine's clock.
            let answer = further.polled(&started).await;
            let claims = stage.verified(answer.token(), None).await;
            assert_eq!((&answer.json["account"]["home_account_id"], &claims["azp"]), (&claims["sub"], &json!(client_id(app))));
            assert_ne!(further.renewed(app, &answer, "profile").await.token(), answer.token(), "{app}");
        }
        let started = further.device("desk", "profile").await;
        stage.keycloak.deny(started.member("verification_uri_complete"), USER.0, USER.1).await;
        further.polled(&started).await.refused(400, "access_denied", "");
    });
}

fn client_id(app: &str) -> &'static str {
    if app == "desk" { DESK.0 } else { TERMINAL }
}

#[test]
fn a_refresh_token_of_another_program() {
    on_stage(async |stage| {
        let further = Further::of_keycloak(stage).await;
        let grant = [("grant_type", "password"), ("username", USER.0), ("password", USER.1), ("scope", "openid profile")];
        let desk = [("client_id", DESK.0), ("client_secret", DESK.1)];
        let (status, before) = stage.keycloak.token(&[&desk[..], &grant].concat()).await;
        let old = before["refresh_token"].as_str().unwrap_or_else(|| panic!("{status}: {before}"));
        let take = json!({"app": "desk", "scopes": "profile", "refresh_token": old});
        let taken = further.client.post("/refresh-token", &take).await;
        let claims = stage.verified(taken.token(), None).await;
        assert_eq!(taken.json["account"]["home_account_id"], claims["sub"], "{}", taken.text);
        assert_ne!(further.renewed("desk", &taken, "profile").await.token(), taken.token());
        assert!(!taken.text.contains(old), "{}", taken.text);
        let mut wrong = take.clone();
        wrong["refresh_token"] = json!(format!("{old}x"));
        further.client.post("/refresh-token", &wrong).await.refused(401, "invalid_grant", "");
    });
}

#[test]
fn a_public_client_does_nothing_for_itself() {
    on_stage(async |stage| {
        let further = Further::of_keycloak(stage).await;
        let body = json!({"app": "terminal", "scopes": "profile"});
        further.client.post("/client-credentials", &body).await.refused(403, "flow_not_available", "");
        let (status, told) = stage.keycloak.token(&[("grant_type", "client_credentials"), ("client_id", TERMINAL)]).await;
        assert_eq!((status, &told["error"]), (401, &json!("unauthorized_client")), "{told}");
        // What a client is that proves itself is not asked of it.
        let daemon = Further::new(&stage.keycloak.issuer, &[("daemon", "offline_access: false", Some(DAEMON))]).await;
        assert_eq!(daemon.client.post("/client-credentials", &json!({"app": "daemon", "scopes": "profile"})).await.status, 200);
    });
}

#[test]
fn a_session_by_an_exchange_for_a_refresh_token() {
    on_stage(async |stage| {
        let further = Further::of_keycloak(stage).await;
        let user = further.password("desk", USER.1).await;
        let subject = stage.verified(user.token(), None).await["sub"].clone();
        let body = json!({"app": "orders", "scopes": "profile", "session": "new"});
        let started = further.client.post_as("/obo", user.token(), &body).await;
        assert_eq!(stage.verified(started.token(), None).await["sub"], subject);
        let session = started.member("session");
        assert!(session.len() >= 22 && !started.text.contains("refresh_token"), "{}", started.text);
        let mut last = started.token().to_owned();
        for _ in 0..2 {
            let body = json!({"app": "orders", "scopes": "profile", "session": session, "force_refresh": true});
            let answer = further.client.post("/obo", &body).await;
            assert_ne!(answer.token(), last);
            answer.token().clone_into(&mut last);
            let claims = stage.verified(&last, None).await;
            assert_eq!((&claims["sub"], &claims["azp"]), (&subject, &json!(ORDERS.0)));
        }
    });
}

/// The npm oidc-provider with a client for devices, and a sidecar.
async fn provider() -> (OidcProvider, Further) {
    let server = OidcProvider::start(&json!({
        "clients": [{"client_id": DESK.0, "client_secret": DESK.1, "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"], "response_types": [], "redirect_uris": []}],
        "defaultResource": "https://orders.example", "refreshAlways": true,
    }))
    .await;
    let further = Further::new(&server.issuer, &[("desk", "offline_access: false", Some(DESK))]).await;
    (server, further)
}

#[tokio::test]
async fn a_device_at_oidc_provider_and_its_rotating_refresh_tokens() {
    let (server, further) = provider().await;
    let started = further.device("desk", "api.read").await;
    let done = server.client.get(&format!("/person/device?user_code={}&login=ana", started.member("user_code"))).await;
    assert_eq!(done.json["done"], true, "{}", done.text);
    let answer = further.polled(&started).await;
    assert_eq!(answer.json["account"]["home_account_id"], "ana", "{}", answer.text);
    let mut last = answer.token().to_owned();
    for _ in 0..3 {
        let renewed = further.renewed("desk", &answer, "api.read").await;
        assert_ne!(renewed.token(), last);
        renewed.token().clone_into(&mut last);
    }
    let log = server.client.get("/person/log").await.json;
    let entries: Vec<&Value> = log.as_array().expect("a log").iter().collect();
    // None was used twice, or the server would have ended them all.
    assert!(entries.iter().all(|entry| entry["error"].is_null()), "{log:#}");
    let refreshes = entries.iter().filter(|entry| entry["grant_type"] == "refresh_token").count();
    assert_eq!((entries.len(), refreshes), (4, 3), "{log:#}");
}

#[tokio::test]
async fn a_device_at_oidc_provider_whose_user_says_no() {
    let (server, further) = provider().await;
    let started = further.device("desk", "api.read").await;
    further.polled(&started).await.refused(400, "authorization_pending", "");
    let path = format!("/person/device?user_code={}&answer=deny", started.member("user_code"));
    assert_eq!(server.client.get(&path).await.json["done"], true);
    further.polled(&started).await.refused(400, "access_denied", "");
}
