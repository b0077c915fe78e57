//! Why a body is refused, in words of ours: which member, what it should be, and what to do. Values are never looked at, let alone
//! quoted.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::table::{LONGEST, Member, MemberKind, MemberSet};
use crate::finding::nearest;
use crate::http::fault::{Fault, FaultKind};

/// The kind of a JSON value, without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Null,
    Flag,
    Number,
    Text,
    TextList,
    List,
    Object,
}

/// The members of an object in their order, duplicates included.
struct Outline(Vec<(String, Shape)>);

/// Says why `body` could not be read.
pub(super) fn explain(body: &[u8], takes: MemberSet) -> Fault {
    const EXPECTED: &str = "a JSON object is expected";
    if body.trim_ascii().is_empty() {
        return invalid(format!("the request has no body; {EXPECTED}, {{}} at least"));
    }
    if std::str::from_utf8(body).is_err() {
        return invalid(format!("the body is not UTF-8; {EXPECTED} in UTF-8"));
    }
    let outline = match serde_json::from_slice::<Outline>(body) {
        Ok(outline) => outline,
        Err(error) if error.classify() == Category::Data => return invalid(format!("the body is JSON but no object; {EXPECTED}")),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return invalid(format!("the body is not JSON at line {line}, column {column}; {EXPECTED}, and nothing after it"));
        }
    };
    let mut seen: Vec<Member> = Vec::new();
    for (name, shape) in &outline.0 {
        let Some(member) = Member::of_body(name) else {
            return unknown(name, takes);
        };
        if seen.contains(&member) {
            return invalid(format!("`{}` stands twice; give each member once", member.name()));
        }
        if !takes.has(member) {
            return foreign(member, takes);
        }
        if let Some(fault) = mistyped(member, *shape) {
            return fault;
        }
        seen.push(member);
    }
    invalid(format!("the body cannot be read; {EXPECTED}"))
}

/// A member that belongs to another route.
pub(super) fn foreign(member: Member, takes: MemberSet) -> Fault {
    invalid(format!("this route does not take `{}`; it takes {}", member.name(), takes.names()))
}

/// A member whose string is too long.
pub(super) fn too_long(member: Member) -> Fault {
    invalid(format!("`{}` is longer than {LONGEST} bytes; send its value alone, as it came", member.name()))
}

fn unknown(name: &str, takes: MemberSet) -> Fault {
    let list = takes.names();
    if is_showable(name) {
        invalid(format!("`{name}` is no member of any request; this route takes {list}{}", meant(name, takes)))
    } else {
        invalid(format!("a member is unknown, and its name is not repeated as it may be a secret; this route takes {list}"))
    }
}

/// Which member of the route a name is probably a misspelling of, as the end of a sentence.
pub(super) fn meant(name: &str, takes: MemberSet) -> String {
    let names: Vec<&str> = takes.iter().map(Member::name).collect();
    nearest(name, &names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn mistyped(member: Member, shape: Shape) -> Option<Fault> {
    let (fits, want, example) = match member.kind() {
        MemberKind::Text | MemberKind::Rare | MemberKind::Word | MemberKind::Token => (shape == Shape::Text, "a string", "\"…\""),
        MemberKind::Flag => (shape == Shape::Flag, "true or false", "true, without quotes"),
        MemberKind::Scopes | MemberKind::RareScopes => {
            (matches!(shape, Shape::Text | Shape::TextList), "an array of strings, or one string with spaces between", "[\"…\"]")
        }
        MemberKind::Number => (shape == Shape::Number, "a number", "1"),
    };
    let name = member.name();
    (!fits && shape != Shape::Null)
        .then(|| invalid(format!("`{name}` has to be {want}, and is {}; write \"{name}\": {example}", shape.name())))
}

fn invalid(detail: String) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}

/// Whether a name may be repeated: a caller that confuses name and value must not find its token in a log.
pub(super) fn is_showable(name: &str) -> bool {
    let plain =
        (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let count = |is: fn(&u8) -> bool| name.bytes().filter(is).count();
    let (digits, upper, lower) = (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    // Names have a number at their end at most, and capitals where words begin; keys have both all over.
    let random = name.len() > 12 && digits > 3 || (digits > 0 && upper > 1 && lower > 0) || upper > 4 && lower > 0;
    plain && !random && !name.starts_with("eyJ")
}

// === impl Shape ===

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::TextList => "an array of strings",
            Self::List => "an array with something else than strings",
            Self::Object => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shapes;
        impl<'de> Visitor<'de> for Shapes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
                Ok(Shape::Flag)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
                Ok(Shape::Number)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
                Ok(Shape::Number)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
                Ok(Shape::Number)
            }

            fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
                Ok(Shape::Text)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Shape::TextList;
                while let Some(element) = list.next_element::<Shape>()? {
                    if element != Shape::Text {
                        shape = Shape::List;
                    }
                }
                Ok(shape)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Shape::Object)
            }
        }
        deserializer.deserialize_any(Shapes)
    }
}

// === impl Outline ===

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;
        impl<'de> Visitor<'de> for Objects {
            type Value = Outline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Outline(members))
            }
        }
        deserializer.deserialize_map(Objects)
    }
}

#[cfg(test)]
mod tests {
    use super::is_showable;

    #[test]
    fn shows_names_and_no_secrets() {
        for name in ["scope", "refresh_token", "accessToken", "x5t-S256", "sha256", "clientId", "client_assertion_type", "B2C"] {
            assert!(is_showable(name), "{name}");
        }
        for name in [
            "",
            "eyJhbGciOiJub25lIn0",
            "a b",
            "é",
            "x\n",
            "abcdefghijklmnopqrstuvwxyz_abcdefg",
            "8eaef023-2b34-4da1-9baa-8bc8c9d6",
            "Zx9Qw8Er7Ty",
            "d41d8cd98f00b204e9800998ecf8427e",
            "aBcDeFgHiJkL",
        ] {
            assert!(!is_showable(name), "{name}");
        }
    }
}
