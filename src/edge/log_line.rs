//! A line of the log as JSON: `{"timestamp":…,"level":…,"fields":{…},"target":…}`.
//!
//! By hand, as each request has one: tracing-subscriber's own takes three times as long, a seventh of a request.

use std::error::Error;
use std::fmt::{self, Debug};

use chrono::Utc;
use tasks_api::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        write!(writer, "{}", Timestamp::from(Utc::now()))?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(about.level().as_str())?;
        writer.write_str("\",\"fields\":{")?;
        let mut members = Members { writer, separator: "\"", outcome: Ok(()) };
        event.record(&mut members);
        let Members { mut writer, outcome, .. } = members;
        outcome?;
        writer.write_str("},\"target\":")?;
        write_text(&mut writer, about.target())?;
        writer.write_str("}\n")
    }
}

/// The fields of an event, as members of an object.
struct Members<'w> {
    writer: Writer<'w>,
    /// What stands before the next name.
    separator: &'static str,
    outcome: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let Self { writer, separator, outcome } = self;
        let put = || {
            writer.write_str(std::mem::replace(separator, ",\""))?;
            writer.write_str(field.name())?;
            writer.write_str("\":")?;
            write(writer)
        };
        *outcome = outcome.and_then(|()| put());
    }
}

impl Visit for Members<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and no NaN (RFC 8259 §6).
        if value.is_finite() {
            self.member(field, |writer| write!(writer, "{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| writer.write_str(if value { "true" } else { "false" }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| write_text(writer, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.member(field, |writer| write_text(writer, &value.to_string()));
    }

    /// Everything else, as text.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, |writer| write_text(writer, &format!("{value:?}")));
    }
}

/// Writes a text as a string of JSON (RFC 8259 §7).
fn write_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return writer.write_str(&serde_json::Value::from(text).to_string());
    }
    writer.write_char('"')?;
    writer.write_str(text)?;
    writer.write_char('"')
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Seek};
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    /// The lines that are logged meanwhile.
    fn lines_of(log: impl FnOnce()) -> Vec<Value> {
        let (mut file, mut text) = (tempfile::tempfile().unwrap(), String::new());
        let writer = Arc::new(file.try_clone().unwrap());
        let subscriber = tracing_subscriber::fmt().event_format(Json).with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, log);
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    #[test]
    fn a_line_is_one_object_whatever_it_tells() {
        let awkward = "\" \\ \n \r \t \u{0} \u{1f} \u{7f} \u{2028} é \u{1F600}";
        let error = io::Error::other(awkward);
        let lines = lines_of(|| {
            tracing::info!(target: "tasks_server::request", method = "GET", status = 200, code = None::<&str>, micros = u64::MAX, done = true, "a {}", awkward);
            tracing::warn!(cause = %error, other = ?awkward, least = i64::MIN, half = 0.5, none = f64::NAN, error = &error as &dyn Error);
            tracing::error!("");
        });
        let [info, warn, error] = &*lines else { panic!("{lines:?}") };
        assert_eq!(info["level"], "INFO");
        assert_eq!(info["target"], "tasks_server::request");
        let message = format!("a {awkward}");
        let fields = json!({ "message": message, "method": "GET", "status": 200, "micros": u64::MAX, "done": true });
        assert_eq!(info["fields"], fields);
        let time = info["timestamp"].as_str().unwrap();
        assert!(time.len() == 27 && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        let fields = json!({
            "cause": awkward, "other": format!("{awkward:?}"), "least": i64::MIN, "half": 0.5, "none": "NaN", "error": awkward
        });
        assert_eq!((&warn["level"], &warn["fields"]), (&json!("WARN"), &fields));
        assert_eq!((&error["level"], &error["fields"]), (&json!("ERROR"), &json!({ "message": "" })));
    }
}
