//! Texts of others as a terminal may show them. An authority's words, a user's name and a server's title may have anything in them,
//! and a terminal obeys what it is shown.

/// The longest text that is shown, in characters.
const LONGEST: usize = 600;

/// A text on one line, cut, without anything that moves the cursor, hides text or turns it around.
pub(super) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().map(|c| if obeys(c) { ' ' } else { c }).take(LONGEST + 1).collect();
    if shown.chars().count() > LONGEST {
        shown = shown.chars().take(LONGEST).chain(['…']).collect();
    }
    shown.trim().to_owned()
}

/// Whether a terminal does something with it in place of showing it: controls of both sets, line separators, and what sets the
/// direction of text or has no width.
fn obeys(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, printable};

    #[test]
    fn a_terminal_is_told_nothing_by_texts_of_others() {
        assert_eq!(printable("AADSTS65004: no.\r\nTrace ID: 1"), "AADSTS65004: no.  Trace ID: 1");
        assert_eq!(printable("\u{1b}]0;owned\u{7}\u{1b}[2Jana"), "]0;owned  [2Jana");
        assert_eq!(printable("\u{9b}31mred\u{202e}gro\u{200b}.x"), "31mred gro .x");
        assert_eq!(printable("  Zoë Müller 日本 "), "Zoë Müller 日本");
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = printable(&"é".repeat(LONGEST + 1));
        assert!(shown.ends_with("é…") && shown.chars().count() == LONGEST + 1);
        assert_eq!(printable(&"é".repeat(LONGEST)).chars().count(), LONGEST);
    }
}
