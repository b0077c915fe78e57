//! What went wrong with a call to Redis, as far as somebody does something about it. Nothing here quotes an error:
//! it may hold keys.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallFault {
    /// No answer in time.
    TimedOut,
    /// No connection yet, and it is being made.
    Connecting,
    /// No connection, or a broken one.
    Broken,
    /// The server is a replica.
    ReadOnly,
    /// The memory is full, or the server cannot persist or replicate.
    Full,
    /// The user may not do this.
    Forbidden,
    /// The user or the password is wrong, or missing.
    Unauthenticated,
    /// The server or the cluster is not ready.
    NotReady,
    /// The slot is on its way from one node of a cluster to another, or moved a moment ago: nothing is wrong with any other.
    Migrating,
    /// The key holds something of another type: nothing is wrong with the server.
    WrongType,
    /// Anything else.
    Other,
}

// === impl CallFault ===

impl CallFault {
    /// Whether only writes are concerned.
    pub(super) fn concerns_writes(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Full)
    }

    /// For the metric's label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timeout",
            Self::Connecting => "connecting",
            Self::Broken => "io",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Forbidden | Self::Unauthenticated => "refused",
            Self::NotReady => "not_ready",
            Self::Migrating => "migrating",
            Self::WrongType | Self::Other => "error",
        }
    }
}

impl From<&RedisError> for CallFault {
    fn from(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Self::TimedOut,
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound => Self::Broken,
            ErrorKind::AuthenticationFailed => Self::Unauthenticated,
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Forbidden,
            ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown) => {
                Self::NotReady
            }
            ErrorKind::Server(ServerErrorKind::TryAgain | ServerErrorKind::Moved | ServerErrorKind::Ask) => Self::Migrating,
            _ => Self::of_code(error.code().unwrap_or_default(), error.detail().unwrap_or_default()),
        }
    }
}

impl CallFault {
    fn of_code(code: &str, detail: &str) -> Self {
        match code {
            "OOM" | "MISCONF" | "NOREPLICAS" => Self::Full,
            "NOAUTH" | "WRONGPASS" => Self::Unauthenticated,
            "BUSY" | "UNBLOCKED" => Self::NotReady,
            "WRONGTYPE" => Self::WrongType,
            // Servers before Redis 7 wrap what a command inside a script was refused for.
            _ if detail.contains("-OOM ") || detail.contains("-MISCONF ") || detail.contains("-NOREPLICAS ") => Self::Full,
            _ if detail.contains("-READONLY ") => Self::ReadOnly,
            _ if detail.contains("WRONGTYPE ") => Self::WrongType,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, RedisError};

    use super::CallFault;

    #[test]
    fn refusals_are_told_apart() {
        for (code, detail, fault) in [
            ("OOM", "command not allowed", CallFault::Full),
            ("MISCONF", "", CallFault::Full),
            ("NOREPLICAS", "", CallFault::Full),
            ("WRONGPASS", "", CallFault::Unauthenticated),
            ("NOAUTH", "", CallFault::Unauthenticated),
            ("WRONGTYPE", "", CallFault::WrongType),
            ("BUSY", "", CallFault::NotReady),
            ("ERR", "Error running script (call to f_1): @user_script:1: -OOM command not allowed", CallFault::Full),
            ("ERR", "Error running script (call to f_1): @user_script:1: -READONLY You can't", CallFault::ReadOnly),
            ("ERR", "syntax error", CallFault::Other),
        ] {
            assert_eq!(CallFault::of_code(code, detail), fault, "{code} {detail}");
        }
    }

    #[test]
    fn broken_connections_are_told_from_slow_ones() {
        let io = |kind| CallFault::from(&RedisError::from(std::io::Error::from(kind)));
        assert_eq!(io(std::io::ErrorKind::TimedOut), CallFault::TimedOut);
        assert_eq!(io(std::io::ErrorKind::ConnectionReset), CallFault::Broken);
        assert_eq!(io(std::io::ErrorKind::ConnectionRefused), CallFault::Broken);
        assert_eq!(CallFault::from(&RedisError::from((ErrorKind::AuthenticationFailed, "no"))), CallFault::Unauthenticated);
        assert_eq!(CallFault::from(&RedisError::from((ErrorKind::ClusterConnectionNotFound, "no"))), CallFault::Broken);
    }
}
