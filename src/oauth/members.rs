//! The members of an object as servers send it: one that is there twice, is null, has another shape or is unknown is no reason to
//! read nothing of the others.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::date;
use crate::secret::Secret;

/// How many entries of a list are kept: more scopes fit into no answer that is accepted.
const LONGEST_LIST: usize = 16 * 1024;

/// How many members of an object inside are kept.
const LONGEST_OBJECT: usize = 64;

/// What a member is.
#[derive(Default)]
pub(super) enum SentMember {
    /// Not there, or null, which says nothing.
    #[default]
    Absent,
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A number.
    Number(serde_json::Number),
    /// A list: its texts and numbers, without what else is in it.
    List(Vec<SentMember>),
    /// An object: its texts, without what else is in it.
    Object(BTreeMap<String, String>),
    /// Something else.
    Odd,
}

/// Reads a value; a list or an object inside a list is odd.
#[derive(Clone, Copy)]
struct ReadMember {
    in_list: bool,
}

/// Reads an object.
struct ReadMembers<const N: usize>([&'static str; N]);

/// The members of these names, in their order. Of one that is there twice the last counts that is not null: that is how most who
/// read JSON have it.
///
/// # Errors
/// It is no JSON object.
pub(super) fn members<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
    names: [&'static str; N],
) -> Result<[SentMember; N], D::Error> {
    deserializer.deserialize_map(ReadMembers(names))
}

// === impl SentMember ===

impl SentMember {
    /// A text that says something.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether it is true, as a word of JSON's or as its text.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            Self::Text(text) => text.trim() == "true",
            Self::Absent | Self::Number(_) | Self::List(_) | Self::Object(_) | Self::Odd => false,
        }
    }

    /// A text that must not be shown.
    pub(super) fn secret(self) -> Option<Secret> {
        self.text().map(Secret::new)
    }

    /// Whether it is not there, or an empty text.
    pub(super) fn says_nothing(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Flag(_) | Self::Number(_) | Self::List(_) | Self::Object(_) | Self::Odd => false,
        }
    }

    /// Words with spaces between, as one text or as a list.
    pub(super) fn words(self) -> Option<String> {
        match self {
            Self::List(_) => self.texts().map(|texts| texts.join(" ")),
            _ => self.text(),
        }
    }

    /// The texts of a list that has some.
    pub(super) fn texts(self) -> Option<Vec<String>> {
        let Self::List(list) = self else { return None };
        let texts: Vec<String> = list.into_iter().filter_map(Self::text).collect();
        (!texts.is_empty()).then_some(texts)
    }

    /// The texts of an object, by their names.
    pub(super) fn object(self) -> BTreeMap<String, String> {
        if let Self::Object(texts) = self { texts } else { BTreeMap::new() }
    }

    /// The whole numbers of a list.
    pub(super) fn numbers(self) -> Vec<u64> {
        let Self::List(list) = self else { return Vec::new() };
        let number = |member: &Self| if let Self::Number(number) = member { number.as_u64() } else { None };
        list.iter().filter_map(number).collect()
    }

    /// A number, or a text that is one; a fraction is cut off.
    pub(super) fn seconds(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
            Self::Text(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse::<f64>().ok().and_then(whole))
            }
            Self::Absent | Self::Flag(_) | Self::List(_) | Self::Object(_) | Self::Odd => None,
        }
    }
}

impl SentMember {
    /// As [`SentMember::seconds`], or a text that is a date: seconds since the Unix epoch.
    pub(super) fn moment(&self) -> Option<i64> {
        let date = if let Self::Text(text) = self { date::unix(text) } else { None };
        date.or_else(|| self.seconds())
    }
}

impl<'de> Deserialize<'de> for SentMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadMember { in_list: false }.deserialize(deserializer)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 1e15).then_some(number as i64)
}

// === impl ReadMember ===

impl<'de> DeserializeSeed<'de> for ReadMember {
    type Value = SentMember;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SentMember, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadMember {
    type Value = SentMember;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<SentMember, E> {
        Ok(SentMember::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<SentMember, E> {
        Ok(SentMember::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<SentMember, E> {
        Ok(SentMember::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<SentMember, E> {
        Ok(serde_json::Number::from_f64(number).map_or(SentMember::Odd, SentMember::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<SentMember, E> {
        Ok(SentMember::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<SentMember, E> {
        Ok(SentMember::Text(text))
    }

    fn visit_unit<E>(self) -> Result<SentMember, E> {
        Ok(SentMember::Absent)
    }

    fn visit_none<E>(self) -> Result<SentMember, E> {
        Ok(SentMember::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<SentMember, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SentMember, A::Error> {
        let mut kept = Vec::new();
        while !self.in_list && kept.len() < LONGEST_LIST {
            match list.next_element_seed(Self { in_list: true })? {
                Some(member @ (SentMember::Text(_) | SentMember::Number(_))) => kept.push(member),
                Some(_) => {}
                None => break,
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(if self.in_list { SentMember::Odd } else { SentMember::List(kept) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SentMember, A::Error> {
        let mut texts = BTreeMap::new();
        while !self.in_list && texts.len() < LONGEST_OBJECT {
            // As in a list, nothing is read that stands deeper.
            match map.next_entry_seed(PhantomData::<String>, Self { in_list: true })? {
                Some((name, member)) => texts.extend(member.text().map(|text| (name, text))),
                None => break,
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(if self.in_list { SentMember::Odd } else { SentMember::Object(texts) })
    }
}

// === impl ReadMembers ===

impl<'de, const N: usize> Visitor<'de> for ReadMembers<N> {
    type Value = [SentMember; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = std::array::from_fn(|_| SentMember::Absent);
        while let Some(name) = map.next_key::<String>()? {
            let Some(place) = self.0.iter().position(|known| *known == name).and_then(|at| read.get_mut(at)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match map.next_value::<SentMember>()? {
                SentMember::Absent => {}
                member => *place = member,
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::{SentMember, members};

    fn read(text: &str) -> Option<[SentMember; 2]> {
        members(&mut serde_json::Deserializer::from_str(text), ["a", "b"]).ok()
    }

    #[test]
    fn the_last_of_a_name_counts_that_is_not_null() {
        for text in [r#"{"a":"1","a":"2"}"#, r#"{"a":["x"],"a":"2","a":null}"#, r#"{"a":{},"c":[{}],"a":"2","c":1}"#] {
            let [a, b] = read(text).unwrap_or_default();
            assert_eq!(a.text().as_deref(), Some("2"), "{text}");
            assert!(b.says_nothing(), "{text}");
        }
        assert!(read("[]").is_none() && read("7").is_none() && read("{").is_none());
    }

    #[test]
    fn what_else_is_in_a_list_is_not_in_it() {
        let list = r#"{"a":["x",null,["y"],{"z":1},true," ",7,"w"],"b":["v","u t"]}"#;
        let [a, b] = read(list).unwrap_or_default();
        assert_eq!((a.texts(), b.words().as_deref()), (Some(vec!["x".to_owned(), "w".to_owned()]), Some("v u t")));
        assert_eq!(read(list).map(|[a, _]| a.numbers()), Some(vec![7]));
        let [a, b] = read(r#"{"a":"x","b":[null]}"#).unwrap_or_default();
        assert_eq!((a.texts(), b.words()), (None, None));
    }
}
