//! Why a text is no assertion that may be sent, and the remedy. Nothing of it is quoted.

use crate::oauth::SamlVersion;

/// Why a text is no assertion that may be sent. Nothing of it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamlFault {
    /// It is too long.
    TooLong,
    /// It is neither XML nor base64 of it.
    NoText,
    /// It is no XML, or not well-formed.
    NoXml,
    /// It has a document type, and so perhaps entities.
    DocumentType,
    /// Its elements are nested too deep.
    TooDeep,
    /// It has too many nodes.
    TooManyNodes,
    /// Its attributes and namespaces are too many to be compared.
    TooManyNames,
    /// A comment or a processing instruction stands inside a text: readers differ in what such a text says.
    Interrupted,
    /// Its root is no assertion of a version that there is.
    NoAssertion,
    /// It is an assertion of the other kind.
    OfVersion(SamlVersion),
    /// It does not say when it ends.
    Endless,
    /// What it says of its end is no date.
    NoDate,
}

// === impl SamlFault ===

impl SamlFault {
    /// What is wrong, as the rest of a sentence, and the remedy.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::TooLong => "is over 190 KiB: send the assertion alone, as it was issued",
            Self::NoText => {
                "is neither XML nor its base64 or base64url, in UTF-8: send the assertion as it was issued, without line breaks in \
                 the base64"
            }
            Self::NoXml => "is no well-formed XML: send the assertion as it was issued",
            Self::DocumentType => "has a document type (`<!DOCTYPE`), which no assertion has: send the assertion as it was issued",
            Self::TooDeep => "has elements that are nested more than 64 deep: send the assertion alone, as it was issued",
            Self::TooManyNodes => "has more than 10000 nodes: have it issued with fewer attributes",
            Self::TooManyNames => "has more attributes or namespaces than are compared here: have it issued with fewer",
            Self::Interrupted => {
                "has a comment or a processing instruction inside a text, which some readers cut there: have it issued without"
            }
            Self::NoAssertion => {
                "is no SAML assertion: its root has to be `Assertion` of SAML 1.0, 1.1 or 2.0, and neither a response nor encrypted"
            }
            Self::OfVersion(SamlVersion::V1) => {
                "is of SAML 1.1, and its type says 2.0: name `urn:ietf:params:oauth:token-type:saml1`"
            }
            Self::OfVersion(SamlVersion::V2) => {
                "is of SAML 2.0, and its type says 1.1: name `urn:ietf:params:oauth:token-type:saml2`"
            }
            Self::Endless => "does not say when it ends: have it issued with `NotOnOrAfter` in its `Conditions`",
            Self::NoDate => "has a `NotOnOrAfter` that is no date: have it issued with one such as 2026-11-21T22:26:40Z",
        }
    }

    /// Which check failed, for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "it is too long",
            Self::NoText => "it is neither XML nor base64 of it",
            Self::NoXml => "it is no well-formed XML",
            Self::DocumentType => "it has a document type",
            Self::TooDeep => "its elements are nested too deep",
            Self::TooManyNodes => "it has too many nodes",
            Self::TooManyNames => "it has too many attributes or namespaces",
            Self::Interrupted => "it has comments inside a text",
            Self::NoAssertion => "it is no assertion",
            Self::OfVersion(_) => "it is an assertion of another version than its type says",
            Self::Endless => "it does not say when it ends",
            Self::NoDate => "its end is no date",
        }
    }
}
