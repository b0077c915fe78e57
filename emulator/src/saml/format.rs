//! The two forms of assertions, and what they are called.

use serde::Deserialize;

/// Which of the two forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Format {
    #[serde(rename = "1.1")]
    One,
    #[default]
    #[serde(rename = "2.0")]
    Two,
}

// === impl Format ===

impl Format {
    /// What token exchange calls it, and Entra's `requested_token_type`.
    pub(crate) fn token_type(self) -> &'static str {
        match self {
            Self::One => "urn:ietf:params:oauth:token-type:saml1",
            Self::Two => "urn:ietf:params:oauth:token-type:saml2",
        }
    }

    pub(crate) fn of_type(token_type: &str) -> Option<Self> {
        [Self::One, Self::Two].into_iter().find(|format| format.token_type() == token_type)
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::One => "urn:oasis:names:tc:SAML:1.0:assertion",
            Self::Two => "urn:oasis:names:tc:SAML:2.0:assertion",
        }
    }
}
