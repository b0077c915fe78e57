//! A secret is a type from header to wire: it has no `Display`,
//! its `Debug` says nothing, and its memory is wiped when it is dropped.

use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret as _, SecretString};

/// A secret text: client secret, assertion, authorization code, token.
#[derive(Clone)]
pub struct Secret(SecretString);

// === impl Secret ===

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself; every use is a place to look at in a review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Cuts `text` to `limit` bytes and replaces every occurrence of the secrets, raw or percent-encoded, by `[redacted]`. One that
/// begins before the cut and goes on behind it is left out.
///
/// Which characters are encoded differs from writer to writer, as does the case of the digits, so that every byte may stand in
/// either form, and a space may be a plus. Secrets shorter than six bytes are left alone: they would turn ordinary words into holes
/// and protect nothing.
///
/// It costs time in proportion to what is left after the cut, whatever the text and the secrets are.
pub fn redact(text: &str, limit: usize, secrets: &[&str]) -> String {
    let (kept, cut) = cut(text, limit);
    let mut holes = Holes { text: kept, cut, end: kept.len(), found: Vec::new() };
    let (raw, decoded) = (Reading::raw(kept.as_bytes()), Reading::decoded(kept.as_bytes()));
    for secret in secrets.iter().map(|secret| secret.as_bytes()).filter(|secret| secret.len() >= SHORTEST) {
        holes.look(&raw, secret);
        for secret in ways_to_read(secret) {
            holes.look(&decoded, &secret);
        }
    }
    let mut out = holes.punch();
    if cut || out.len() > limit {
        out.truncate(out.floor_char_boundary(limit.saturating_sub(CUT.len())));
        out.push_str(CUT);
    }
    out
}

/// The shortest secret that is looked for, in bytes.
const SHORTEST: usize = 6;

/// What stands where a text was cut.
const CUT: &str = "…";

/// What stands where a secret was.
const HOLE: &str = "[redacted]";

/// Where secrets are in a text.
struct Holes<'a> {
    text: &'a str,
    /// Whether there is more of it than this.
    cut: bool,
    found: Vec<Range<usize>>,
    /// Where the text ends, or a secret begins that goes on behind its end.
    end: usize,
}

/// Bytes as they are read, each with the place where it is written.
#[derive(Default)]
struct Reading {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

/// The part of a text that there is room for, and whether something is left of it. An escape is in it as a whole or not at all.
fn cut(text: &str, limit: usize) -> (&str, bool) {
    if text.len() <= limit {
        return (text, false);
    }
    let end = text.floor_char_boundary(limit.saturating_sub(CUT.len()));
    let kept = text.get(..end).unwrap_or_default();
    let escape = kept.as_bytes().iter().rev().take(2).position(|byte| *byte == b'%').map_or(end, |back| end - back - 1);
    (kept.get(..escape).unwrap_or_default(), true)
}

/// How a secret reads in a text that is decoded: as it is; decoded itself, where it has what looks like an escape and the writer
/// left percent signs alone; and each of them without its first one or two digits,
/// which a percent sign right before it makes part of an escape.
fn ways_to_read(secret: &[u8]) -> Vec<Vec<u8>> {
    let whole: Vec<u8> = secret.iter().copied().map(plain).collect();
    let decoded = Reading::decoded(secret).bytes;
    let mut ways = Vec::new();
    for way in if decoded == whole { vec![whole] } else { vec![whole, decoded] } {
        let digits = way.iter().take(2).take_while(|byte| hex(**byte).is_some()).count();
        ways.extend((0..=digits).filter_map(|digits| way.get(digits..)).map(<[u8]>::to_vec));
    }
    ways.retain(|way| way.len() >= SHORTEST);
    ways
}

fn plain(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Where `pattern` is in `text`: every place, as a range of indices, and where a beginning of it is the end of the text. Knuth,
/// Morris and Pratt's: each symbol is looked at twice at most, and no more of the pattern than the text is long.
fn places<T: PartialEq>(text: &[T], pattern: &[T]) -> (Vec<Range<usize>>, usize) {
    let pattern = pattern.get(..text.len() + 1).unwrap_or(pattern);
    let back = borders(pattern);
    let mut found = Vec::new();
    let mut matched = 0;
    for (end, symbol) in text.iter().enumerate() {
        matched = longer(pattern, &back, matched, symbol);
        if matched == pattern.len() {
            found.push(end + 1 - matched..end + 1);
        }
    }
    (found, text.len() - matched)
}

/// For each beginning of the pattern, by its length less one: how much of the pattern's own beginning its end is.
fn borders<T: PartialEq>(pattern: &[T]) -> Vec<usize> {
    let mut back = Vec::with_capacity(pattern.len());
    let mut matched = 0;
    for (at, symbol) in pattern.iter().enumerate() {
        matched = if at == 0 { 0 } else { longer(pattern, &back, matched, symbol) };
        back.push(matched);
    }
    back
}

/// How much of the pattern is matched after one more symbol.
fn longer<T: PartialEq>(pattern: &[T], back: &[usize], mut matched: usize, symbol: &T) -> usize {
    while pattern.get(matched) != Some(symbol) {
        match matched.checked_sub(1).and_then(|last| back.get(last)) {
            Some(shorter) => matched = *shorter,
            None => return 0,
        }
    }
    matched + 1
}

// === impl Reading ===

impl Reading {
    fn raw(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), places: (0..text.len()).collect() }
    }

    /// Without percent-encoding. A plus and a space are the same.
    fn decoded(text: &[u8]) -> Self {
        let mut read = Self::default();
        let mut at = 0;
        while let Some([byte, rest @ ..]) = text.get(at..) {
            let escaped = match (byte, rest) {
                (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
                _ => None,
            };
            read.bytes.push(plain(escaped.unwrap_or(*byte)));
            read.places.push(at);
            at += if escaped.is_some() { 3 } else { 1 };
        }
        read
    }
}

// === impl Holes ===

impl Holes<'_> {
    fn look(&mut self, read: &Reading, secret: &[u8]) {
        let (found, beginning) = places(&read.bytes, secret);
        let place = |index: usize| read.places.get(index).copied().unwrap_or(self.text.len());
        self.found.extend(found.into_iter().map(|range| place(range.start)..place(range.end)));
        if self.cut {
            self.end = self.end.min(place(beginning));
        }
    }

    /// The text with a mark in place of each secret.
    fn punch(mut self) -> String {
        self.found.sort_unstable_by_key(|hole| hole.start);
        let mut out = String::with_capacity(self.text.len());
        let mut shown = 0;
        for hole in self.found {
            let (start, end) = (self.text.floor_char_boundary(hole.start), self.text.ceil_char_boundary(hole.end));
            if start >= self.end {
                break;
            }
            if start >= shown {
                out.push_str(self.text.get(shown..start).unwrap_or_default());
                out.push_str(HOLE);
            }
            shown = shown.max(end);
        }
        out.push_str(self.text.get(shown..self.end).unwrap_or_default());
        out
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::{Secret, places, redact};

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "[redacted]");
    }

    #[test]
    fn redacts_raw_and_encoded() {
        let text = "bad secret a+b/c=d~e and a%2Bb%2Fc%3Dd%7Ee here";
        let out = redact(text, 2048, &["a+b/c=d~e"]);
        assert!(!out.contains("a+b/c"), "{out}");
        assert!(!out.contains("%2Bb"), "{out}");
    }

    #[test]
    fn redacts_whatever_was_encoded_and_in_either_case() {
        for text in ["q~8 +é%", "q~8%20%2b%c3%a9%25", "q~8+%2B%C3%A9%25", "%71%7e%38%20+é%", "q%7E8 %2Bé%25"] {
            assert_eq!(redact(&format!("x{text}y"), 99, &["q~8 +é%"]), "x[redacted]y", "{text}");
        }
        for text in ["q~8", "q~8 +é", "q~8%20%2b%c3%", "q~9 +é%", "%", "%7", "%zz"] {
            assert_eq!(redact(text, 99, &["q~8 +é%"]), text);
        }
        // Read back from a form, a plus is a space.
        assert_eq!(redact("a b/c=d", 99, &["a+b/c=d"]), "[redacted]");
        // What looks like an escape, left alone and encoded.
        for text in ["ab%41+cd", "ab%41%2Bcd", "ab%2541%2Bcd"] {
            assert_eq!(redact(text, 99, &["ab%41+cd"]), "[redacted]", "{text}");
        }
    }

    #[test]
    fn what_stands_beside_a_secret_hides_none_of_it() {
        assert_eq!(redact("abcabcabcabc", 99, &["abcabc"]), "[redacted]");
        assert_eq!(redact("abcabcabc", 99, &["abcabc"]), "[redacted]");
        assert_eq!(redact("abcdefghijkl", 99, &["abcdefgh", "efghijkl"]), "[redacted]");
        for before in ["%", "%2", "%%2"] {
            for secret in ["25abc+defgh", "2%5abc+defgh", "e+abcdefgh"] {
                for text in [secret.to_owned(), secret.replace('+', "%2B")] {
                    let out = redact(&format!("{before}{text}"), 99, &[secret]);
                    assert!(!out.contains("defgh") && out.len() <= before.len() + 12, "{before}{text}: {out}");
                }
            }
        }
        // Half a character is none.
        assert_eq!(redact("aéééé", 99, &["%A9%C3%A9%C3%A9%C3"]), "a[redacted]");
    }

    #[test]
    fn a_secret_across_the_cut_does_not_show_its_beginning() {
        let secret = "canary+of-many/words=";
        for limit in 40..90 {
            for text in [secret.to_owned(), secret.replace('+', "%2B"), secret.bytes().map(|byte| format!("%{byte:02x}")).collect()]
            {
                let out = redact(&format!("{}{text}{text}", "x".repeat(30)), limit, &[secret]);
                let shown = out.trim_start_matches('x').replace("[redacted]", "").replace('…', "");
                assert!("[redacted]".starts_with(&shown) && out.len() <= limit, "{limit}: {out}");
            }
        }
        // What is behind the cut is not looked at, so that a long secret shifts nothing into sight.
        let long = "canary-".repeat(1000);
        assert_eq!(redact(&format!("said: {long}{long}"), 2048, &[&long]), "said: …");
        assert_eq!(redact(&format!("said: {long} and more"), 9000, &[&long]), "said: [redacted] and more");
    }

    /// A symbol that counts how often it is compared.
    struct Counted<'a>(u8, &'a Cell<usize>);

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.1.set(self.1.get() + 1);
            self.0 == other.0
        }
    }

    #[test]
    fn the_work_grows_with_the_text_and_not_with_text_and_secret() {
        for length in [1000, 10_000, 100_000] {
            let same = vec![b'a'; length];
            let mut almost = same.clone();
            almost[length / 2] = b'b';
            for (text, secret) in [(&same, &same[..length / 2]), (&almost, &same), (&same, &almost), (&almost, &almost[1..])] {
                let compared = Cell::new(0);
                let counted = |bytes: &[u8]| bytes.iter().map(|byte| Counted(*byte, &compared)).collect::<Vec<_>>();
                places(&counted(text), &counted(secret));
                assert!(compared.get() <= 4 * (text.len() + secret.len()), "{} for {length}", compared.get());
            }
        }
    }

    proptest! {
        /// However a secret is written and whatever stands around it, none of it is left.
        #[test]
        fn no_way_of_writing_shows_a_secret(
            secret in "[a-f2-5G-L +/=~é]{10,24}",
            before in "[%a-f2-5xé ]{0,6}",
            after in "[%a-f2-5xé ]{0,6}",
            escaped in proptest::collection::vec(0..3_u8, 64),
        ) {
            let write = |(byte, how): (u8, &u8)| match how {
                0 if byte.is_ascii() => char::from(byte).to_string(),
                1 if byte == b' ' => "+".to_owned(),
                1 => format!("%{byte:02x}"),
                _ => format!("%{byte:02X}"),
            };
            let text: String = secret.bytes().zip(&escaped).map(write).collect();
            let out = redact(&format!("{before}{text}{after}"), 2048, &[&secret]);
            prop_assert!(out.contains("[redacted]"), "{out}");
            // Two digits of it may have been taken for an escape's.
            prop_assert!(out.len() <= before.len() + after.len() + 12, "{before} {text} {after}: {out}");
        }
    }

    #[test]
    fn cuts_on_a_character_boundary() {
        assert_eq!(redact("ééé", 6, &[]), "ééé");
        assert_eq!(redact("éééé", 6, &[]), "é…");
        assert_eq!(redact("éééé", 5, &[]), "é…");
        // Nor in an escape.
        for limit in 6..9 {
            assert_eq!(redact("abc%2B%2B", limit, &[]), "abc…", "{limit}");
        }
    }
}
