//! Client libraries of others at the emulator, over TLS with its CA: `README.md` here says how their programs are asked.

mod browser;
mod library;
mod program;

use serde_json::{Value, json};
use tokend::clock::Clock;

pub(crate) use self::browser::Browser;
pub(crate) use self::library::Library;
pub(crate) use self::program::Program;
use crate::support::{Emulator, GRAPH, REDIRECT_URI};

pub(crate) const ANA: &str = "ana@contoso.example";
pub(crate) const MIA: &str = "mia@contoso.example";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// How a program gets its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Secret,
    Certificate,
    Federated,
    OnBehalfOf,
    Code,
    /// As `Code`, but the library itself listens for the browser, on a port of its choice.
    Interactive,
    Device,
    Password,
}

/// An emulator, its CA in a file, and a library that is tried there.
pub(crate) struct Trial {
    pub(crate) emulator: Emulator,
    library: &'static Library,
    folder: tempfile::TempDir,
}

// === impl Flow ===

impl Flow {
    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Federated => "federated",
            Self::OnBehalfOf => "obo",
            Self::Code => "code",
            Self::Interactive => "interactive",
            Self::Device => "device",
            Self::Password => "password",
        }
    }

    /// The app of the emulator's directory that has what the flow needs.
    fn app(self) -> &'static str {
        match self {
            Self::Secret | Self::Certificate | Self::Federated => "daemon",
            Self::OnBehalfOf => "orders-api",
            Self::Code | Self::Interactive | Self::Device | Self::Password => "web",
        }
    }

    /// What is sent to the token endpoint.
    fn grant_types(self) -> &'static [&'static str] {
        match self {
            Self::Secret | Self::Certificate | Self::Federated => &["client_credentials"],
            Self::OnBehalfOf => &["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            Self::Code | Self::Interactive => &["authorization_code"],
            Self::Device => &["device_code", "urn:ietf:params:oauth:grant-type:device_code"],
            Self::Password => &["password"],
        }
    }
}

// === impl Trial ===

impl Trial {
    pub(crate) async fn of(library: &'static Library) -> Self {
        // The libraries look at the machine's clock.
        let emulator = Emulator::start(&Clock::system()).await;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), &emulator.ca_pem).expect("a file");
        // Devices are told to wait for five seconds between two questions.
        emulator.script(json!({"times": 0, "on": {"endpoint": "devicecode"}, "do": {"set": {"interval": 1}}})).await;
        Self { emulator, library, folder }
    }

    /// Trusts this CA in place of the emulator's.
    pub(crate) fn trust(&self, ca_pem: &str) {
        std::fs::write(self.folder.path().join("ca.pem"), ca_pem).expect("a file");
    }

    /// What the program is asked, with other members over the usual ones.
    async fn asked(&self, flow: Flow, over: Value) -> Value {
        let app = self.emulator.app(flow.app());
        let mut asked = json!({
            "library": self.library.name, "flow": flow.name(), "host": self.emulator.origin.replace("https://", ""),
            "tenant": self.emulator.directory["tenants"][0]["id"], "client_id": app["client_id"],
            "ca_file": self.folder.path().join("ca.pem"), "scope": USER_READ,
        });
        match flow {
            Flow::Secret => asked["secret"] = app["secrets"][0].clone(),
            Flow::Certificate => {
                let certificate = &app["certificates"][0];
                (asked["key_pem"], asked["certificate_pem"]) = (certificate["key_pem"].clone(), certificate["pem"].clone());
            }
            Flow::Federated => {
                let order = json!({"realm": "shop", "kind": "app", "client": "shop-web", "app": "api://AzureADTokenExchange"});
                asked["client_assertion"] = json!(self.emulator.mint(order).await);
            }
            Flow::OnBehalfOf => {
                asked["secret"] = app["secrets"][0].clone();
                asked["assertion"] = json!(self.emulator.user_token(ANA).await);
            }
            Flow::Code => {
                (asked["secret"], asked["redirect_uri"]) = (app["secrets"][0].clone(), json!(REDIRECT_URI));
            }
            Flow::Interactive | Flow::Device => {}
            Flow::Password => (asked["username"], asked["password"]) = (json!(ANA), json!("ana-password")),
        }
        if flow.app() == "daemon" {
            asked["scope"] = json!(GRAPH);
        }
        asked.as_object_mut().expect("an object").extend(over.as_object().cloned().unwrap_or_default());
        asked
    }

    /// Has the program get a token, and does what its user would do; returns its last line.
    pub(crate) async fn run(&self, flow: Flow, over: Value) -> Value {
        let asked = self.asked(flow, over).await;
        let mut program = Program::start(self.library.command(&asked, self.folder.path()).await);
        let browser = Browser::new(&self.emulator, ANA);
        loop {
            let line = program.line().await;
            if let Some(user_code) = line["user_code"].as_str() {
                browser.approve(user_code).await;
            } else if let Some(url) = line["url"].as_str() {
                let back = browser.sign_in(url).await;
                if line["listens"] == true {
                    browser.go(back).await;
                } else {
                    program.tell(&back.url());
                }
            } else {
                return line;
            }
        }
    }

    /// The claims of the token that the program gets; and the last thing that was asked of the token endpoint was this flow's.
    pub(crate) async fn claims(&self, flow: Flow) -> Value {
        let line = self.run(flow, json!({})).await;
        let token = line["token"].as_str().unwrap_or_else(|| panic!("{}: {flow:?}: {line:#}", self.library.name));
        let asked = self.emulator.asked("token").await;
        let last = asked.last().expect("a request");
        assert!(last["grant_type"].as_str().is_some_and(|grant| flow.grant_types().contains(&grant)), "{last:#}");
        claims(token)
    }

    /// What the program says in place of a token.
    pub(crate) async fn error(&self, flow: Flow, over: Value) -> String {
        let line = self.run(flow, over).await;
        line["error"].as_str().unwrap_or_else(|| panic!("{}: {flow:?}: {line:#}", self.library.name)).to_owned()
    }
}

/// What a token says, verified by nobody.
pub(crate) fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).expect("a JWT").claims
}

/// The tests that every library has to pass, in a module of its name.
macro_rules! tries {
    ($module:ident, $library:ident) => {
        mod $module {
            use serde_json::json;

            use crate::clients::{ANA, Flow, Library, MIA, Trial, of_app, of_user};
            use crate::support::Emulator;

            #[tokio::test]
            async fn gets_app_tokens_by_secret() {
                of_app(&Trial::of(&Library::$library).await.claims(Flow::Secret).await, "1");
            }

            #[tokio::test]
            async fn gets_app_tokens_by_certificate() {
                of_app(&Trial::of(&Library::$library).await.claims(Flow::Certificate).await, "2");
            }

            #[tokio::test]
            async fn gets_app_tokens_by_another_issuers_token() {
                of_app(&Trial::of(&Library::$library).await.claims(Flow::Federated).await, "2");
            }

            #[tokio::test]
            async fn gets_tokens_on_behalf_of_a_user() {
                let trial = Trial::of(&Library::$library).await;
                of_user(&trial, Flow::OnBehalfOf, "orders-api").await;
            }

            #[tokio::test]
            async fn redeems_a_code() {
                let trial = Trial::of(&Library::$library).await;
                of_user(&trial, Flow::Code, "web").await;
            }

            #[tokio::test]
            async fn waits_for_the_user_of_a_device() {
                let trial = Trial::of(&Library::$library).await;
                of_user(&trial, Flow::Device, "web").await;
            }

            #[tokio::test]
            async fn gets_tokens_by_a_users_password() {
                let trial = Trial::of(&Library::$library).await;
                of_user(&trial, Flow::Password, "web").await;
            }

            #[tokio::test]
            async fn is_told_why_it_gets_none() {
                let trial = Trial::of(&Library::$library).await;
                let mia = trial.emulator.user_token(MIA).await;
                for (flow, over, number) in [
                    (Flow::Secret, json!({"secret": "wrong"}), "7000215"),
                    (Flow::Secret, json!({"scope": "api://nothing/.default"}), "500011"),
                    (Flow::OnBehalfOf, json!({"assertion": mia}), "50076"),
                    (Flow::Password, json!({"username": ANA, "password": "wrong"}), "50126"),
                ] {
                    let said = trial.error(flow, over).await;
                    assert!(said.contains(number), "{flow:?}: {number} is not in {said}");
                }
            }

            #[tokio::test]
            async fn asks_nobody_whose_certificate_is_another_cas() {
                let trial = Trial::of(&Library::$library).await;
                let other = Emulator::start(&tokend::clock::Clock::system()).await;
                trial.trust(&other.ca_pem);
                trial.error(Flow::Secret, json!({})).await;
                assert_eq!(trial.emulator.requests().await.len(), 0);
            }
        }
    };
}
pub(crate) use tries;

/// Of the daemon itself, for Graph; `proof` is how the token says that it proved itself.
pub(crate) fn of_app(claims: &Value, proof: &str) {
    assert_eq!((&claims["aud"], &claims["appidacr"]), (&json!("https://graph.microsoft.com"), &json!(proof)), "{claims:#}");
    assert_eq!((&claims["idtyp"], &claims["roles"]), (&json!("app"), &json!(["User.Read.All"])), "{claims:#}");
}

/// A token of Ana for Graph, that this app got.
pub(crate) async fn of_user(trial: &Trial, flow: Flow, app: &str) {
    let claims = trial.claims(flow).await;
    let expected = (&json!(ANA), &trial.emulator.app(app)["client_id"], &json!("https://graph.microsoft.com"));
    assert_eq!((&claims["upn"], &claims["appid"], &claims["aud"]), expected, "{claims:#}");
    assert!(claims["scp"].as_str().is_some_and(|scopes| scopes.split(' ').any(|scope| scope == "User.Read")), "{claims:#}");
}
