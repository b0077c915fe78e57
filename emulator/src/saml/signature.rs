//! XML signatures of assertions, as all that issue them make them: enveloped, exclusive canonicalization, RSA with SHA-256.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use roxmltree::{Document, Node};

use super::{canonical::Canonical, tree::child};
use crate::{
    jose::{self, PublicKey},
    keys::SigningKey,
};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// The signature of an assertion that has none yet, for its place in it.
pub(super) fn sign(unsigned: &str, id: &str, key: &SigningKey) -> Option<String> {
    let document = Document::parse(unsigned).ok()?;
    let canonical = Canonical { source: unsigned, inclusive: Vec::new(), without: None }.text(document.root_element());
    let digest = STANDARD.encode(jose::sha256(canonical));
    let members = format!(
        "<ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"></ds:CanonicalizationMethod><ds:SignatureMethod \
         Algorithm=\"{RSA_SHA256}\"></ds:SignatureMethod><ds:Reference URI=\"#{id}\"><ds:Transforms><ds:Transform \
         Algorithm=\"{ENVELOPED}\"></ds:Transform><ds:Transform Algorithm=\"{EXCLUSIVE}\"></ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{SHA256}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
    );
    // Its canonical form, which says the namespace that its parent says in the document.
    let signed = format!("<ds:SignedInfo xmlns:ds=\"{DSIG}\">{members}</ds:SignedInfo>");
    let value = STANDARD.encode(key.sign_bytes(signed.as_bytes())?);
    Some(format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo>{members}</ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue>\
         <ds:KeyInfo><ds:KeyName>{}</ds:KeyName></ds:KeyInfo></ds:Signature>",
        key.name()
    ))
}

/// Whether this key signed the assertion, all of it, by the algorithms above.
pub(super) fn is_by(source: &str, assertion: Node<'_, '_>, id: &str, key: &PublicKey) -> bool {
    check(source, assertion, id, key).is_some()
}

/// The name of the key that the signature says it is by.
pub(super) fn key_name<'a>(assertion: Node<'a, '_>) -> Option<&'a str> {
    let info = child(child(assertion, DSIG, "Signature")?, DSIG, "KeyInfo")?;
    child(info, DSIG, "KeyName")?.text()
}

fn check(source: &str, assertion: Node<'_, '_>, id: &str, key: &PublicKey) -> Option<()> {
    let signature = child(assertion, DSIG, "Signature")?;
    let info = child(signature, DSIG, "SignedInfo")?;
    let method = child(info, DSIG, "CanonicalizationMethod")?;
    let is = |node: Node<'_, '_>, algorithm: &str| (node.attribute("Algorithm") == Some(algorithm)).then_some(());
    is(method, EXCLUSIVE)?;
    is(child(info, DSIG, "SignatureMethod")?, RSA_SHA256)?;
    let reference = child(info, DSIG, "Reference")?;
    // Nothing but this assertion: what else is signed says nothing of it.
    let uri = reference.attribute("URI")?;
    (uri.is_empty() || uri.strip_prefix('#') == Some(id)).then_some(())?;
    is(child(reference, DSIG, "DigestMethod")?, SHA256)?;
    let transforms: Vec<Node<'_, '_>> = child(reference, DSIG, "Transforms")?.children().filter(Node::is_element).collect();
    let [enveloped, exclusive] = transforms.as_slice() else { return None };
    is(*enveloped, ENVELOPED)?;
    is(*exclusive, EXCLUSIVE)?;

    let canonical = Canonical { source, inclusive: inclusive(*exclusive), without: Some(signature) }.text(assertion);
    let digest = bytes(child(reference, DSIG, "DigestValue")?)?;
    (digest == jose::sha256(canonical)).then_some(())?;
    let signed = Canonical { source, inclusive: inclusive(method), without: None }.text(info);
    key.signed(signed.as_bytes(), &bytes(child(signature, DSIG, "SignatureValue")?)?).then_some(())
}

/// The prefixes that a transform names beside those that are used.
fn inclusive<'a>(transform: Node<'a, '_>) -> Vec<&'a str> {
    let named = child(transform, EXCLUSIVE, "InclusiveNamespaces").and_then(|node| node.attribute("PrefixList"));
    named.unwrap_or_default().split_ascii_whitespace().collect()
}

fn bytes(node: Node<'_, '_>) -> Option<Vec<u8>> {
    STANDARD.decode(node.text()?.split_ascii_whitespace().collect::<String>()).ok()
}
