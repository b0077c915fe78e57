//! How a write is made that replicas must have.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::core::{Core, RedisRequest};
use super::metrics::Op;
use super::scripts::ScriptCall;
use super::types::StoreError;
use crate::telemetry;

impl Core {
    /// Makes a write that replicas must have, if that is asked for. Returns its answer and whether enough of them have it. Where
    /// the connection for these writes is of no use it is made over the usual one, and nobody acknowledges it.
    pub(super) async fn kept(
        self: &Arc<Self>,
        op: Op,
        key: &str,
        call: &ScriptCall,
        deadline: Duration,
        patient: bool,
    ) -> Result<(Value, bool), StoreError> {
        let request = RedisRequest::Script(call);
        let Some(acknowledged) = &self.acknowledged else { return Ok((self.call(op, request, deadline, patient).await?, true)) };
        let written = if self.may(op) {
            let (started, span) = (Instant::now(), telemetry::redis_span(op.as_str()));
            let written = acknowledged.write(key, call, deadline).await;
            drop(span);
            written.map(|written| (written, started))
        } else {
            None
        };
        let (value, have_it) = match written {
            Some((written, started)) => {
                self.settled(op, None, started, Instant::now());
                written
            }
            None => (self.call(op, request, deadline, patient).await?, false),
        };
        if !have_it {
            self.counts.unacknowledged(op);
        }
        Ok((value, have_it))
    }
}
