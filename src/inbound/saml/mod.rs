//! SAML assertions that stand for a user (RFC 7522), as far as they are read here: of which kind they are, and when they end.
//!
//! Nobody here verifies their signatures. So what they say decides when they are served no more, and never whose token is whose:
//! the authority alone says whom one is about. `cost` finds out before anything is parsed what that would take, and `document`
//! parses.

mod cost;
mod document;
mod fault;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::policy::SKEW;
use crate::oauth::SamlVersion;
use crate::secret::Secret;
pub use fault::SamlFault;

/// The longest assertion, in bytes: in base64 it is as long as a body may be (`limits.body`) that has nothing but it.
pub const LONGEST_ASSERTION: usize = 190 * 1024;

/// An assertion of a kind that its sender named, which says when it ends.
// No `Debug`: it would show what the caller was trusted with.
pub struct SamlAssertion<'a> {
    text: Cow<'a, str>,
    /// In seconds since the Unix epoch.
    ends_on: i64,
}

// === impl SamlAssertion ===

impl<'a> SamlAssertion<'a> {
    /// Reads an assertion: XML, or its base64 in either alphabet, padded or not.
    ///
    /// # Errors
    /// It is none of this version, or is not as it has to be.
    pub fn read(text: &'a str, version: SamlVersion) -> Result<Self, SamlFault> {
        let text = xml(text)?;
        if text.len() > LONGEST_ASSERTION {
            return Err(SamlFault::TooLong);
        }
        cost::judge(&text)?;
        let ends_on = document::end(&text, version)?;
        Ok(Self { text, ends_on })
    }

    /// The very text that was given, or that its base64 is of.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As it is sent (RFC 7522 §2.1, RFC 8693 §3): base64url without padding.
    pub fn encoded(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.text.as_bytes()))
    }

    /// Whether it has ended, in seconds since the Unix epoch.
    pub fn has_ended(&self, now: i64) -> bool {
        now >= self.ends_on.saturating_add(SKEW)
    }
}

/// Whether a text is base64url of what begins as XML does: nothing else is asked of what comes from the authority itself.
pub fn is_encoded_xml(text: &str) -> bool {
    let start: String = text.chars().take_while(|c| *c != '=').take(16).collect();
    let whole = start.get(..start.len() / 4 * 4).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(whole).or_else(|_| STANDARD_NO_PAD.decode(whole)).unwrap_or_default();
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    bytes.trim_ascii_start().first() == Some(&b'<')
}

/// The XML of a member's text.
fn xml(text: &str) -> Result<Cow<'_, str>, SamlFault> {
    if text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('<') {
        return Ok(Cow::Borrowed(text));
    }
    let bare = text.trim_ascii().trim_end_matches('=');
    if bare.len() > LONGEST_ASSERTION.div_ceil(3) * 4 {
        return Err(SamlFault::TooLong);
    }
    let bytes = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).map_err(|_| SamlFault::NoText)?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(Cow::Owned).ok_or(SamlFault::NoText)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::document::tests::saml2;
    use super::{LONGEST_ASSERTION, SamlAssertion, SamlFault, SamlVersion, is_encoded_xml};

    const CONDITIONS: &str = "<saml:Conditions NotOnOrAfter=\"2026-11-21T22:26:40Z\"/>";
    const ENDS_ON: i64 = 1_795_300_000;

    fn fault(text: &str) -> Option<SamlFault> {
        SamlAssertion::read(text, SamlVersion::V2).err()
    }

    #[test]
    fn req_8_text_and_both_alphabets_padded_or_not_are_one_assertion() {
        // A byte more each time: every length of padding, and letters that the alphabets spell differently.
        for filler in ["", "?", "??", "\u{ff}~>", "\u{3ff}\u{3bf}?>?"] {
            let xml = saml2(CONDITIONS, &format!("<saml:Advice>{filler}</saml:Advice>"));
            let padded = [STANDARD.encode(&xml), URL_SAFE.encode(&xml)];
            let bare = [STANDARD_NO_PAD.encode(&xml), URL_SAFE_NO_PAD.encode(&xml)];
            for text in padded.into_iter().chain(bare).chain([xml.clone(), format!(" {}\n", STANDARD.encode(&xml))]) {
                let read = SamlAssertion::read(&text, SamlVersion::V2).unwrap_or_else(|fault| panic!("{fault:?}: {text}"));
                assert_eq!(read.text(), xml);
                assert_eq!(read.encoded().expose(), URL_SAFE_NO_PAD.encode(&xml));
            }
        }
        // Every byte counts: what stands around it goes on as well.
        let spaced = format!("\u{feff}{}\n", saml2(CONDITIONS, ""));
        let read = SamlAssertion::read(&spaced, SamlVersion::V2).unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(read.text(), spaced);
    }

    #[test]
    fn an_assertion_has_ended_a_minute_after_its_end() {
        let xml = saml2(CONDITIONS, "");
        let read = SamlAssertion::read(&xml, SamlVersion::V2).unwrap_or_else(|fault| panic!("{fault:?}"));
        assert!(!read.has_ended(ENDS_ON) && !read.has_ended(ENDS_ON + 59) && read.has_ended(ENDS_ON + 60));
    }

    #[test]
    fn what_is_no_text_or_too_long_is_said() {
        for text in ["", " ", "====", "not base64 at all!", "eyJhbGciOiJub25lIn0.e30.", "PHNh\nbWw", "_+8"] {
            assert_eq!(fault(text), Some(SamlFault::NoText), "{text:?}");
        }
        assert_eq!(fault(&STANDARD.encode([0xff, 0xfe, b'<', 0])), Some(SamlFault::NoText), "UTF-16");
        assert_eq!(fault(&STANDARD.encode("no XML")), Some(SamlFault::NoXml));
        let filled = |length: usize| {
            let bare = saml2(CONDITIONS, "<saml:Advice></saml:Advice>").len();
            saml2(CONDITIONS, &format!("<saml:Advice>{}</saml:Advice>", "x".repeat(length - bare)))
        };
        let (longest, longer) = (filled(LONGEST_ASSERTION), filled(LONGEST_ASSERTION + 1));
        for text in [longest.clone(), STANDARD.encode(&longest), URL_SAFE_NO_PAD.encode(&longest)] {
            assert_eq!(fault(&text), None);
        }
        for text in [longer.clone(), STANDARD.encode(&longer), "A".repeat(4 * LONGEST_ASSERTION)] {
            assert_eq!(fault(&text), Some(SamlFault::TooLong));
        }
    }

    #[test]
    fn what_an_authority_issues_is_known_by_how_it_begins() {
        for xml in ["<a/>", "<saml:Assertion>", " <a>", "\u{feff}<a/>", "<?xml version=\"1.0\"?><a/>"] {
            assert!(is_encoded_xml(&URL_SAFE.encode(xml)) && is_encoded_xml(&URL_SAFE_NO_PAD.encode(xml)), "{xml}");
        }
        for other in ["", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "opaque", "<a/>", "====", "\u{e9}\u{e9}\u{e9}\u{e9}"] {
            assert!(!is_encoded_xml(other), "{other}");
        }
    }

    proptest! {
        /// Whatever the bytes are, the answer comes, and says which check failed.
        #[test]
        fn anything_is_read_or_refused(text in "[<>/&;=\"' a-z!?\\-\\[\\]:]{0,300}", kind in any::<bool>()) {
            let version = if kind { SamlVersion::V1 } else { SamlVersion::V2 };
            for text in [text.clone(), saml2(CONDITIONS, &text), STANDARD.encode(&text)] {
                if let Err(fault) = SamlAssertion::read(&text, version) {
                    prop_assert!(!fault.sentence().is_empty() && !fault.reason().is_empty());
                }
            }
        }
    }
}
