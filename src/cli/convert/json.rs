//! JSON as ASP.NET Core reads it for its configuration: with comments and trailing commas, names with `:` in them are paths, and
//! what comes out are leaves. Nothing of the text is part of an error: it may be a secret.

use crate::finding::Complaint;
use crate::secret::Secret;

use super::setting::{ForeignSetting, Spot};

/// How deep objects and lists may be within each other, as in System.Text.Json.
const DEEPEST: usize = 64;

const REMEDY: &str = "write JSON; comments and trailing commas are allowed";

/// Reads a whole file, of which errors and leaves have the name.
///
/// # Errors
/// Line and column, both counted from one, and what is wrong there.
pub(super) fn leaves(text: &str, file: &str) -> Result<Vec<ForeignSetting>, (Spot, Complaint)> {
    let mut reader = JsonReader { text, at: 0, line: (1, 0), counted: 0, file, leaves: Vec::new() };
    reader.document()?;
    Ok(reader.leaves)
}

struct JsonReader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    /// The line that `counted` is in, and where it begins.
    line: (usize, usize),
    counted: usize,
    file: &'a str,
    leaves: Vec<ForeignSetting>,
}

type JsonStep<T> = Result<T, (Spot, Complaint)>;

// === impl JsonReader ===

impl<'a> JsonReader<'a> {
    fn document(&mut self) -> JsonStep<()> {
        self.skip()?;
        if self.peek() != Some('{') {
            return self.wrong("the file does not begin with an object");
        }
        self.value(&mut Vec::new(), 0)?;
        self.skip()?;
        if self.peek().is_some() { self.wrong("there is more after the object's end") } else { Ok(()) }
    }

    fn value(&mut self, path: &mut Vec<String>, depth: usize) -> JsonStep<()> {
        if depth > DEEPEST {
            return self.wrong("there are more than 64 objects and lists within each other");
        }
        let spot = self.spot();
        match self.peek() {
            Some('{') => self.object(path, depth),
            Some('[') => self.list(path, depth),
            Some('"') => {
                let text = self.string()?;
                self.leaves.push(ForeignSetting { path: path.clone(), value: Secret::new(text), spot });
                Ok(())
            }
            _ => {
                let rest = self.rest();
                let word = rest.split(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).next().unwrap_or_default();
                // .NET writes a switch with a capital, and takes it in any case.
                let is_number = serde_json::from_str::<serde_json::Number>(word).is_ok();
                if word != "null" && word != "true" && word != "false" && !is_number {
                    return self.wrong("this is no value: a text stands in double quotes");
                }
                self.at += word.len();
                // A null says nothing, as in .NET.
                if word != "null" {
                    self.leaves.push(ForeignSetting { path: path.clone(), value: Secret::new(word), spot });
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, path: &mut Vec<String>, depth: usize) -> JsonStep<()> {
        self.at += 1;
        loop {
            self.skip()?;
            match self.peek() {
                Some('}') => break,
                Some('"') => {}
                _ => return self.wrong("the name of a member is expected here, in double quotes"),
            }
            let name = self.string()?;
            self.skip()?;
            if self.peek() != Some(':') {
                return self.wrong("a colon is expected here, between a name and its value");
            }
            self.at += 1;
            self.skip()?;
            let before = path.len();
            path.extend(name.split(':').map(str::to_owned));
            self.value(path, depth + 1)?;
            path.truncate(before);
            if !self.goes_on('}')? {
                break;
            }
        }
        self.at += 1;
        Ok(())
    }

    fn list(&mut self, path: &mut Vec<String>, depth: usize) -> JsonStep<()> {
        self.at += 1;
        let mut index = 0;
        loop {
            self.skip()?;
            if self.peek() == Some(']') {
                break;
            }
            path.push(index.to_string());
            self.value(path, depth + 1)?;
            path.pop();
            index += 1;
            if !self.goes_on(']')? {
                break;
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a comma comes and not the end.
    fn goes_on(&mut self, end: char) -> JsonStep<bool> {
        self.skip()?;
        match self.peek() {
            Some(',') => {
                self.at += 1;
                Ok(true)
            }
            Some(other) if other == end => Ok(false),
            _ => self.wrong("a comma or the end of the object or list is expected here"),
        }
    }

    fn string(&mut self) -> JsonStep<String> {
        let from = self.at;
        let mut is_escaped = false;
        let inner = self.text.get(from + 1..).unwrap_or_default();
        let end = inner.char_indices().find_map(|(at, c)| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends.then_some(at)
        });
        let Some(end) = end else { return self.wrong("this text has no end: a double quote is missing") };
        let whole = self.text.get(from..from + end + 2).unwrap_or_default();
        let Ok(text) = serde_json::from_str::<String>(whole) else {
            return self.wrong("this text has a line break, a control character or an escape that JSON does not have");
        };
        self.at = from + whole.len();
        Ok(text)
    }

    /// Passes over white space and comments.
    fn skip(&mut self) -> JsonStep<()> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                match rest.get(2..).and_then(|inner| inner.find("*/")) {
                    Some(end) => self.at += end + 4,
                    None => return self.wrong("this comment has no end"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Where the reader is.
    fn spot(&mut self) -> Spot {
        let passed = self.text.get(self.counted..self.at).unwrap_or_default();
        if let Some(last) = passed.rfind('\n') {
            self.line = (self.line.0 + passed.matches('\n').count(), self.counted + last + 1);
        }
        self.counted = self.at;
        let column = self.text.get(self.line.1..self.at).unwrap_or_default().chars().count() + 1;
        Spot { file: self.file.to_owned(), line: self.line.0, column: Some(column) }
    }

    fn wrong<T>(&mut self, what: &str) -> JsonStep<T> {
        let what = if self.peek().is_none() { "the file ends in the middle of an object or list" } else { what };
        Err((self.spot(), Complaint::new(what, REMEDY)))
    }
}

#[cfg(test)]
mod tests {
    use super::leaves;

    fn flat(text: &str) -> Vec<(String, String)> {
        let leaves = leaves(text, "a.json").unwrap_or_else(|(spot, problem)| panic!("{spot}: {problem}"));
        leaves.iter().map(|leaf| (leaf.path.join(":"), leaf.value.expose().to_owned())).collect()
    }

    #[test]
    fn comments_trailing_commas_and_paths_are_read_as_dot_net_reads_them() {
        let text = "// one\n{ /* two\n */ \"AzureAd\": {\"ClientId\": \"a\\u00e4\", \"SendX5C\": true, \"Gone\": null,},\n\
                    \"Sidecar:AllowOverrides\": {\"X\": false}, // three\n \
                    \"List\": [1.5e3, {\"Name\": \"//no comment\"},], \"No\": {} }\n// end";
        let pairs = [
            ("AzureAd:ClientId", "aä"),
            ("AzureAd:SendX5C", "true"),
            ("Sidecar:AllowOverrides:X", "false"),
            ("List:0", "1.5e3"),
            ("List:1:Name", "//no comment"),
        ];
        assert_eq!(flat(text), pairs.map(|(path, value)| (path.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_broken_is_placed_and_not_quoted() {
        for (text, place) in [
            ("", "line 1, column 1"),
            ("[]", "line 1, column 1"),
            ("{\"a\": \"canary", "line 1, column 7"),
            ("{\"a\": \"x\\q\"}", "line 1, column 7"),
            ("{\"a\"\n: canary}", "line 2, column 3"),
            ("{\"a\": 01}", "line 1, column 7"),
            ("{\"a\": 1 \"b\": 2}", "line 1, column 9"),
            ("{a: 1}", "line 1, column 2"),
            ("{\"a\": 1} x", "line 1, column 10"),
            ("{\"a\": {", "line 1, column 8"),
            ("{ /* ", "line 1, column 3"),
            ("{\"a\": \"tab\t\"}", "line 1, column 7"),
            (&format!("{{\"a\": {}1{}}}", "[".repeat(70), "]".repeat(70)), "line 1, column 71"),
        ] {
            let (spot, problem) = leaves(text, "a.json").expect_err(text);
            assert_eq!(spot.to_string(), format!("a.json, {place}"), "{text}");
            assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
        }
    }
}
