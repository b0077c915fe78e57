//! How a test's Redis is set up: one set of options for a server alone, and for each node of a topology.

use std::path::Path;
use std::process::Command;

use super::server::Role;
use super::{Certificates, RedisServer};

/// The account that the support itself uses, in servers that have users.
pub(super) const ADMIN: (&str, &str) = ("support", "support-password-for-tests-only");

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flavour {
    Redis,
    /// Its build has no TLS.
    Valkey,
}

/// Start with [`RedisServer::options`]. What is configured later goes before what was earlier.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(super) flavour: Flavour,
    pub(super) tls: Option<Certificates>,
    acl: Vec<String>,
    sentinel_acl: Vec<String>,
    config: Vec<(String, String)>,
}

impl Options {
    pub(super) fn new() -> Self {
        Self { flavour: Flavour::Redis, tls: None, acl: Vec::new(), sentinel_acl: Vec::new(), config: Vec::new() }
    }

    /// Redis or Valkey.
    pub(crate) fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// A directive of the configuration file, its value as it would stand there.
    pub(crate) fn config(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.to_owned(), value.to_owned()));
        self
    }

    /// TLS alone, with client certificates; `config("tls-auth-clients", "no")` does without them.
    pub(crate) fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(certificates.clone());
        self
    }

    /// Users as an ACL file has them (`user tokend on >password ~tokend:* …`). The support has one of its own.
    pub(crate) fn acl(mut self, users: &[&str]) -> Self {
        self.acl.extend(users.iter().map(|user| (*user).to_owned()));
        self
    }

    /// Users of sentinels, which know no keys.
    pub(crate) fn sentinel_acl(mut self, users: &[&str]) -> Self {
        self.sentinel_acl.extend(users.iter().map(|user| (*user).to_owned()));
        self
    }

    /// Starts a server and returns when it answers.
    pub(crate) async fn start(self) -> RedisServer {
        RedisServer::start_with(self).await
    }

    /// Where it is reached.
    pub(super) fn host(&self) -> &'static str {
        self.tls.as_ref().map_or("127.0.0.1", Certificates::host)
    }

    /// What the support logs in with; `None` where there are no users.
    pub(super) fn admin(&self, role: Role) -> Option<(&'static str, &'static str)> {
        (!self.users(role).is_empty()).then_some(ADMIN)
    }

    fn users(&self, role: Role) -> &[String] {
        match role {
            Role::Data => &self.acl,
            Role::Sentinel => &self.sentinel_acl,
        }
    }

    /// The text of a configuration file.
    pub(super) fn file(&self, role: Role, port: u16, folder: &Path) -> String {
        let mut lines = vec!["bind 127.0.0.1".to_owned(), format!("dir {}", folder.display()), "daemonize no".to_owned()];
        match &self.tls {
            None => lines.push(format!("port {port}")),
            Some(files) => lines.extend([
                "port 0".to_owned(),
                format!("tls-port {port}"),
                format!("tls-ca-cert-file {}", files.ca().display()),
                format!("tls-cert-file {}", files.server().display()),
                format!("tls-key-file {}", files.server_key().display()),
                "tls-auth-clients yes".to_owned(),
                // For a sentinel this is about all the connections that it makes.
                "tls-replication yes".to_owned(),
            ]),
        }
        lines.extend_from_slice(self.users(role));
        if let Some((user, password)) = self.admin(role) {
            lines.push(format!("user {user} on >{password} ~* &* +@all"));
            // As whom it meets its like.
            lines.extend(match role {
                Role::Data => [format!("masteruser {user}"), format!("masterauth {password}")],
                Role::Sentinel => [format!("sentinel sentinel-user {user}"), format!("sentinel sentinel-pass {password}")],
            });
        }
        if role == Role::Data {
            lines.extend(["save \"\"", "appendonly no", "repl-diskless-sync-delay 0", "shutdown-timeout 0"].map(str::to_owned));
            lines.extend(self.config.iter().map(|(name, value)| format!("{name} {value}")));
        }
        lines.join("\n") + "\n"
    }

    /// The program, to be followed by a configuration file.
    pub(super) fn program(&self) -> Command {
        match self.flavour {
            Flavour::Redis => Command::new("redis-server"),
            Flavour::Valkey => {
                let server = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/valkey/bin/valkey-server");
                assert!(server.exists(), "no Valkey: run tests/setup/base");
                Command::new(server)
            }
        }
    }
}
