//! Names that stand in findings: which may be shown, and which known one was probably meant.
//!
//! A secret may stand where a key belongs (a forgotten colon, a wrong indentation), so a name that nobody knows is shown with care.

/// What stands for a name that is not shown.
const HIDDEN: &str = "(name not shown)";

/// Whether it can name an app or an api: `[a-z0-9][a-z0-9-]*`.
pub(super) fn is_valid(name: &str) -> bool {
    !name.starts_with('-') && !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The name of an app or an api as findings show it.
pub(super) fn shown_entry(name: &str) -> &str {
    if is_valid(name) { name } else { shown(name) }
}

/// The name of an unknown member as findings show it: a secret may stand where a name belongs.
pub fn shown(name: &str) -> &str {
    let plain = !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain && !is_like_a_token(name) { name } else { HIDDEN }
}

/// Long, with digits, and not made of words: what people call keys is shorter or has separators.
fn is_like_a_token(name: &str) -> bool {
    let has = |test: fn(&u8) -> bool| name.as_bytes().iter().any(test);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let separated = name.contains(['_', '-']);
    name.starts_with("eyJ") || (name.len() >= 16 && has(u8::is_ascii_digit) && (mixed || !separated))
}

#[cfg(test)]
mod tests {
    use super::{is_valid, shown};

    #[test]
    fn secrets_in_the_place_of_names_are_not_shown() {
        for hidden in ["eyJhbGciOi", "Q8q~abc", "a b", "", "0123456789abcdef0123456789abcdef", "aB3dE6gH9jK2mN5p", &"x".repeat(33)]
        {
            assert_eq!(shown(hidden), "(name not shown)", "{hidden}");
        }
        for plain in ["client-id", "clientId", "authority_url", "assertion_audience_v2"] {
            assert_eq!(shown(plain), plain);
        }
    }

    #[test]
    fn names_are_lower_case() {
        assert!(is_valid("a-1") && is_valid("0"));
        assert!(!is_valid("-a") && !is_valid("A") && !is_valid("a_b") && !is_valid("") && !is_valid("a.b"));
    }
}
