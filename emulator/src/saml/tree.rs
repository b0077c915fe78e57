//! What is looked for in an XML document.

use roxmltree::Node;

/// The first child element of this name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, namespace: &str, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.has_tag_name((namespace, name)))
}

/// The text of an element; none if there is a comment in it, which would cut it in two.
pub(super) fn text(node: Node<'_, '_>) -> Option<String> {
    node.children().all(|child| child.is_text()).then(|| node.text().unwrap_or_default().trim().to_owned())
}
