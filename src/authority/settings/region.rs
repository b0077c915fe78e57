//! Which region an app wants, and how regions are named.

use std::sync::Arc;

use url::Url;

/// A region's name: `[a-z0-9]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionName(Arc<str>);

/// What an app wants of regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionWish {
    /// This region.
    Named(RegionName),
    /// The one in which the process runs.
    Auto(RegionSource),
}

/// Where the process's own region is known from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionSource {
    /// `REGION_NAME`, where a platform sets it.
    pub environment: Option<String>,
    /// What serves the machine's metadata.
    pub metadata: Url,
}

// === impl RegionName ===

impl RegionName {
    /// Reads a name. `None`: it is none, and would lead to another host.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.into()))
    }

    /// As platforms say it: in any case, with spaces in it (`West Europe`).
    pub(in crate::authority) fn said(text: &str) -> Option<Self> {
        Self::parse(&text.split_whitespace().collect::<String>().to_ascii_lowercase())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::RegionName;

    #[test]
    fn aut_7_a_region_is_a_plain_name() {
        for good in ["westeurope", "eastus2", "a"] {
            assert_eq!(RegionName::parse(good).map(|name| name.as_str().to_owned()).as_deref(), Some(good));
        }
        for bad in ["", "West Europe", "WestEurope", "west-europe", "west.europe", "a/b", "é", &"a".repeat(65)] {
            assert!(RegionName::parse(bad).is_none(), "{bad}");
        }
    }
}
