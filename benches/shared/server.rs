//! A Redis of the benchmark's own: on loopback, nothing on disk, ended with the value.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _};

/// How often it is asked whether it answers by now, ten milliseconds apart.
const ATTEMPTS: usize = 500;

/// A running server.
pub(crate) struct Redis {
    child: Child,
    port: u16,
}

// === impl Redis ===

impl Redis {
    /// Starts one; `None`: there is no `redis-server` here.
    pub(crate) async fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]).arg(port.to_string());
        let child = command.current_dir(std::env::temp_dir()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let redis = Self { child, port };
        for _ in 0..ATTEMPTS {
            if let Ok(mut connection) = redis.connect().await
                && redis.is_ours(&mut connection).await
            {
                return Some(redis);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The connection to compare with: nothing waits to be sent, and no call has a timer.
    pub(crate) async fn bare(&self) -> MultiplexedConnection {
        self.connect().await.expect("a connection")
    }

    /// The names of all tokens.
    pub(crate) async fn tokens(&self) -> Vec<String> {
        redis::cmd("KEYS").arg("*}:t:*").query_async(&mut self.bare().await).await.expect("the names")
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let info = ConnectionAddr::Tcp("127.0.0.1".to_owned(), self.port).into_connection_info()?;
        let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))?;
        client.get_multiplexed_async_connection_with_config(&AsyncConnectionConfig::new().set_response_timeout(None)).await
    }

    /// Not somebody else's who has the port.
    async fn is_ours(&self, connection: &mut MultiplexedConnection) -> bool {
        let info: String = redis::cmd("INFO").arg("server").query_async(connection).await.unwrap_or_default();
        info.lines().any(|line| line.trim_end() == format!("process_id:{}", self.child.id()))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}
