//! What a text may hold that nobody sees: what editors, consoles, templates and clipboards leave in the files that hold secrets.
//!
//! A byte order mark is never meant, and leaves. Anything else may be meant, and stays; it is told.

use zeroize::Zeroizing;

use crate::finding::Complaint;

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether the blanks around a text are a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterBlanks {
    /// They are, as in a password.
    Count,
    /// They are passed over, as around tokens that stand line by line.
    Passed,
}

/// How binary data in DER begins: it has no lines.
const DER: u8 = 0x30;

/// Takes the byte order marks away: the one at the start, and those in front of further lines, which files that were put together
/// have.
pub(super) fn unmarked(bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let is_binary = bytes.first() == Some(&DER) && std::str::from_utf8(&bytes).is_err();
    if is_binary || !bytes.windows(MARK.len()).any(|window| window == MARK) {
        return bytes;
    }
    let mut kept = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut rest = bytes.as_slice();
    while let Some(first) = rest.first() {
        if matches!(kept.last(), None | Some(b'\n' | b'\r')) && rest.starts_with(MARK) {
            rest = rest.get(MARK.len()..).unwrap_or_default();
        } else {
            kept.push(*first);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    kept
}

/// Text of another encoding, as some consoles write it when a file is redirected.
pub(super) fn foreign(bytes: &[u8]) -> Option<Complaint> {
    let is_utf_16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    is_utf_16.then(|| Complaint::new("it is UTF-16 text", "save it as UTF-8"))
}

/// What a text holds that is hardly meant, as the rest of a sentence; nothing of the text itself.
pub(super) fn seen(bytes: &[u8], blanks: OuterBlanks) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| blanks == OuterBlanks::Count || !line.trim_start().starts_with('#'));
    for (number, line) in lines {
        if let Some((character, name)) = line.chars().find_map(invisible) {
            return Some(format!("it has a {name} (U+{:04X}) in line {number}", u32::from(character)));
        }
        let trimmed = line.trim();
        let quoted = |quotes: (char, char)| trimmed.len() > 1 && trimmed.starts_with(quotes.0) && trimmed.ends_with(quotes.1);
        if [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('`', '`')].into_iter().any(quoted) {
            return Some(format!("line {number} stands in quotes"));
        }
        if blanks == OuterBlanks::Count && trimmed.len() < line.len() {
            return Some(format!("line {number} begins or ends with a blank"));
        }
    }
    None
}

/// A character that shows as nothing, or as a space that it is not.
fn invisible(character: char) -> Option<(char, &'static str)> {
    let name = match character {
        '\u{200b}' => "zero-width space",
        '\u{200c}' | '\u{200d}' => "zero-width joiner",
        '\u{2060}' => "word joiner",
        '\u{feff}' => "byte order mark",
        '\u{00ad}' => "soft hyphen",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "mark of writing direction",
        '\u{00a0}' | '\u{202f}' | '\u{2007}' => "no-break space",
        _ => return None,
    };
    Some((character, name))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{OuterBlanks, foreign, seen, unmarked};

    #[test]
    fn byte_order_marks_leave_where_lines_begin() {
        for (text, left) in [
            ("\u{feff}secret", "secret"),
            ("\u{feff}\u{feff}secret", "secret"),
            ("a\n\u{feff}b\r\n\u{feff}c", "a\nb\r\nc"),
            ("a\u{feff}b", "a\u{feff}b"),
            ("plain", "plain"),
            ("\u{feff}", ""),
        ] {
            assert_eq!(unmarked(Zeroizing::new(text.as_bytes().to_vec())).as_slice(), left.as_bytes(), "{text:?}");
        }
        assert!(foreign(b"\xff\xfea\0").is_some() && foreign(b"\xfe\xff\0a").is_some() && foreign(b"plain").is_none());
    }

    #[test]
    fn what_nobody_sees_is_named_and_the_text_is_not() {
        for (text, words) in [
            ("can\u{200b}ary", "a zero-width space (U+200B) in line 1"),
            ("can\u{200d}ary", "a zero-width joiner (U+200D)"),
            ("canary\n\u{a0}canary", "a no-break space (U+00A0) in line 2"),
            ("can\u{202f}ary", "a no-break space (U+202F)"),
            ("can\u{feff}ary", "a byte order mark (U+FEFF)"),
            ("\u{202e}canary", "a mark of writing direction"),
            ("\"canary\"\n", "line 1 stands in quotes"),
            ("canary\n'canary'", "line 2 stands in quotes"),
            ("“canary”", "line 1 stands in quotes"),
            (" canary", "line 1 begins or ends with a blank"),
            ("canary\t\r\n", "line 1 begins or ends with a blank"),
        ] {
            let seen = seen(text.as_bytes(), OuterBlanks::Count).unwrap_or_default();
            assert!(seen.contains(words) && !seen.contains("canary"), "{text:?}: {seen}");
        }
        for plain in ["", "canary", "canary\r\n", "ca\"na'ry", "\"", "\"canary", "it's"] {
            assert_eq!(seen(plain.as_bytes(), OuterBlanks::Count), None, "{plain:?}");
        }
        for passed in [" canary \n", "# \"old\"\ncanary", "#\u{a0}old"] {
            assert_eq!(seen(passed.as_bytes(), OuterBlanks::Passed), None, "{passed:?}");
        }
    }
}
