//! A tenant's name, checked where it enters.

use std::fmt;

/// A tenant: a GUID or a DNS name, lower-cased, of `[a-z0-9.-]{1,253}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Box<str>);

// === impl Tenant ===

impl Tenant {
    /// Takes a tenant's name. `None`: it is no GUID and no DNS name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=253).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
            && !text.starts_with(['.', '-'])
            && !text.ends_with(['.', '-'])
            && !text.contains("..");
        fits.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this names no tenant but a set of them (`common`, `organizations`, `consumers`).
    pub fn is_any(&self) -> bool {
        matches!(&*self.0, "common" | "organizations" | "consumers")
    }

    /// Whether this is a tenant's id and not one of its domain names.
    pub fn is_guid(&self) -> bool {
        uuid::Uuid::try_parse(&self.0).is_ok()
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Tenant;

    #[test]
    fn takes_guids_and_names_only() {
        for good in ["8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "contoso.onmicrosoft.com", "common", "A"] {
            assert!(Tenant::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a/b", "a b", "..", "a..b", ".a", "é", "a?b", "a%2fb"] {
            assert!(Tenant::parse(bad).is_none(), "{bad}");
        }
    }
}
