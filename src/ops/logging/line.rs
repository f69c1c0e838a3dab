//! Format of a log line: plain text or JSON. simplelog filters the records and writes the lines.

use std::io::{self, Write};
use std::{fmt, mem};

use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::{Map, Value as Json};
use simplelog::{ConfigBuilder, WriteLogger, format_description};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;

use crate::ops::printable::{printable, printable_json};
use crate::ops::secret::redact;

/// RFC 3339 in UTC with milliseconds. The `Rfc3339` format of `time` omits trailing zeros, which would shift the columns.
const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Format of log lines; `Display` writes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Time, level and message.
    Text,
    /// One JSON object per line: `time` (RFC 3339, UTC), `level` in lower case, `message`, and the message's values.
    Json,
}

impl Format {
    /// Returns the format of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Text, Self::Json].into_iter().find(|format| format.to_string() == name)
    }

    /// Returns a logger that passes each record of this crate to `take` as exactly one line, with its newline. Secrets are
    /// redacted, and characters that a terminal interprets are escaped. [`log::set_max_level`] decides about levels, since
    /// it can change.
    pub(super) fn logger(self, take: impl FnMut(Vec<u8>) + Send + 'static) -> Box<dyn Log> {
        let mut config = only_messages();
        if self == Self::Text {
            config.set_time_level(LevelFilter::Error).set_max_level(LevelFilter::Error);
            config.set_time_format_custom(TIME);
        }
        let inner = WriteLogger::new(LevelFilter::Trace, config.build(), WholeLines::new(take));
        Box::new(Logger { format: self, inner })
    }

    /// Returns the part of a line that simplelog does not write.
    fn message(self, record: &Record<'_>) -> String {
        let message = record.args().to_string();
        let message = redact(&message);
        if self == Self::Text {
            return printable(&message).into_owned();
        }
        let mut fields = Fields(Map::new());
        let time = OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
        let level = record.level().as_str().to_ascii_lowercase();
        for (key, text) in [("time", time), ("level", level), ("message", message.into_owned())] {
            fields.0.insert(key.to_owned(), text.into());
        }
        // Visiting numbers and texts, the only values that are logged, can't fail.
        let _ = record.key_values().visit(&mut fields);
        printable_json(Json::Object(fields.0).to_string())
    }
}

/// Returns a configuration that writes the messages of this crate only: tungstenite would log every frame of clients.
pub(super) fn only_messages() -> ConfigBuilder {
    let mut config = ConfigBuilder::new();
    config
        .set_time_level(LevelFilter::Off)
        .set_max_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off);
    config.set_target_level(LevelFilter::Off).set_location_level(LevelFilter::Off);
    config.add_filter_allow_str(env!("CARGO_CRATE_NAME"));
    config
}

/// Formats messages before simplelog does, which writes them raw and within its lock: a message can't break its line, and
/// a panic while it is formatted can't leave the lock held or poisoned.
struct Logger<W: Write + Send + 'static> {
    format: Format,
    inner: Box<WriteLogger<W>>,
}

impl<W: Write + Send> Log for Logger<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let message = self.format.message(record);
        self.inner.log(&record.to_builder().args(format_args!("{message}")).build());
    }

    fn flush(&self) {}
}

/// Passes whole lines to a function; simplelog writes a line in pieces, the last of which ends with the newline.
pub(super) struct WholeLines<F> {
    line: Vec<u8>,
    take: F,
}

impl<F: FnMut(Vec<u8>)> WholeLines<F> {
    pub(super) fn new(take: F) -> Self {
        Self { line: Vec::new(), take }
    }
}

impl<F: FnMut(Vec<u8>)> Write for WholeLines<F> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            (self.take)(mem::take(&mut self.line));
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

struct Fields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = value
            .to_u64()
            .map(Json::from)
            .or_else(|| value.to_f64().map(Json::from))
            .unwrap_or_else(|| redact(&value.to_string()).into());
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use log::Level;

    use super::*;

    /// The lines of a record with this target.
    fn lines_of(target: &str, format: Format, message: &str, fields: &[(&str, Value<'_>)]) -> Vec<String> {
        let (sender, receiver) = channel();
        let logger = format.logger(move |line| sender.send(String::from_utf8(line).unwrap()).unwrap());
        let mut builder = Record::builder();
        builder.target(target).level(Level::Warn).key_values(&fields);
        logger.log(&builder.args(format_args!("{message}")).build());
        receiver.try_iter().collect()
    }

    /// The line of a record of this crate; a text without its time.
    fn line(format: Format, message: &str, fields: &[(&str, Value<'_>)]) -> String {
        let mut lines = lines_of(module_path!(), format, message, fields);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].split_off(if format == Format::Text { "2023-11-14T22:13:20.123Z ".len() } else { 0 })
    }

    #[test]
    fn a_text_line_is_time_level_and_message() {
        assert_eq!(line(Format::Text, "two words", &[("players", 5.into())]), "[WARN] two words\n");
    }

    #[test]
    fn records_of_other_crates_are_not_logged() {
        for format in [Format::Text, Format::Json] {
            assert_eq!(lines_of("tungstenite::protocol", format, "a frame", &[]), [""; 0]);
        }
    }

    #[test]
    fn every_time_has_three_fractional_digits() {
        for (nanosecond, digits) in
            [(0, "000"), (100_000_000, "100"), (120_000_000, "120"), (7_000_000, "007"), (999_999_999, "999")]
        {
            let time =
                OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_000_000_000 + nanosecond).unwrap();
            assert_eq!(time.format(TIME).unwrap(), format!("2023-11-14T22:13:20.{digits}Z"));
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_the_values_of_the_message() {
        let fields = [("players", 5u64.into()), ("rate", 0.5.into()), ("why", "a \"b\"".into())];
        let text = line(Format::Json, "a \"quoted\"\nmessage", &fields);
        assert_eq!(text.matches('\n').count(), 1);
        let mut object: Json = serde_json::from_str(&text).unwrap();
        let time = object["time"].take();
        assert!(time.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{text}");
        let expected = serde_json::json!({
            "time": null, "level": "warn", "message": "a \"quoted\"\nmessage",
            "players": 5, "rate": 0.5, "why": "a \"b\"",
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn control_characters_of_a_message_are_escaped() {
        let message = "a\nb\u{1b}[2J\u{9b}\u{202e}c";
        let text = line(Format::Text, message, &[]);
        assert_eq!(text, "[WARN] a\\nb\\u{1b}[2J\\u{9b}\\u{202e}c\n");
        let json = line(Format::Json, message, &[("why", message.into())]);
        assert!(json.is_ascii() && json.matches('\n').count() == 1, "{json}");
        let value: Json = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["message"], &value["why"]), (&message.into(), &message.into()));
    }

    #[test]
    fn registered_secrets_are_redacted() {
        crate::ops::secret::register([crate::ops::secret::Secret::new("secret-of-this-test")]);
        for format in [Format::Text, Format::Json] {
            let text = line(format, "ERR 'secret-of-this-test'", &[("why", "secret-of-this-test".into())]);
            assert!(!text.contains("of-this-test") && text.contains("ERR '***'"), "{text}");
        }
    }

    #[test]
    fn formats_are_found_by_name() {
        for format in [Format::Text, Format::Json] {
            assert_eq!(Format::named(&format.to_string()), Some(format));
        }
        assert_eq!(Format::named("xml"), None);
    }
}
