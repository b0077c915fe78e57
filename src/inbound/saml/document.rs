//! An assertion as a tree: its kind, and the earliest of the ends that it names (SAML 2.0 core §2.5.1, §2.4.1.2; SAML 1.1 core
//! §2.3.2.1).

use roxmltree::{Document, Error, Node, ParsingOptions};

use super::cost::MOST_NODES;
use super::fault::SamlFault;
use crate::oauth::{SamlVersion, unix_of_date};

/// The namespace of both versions before 2.0.
const SAML1: &str = "urn:oasis:names:tc:SAML:1.0:assertion";
const SAML2: &str = "urn:oasis:names:tc:SAML:2.0:assertion";

/// When an assertion of this version ends, in seconds since the Unix epoch.
pub(super) fn end(text: &str, version: SamlVersion) -> Result<i64, SamlFault> {
    // The document itself is a node as well.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES + 1, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        Error::DtdDetected => SamlFault::DocumentType,
        Error::NodesLimitReached => SamlFault::TooManyNodes,
        _ => SamlFault::NoXml,
    })?;
    if document.descendants().any(is_inside_text) {
        return Err(SamlFault::Interrupted);
    }
    let root = document.root_element();
    match version_of(root) {
        Some(found) if found == version => {}
        Some(found) => return Err(SamlFault::OfVersion(found)),
        None => return Err(SamlFault::NoAssertion),
    }
    let space = if version == SamlVersion::V1 { SAML1 } else { SAML2 };
    let conditions = children(root, space, "Conditions");
    let confirmations = children(root, space, "Subject")
        .flat_map(|subject| children(subject, space, "SubjectConfirmation"))
        .flat_map(|confirmation| children(confirmation, space, "SubjectConfirmationData"));
    let ends = conditions.chain(confirmations).filter_map(|node| plain(node, "NotOnOrAfter"));
    let ends = ends.map(|text| unix_of_date(text).ok_or(SamlFault::NoDate)).collect::<Result<Vec<_>, _>>()?;
    ends.into_iter().min().ok_or(SamlFault::Endless)
}

/// Whether it is a comment or a processing instruction that a text is interrupted by. Blanks between elements are no text.
fn is_inside_text(node: Node<'_, '_>) -> bool {
    let is_text = |node: Option<Node<'_, '_>>| {
        node.is_some_and(|node| node.is_text() && node.text().is_some_and(|text| !text.trim_ascii().is_empty()))
    };
    (node.is_comment() || node.is_pi()) && (is_text(node.prev_sibling()) || is_text(node.next_sibling()))
}

/// Which version the root says that it is, in both ways in which it says so.
fn version_of(root: Node<'_, '_>) -> Option<SamlVersion> {
    let name = root.tag_name();
    if name.name() != "Assertion" {
        return None;
    }
    let says = |attribute: &str, values: &[&str]| plain(root, attribute).is_some_and(|value| values.contains(&value));
    match name.namespace()? {
        SAML1 if says("MajorVersion", &["1"]) && says("MinorVersion", &["0", "1"]) => Some(SamlVersion::V1),
        SAML2 if says("Version", &["2.0"]) => Some(SamlVersion::V2),
        _ => None,
    }
}

/// An attribute without a namespace: one that has one is another.
fn plain<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.namespace().is_none() && attribute.name() == name).map(|found| found.value())
}

fn children<'a, 'i>(node: Node<'a, 'i>, space: &'static str, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name((space, name)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::{SamlFault, SamlVersion, end};

    /// An assertion of SAML 2.0 that says this of its end, with more inside.
    pub(in super::super) fn saml2(conditions: &str, more: &str) -> String {
        format!(
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" Version=\"2.0\" ID=\"_1\" \
             IssueInstant=\"2026-11-21T22:26:40Z\"><saml:Issuer>https://sts.example</saml:Issuer><saml:Subject><saml:NameID>\
             ana@contoso.example</saml:NameID></saml:Subject>{conditions}{more}</saml:Assertion>"
        )
    }

    fn of2(text: &str) -> Result<i64, SamlFault> {
        end(text, SamlVersion::V2)
    }

    fn saml1(conditions: &str) -> String {
        format!(
            "<Assertion xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\" MajorVersion=\"1\" MinorVersion=\"1\" AssertionID=\"_1\" \
             Issuer=\"http://sts.example\">{conditions}<AuthenticationStatement><Subject><NameIdentifier>ana</NameIdentifier></Subject>\
             </AuthenticationStatement></Assertion>"
        )
    }

    const CONDITIONS: &str = "<saml:Conditions NotOnOrAfter=\"2026-11-21T22:26:40Z\"/>";

    #[test]
    fn the_earliest_end_counts() {
        let subject = |end: &str| {
            format!(
                "<saml:Subject><saml:SubjectConfirmation><saml:SubjectConfirmationData NotOnOrAfter=\"{end}\"/>\
                 </saml:SubjectConfirmation></saml:Subject>"
            )
        };
        for (conditions, more, expected) in [
            (CONDITIONS, String::new(), 1_795_300_000),
            ("<saml:Conditions NotOnOrAfter=\"2026-11-21T23:26:40.5+01:00\"/>", String::new(), 1_795_300_000),
            (CONDITIONS, subject("2026-11-21T22:25:00Z"), 1_795_299_900),
            (CONDITIONS, subject("2026-11-21T23:00:00Z"), 1_795_300_000),
            ("", subject("2026-11-21T22:25:00Z"), 1_795_299_900),
            (CONDITIONS, CONDITIONS.replace("26:40", "26:00"), 1_795_299_960),
            // What is said of others, or of a session, is no end of this one.
            (
                CONDITIONS,
                "<saml:Advice><saml:Conditions NotOnOrAfter=\"2001-01-01T00:00:00Z\"/></saml:Advice><saml:AuthnStatement \
                 SessionNotOnOrAfter=\"2001-01-01T00:00:00Z\"/><Conditions NotOnOrAfter=\"2001-01-01T00:00:00Z\"/>"
                    .to_owned(),
                1_795_300_000,
            ),
        ] {
            assert_eq!(of2(&saml2(conditions, &more)), Ok(expected), "{conditions} {more}");
        }
        let conditions = "<Conditions NotBefore=\"2026-11-21T22:00:00Z\" NotOnOrAfter=\"2026-11-21T22:26:40Z\"/>";
        assert_eq!(end(&saml1(conditions), SamlVersion::V1), Ok(1_795_300_000));
    }

    #[test]
    fn without_an_end_or_with_one_that_is_none_it_is_refused() {
        for (conditions, fault) in [
            ("", SamlFault::Endless),
            ("<saml:Conditions/>", SamlFault::Endless),
            ("<saml:Conditions notOnOrAfter=\"2026-11-21T22:26:40Z\"/>", SamlFault::Endless),
            ("<saml:Conditions saml:NotOnOrAfter=\"2026-11-21T22:26:40Z\"/>", SamlFault::Endless),
            ("<saml:Conditions NotOnOrAfter=\"\"/>", SamlFault::NoDate),
            ("<saml:Conditions NotOnOrAfter=\"never\"/>", SamlFault::NoDate),
            ("<saml:Conditions NotOnOrAfter=\"2026-11-21\"/>", SamlFault::NoDate),
        ] {
            assert_eq!(of2(&saml2(conditions, "")), Err(fault), "{conditions}");
        }
        assert_eq!(of2(&saml2(CONDITIONS, "<saml:Conditions NotOnOrAfter=\"soon\"/>")), Err(SamlFault::NoDate));
    }

    #[test]
    fn the_type_has_to_be_that_of_the_root() {
        let conditions = "<Conditions NotOnOrAfter=\"2026-11-21T22:26:40Z\"/>";
        assert_eq!(of2(&saml1(conditions)), Err(SamlFault::OfVersion(SamlVersion::V1)));
        assert_eq!(end(&saml2(CONDITIONS, ""), SamlVersion::V1), Err(SamlFault::OfVersion(SamlVersion::V2)));
        let good = saml2(CONDITIONS, "");
        for (from, to) in [
            ("saml:Assertion", "saml:Response"),
            ("saml:Assertion", "saml:EncryptedAssertion"),
            ("saml:Assertion", "saml:assertion"),
            ("SAML:2.0:assertion", "SAML:2.0:protocol"),
            ("SAML:2.0:assertion", "SAML:3.0:assertion"),
            ("Version=\"2.0\"", "Version=\"2.1\""),
            ("Version=\"2.0\"", ""),
            ("SAML:2.0:assertion", "SAML:1.0:assertion"),
        ] {
            assert_eq!(of2(&good.replace(from, to)), Err(SamlFault::NoAssertion), "{from} {to}");
        }
        for (from, to) in [("MinorVersion=\"1\"", "MinorVersion=\"2\""), ("MajorVersion=\"1\"", "MajorVersion=\"2\"")] {
            assert_eq!(end(&saml1(conditions).replace(from, to), SamlVersion::V1), Err(SamlFault::NoAssertion), "{to}");
        }
    }

    #[test]
    fn a_text_with_something_inside_is_refused_and_what_stands_between_elements_is_not() {
        let named = |name: &str| saml2(CONDITIONS, &format!("<saml:Advice>{name}</saml:Advice>"));
        for name in [
            "admin@contoso.example<!---->.evil.example",
            "<!-- -->admin",
            "admin<!-- -->",
            "admin<?p?>.evil.example",
            "a<!-- --><!-- -->b",
            "<b/>a<!-- -->",
            "&#97;<!-- -->",
            "<![CDATA[a]]><!-- -->",
        ] {
            assert_eq!(of2(&named(name)), Err(SamlFault::Interrupted), "{name}");
        }
        for name in ["<!-- -->", " <!-- -->\n<b/><?p?> ", "admin<![CDATA[@contoso]]>", "a<b/>c"] {
            assert!(of2(&named(name)).is_ok(), "{name}");
        }
        let around = format!("<?xml version=\"1.0\"?><!-- a --> {}<!-- b -->\n", saml2(CONDITIONS, ""));
        assert!(of2(&around).is_ok());
    }

    #[test]
    fn what_is_not_well_formed_or_has_a_document_type_is_refused() {
        let good = saml2(CONDITIONS, "");
        for (text, fault) in [
            (format!("<!DOCTYPE a>{good}"), SamlFault::DocumentType),
            (format!("<!DOCTYPE a [<!ENTITY lol \"lol\">]>{good}"), SamlFault::DocumentType),
            (good.replace("ana@", "&lol;"), SamlFault::NoXml),
            (good.replace("ana@", "&"), SamlFault::NoXml),
            (good.replace("</saml:Issuer>", ""), SamlFault::NoXml),
            (good.replace("xmlns:saml", "xmlns:other"), SamlFault::NoXml),
            (good.replace("ID=", "ID=\"_2\" ID="), SamlFault::NoXml),
            (format!("{good}{good}"), SamlFault::NoXml),
            (format!("{good}x"), SamlFault::NoXml),
            (format!("x{good}"), SamlFault::NoXml),
            (good.replace("ana@", "\u{1}"), SamlFault::NoXml),
            (String::new(), SamlFault::NoXml),
            ("<a/>".to_owned(), SamlFault::NoAssertion),
        ] {
            assert_eq!(of2(&text), Err(fault), "{text}");
        }
    }
}
