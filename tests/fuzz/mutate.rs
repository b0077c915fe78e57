//! Mutations: of bytes, and of what is inside them where they are JSON, or a JWT with JSON in its parts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Number, Value};

use crate::random::Random;

/// What parsers have stumbled over, somewhere.
const WORDS: &[&str] = &[
    "\u{0}",
    "\u{feff}",
    "\u{a0}",
    "\u{200b}",
    "\\u0000",
    "\\ud800",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "[[[[[[[[",
    "{\"a\":",
    ",",
    ":",
    "null",
    "true",
    "-0",
    "1e999",
    "-1",
    "0x10",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1.5",
    "+f",
    "%",
    "%00",
    "%c3%28",
    "..",
    "/",
    "//",
    "?",
    "#",
    "&",
    "=",
    "==",
    "*",
    "*/*",
    " ",
    "\r\n",
    "\n\n",
    "\t",
    "none",
    "HS256",
    "RS256",
    "ES512",
    "EdDSA",
    "kid",
    "alg",
    "crit",
    "b64",
    "jku",
    "aud",
    "iss",
    "exp",
    "cnf",
    "events",
    "{tenantid}",
    "openid",
    "Bearer",
    "N_A",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----",
    "Proc-Type: 4,ENCRYPTED",
    "apps",
    "${HOME}",
    "&anchor",
    "<<: *a",
    "!!binary",
    "---",
    "'''",
    "\"\"\"",
    "é",
    "\u{202e}",
    "💥",
];

/// Makes inputs of other inputs.
pub(crate) struct Mutator(Vec<Vec<u8>>);

// === impl Mutator ===

impl Mutator {
    pub(crate) fn new(seeds: Vec<Vec<u8>>) -> Self {
        Self(seeds)
    }

    /// One more input, of so many bytes at most.
    pub(crate) fn mutated(&self, random: &mut Random, longest: usize) -> Vec<u8> {
        let mut input = self.any(random).to_vec();
        let structured = random.percent(50).then(|| in_structure(&input, random)).flatten();
        match structured {
            Some(changed) => input = changed,
            None => {
                for _ in 0..=random.below(4) {
                    self.bytes(&mut input, random);
                }
            }
        }
        // Both at times: a structure that is broken late is read for longer.
        if random.percent(10) {
            self.bytes(&mut input, random);
        }
        input.truncate(longest);
        input
    }

    fn any(&self, random: &mut Random) -> &[u8] {
        self.0.get(random.below(self.0.len())).map_or(&[], Vec::as_slice)
    }

    fn bytes(&self, input: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(16)).min(input.len());
        match random.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = random.one_of(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'{', b'=', b'.']);
                }
            }
            2 if at < end => drop(input.drain(at..end)),
            3 => {
                let part: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
                for _ in 0..1 << random.below(8) {
                    input.splice(at..at, part.iter().copied());
                }
            }
            4 => drop(input.splice(at..at, random.one_of(WORDS).bytes())),
            5 if at < end => drop(input.splice(at..end, random.one_of(WORDS).bytes())),
            6 => input.truncate(at),
            _ => {
                let other = self.any(random);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or_default());
            }
        }
    }
}

/// The input changed inside of its structure, if it has one.
fn in_structure(input: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok()?;
    if let Ok(mut value) = serde_json::from_str::<Value>(text) {
        for _ in 0..=random.below(3) {
            change(&mut value, random);
        }
        return Some(written(&value, random));
    }
    let mut parts: Vec<String> = text.trim().split('.').map(str::to_owned).collect();
    let at = random.below(parts.len());
    let part = parts.get_mut(at).filter(|_| text.contains('.'))?;
    let mut inside = URL_SAFE_NO_PAD.decode(part.as_bytes()).ok()?;
    match serde_json::from_slice::<Value>(&inside) {
        Ok(mut value) => {
            change(&mut value, random);
            inside = written(&value, random);
        }
        Err(_) => {
            if let Some(byte) = inside.first_mut() {
                *byte = byte.wrapping_add(1);
            }
        }
    }
    *part = URL_SAFE_NO_PAD.encode(inside);
    Some(parts.join(".").into_bytes())
}

/// The value as text; at times with a member twice, which no value has.
fn written(value: &Value, random: &mut Random) -> Vec<u8> {
    let text = value.to_string();
    let first = value.as_object().and_then(|members| members.iter().nth(random.below(members.len())));
    match first {
        Some((name, member)) if random.percent(10) => {
            let twice = Map::from_iter([(name.clone(), member.clone())]);
            let twice = Value::Object(twice).to_string();
            let twice = twice.trim_start_matches('{').trim_end_matches('}');
            format!("{{{twice},{}", text.get(1..).unwrap_or_default()).into_bytes()
        }
        _ => text.into_bytes(),
    }
}

/// Changes a value somewhere.
fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() && random.percent(85) => {
            let name = members.keys().nth(random.below(members.len())).cloned().unwrap_or_default();
            match random.below(8) {
                0 => drop(members.remove(&name)),
                1 => {
                    let member = members.get(&name).cloned().unwrap_or_default();
                    members.insert(random.one_of(WORDS).to_owned(), member);
                }
                _ => {
                    if let Some(member) = members.get_mut(&name) {
                        change(member, random);
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() && random.percent(85) => {
            let at = random.below(items.len());
            match random.below(4) {
                0 => drop(items.remove(at)),
                1 => {
                    let item = items.get(at).cloned().unwrap_or_default();
                    items.push(item);
                }
                _ => {
                    if let Some(item) = items.get_mut(at) {
                        change(item, random);
                    }
                }
            }
        }
        Value::String(text) if random.percent(60) => {
            let at = (0..=text.len()).rev().find(|at| *at <= random.below(text.len() + 1) && text.is_char_boundary(*at));
            text.insert_str(at.unwrap_or(0), random.one_of(WORDS));
        }
        other => *other = another(random),
    }
}

fn another(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => Value::Bool(random.percent(50)),
        2 => Value::from(random.one_of(&[0_i64, -1, 1, i64::MAX, i64::MIN, 315_360_001])),
        3 => Value::from(u64::MAX),
        4 => Number::from_f64(random.one_of(&[0.5, -0.0, 1e300, 1e15, f64::MIN_POSITIVE])).map_or(Value::Null, Value::Number),
        5 => Value::from(random.one_of(WORDS)),
        6 => Value::from(random.one_of(WORDS).repeat(random.below(300))),
        7 => Value::Array(vec![another(random); random.below(4)]),
        8 => Value::Object(Map::from_iter([(random.one_of(WORDS).to_owned(), Value::Null)])),
        _ => (0..random.below(200)).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
    }
}
