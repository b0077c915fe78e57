//! One server: its address, and how a connection to it is set up below the commands.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisResult};

use super::access::{Access, Credentials};
use crate::store::settings::RedisUrl;

/// How long sent bytes may stay unacknowledged before the system gives the connection up.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);
/// How long a connection is silent before the system looks whether it is there, and how long it waits between looks.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));

/// Where a server is.
pub(super) struct ServerPlace {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) db: i64,
}

// === impl ServerPlace ===

impl ServerPlace {
    pub(super) fn of(url: &RedisUrl) -> Self {
        Self { tls: url.tls, host: url.host.clone(), port: url.port, db: url.db }
    }

    /// This place as a node of a cluster: those have one database.
    pub(super) fn again(&self) -> Self {
        Self { tls: self.tls, host: self.host.clone(), port: self.port, db: 0 }
    }

    /// What connects there. Nothing is connected yet.
    pub(super) fn client(self, credentials: &Credentials, protocol: ProtocolVersion, access: &Access) -> RedisResult<Client> {
        let info = self.info(credentials, protocol)?;
        match info.addr() {
            ConnectionAddr::TcpTls { .. } => Client::build_with_tls(info, access.certificates()),
            _ => Client::open(info),
        }
    }

    pub(super) fn info(self, credentials: &Credentials, protocol: ProtocolVersion) -> RedisResult<ConnectionInfo> {
        let Self { tls, host, port, db } = self;
        let address = if tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        // Its name and version would be one more command that a user needs the right for.
        let mut login = RedisConnectionInfo::default().set_db(db).set_protocol(protocol).set_skip_set_lib_name();
        if let Some(username) = &credentials.username {
            login = login.set_username(username);
        }
        if let Some(password) = &credentials.password {
            login = login.set_password(password.expose());
        }
        Ok(address.into_connection_info()?.set_tcp_settings(tcp()).set_redis_settings(login))
    }
}

/// Nothing waits to be sent, and a peer that is gone is found out.
pub(super) fn tcp() -> TcpSettings {
    let (idle, between) = KEEP_ALIVE;
    let keepalive = socket2::TcpKeepalive::new().with_time(idle).with_interval(between);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(UNACKNOWLEDGED);
    tcp
}
