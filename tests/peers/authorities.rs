//! tokend at authorities that are not ours, and SAML assertions that are not ours at the emulator, with tokend between and without.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokend::clock::Clock;

use crate::servers::{Hydra, Mock, Sts, hydra, sts};
use crate::support::{Answer, Client, Emulator, REDIRECT_URI, Sidecar, World, parameter};

const ANA: &str = "ana@contoso.example";

/// A sidecar with one app, `web`, of an issuer.
struct Stage {
    sidecar: Sidecar,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(issuer: &str, client_id: &str, secret: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, secret).expect("a file");
        let yaml = format!(
            "apps:\n  web: {{issuer: \"{issuer}\", insecure_http: true, client_id: {client_id}, offline_access: true, \
             refresh_token: true, username_password: true, credential: {{secret: {{file: {}}}}}}}\n",
            file.display()
        );
        Self { sidecar: Sidecar::start(&yaml, &Clock::system()).await, _folder: folder }
    }

    /// What `/auth-code` takes, of a user who signed in in a way that is given.
    async fn code(&self, scopes: &str, sign_in: impl AsyncFnOnce(&str) -> url::Url) -> Value {
        let mut body = json!({"app": "web", "scopes": scopes, "redirect_uri": REDIRECT_URI});
        let url = self.sidecar.client.post("/auth-code/url", &body).await;
        assert_eq!(url.status, 200, "{}", url.text);
        let back = sign_in(url.member("authorization_url")).await;
        assert_eq!(parameter(&back, "state"), url.member("state"), "{back}");
        body["code"] = json!(parameter(&back, "code"));
        let issuer = parameter(&back, "iss");
        if !issuer.is_empty() {
            body["iss"] = json!(issuer);
        }
        for member in ["code_verifier", "nonce"] {
            body[member] = url.json[member].clone();
        }
        body
    }

    async fn redeem(&self, code: &Value) -> Answer {
        self.sidecar.client.post("/auth-code", code).await
    }

    /// `/silent` past the cache, for the scopes that were granted or for what the account has.
    async fn renew(&self, signed_in: &Answer, scopes: &str) -> Answer {
        let account = &signed_in.json["account"]["home_account_id"];
        self.sidecar
            .client
            .post("/silent", &json!({"app": "web", "account": account, "scopes": scopes, "force_refresh": true}))
            .await
    }
}

#[tokio::test]
async fn hydra_grants_less_than_was_asked_and_renews_that() {
    let hydra = Hydra::start().await;
    let stage = Stage::new(&hydra.issuer, hydra::CLIENT, hydra::SECRET).await;
    let granted = ["openid", "offline_access", "orders.read"];
    let code = stage.code("orders.read email", async |url| hydra.sign_in(url, "ana", &granted).await).await;
    let signed_in = stage.redeem(&code).await;
    let known = hydra.introspect(signed_in.token()).await;
    assert_eq!((&known["active"], &known["sub"]), (&json!(true), &json!("ana")), "{known:#}");
    let scopes = |known: &Value| {
        let mut scopes: Vec<_> = known["scope"].as_str().unwrap_or_default().split(' ').map(str::to_owned).collect();
        scopes.sort_unstable();
        scopes
    };
    assert_eq!(scopes(&known), ["offline_access", "openid", "orders.read"]);
    // Three tokens of one sign-in: each refresh token is used once, or Hydra would end them all.
    let mut last = signed_in.token().to_owned();
    for _ in 0..2 {
        let renewed = stage.renew(&signed_in, "orders.read").await;
        assert_ne!(renewed.token(), last);
        renewed.token().clone_into(&mut last);
        assert_eq!(scopes(&hydra.introspect(&last).await), ["offline_access", "openid", "orders.read"]);
    }
    // A code is good once.
    stage.redeem(&code).await.refused(400, "invalid_grant", "");
}

#[tokio::test]
async fn hydras_refresh_tokens_are_taken_over_and_rotate_here() {
    let hydra = Hydra::start().await;
    let stage = Stage::new(&hydra.issuer, hydra::CLIENT, hydra::SECRET).await;
    // Another program signed Ana in before.
    let granted = ["openid", "offline_access", "orders.read"];
    let url = format!(
        "{}/oauth2/auth?client_id={}&response_type=code&scope=openid+offline_access+orders.read&state=12345678&redirect_uri={}",
        hydra.issuer,
        hydra::CLIENT,
        encoded(REDIRECT_URI)
    );
    let back = hydra.sign_in(&url, "ana", &granted).await;
    let grant = [("grant_type", "authorization_code"), ("redirect_uri", REDIRECT_URI), ("code", &parameter(&back, "code"))];
    let before = hydra.token(&grant).await;
    before.token();
    let old = before.member("refresh_token");

    let body = json!({"app": "web", "scopes": "orders.read", "refresh_token": old});
    let taken = stage.sidecar.client.post("/refresh-token", &body).await;
    assert_eq!(hydra.introspect(taken.token()).await["sub"], "ana");
    assert_eq!(taken.json["account"]["home_account_id"], "ana", "{}", taken.text);
    assert!(!taken.text.contains(old) && taken.json["refresh_token"].is_null(), "{}", taken.text);
    let renewed = stage.renew(&taken, "orders.read").await;
    assert_eq!(hydra.introspect(renewed.token()).await["active"], true);
    // Whoever uses the old one again ends the successors too: Hydra takes them for stolen.
    assert_eq!(hydra.token(&[("grant_type", "refresh_token"), ("refresh_token", old)]).await.member("error"), "invalid_grant");
    stage.renew(&taken, "orders.read").await.refused(401, "invalid_grant", "");
}

#[tokio::test]
async fn mock_oauth2_server_takes_what_tokend_sends() {
    let mock = Mock::start().await;
    let stage = Stage::new(&mock.issuer, "web", "any-secret-will-do").await;
    let body = json!({"app": "web", "scopes": "orders.read"});
    let app = stage.sidecar.client.post("/client-credentials", &body).await;
    assert_eq!(payload(app.token())["iss"], mock.issuer.as_str());
    let code = stage.code("orders.read", async |url| mock.sign_in(url, "ana").await).await;
    let signed_in = stage.redeem(&code).await;
    assert_eq!((&payload(signed_in.token())["sub"], &signed_in.json["account"]["home_account_id"]), (&json!("ana"), &json!("ana")));
    let mut last = signed_in.token().to_owned();
    for _ in 0..2 {
        let renewed = stage.renew(&signed_in, "orders.read").await;
        assert_ne!(renewed.token(), last);
        renewed.token().clone_into(&mut last);
    }
}

#[tokio::test]
async fn mock_oauth2_server_takes_passwords_and_refresh_tokens() {
    let mock = Mock::start().await;
    let stage = Stage::new(&mock.issuer, "web", "any-secret-will-do").await;
    let body = json!({"app": "web", "scopes": "orders.read", "username": "ana", "password": "anything"});
    let signed_in = stage.sidecar.client.post("/username-password", &body).await;
    assert_eq!((&payload(signed_in.token())["sub"], &signed_in.json["account"]["home_account_id"]), (&json!("ana"), &json!("ana")));
    // A password brings no refresh token there; a code does.
    let url = format!(
        "{}/authorize?client_id=web&response_type=code&scope=openid+offline_access&state=x&redirect_uri={}",
        mock.issuer,
        encoded(REDIRECT_URI)
    );
    let code = parameter(&mock.sign_in(&url, "ben").await, "code");
    let before = mock.token(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT_URI)]).await;
    let body = json!({"app": "web", "scopes": "orders.read", "refresh_token": before.member("refresh_token")});
    let taken = stage.sidecar.client.post("/refresh-token", &body).await;
    assert_eq!((&payload(taken.token())["sub"], &taken.json["account"]["home_account_id"]), (&json!("ben"), &json!("ben")));
    assert_ne!(stage.renew(&taken, "orders.read").await.token(), taken.token());
}

/// A text as a query has it.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What a token says, verified by nobody.
fn payload(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).expect("a JWT").claims
}

/// The form of on-behalf-of as orders-api, with an assertion.
async fn on_behalf_of(emulator: &Emulator, form: &str, assertion: &str) -> Answer {
    let app = emulator.app("orders-api");
    let grant = if form == "saml1" { "saml1_1" } else { "saml2" };
    let fields = [
        ("grant_type", format!("urn:ietf:params:oauth:grant-type:{grant}-bearer")),
        ("client_id", app["client_id"].as_str().expect("an id").to_owned()),
        ("client_secret", Emulator::secret(app).to_owned()),
        ("requested_token_use", "on_behalf_of".to_owned()),
        ("assertion", assertion.to_owned()),
        ("scope", "https://graph.microsoft.com/User.Read offline_access".to_owned()),
    ];
    let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = emulator.client.raw(&format!("/{tenant}/oauth2/v2.0/token"));
    Client::send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

#[tokio::test]
async fn assertions_of_cxf_are_good_where_its_certificate_is_known() {
    let sts = Sts::start(&["api://orders", "urn:federation:MicrosoftOnline"]).await;
    let mut directory = Emulator::built_in();
    directory["tenants"][0]["saml_issuers"] = json!([{"issuer": sts::ISSUER, "certificate": {"pem": sts.certificate_pem}}]);
    let emulator = Emulator::start_with(&Clock::system(), Some(&directory)).await;
    let stranger = Emulator::start(&Clock::system()).await;
    for form in ["saml1", "saml2"] {
        let assertion = sts.issue(form, ANA, "api://orders").await;
        for encoded in [STANDARD.encode(&assertion), URL_SAFE_NO_PAD.encode(&assertion)] {
            let answer = on_behalf_of(&emulator, form, &encoded).await;
            assert_eq!(payload(answer.token())["upn"], ANA, "{}", answer.text);
            assert!(answer.json["refresh_token"].is_string(), "{}", answer.text);
        }
        for (emulator, assertion, number) in [
            (&stranger, assertion.clone(), 50013),
            (&emulator, assertion.replace(ANA, "ben@contoso.example"), 50013),
            (&emulator, sts.issue(form, "who@contoso.example", "api://orders").await, 50034),
            (&emulator, sts.issue(form, ANA, "urn:federation:MicrosoftOnline").await, 500_131),
        ] {
            let answer = on_behalf_of(emulator, form, &STANDARD.encode(&assertion)).await;
            assert_eq!((answer.status, &answer.json["error_codes"][0]), (400, &json!(number)), "{form}: {}", answer.text);
        }
        let refused = sts.ask(form, ANA, "wrong", "api://orders").await;
        assert!(refused.status == 500 && refused.text.contains("Fault"), "{} {}", refused.status, refused.text);
    }
}

#[tokio::test]
async fn assertions_of_the_emulator_are_signed_as_java_sees_it() {
    let emulator = Emulator::start(&Clock::system()).await;
    let keys = emulator.client.get("/common/discovery/v2.0/keys").await.json["keys"].clone();
    for version in ["1.1", "2.0"] {
        // What XML has to write in another way is signed as what it means.
        let order = json!({"version": version, "app": "orders-api", "user": ANA, "subject": "<\"ana\"> & co", "issuer": "a\"<&>"});
        let minted = emulator.client.post("/_emulator/saml", &order).await.json;
        let encoded = minted["encoded"].as_str().expect("an assertion");
        assert!(sts::is_signed_by(encoded, &keys[0]).await, "{version}");
        assert!(!sts::is_signed_by(encoded, &keys[1]).await, "{version}: by another key");
        let forged = minted["assertion"].as_str().expect("XML").replace("ana", "ben");
        assert!(!sts::is_signed_by(&URL_SAFE_NO_PAD.encode(forged), &keys[0]).await, "{version}: changed");
    }
}

#[tokio::test]
async fn tokend_hands_assertions_of_cxf_on() {
    let shop = "https://orders.shop.example";
    let sts = Sts::start(&["api://orders", shop]).await;
    let mut directory = Emulator::built_in();
    let trusted = json!([{"issuer": sts::ISSUER, "certificate": {"pem": sts.certificate_pem}}]);
    directory["tenants"][0]["saml_issuers"] = trusted.clone();
    directory["realms"][0]["saml_issuers"] = trusted;
    let stage = crate::support::Stage { clock: Some(Clock::system()), directory: Some(directory), ..Default::default() };
    let world = World::staged(stage).await;
    let ask_as = async |app: &str, scopes: &str, form: &str, assertion: &str| {
        let kind = format!("urn:ietf:params:oauth:token-type:{form}");
        let body = json!({"app": app, "scopes": scopes, "assertion": assertion, "subject_token_type": kind});
        world.sidecar.client.post("/obo", &body).await
    };
    let ask = async |form: &str, assertion: &str| ask_as("orders", "https://graph.microsoft.com/User.Read", form, assertion).await;
    for form in ["saml1", "saml2"] {
        let assertion = sts.issue(form, ANA, "api://orders").await;
        let answer = ask(form, &assertion).await;
        assert_eq!(payload(answer.token())["upn"], ANA, "{}", answer.text);
        assert_eq!(ask(form, &STANDARD.encode(&assertion)).await.source(), "cache", "{form}: it is one assertion in any spelling");
        let forged = assertion.replace(ANA, "ben@contoso.example");
        ask(form, &forged).await.refused(401, "invalid_grant", "");
        let other = if form == "saml1" { "saml2" } else { "saml1" };
        let asked = world.emulator.asked("token").await.len();
        assert_eq!(ask(other, &assertion).await.status, 400, "{form} as {other}");
        assert_eq!(world.emulator.asked("token").await.len(), asked, "nothing was sent");
        // And at an issuer, as token exchange.
        let answer = ask_as("shop", "stock.read", form, &sts.issue(form, "eva", shop).await).await;
        assert_eq!(payload(answer.token())["sub"], "f2a6-eva", "{}", answer.text);
    }
}
