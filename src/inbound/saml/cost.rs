//! What it would cost to parse an XML text, found in one pass that keeps next to nothing.
//!
//! The parser goes into each element by a call of its own, and looks through the attributes of an element for each of them, and
//! through all namespaces in scope wherever one is declared. So depth, nodes and comparisons are counted first.

use super::fault::SamlFault;

/// How deep elements may be nested.
const DEEPEST: usize = 64;
/// How many elements, texts, comments and the like there may be.
pub(super) const MOST_NODES: u32 = 10_000;
/// How many namespaces may be declared: each new one moves those that are sorted behind it.
const MOST_NAMESPACES: u64 = 4096;
/// How many comparisons of names the parser may have to make. A document as large as may be, of 10,000 elements with two attributes
/// and six namespaces in scope, needs less than half of it.
const MOST_COMPARISONS: u64 = 1_000_000;

/// What was counted of a text so far.
#[derive(Default)]
struct Cost {
    /// How many namespaces each element declares that is open, from the outside in.
    open: Vec<u64>,
    nodes: u32,
    namespaces: u64,
    comparisons: u64,
}

/// A start tag.
struct StartTag {
    /// Where it ends.
    end: usize,
    /// How many attributes it has that declare no namespace.
    attributes: u64,
    /// How many that do.
    declared: u64,
    is_empty: bool,
}

/// Whether the text can be parsed in bounded time and depth. What is not well-formed may pass: the parser says so.
pub(super) fn judge(text: &str) -> Result<(), SamlFault> {
    let (mut rest, mut cost) = (text.as_bytes(), Cost::default());
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        if at > 0 {
            cost.node()?;
        }
        rest = rest.get(at..).unwrap_or_default();
        let end = cost.markup(rest)?;
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(())
}

// === impl Cost ===

impl Cost {
    /// Counts what begins with `<`, and returns where it ends.
    fn markup(&mut self, rest: &[u8]) -> Result<usize, SamlFault> {
        const SKIPPED: [(&[u8], &[u8]); 3] = [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")];
        for (begin, end) in SKIPPED {
            if rest.starts_with(begin) {
                self.node()?;
                return past(rest, begin.len(), end);
            }
        }
        if rest.starts_with(b"<!") {
            return Err(SamlFault::DocumentType);
        }
        if rest.starts_with(b"</") {
            self.open.pop().ok_or(SamlFault::NoXml)?;
            return past(rest, 2, b">");
        }
        let tag = StartTag::read(rest)?;
        self.element(&tag)?;
        Ok(tag.end)
    }

    fn node(&mut self) -> Result<(), SamlFault> {
        self.nodes += 1;
        if self.nodes > MOST_NODES { Err(SamlFault::TooManyNodes) } else { Ok(()) }
    }

    fn element(&mut self, tag: &StartTag) -> Result<(), SamlFault> {
        self.node()?;
        if self.open.len() >= DEEPEST {
            return Err(SamlFault::TooDeep);
        }
        let StartTag { attributes, declared, .. } = *tag;
        self.namespaces += declared;
        let scope = self.open.iter().sum::<u64>() + declared;
        // Attributes with each other, each of them and the element with what is in scope; and that with itself, where it changes.
        self.comparisons += attributes * attributes / 2 + (attributes + 1) * scope;
        if declared > 0 {
            self.comparisons += scope * scope / 2;
        }
        if self.comparisons > MOST_COMPARISONS || self.namespaces > MOST_NAMESPACES {
            return Err(SamlFault::TooManyNames);
        }
        if !tag.is_empty {
            self.open.push(declared);
        }
        Ok(())
    }
}

// === impl StartTag ===

impl StartTag {
    /// Reads the tag that begins here: all that counts is what stands between quotes, and before that.
    fn read(rest: &[u8]) -> Result<Self, SamlFault> {
        let (mut at, mut name, mut attributes, mut declared) = (1, None, 0, 0);
        loop {
            match *rest.get(at).ok_or(SamlFault::NoXml)? {
                b'>' => {
                    let is_empty = at > 1 && rest.get(at - 1) == Some(&b'/');
                    return Ok(Self { end: at + 1, attributes, declared, is_empty });
                }
                b'<' => return Err(SamlFault::NoXml),
                quote @ (b'"' | b'\'') => {
                    let begin = name.ok_or(SamlFault::NoXml)?;
                    let is_namespace = rest.get(begin..at).unwrap_or_default().trim_ascii_start().starts_with(b"xmlns");
                    if is_namespace {
                        declared += 1;
                    } else {
                        attributes += 1;
                    }
                    at = past(rest, at + 1, &[quote])?;
                    name = Some(at);
                }
                byte => {
                    // What stands before it is the element's own name.
                    if byte.is_ascii_whitespace() {
                        name.get_or_insert(at);
                    }
                    at += 1;
                }
            }
        }
    }
}

/// Where it goes on behind the next `end`.
fn past(rest: &[u8], from: usize, end: &[u8]) -> Result<usize, SamlFault> {
    let found = rest.get(from..).and_then(|inside| inside.windows(end.len()).position(|window| window == end));
    found.map(|at| from + at + end.len()).ok_or(SamlFault::NoXml)
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, SamlFault, judge};

    fn nested(depth: usize) -> String {
        "<a>".repeat(depth) + &"</a>".repeat(depth)
    }

    #[test]
    fn depth_is_bounded_whatever_looks_like_an_element() {
        assert_eq!(judge(&nested(DEEPEST)), Ok(()));
        assert_eq!(judge(&nested(DEEPEST + 1)), Err(SamlFault::TooDeep));
        assert_eq!(judge(&"<a>".repeat(100_000)), Err(SamlFault::TooDeep));
        assert_eq!(judge(&"<a b='>'>".repeat(100)), Err(SamlFault::TooDeep), "the first `>` is not the end");
        for opening in ["<!-- <a> -->", "<![CDATA[<a>]]>", "<?p <a>?>", "<a b='/>'/>", "<a b=\"'/\"/>", "</b><b>"] {
            assert_eq!(judge(&format!("<b>{}</b>", opening.repeat(100))), Ok(()), "{opening}");
        }
        // What hides an end hides no beginning.
        for hidden in ["<!-- </a> -->", "<![CDATA[</a>]]>", "<?p </a>?>"] {
            assert_eq!(judge(&format!("<a>{hidden}").repeat(65)), Err(SamlFault::TooDeep), "{hidden}");
        }
    }

    #[test]
    fn nodes_are_bounded() {
        let many = |node: &str, count: usize| judge(&format!("<r>{}</r>", node.repeat(count)));
        for node in ["<a/>", "<!---->", "<?p?>", "<![CDATA[]]>"] {
            assert_eq!(many(node, 9_999), Ok(()), "{node}");
            assert_eq!(many(node, 10_000), Err(SamlFault::TooManyNodes), "{node}");
        }
        assert_eq!(many("<a/>x", 5_000), Err(SamlFault::TooManyNodes));
    }

    #[test]
    fn names_that_are_compared_are_bounded() {
        let attributes = |count: usize| (0..count).map(|number| format!(" a{number}=''")).collect::<String>();
        let namespaces = |count: usize| (0..count).map(|number| format!(" xmlns:a{number}='u'")).collect::<String>();
        assert_eq!(judge(&format!("<r{}/>", attributes(1_000))), Ok(()));
        assert_eq!(judge(&format!("<r{}/>", attributes(1_500))), Err(SamlFault::TooManyNames));
        assert_eq!(judge(&format!("<r{}/>", namespaces(900))), Ok(()));
        assert_eq!(judge(&format!("<r{}/>", namespaces(1_500))), Err(SamlFault::TooManyNames));
        // A few in scope, looked through again for each that is declared below.
        let deep: String = (0..40).map(|depth| format!("<a xmlns:n{depth}='u' xmlns:m{depth}='u'>")).collect();
        assert_eq!(judge(&format!("{deep}{}", "<b xmlns:x='u'/>".repeat(100))), Ok(()));
        assert_eq!(judge(&format!("{deep}{}", "<b xmlns:x='u'/>".repeat(5_000))), Err(SamlFault::TooManyNames));
        assert_eq!(judge(&format!("<r>{}</r>", "<b xmlns:x='u' xmlns:y='v'/>".repeat(2_049))), Err(SamlFault::TooManyNames));
        // What real ones are like at their largest.
        let usual = "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                     xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\">group</saml:AttributeValue>";
        let usual = usual.repeat(1_300);
        assert_eq!(judge(&format!("<saml:Assertion xmlns:saml='s' xmlns:ds='d' xmlns:ec='e'>{usual}</saml:Assertion>")), Ok(()));
    }

    #[test]
    fn document_types_and_broken_markup_are_told() {
        for text in ["<!DOCTYPE a>", "<!ENTITY a 'b'>", "<a><!ATTLIST></a>", "<!"] {
            assert_eq!(judge(text), Err(SamlFault::DocumentType), "{text}");
        }
        for text in
            ["<", "<a", "<a b", "<a b='", "<a 'b'<", "<!--", "<!-- -- >", "<![CDATA[ ]>", "<?", "</", "</a>", "<a></a></a>", "<'>"]
        {
            assert_eq!(judge(text), Err(SamlFault::NoXml), "{text}");
        }
        for text in ["", "no markup", "<a/>", "<a b = 'c' />", "<a\n>"] {
            assert_eq!(judge(text), Ok(()), "{text}");
        }
    }
}
