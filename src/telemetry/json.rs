//! A log line as one JSON object: what happened, flat, with lists as lists.

use std::fmt::{self, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Fields that are lists. An event has no lists: what is recorded is how Rust shows one, and of numbers and of plain names that is
/// JSON.
const LISTS: [&str; 3] = ["error_codes", "apps", "listeners"];

/// Writes events as JSON.
pub(super) struct JsonLines;

/// The members of one line.
struct LineMembers(String);

// === impl JsonLines ===

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut members = LineMembers("{".to_owned());
        members.text("timestamp", &timestamp);
        members.text("level", metadata.level().as_str());
        event.record(&mut members);
        members.text("target", metadata.target());
        writeln!(writer, "{}}}", members.0)
    }
}

// === impl LineMembers ===

impl LineMembers {
    fn text(&mut self, name: &str, text: &str) {
        self.value(name, &Value::from(text));
    }

    fn value(&mut self, name: &str, value: &Value) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Text takes whatever is written to it.
        let _written = write!(self.0, "{}:{value}", Value::from(name));
    }
}

impl Visit for LineMembers {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), &Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), &Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), &Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), &Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let (name, text) = (field.name(), format!("{value:?}"));
        let list = if LISTS.contains(&name) { serde_json::from_str::<Vec<Value>>(&text).ok() } else { None };
        match list {
            Some(list) => self.value(name, &Value::from(list)),
            None => self.text(name, &text),
        }
    }
}
