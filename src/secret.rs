//! A secret is a type from header to wire: it has no `Display`,
//! its `Debug` says nothing, and its memory is wiped when it is dropped.

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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

/// Cuts `text` to `limit` bytes and replaces every occurrence of the secrets by `[redacted]`: raw, percent-encoded, with the
/// escapes of JSON or HTML, or in base64, of whichever alphabet and whatever stands around it there. One that begins before the
/// cut and goes on behind it is left out.
///
/// Which characters are escaped differs from writer to writer, as does the case of the digits, so that every character may stand in
/// either form, and a space may be a plus. Secrets shorter than six bytes are left alone: they would turn ordinary words into holes
/// and protect nothing.
///
/// It costs time in proportion to what is left after the cut, whatever the text and the secrets are.
pub fn redact(text: &str, limit: usize, secrets: &[&str]) -> String {
    let (kept, cut) = cut(text, limit);
    let mut holes = Holes { text: kept, cut, end: kept.len(), found: Vec::new() };
    let raw = Reading::raw(kept.as_bytes());
    let decoded = [&[Escape::Percent][..], &[Escape::Json], &[Escape::Html], &Escape::ALL].map(|escapes| {
        // What has none of these escapes reads as it is, except for a plus.
        (escapes, Reading::decoded(kept.as_bytes(), escapes))
    });
    let base64 = Reading::base64(kept.as_bytes());
    for secret in secrets.iter().map(|secret| secret.as_bytes()).filter(|secret| secret.len() >= SHORTEST) {
        holes.look(&raw, secret);
        for (escapes, reading) in &decoded {
            for secret in ways_to_read(secret, escapes) {
                holes.look(reading, &secret);
            }
        }
        for (before, secret) in in_base64(secret) {
            holes.look_with(&base64, &secret, before);
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

/// The longest entity of HTML that is read, without its ends.
const LONGEST_ENTITY: usize = 8;

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

/// A way to write characters that are not written as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    Percent,
    Json,
    Html,
}

/// What an escape stands for.
#[derive(Clone, Copy)]
enum Escaped {
    Byte(u8),
    Char(char),
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
    let begun = |escape: &Escape| escape.begun(kept.as_bytes());
    let escape = Escape::ALL.iter().filter_map(begun).min().unwrap_or(end);
    (kept.get(..escape).unwrap_or_default(), true)
}

/// How a secret reads in a text whose escapes are decoded: as it is; decoded itself, where it has what looks like an escape and
/// the writer left that alone; and each of them without its first digits or its first character, which what stands right before it
/// makes part of an escape.
fn ways_to_read(secret: &[u8], escapes: &[Escape]) -> Vec<Vec<u8>> {
    let whole: Vec<u8> = secret.iter().copied().map(plain).collect();
    let decoded = Reading::decoded(secret, escapes).bytes;
    let most = escapes.iter().map(|escape| escape.digits()).max().unwrap_or(0);
    let taken = usize::from(escapes.contains(&Escape::Json));
    let mut ways = Vec::new();
    for way in if decoded == whole { vec![whole] } else { vec![whole, decoded] } {
        let digits = way.iter().take(most).take_while(|byte| hex(**byte).is_some()).count().max(taken);
        ways.extend((0..=digits).filter_map(|digits| way.get(digits..)).map(<[u8]>::to_vec));
    }
    ways.retain(|way| way.len() >= SHORTEST);
    ways
}

/// What base64 makes of a secret: the middle of it that is there whatever stands before and behind, at each of the three places
/// where it may begin. With it comes how many characters before it have something of the secret, too.
fn in_base64(secret: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..3_usize).filter_map(move |before| {
        let text = STANDARD_NO_PAD.encode([[0; 2].get(..before)?, secret].concat());
        let (start, end) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
        text.as_bytes().get(start..end).map(|middle| (usize::from(before > 0), middle.to_vec()))
    })
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

// === impl Escape ===

impl Escape {
    const ALL: [Self; 3] = [Self::Percent, Self::Json, Self::Html];

    /// The digits that an escape may take of what stands behind its beginning.
    fn digits(self) -> usize {
        match self {
            Self::Percent => 2,
            Self::Json => 4,
            Self::Html => 0,
        }
    }

    /// The character, or the byte, that `text` begins with, and how long its escape is. `None`: it begins with no such escape.
    fn read(self, text: &[u8]) -> Option<(Escaped, usize)> {
        match (self, text) {
            (Self::Percent, [b'%', high, low, ..]) => Some((Escaped::Byte(hex(*high)? * 16 + hex(*low)?), 3)),
            (Self::Json, [b'\\', rest @ ..]) => json(rest).map(|(escaped, length)| (escaped, length + 1)),
            (Self::Html, [b'&', rest @ ..]) => {
                let length = rest.iter().take(LONGEST_ENTITY).position(|byte| *byte == b';')?;
                Some((Escaped::Char(entity(std::str::from_utf8(rest.get(..length)?).ok()?)?), length + 2))
            }
            _ => None,
        }
    }

    /// Where at the end of a text an escape begins that may go on behind it.
    fn begun(self, text: &[u8]) -> Option<usize> {
        let (mark, longest) = match self {
            Self::Percent => (b'%', 2),
            // Two of them for a character beyond the first 65,536.
            Self::Json => (b'\\', 11),
            Self::Html => (b'&', LONGEST_ENTITY + 1),
        };
        let from = text.len().saturating_sub(longest);
        let mut marks = text.iter().enumerate().skip(from).filter(|(_, byte)| **byte == mark).map(|(at, _)| at);
        let at = if self == Self::Html { marks.next_back() } else { marks.next() }?;
        if self == Self::Html && text.get(at..)?.contains(&b';') {
            return None;
        }
        // Of several backslashes each may be escaped by the one before.
        Some(at - text.get(..at)?.iter().rev().take_while(|byte| self == Self::Json && **byte == mark).count())
    }
}

/// What stands behind a backslash (RFC 8259 §7), and how long it is.
fn json(rest: &[u8]) -> Option<(Escaped, usize)> {
    let unit = |text: &[u8]| match text {
        [b'u', digits @ ..] => digits.get(..4)?.iter().try_fold(0_u32, |unit, digit| Some(unit * 16 + u32::from(hex(*digit)?))),
        _ => None,
    };
    let escaped = match *rest.first()? {
        b'u' => {
            let first = unit(rest)?;
            if let Some(c) = char::from_u32(first) {
                return Some((Escaped::Char(c), 5));
            }
            // A surrogate, which is half a character.
            let second = rest.get(5..)?.strip_prefix(b"\\").and_then(unit)?;
            let c = 0x1_0000 + ((first.checked_sub(0xD800)? & 0x3FF) << 10) + (second.checked_sub(0xDC00)? & 0x3FF);
            return Some((Escaped::Char(char::from_u32(c)?), 11));
        }
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 12,
        b'r' => b'\r',
        itself @ (b'"' | b'\\' | b'/') => itself,
        _ => return None,
    };
    Some((Escaped::Byte(escaped), 1))
}

/// The character of an entity: by number, or one of the names that are in use for what secrets are made of.
fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hexadecimal = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16).ok());
        return char::from_u32(hexadecimal.unwrap_or_else(|| number.parse().ok())?);
    }
    Some(match name {
        "amp" | "AMP" => '&',
        "lt" | "LT" => '<',
        "gt" | "GT" => '>',
        "quot" | "QUOT" => '"',
        "apos" => '\'',
        "plus" => '+',
        "equals" => '=',
        "sol" => '/',
        "bsol" => '\\',
        "num" => '#',
        "percnt" => '%',
        "commat" => '@',
        "nbsp" => '\u{a0}',
        _ => return None,
    })
}

// === impl Reading ===

impl Reading {
    fn raw(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), places: (0..text.len()).collect() }
    }

    /// Without these escapes. A plus and a space are the same.
    fn decoded(text: &[u8], escapes: &[Escape]) -> Self {
        let mut read = Self::default();
        let mut at = 0;
        while let Some([byte, ..]) = text.get(at..) {
            let escaped = escapes.iter().find_map(|escape| escape.read(text.get(at..).unwrap_or_default()));
            let (escaped, length) = escaped.unwrap_or((Escaped::Byte(*byte), 1));
            let mut buffer = [0; 4];
            let bytes = match escaped {
                Escaped::Byte(byte) => {
                    buffer[0] = byte;
                    &buffer[..1]
                }
                Escaped::Char(c) => c.encode_utf8(&mut buffer).as_bytes(),
            };
            for byte in bytes {
                read.bytes.push(plain(*byte));
                read.places.push(at);
            }
            at += length;
        }
        read
    }

    /// As base64, of either alphabet, which may itself be escaped.
    fn base64(text: &[u8]) -> Self {
        let mut read = Self::decoded(text, &Escape::ALL);
        for byte in &mut read.bytes {
            *byte = match *byte {
                b' ' | b'-' => b'+',
                b'_' => b'/',
                byte => byte,
            };
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

    /// Looks for the middle of what base64 makes of a secret; `before` characters before it belong to it, and so does what ends it.
    fn look_with(&mut self, read: &Reading, middle: &[u8], before: usize) {
        let (found, beginning) = places(&read.bytes, middle);
        let place = |index: usize| read.places.get(index).copied().unwrap_or(self.text.len());
        let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        self.found.extend(found.into_iter().map(|range| {
            let rest = read.bytes.get(range.end..).unwrap_or_default();
            let digits = rest.iter().take(1).take_while(|byte| digit(byte)).count();
            let padding = rest.iter().skip(digits).take(2).take_while(|byte| **byte == b'=').count();
            place(range.start.saturating_sub(before))..place(range.end + digits + padding)
        }));
        if self.cut && beginning < read.bytes.len() {
            self.end = self.end.min(place(beginning.saturating_sub(before)));
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
    fn redacts_what_json_and_html_escape() {
        let secret = "q\"<8>&/\\'é+😀=";
        for text in [
            r#"q\"<8>&\/\\'é+😀="#,
            r"q\u0022\u003c8\u003E\u0026\u002f\u005C\u0027\u00e9\u002b\ud83d\uDE00\u003d",
            "q&quot;&lt;8&gt;&amp;/\\&apos;é+😀=",
            "q&#34;&#60;8&#x3E;&#38;&sol;&bsol;&#39;&#xe9;&plus;&#x1F600;&equals;",
            // Of each something.
            r"q&quot;%3c8\u003e&amp;%2F\\'%C3%A9&#43;😀%3D",
        ] {
            assert_eq!(redact(&format!("x{text}y"), 999, &[secret]), "x[redacted]y", "{text}");
        }
        // What looks like an escape and is none, and an escape that is the secret's own.
        for secret in [r"canary\q\u12", "canary&copy;&", r"canary\n&amp;%41"] {
            assert_eq!(redact(&format!("x{secret}y"), 999, &[secret]), "x[redacted]y", "{secret}");
        }
    }

    #[test]
    fn redacts_base64_of_either_alphabet_wherever_the_secret_begins_in_it() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

        let secret = "s3cr3t>?~canary/+=";
        for before in ["", "c", "id", "client:", "client-id:"] {
            let whole = format!("{before}{secret}");
            for text in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole), STANDARD.encode(format!("{whole}:more"))] {
                for text in [text.clone(), text.replace('+', "%2B").replace('/', "%2f"), text.replace('/', "\\/")] {
                    let out = redact(&format!("Basic {text} was sent"), 999, &[secret]);
                    let left = out.replace("[redacted]", "");
                    assert!(
                        out.contains("[redacted]") && left.len() <= "Basic  was sent".len() + 16 + 12,
                        "{before} {text}: {out}"
                    );
                    assert!(!left.contains("Y2FuYXJ5") && !left.contains("jYW5hcn") && !left.contains("NhbmFye"), "{out}");
                }
            }
        }
    }

    #[test]
    fn an_escaped_secret_across_the_cut_does_not_show_its_beginning() {
        let secret = "canary+<of>&many=";
        let json = r"canary\u002b\u003cof\u003e\u0026many\u003d";
        let html = "canary&#43;&lt;of&gt;&amp;many&#x3D;";
        for limit in 40..100 {
            for text in [json, html, "Y2FuYXJ5KzxvZj4mbWFueT0="] {
                let out = redact(&format!("{}{text}{text}", "x".repeat(30)), limit, &[secret]);
                let shown = out.trim_start_matches('x').replace("[redacted]", "").replace(['…', '='], "");
                assert!("[redacted]".starts_with(&shown) && out.len() <= limit, "{limit}: {out}");
            }
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
