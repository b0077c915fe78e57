//! The password of a key's file: given, empty, or not there. Each is another thing to mend where it does not open the file.

use std::fmt;

use crate::finding::Complaint;
use crate::reload::Contents;

/// A password.
#[derive(Clone, Copy)]
pub(super) enum Password<'a> {
    /// None is configured.
    None,
    /// The text of its file, without the line end that editors leave.
    Given(&'a str),
}

// === impl Password ===

impl<'a> Password<'a> {
    /// Reads it from its file's contents.
    ///
    /// # Errors
    /// They are no text.
    pub(super) fn of(contents: Option<&'a Contents>) -> Result<Self, Complaint> {
        let Some(contents) = contents else { return Ok(Self::None) };
        let named = |problem: Complaint| Complaint { reason: format!("`password`: {}", problem.reason), ..problem };
        contents.text().map(|text| Self::Given(text.trim_end_matches(['\r', '\n']))).map_err(named)
    }

    /// What is tried: nothing, where there is none.
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::None => "",
            Self::Given(text) => text,
        }
    }

    /// That it does not open something.
    pub(super) fn wrong(self, what: &str) -> Complaint {
        match self {
            Self::None => Complaint::new(
                format!("{what} is under a password, and no `password` is configured"),
                "mount the password as a file of its own and write `password: {file: …}`",
            ),
            Self::Given("") => Complaint::new(
                format!("{what} is under a password, and the one in `password` is empty"),
                "write the password into the file that `password` names",
            ),
            Self::Given(_) => Complaint::new(
                format!("the password in `password` does not open {what}"),
                "write the password that it was exported with, on one line and without quotes",
            ),
        }
    }
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "[redacted]",
        })
    }
}
