//! What is configured: the leaves of the file with the environment over them, found by names without case; and which of them
//! something has been made of, so that no other is lost without a word.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::reasons::is_known_name;
use super::setting::{ForeignSetting, Rank, Spot, Variable};
use crate::config;
use crate::finding::{Complaint, Findings};

/// Everything that is configured.
#[derive(Default)]
pub(super) struct SidecarConfig {
    entries: BTreeMap<String, ConfiguredValue>,
}

/// One value that counts, because nothing stands over it.
pub(super) struct ConfiguredValue {
    setting: ForeignSetting,
    rank: Rank,
    /// The variable, if it is one.
    variable: Option<String>,
    is_used: Cell<bool>,
}

// === impl ConfiguredValue ===

impl ConfiguredValue {
    /// The text, without white space around it; `None` where there is nothing in it.
    pub(super) fn text(&self) -> Option<&str> {
        Some(self.setting.value.expose().trim()).filter(|text| !text.is_empty())
    }

    /// Its name as it is written, a path with `:` between the levels or a variable, as far as it may be shown.
    pub(super) fn name(&self) -> String {
        match &self.variable {
            Some(variable) => variable.split("__").map(shown_name).collect::<Vec<_>>().join("__"),
            None => self.setting.path.iter().map(|name| shown_name(name)).collect::<Vec<_>>().join(":"),
        }
    }

    /// Its name, and where it stands, by the file's own name.
    pub(super) fn place(&self) -> String {
        let Spot { file, line, .. } = &self.setting.spot;
        let file = file.rsplit('/').next().unwrap_or_default();
        format!("{} ({file}, line {line})", self.name())
    }

    /// The variable, if it is one, as a process finds it.
    pub(super) fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// Its path in lower case, with `:` between the names.
    pub(super) fn key(&self) -> String {
        self.setting.path.join(":").to_lowercase()
    }

    /// An error about it.
    pub(super) fn wrong(&self, problem: Complaint, findings: &mut Findings) {
        let spot = &self.setting.spot;
        findings.error(Some(&spot.file), &format!("{}: {}", spot.in_file(), self.name()), problem);
    }

    /// Marks it as one that something was made of.
    pub(super) fn used(&self) -> &Self {
        self.is_used.set(true);
        self
    }
}

// === impl SidecarConfig ===

impl SidecarConfig {
    /// Lays the variables over what the file says, as ASP.NET Core does. One that is there twice is an error: which one counts is
    /// nothing that its writer can have meant.
    pub(super) fn merged(file: Vec<ForeignSetting>, variables: Vec<Variable>, findings: &mut Findings) -> Self {
        let mut config = Self::default();
        for setting in file {
            config.lay(setting, Rank::File, None, findings);
        }
        for Variable { name, leaf, rank } in variables {
            config.lay(leaf, rank, Some(name), findings);
        }
        config
    }

    fn lay(&mut self, setting: ForeignSetting, rank: Rank, variable: Option<String>, findings: &mut Findings) {
        let key = setting.path.join(":").to_lowercase();
        let value = ConfiguredValue { setting, rank, variable, is_used: Cell::new(false) };
        match self.entries.get(&key) {
            Some(other) if other.rank == rank => {
                let reason = format!("it stands there before, in line {}: names have no case", other.setting.spot.line);
                value.wrong(Complaint::new(reason, "keep one of the two"), findings);
            }
            Some(other) if other.rank > rank => {}
            _ => {
                self.entries.insert(key, value);
            }
        }
    }

    /// The value at a path, which is used by that. One with nothing in it counts as none.
    pub(super) fn take(&self, path: &str) -> Option<&ConfiguredValue> {
        let value = self.entries.get(&path.to_lowercase())?.used();
        value.text().map(|_| value)
    }

    /// What the value at a path says; it stays unused.
    pub(super) fn peek(&self, path: &str) -> Option<&str> {
        self.entries.get(&path.to_lowercase())?.text()
    }

    /// A value, and what it says.
    pub(super) fn text(&self, path: &str) -> Option<(&ConfiguredValue, &str)> {
        self.take(path).and_then(|value| value.text().map(|text| (value, text)))
    }

    /// A switch. What is none is an error, as it is to .NET.
    pub(super) fn switch(&self, path: &str, findings: &mut Findings) -> Option<(&ConfiguredValue, bool)> {
        let (value, text) = self.text(path)?;
        match text.to_ascii_lowercase().as_str() {
            "true" => Some((value, true)),
            "false" => Some((value, false)),
            _ => {
                value.wrong(Complaint::new("it is neither true nor false", "write one of them"), findings);
                None
            }
        }
    }

    /// A list, or a text of words with any of `separators` between them. The first value says where it stands.
    pub(super) fn list(&self, path: &str, separators: &[char]) -> Option<(&ConfiguredValue, Vec<&str>)> {
        let of_items = self.children(path).into_iter().filter_map(|name| self.text(&format!("{path}:{name}")));
        let items: Vec<_> = self.text(path).into_iter().chain(of_items).collect();
        let (first, _) = items.first()?;
        let words = items.iter().flat_map(|(_, text)| text.split(separators)).map(str::trim).filter(|word| !word.is_empty());
        Some((first, words.collect()))
    }

    /// The names below a path, as they are written first, numbers in their order.
    pub(super) fn children(&self, path: &str) -> Vec<String> {
        let depth = path.split(':').count();
        let mut names: Vec<String> = Vec::new();
        for value in self.below(path) {
            let Some(name) = value.setting.path.get(depth) else { continue };
            if !names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                names.push(name.clone());
            }
        }
        names.sort_by_cached_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.to_lowercase()));
        names
    }

    /// Every value below a path, whether it was used or not.
    pub(super) fn below(&self, path: &str) -> impl Iterator<Item = &ConfiguredValue> {
        let prefix = format!("{}:", path.to_lowercase());
        self.entries.iter().filter(move |(key, _)| key.starts_with(&prefix)).map(|(_, value)| value)
    }

    /// What nothing was made of, at a path and below it; everywhere for an empty path.
    pub(super) fn left(&self, path: &str) -> Vec<&ConfiguredValue> {
        let prefix = format!("{}:", path.to_lowercase());
        let is_below = |key: &str| path.is_empty() || key.starts_with(&prefix) || prefix.strip_suffix(':') == Some(key);
        self.entries.iter().filter(|(key, value)| is_below(key) && !value.is_used.get()).map(|(_, value)| value).collect()
    }
}

/// A name as it may be shown: a secret may stand where a name belongs.
pub(super) fn shown_name(name: &str) -> String {
    if is_known_name(name) {
        return name.to_owned();
    }
    name.split('.').map(config::shown).collect::<Vec<_>>().join(".")
}
