//! The kinds of authority under their real names: a proxy leads `contoso.b2clogin.com`, `contoso.ciamlogin.com`,
//! `westeurope.login.microsoft.com`, `fs.contoso.test` and custom domains to the emulator.

mod adfs;
mod b2c;
mod ciam;
mod documented;
mod findings;
mod given;
mod pushed;
mod regions;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use crate::support::{Answer, Client, Emulator, NOW, Proxy, REDIRECT_URI, Sidecar, parameter};

/// Every name that the emulator has here. The first is that of its Entra-like tenants.
const HOSTS: [&str; 12] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "westeurope.login.microsoft.com",
    "northeurope.login.microsoft.com",
    "usgovvirginia.login.microsoftonline.us",
    "contoso.b2clogin.com",
    "id.contoso.test",
    "contoso.ciamlogin.com",
    "6a1f0d94-27c3-4e8b-b5d2-90f4e7c3a816.ciamlogin.com",
    "login.contoso.test",
    "fs.contoso.test",
];

/// The external tenant's id.
const OUTSIDE: &str = "6a1f0d94-27c3-4e8b-b5d2-90f4e7c3a816";

/// An emulator of all these names, the proxy that leads to it, and a sidecar that takes that way.
struct Stage {
    emulator: Emulator,
    proxy: Proxy,
    sidecar: Sidecar,
    clock: Clock,
    files: TempDir,
    yaml: String,
    /// A browser, and whoever else asks an authority by its name.
    browser: Client,
}

impl Stage {
    /// `apps` is YAML below `apps`, `more` further keys at the top; `FILES` stands for the folder with the credentials. Every app
    /// trusts the emulator's CA.
    async fn new(apps: &str, more: &str) -> Self {
        let clock = Clock::manual(NOW);
        let emulator = Emulator::start_reached_at(&clock, None, (&HOSTS, Some(443))).await;
        let proxy = Proxy::start_to(emulator.port).await;
        let files = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).expect("a file");
        write("ca.pem", &emulator.ca_pem);
        for (name, secret) in [
            ("daemon", "daemon-secret-for-tests-only"),
            ("outside-web", "outside-web-secret-for-tests-only"),
            ("outside-api", "outside-api-secret-for-tests-only"),
            ("shop", "shop-secret-for-tests-only"),
            ("orders", "orders-secret-for-tests-only"),
            ("portal", "portal-secret-for-tests-only"),
            ("ledger", "ledger-secret-for-tests-only"),
        ] {
            write(&format!("{name}.secret"), secret);
        }
        for name in ["daemon", "outside-web"] {
            write(&format!("{name}.pem"), &Emulator::pem(emulator.app(name)));
        }
        write("portal.pem", &Emulator::pem(&emulator.directory["adfs"]["clients"][0]));
        let yaml =
            format!("apps:\n{apps}\noutbound: {{proxy: 'http://{}'}}\nauthority: {{retry_delay: 10ms}}\n{more}\n", proxy.address);
        let yaml = yaml.replace("FILES", &files.path().display().to_string());
        let sidecar = Sidecar::start(&yaml, &clock).await;
        let browser = browser(&proxy, &emulator.ca_pem);
        Self { emulator, proxy, sidecar, clock, files, yaml, browser }
    }

    /// A second replica.
    async fn other(&self) -> Sidecar {
        Sidecar::start(&self.yaml, &self.clock).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.sidecar.client.post(path, &body).await
    }

    /// `POST /obo` with a user's token.
    async fn obo(&self, bearer: &str, body: Value) -> Answer {
        self.sidecar.client.post_as("/obo", bearer, &body).await
    }

    /// Signs a user in and redeems the code; `body` is what both requests say.
    async fn sign_in(&self, user: &str, body: &Value) -> Answer {
        let redeem = self.code(user, body).await;
        self.post("/auth-code", redeem).await
    }

    /// Signs a user in; returns the body with which the code is redeemed.
    async fn code(&self, user: &str, body: &Value) -> Value {
        let with = |more: Value| {
            let mut body = body.clone();
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            body
        };
        let ask = with(json!({"redirect_uri": REDIRECT_URI, "prompt": "none", "login_hint": user}));
        let url = self.post("/auth-code/url", ask).await;
        assert_eq!(url.status, 200, "{}", url.text);
        let answer = Client::send(self.browser.http.get(url.member("authorization_url"))).await;
        let back = url::Url::parse(answer.header("location")).unwrap_or_else(|_| panic!("{} {}", answer.status, answer.text));
        let code = parameter(&back, "code");
        assert!(!code.is_empty(), "{back}");
        let (verifier, nonce) = (url.member("code_verifier"), url.member("nonce"));
        with(json!({"redirect_uri": REDIRECT_URI, "code": code, "code_verifier": verifier, "nonce": nonce}))
    }

    /// What an authority answers to a form, past the sidecar.
    async fn direct(&self, url: &str, form: &[(&str, &str)]) -> Value {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.browser.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        Client::send(request).await.json
    }

    /// A token with these claims, signed with the emulator's key.
    async fn jwt(&self, claims: Value) -> String {
        let answer = self.emulator.client.post("/_emulator/jwt", &json!({"claims": claims})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.member("token").to_owned()
    }

    /// `POST /introspect`: whether an app takes a token.
    async fn is_active(&self, app: &str, token: &str) -> bool {
        let body: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs([("client_id", app), ("token", token)]).finish();
        let request = self.sidecar.client.raw("/introspect").header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = Client::send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json["active"] == json!(true)
    }

    /// What the token endpoints were asked last.
    async fn last_token_call(&self) -> Value {
        self.emulator.asked("token").await.pop().expect("a call")
    }
}

fn browser(proxy: &Proxy, ca: &str) -> Client {
    let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a CA");
    let through = reqwest::Proxy::all(format!("http://{}", proxy.address)).expect("a proxy");
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).proxy(through).tls_certs_only([ca]);
    Client { http: builder.build().expect("a client"), base: String::new() }
}
