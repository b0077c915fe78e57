//! Spring Security in a web application at tokend's token endpoint; the tests are its user's browser.

use serde_json::{Value, json};

use super::oauth::{CALLER, Registration, Stage, handle, is_of_app, of_user};
use crate::clients::{Browser, Library, Program};
use crate::support::{Answer, Client, REDIRECT_URI};

/// A running application, and what its user's browser has of it.
struct Application {
    client: Client,
    cookie: String,
    _program: Program,
}

// === impl Application ===

impl Application {
    async fn start(stage: &Stage, at: &Registration) -> Self {
        let mut command = Library::SPRING.command(&json!({}), stage.files.path()).await;
        let of_user = at.scopes[1].rsplit(' ').next().expect("a scope");
        command.envs([
            ("TOKEND_URL", stage.front.base.as_str()),
            ("CLIENT_ID", &at.client_id),
            ("CALLER_TOKEN", CALLER),
            ("ISSUER", &at.issuer),
            ("REDIRECT_URI", REDIRECT_URI),
            ("USER_SCOPE", of_user),
            ("APP_SCOPE", at.scopes[0]),
            ("SERVER_ADDRESS", "127.0.0.1"),
            ("SERVER_PORT", "0"),
            ("SPRING_MAIN_BANNER_MODE", "off"),
            ("LOGGING_LEVEL_ROOT", "off"),
        ]);
        let mut program = Program::start(command);
        let port = program.line().await["port"].clone();
        Self { client: Client::new(&format!("http://127.0.0.1:{port}"), None), cookie: String::new(), _program: program }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let request = self.client.http.get(format!("{}{path}", self.client.base)).header("cookie", &self.cookie);
        let answer = Client::send(request).await;
        if let Some(set) = answer.headers.get("set-cookie") {
            let set = set.to_str().expect("a cookie");
            set.split(';').next().unwrap_or_default().clone_into(&mut self.cookie);
        }
        answer
    }

    /// The tokens that it shows.
    async fn shown(&mut self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {} {:?}", answer.text, answer.headers);
        answer.json
    }

    async fn sign_in(&mut self, stage: &Stage, at: &Registration) {
        let asked = self.get("/oauth2/authorization/user").await;
        let url = asked.header("location").to_owned();
        assert!(url.contains("code_challenge="), "no PKCE: {url} {}", asked.text);
        let back = Browser::new(&stage.emulator, at.user).sign_in(&url).await.url();
        let back = back.strip_prefix("http://localhost:3000").expect("the redirect URI");
        let answer = self.get(back).await;
        assert!(answer.status == 302 && !answer.header("location").contains("error"), "{} {:?}", answer.text, answer.headers);
    }
}

async fn signs_in_and_refreshes(mut stage: Stage, at: Registration) {
    let mut application = Application::start(&stage, &at).await;
    stage.forgets_the_first_token().await;
    application.sign_in(&stage, &at).await;
    // A token whose life is not said has ended for Spring: this is a refresh already.
    let shown = application.shown("/user").await;
    let refreshed = of_user(&at, &shown);
    handle(&shown, "first");
    stage.front.to(stage.fleet.client(1));
    let shown = application.shown("/refreshed").await;
    assert_eq!(of_user(&at, &shown), refreshed, "the other replica has it of the shared cache");
    handle(&shown, "first");
    stage.rotate().await;
    let shown = application.shown("/refreshed").await;
    assert_eq!(of_user(&at, &shown), refreshed);
    handle(&shown, "second");
    assert_eq!((stage.asked("authorization_code").await, stage.asked("refresh_token").await), (1, 1));
    is_of_app(&at, &application.shown("/application").await);
}

#[tokio::test]
async fn signs_in_at_entra_and_refreshes_at_any_replica() {
    let stage = Stage::new().await;
    let at = stage.entra();
    signs_in_and_refreshes(stage, at).await;
}

#[tokio::test]
async fn signs_in_at_an_issuer_and_refreshes_at_any_replica() {
    let stage = Stage::new().await;
    let at = stage.shop().await;
    signs_in_and_refreshes(stage, at).await;
}
