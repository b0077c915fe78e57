//! What a member is that is not what it should be, so that an error can name it and quotes nothing.

use serde_json::{Map, Value};

/// What a value is, as an error says it.
pub(super) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The first of these members of a JSON object that is there and no text, and what it is.
pub fn no_text(json: &[u8], names: &[&'static str]) -> Option<(&'static str, &'static str)> {
    not_text_in(&serde_json::from_slice(json).ok()?, names)
}

/// The first of these members that is there and no text, and what it is.
pub(super) fn not_text_in(members: &Map<String, Value>, names: &[&'static str]) -> Option<(&'static str, &'static str)> {
    let there = names.iter().filter_map(|name| members.get(*name).map(|value| (*name, value)));
    there.filter(|(_, value)| !value.is_string() && !value.is_null()).map(|(name, value)| (name, name_of(value))).next()
}
