//! A metadata document, with what follows from it.

use super::answer::AuthorityError;
use super::issuer_form::IssuerForm;
use crate::oauth::Metadata;

/// A metadata document.
#[derive(Debug)]
pub struct MetadataDocument {
    /// As the server sent it.
    pub metadata: Metadata,
    form: Option<IssuerForm>,
}

// === impl MetadataDocument ===

impl MetadataDocument {
    /// Takes in what a server sent.
    pub(super) fn new(metadata: Metadata) -> Self {
        Self { form: metadata.issuer.as_deref().map(IssuerForm::of), metadata }
    }

    /// What tokens carry as their issuer.
    ///
    /// # Errors
    /// It does not say.
    pub fn issuer_form(&self) -> Result<&IssuerForm, AuthorityError> {
        self.form.as_ref().ok_or(AuthorityError::Invalid("the metadata document has no `issuer`"))
    }

    /// What id tokens carry as their issuer, letter by letter.
    ///
    /// # Errors
    /// It does not say.
    pub fn issuer(&self) -> Result<&str, AuthorityError> {
        self.metadata.issuer.as_deref().ok_or(AuthorityError::Invalid("the metadata document has no `issuer`"))
    }

    /// What access tokens carry as theirs, where that is another one.
    ///
    /// # Errors
    /// It says neither.
    pub fn access_token_issuer(&self) -> Result<&str, AuthorityError> {
        self.metadata.access_token_issuer.as_deref().map_or_else(|| self.issuer(), Ok)
    }
}

/// A server's text as it may be shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && *c != '`').take(256).collect()
}
