//! What is wrong with a configuration: collected, never returned one by one, so that an operator mends everything in one go.

use std::fmt;

/// Whether tokend can run with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// tokend does not start.
    Error,
    /// tokend starts, and says so.
    Warning,
}

/// One thing to mend: where it stands, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether tokend can run with it.
    pub severity: Severity,
    /// The file it stands in; `None` for the environment or a value that is missing everywhere.
    pub file: Option<String>,
    /// The key's path (`apps.orders.client_id`), or the variable's name.
    pub key: String,
    /// What is wrong, without quoting the value: values may be secrets.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// A list of findings that grows while the configuration is read and its files are loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

/// What is wrong with one value and how to mend it; the caller knows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Complaint {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// The known name that is closest to `name`, if one is close.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let (known, distance) = known.iter().map(|known| (*known, distance(&name, known))).min_by_key(|(_, distance)| *distance)?;
    (distance <= 2 && distance < known.len().min(name.len())).then_some(known)
}

/// The edit distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        let mut next = vec![last];
        for (right, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = diagonal + usize::from(left != *right);
            last = cost.min(last + 1).min(above + 1);
            diagonal = *above;
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

// === impl Complaint ===

impl Complaint {
    /// A problem with its remedy.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

// === impl Findings ===

impl Findings {
    /// Adds an error.
    pub fn error(&mut self, file: Option<&str>, key: &str, problem: Complaint) {
        self.push(Severity::Error, file, key, problem);
    }

    /// Adds a warning.
    pub fn warning(&mut self, file: Option<&str>, key: &str, problem: Complaint) {
        self.push(Severity::Warning, file, key, problem);
    }

    fn push(&mut self, severity: Severity, file: Option<&str>, key: &str, problem: Complaint) {
        self.0.push(Finding {
            severity,
            file: file.map(str::to_owned),
            key: key.to_owned(),
            reason: problem.reason,
            remedy: problem.remedy,
        });
    }

    /// Takes over the findings of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether one of them keeps tokend from starting.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = self.file.as_deref().unwrap_or("environment");
        write!(f, "{severity}: {place}: {}: {}\n  remedy: {}", self.key, self.reason, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("client-id", &["client_id", "credential"]), Some("client_id"));
        assert_eq!(nearest("clientid", &["client_id", "credential"]), Some("client_id"));
        for near in ["scope", "Scopes", "scoeps"] {
            assert_eq!(nearest(near, &["app", "scopes", "scheme"]), Some("scopes"), "{near}");
        }
        assert_eq!(nearest("x", &["apps", "url"]), None);
    }
}
