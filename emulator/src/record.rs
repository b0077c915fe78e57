//! The requests that were received, for tests to look at what a client really sent.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::call::{Call, Endpoint};

/// Beyond this the oldest entries go; `seq` goes on counting.
const KEPT: usize = 20_000;

#[derive(Default)]
pub(crate) struct Record {
    last: u64,
    entries: VecDeque<Entry>,
}

#[derive(Serialize)]
struct Entry {
    seq: u64,
    /// Unix seconds with milliseconds, by the emulator's clock.
    at: f64,
    method: String,
    host: String,
    path: String,
    query: String,
    tenant: Option<String>,
    endpoint: Endpoint,
    grant_type: Option<String>,
    form: Map<String, Value>,
    headers: BTreeMap<String, String>,
    /// Null while unanswered, and for ever if the answer was withheld or the client left.
    status: Option<u16>,
}

// === impl Record ===

impl Record {
    /// Notes a request and returns its number.
    pub(crate) fn add(&mut self, call: &Call, at: f64) -> u64 {
        self.last += 1;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            seq: self.last,
            at,
            method: call.method.to_string(),
            host: call.host.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            tenant: call.tenant().map(str::to_owned),
            endpoint: call.endpoint,
            grant_type: call.param("grant_type").map(str::to_owned),
            form: form(call),
            headers: headers(call),
            status: None,
        });
        self.last
    }

    pub(crate) fn answered(&mut self, seq: u64, status: u16) {
        let newest_first = self.entries.iter_mut().rev();
        if let Some(entry) = newest_first.take_while(|entry| entry.seq >= seq).find(|entry| entry.seq == seq) {
            entry.status = Some(status);
        }
    }

    /// All entries after the one with that number, oldest first.
    pub(crate) fn after(&self, seq: u64) -> Value {
        json!(self.entries.iter().filter(|entry| entry.seq > seq).collect::<Vec<_>>())
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// A parameter that came twice is an array.
fn form(call: &Call) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, value) in &call.form {
        match members.get_mut(name) {
            None => {
                members.insert(name.clone(), json!(value));
            }
            Some(Value::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.clone(), value]),
        }
    }
    members
}

fn headers(call: &Call) -> BTreeMap<String, String> {
    let mut members: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &call.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        members
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    members
}
