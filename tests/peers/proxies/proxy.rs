//! The proxies: the files that `docs/proxies.md` shows of each, with the addresses and files of a test in place of the page's, and
//! the process that reads them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::wire::ask;
use crate::group::Group;
use crate::support::{eventually, free_port};
use crate::tree::text;

/// What the proxy proves itself by to tokend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Token,
    Certificate,
    Socket,
}

/// A proxy of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Envoy,
    Traefik,
    Caddy,
}

/// A text of a configuration, and what stands in its place.
pub(crate) type Change = (&'static str, &'static str);

/// Where things are in a test.
pub(crate) struct Places<'a> {
    /// tokend's host and port, or its socket.
    pub(crate) tokend: &'a str,
    /// The application's port on loopback.
    pub(crate) api: u16,
    /// With `tokend-caller`, `tls.crt`, `tls.key` and `ca.crt`.
    pub(crate) files: &'a Path,
}

/// A proxy that runs; it ends when this is dropped.
pub(crate) struct Running {
    pub(crate) port: u16,
    _group: Group,
    _folder: tempfile::TempDir,
}

/// The part of Envoy's configuration that is for TLS alone: it begins and ends with these.
const ENVOY_TLS: [&str; 2] = ["      # The caller's proof is this connection", "    - name: orders\n      type: STRICT_DNS"];

/// Where nginx puts long bodies; it makes the folder of each kind of server, asked for or not.
const NGINX_TEMP: &str = "client_body_temp_path FOLDER/body;\nproxy_temp_path FOLDER/proxy;\nfastcgi_temp_path FOLDER/fastcgi;\n\
                          uwsgi_temp_path FOLDER/uwsgi;\nscgi_temp_path FOLDER/scgi;\n";

// === impl Proxy ===

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
        }
    }

    /// Its files on the page.
    pub(crate) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["nginx.conf"],
            Self::Envoy => &["envoy.yaml"],
            Self::Traefik => &["traefik.yaml", "dynamic.yaml"],
            Self::Caddy => &["Caddyfile"],
        }
    }

    /// A file of its own in this tree.
    fn written(self, file: &str) -> String {
        text(&format!("tests/peers/proxies/{}/{file}", self.name()))
    }

    /// The proof that the page's configuration has.
    pub(crate) fn proof(self) -> Proof {
        match self {
            Self::Nginx | Self::Traefik => Proof::Token,
            Self::Envoy => Proof::Certificate,
            Self::Caddy => Proof::Socket,
        }
    }

    /// What the page says to change for another proof; nothing where the proxy cannot have it, or has it already.
    pub(crate) fn changes(self, proof: Proof) -> Option<Vec<Change>> {
        let changes: &[Change] = match (self, proof) {
            (Self::Nginx, Proof::Socket) => &[
                ("server 127.0.0.1:8650;", "server unix:/run/tokend/tokend.sock;"),
                ("include /etc/nginx/tokend-caller.conf;", ""),
            ],
            (Self::Nginx, Proof::Certificate) => &[
                ("proxy_pass http://tokend/auth/graph;", "proxy_pass https://tokend/auth/graph;"),
                (
                    "include /etc/nginx/tokend-caller.conf;",
                    "proxy_ssl_certificate /etc/nginx/tls/tls.crt;\nproxy_ssl_certificate_key /etc/nginx/tls/tls.key;\n\
                     proxy_ssl_trusted_certificate /etc/nginx/tls/ca.crt;\nproxy_ssl_verify on;\nproxy_ssl_name tokend.internal;",
                ),
            ],
            (Self::Envoy, Proof::Token) => &[
                (
                    "path_prefix: /auth/graph\n",
                    "path_prefix: /auth/graph\n                        authorization_request:\n                          \
                     headers_to_add: [{key: x-tokend-token, value: \"%ENVIRONMENT(TOKEND_CALLER_TOKEN)%\"}]\n",
                ),
                ("address: tokend.internal, port_value: 8650", "address: 127.0.0.1, port_value: 8650"),
            ],
            (Self::Envoy, Proof::Socket) => &[
                ("socket_address: {address: tokend.internal, port_value: 8650}", "pipe: {path: /run/tokend/tokend.sock}"),
                ("    - name: tokend\n      type: STRICT_DNS", "    - name: tokend\n      type: STATIC"),
            ],
            (Self::Traefik, Proof::Certificate) => &[
                (
                    "address: http://127.0.0.1:8650/auth/graph\n",
                    "address: https://tokend.internal:8650/auth/graph\n        \
                     tls: {ca: /etc/traefik/tls/ca.crt, cert: /etc/traefik/tls/tls.crt, key: /etc/traefik/tls/tls.key}\n",
                ),
                ("X-Tokend-Token: '{{ env \"TOKEND_CALLER_TOKEN\" }}'", "X-Tokend-Token: \"\""),
            ],
            (Self::Caddy, Proof::Token) => &[(
                "forward_auth unix//run/tokend/tokend.sock {",
                "forward_auth 127.0.0.1:8650 {\nheader_up X-Tokend-Token {file./run/secrets/tokend-caller}",
            )],
            (Self::Caddy, Proof::Certificate) => &[(
                "forward_auth unix//run/tokend/tokend.sock {",
                "forward_auth https://tokend.internal:8650 {\ntransport http {\n\
                 tls_client_auth /etc/caddy/tls/tls.crt /etc/caddy/tls/tls.key\ntls_trust_pool file /etc/caddy/tls/ca.crt\n}",
            )],
            (Self::Traefik, Proof::Socket)
            | (Self::Nginx, Proof::Token)
            | (Self::Envoy, Proof::Certificate)
            | (Self::Traefik, Proof::Token)
            | (Self::Caddy, Proof::Socket) => return None,
        };
        Some(changes.to_vec())
    }

    /// What the page says to change for an api of which no token is asked.
    pub(crate) fn judges(self) -> &'static [Change] {
        match self {
            Self::Nginx => &[("            proxy_set_header Authorization $tokend_authorization;\n", "")],
            Self::Envoy => &[],
            Self::Traefik => &[("authResponseHeaders: [Authorization, ", "authResponseHeaders: [")],
            Self::Caddy => &[("copy_headers Authorization ", "copy_headers ")],
        }
    }

    /// What stands on the page, and what a test has in its place. One of the places of a kind (tokend's) is in each configuration.
    fn places(self, at: &Places<'_>, port: u16, folder: &str) -> Vec<(&'static str, String)> {
        let files = at.files.display();
        let mut places = vec![
            ("127.0.0.1:9000", format!("127.0.0.1:{}", at.api)),
            ("address: 127.0.0.1, port_value: 9000", format!("address: 127.0.0.1, port_value: {}", at.api)),
            ("/run/tokend/tokend.sock", at.tokend.to_owned()),
            ("127.0.0.1:8650", at.tokend.to_owned()),
            ("tokend.internal:8650", at.tokend.to_owned()),
            ("/run/secrets/", format!("{files}/")),
            (self.tls_folder(), format!("{files}/")),
        ];
        if let Some((host, tokend)) = at.tokend.split_once(':') {
            let meant = format!("address: {host}, port_value: {tokend}");
            places.push(("address: tokend.internal, port_value: 8650", meant.clone()));
            places.push(("address: 127.0.0.1, port_value: 8650", meant));
        }
        places.extend(match self {
            Self::Nginx => vec![
                ("/run/nginx.pid", format!("{folder}/nginx.pid")),
                ("/etc/nginx/tokend-caller.conf", format!("{folder}/tokend-caller.conf")),
                ("listen 8080;", format!("listen 127.0.0.1:{port};")),
                // Its workers would be of a user who cannot read a test's folder; where nobody is root it says nothing.
                ("worker_processes auto;", "user root;\nworker_processes 1;".to_owned()),
                ("http {\n", format!("http {{\n{}", NGINX_TEMP.replace("FOLDER", folder))),
            ],
            Self::Envoy => vec![("address: 0.0.0.0, port_value: 8080", format!("address: 127.0.0.1, port_value: {port}"))],
            Self::Traefik => vec![
                ("address: :8080", format!("address: 127.0.0.1:{port}")),
                ("/etc/traefik/dynamic.yaml", format!("{folder}/dynamic.yaml")),
            ],
            Self::Caddy => vec![("http://:8080 {", format!("http://:{port} {{\n\tbind 127.0.0.1"))],
        });
        places
    }

    /// Where the page has the certificate of a proxy.
    fn tls_folder(self) -> &'static str {
        match self {
            Self::Nginx => "/etc/nginx/tls/",
            Self::Envoy => "/etc/envoy/tls/",
            Self::Traefik => "/etc/traefik/tls/",
            Self::Caddy => "/etc/caddy/tls/",
        }
    }

    /// The process.
    fn command(self, folder: &Path, caller: &str) -> Command {
        let program = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/proxies/bin").join(name);
            assert!(path.exists(), "no {}: run tests/setup/peers", path.display());
            Command::new(path)
        };
        let file = folder.join(self.files()[0]);
        let mut command = match self {
            Self::Nginx => {
                let mut command = Command::new("/usr/sbin/nginx");
                command.args(["-g", "daemon off;", "-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file);
                command
            }
            Self::Envoy => {
                let mut command = program("envoy");
                command.args(["--concurrency", "1", "--disable-hot-restart", "-c"]).arg(file);
                command
            }
            Self::Traefik => {
                let mut command = program("traefik");
                command.arg(format!("--configFile={}", file.display()));
                command
            }
            Self::Caddy => {
                let mut command = program("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                // What it keeps between two runs, and what it is driven by.
                command.env("HOME", folder).env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
                command.env("CADDY_ADMIN", format!("unix/{}", folder.join("admin.sock").display()));
                command
            }
        };
        command.env("TOKEND_CALLER_TOKEN", caller);
        command
    }
}

// === impl Running ===

impl Running {
    /// Starts a proxy with the page's configuration changed, and waits until it asks tokend.
    pub(crate) async fn start(proxy: Proxy, at: &Places<'_>, changes: &[Change], proof: Proof) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let path = folder.path().display().to_string();
        let mut texts: Vec<_> = proxy.files().iter().map(|file| (*file, proxy.written(file))).collect();
        if proxy == Proxy::Envoy && proof != Proof::Certificate {
            let (_, all) = &mut texts[0];
            let [from, to] = ENVOY_TLS.map(|mark| all.find(mark).expect("a mark"));
            all.replace_range(from..to, "");
        }
        for (from, to) in changes {
            assert!(texts.iter().any(|(_, text)| text.contains(from)), "no {from:?} in the files of {proxy:?}");
            texts.iter_mut().for_each(|(_, text)| *text = text.replace(from, to));
        }
        let places = proxy.places(at, port, &path);
        for (file, text) in &mut texts {
            // In two steps: what is put in may look like a place of the page, and no place may be left.
            for (index, (from, _)) in places.iter().enumerate() {
                *text = text.replace(from, &format!("\u{1}{index}\u{2}"));
            }
            let left = ["8650", "9000", "8080", "/etc/", "/run/"].into_iter().find(|place| text.contains(place));
            assert_eq!(left, None, "a place of the page is left in {file}:\n{text}");
            for (index, (_, to)) in places.iter().enumerate() {
                *text = text.replace(&format!("\u{1}{index}\u{2}"), to);
            }
            std::fs::write(folder.path().join(file), text).expect("a file");
        }
        let caller = std::fs::read_to_string(at.files.join("tokend-caller")).expect("a caller's token");
        let line = format!("proxy_set_header X-Tokend-Token \"{caller}\";\n");
        std::fs::write(folder.path().join("tokend-caller.conf"), line).expect("a file");
        // The processes of a proxy need not all be of one user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let group = Group::spawn(proxy.name(), port, &proxy.command(folder.path(), &caller));
        eventually(Duration::from_secs(60), async || {
            group.assert_running();
            // Who listens may still have nothing to serve: 404.
            let listens = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            listens && ask(port, "GET / HTTP/1.1\nHost: orders\nConnection: close").await.status != 404
        })
        .await;
        Self { port, _group: group, _folder: folder }
    }
}
