//! Exclusive XML canonicalization without comments (`http://www.w3.org/2001/10/xml-exc-c14n#`): the bytes that a signature is over.

use std::collections::BTreeMap;

use roxmltree::{Attribute, Node};

/// Namespaces by prefix; the default one has the empty prefix.
type Namespaces = BTreeMap<String, String>;

/// One element as it is signed.
pub(super) struct Canonical<'a> {
    /// The document that the element is of, as it was sent.
    pub(super) source: &'a str,
    /// Prefixes whose namespaces are written even where no name uses them (`InclusiveNamespaces`).
    pub(super) inclusive: Vec<&'a str>,
    /// The element that is left out: an enveloped signature.
    pub(super) without: Option<Node<'a, 'a>>,
}

// === impl Canonical ===

impl Canonical<'_> {
    pub(super) fn text(&self, element: Node<'_, '_>) -> String {
        let mut out = String::new();
        self.element(element, &Namespaces::new(), &mut out);
        out
    }

    fn element(&self, node: Node<'_, '_>, rendered: &Namespaces, out: &mut String) {
        let name = self.written(node.range().start + 1);
        let mut attributes: Vec<Attribute<'_, '_>> = node.attributes().collect();
        attributes.sort_by_key(|one| (one.namespace().unwrap_or_default().to_owned(), one.name().to_owned()));
        let names: Vec<&str> = attributes.iter().map(|one| self.written(one.range().start)).collect();
        let mut scope = rendered.clone();
        out.push('<');
        out.push_str(name);
        for prefix in self.needed(name, &names) {
            let uri = node.lookup_namespace_uri((!prefix.is_empty()).then_some(prefix)).unwrap_or_default();
            // No default namespace need only be said where there was one.
            if scope.get(prefix).map_or("", String::as_str) != uri {
                let (colon, named) = if prefix.is_empty() { ("", "") } else { (":", prefix) };
                out.push_str(&format!(" xmlns{colon}{named}=\"{}\"", in_attribute(uri)));
                scope.insert(prefix.to_owned(), uri.to_owned());
            }
        }
        for (one, name) in attributes.iter().zip(names) {
            out.push_str(&format!(" {name}=\"{}\"", in_attribute(one.value())));
        }
        out.push('>');
        for child in node.children().filter(|child| !self.is_left_out(*child)) {
            if child.is_element() {
                self.element(child, &scope, out);
            } else if let Some(pi) = child.pi() {
                let value = pi.value.map(|value| format!(" {value}")).unwrap_or_default();
                out.push_str(&format!("<?{}{value}?>", pi.target));
            } else if child.is_text() {
                out.push_str(&in_text(child.text().unwrap_or_default()));
            }
        }
        out.push_str(&format!("</{name}>"));
    }

    /// The prefixes whose namespaces belong here, in the order in which they are written.
    fn needed<'b>(&'b self, name: &'b str, attributes: &[&'b str]) -> Vec<&'b str> {
        let mut all = vec![name.split_once(':').map_or("", |(prefix, _)| prefix)];
        // An attribute without a prefix is in no namespace.
        all.extend(attributes.iter().filter_map(|name| name.split_once(':')).map(|(prefix, _)| prefix));
        all.extend(self.inclusive.iter().map(|prefix| if *prefix == "#default" { "" } else { prefix }));
        all.sort_unstable();
        all.dedup();
        all.retain(|prefix| *prefix != "xml");
        all
    }

    /// A name with its prefix, which the tree does not keep.
    fn written(&self, at: usize) -> &str {
        let rest = self.source.get(at..).unwrap_or_default();
        rest.split(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/' | '>')).next().unwrap_or_default()
    }

    fn is_left_out(&self, node: Node<'_, '_>) -> bool {
        self.without.is_some_and(|without| without.id() == node.id())
    }
}

fn in_attribute(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    text.replace('\t', "&#x9;").replace('\n', "&#xA;").replace('\r', "&#xD;")
}

/// Text as an XML document has it.
pub(super) fn in_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#xD;")
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::Canonical;

    fn canonical(source: &str, local: &str, inclusive: &[&str]) -> String {
        let document = Document::parse(source).expect("XML");
        let node = document.descendants().find(|node| node.has_tag_name(local)).expect("an element");
        Canonical { source, inclusive: inclusive.to_vec(), without: None }.text(node)
    }

    #[test]
    fn what_the_recommendation_says_of_namespaces() {
        // Its section 2.2: the same element in two contexts.
        let first = "<n0:local xmlns:n0=\"foo:bar\" xmlns:n3=\"ftp://example.org\"><n1:elem2 xmlns:n1=\"http://example.net\" \
                     xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"/></n1:elem2></n0:local>";
        let second = "<n2:pdu xmlns:n1=\"http://example.com\" xmlns:n2=\"http://foo.example\" xml:lang=\"fr\" \
                      xml:space=\"retain\"><n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff \
                      xmlns:n3=\"ftp://example.org\"/></n1:elem2></n2:pdu>";
        let expected = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff \
                        xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>";
        assert_eq!(canonical(first, "elem2", &[]), expected);
        assert_eq!(canonical(second, "elem2", &[]), expected);
    }

    #[test]
    fn order_spelling_and_what_is_said_again() {
        let source = "<?xml version=\"1.0\"?>\n<a xmlns='urn:a' xmlns:x='urn:x' z='1' x:b=\"it's &lt;&#9;\" b = '2' ><!-- no --><b \
                      xmlns=\"\"/><x:c  /><![CDATA[<&>]]>&#13;<?do it?></a>";
        assert_eq!(
            canonical(source, "a", &[]),
            "<a xmlns=\"urn:a\" xmlns:x=\"urn:x\" b=\"2\" z=\"1\" x:b=\"it's &lt;&#x9;\"><b xmlns=\"\"></b><x:c></x:c>&lt;&amp;&gt;\
             &#xD;<?do it?></a>"
        );
        assert_eq!(canonical(source, "b", &["x"]), "<b xmlns:x=\"urn:x\"></b>");
    }
}
