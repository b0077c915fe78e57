//! Reads raw shapes from a tree of values with an error type that has no room for a value.
//!
//! serde's own messages quote what they found, and what they found may be a secret. Here an error keeps only what was expected, in
//! the words of the visitor that expected it, so that nothing can leak by a forgotten `to_string`.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// What a map is called where something else stands.
const MAP: &str = "a map|write its members below it, one `name: value` per line";

/// One value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a Value);

/// Why a value was not taken.
#[derive(Debug)]
pub(super) enum ShapeError {
    /// A member that its map does not have; those that it has.
    Unknown(&'static [&'static str]),
    /// What was expected and how to write it, separated by `|`.
    Expected(String),
    /// Neither: it cannot be read.
    Other,
}

// === impl Node ===

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, Some(value)) => visitor.visit_f64(value),
                (None, None, None) => Err(ShapeError::Other),
            },
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Node))),
            Value::Object(members) => {
                visitor.visit_map(MapDeserializer::new(members.iter().map(|(key, value)| (key.as_str(), Node(value)))))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.0.is_object() { self.deserialize_any(visitor) } else { Err(ShapeError::Expected(MAP.to_owned())) }
    }

    // A derived struct would take a list as its members in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, ShapeError> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

// === impl ShapeError ===

impl Error for ShapeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Expected(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Expected(expected.to_string())
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown(expected)
    }
}

impl std::error::Error for ShapeError {}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value was not taken")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;

    use super::{Node, ShapeError};
    use crate::config::raw;

    #[test]
    fn a_list_is_no_map() {
        let tree = json!(["1MiB"]);
        assert!(matches!(raw::Limits::deserialize(Node(&tree)), Err(ShapeError::Expected(_))));
    }

    #[test]
    fn an_error_has_no_room_for_the_value() {
        let tree = json!({"body": "canary", "canary": 1});
        let error = raw::Limits::deserialize(Node(&tree)).err();
        assert!(error.is_some_and(|error| !format!("{error} {error:?}").contains("canary")));
    }
}
