//! Raising an epoch alone, where Redis has lost it.

use redis::Value;

use super::core::RedisRequest;
use super::handle::Shared;
use super::metrics::Op;
use super::scripts;
use super::types::{Note, Raised, StoreError};

impl Shared {
    /// Makes an epoch of eight bytes at least this one. To do it again does nothing more.
    ///
    /// # Errors
    /// There is no answer; it may have been done.
    pub async fn raise(&self, epoch: Note<'_>) -> Result<Raised, StoreError> {
        let ttl = u64::try_from(epoch.ttl.as_millis()).unwrap_or(u64::MAX);
        let call = scripts::RAISE.call().key(epoch.key).bytes(epoch.value).arg(ttl);
        match self.core.call(Op::Set, RedisRequest::Script(&call), self.write_timeout, self.patient).await? {
            Value::Int(0) => Ok(Raised::Stood),
            Value::Int(1) => Ok(Raised::Raised),
            Value::BulkString(higher) => Ok(Raised::Higher(higher.into())),
            _ => Err(StoreError::Failed),
        }
    }
}
