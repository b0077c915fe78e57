//! A real tokend process with an emulator and a Redis, and enough trouble that every metric has something to tell.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokend::clock::Clock;

use super::process::{Process, free_port};
use super::{Answer, Client, Emulator};

/// How often is asked for something that takes a while, a tenth of a second apart.
const ATTEMPTS: usize = 300;
/// Of the one caller that the configuration knows.
const TOKEN: &str = "a-callers-token-of-48-characters-0123456789abcdef";
const GRAPH: &str = "https://graph.microsoft.com/.default";
const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// A running sidecar and what it talks to.
pub(super) struct Stage {
    pub(super) admin_port: u16,
    pub(super) admin: Client,
    tokend: Client,
    emulator: Emulator,
    redis: Process,
    redis_port: u16,
    folder: TempDir,
    _process: Process,
}

// === impl Stage ===

impl Stage {
    pub(super) async fn start() -> Self {
        let emulator = Emulator::start(&Clock::system()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let [port, admin_port, redis_port] = [free_port(), free_port(), free_port()];
        let redis = start_redis(redis_port, folder.path());
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        std::fs::write(folder.path().join("tls.key"), own.signing_key.serialize_pem()).expect("a file");
        std::fs::write(folder.path().join("tls.crt"), own.cert.pem()).expect("a file");
        let text = configuration(&emulator, folder.path(), redis_port);
        let config = folder.path().join("tokend.yaml");
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokend"));
        command.args(["serve", "--config"]).arg(&config).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
        command.env("TOKEND_LISTEN", format!("127.0.0.1:{port}")).env("TOKEND_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}"));
        let process = Process::spawn(&mut command);
        let stage = Self {
            admin_port,
            admin: Client::new(&format!("http://127.0.0.1:{admin_port}"), None),
            tokend: caller(&format!("https://127.0.0.1:{port}"), &own.cert.pem()),
            emulator,
            redis,
            redis_port,
            folder,
            _process: process,
        };
        until_listening(admin_port).await;
        stage.until("it is ready", async || (stage.admin.get("/readyz").await.status == 200).then_some(())).await;
        stage
    }

    /// What `/metrics` says now.
    pub(super) async fn metrics(&self) -> String {
        self.admin.get("/metrics").await.text
    }

    /// Asks until there is something.
    pub(super) async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..ATTEMPTS {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not in half a minute: {what}\n{}", self.metrics().await);
    }

    /// An app token; every call is one request of the flow `client_credentials`.
    pub(super) async fn app_token(&self, scope: &str) -> Answer {
        self.tokend.post("/client-credentials", &json!({"app": "daemon", "scopes": [scope]})).await
    }

    /// Something of everything.
    pub(super) async fn traffic(&mut self) {
        self.script(json!({"scope": "graph"}), json!({"set": {"refresh_in": 1}})).await;
        self.script(json!({"scope": "billing"}), json!({"throttle": {"retry_after": "600"}})).await;
        assert_eq!(self.app_token(GRAPH).await.status, 200);
        let bearer = self.emulator.user_token("ana@contoso.example").await;
        let obo = json!({"app": "orders", "scopes": [USER_READ]});
        assert_eq!(self.tokend.post_as("/obo", &bearer, &obo).await.status, 200);
        for _ in 0..2 {
            // The second is answered from what is remembered of the first.
            assert_eq!(self.app_token("api://billing/.default").await.status, 429);
        }
        assert_eq!(self.tokend.post("/nowhere", &json!({})).await.status, 404);
        let nobody = self.tokend.request("/client-credentials", &json!({})).header("x-tokend-token", "nobody's");
        assert_eq!(Client::send(nobody).await.status, 403);
        self.plain_text();
        self.sign_in_and_out().await;
        self.redis_goes_away().await;
        self.until("a renewal", async || {
            assert_eq!(self.app_token(GRAPH).await.status, 200);
            self.metrics()
                .await
                .contains("tokend_refreshes_total{app=\"daemon\",flow=\"client_credentials\",outcome=\"ok\"}")
                .then_some(())
        })
        .await;
    }

    async fn script(&self, on: Value, effect: Value) {
        self.emulator.script(json!({"times": 0, "on": on, "do": effect})).await;
    }

    /// A caller that does not know that the listener speaks TLS.
    fn plain_text(&self) {
        let address = self.tokend.base.trim_start_matches("https://");
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        // However it ends, it ends.
        let _end = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }

    async fn sign_in_and_out(&self) {
        let redirect = "http://localhost:3000/callback";
        let ask = json!({"app": "web", "scopes": [USER_READ], "redirect_uri": redirect, "prompt": "none", "login_hint": "ben@contoso.example"});
        let url = self.tokend.post("/auth-code/url", &ask).await.json;
        let back = self.emulator.sign_in(url["authorization_url"].as_str().expect("a URL")).await;
        let code = super::emulator::parameter(&back, "code");
        let redeem = json!({"app": "web", "scopes": [USER_READ], "redirect_uri": redirect, "code": code, "code_verifier": url["code_verifier"]});
        let signed_in = self.tokend.post("/auth-code", &redeem).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text);
        let account = signed_in.json["account"]["home_account_id"].as_str().expect("an account");
        let silent = json!({"app": "web", "scopes": [USER_READ], "account": account});
        assert_eq!(self.tokend.post("/silent", &silent).await.status, 200);
        let gone = self.tokend.http.delete(format!("{}/accounts/{account}?app=web", self.tokend.base));
        assert_eq!(Client::send(gone).await.status, 204);
    }

    /// A token that comes while Redis is away is brought to it afterwards.
    async fn redis_goes_away(&mut self) {
        self.redis.kill();
        let orders = self.app_token("api://orders/.default").await;
        assert_eq!(orders.status, 200, "{}", orders.text);
        self.redis = start_redis(self.redis_port, self.folder.path());
        self.until("what waited is stored", async || {
            self.metrics().await.contains("tokend_cache_pushed_back_total{").then_some(())
        })
        .await;
    }
}

/// The client of a caller that shows its token.
fn caller(base: &str, ca: &str) -> Client {
    let token = reqwest::header::HeaderValue::from_static(TOKEN);
    Client::with(base, Some(ca), [(reqwest::header::HeaderName::from_static("x-tokend-token"), token)].into_iter().collect())
}

pub(super) async fn until_listening(port: u16) {
    for _ in 0..ATTEMPTS {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody listens on {port}");
}

fn start_redis(port: u16, folder: &Path) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]).arg(port.to_string());
    Process::spawn(command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()))
}

fn configuration(emulator: &Emulator, folder: &Path, redis: u16) -> String {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let tenant = emulator.directory["tenants"][0]["id"].as_str().expect("a tenant");
    let app = |name: &str, credential: &str, more: &str| {
        let client = &emulator.app(name)["client_id"];
        let ca = folder.join("ca.pem");
        format!(
            "{{authority: \"{}/{tenant}\", ca_file: {}, client_id: {client}, credential: {credential}{more}}}",
            emulator.origin,
            ca.display()
        )
    };
    let secret = |name: &str| format!("{{secret: {{file: {}}}}}", write(name, Emulator::secret(emulator.app(name))));
    write("ca.pem", &emulator.ca_pem);
    let pem = write("orders.pem", &Emulator::pem(emulator.app("orders-api")));
    let key = |fill: char| format!("{}=", fill.to_string().repeat(43));
    let ring = write("ring", &format!("name:{}\nk1:{}\n", key('A'), key('E')));
    let inbound = ", inbound: {audiences: [\"api://orders\"], scopes: [access_as_user]}";
    [
        format!("tls: {{cert: {{file: {0}/tls.crt}}, key: {{file: {0}/tls.key}}}}", folder.display()),
        format!("callers: [{{name: shop, token: {{file: {}}}}}]", write("shop.token", TOKEN)),
        "apps:".to_owned(),
        format!("  daemon: {}", app("daemon", &secret("daemon"), "")),
        format!("  web: {}", app("web", &secret("web"), "")),
        format!("  orders: {}", app("orders-api", &format!("{{certificate: {{file: {pem}}}}}"), inbound)),
        format!("cache: {{redis: {{url: \"redis://127.0.0.1:{redis}\", encryption: {{key_ring: {{file: {ring}}}}}}}}}"),
    ]
    .join("\n")
}
