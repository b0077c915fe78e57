//! The YAML that comes out: lines, comments that fit, and texts that read as the texts that they are.

/// How long a line of a comment gets.
const WIDTH: usize = 110;

/// A configuration as it grows.
#[derive(Default)]
pub(super) struct YamlPage {
    text: String,
}

// === impl YamlPage ===

impl YamlPage {
    /// Adds a line, indented by so many blanks.
    pub(super) fn line(&mut self, indent: usize, line: &str) {
        self.text.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    }

    /// Adds a comment, on as many lines as it takes. What is no text of one line cannot end it.
    pub(super) fn comment(&mut self, indent: usize, words: &str) {
        let mut line = String::new();
        for word in words.split_whitespace() {
            let word: String = word.chars().map(|c| if c.is_control() || c == '\u{feff}' { '?' } else { c }).collect();
            if !line.is_empty() && indent + 3 + line.chars().count() + word.chars().count() > WIDTH {
                self.line(indent, &format!("# {line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        self.line(indent, &format!("# {line}"));
    }

    /// Adds an empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// All of it.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A text as YAML: plain where nothing else could be read there, else in double quotes, with JSON's escapes, which are YAML's too.
pub(super) fn scalar(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_plain = begins
        && !text.ends_with(':')
        && !text.contains(": ")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@+~".contains(&byte));
    let means_more =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_plain && !means_more {
        return text.to_owned();
    }
    // DEL and the C1 characters may not stand in YAML as they are.
    let quoted = serde_json::Value::String(text.to_owned()).to_string();
    let escaped = |c: char| {
        if c.is_control() || ('\u{7f}'..='\u{9f}').contains(&c) || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') {
            format!("\\u{:04x}", u32::from(c))
        } else {
            c.to_string()
        }
    };
    quoted.chars().map(escaped).collect()
}

/// A list of texts on one line.
pub(super) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| scalar(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{YamlPage, list, scalar};

    #[test]
    fn texts_are_quoted_where_they_would_be_something_else() {
        for (text, yaml) in [
            ("https://login.example/t", "https://login.example/t"),
            ("/run/secrets/a-b", "/run/secrets/a-b"),
            ("No", "\"No\""),
            ("2c5f", "\"2c5f\""),
            ("a b", "\"a b\""),
            ("a\nb\u{7f}\u{2028}", "\"a\\nb\\u007f\\u2028\""),
            ("*", "\"*\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), yaml, "{text:?}");
        }
        assert_eq!(list(["a", "b c"]), "[a, \"b c\"]");
    }

    #[test]
    fn a_comment_stays_one_and_fits() {
        let mut page = YamlPage::default();
        page.comment(2, &format!("a\nb: {} end", "word ".repeat(60)));
        let text = page.into_text();
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.starts_with("  # ") && line.len() <= 112), "{text}");
    }
}
