//! An assertion that was sent, taken apart. Nothing about it is trusted before [`Received::is_by`].

use roxmltree::{Document, Node, ParsingOptions};

use super::{
    format::Format,
    signature,
    tree::{child, text},
};
use crate::{
    jose::{self, PublicKey},
    time,
};

const NODES: u32 = 10_000;

/// What an assertion says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) format: Format,
    pub(crate) issuer: String,
    /// Of the subject's name, whatever its format.
    pub(crate) subject: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) not_before: Option<i64>,
    pub(crate) not_on_or_after: Option<i64>,
    /// Names without what stands before their last slash.
    pub(crate) attributes: Vec<(String, String)>,
    /// The name of the key that it says it is signed by.
    pub(crate) key_name: Option<String>,
    id: String,
}

/// The text of an assertion with what it says.
#[derive(Debug)]
pub(crate) struct Received {
    text: String,
    pub(crate) said: Said,
}

// === impl Received ===

impl Received {
    /// Base64 of either alphabet, padded or not, as clients differ in it.
    pub(crate) fn decode(encoded: &str) -> Option<Self> {
        let bare: String = encoded.split_ascii_whitespace().collect();
        let text = String::from_utf8(jose::decode(&bare)?).ok()?;
        let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES, ..ParsingOptions::default() };
        let said = {
            let document = Document::parse_with_options(&text, options).ok()?;
            Said::read(document.root_element())?
        };
        Some(Self { text, said })
    }

    /// Whether this key signed all of it.
    pub(crate) fn is_by(&self, key: &PublicKey) -> bool {
        let document = Document::parse(&self.text);
        document.is_ok_and(|document| signature::is_by(&self.text, document.root_element(), &self.said.id, key))
    }
}

// === impl Said ===

impl Said {
    fn read(assertion: Node<'_, '_>) -> Option<Self> {
        let format =
            [Format::One, Format::Two].into_iter().find(|format| assertion.has_tag_name((format.namespace(), "Assertion")))?;
        let conditions = child(assertion, format.namespace(), "Conditions")?;
        let date = |name: &str| match conditions.attribute(name) {
            Some(text) => time::from_iso(text).map(Some),
            None => Some(None),
        };
        let mut said = Self {
            format,
            key_name: signature::key_name(assertion).map(str::to_owned),
            not_before: date("NotBefore")?,
            not_on_or_after: date("NotOnOrAfter")?,
            ..Self::default()
        };
        let all = |name: &'static str| {
            let found = assertion.descendants().filter(move |node| node.has_tag_name((format.namespace(), name)));
            found.map(text).collect::<Option<Vec<String>>>()
        };
        said.audiences = all("Audience")?;
        match format {
            Format::One => {
                assertion.attribute("AssertionID")?.clone_into(&mut said.id);
                assertion.attribute("Issuer")?.clone_into(&mut said.issuer);
                said.subject = all("NameIdentifier")?.into_iter().next()?;
            }
            Format::Two => {
                assertion.attribute("ID")?.clone_into(&mut said.id);
                said.issuer = text(child(assertion, format.namespace(), "Issuer")?)?;
                said.subject = all("NameID")?.into_iter().next()?;
            }
        }
        let named = assertion.descendants().filter(|node| node.has_tag_name((format.namespace(), "Attribute")));
        for attribute in named {
            let name = attribute.attribute("AttributeName").or_else(|| attribute.attribute("Name"))?;
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            let values = attribute.children().filter(Node::is_element).map(text).collect::<Option<Vec<String>>>()?;
            said.attributes.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        Some(said)
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is good now, by a clock that may differ by so many seconds at its beginning.
    pub(crate) fn is_within(&self, now: i64, skew: i64) -> bool {
        self.not_before.is_none_or(|begin| begin - skew <= now) && self.not_on_or_after.is_some_and(|end| now < end)
    }
}
