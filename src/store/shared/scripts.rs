//! The scripts that run inside Redis. A server forgets them when it restarts: then the text is sent once more in place of its hash,
//! which needs no right to load scripts and goes to the one node that has the keys.

use std::sync::LazyLock;

use redis::{Cmd, Script, ToRedisArgs};

/// A script: its text and its hash.
pub(super) struct Lua {
    text: &'static str,
    hash: String,
}

/// A script's keys, which all stand in one slot, and its arguments.
pub(super) struct ScriptCall {
    script: &'static Lua,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Lua> =
            LazyLock::new(|| Lua::new(concat!($(include_str!(concat!("scripts/", $file))),+)));)*
    };
}

scripts! {
    CLAIM = "claim.lua";
    EXTEND = "lower.lua" "extend.lua";
    RELEASE = "release.lua";
    PUT = "lower.lua" "put.lua";
    REMOVE = "lower.lua" "remove.lua";
    RAISE = "lower.lua" "raise.lua";
    WITHDRAW = "withdraw.lua";
    HOLDS = "holds.lua";
    JOIN = "join.lua";
    ATTEMPT = "attempt.lua";
    PROBE = "probe.lua";
}

// === impl Lua ===

impl Lua {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }

    pub(super) fn call(&'static self) -> ScriptCall {
        ScriptCall { script: self, keys: Vec::new(), args: Vec::new() }
    }
}

// === impl ScriptCall ===

impl ScriptCall {
    pub(super) fn key(mut self, key: &str) -> Self {
        self.keys.push(key.as_bytes().to_vec());
        self
    }

    pub(super) fn keys(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |call, key| call.key(key))
    }

    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    /// Bytes as one argument.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.args.push(bytes.to_vec());
        self
    }

    /// The call by the script's hash.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// The call with the script's text, which the server remembers.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let size = self.keys.iter().chain(&self.args).map(Vec::len).sum::<usize>();
        let mut cmd = Cmd::with_capacity(3 + self.keys.len() + self.args.len(), size + script.len() + 16);
        cmd.arg(name).arg(script).arg(self.keys.len()).arg(&self.keys[..]).arg(&self.args[..]);
        cmd
    }
}
