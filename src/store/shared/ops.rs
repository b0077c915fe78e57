//! The calls that the shared store knows, as commands and scripts.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};

use super::core::{PROBES, Request};
use super::metrics::Op;
use super::scripts::{self, Call};
use super::types::{Claim, Claimed, Holder, Note, Placed, Put, Removed, Trouble};
use super::{PATIENT, Shared};

/// How many keys one command reads at most: a long one holds up all others.
const AT_ONCE: usize = 256;

type Answer<T> = Result<T, Trouble>;

impl Shared {
    /// The values of keys in one slot.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn read(&self, keys: &[&str]) -> Answer<Vec<Option<Bytes>>> {
        match keys {
            [] => Ok(Vec::new()),
            [key] => Ok(vec![maybe_bytes(self.plain(Op::Read, redis::cmd("GET").arg(key)).await?)?]),
            keys => many(self.plain(Op::Read, redis::cmd("MGET").arg(keys)).await?, keys.len()),
        }
    }

    /// The values of keys in any slots. One failure fails all.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn read_each(&self, keys: &[String]) -> Answer<Vec<Option<Bytes>>> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let at_once = if self.core.link.dialer().is_cluster() { 1 } else { AT_ONCE };
        let reads = keys.chunks(at_once).map(|keys| self.read(keys));
        Ok(futures_util::future::try_join_all(reads).await?.concat())
    }

    /// The newest members of an index, the highest score first, at most `most`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn members(&self, key: &str, most: usize) -> Answer<Vec<Bytes>> {
        let Some(last) = most.checked_sub(1) else { return Ok(Vec::new()) };
        let members = array(self.plain(Op::Members, redis::cmd("ZREVRANGE").arg(key).arg(0).arg(last)).await?)?;
        members.into_iter().map(bytes).collect()
    }

    /// Takes a lease if it is free or lapsed, and reads in the same step. All keys are in one slot.
    ///
    /// # Errors
    /// There is no answer; the lease may have been taken.
    pub async fn claim(&self, claim: &Claim<'_>) -> Answer<Claimed> {
        let mut call = scripts::CLAIM.call().key(claim.lease).key(claim.outcome).keys(claim.reads);
        let lapsed = claim.lapsed.map(|holder| holder.bytes());
        let lapsed = lapsed.as_ref().map_or(&[][..], |holder| &holder[..]);
        call = call.bytes(&Holder::new(*claim.owner).bytes()).arg(millis(claim.ttl)).bytes(lapsed);
        for followed in claim.followed {
            call = call.bytes(followed);
        }
        let answer = array(self.script(Op::Claim, &call).await?)?;
        let [won, holder, outcome, values] = <[Value; 4]>::try_from(answer).map_err(|_| Trouble::Failed)?;
        Ok(Claimed {
            won: number(&won)? == 1,
            holder: maybe_bytes(holder)?.and_then(|holder| Holder::read(&holder)),
            outcome: maybe_bytes(outcome)?,
            values: many(values, claim.reads.len())?,
        })
    }

    /// Renews a lease that is still the same owner's. `false`: it is not. One that is gone is written `anew`, or lost.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn extend(&self, lease: &str, holder: &Holder, ttl: Duration, anew: bool) -> Answer<bool> {
        let call = scripts::EXTEND.call().key(lease).bytes(&holder.bytes()).arg(millis(ttl)).arg(u8::from(anew));
        Ok(number(&self.script(Op::Extend, &call).await?)? == 1)
    }

    /// Gives a lease back, leaving an outcome for the followers, unless somebody else has it by now.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn release(&self, lease: &str, owner: &[u8; 16], outcome: Option<Note<'_>>) -> Answer<()> {
        let mut call = scripts::RELEASE.call().key(lease).bytes(owner);
        if let Some(outcome) = outcome {
            call = call.key(outcome.key).bytes(outcome.value).arg(millis(outcome.ttl));
        }
        self.script(Op::Release, &call).await.map(drop)
    }

    /// Stores a value if it is newer than what is there. All keys are in one slot.
    ///
    /// # Errors
    /// There is no answer; the value may have been stored.
    pub async fn put(&self, put: &Put<'_>) -> Answer<Placed> {
        // What has no generation is no base of anything: it is written over.
        let base = put.base.map(|base| format!("{base:016x}")).unwrap_or_default();
        let outcome = put.lease.and_then(|lease| lease.outcome);
        let flags: String =
            [('e', put.epoch.is_some()), ('i', put.index.is_some()), ('l', put.lease.is_some()), ('o', outcome.is_some())]
                .into_iter()
                .filter_map(|(flag, is_there)| is_there.then_some(flag))
                .collect();
        let mut call = scripts::PUT.call().key(put.key).arg(flags).bytes(put.value).arg(millis(put.ttl)).arg(base);
        if let Some(epoch) = put.epoch {
            call = call.key(epoch.key).bytes(epoch.named);
        }
        if let Some(index) = put.index {
            call = call.key(index.key).bytes(index.member).arg(index.expires_on).arg(index.now).arg(index.most);
        }
        if let Some(lease) = put.lease {
            call = call.key(lease.key).bytes(lease.owner);
        }
        if let Some(outcome) = outcome {
            call = call.key(outcome.key).bytes(outcome.value).arg(millis(outcome.ttl));
        }
        let answer = if put.grant {
            // It counts whoever has it: the older one may be used up, and nobody is helped by an error.
            self.kept(Op::Put, put.key, &call).await?.0
        } else {
            self.script(Op::Put, &call).await?
        };
        match answer {
            Value::Int(1) => Ok(Placed::Stored),
            Value::Int(2) => Ok(Placed::SignedOut),
            Value::Int(3) => Ok(Placed::Lost),
            Value::BulkString(stale) => Ok(Placed::Stale(stale.into())),
            _ => Err(Trouble::Failed),
        }
    }

    /// Deletes, and raises an epoch to one of eight bytes if any of these keys was there, the epoch's own included, or `always`; in one
    /// step, all keys are in one slot. To do it again does nothing more.
    ///
    /// # Errors
    /// There is no answer; it may have been done.
    pub async fn remove(&self, epoch: Note<'_>, keys: &[&str], always: bool) -> Answer<Removed> {
        let call = scripts::REMOVE.call().key(epoch.key).keys(keys).bytes(epoch.value).arg(millis(epoch.ttl)).arg(u8::from(always));
        let (answer, have_it) = self.kept(Op::Remove, epoch.key, &call).await?;
        match answer {
            Value::BulkString(higher) => Ok(Removed::Higher(higher.into())),
            // Done here, and perhaps undone by the next failover: whoever asks again does no harm.
            existed => if have_it { number(&existed).map(Removed::Done) } else { Err(Trouble::Failed) },
        }
    }

    /// Deletes a value if it still has this generation.
    ///
    /// # Errors
    /// There is no answer; it may have been done.
    pub async fn withdraw(&self, key: &str, generation: u64) -> Answer<()> {
        let call = scripts::WITHDRAW.call().key(key).arg(format!("{generation:016x}"));
        self.ask(Op::Clear, Request::Script(&call), self.write_timeout).await.map(drop)
    }

    /// The values of keys in one slot, each with what is left of its time.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn holds(&self, keys: &[&str]) -> Answer<Vec<Option<(Bytes, Duration)>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let call = scripts::HOLDS.call().keys(keys);
        let mut answer = array(self.script(Op::Holds, &call).await?)?.into_iter();
        let mut held = Vec::with_capacity(keys.len());
        while let (Some(value), Some(left)) = (answer.next(), answer.next()) {
            // A key without a time, or that ends this moment, says -1 or -2.
            let left = Duration::from_millis(number(&left).unwrap_or_default());
            held.push(maybe_bytes(value)?.map(|value| (value, left)));
        }
        if held.len() == keys.len() { Ok(held) } else { Err(Trouble::Failed) }
    }

    /// Keeps a value for a while.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn set(&self, note: Note<'_>) -> Answer<()> {
        let mut cmd = redis::cmd("SET");
        self.plain(Op::Set, cmd.arg(note.key).arg(note.value).arg("PX").arg(millis(note.ttl))).await.map(drop)
    }

    /// Keeps a value for a while unless the key has one. Returns whether it had none.
    ///
    /// # Errors
    /// There is no answer; it may have been set.
    pub async fn set_if_absent(&self, note: Note<'_>) -> Answer<bool> {
        let mut cmd = redis::cmd("SET");
        let answer = self.plain(Op::Set, cmd.arg(note.key).arg(note.value).arg("NX").arg("PX").arg(millis(note.ttl))).await?;
        Ok(answer != Value::Nil)
    }

    /// The keys of the markers. Whoever finds another value than before there, or none, knows that the store, or a master of a cluster,
    /// is not what it was. In a cluster they fall into different slots, so that every master is likely to have one.
    pub fn markers(&self) -> Vec<String> {
        let prefix = &self.core.prefix;
        if self.core.link.dialer().is_cluster() {
            (0..PROBES).map(|number| format!("{prefix}:m:{number}")).collect()
        } else {
            vec![format!("{prefix}:m")]
        }
    }

    /// Deletes keys, which are in one slot.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn clear(&self, keys: &[&str]) -> Answer<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.plain(Op::Clear, redis::cmd("DEL").arg(keys)).await.map(drop)
    }

    /// Adds a member to a set for a while; the set lives for at least as long. Members whose time is over leave.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn join(&self, set: &str, member: &[u8], ttl: Duration) -> Answer<()> {
        let now = self.core.clock.unix();
        let ends = now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let call = scripts::JOIN.call().key(set).bytes(member).arg(millis(ttl)).arg(ends).arg(now);
        self.script(Op::Join, &call).await.map(drop)
    }

    /// Takes members out of a set.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn leave(&self, set: &str, members: &[Bytes]) -> Answer<()> {
        if members.is_empty() {
            return Ok(());
        }
        let mut cmd = redis::cmd("ZREM");
        cmd.arg(set);
        for member in members {
            cmd.arg(&member[..]);
        }
        self.plain(Op::Leave, &cmd).await.map(drop)
    }

    /// Some members of a set, about `count`, and where to go on; 0 begins and ends. A member may come twice.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn scan(&self, set: &str, cursor: u64, count: usize) -> Answer<(u64, Vec<Bytes>)> {
        let mut cmd = redis::cmd("ZSCAN");
        let answer = array(self.plain(Op::Scan, cmd.arg(set).arg(cursor).arg("COUNT").arg(count.max(1))).await?)?;
        if answer.is_empty() {
            return Ok((0, Vec::new()));
        }
        let [next, found] = <[Value; 2]>::try_from(answer).map_err(|_| Trouble::Failed)?;
        let next = bytes(next)?;
        let next = std::str::from_utf8(&next).ok().and_then(|next| next.parse().ok()).ok_or(Trouble::Failed)?;
        // Every second one is a score.
        Ok((next, array(found)?.into_iter().step_by(2).map(bytes).collect::<Answer<_>>()?))
    }

    /// Tells all who listen.
    ///
    /// # Errors
    /// There is no answer; they may have been told.
    pub async fn publish(&self, message: &[u8]) -> Answer<()> {
        let command = if self.core.link.dialer().is_cluster() { "SPUBLISH" } else { "PUBLISH" };
        self.plain(Op::Publish, redis::cmd(command).arg(&*self.channel).arg(message)).await?;
        self.core.counts.sent.inc();
        Ok(())
    }

    async fn plain(&self, op: Op, cmd: &Cmd) -> Answer<Value> {
        self.ask(op, Request::Plain(cmd), self.core.timeout).await
    }

    async fn script(&self, op: Op, call: &Call) -> Answer<Value> {
        self.ask(op, Request::Script(call), self.core.timeout).await
    }

    /// Every call of this file goes through here. Each of them may be made twice where the first answer was lost: it says so.
    async fn ask(&self, op: Op, request: Request<'_>, deadline: Duration) -> Answer<Value> {
        let deadline = if self.patient { deadline.max(PATIENT) } else { deadline };
        // Boxed: this future goes into many others, and next to a round trip that costs nothing.
        Box::pin(self.core.call(op, request, deadline, self.patient)).await
    }

    /// A write that replicas must have, if the configuration asks for it. Returns the answer and whether they have it.
    async fn kept(&self, op: Op, key: &str, call: &Call) -> Answer<(Value, bool)> {
        let deadline = if self.patient { self.write_timeout.max(PATIENT) } else { self.write_timeout };
        Box::pin(self.core.kept(op, key, call, deadline, self.patient)).await
    }
}

/// In whole milliseconds; Redis refuses none at all.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 52)
}

fn maybe_bytes(value: Value) -> Answer<Option<Bytes>> {
    match value {
        Value::Nil => Ok(None),
        value => bytes(value).map(Some),
    }
}

fn bytes(value: Value) -> Answer<Bytes> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::SimpleString(text) => Ok(text.into()),
        _ => Err(Trouble::Failed),
    }
}

fn array(value: Value) -> Answer<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        // Nothing of the type that was asked for.
        Value::Nil => Ok(Vec::new()),
        _ => Err(Trouble::Failed),
    }
}

fn many(value: Value, expected: usize) -> Answer<Vec<Option<Bytes>>> {
    let values = array(value)?;
    if values.len() != expected {
        return Err(Trouble::Failed);
    }
    values.into_iter().map(maybe_bytes).collect()
}

fn number(value: &Value) -> Answer<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| Trouble::Failed),
        _ => Err(Trouble::Failed),
    }
}
