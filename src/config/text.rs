//! Text becomes a tree of values, and layers are laid over it: all that the `config` crate is asked for.

use ::config::{Config, ConfigError, File, FileFormat, Source as _, Value, ValueKind};

use super::format::Format;
use crate::finding::Complaint;

/// A text that is not what its format says: where, and what to do. What stands there is never part of it.
pub(super) struct Syntax {
    /// Line and column, counted from one, where the parser says so.
    pub(super) position: Option<(usize, usize)>,
    /// What is wrong.
    pub(super) problem: Complaint,
}

/// Values for one path, over what was there before. Null takes away.
pub(super) struct Layer {
    /// The names on the way to the value.
    pub(super) path: Vec<String>,
    /// The variable that says so.
    pub(super) variable: String,
    /// The value.
    pub(super) value: Value,
}

/// Reads a whole configuration.
pub(super) fn read(text: &str, format: Format) -> Result<Config, Syntax> {
    let kind = match format {
        Format::Yaml => FileFormat::Yaml,
        Format::Toml => FileFormat::Toml,
        Format::Json => FileFormat::Json,
    };
    Config::builder().add_source(File::from_str(text, kind)).build().map_err(|error| syntax(&error, format))
}

/// The tree of a configuration.
pub(super) fn tree(config: Config) -> serde_json::Value {
    config.try_deserialize().unwrap_or_default()
}

/// Lays one value over a configuration: maps are merged, anything else is replaced.
pub(super) fn overlay(base: Config, path: &str, value: Value) -> Config {
    let layer = Config::builder().set_override(path, value).and_then(|layer| layer.build());
    // Paths are made of checked names; one that cannot be said leaves the base as it is.
    let Ok(layer) = layer else { return base };
    Config::builder().add_source(base.clone()).add_source(layer).build().unwrap_or(base)
}

/// Reads the value of a variable: YAML flow. A plain text stays as it is written: `0012` is no number and `no` is no switch here.
pub(super) fn flow(text: &str) -> Option<Value> {
    let text = text.trim();
    match text.as_bytes().first() {
        None => Some(Value::new(None, ValueKind::Nil)),
        Some(b'[') if is_ip_v6_address(text) => Some(Value::new(None, ValueKind::String(text.to_owned()))),
        Some(b'[' | b'{' | b'"' | b'\'') => {
            // Inside a flow map, so that lines need no indentation; the line break keeps a comment from eating the brace.
            let config = read(&format!("{{value: {text}\n}}"), Format::Yaml).ok()?;
            let mut members = config.collect().ok()?;
            let value = members.remove("value")?;
            members.is_empty().then_some(value)
        }
        Some(_) if matches!(text, "null" | "~") => Some(Value::new(None, ValueKind::Nil)),
        Some(_) => Some(Value::new(None, ValueKind::String(text.to_owned()))),
    }
}

/// `[::1]:8650`, which begins like a list.
pub(super) fn is_ip_v6_address(text: &str) -> bool {
    text.parse::<std::net::SocketAddrV6>().is_ok()
}

/// Reads a value of the environment (YAML flow) as a tree.
pub(super) fn flow_tree(text: &str) -> Option<serde_json::Value> {
    let config = Config::builder().set_override("value", flow(text)?).ok()?.build().ok()?;
    tree(config).get_mut("value").map(serde_json::Value::take)
}

/// What a parser says, without what it quotes.
fn syntax(error: &ConfigError, format: Format) -> Syntax {
    let name = match format {
        Format::Yaml => "YAML",
        Format::Toml => "TOML",
        Format::Json => "JSON",
    };
    let ConfigError::FileParse { cause, .. } = error else { return no_map(name) };
    if cause.is::<ConfigError>() {
        return no_map(name);
    }
    let position = match cause.downcast_ref::<serde_json::Error>() {
        Some(error) => Some((error.line(), error.column())),
        None => position(&cause.to_string(), format),
    };
    let reason = format!("this is not {name} that can be read");
    let remedy = match (position, format) {
        (Some(_), Format::Yaml) => {
            "look at this line and the one before: indentation, a missing `: `, an unclosed quote or bracket, a key twice"
        }
        (Some(_), _) => "look at this line and the one before: a missing comma or quote, an unclosed bracket, a key twice",
        (None, _) => "write one document with texts as keys and numbers that fit into 64 bits",
    };
    Syntax { position, problem: Complaint::new(reason, remedy) }
}

fn no_map(name: &str) -> Syntax {
    let reason = format!("the top of the {name} document is not a map");
    Syntax { position: None, problem: Complaint::new(reason, "start with `name: value` members, such as `apps`") }
}

/// Neither parser's error has an accessor for this that can be reached from here; both end, or begin, with the same words.
fn position(message: &str, format: Format) -> Option<(usize, usize)> {
    let (line, column) = match format {
        Format::Toml => message.lines().next()?.rsplit_once(" line ")?.1.split_once(", column ")?,
        Format::Yaml | Format::Json => message.rsplit_once(" line ")?.1.split_once(" column ")?,
    };
    Some((line.parse().ok()?, column.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{flow_tree, overlay, read, tree};
    use crate::config::Format;

    fn position(text: &str, format: Format) -> Option<(usize, usize)> {
        read(text, format).err().and_then(|syntax| syntax.position)
    }

    #[test]
    fn a_syntax_error_has_a_position_and_no_content() {
        let cases = [
            ("a: 1\nb: [canary\nc: 2\n", Format::Yaml),
            ("a = 1\nb = canary line 9, column 9\n", Format::Toml),
            ("{\"a\": 1,\n \"b\" canary}", Format::Json),
            ("a: 1\na: canary\n", Format::Yaml),
        ];
        for (text, format) in cases {
            let syntax = read(text, format).err();
            assert!(syntax.is_some_and(|syntax| !format!("{:?}", syntax.problem).contains("canary")), "{text}");
            assert!(
                position(text, format).is_some_and(|(line, _)| (2..=3).contains(&line)),
                "{text}: {:?}",
                position(text, format)
            );
        }
    }

    #[test]
    fn a_document_is_one_map() {
        for text in ["- a", "text", "---\na: 1\n---\nb: 2\n", "? [a]\n: 1\n"] {
            assert!(read(text, Format::Yaml).is_err(), "{text}");
        }
        assert!(read("[1]", Format::Json).is_err());
        assert!(read("", Format::Yaml).is_ok_and(|config| tree(config) == json!({})));
    }

    #[test]
    fn flow_takes_yaml_and_keeps_plain_texts() {
        let cases = [
            ("[a, 'b, c', 1]", Some(json!(["a", "b, c", 1]))),
            ("{file: /a,\n\"env\": null}", Some(json!({"file": "/a", "env": null}))),
            ("\"0012\"", Some(json!("0012"))),
            ("[a] # why", Some(json!(["a"]))),
            ("0012", Some(json!("0012"))),
            ("no", Some(json!("no"))),
            ("*:8651", Some(json!("*:8651"))),
            ("[::1]:8651", Some(json!("[::1]:8651"))),
            ("a: b", Some(json!("a: b"))),
            ("", Some(json!(null))),
            ("~", Some(json!(null))),
            ("[a], other: b", None),
            ("[a", None),
        ];
        for (text, expected) in cases {
            assert_eq!(flow_tree(text), expected, "{text}");
        }
    }

    #[test]
    fn layers_merge_maps_and_replace_the_rest() {
        let base = read("a: {b: [1, 2], c: 3}", Format::Yaml).map_err(|syntax| syntax.problem).unwrap();
        let over = overlay(base, "a.b", vec!["x"].into());
        assert_eq!(tree(over), json!({"a": {"b": ["x"], "c": 3}}));
    }
}
