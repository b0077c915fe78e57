//! The calls that the shared store knows, as commands and scripts.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use redis::{Cmd, Pipeline, Value};

use super::core::{PROBES, RedisRequest};
use super::handle::Shared;
use super::metrics::Op;
use super::scripts::{self, ScriptCall};
use super::types::{Claim, Claimed, Holder, Mark, Note, PATIENT, Page, Placed, Put, Removed, StoreError};

/// How many keys one command reads at most: a long one holds up all others.
const AT_ONCE: usize = 256;
/// How many members a page asks for at least: those of one score that were listed before are among them.
const LEAST: usize = 32;
/// For how long members of a set outlive their time, in seconds.
const GRACE: i64 = 24 * 3600;

type StoreResult<T> = Result<T, StoreError>;

impl Shared {
    /// The values of keys in one slot.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn read(&self, keys: &[&str]) -> StoreResult<Vec<Option<Bytes>>> {
        match keys {
            [] => Ok(Vec::new()),
            [key] => Ok(vec![maybe_bytes(self.plainly_read(redis::cmd("GET").arg(key)).await?)?]),
            keys => many(self.plainly_read(redis::cmd("MGET").arg(keys)).await?, keys.len()),
        }
    }

    /// The values of the keys, and what is left of the first key's time; `None`: it is not there, or has no end.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn read_timed(&self, keys: &[&str]) -> StoreResult<(Vec<Option<Bytes>>, Option<Duration>)> {
        let Some(first) = keys.first() else { return Ok((Vec::new(), None)) };
        let size = keys.iter().map(|key| key.len()).sum::<usize>();
        let (mut read, mut left) = (Cmd::with_capacity(1 + keys.len(), size + 4), Cmd::with_capacity(2, first.len() + 4));
        read.arg(if keys.len() == 1 { "GET" } else { "MGET" }).arg(keys);
        left.arg("PTTL").arg(first);
        // In one go, so that the time is that of this value and of no later one.
        let mut both = Pipeline::with_capacity(2);
        both.add_command(read).add_command(left);
        let answer = array(self.ask(Op::Read, RedisRequest::Batch(&both), self.core.timeout).await?)?;
        if answer.is_empty() {
            // It is of another type.
            return Ok((vec![None; keys.len()], None));
        }
        let [values, left] = <[Value; 2]>::try_from(answer).map_err(|_| StoreError::Failed)?;
        let values = if keys.len() == 1 { vec![maybe_bytes(values)?] } else { many(values, keys.len())? };
        Ok((values, time_left(&left)))
    }

    /// The values of keys in any slots. One failure fails all.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn read_each(&self, keys: &[String]) -> StoreResult<Vec<Option<Bytes>>> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let at_once = if self.core.link.dialer().is_cluster() { 1 } else { AT_ONCE };
        let reads = keys.chunks(at_once).map(|keys| self.read(keys));
        Ok(futures_util::future::try_join_all(reads).await?.concat())
    }

    /// The values of groups of keys, those of a group in one slot, in the order of the groups. One failure fails all.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn read_groups<const N: usize>(&self, groups: &[[String; N]]) -> StoreResult<Vec<[Option<Bytes>; N]>> {
        let keys: Vec<&str> = groups.iter().flatten().map(String::as_str).collect();
        let reads = keys.chunks(self.groups_at_once(N) * N.max(1)).map(|keys| self.read(keys));
        let mut values = futures_util::future::try_join_all(reads).await?.into_iter().flatten();
        Ok(groups.iter().map(|_| std::array::from_fn(|_| values.next().flatten())).collect())
    }

    /// Whether any key of each group is there; those of a group are in one slot. Nothing is read of what is there.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn any_there<const N: usize>(&self, groups: &[[String; N]]) -> StoreResult<Vec<bool>> {
        let keys: Vec<&str> = groups.iter().flatten().map(String::as_str).collect();
        let asked = keys.chunks(self.groups_at_once(N) * N.max(1)).map(|keys| self.there(keys));
        let there = futures_util::future::try_join_all(asked).await?.concat();
        Ok(there.chunks(N.max(1)).map(|group| group.contains(&true)).collect())
    }

    async fn there(&self, keys: &[&str]) -> StoreResult<Vec<bool>> {
        let mut all = redis::pipe();
        for key in keys {
            all.cmd("PTTL").arg(key);
        }
        let answer = array(self.ask(Op::Read, RedisRequest::Batch(&all), self.core.timeout).await?)?;
        // What has no end says -1, and what is not there -2.
        let there: Vec<bool> = answer.iter().map(|left| *left != Value::Int(-2)).collect();
        if there.len() == keys.len() { Ok(there) } else { Err(StoreError::Failed) }
    }

    /// How many groups of so many keys are asked for together: in a cluster those that are in one slot.
    fn groups_at_once(&self, keys: usize) -> usize {
        if self.core.link.dialer().is_cluster() { 1 } else { (AT_ONCE / keys.max(1)).max(1) }
    }

    /// The newest members of an index, the highest score first, at most `most`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn members(&self, key: &str, most: usize) -> StoreResult<Vec<Bytes>> {
        let Some(last) = most.checked_sub(1) else { return Ok(Vec::new()) };
        let members = array(self.plain(Op::Members, redis::cmd("ZREVRANGE").arg(key).arg(0).arg(last)).await?)?;
        members.into_iter().map(bytes).collect()
    }

    /// Takes a lease if it is free or lapsed, and reads in the same step. All keys are in one slot.
    ///
    /// # Errors
    /// There is no answer; the lease may have been taken.
    pub async fn claim(&self, claim: &Claim<'_>) -> StoreResult<Claimed> {
        let mut call = scripts::CLAIM.call().key(claim.lease).key(claim.outcome).keys(claim.reads);
        let lapsed = claim.lapsed.map(|holder| holder.bytes());
        let lapsed = lapsed.as_ref().map_or(&[][..], |holder| &holder[..]);
        call = call.bytes(&Holder::new(*claim.owner).bytes()).arg(millis(claim.ttl)).bytes(lapsed);
        for followed in claim.followed {
            call = call.bytes(followed);
        }
        let answer = array(self.script(Op::Claim, &call).await?)?;
        let [won, holder, outcome, values] = <[Value; 4]>::try_from(answer).map_err(|_| StoreError::Failed)?;
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
    pub async fn extend(&self, lease: &str, holder: &Holder, ttl: Duration, anew: bool) -> StoreResult<bool> {
        let call = scripts::EXTEND.call().key(lease).bytes(&holder.bytes()).arg(millis(ttl)).arg(u8::from(anew));
        Ok(number(&self.script(Op::Extend, &call).await?)? == 1)
    }

    /// Gives a lease back, leaving an outcome for the followers, unless somebody else has it by now.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn release(&self, lease: &str, owner: &[u8; 16], outcome: Option<Note<'_>>) -> StoreResult<()> {
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
    pub async fn put(&self, put: &Put<'_>) -> StoreResult<Placed> {
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
            _ => Err(StoreError::Failed),
        }
    }

    /// Deletes, and raises an epoch to one of eight bytes if any of these keys was there, the epoch's own included, or `always`; in
    /// one step, all keys are in one slot. To do it again does nothing more.
    ///
    /// # Errors
    /// There is no answer; it may have been done.
    pub async fn remove(&self, epoch: Note<'_>, keys: &[&str], always: bool) -> StoreResult<Removed> {
        let call = scripts::REMOVE.call().key(epoch.key).keys(keys).bytes(epoch.value).arg(millis(epoch.ttl)).arg(u8::from(always));
        let (answer, have_it) = self.kept(Op::Remove, epoch.key, &call).await?;
        match answer {
            Value::BulkString(higher) => Ok(Removed::Higher(higher.into())),
            // Done here, and perhaps undone by the next failover: whoever asks again does no harm.
            existed => {
                if have_it {
                    number(&existed).map(Removed::Done)
                } else {
                    Err(StoreError::Failed)
                }
            }
        }
    }

    /// Deletes a value if it still has this generation.
    ///
    /// # Errors
    /// There is no answer; it may have been done.
    pub async fn withdraw(&self, key: &str, generation: u64) -> StoreResult<()> {
        let call = scripts::WITHDRAW.call().key(key).arg(format!("{generation:016x}"));
        self.ask(Op::Clear, RedisRequest::Script(&call), self.write_timeout).await.map(drop)
    }

    /// The values of keys in one slot, each with what is left of its time.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn holds(&self, keys: &[&str]) -> StoreResult<Vec<Option<(Bytes, Duration)>>> {
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
        if held.len() == keys.len() { Ok(held) } else { Err(StoreError::Failed) }
    }

    /// Keeps a value for a while.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn set(&self, note: Note<'_>) -> StoreResult<()> {
        let mut cmd = redis::cmd("SET");
        self.plain(Op::Set, cmd.arg(note.key).arg(note.value).arg("PX").arg(millis(note.ttl))).await.map(drop)
    }

    /// Keeps a value for a while unless the key has one. Returns whether it had none.
    ///
    /// # Errors
    /// There is no answer; it may have been set.
    pub async fn set_if_absent(&self, note: Note<'_>) -> StoreResult<bool> {
        let mut cmd = redis::cmd("SET");
        let answer = self.plain(Op::Set, cmd.arg(note.key).arg(note.value).arg("NX").arg("PX").arg(millis(note.ttl))).await?;
        Ok(answer != Value::Nil)
    }

    /// The keys of the markers. Another value than before, or none, tells that the store, or a master of a cluster, has lost what
    /// it had. In a cluster they fall into different slots, so that every master is likely to have one.
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
    pub async fn clear(&self, keys: &[&str]) -> StoreResult<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.plain(Op::Clear, redis::cmd("DEL").arg(keys)).await.map(drop)
    }

    /// Adds a member to a set for a while, or for longer than it is there already; the set lives for at least as long. Members
    /// leave a day after their time is over: another replica's clock may say that it is not.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn join(&self, set: &str, member: &[u8], ttl: Duration) -> StoreResult<()> {
        let now = self.core.clock.unix();
        let ends = now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let call = scripts::JOIN.call().key(set).bytes(member).arg(millis(ttl)).arg(ends).arg(now.saturating_sub(GRACE));
        self.script(Op::Join, &call).await.map(drop)
    }

    /// Notes an attempt in a set, if there were fewer than `most` within the last `window`. Returns how long ago the oldest of them
    /// was if there is no room, by this process's clock.
    ///
    /// # Errors
    /// There is no answer; it may have been noted.
    pub async fn attempt(&self, set: &str, attempt: &[u8], window: Duration, most: usize) -> StoreResult<Option<Duration>> {
        let now = self.core.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let (at, since) = (now.to_string(), now.saturating_sub(window.as_millis()).to_string());
        let call = scripts::ATTEMPT.call().key(set).bytes(attempt).arg(at).arg(since).arg(most).arg(millis(window));
        match maybe_bytes(self.script(Op::Attempt, &call).await?)? {
            None => Ok(None),
            Some(oldest) => {
                let oldest = std::str::from_utf8(&oldest).ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a moment in milliseconds fits")]
                let ago = now.saturating_sub(oldest.max(0.0) as u128);
                Ok(Some(Duration::from_millis(u64::try_from(ago).unwrap_or(u64::MAX))))
            }
        }
    }

    /// Takes members out of a set.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn leave(&self, set: &str, members: &[Bytes]) -> StoreResult<()> {
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

    /// At most `count` members of a set that come after a mark, in the order of scores and, where these are equal, of members. That
    /// order is the set's own: it is the same after a restart and on another server.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn page(&self, set: &str, after: Option<&Mark>, count: usize) -> StoreResult<Page> {
        let count = count.max(1);
        let mut most = count.saturating_add(1).max(LEAST);
        loop {
            let mut cmd = redis::cmd("ZRANGEBYSCORE");
            match after {
                Some(mark) => cmd.arg(set).arg(mark.score.to_string()),
                None => cmd.arg(set).arg("-inf"),
            };
            cmd.arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(most);
            let found = marks(self.plain(Op::Page, &cmd).await?)?;
            let is_all = found.len() < most;
            // At the mark's own score those come first that came before.
            let mut marks: Vec<Mark> = found.into_iter().filter(|mark| after.is_none_or(|after| mark.is_after(after))).collect();
            if marks.is_empty() && !is_all {
                // More than were asked for have this score: asked anew, because some may have left meanwhile.
                most = most.saturating_mul(2);
                continue;
            }
            let is_last = is_all && marks.len() <= count;
            marks.truncate(count);
            return Ok(Page { marks, is_last });
        }
    }

    /// Tells all who listen.
    ///
    /// # Errors
    /// There is no answer; they may have been told.
    pub async fn publish(&self, message: &[u8]) -> StoreResult<()> {
        let command = if self.core.link.dialer().is_cluster() { "SPUBLISH" } else { "PUBLISH" };
        self.plain(Op::Publish, redis::cmd(command).arg(&*self.channel).arg(message)).await?;
        self.core.counts.sent.inc();
        Ok(())
    }

    /// As [`Self::plain`], and not boxed where that is all it needs: each hit in Redis is such a read.
    async fn plainly_read(&self, cmd: &Cmd) -> StoreResult<Value> {
        if self.patient {
            return self.plain(Op::Read, cmd).await;
        }
        self.core.call(Op::Read, RedisRequest::Plain(cmd), self.core.timeout, false).await
    }

    async fn plain(&self, op: Op, cmd: &Cmd) -> StoreResult<Value> {
        self.ask(op, RedisRequest::Plain(cmd), self.core.timeout).await
    }

    async fn script(&self, op: Op, call: &ScriptCall) -> StoreResult<Value> {
        self.ask(op, RedisRequest::Script(call), self.core.timeout).await
    }

    /// Every call of this file goes through here, but for plain reads. Each of them may be made twice where the first answer was
    /// lost: it says so.
    async fn ask(&self, op: Op, request: RedisRequest<'_>, deadline: Duration) -> StoreResult<Value> {
        let deadline = if self.patient { deadline.max(PATIENT) } else { deadline };
        // Boxed, and its type forgotten: this future goes into many others, and next to a round trip that costs nothing.
        self.core.call(op, request, deadline, self.patient).boxed().await
    }

    /// A write that replicas must have, if the configuration asks for it. Returns the answer and whether they have it.
    async fn kept(&self, op: Op, key: &str, call: &ScriptCall) -> StoreResult<(Value, bool)> {
        let deadline = if self.patient { self.write_timeout.max(PATIENT) } else { self.write_timeout };
        Box::pin(self.core.kept(op, key, call, deadline, self.patient)).await
    }
}

/// In whole milliseconds; Redis refuses none at all.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 52)
}

/// What `PTTL` said: a key that is not there or has no end says a negative number.
fn time_left(value: &Value) -> Option<Duration> {
    number(value).ok().map(Duration::from_millis)
}

/// Members and scores in turn.
fn marks(value: Value) -> StoreResult<Vec<Mark>> {
    let values = array(value)?;
    let mut marks = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(member), Some(score)) = (values.next(), values.next()) {
        let score = bytes(score)?;
        let score = std::str::from_utf8(&score).ok().and_then(|score| score.parse().ok()).ok_or(StoreError::Failed)?;
        marks.push(Mark { score, member: bytes(member)? });
    }
    Ok(marks)
}

fn maybe_bytes(value: Value) -> StoreResult<Option<Bytes>> {
    match value {
        Value::Nil => Ok(None),
        value => bytes(value).map(Some),
    }
}

fn bytes(value: Value) -> StoreResult<Bytes> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::SimpleString(text) => Ok(text.into()),
        _ => Err(StoreError::Failed),
    }
}

fn array(value: Value) -> StoreResult<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        // Nothing of the type that was asked for.
        Value::Nil => Ok(Vec::new()),
        _ => Err(StoreError::Failed),
    }
}

fn many(value: Value, expected: usize) -> StoreResult<Vec<Option<Bytes>>> {
    let values = array(value)?;
    if values.len() != expected {
        return Err(StoreError::Failed);
    }
    values.into_iter().map(maybe_bytes).collect()
}

fn number(value: &Value) -> StoreResult<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| StoreError::Failed),
        _ => Err(StoreError::Failed),
    }
}
