//! Whether Redis still is what it was: markers that whoever has lost its data does not have, and how often the connection was made anew.

use redis::Value;

use super::Shared;
use super::core::{PROBES, Request};
use super::metrics::Op;
use super::types::{Note, Trouble};

impl Shared {
    /// The names of the markers: one key, in a cluster several, so that each master is likely to have one.
    pub fn markers(&self) -> Vec<String> {
        let prefix = &self.core.prefix;
        if self.core.link.dialer().is_cluster() {
            (0..PROBES).map(|number| format!("{prefix}:m:{number}")).collect()
        } else {
            vec![format!("{prefix}:m")]
        }
    }

    /// Keeps a value for a while where there is none. Returns whether there was none.
    ///
    /// # Errors
    /// There is no answer; it may have been set.
    pub async fn set_if_absent(&self, note: Note<'_>) -> Result<bool, Trouble> {
        let ttl = u64::try_from(note.ttl.as_millis()).unwrap_or(u64::MAX);
        let mut cmd = redis::cmd("SET");
        cmd.arg(note.key).arg(note.value).arg("NX").arg("PX").arg(ttl);
        let answer = self.core.call(Op::Set, Request::Plain(&cmd), self.core.timeout).await?;
        Ok(answer != Value::Nil)
    }

    /// How often the connection for calls was made anew: it may lead to another master since.
    pub fn reconnects(&self) -> u64 {
        self.core.counts.reconnects.get()
    }
}
