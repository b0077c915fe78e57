//! The name of a user flow or custom policy at Azure AD B2C.

use std::fmt;

/// The longest name, in bytes: B2C's own are far shorter.
const LONGEST: usize = 128;

/// A policy's name. B2C looks at no letter's case, so that it is kept in lower case: it stands in keys and in names of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyName(String);

// === impl PolicyName ===

impl PolicyName {
    /// Reads a name: `[A-Za-z0-9_-]{1,128}`. `None`: it is none, and could lead elsewhere in a path.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        ((1..=LONGEST).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of a user at home who signs in by it: the user's own, then the policy's name.
    pub fn user(&self, id: &str) -> String {
        match self.stem(id) {
            Some(_) => id.to_owned(),
            None => format!("{id}-{}", self.0),
        }
    }

    /// What stands before its name in the id of a user who signed in by it; `None`: the id is of another policy's user, or of
    /// nobody.
    pub fn stem<'a>(&self, id: &'a str) -> Option<&'a str> {
        let (stem, name) = id.split_at_checked(id.len().checked_sub(self.0.len())?)?;
        let stem = stem.strip_suffix('-').filter(|stem| !stem.is_empty())?;
        name.eq_ignore_ascii_case(&self.0).then_some(stem)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::PolicyName;

    #[test]
    fn a_policy_is_one_plain_segment_in_lower_case() {
        assert_eq!(PolicyName::parse("B2C_1_SUSI").map(|name| name.to_string()).as_deref(), Some("b2c_1_susi"));
        for bad in ["", "..", "a/b", "a/../b", "a.b", "a b", "a%2fb", "é", &"a".repeat(129)] {
            assert!(PolicyName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_users_id_says_by_which_policy() {
        let policy = PolicyName::parse("b2c_1_susi").unwrap();
        assert_eq!(policy.user("11b7"), "11b7-b2c_1_susi");
        assert_eq!(policy.user("11b7-B2C_1_susi"), "11b7-B2C_1_susi");
        assert_eq!(policy.stem("11b7-b2c_1_SUSI"), Some("11b7"));
        for other in ["", "b2c_1_susi", "-b2c_1_susi", "11b7-b2c_1_edit", "11b7b2c_1_susi", "éb2c_1_susi"] {
            assert_eq!(policy.stem(other), None, "{other}");
        }
    }
}
