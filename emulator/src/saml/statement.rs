//! An assertion that is issued: its text, and its signature in its place.

use super::{canonical::in_text, format::Format, signature};
use crate::{jose, keys::SigningKey, time};

/// What an assertion is to say.
pub(crate) struct Statement<'a> {
    pub(crate) format: Format,
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    /// The name of whom it is about.
    pub(crate) subject: &'a str,
    pub(crate) not_before: i64,
    pub(crate) not_on_or_after: i64,
    /// Under names whose namespace is Microsoft's.
    pub(crate) attributes: Vec<(&'static str, &'a str)>,
}

const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const CLAIMS: &str = "http://schemas.microsoft.com/identity/claims";

// === impl Statement ===

impl Statement<'_> {
    /// The assertion, signed.
    pub(crate) fn sign(&self, now: i64, key: &SigningKey) -> Option<String> {
        let id = format!("_{}", uuid::Uuid::new_v4());
        let now = time::iso(now);
        let unsigned = self.written(&id, &now, "");
        let signature = signature::sign(&unsigned, &id, key)?;
        Some(self.written(&id, &now, &signature))
    }

    fn written(&self, id: &str, now: &str, signature: &str) -> String {
        match self.format {
            Format::One => self.one(id, now, signature),
            Format::Two => self.two(id, now, signature),
        }
    }

    fn one(&self, id: &str, now: &str, signature: &str) -> String {
        let (issuer, audience) = (quoted(self.issuer), in_text(self.audience));
        let (begin, end) = (time::iso(self.not_before), time::iso(self.not_on_or_after));
        let subject = format!(
            "<Subject><NameIdentifier Format=\"{EMAIL}\">{}</NameIdentifier><SubjectConfirmation><ConfirmationMethod>\
             urn:oasis:names:tc:SAML:1.0:cm:bearer</ConfirmationMethod></SubjectConfirmation></Subject>",
            in_text(self.subject)
        );
        let attributes: String = self
            .attributes
            .iter()
            .map(|(name, value)| {
                format!(
                    "<Attribute AttributeName=\"{name}\" AttributeNamespace=\"{CLAIMS}\"><AttributeValue>{}</AttributeValue>\
                     </Attribute>",
                    in_text(value)
                )
            })
            .collect();
        let statement = if attributes.is_empty() {
            String::new()
        } else {
            format!("<AttributeStatement>{subject}{attributes}</AttributeStatement>")
        };
        format!(
            "<Assertion xmlns=\"{}\" MajorVersion=\"1\" MinorVersion=\"1\" AssertionID=\"{id}\" Issuer=\"{issuer}\" \
             IssueInstant=\"{now}\"><Conditions NotBefore=\"{begin}\" NotOnOrAfter=\"{end}\"><AudienceRestrictionCondition><Audience>\
             {audience}</Audience></AudienceRestrictionCondition></Conditions>{statement}<AuthenticationStatement \
             AuthenticationMethod=\"urn:oasis:names:tc:SAML:1.0:am:password\" AuthenticationInstant=\"{now}\">{subject}\
             </AuthenticationStatement>{signature}</Assertion>",
            self.format.namespace()
        )
    }

    fn two(&self, id: &str, now: &str, signature: &str) -> String {
        let (issuer, audience, subject) = (in_text(self.issuer), in_text(self.audience), in_text(self.subject));
        let (begin, end) = (time::iso(self.not_before), time::iso(self.not_on_or_after));
        let attributes: String = self
            .attributes
            .iter()
            .map(|(name, value)| {
                format!("<Attribute Name=\"{CLAIMS}/{name}\"><AttributeValue>{}</AttributeValue></Attribute>", in_text(value))
            })
            .collect();
        let statement =
            if attributes.is_empty() { attributes } else { format!("<AttributeStatement>{attributes}</AttributeStatement>") };
        format!(
            "<Assertion xmlns=\"{}\" ID=\"{id}\" IssueInstant=\"{now}\" Version=\"2.0\"><Issuer>{issuer}</Issuer>{signature}<Subject>\
             <NameID Format=\"{EMAIL}\">{subject}</NameID><SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
             <SubjectConfirmationData NotOnOrAfter=\"{end}\"></SubjectConfirmationData></SubjectConfirmation></Subject><Conditions \
             NotBefore=\"{begin}\" NotOnOrAfter=\"{end}\"><AudienceRestriction><Audience>{audience}</Audience></AudienceRestriction>\
             </Conditions>{statement}<AuthnStatement AuthnInstant=\"{now}\"><AuthnContext><AuthnContextClassRef>\
             urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement></Assertion>",
            self.format.namespace()
        )
    }
}

/// An assertion as it travels: base64url without padding (RFC 7522 §2.1).
pub(crate) fn encode(assertion: &str) -> String {
    jose::encode(assertion)
}

fn quoted(text: &str) -> String {
    in_text(text).replace('"', "&quot;")
}
