//! The script: rules that change what the next matching requests get.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    aadsts,
    answer::{Answer, Dress},
    call::Endpoint,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    on: On,
    /// How many requests it acts on; 0 is no limit.
    #[serde(default = "once")]
    times: u32,
    /// How many matching requests it lets pass before.
    #[serde(default)]
    skip: u32,
    #[serde(rename = "do")]
    effects: Effects,
}

/// Which requests: every member given must match.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct On {
    endpoint: Option<Endpoint>,
    grant_type: Option<String>,
    tenant: Option<String>,
    client_id: Option<String>,
    user: Option<String>,
    /// Part of the `scope` parameter.
    scope: Option<String>,
    /// Part of the path.
    path: Option<String>,
}

/// What happens to them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Effects {
    pub(crate) error: Option<ErrorBody>,
    pub(crate) aadsts: Option<u32>,
    pub(crate) raw: Option<Raw>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) hang: bool,
    pub(crate) hold: bool,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) close: bool,
    set: Map<String, Value>,
    pub(crate) expires_in: Option<i64>,
    pub(crate) refuse_replay: bool,
    gzip: bool,
    bom: bool,
    size: Option<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorBody {
    #[serde(default = "bad_request")]
    pub(crate) status: u16,
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) error_description: String,
    pub(crate) suberror: Option<String>,
    pub(crate) error_codes: Option<Vec<u32>>,
    /// The text of the challenge, or the challenge itself.
    pub(crate) claims: Option<Value>,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw {
    #[serde(default = "ok")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    /// Text as it stands; anything else as JSON.
    #[serde(default)]
    pub(crate) body: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throttle {
    #[serde(default = "too_many")]
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
}

/// What a rule can match of a request.
pub(crate) struct Facts {
    pub(crate) endpoint: Endpoint,
    pub(crate) grant_type: Option<String>,
    /// Every way to call it: as in the path, id, name, domains.
    pub(crate) tenant: Vec<String>,
    pub(crate) client_id: Option<String>,
    /// Every way to call the user that the request is about.
    pub(crate) user: Vec<String>,
    pub(crate) scope: String,
    pub(crate) path: String,
}

#[derive(Default)]
pub(crate) struct Script {
    rules: Vec<Live>,
}

struct Live {
    rule: Rule,
    matched: u32,
    /// Fires when those held by this rule may go on; further ones are not held then.
    released: CancellationToken,
}

fn once() -> u32 {
    1
}

fn ok() -> u16 {
    200
}

fn bad_request() -> u16 {
    400
}

fn too_many() -> u16 {
    429
}

// === impl Script ===

impl Script {
    /// Adds one rule or an array of them, all or none.
    pub(crate) fn add(&mut self, text: &[u8]) -> Result<usize, String> {
        let one_or_many: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let rules = match one_or_many {
            Value::Array(rules) => rules,
            rule => vec![rule],
        };
        let mut live = Vec::with_capacity(rules.len());
        for rule in rules {
            let rule: Rule = serde_json::from_value(rule).map_err(|error| error.to_string())?;
            rule.effects.check()?;
            live.push(Live { rule, matched: 0, released: CancellationToken::new() });
        }
        let added = live.len();
        self.rules.extend(live);
        Ok(added)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The effects of the first rule that acts on this request, and what to wait for if it holds.
    pub(crate) fn take(&mut self, facts: &Facts) -> Option<(Effects, CancellationToken)> {
        for live in &mut self.rules {
            let Rule { on, times, skip, effects } = &live.rule;
            let used_up = *times > 0 && live.matched >= skip.saturating_add(*times);
            if used_up || !on.matches(facts) {
                continue;
            }
            live.matched = live.matched.saturating_add(1);
            if live.matched > *skip {
                return Some((effects.clone(), live.released.clone()));
            }
        }
        None
    }

    /// Lets go what is held, and ends holding.
    pub(crate) fn release(&self) {
        for live in &self.rules {
            live.released.cancel();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.release();
        self.rules.clear();
    }

    pub(crate) fn describe(&self) -> Value {
        let rules = self.rules.iter().map(|live| json!({"rule": live.rule, "matched": live.matched}));
        rules.collect()
    }
}

// === impl On ===

impl On {
    fn matches(&self, facts: &Facts) -> bool {
        let among = |wanted: &Option<String>, names: &[String]| {
            wanted.as_ref().is_none_or(|wanted| names.iter().any(|name| name.eq_ignore_ascii_case(wanted)))
        };
        self.endpoint.is_none_or(|endpoint| endpoint == facts.endpoint)
            && (self.grant_type.is_none() || self.grant_type == facts.grant_type)
            && (self.client_id.is_none() || self.client_id == facts.client_id)
            && among(&self.tenant, &facts.tenant)
            && among(&self.user, &facts.user)
            && self.scope.as_ref().is_none_or(|part| facts.scope.contains(part))
            && self.path.as_ref().is_none_or(|part| facts.path.contains(part))
    }
}

// === impl Effects ===

impl Effects {
    fn check(&self) -> Result<(), String> {
        let replaces =
            [self.error.is_some(), self.aadsts.is_some(), self.raw.is_some(), self.throttle.is_some(), self.hang, self.close];
        let others = self.hold
            || self.refuse_replay
            || self.gzip
            || self.bom
            || self.delay_ms.is_some()
            || self.expires_in.is_some()
            || self.size.is_some()
            || !self.set.is_empty();
        match replaces.iter().filter(|set| **set).count() {
            0 if !others => return Err("`do` says nothing".to_owned()),
            0 | 1 => {}
            _ => return Err("`do` has more than one of error, aadsts, raw, throttle, hang, close".to_owned()),
        }
        if let Some(code) = self.aadsts.filter(|code| !aadsts::is_known(*code)) {
            return Err(format!("no built-in AADSTS{code}; use `error`"));
        }
        let statuses =
            [self.error.as_ref().map(|e| e.status), self.raw.as_ref().map(|r| r.status), self.throttle.as_ref().map(|t| t.status)];
        match statuses.into_iter().flatten().find(|status| !(200..=599).contains(status)) {
            Some(status) => Err(format!("{status} is no status of an answer")),
            None => Ok(()),
        }
    }

    pub(crate) fn change(&self, answer: &mut Answer) {
        answer.set(&self.set);
    }

    pub(crate) fn dress(&self) -> Dress {
        Dress { gzip: self.gzip, bom: self.bom, size: self.size }
    }
}
