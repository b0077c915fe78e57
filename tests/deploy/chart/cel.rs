//! Reads the CEL literal that the admission policy adds, so that it can be compared with the container that the other modes render.

use serde_json::{Map, Value};

/// The value of a literal; an expression in it becomes the text `=EXPRESSION`.
pub(crate) fn read(text: &str) -> Value {
    let mut reader = Reader { rest: text };
    let value = reader.value();
    assert!(reader.rest.trim().is_empty(), "something follows the literal: {}", reader.rest);
    value
}

struct Reader<'a> {
    rest: &'a str,
}

// === impl Reader ===

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.strip_prefix(token).map(|rest| self.rest = rest).is_some()
    }

    fn need(&mut self, token: &str) {
        assert!(self.take(token), "{token} expected at: {:.60}", self.rest);
    }

    fn value(&mut self) -> Value {
        if self.take("dyn(") {
            let value = self.value();
            self.need(")");
            value
        } else if self.take("{") {
            self.map()
        } else if self.take("[") {
            self.list()
        } else if self.rest.trim_start().starts_with('"') {
            // Texts are written alike in CEL and JSON.
            let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            let value = values.next().expect("a value").expect("a text");
            self.rest = &self.rest[values.byte_offset()..];
            value
        } else {
            let end = self.rest.find([')', ',', '}', ']']).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            serde_json::from_str(word).unwrap_or_else(|_| Value::String(format!("={}", word.trim())))
        }
    }

    fn map(&mut self) -> Value {
        let mut map = Map::new();
        while !self.take("}") {
            let key = self.value().as_str().expect("a key").to_owned();
            self.need(":");
            let value = self.value();
            assert!(map.insert(key, value).is_none(), "a key stands twice");
            self.take(",");
        }
        Value::Object(map)
    }

    fn list(&mut self) -> Value {
        let mut list = Vec::new();
        while !self.take("]") {
            list.push(self.value());
            self.take(",");
        }
        Value::Array(list)
    }
}

#[test]
fn a_literal_is_read() {
    let text = r#"{"a": dyn([dyn(1), dyn("x)\u003c")]), "b": dyn({"c": dyn(variables.image)}), "d": dyn(true)}"#;
    assert_eq!(read(text), serde_json::json!({"a": [1, "x)<"], "b": {"c": "=variables.image"}, "d": true}));
}
