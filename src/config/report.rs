//! Collects findings by the path of the key, and says for each in which file or variable the operator finds it.

use crate::finding::{Complaint, Findings};

/// Findings while a configuration is read.
pub(super) struct Report<'a> {
    file: Option<&'a str>,
    /// Which path each environment variable set, and its name.
    variables: Vec<(String, String)>,
    findings: Findings,
    /// The paths that a finding names already: what is missing there has been said.
    reported: Vec<String>,
}

// === impl Report ===

impl<'a> Report<'a> {
    /// A report on a file and the variables over it.
    pub(super) fn new(file: Option<&'a str>) -> Self {
        Self { file, variables: Vec::new(), findings: Findings::default(), reported: Vec::new() }
    }

    /// Remembers that the value at `path` comes from a variable.
    pub(super) fn attribute(&mut self, path: String, variable: String) {
        self.variables.push((path, variable));
    }

    /// Adds an error at a path.
    pub(super) fn error(&mut self, path: &str, problem: Complaint) {
        let (file, key) = self.place(path);
        self.findings.error(file.as_deref(), &key, problem);
        self.reported.push(path.to_owned());
    }

    /// Adds a warning at a path.
    pub(super) fn warning(&mut self, path: &str, problem: Complaint) {
        let (file, key) = self.place(path);
        self.findings.warning(file.as_deref(), &key, problem);
    }

    /// Adds an error about something that is not there, unless a finding at, above or below the path has explained that.
    pub(super) fn missing(&mut self, path: &str, problem: Complaint) {
        if !self.is_explained(path) {
            self.error(path, problem);
        }
    }

    /// Whether a finding at, above or below a path has said what is wrong there.
    pub(super) fn is_explained(&self, path: &str) -> bool {
        self.reported.iter().any(|other| is_within(other, path) || is_within(path, other))
    }

    /// Adds an error about a place that is no path: a line of the file, or a variable.
    pub(super) fn error_at(&mut self, file: Option<&str>, key: &str, problem: Complaint) {
        self.findings.error(file, key, problem);
    }

    /// Adds a warning about a variable that sets no path.
    pub(super) fn warning_at(&mut self, key: &str, problem: Complaint) {
        self.findings.warning(None, key, problem);
    }

    /// The value, or an error at the path.
    pub(super) fn take<T>(&mut self, path: &str, value: Result<T, Complaint>) -> Option<T> {
        value.map_err(|problem| self.error(path, problem)).ok()
    }

    /// In which file, and under which key or variable, the value of a path stands.
    pub(super) fn place(&self, path: &str) -> (Option<String>, String) {
        let over = self.variables.iter().filter(|(set, _)| is_within(path, set)).max_by_key(|(set, _)| set.len());
        let below = || self.variables.iter().find(|(set, _)| is_within(set, path));
        match over.or_else(|| if self.file.is_none() { below() } else { None }) {
            Some((set, variable)) if set.len() < path.len() => (None, format!("{variable} ({path})")),
            Some((_, variable)) => (None, variable.clone()),
            None => (self.file.map(str::to_owned), path.to_owned()),
        }
    }

    /// Whether the value of a path comes from a variable.
    pub(super) fn is_from_a_variable(&self, path: &str) -> bool {
        self.variables.iter().any(|(set, _)| is_within(path, set))
    }

    /// The findings.
    pub(super) fn finish(self) -> Findings {
        self.findings
    }
}

/// Whether `path` is `outer` or below it.
fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_finding_names_the_variable() {
        let mut report = Report::new(Some("t.yaml"));
        report.attribute("apps.a".to_owned(), "TOKEND_APPS__A".to_owned());
        report.attribute("apps.a.client_id".to_owned(), "TOKEND_APPS__A__CLIENT_ID".to_owned());
        assert_eq!(report.place("apps.a.client_id"), (None, "TOKEND_APPS__A__CLIENT_ID".to_owned()));
        assert_eq!(report.place("apps.a.issuer"), (None, "TOKEND_APPS__A (apps.a.issuer)".to_owned()));
        assert_eq!(report.place("apps.ab"), (Some("t.yaml".to_owned()), "apps.ab".to_owned()));
        assert_eq!(report.place("apps"), (Some("t.yaml".to_owned()), "apps".to_owned()));
    }
}
